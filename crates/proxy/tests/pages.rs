//! The proxy's own pages, and its end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};
use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use unexpired_core::{ErrorKind, MintError, TokenManager};
use unexpired_proxy::{Listen, LocalKey, Proxy, TokenCounts};
use unexpired_testkit::{ScriptedSource, Step};

async fn page(proxy: &Running, line: &str, header: &str) -> Answer {
    let head = format!("{line} HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close\r\n{header}\r\n", proxy.port);
    proxy.raw(head.as_bytes()).await
}

#[tokio::test]
async fn health_readiness_and_metrics() {
    let upstream = Upstream::start(|count, _| if count == 1 { reply(401, &[], "") } else { ok() }).await;
    let source = ScriptedSource::new(Duration::from_secs(3600));
    let counts = Arc::new(TokenCounts::default());
    let observer = counts.clone();
    let manager = TokenManager::builder("corp", source.clone()).on_event(move |event| observer.observe(event)).build();
    source.then_times(Step::Fail(MintError::new(ErrorKind::Denied, "no")), 1);
    let route = route(manager, &upstream.url("")).token_counts(counts).build().unwrap();
    let proxy =
        Running::start(Proxy::builder().route(route).listen(Listen::Port(0)).admin_key(LocalKey::new("admin-key")));

    assert_eq!(page(&proxy, "GET /-/healthz", "").await.status, 200);
    assert_eq!(page(&proxy, "GET /-/readyz", "").await.status, 200, "nothing has gone wrong yet");
    assert_eq!(proxy.get("/").await.status, 502);
    assert_eq!(page(&proxy, "GET /-/readyz", "").await.status, 503);
    source.credential_changed();
    for _ in 0..2 {
        assert_eq!(proxy.get("/").await.status, 200);
    }
    assert_eq!(page(&proxy, "GET /-/readyz", "").await.status, 200);
    assert_eq!(page(&proxy, "POST /-/healthz", "").await.status, 405);
    assert_eq!(page(&proxy, "GET /-/secrets", "").await.status, 404);

    for header in ["", "authorization: Bearer unx-test-key\r\n", "x-api-key: admin-kex\r\n"] {
        let answer = page(&proxy, "GET /-/metrics", header).await;
        assert!(answer.status == 401 && !answer.text().contains("corp"), "{header}");
    }
    let mut answer = page(&proxy, "GET /-/metrics", "authorization: Bearer admin-key\r\n").await;
    // Observers are told a moment after the callers.
    while !answer.text().contains("mints_total{token=\"corp\"} 2") {
        tokio::time::sleep(Duration::from_millis(10)).await;
        answer = page(&proxy, "GET /-/metrics", "authorization: Bearer admin-key\r\n").await;
    }
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; version=0.0.4")));
    let text = answer.text();
    for line in [
        "unexpired_token_mints_total{token=\"corp\"} 2",
        "unexpired_token_refreshes_total{token=\"corp\"} 0",
        "unexpired_token_failures_total{token=\"corp\",kind=\"denied\"} 1",
        "unexpired_token_failures_total{token=\"corp\",kind=\"timed_out\"} 0",
        "unexpired_token_rejections_total{token=\"corp\"} 1",
        "unexpired_proxy_requests_total{route=\"r\",status=\"2xx\"} 2",
        "unexpired_proxy_requests_total{route=\"r\",status=\"5xx\"} 1",
        "unexpired_proxy_recovered_total{route=\"r\"} 1",
        "unexpired_proxy_refused_total{route=\"r\"} 0",
        "unexpired_proxy_added_seconds_count{route=\"r\"} 3",
        "unexpired_proxy_connections 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    let left =
        text.lines().find_map(|line| line.strip_prefix("unexpired_token_expiry_seconds{token=\"corp\"} ")).unwrap();
    assert!((3500.0..=3600.0).contains(&left.parse::<f64>().unwrap()), "{left}");
    assert!(!text.contains(KEY) && !text.contains("scripted-"));
}

#[tokio::test]
async fn without_an_admin_key_the_metrics_are_closed() {
    let (proxy, _) = before(&Upstream::start(|_, _| ok()).await);
    for header in ["", "x-api-key: \r\n", "x-api-key: unx-test-key\r\n"] {
        assert_eq!(page(&proxy, "GET /-/metrics", header).await.status, 401);
    }
}

/// At the end nothing more is accepted, what runs is finished, and what does not end is ended.
#[tokio::test]
async fn the_end_lets_requests_finish_but_not_for_ever() {
    let (go, wait) = tokio::sync::watch::channel(false);
    let address = raw_upstream(move |_, mut stream| {
        let mut wait = wait.clone();
        async move {
            let head = read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n").await.unwrap();
            if head.contains("/short") {
                let _ = wait.wait_for(|go| *go).await;
                stream.write_all(b"1\r\nb\r\n0\r\n\r\n").await.unwrap();
            }
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
    })
    .await;
    let mut proxy = Running::of(route(scripted().1, &format!("http://{address}")).build().unwrap());
    let mut streams = Vec::new();
    for path in ["short", "endless"] {
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
        let head = format!("GET /r/{path} HTTP/1.1\r\nhost: localhost:{}\r\nx-api-key: {KEY}\r\n\r\n", proxy.port);
        stream.write_all(head.as_bytes()).await.unwrap();
        read_head(&mut stream).await;
        streams.push(stream);
    }
    let mut idle = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    proxy.stop();
    let stopped = Instant::now();
    assert_eq!(idle.read(&mut [0]).await.unwrap_or(0), 0, "who waits for nothing is let go at once");
    assert!(TcpStream::connect(("127.0.0.1", proxy.port)).await.is_err());
    go.send(true).unwrap();
    let mut short = Vec::new();
    streams[0].read_to_end(&mut short).await.unwrap();
    assert!(short.ends_with(b"1\r\nb\r\n0\r\n\r\n"), "{}", String::from_utf8_lossy(&short));
    assert!(stopped.elapsed() < Duration::from_secs(1));
    let _ = streams[1].read_to_end(&mut Vec::new()).await;
    assert!(stopped.elapsed() >= Duration::from_millis(1900), "the time of grace");
    tokio::time::timeout(LIMIT, &mut proxy.task).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_place_that_is_taken_is_told_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let route = || route(scripted().1, "https://up.example").build().unwrap();
    let error = Proxy::builder().route(route()).listen(Listen::Port(port)).bind().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(
        error.to_string().contains(&format!("127.0.0.1:{port} is taken")) && error.to_string().contains("--port"),
        "{error}"
    );
    assert!(Proxy::builder().route(route()).bind().unwrap_err().to_string().contains("nowhere"));
    let twice = Proxy::builder().route(route()).route(route()).listen(Listen::Port(0)).bind().unwrap_err();
    assert!(twice.to_string().contains("two routes"), "{twice}");
    let open = Arc::new(std::net::TcpListener::bind("0.0.0.0:0").unwrap());
    let error = Proxy::builder().route(route()).listen(Listen::Tcp(open)).bind().unwrap_err();
    assert!(error.to_string().contains("not on loopback"), "{error}");
}

#[test]
fn a_route_that_cannot_be_is_refused() {
    let build = |upstream: &str| route(scripted().1, upstream);
    for (builder, says) in [
        (build("http://up.example"), "plain HTTP"),
        (build("http://169.254.169.254/"), "loopback only"),
        (build("https://up.example/?x=1"), "query"),
        (build("https://user:pw@up.example/"), "user name"),
        (build("ftp://up.example/"), "not an HTTPS URL"),
        (build("https://up.example").header("host"), "cannot be sent in host"),
        (build("https://up.example").header("bad header"), "name is none"),
        (build("https://up.example").header("Transfer-Encoding"), "cannot be sent"),
        (build("https://up.example").scheme("Bear er"), "no word"),
        (build("https://up.example").set_header("Authorization", "x"), "own affair"),
        (build("https://up.example").header("api-key").set_header("API-KEY", "x"), "own affair"),
        (build("https://up.example").set_header("connection", "x"), "own affair"),
        (build("https://up.example").set_header("x", "a\r\nb: c"), "no header may hold"),
        (build("https://up.example").expired_status(200), "no status of a refusal"),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.to_string().contains(says) && !error.to_string().contains("pw"), "{error}");
    }
}
