//! Upstreams beyond a company's proxy: `HTTPS_PROXY` and `NO_PROXY`. The environment is read once by a process, so each case is a process of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "in a test a panic is the report, and what is printed is read by another test"
)]

mod support;

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use support::authority::{Authority, ELSEWHERE};
use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A proxy that makes tunnels, and keeps what it was told and what went through.
struct Corporate {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Corporate {
    /// Whatever is asked for is at `upstream`; `auth` is demanded.
    async fn start(upstream: SocketAddr, auth: Option<&'static str>) -> Self {
        let (heads, bytes) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<Mutex<Vec<u8>>>::default());
        let (told, passed) = (heads.clone(), bytes.clone());
        let address = raw_upstream(move |_, mut client| {
            let (told, passed) = (told.clone(), passed.clone());
            async move {
                let head = read_head(&mut client).await;
                told.lock().unwrap().push(head.clone());
                if auth.is_some_and(|auth| !head.contains(&format!("Basic {auth}"))) {
                    let no = b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n";
                    client.write_all(no).await.unwrap();
                    return;
                }
                client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
                let mut upstream = TcpStream::connect(upstream).await.unwrap();
                let (mut from_client, mut to_client) = client.split();
                let (mut from_upstream, mut to_upstream) = upstream.split();
                let up = async {
                    let mut buffer = vec![0; 16 << 10];
                    while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                        passed.lock().unwrap().extend_from_slice(&buffer[..read]);
                        to_upstream.write_all(&buffer[..read]).await.unwrap();
                    }
                };
                tokio::select! {
                    () = up => (),
                    _ = tokio::io::copy(&mut from_upstream, &mut to_client) => (),
                }
            }
        })
        .await;
        Self { address, heads, bytes }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn tls_upstream(authority: &Authority, alpn: &[&[u8]]) -> Upstream {
    let acceptor = authority.acceptor(alpn, false);
    let accept = move |stream| {
        let acceptor = acceptor.clone();
        async move { acceptor.accept(stream).await.ok() }
    };
    Upstream::start_with(|_, _| ok(), accept).await
}

/// Ten requests through a proxy of ours in a process with this environment: their statuses, and the body of the last answer.
async fn ask(upstream: &str, authority: &Authority, environment: &[(&str, &str)]) -> (Vec<u16>, String) {
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "in_a_process_of_its_own", "--ignored", "--nocapture"])
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    for name in ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"] {
        child.env_remove(name).env_remove(name.to_lowercase());
    }
    child.env("TEST_UPSTREAM", upstream).env("TEST_CA_FILE", authority.ca_file()).envs(environment.iter().copied());
    let output = tokio::time::timeout(LIMIT * 2, child.output()).await.expect("in time").unwrap();
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let statuses =
        output.lines().filter_map(|line| line.strip_prefix("status ")).map(|status| status.parse().unwrap()).collect();
    let body = output.lines().find_map(|line| line.strip_prefix("body ")).unwrap_or_else(|| panic!("{output}"));
    (statuses, body.to_owned())
}

#[tokio::test]
#[ignore = "the others run it, each in an environment of its own"]
async fn in_a_process_of_its_own() {
    let (Ok(upstream), Ok(ca_file)) = (std::env::var("TEST_UPSTREAM"), std::env::var("TEST_CA_FILE")) else { return };
    let proxy = Arc::new(Running::of(route(scripted().1, &upstream).ca_file(ca_file).build().unwrap()));
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let proxy = proxy.clone();
            tokio::spawn(async move {
                proxy.send("POST", "/v1/x", "proxy-authorization: Basic bWluZQ==\r\n", b"hello").await
            })
        })
        .collect();
    println!();
    for (at, task) in tasks.into_iter().enumerate() {
        let answer = task.await.unwrap();
        println!("status {}", answer.status);
        if at == 9 {
            println!("body {}", answer.text());
        }
    }
}

#[tokio::test]
async fn an_upstream_is_reached_through_the_environments_proxy() {
    for (variable, alpn, version, tunnels) in [
        ("HTTPS_PROXY", &[&b"h2"[..], b"http/1.1"][..], http::Version::HTTP_2, 1..=1),
        ("https_proxy", &[b"http/1.1"], http::Version::HTTP_11, 1..=10),
        ("ALL_PROXY", &[b"h2"], http::Version::HTTP_2, 1..=1),
    ] {
        let authority = Authority::new();
        let upstream = tls_upstream(&authority, alpn).await;
        // user:p@ss
        let corporate = Corporate::start(upstream.address, Some("dXNlcjpwQHNz")).await;
        let at = format!("http://user:p%40ss@{}", corporate.address);
        let url = format!("https://{ELSEWHERE}:{}/base", upstream.address.port());
        let (statuses, body) = ask(&url, &authority, &[(variable, &at)]).await;
        assert_eq!((statuses, body.as_str()), (vec![200; 10], "{\"ok\":true}"), "{variable}");

        let heads = corporate.heads();
        assert!(tunnels.contains(&heads.len()), "{heads:?}");
        let place = format!("{ELSEWHERE}:{}", upstream.address.port());
        for head in heads {
            assert!(head.starts_with(&format!("CONNECT {place} HTTP/1.1\r\n")), "{head}");
            assert!(head.to_lowercase().contains("proxy-authorization: basic dxnlcjpwqhnz"), "{head}");
            assert!(!head.contains("scripted") && !head.contains(KEY) && !head.contains("bWluZQ"), "{head}");
        }
        // What went through was for the upstream alone to read.
        let passed = String::from_utf8_lossy(&corporate.bytes.lock().unwrap()).into_owned();
        assert!(!passed.is_empty() && !passed.contains("scripted") && !passed.contains("/v1/x"));
        assert_eq!(upstream.seen().len(), 10);
        for seen in upstream.seen() {
            assert_eq!(
                (seen.version, seen.path.as_str(), seen.body.as_slice()),
                (version, "/base/v1/x", &b"hello"[..])
            );
            assert_eq!(seen.header("authorization"), Some("Bearer scripted-1"));
            assert_eq!((seen.header("proxy-authorization"), seen.header("host")), (None, Some(place.as_str())));
        }
    }
}

/// No name of the proxy is resolved, and nothing is asked of it.
#[tokio::test]
async fn no_proxy_is_heeded_and_this_machine_is_never_asked_for_elsewhere() {
    let authority = Authority::new();
    let upstream = tls_upstream(&authority, &[b"h2"]).await;
    let plain = Upstream::start(|_, _| ok()).await;
    let corporate = Corporate::start(upstream.address, None).await;
    let at = format!("http://{}", corporate.address);
    let port = upstream.address.port();
    let all = [("HTTPS_PROXY", at.as_str()), ("HTTP_PROXY", at.as_str()), ("ALL_PROXY", at.as_str())];
    for (url, no_proxy, reached) in [
        (format!("https://localhost:{port}"), "", true),
        (plain.url(""), "", true),
        (format!("http://localhost:{}", plain.address.port()), "", true),
        (format!("https://{ELSEWHERE}:{port}"), ELSEWHERE, false),
        (format!("https://{ELSEWHERE}:{port}"), "other.test, .corp.test", false),
        (format!("https://{ELSEWHERE}:{port}"), "*", false),
    ] {
        let environment = [&all[..], &[("NO_PROXY", no_proxy)]].concat();
        let (statuses, body) = ask(&url, &authority, &environment).await;
        // Without the proxy there is no such name.
        let expected = if reached { 200 } else { 502 };
        assert_eq!(statuses, vec![expected; 10], "{url} {no_proxy}: {body}");
        assert!(reached || body.contains("cannot be connected to"), "{body}");
        assert_eq!(corporate.heads(), Vec::<String>::new(), "{url} {no_proxy}");
    }
}

#[tokio::test]
async fn a_proxy_that_does_not_help_is_told_of_without_its_password() {
    let authority = Authority::new();
    let upstream = tls_upstream(&authority, &[b"h2"]).await;
    let corporate = Corporate::start(upstream.address, Some("cmlnaHQ=")).await;
    let url = format!("https://{ELSEWHERE}:{}", upstream.address.port());
    for (at, says) in [
        (format!("http://user:hush@{}", corporate.address), "proxy authorization required"),
        (format!("http://{}", corporate.address), "proxy authorization required"),
        (format!("https://user:hush@{}", corporate.address), "plain HTTP"),
        ("http://user:hush@127.0.0.1:1".to_owned(), "refused"),
    ] {
        let (statuses, body) = ask(&url, &authority, &[("HTTPS_PROXY", &at)]).await;
        assert_eq!(statuses, vec![502; 10], "{at}: {body}");
        assert!(body.contains(says) && !body.contains("hush"), "{at}: {body}");
    }
    // It has seen who asked for what, and nothing else.
    assert!(upstream.seen().is_empty() && corporate.bytes.lock().unwrap().is_empty());
    assert!(corporate.heads().iter().all(|head| !head.contains("scripted")));
}
