//! Proxies and trusted certificates named by the environment. A process's environment is its own, so each case runs in a child.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod support;

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{Authority, Server};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use unexpired_core::MintRequest;
use unexpired_http::{Client, Endpoint, Roots};

/// The child: asks what it is told to ask and prints what came of it. Without its variables it is no test.
#[test]
fn child() {
    let Ok(address) = std::env::var("CHILD_ENDPOINT") else { return };
    let endpoint = Endpoint::parse(&address).unwrap();
    let mut builder = Client::builder();
    if let Ok(file) = std::env::var("CHILD_CA_FILE") {
        builder = builder.ca_file(file);
    }
    if let Ok(proxy) = std::env::var("CHILD_PROXY") {
        builder = builder.proxy(&proxy);
    }
    if std::env::var("CHILD_BUNDLED").is_ok() {
        builder = builder.roots(Roots::Bundled);
    }
    let client = builder.build().unwrap();
    assert!(!format!("{client:?}").contains("hunter2"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match runtime.block_on(client.get(&endpoint, &[], None, &MintRequest::standalone())) {
        Ok(response) => println!("ANSWER {}", response.status()),
        Err(error) => println!("ERROR {error} (received: {})", error.maybe_received()),
    }
}

/// Runs the child with nothing in its environment but `variables`.
async fn run(endpoint: &Endpoint, variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]).env_clear().env("CHILD_ENDPOINT", endpoint.as_str());
    command.envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!printed.contains("hunter2"), "{printed}");
    let line =
        printed.lines().find_map(|line| line.find("ANSWER").or(line.find("ERROR")).and_then(|at| line.get(at..)));
    line.unwrap_or_else(|| panic!("{printed}")).to_owned()
}

/// A proxy that connects `CONNECT` to `target`, whatever host was asked for.
async fn proxy(target: std::net::SocketAddr) -> Server {
    Server::start(None, move |mut stream, request| async move {
        if !request.starts_with("CONNECT ") {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            return None;
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        let mut onwards = TcpStream::connect(target).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut onwards).await;
        None
    })
    .await
}

fn at(server: &Server) -> String {
    format!("http://{}", server.address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hosts_on_a_network_are_reached_through_the_proxy() {
    let authority = Authority::new();
    let ca = authority.file().to_str().unwrap().to_owned();
    let server = Server::secure(authority.server(&authority.certificate("as.example.test", |_| {}))).await;
    let endpoint = Endpoint::parse("https://as.example.test/token").unwrap();
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "CHILD_PROXY"] {
        let proxy = proxy(server.address).await;
        let answer = run(&endpoint, &[(variable, &at(&proxy)), ("CHILD_CA_FILE", &ca)]).await;
        assert_eq!(answer, "ANSWER 200", "{variable}");
        assert!(proxy.requests()[0].starts_with("CONNECT as.example.test:443 HTTP/1.1\r\n"), "{:?}", proxy.requests());
        assert!(!proxy.requests()[0].contains("/token"));
    }
    // The configured proxy wins over the environment's, with its user name and password.
    let (wanted, other) = (proxy(server.address).await, proxy(server.address).await);
    let with_user = at(&wanted).replace("http://", "http://user:hunter2@");
    let variables = [("CHILD_PROXY", with_user.as_str()), ("HTTPS_PROXY", &at(&other)), ("CHILD_CA_FILE", &ca)];
    assert_eq!(run(&endpoint, &variables).await, "ANSWER 200");
    assert_eq!((wanted.connections(), other.connections()), (1, 0));
    // user:hunter2
    assert!(wanted.requests()[0].contains("Basic dXNlcjpodW50ZXIy\r\n"), "{:?}", wanted.requests());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_machine_and_no_proxy_are_reached_directly() {
    let authority = Authority::new();
    let ca = authority.file().to_str().unwrap().to_owned();
    let proxied = Arc::new(AtomicUsize::new(0));
    for (host, variables) in [
        ("localhost", &[][..]),
        ("127.0.0.1", &[]),
        // The address of "this host", which Linux connects to loopback: a host that is not loopback by name and needs no network.
        #[cfg(target_os = "linux")]
        ("0.0.0.0", &[("NO_PROXY", "0.0.0.0")]),
        #[cfg(target_os = "linux")]
        ("0.0.0.0", &[("no_proxy", "example.com,0.0.0.0/8")]),
    ] {
        let server = Server::secure(authority.server(&authority.certificate(host, |_| {}))).await;
        let proxy = proxy(server.address).await;
        let address = at(&proxy);
        let mut all = vec![
            ("HTTPS_PROXY", address.as_str()),
            ("HTTP_PROXY", &address),
            ("ALL_PROXY", &address),
            ("CHILD_CA_FILE", &ca),
        ];
        all.extend(variables);
        assert_eq!(run(&server.https(host), &all).await, "ANSWER 200", "{host} {variables:?}");
        assert_eq!(server.connections(), 1);
        proxied.fetch_add(proxy.connections(), Ordering::SeqCst);
        // Nor does plain HTTP to this machine go through a proxy, be it configured.
        if host != "0.0.0.0" {
            let plain = Server::answering(support::ok("{}")).await;
            all.push(("CHILD_PROXY", &address));
            assert_eq!(run(&plain.http(), &all).await, "ANSWER 200");
            assert_eq!(proxy.connections(), 0);
        }
    }
    assert_eq!(proxied.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_refuses_has_its_words_and_passed_nothing_on() {
    let endpoint = Endpoint::parse("https://as.example.test/token").unwrap();
    for (status, words) in [
        ("407 Proxy Authentication Required", "the proxy asks for a user name and a password"),
        ("403 Forbidden", "the proxy opens no connection"),
        ("502 Bad Gateway", "the proxy opens no connection"),
    ] {
        let proxy = Server::answering(support::answer(status, "", "")).await;
        let error = run(&endpoint, &[("HTTPS_PROXY", &at(&proxy)), ("CHILD_BUNDLED", "1")]).await;
        assert!(error.contains(words) && error.contains("received: false"), "{error}");
        assert!(error.contains("as.example.test"), "{error}");
    }
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = run(&endpoint, &[("HTTPS_PROXY", &format!("http://{closed}")), ("CHILD_BUNDLED", "1")]).await;
    assert!(error.contains("HTTPS_PROXY") && error.contains("received: false"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ssl_cert_file_and_dir_are_trusted_too() {
    let (authority, other) = (Authority::new(), Authority::new());
    let server = Server::secure(authority.server(&authority.certificate("localhost", |_| {}))).await;
    let endpoint = server.https("localhost");
    let (ours, theirs) = (authority.file(), other.file());
    let (ours, theirs) = (ours.to_str().unwrap(), theirs.to_str().unwrap());
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(ours, folder.path().join("ca.pem")).unwrap();
    let folder = folder.path().to_str().unwrap().to_owned();

    assert_eq!(run(&endpoint, &[("SSL_CERT_FILE", ours)]).await, "ANSWER 200");
    assert_eq!(run(&endpoint, &[("SSL_CERT_DIR", &folder)]).await, "ANSWER 200");
    // Beside a ca_file, in either order, and a variable that names nothing does no harm.
    assert_eq!(run(&endpoint, &[("SSL_CERT_FILE", ours), ("CHILD_CA_FILE", theirs)]).await, "ANSWER 200");
    assert_eq!(run(&endpoint, &[("SSL_CERT_FILE", theirs), ("CHILD_CA_FILE", ours)]).await, "ANSWER 200");
    let nothing = [("SSL_CERT_FILE", "/nonexistent"), ("SSL_CERT_DIR", "/nonexistent"), ("CHILD_CA_FILE", ours)];
    assert_eq!(run(&endpoint, &nothing).await, "ANSWER 200");
    for variables in [&[("SSL_CERT_FILE", theirs)][..], &[("SSL_CERT_FILE", ours), ("CHILD_BUNDLED", "1")]] {
        let error = run(&endpoint, variables).await;
        assert!(error.contains("unknown issuer") && error.contains("ca_file"), "{error}");
    }
}
