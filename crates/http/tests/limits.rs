//! Each limit of the client, against a server that breaks it.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::{Server, TOKEN, answer, ok};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use unexpired_core::{ErrorKind, MintError, MintRequest, Secret};
use unexpired_http::{BasicAuth, Client, Endpoint, Form, Response, SendError};

const SECRET: &str = "hunter2-hunter2";

async fn mint_with(client: &Client, endpoint: &Endpoint) -> Result<Response, SendError> {
    let endpoint = endpoint.with_query(&[("code", SECRET)]);
    let form = Form::new().pair("grant_type", "client_credentials").secret("client_secret", &SECRET.into());
    let answer = client.post_form(&endpoint, &form, None, &[], &MintRequest::standalone()).await;
    if let Err(error) = &answer {
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("hunter2") && !shown.contains("/token"), "{shown}");
        assert!(shown.contains(endpoint.host()), "{shown}");
        assert!(error.to_string().chars().count() <= 300);
        assert!(MintError::from(error.clone()).remedy_text().is_some(), "what to do now? {error}");
    }
    answer
}

async fn mint(endpoint: &Endpoint) -> Result<Response, SendError> {
    mint_with(&Client::new(), endpoint).await
}

fn hurried() -> Client {
    Client::builder().timeout(Duration::from_millis(300)).build().unwrap()
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Server::answering(ok(TOKEN)).await;
    for status in
        ["301 Moved Permanently", "302 Found", "303 See Other", "307 Temporary Redirect", "308 Permanent Redirect"]
    {
        let location = format!("location: {}\r\n", other.http().as_str());
        let server = Server::answering(answer(status, &location, "")).await;
        let response = mint(&server.http()).await.unwrap();
        let error = response.token().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        assert!(error.to_string().contains("redirects are not followed"), "{error}");
        assert_eq!(server.requests().len(), 1);
    }
    assert_eq!(other.connections(), 0);
}

/// Sends `first`, then `again` until the client goes away; says how much it sent.
async fn endless(first: &'static str, again: &'static [u8]) -> (Server, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let server = Server::start(None, move |mut stream, _| {
        let counted = counted.clone();
        async move {
            let _ = stream.write_all(first.as_bytes()).await;
            while stream.write_all(again).await.is_ok() {
                counted.fetch_add(again.len(), Ordering::SeqCst);
            }
            counted.fetch_add(1 << 40, Ordering::SeqCst);
            None
        }
    })
    .await;
    (server, sent)
}

#[tokio::test]
async fn an_endless_body_ends_early() {
    static BLOCK: [u8; 16384] = [b' '; 16384];
    static CHUNK: &[u8] = b"10\r\n                \r\n";
    for (first, again) in
        [("HTTP/1.1 200 OK\r\n\r\n{", &BLOCK[..]), ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", CHUNK)]
    {
        let (server, sent) = endless(first, again).await;
        let error = mint(&server.http()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(error.to_string().contains("longer than 1 MiB"), "{error}");
        assert!(error.maybe_received());
        // The client has hung up: the server's writes fail. What it got rid of is what fits into the sockets' buffers.
        while sent.load(Ordering::SeqCst) < 1 << 40 {
            tokio::task::yield_now().await;
        }
        assert!(sent.load(Ordering::SeqCst) - (1 << 40) < 32 << 20);
    }
}

#[tokio::test]
async fn a_body_of_one_mebibyte_is_the_longest() {
    let padded = |length: usize| format!("{}{TOKEN}", " ".repeat(length - TOKEN.len()));
    let response = mint(&Server::answering(ok(padded(1 << 20))).await.http()).await.unwrap();
    assert_eq!((response.body().len(), response.token().is_ok()), (1 << 20, true));

    let error = mint(&Server::answering(ok(padded((1 << 20) + 1))).await.http()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);

    // An announced length is enough: nothing of it is read.
    let server = Server::answering("HTTP/1.1 200 OK\r\ncontent-length: 1099511627776\r\n\r\n").await;
    assert_eq!(mint(&server.http()).await.unwrap_err().kind(), ErrorKind::Malformed);
}

#[tokio::test]
async fn the_status_of_a_failure_counts_even_if_its_body_is_too_long() {
    static BLOCK: [u8; 16384] = [b'x'; 16384];
    let (server, _) = endless("HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\n\r\n", &BLOCK).await;
    let error = mint(&server.http()).await.unwrap().token().unwrap_err();
    assert_eq!((error.kind(), error.wait()), (ErrorKind::Unavailable, Some(Duration::from_secs(7))));
}

#[tokio::test]
async fn compression_is_not_asked_for_and_a_bomb_is_not_opened() {
    // 10 bytes of gzip header, then a deflate block that repeats zeros.
    let bomb: Vec<u8> =
        [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3].into_iter().chain([0xed, 0xc1, 0x01, 0x01].repeat(1000)).collect();
    for encoding in ["gzip", "GZIP", "br", "deflate", "identity, gzip", "identity\r\ncontent-encoding: zstd"] {
        let server = Server::answering(answer("200 OK", &format!("content-encoding: {encoding}\r\n"), &bomb)).await;
        let error = mint(&server.http()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{encoding}");
        assert!(error.to_string().contains("compressed"), "{error}");
        assert!(server.requests()[0].contains("accept-encoding: identity\r\n"));
    }
    let server = Server::answering(answer("200 OK", "content-encoding: identity\r\n", TOKEN)).await;
    assert!(mint(&server.http()).await.unwrap().token().is_ok());
}

#[tokio::test]
async fn a_broken_connection_may_have_been_received_and_is_not_tried_again() {
    for (bytes, what) in [
        ("", "no answer"),
        ("HTTP/1.1 200 OK\r\n", "half a head"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"access_token\":", "half a body"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"a\":", "half a chunk"),
    ] {
        let server = Server::answering(bytes).await;
        let error = mint(&server.http()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{what}: {error}");
        assert!(error.maybe_received(), "{what}");
        assert_eq!(server.requests().len(), 1, "{what}");
    }
}

#[tokio::test]
async fn a_refused_connection_was_not_received() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    for host in ["127.0.0.1", "localhost"] {
        let error = mint(&Endpoint::parse(&format!("http://{host}:{port}/token")).unwrap()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(!error.maybe_received());
        assert!(error.to_string().contains(&format!("connection refused at port {port};")), "{error}");
    }
}

#[tokio::test]
async fn a_slow_drip_is_ended() {
    for first in ["HTTP/1.1 200 OK\r\nx: ", "HTTP/1.1 200 OK\r\n\r\n"] {
        let server = Server::start(None, move |mut stream, _| async move {
            let _ = stream.write_all(first.as_bytes()).await;
            while stream.write_all(b"y").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            None
        })
        .await;
        let error = mint_with(&hurried(), &server.http()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.maybe_received());
        assert!(error.to_string().contains("no complete answer within 0.3 s"), "{error}");
    }
}

/// When the request is there, time does not pass but jumps from limit to limit.
#[tokio::test]
async fn by_default_an_exchange_takes_20_s_at_most() {
    let server = Server::start(None, |stream, _| async move {
        let _open = stream;
        tokio::time::pause();
        std::future::pending().await
    })
    .await;
    let error = mint_with(&Client::new(), &server.http()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("no complete answer within 20 s"), "{error}");
    // The mint's own time is as long, so that the client's has to be looked at.
    let shown = format!("{:?}", Client::new());
    assert!(shown.contains("connect_timeout: 5s") && shown.contains(" timeout: 20s"), "{shown}");
}

#[tokio::test]
async fn endless_interim_answers_and_headers_are_ended() {
    let (server, _) = endless("", b"HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(mint_with(&hurried(), &server.http()).await.unwrap_err().kind(), ErrorKind::TimedOut);
    let (server, sent) = endless("HTTP/1.1 200 OK\r\n", b"x-header: of thirty two bytes ...\r\n").await;
    assert_eq!(mint(&server.http()).await.unwrap_err().kind(), ErrorKind::Malformed);
    while sent.load(Ordering::SeqCst) < 1 << 40 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn silence_is_ended_by_the_mints_deadline() {
    let server = Server::start(None, |stream, _| async move {
        std::future::pending::<()>().await;
        Some(stream)
    })
    .await;
    let request = MintRequest::standalone().limited_to(Duration::from_millis(200));
    let error = Client::new().get(&server.http(), &[], None, &request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);

    // With no time left nothing is sent.
    let before = server.connections();
    let request = MintRequest::standalone().limited_to(Duration::ZERO);
    let error = Client::new().get(&server.http(), &[], None, &request).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_received()), (ErrorKind::TimedOut, false));
    assert_eq!(server.connections(), before);
}

#[tokio::test]
async fn pages_and_errors_with_status_200() {
    let page = answer("200 OK", "content-type: text/html\r\n", "<html><body>Sign in</body></html>");
    let error = mint(&Server::answering(page).await.http()).await.unwrap().token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("HTML") && !error.to_string().contains("Sign in"), "{error}");

    let refusal = ok(r#"{"error":"invalid_client","error_description":"no such client"}"#);
    let error = mint(&Server::answering(refusal).await.http()).await.unwrap().token().unwrap_err();
    assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Denied, Some("invalid_client")));

    // A wrong content type does no harm if the body is what it should be.
    for kind in ["text/html", "text/plain; charset=utf-8", "application/octet-stream"] {
        let bytes = answer("200 OK", &format!("content-type: {kind}\r\n"), TOKEN);
        assert!(mint(&Server::answering(bytes).await.http()).await.unwrap().token().is_ok(), "{kind}");
    }
}

#[tokio::test]
async fn what_is_no_http_is_malformed() {
    for bytes in [
        "SSH-2.0-OpenSSH_9.6\r\n",
        "{\"access_token\":\"at-1\"}\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
    ] {
        let error = mint(&Server::answering(bytes).await.http()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{bytes}: {error}");
        assert!(error.maybe_received());
    }
}

#[tokio::test]
async fn what_is_sent() {
    let server = Server::start(None, |mut stream, _| async move {
        let _ = stream.write_all(&ok(TOKEN)).await;
        Some(stream)
    })
    .await;
    let (client, request) = (Client::new(), MintRequest::standalone());
    let form = Form::new().pair("scope", "a b").secret("client_secret", &"s+&".into());
    let auth = BasicAuth::new("client-123", &Secret::new("s3"));
    client.post_form(&server.http(), &form, Some(&auth), &[("X-Extra", "1")], &request).await.unwrap();
    client.post_json(&server.http(), r#"{"a":1}"#, Some(&"at-0".into()), &[], &request).await.unwrap();
    client.get(&server.http(), &[("Metadata", "true"), ("Accept", "text/plain")], None, &request).await.unwrap();
    assert_eq!(server.connections(), 1, "a flow of several requests uses one connection");

    let [form, json, get] = <[String; 3]>::try_from(server.requests()).unwrap();
    let has = |request: &str, lines: &[&str]| {
        for line in lines {
            assert!(request.contains(&format!("\r\n{line}\r\n")), "{line}\n{request}");
        }
    };
    assert!(form.starts_with("POST /token HTTP/1.1\r\n"));
    has(
        &form,
        &["content-type: application/x-www-form-urlencoded", "accept: application/json", "accept-encoding: identity"],
    );
    has(&form, &["authorization: Basic Y2xpZW50LTEyMzpzMw==", "x-extra: 1", "content-length: 31"]);
    assert!(form.ends_with("\r\n\r\nscope=a+b&client_secret=s%2B%26"));
    assert!(form.contains("\r\nuser-agent: unexpired/") && !form.contains("referer"));
    has(&json, &["content-type: application/json", "authorization: Bearer at-0"]);
    assert!(json.ends_with("{\"a\":1}"));
    assert!(
        get.starts_with("GET /token HTTP/1.1\r\n") && !get.contains("content-type") && !get.contains("authorization")
    );
    has(&get, &["metadata: true", "accept: text/plain"]);
}

#[tokio::test]
async fn a_header_that_would_split_is_not_sent() {
    let server = Server::answering(ok(TOKEN)).await;
    let request = MintRequest::standalone();
    for (name, value) in [("x", "a\r\nb: c"), ("x y", "a"), ("", "a"), ("x", "a\0")] {
        let error = Client::new().get(&server.http(), &[(name, value)], None, &request).await.unwrap_err();
        assert_eq!((error.kind(), error.maybe_received()), (ErrorKind::Misconfigured, false));
    }
    let error = Client::new().get(&server.http(), &[], Some(&"at\r\nx: y".into()), &request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn the_answer_knows_when_it_was_asked_for() {
    let bytes = answer("200 OK", "date: Thu, 01 Jan 2026 00:00:00 GMT\r\n", TOKEN);
    let server = Server::answering(bytes).await;
    let request = MintRequest::standalone();
    let before = request.now();
    let response = Client::new().get(&server.http(), &[], None, &request).await.unwrap();
    assert!(response.requested_at().boot_nanos() >= before.boot_nanos());
    assert!(response.received_at().boot_nanos() >= response.requested_at().boot_nanos());
    assert!(response.date().is_some());
    let token = response.token().unwrap().into_builder(&response).source("test").build().unwrap();
    assert_eq!(token.lifetime().life, Some(Duration::from_secs(3600)));
    assert_eq!(token.lifetime().counted_from, response.requested_at());
}

#[test]
fn one_client_serves_several_runtimes() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let servers = tokio::runtime::Runtime::new().unwrap();
    let server = servers.block_on(Server::start(None, |mut stream, _| async move {
        let _ = stream.write_all(&ok(TOKEN)).await;
        Some(stream)
    }));
    let client = Client::new();
    for _ in 0..3 {
        assert!(runtime().block_on(mint_with(&client, &server.http())).is_ok());
    }
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(128))]

    /// Whatever comes over the wire, the outcome is an answer or an error of one line.
    #[test]
    fn no_bytes_panic(
        start in proptest::sample::select(vec!["", "HTTP/1.1 ", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 400 Bad Request\r\ncontent-length: 20\r\n\r\n"]),
        middle in "[ -~]{0,30}(\r\n)?[a-z-]{0,9}(: )?[ -~]{0,30}(\r\n\r\n)?",
        end in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100),
    ) {
        let bytes: Vec<u8> = start.bytes().chain(middle.bytes()).chain(end).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Server::answering(bytes).await;
            if let Ok(response) = mint_with(&hurried(), &server.http()).await {
                let _ = (response.token(), response.failure().into_mint_error(&response));
            }
        });
    }
}
