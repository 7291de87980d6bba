//! A token that is refused, and a token that cannot be had: what the client sees, and what it never sees.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use unexpired_core::{ErrorKind, MintError};
use unexpired_proxy::{Listen, Proxy};
use unexpired_testkit::Step;

/// Refuses all tokens but the second.
fn wants_second(seen: &Seen, refusal: impl Fn() -> http::Response<Body>) -> http::Response<Body> {
    if seen.header("authorization") == Some("Bearer scripted-2") { ok() } else { refusal() }
}

#[tokio::test]
async fn what_means_that_the_token_is_refused_is_not_seen_by_the_client() {
    type Refusal = fn() -> http::Response<Body>;
    let cases: [(&str, Refusal, bool); 9] = [
        ("401", || reply(401, &[], ""), true),
        ("401 with words", || reply(401, &[("www-authenticate", "Bearer error=\"invalid_token\"")], "{}"), true),
        ("401 for a scope", || reply(401, &[("www-authenticate", "Bearer error=\"insufficient_scope\"")], "{}"), false),
        ("403 invalid_token", || reply(403, &[("www-authenticate", "Bearer error=\"invalid_token\"")], "{}"), true),
        (
            "403 by its body",
            || reply(403, &[("content-type", "application/json")], r#"{"error":{"code":"ExpiredToken"}}"#),
            true,
        ),
        (
            "403 of another type",
            || reply(403, &[("content-type", "text/plain")], r#"{"error":"invalid_token"}"#),
            false,
        ),
        (
            "403 for lack of rights",
            || reply(403, &[("content-type", "application/json")], r#"{"error":"forbidden"}"#),
            false,
        ),
        ("403 without a word", || reply(403, &[], ""), false),
        ("404", || reply(404, &[], ""), false),
    ];
    for (name, refusal, recovers) in cases {
        let upstream = Upstream::start(move |_, seen| wants_second(seen, refusal)).await;
        let (proxy, source) = before(&upstream);
        let answer = proxy.send("POST", "/v1/chat?x=1", "x-kept: 1\r\n", b"{\"prompt\":1}").await;
        let expected = if recovers { 200 } else { refusal().status().as_u16() };
        assert_eq!(answer.status, expected, "{name}");
        assert_eq!((upstream.seen().len(), source.calls()), if recovers { (2, 2) } else { (1, 1) }, "{name}");
        if recovers {
            let [first, second] = &upstream.seen()[..] else { panic!("{name}") };
            assert_eq!((&first.path, &first.body), (&second.path, &second.body), "{name}");
            assert_eq!((second.header("x-kept"), second.header("content-length")), (Some("1"), Some("12")));
        } else if refusal().status() == 403 {
            use http_body_util::BodyExt as _;
            let body = refusal().into_body().collect().await.unwrap().to_bytes();
            assert_eq!(answer.body, body, "{name}: what was read to judge it is passed on");
        }
        // Whatever it was, the connection can be used.
        assert_eq!(proxy.get("/").await.status, if recovers { 200 } else { expected }, "{name}");
    }
}

/// Servers compress small answers too. The client gets what was sent, byte by byte.
#[tokio::test]
async fn a_compressed_refusal_is_read_and_passed_on_as_it_came() {
    // `{"error":{"code":"ExpiredToken","message":"The token has expired"}}`, by Node's zlib.
    let bodies = [
        (
            "gzip",
            "H4sIAAAAAAAAA6tWSi0qyi9SsqpWSs5PSVWyUnKtKMgsSk0Jyc9OzVPSUcpNLS5OTAdJhGSkKpSARBUyEosVUiHKlGprAeRPqcFDAAAA",
        ),
        ("deflate", "eJyrVkotKsovUrKqVkrOT0lVslJyrSjILEpNCcnPTs1T0lHKTS0uTkwHSYRkpCqUgEQVMhKLFVIhypRqawEPkBdq"),
        ("deflate", "q1ZKLSrKL1KyqlZKzk9JVbJScq0oyCxKTQnJz07NU9JRyk0tLk5MB0mEZKQqlIBEFTISixVSIcqUamsB"),
    ];
    for (coding, body) in bodies {
        use base64::Engine as _;
        let body = base64::engine::general_purpose::STANDARD.decode(body).unwrap();
        for (status, recovers) in [(403, true), (404, false)] {
            let answer = body.clone();
            let headers = [("content-type", "application/json"), ("content-encoding", coding)];
            let upstream =
                Upstream::start(move |_, seen| wants_second(seen, || reply(status, &headers, answer.clone()))).await;
            let (proxy, source) = before(&upstream);
            let seen = proxy.send("POST", "/", "accept-encoding: gzip, deflate, br, zstd\r\n", b"x").await;
            assert_eq!(seen.status, if recovers { 200 } else { status }, "{coding}");
            assert_eq!(source.calls(), if recovers { 2 } else { 1 }, "{coding}");
            assert_eq!(
                upstream.last().header("accept-encoding"),
                Some("gzip, deflate"),
                "what cannot be read is not asked for"
            );
        }
        // Where the second attempt is refused too, the refusal is the client's.
        let (source, manager) = scripted();
        let answer = body.clone();
        let headers = [("content-type", "application/json"), ("content-encoding", coding)];
        let upstream = Upstream::start(move |_, _| reply(403, &headers, answer.clone())).await;
        let proxy = Running::of(route(manager, &upstream.url("")).build().unwrap());
        let seen = proxy.get("/").await;
        assert_eq!((seen.status, seen.header("content-encoding"), source.calls()), (403, Some(coding), 2));
        assert_eq!(seen.body, body);
    }
}

#[tokio::test]
async fn a_status_can_be_said_to_mean_it() {
    let upstream = Upstream::start(|_, seen| wants_second(seen, || reply(440, &[], ""))).await;
    let (source, manager) = scripted();
    let proxy = Running::of(route(manager, &upstream.url("")).expired_status(440).build().unwrap());
    assert_eq!(proxy.get("/").await.status, 200);
    source.assert_calls(2);
}

#[tokio::test]
async fn claims_reach_the_mint() {
    let challenge =
        "Bearer error=\"insufficient_claims\", claims=\"eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7InZhbHVlIjoiMTIzIn19fQ==\"";
    let upstream =
        Upstream::start(move |_, seen| wants_second(seen, || reply(401, &[("www-authenticate", challenge)], ""))).await;
    let (proxy, source) = before(&upstream);
    assert_eq!(proxy.get("/").await.status, 200);
    let claims = source.requests()[1].claims().map(str::to_owned);
    assert_eq!(claims.as_deref(), Some(r#"{"access_token":{"nbf":{"value":"123"}}}"#));
}

#[tokio::test]
async fn a_second_refusal_is_passed_on_and_the_host_is_not_minted_for_again() {
    let upstream =
        Upstream::start(|count, _| reply(401, &[("www-authenticate", "Bearer realm=\"up\"")], format!("no {count}")))
            .await;
    let (proxy, source) = before(&upstream);
    let answer = proxy.send("POST", "/", "", b"x").await;
    assert_eq!((answer.status, answer.text().as_str()), (401, "no 1"), "the answer to the second attempt");
    assert_eq!(answer.header("www-authenticate"), Some("bearer realm=\"up\""));
    source.assert_calls(2);
    for _ in 0..5 {
        assert_eq!(proxy.get("/").await.status, 401);
    }
    assert!(source.calls() <= 3, "{}", source.calls());
}

#[tokio::test]
async fn without_a_replacement_the_refusal_is_passed_on() {
    let upstream =
        Upstream::start(|_, _| reply(401, &[("content-type", "application/json")], "{\"up\":\"stream\"}")).await;
    let (proxy, source) = before(&upstream);
    source.then(Step::Token(Duration::from_secs(3600)));
    source.then_times(Step::Fail(MintError::new(ErrorKind::Denied, "the secret was rotated")), 9);
    let answer = proxy.send("POST", "/", "", b"x").await;
    assert_eq!((answer.status, answer.text().as_str()), (401, "{\"up\":\"stream\"}"));
    assert_eq!(upstream.seen().len(), 1);
    // And now that there is no token at all, nothing is sent.
    assert_eq!(proxy.get("/").await.status, 502);
    assert_eq!(upstream.seen().len(), 1);
}

/// A hundred refusals of one token cost one mint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_refusals_at_once_cost_one_mint() {
    let upstream = Upstream::start(|_, seen| wants_second(seen, || reply(401, &[], ""))).await;
    let (proxy, source) = before(&upstream);
    let proxy = Arc::new(proxy);
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let proxy = proxy.clone();
            tokio::spawn(async move { proxy.send("POST", "/", "", b"x").await.status })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    source.assert_calls(2);
}

/// In the shape of the API that the client speaks, and nothing is sent.
#[tokio::test]
async fn no_token_is_one_clear_error() {
    let upstream = Upstream::start(|_, _| ok()).await;
    for (path, header, read) in [
        ("/v1/chat/completions", "", ["/error/message", "/error/type=server_error", "/error/code=no_token"]),
        ("/v1/messages", "", ["/error/message", "/type=error", "/error/type=api_error"]),
        ("/v1/models", "anthropic-version: 2023-06-01\r\n", ["/error/message", "/type=error", "/error/type=api_error"]),
        ("/v1beta/models/g:generateContent", "", ["/error/message", "/error/code=502", "/error/status=UNAVAILABLE"]),
        (
            "/v1beta/models",
            "x-goog-api-client: x\r\n",
            ["/error/message", "/error/code=502", "/error/status=UNAVAILABLE"],
        ),
    ] {
        let (proxy, source) = before(&upstream);
        let error = MintError::new(ErrorKind::Denied, "the secret was rotated")
            .code("AADSTS7000222")
            .host("login.example.com")
            .remedy("make a new one");
        source.then_times(Step::Fail(error), 3);
        let answer = proxy.send("POST", path, header, b"{}").await;
        assert_eq!((answer.status, answer.header("content-type")), (502, Some("application/json")));
        let json = answer.json();
        for what in read {
            let (pointer, value) = what.split_once('=').unwrap_or((what, ""));
            let found = json.pointer(pointer).unwrap_or_else(|| panic!("{path}: {pointer} in {json}"));
            let text = found.as_str().map_or_else(|| found.to_string(), str::to_owned);
            if pointer == "/error/message" {
                for part in ["unexpired", "corp", "login.example.com", "AADSTS7000222", "make a new one"] {
                    assert!(text.contains(part), "{text}");
                }
                assert!(!text.contains('\n') && !text.contains(KEY));
            } else {
                assert_eq!(text, value, "{path} {pointer}");
            }
        }
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_wrong_key_is_told_in_the_shape_of_the_api() {
    let (proxy, _) = before(&Upstream::start(|_, _| ok()).await);
    for (path, header, pointer, value) in [
        ("/v1/chat/completions", "authorization: Bearer no", "/error/code", "invalid_api_key"),
        ("/v1/messages", "x-api-key: no", "/error/type", "authentication_error"),
        ("/v1beta/models", "x-goog-api-key: no", "/error/status", "UNAUTHENTICATED"),
        ("/v1beta/models?key=no", "x-none: 1", "/error/status", "UNAUTHENTICATED"),
    ] {
        let head =
            format!("GET /r{path} HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close\r\n{header}\r\n\r\n", proxy.port);
        let answer = proxy.raw(head.as_bytes()).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.json().pointer(pointer).and_then(|found| found.as_str()), Some(value), "{path}");
        assert!(answer.text().contains("unexpired proxy key r"));
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_told_of() {
    let (_, manager) = scripted();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = Running::of(route(manager, &format!("http://{closed}")).build().unwrap());
    let answer = proxy.get("/").await;
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (502, Some("upstream_unreachable")));
    assert!(answer.text().contains("refused"), "{}", answer.text());
}

/// 16 MiB are held and sent again; a byte more is sent once.
#[tokio::test]
async fn bodies_up_to_the_limit_are_sent_again() {
    for (length, sent_again) in [(16 << 20, true), ((16 << 20) + 1, false)] {
        let upstream = Upstream::start(|_, seen| wants_second(seen, || reply(401, &[], "no"))).await;
        let (proxy, source) = before(&upstream);
        let body: Vec<u8> = (0..length).map(|at: usize| (at % 253) as u8).collect();
        let answer = proxy.send("POST", "/", "", &body).await;
        assert_eq!(answer.status, if sent_again { 200 } else { 401 });
        assert!(upstream.seen().iter().all(|seen| seen.body == body));
        assert_eq!(upstream.seen().len(), if sent_again { 2 } else { 1 });
        // The next request finds a new token in any case.
        assert_eq!(proxy.get("/").await.status, 200);
        source.assert_calls(2);
    }
}

#[tokio::test]
async fn a_chunked_body_is_held_too_until_it_grows_too_large() {
    for (limit, status) in [(1 << 20, 200), (100 << 10, 401)] {
        let upstream = Upstream::start(|_, seen| wants_second(seen, || reply(401, &[], "no"))).await;
        let (_, manager) = scripted();
        let route = route(manager, &upstream.url("")).build().unwrap();
        let proxy = Running::start(Proxy::builder().route(route).replay_limits(limit, 1 << 20).listen(Listen::Port(0)));
        let mut request = format!(
            "POST /r/ HTTP/1.1\r\nhost: localhost:{}\r\nx-api-key: {KEY}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n",
            proxy.port
        );
        for _ in 0..200 {
            request.push_str(&format!("400\r\n{}\r\n", "x".repeat(1024)));
        }
        request.push_str("0\r\n\r\n");
        assert_eq!(proxy.raw(request.as_bytes()).await.status, status);
        assert!(upstream.seen().iter().all(|seen| seen.body.len() == 200 << 10));
    }
}

/// What all hold together has a limit, and is free again afterwards.
#[tokio::test]
async fn all_bodies_together_have_a_limit() {
    let refusing = Arc::new(AtomicUsize::new(0));
    let upstream = {
        let refusing = refusing.clone();
        Upstream::start(
            move |count, _| if count == refusing.load(Ordering::SeqCst) { reply(401, &[], "no") } else { ok() },
        )
        .await
    };
    let (_, manager) = scripted();
    let route = route(manager, &upstream.url("")).build().unwrap();
    let proxy = Running::start(Proxy::builder().route(route).replay_limits(1 << 20, 300_000).listen(Listen::Port(0)));
    // One that hangs in the middle holds most of what there is.
    let mut hanging = tokio::net::TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    let head = format!(
        "POST /r/ HTTP/1.1\r\nhost: localhost:{}\r\nx-api-key: {KEY}\r\ncontent-length: 250000\r\n\r\n",
        proxy.port
    );
    hanging.write_all(head.as_bytes()).await.unwrap();
    hanging.write_all(&vec![b'x'; 200_000]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(proxy.send("POST", "/", "", &vec![b'y'; 150_000]).await.status, 401, "there was no room for a copy");
    drop(hanging);
    tokio::time::sleep(Duration::from_millis(300)).await;
    // The new token is accepted once, or the host would be taken for one that refuses all.
    assert_eq!(proxy.get("/").await.status, 200);
    refusing.store(upstream.seen().len(), Ordering::SeqCst);
    assert_eq!(proxy.send("POST", "/", "", &vec![b'y'; 150_000]).await.status, 200, "there is room again");
}

/// The upstream refuses before the client has sent everything: the second attempt gets the copy and then the rest, as it comes.
#[tokio::test]
async fn an_early_refusal_does_not_wait_for_the_body() {
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel::<String>();
    let address = raw_upstream(move |number, mut stream| {
        let told = told.clone();
        async move {
            let head = read_head(&mut stream).await;
            if number == 0 {
                let mut first = [0; 5];
                stream.read_exact(&mut first).await.unwrap();
                stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                told.send("refused".to_owned()).unwrap();
                let _ = stream.read_to_end(&mut Vec::new()).await;
                return;
            }
            assert!(head.contains("content-length: 11"), "{head}");
            let mut body = [0; 5];
            stream.read_exact(&mut body).await.unwrap();
            told.send(String::from_utf8_lossy(&body).into_owned()).unwrap();
            let mut body = [0; 6];
            stream.read_exact(&mut body).await.unwrap();
            told.send(String::from_utf8_lossy(&body).into_owned()).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let proxy = Running::of(route(scripted().1, &format!("http://{address}")).build().unwrap());
    let mut client = tokio::net::TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    let head = format!(
        "POST /r/ HTTP/1.1\r\nhost: localhost:{}\r\nx-api-key: {KEY}\r\ncontent-length: 11\r\n\r\nfirst",
        proxy.port
    );
    client.write_all(head.as_bytes()).await.unwrap();
    for expected in ["refused", "first"] {
        assert_eq!(tokio::time::timeout(LIMIT, tells.recv()).await.expect("in time").unwrap(), expected);
    }
    client.write_all(b"second").await.unwrap();
    assert_eq!(tells.recv().await.unwrap(), "second");
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200"));
}
