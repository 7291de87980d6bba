//! Requests that are not what they seem, by raw bytes: none of them reaches an upstream as anything but what was checked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

mod support;

use std::time::Duration;
use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use unexpired_proxy::{Listen, Proxy};

/// `{host}` and `{key}` are filled in; lines end with CRLF where there is a line end.
fn fill(text: &str, proxy: &Running) -> String {
    text.replace("{host}", &format!("127.0.0.1:{}", proxy.port)).replace("{key}", KEY).replace('\n', "\r\n")
}

#[tokio::test]
async fn only_a_path_is_asked_for() {
    let upstream = Upstream::start(|_, _| ok()).await;
    let (proxy, _) = before(&upstream);
    let rest = "host: {host}\nconnection: close\nauthorization: Bearer {key}\n\n";
    for (line, status) in [
        ("GET http://evil.example/r/x HTTP/1.1", 400),
        ("GET http://{host}/r/x HTTP/1.1", 400),
        ("GET https://{host}/r/x HTTP/1.1", 400),
        ("CONNECT evil.example:443 HTTP/1.1", 405),
        ("CONNECT {host} HTTP/1.1", 405),
        ("TRACE /r/x HTTP/1.1", 405),
        ("OPTIONS * HTTP/1.1", 400),
        ("GET evil.example:80 HTTP/1.1", 400),
        ("GET //evil.example/r/x HTTP/1.1", 404),
        ("GET r/x HTTP/1.1", 400),
        ("GET /r/../x HTTP/1.1", 400),
        ("GET /r/%2e%2e/x HTTP/1.1", 400),
        ("GET /r/a/%2E%2e HTTP/1.1", 400),
        ("GET /r/..%2fx HTTP/1.1", 400),
        ("GET /r/%252e%252e/x HTTP/1.1", 400),
        ("GET /r/..;/x HTTP/1.1", 400),
        ("GET /r//evil.example/x HTTP/1.1", 400),
        ("GET /r/%2fevil.example/x HTTP/1.1", 400),
        ("GET /r/\\evil.example HTTP/1.1", 400),
        ("GET /r/%5cevil.example HTTP/1.1", 400),
        ("GET /r/a%0d%0aX-Evil:1 HTTP/1.1", 400),
        ("GET /r/a%00 HTTP/1.1", 400),
        ("GET /r@evil.example/ HTTP/1.1", 404),
        ("GET /r%2f..%2f HTTP/1.1", 404),
        ("GET /../r/x HTTP/1.1", 404),
        ("GET /%72/x HTTP/1.1", 404),
        ("GET /R/x HTTP/1.1", 404),
        ("GET /r/x HTTP/1.1 HTTP/1.1", 400),
        ("GET /r/x y HTTP/1.1", 400),
        ("GET\t/r/x HTTP/1.1", 400),
        ("GET /r/x HTTP/2.0", 400),
        ("GE\u{0}T /r/x HTTP/1.1", 400),
    ] {
        let answer = proxy.raw(fill(&format!("{line}\n{rest}"), &proxy).as_bytes()).await;
        assert_eq!(answer.status, status, "{line}: {}", answer.all);
        assert!(upstream.seen().is_empty(), "{line}");
    }
}

/// A page of another site, whose name was made to lead here, still says its own name.
#[tokio::test]
async fn the_host_must_be_ours() {
    let upstream = Upstream::start(|_, _| ok()).await;
    let (proxy, _) = before(&upstream);
    let port = proxy.port;
    for (lines, status) in [
        (format!("host: evil.example:{port}"), 421),
        (format!("host: 127.0.0.1.evil.example:{port}"), 421),
        ("host: localhost".to_owned(), 421),
        (format!("host: localhost:{}", port.wrapping_add(1)), 421),
        (format!("host: user@localhost:{port}"), 421),
        ("x-none: 1".to_owned(), 400),
        (format!("host: localhost:{port}\r\nhost: evil.example"), 400),
        (format!("host: localhost:{port}"), 200),
        (format!("host: [::1]:{port}"), 200),
    ] {
        for (path, key) in [("/r/x", "x-api-key"), ("/-/healthz", "x-api-key")] {
            let head = format!("GET {path} HTTP/1.1\r\n{lines}\r\nconnection: close\r\n{key}: {KEY}\r\n\r\n");
            assert_eq!(proxy.raw(head.as_bytes()).await.status, status, "{lines} {path}");
        }
    }
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn no_page_of_another_site_is_let_in() {
    let upstream = Upstream::start(|_, _| {
        reply(200, &[("access-control-allow-origin", "*"), ("access-control-allow-credentials", "true")], "x")
    })
    .await;
    let (proxy, _) = before(&upstream);
    // A browser asks before it sends a key; without one it gets no leave.
    let preflight = "OPTIONS /r/x HTTP/1.1\nhost: {host}\nconnection: close\norigin: https://evil.example\n\
         access-control-request-method: POST\naccess-control-request-headers: authorization\n\n";
    for text in [
        preflight,
        "GET /r/x HTTP/1.1\nhost: {host}\nconnection: close\norigin: https://evil.example\nx-api-key: {key}\n\n",
    ] {
        let answer = proxy.raw(fill(text, &proxy).as_bytes()).await;
        assert!(!answer.head.contains("access-control-"), "{}", answer.head);
    }
    assert_eq!(upstream.seen().len(), 1);
}

/// Whatever two servers may read as one request and as two is refused, and the connection closed (RFC 9112 sections 6.1 and 6.3).
#[tokio::test]
async fn requests_cannot_be_smuggled() {
    let hidden = "GET /r/hidden HTTP/1.1\nhost: {host}\nx-api-key: {key}\n\n";
    let front = "POST /r/x HTTP/1.1\nhost: {host}\nx-api-key: {key}\n";
    let both = format!("0\n\n{hidden}");
    let length = both.replace("{host}", "127.0.0.1:00000").replace("{key}", KEY).replace('\n', "\r\n").len();
    for (name, request) in [
        ("two lengths", format!("{front}content-length: 5\ncontent-length: 6\n\nhello{hidden}")),
        ("a list of lengths", format!("{front}content-length: 5, 6\n\nhello{hidden}")),
        ("two equal lengths", format!("{front}content-length: 5\nx-a: 1\nContent-Length: 5\n\nhello{hidden}")),
        ("a list of equal lengths", format!("{front}content-length: 5, 5\n\nhello{hidden}")),
        ("two lengths of nothing", format!("{front}content-length: 0\ncontent-length: 0\n\n{hidden}")),
        ("a signed length", format!("{front}content-length: +5\n\nhello{hidden}")),
        ("a negative length", format!("{front}content-length: -5\n\nhello{hidden}")),
        ("a length in hexadecimal", format!("{front}content-length: 0x5\n\nhello{hidden}")),
        ("a length that is none", format!("{front}content-length: five\n\nhello{hidden}")),
        ("an empty length", format!("{front}content-length: \n\nhello{hidden}")),
        ("a huge length", format!("{front}content-length: 18446744073709551617\n\nhello{hidden}")),
        ("an unknown encoding", format!("{front}transfer-encoding: xchunked\n\n{both}")),
        ("chunked that is not last", format!("{front}transfer-encoding: chunked, identity\n\n{both}")),
        ("two encodings", format!("{front}transfer-encoding: chunked\ntransfer-encoding: identity\n\n{both}")),
        ("an encoding with a tab", format!("{front}transfer-encoding:\x0bchunked\n\n{both}")),
        ("chunked twice", format!("{front}transfer-encoding: chunked\ntransfer-encoding: chunked\n\n{both}")),
        ("chunked twice in a list", format!("{front}transfer-encoding: chunked, chunked\n\n{both}")),
        ("an encoding below chunked", format!("{front}transfer-encoding: gzip, chunked\n\n{both}")),
        ("an encoding in quotes", format!("{front}transfer-encoding: \"chunked\"\n\n{both}")),
        ("an encoding with a parameter", format!("{front}transfer-encoding: chunked;q=1\n\n{both}")),
        ("a line feed alone", format!("{front}x-a: 1{{lf}}content-length: 5\n\nhello{hidden}")),
        ("a line feed alone at the end", format!("{front}x-a: 1{{lf}}{{lf}}{hidden}")),
        ("a folded header", format!("{front}x-a: 1\n content-length: 5\n\nhello{hidden}")),
        ("a folded encoding", format!("{front}transfer-encoding:\n chunked\n\n{both}")),
        ("a blank before the colon", format!("{front}content-length : 5\n\nhello{hidden}")),
        ("a blank before the name", format!("{front} content-length: 5\n\nhello{hidden}")),
        ("a line without a colon", format!("{front}content-length\n\nhello{hidden}")),
        ("an underscore and a NUL", format!("{front}content\0length: 5\n\nhello{hidden}")),
        ("a value with a NUL", format!("{front}x-a: a\0b\n\n{hidden}")),
        ("a bare return in a value", format!("{front}x-a: a\rx-b: b\n\n{hidden}")),
        ("a chunk's length that is none", format!("{front}transfer-encoding: chunked\n\nzz\nhello\n{both}")),
        ("a chunk's length that is negative", format!("{front}transfer-encoding: chunked\n\n-1\nhello\n{both}")),
        ("a chunk's length in C's form", format!("{front}transfer-encoding: chunked\n\n0x5\nhello\n{both}")),
        ("a chunk's length with a blank before", format!("{front}transfer-encoding: chunked\n\n 5\nhello\n{both}")),
        (
            "a chunk's length and a line feed alone",
            format!("{front}transfer-encoding: chunked\n\n5{{lf}}hello\n{both}"),
        ),
        (
            "a chunk's length with a line feed in its extension",
            format!("{front}transfer-encoding: chunked\n\n5;a{{lf}}\nhello\n{both}"),
        ),
        (
            "a chunk's length that overflows to five",
            format!("{front}transfer-encoding: chunked\n\n10000000000000005\nhello\n{both}"),
        ),
        (
            "a chunk's length with an endless extension",
            format!("{front}transfer-encoding: chunked\n\n5;{}\nhello\n{both}", "x".repeat(40 << 10)),
        ),
        (
            "a chunk's length, and a trailer with a line feed alone",
            format!("{front}transfer-encoding: chunked\n\n5\nhello\n0\nx: 1{{lf}}\n{hidden}"),
        ),
        (
            "a chunk's length that is huge",
            format!("{front}transfer-encoding: chunked\n\nfffffffffffffffff\nhello\n{both}"),
        ),
        ("a chunk longer than it says", format!("{front}transfer-encoding: chunked\n\n5\nhello, world\n{both}")),
        (
            "HTTP/1.0 with an encoding",
            format!("{}\n{both}", front.replace("1.1", "1.0") + "transfer-encoding: chunked\n"),
        ),
        ("both, length first", format!("{front}content-length: {length}\ntransfer-encoding: chunked\n\n{both}")),
        ("both, encoding first", format!("{front}transfer-encoding: chunked\ncontent-length: {length}\n\n{both}")),
        ("both, a short length", format!("{front}content-length: 3\ntransfer-encoding: chunked\n\n{both}")),
    ] {
        let upstream = Upstream::start(|_, _| ok()).await;
        let (proxy, _) = before(&upstream);
        let answer = proxy.raw(fill(&request, &proxy).replace("{lf}", "\n").as_bytes()).await;
        let seen = upstream.seen();
        assert!(seen.iter().all(|seen| seen.path != "/base/hidden"), "{name}: {}", answer.all);
        assert_eq!(
            answer.all.matches("HTTP/1.1 ").count().max(1),
            1,
            "{name}: one answer, and the end: {}",
            answer.all
        );
        assert_eq!(answer.status, 400, "{name}: {}", answer.all);
        // Of a body the upstream may have seen the beginning, but never an end.
        assert!(seen.iter().all(|seen| name.contains("chunk") && seen.path == "/base/x"), "{name}");
    }
}

/// Wherever a head is cut into pieces, and whatever went before it on its connection.
#[tokio::test]
async fn a_second_reading_is_refused_however_it_comes() {
    let upstream = Upstream::start(|_, _| ok()).await;
    let (proxy, _) = before(&upstream);
    let good = [
        "GET /r/x HTTP/1.1\nhost: {host}\nx-api-key: {key}\n\n",
        "POST /r/x HTTP/1.1\nhost: {host}\nx-api-key: {key}\ncontent-length: 5\n\nhello",
        "POST /r/x HTTP/1.1\nhost: {host}\nx-api-key: {key}\ntransfer-encoding: chunked\n\n5\nhello\n0\n\n",
    ];
    let bad = "POST /r/bad HTTP/1.1\nhost: {host}\nx-api-key: {key}\ncontent-length: 5\ncontent-length: 5\n\nhello";
    for pieces in [1_usize, 7, 64, 4096] {
        for front in good {
            let before = upstream.seen().len();
            let text = fill(&format!("{front}{front}{bad}{front}"), &proxy);
            let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
            client.set_nodelay(true).unwrap();
            let (mut reader, mut writer) = client.split();
            let write = async {
                for piece in text.as_bytes().chunks(pieces) {
                    if writer.write_all(piece).await.is_err() {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            };
            let mut answer = Vec::new();
            let read = async {
                // It may be reset, since not everything was read.
                let _ = tokio::time::timeout(LIMIT, reader.read_to_end(&mut answer)).await.expect("it is closed");
            };
            tokio::join!(write, read);
            let answer = String::from_utf8_lossy(&answer);
            assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{pieces} {front}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 3, "{pieces} {front}: {answer}");
            assert!(answer.contains("HTTP/1.1 400"), "{pieces} {front}: {answer}");
            let seen = upstream.seen();
            assert_eq!(seen.len() - before, 2);
            assert!(seen.iter().all(|seen| seen.path == "/base/x"));
        }
    }
}

#[tokio::test]
async fn what_an_upstream_writes_splits_nothing() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 9\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nlocation: /a\rset-cookie: evil=1\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n",
        "not HTTP at all\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ] {
        let address = raw_upstream(move |_, mut stream| async move {
            read_head(&mut stream).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        })
        .await;
        let proxy = Running::of(route(scripted().1, &format!("http://{address}")).build().unwrap());
        let seen = proxy.get("/").await;
        assert_eq!(seen.status, 502, "{answer:?}: {}", seen.all);
        assert!(!seen.all.contains("evil") && seen.all.matches("HTTP/1.1").count() == 1);
    }
}

#[tokio::test]
async fn heads_have_a_limit() {
    let upstream = Upstream::start(|_, _| ok()).await;
    let (proxy, _) = before(&upstream);
    let front = fill("GET /r/x HTTP/1.1\nhost: {host}\nconnection: close\nx-api-key: {key}\n", &proxy);
    let large = format!("{front}x-large: {}\r\n\r\n", "x".repeat(70 << 10));
    let many = format!("{front}{}\r\n", (0..200).map(|at| format!("x-{at}: 1\r\n")).collect::<String>());
    let long = format!("GET /r/{} HTTP/1.1\r\n\r\n", "x".repeat(70 << 10));
    for (text, statuses) in [(large, &[431][..]), (many, &[431]), (long, &[414, 431])] {
        let answer = proxy.raw(text.as_bytes()).await;
        assert!(statuses.contains(&answer.status), "{}", answer.all);
    }
    assert!(upstream.seen().is_empty());
}

/// Clients that send nothing, or a head by the byte, are let go; and one too many is told so.
#[tokio::test]
async fn slow_clients_and_too_many_are_let_go() {
    let upstream = Upstream::start(|_, _| ok()).await;
    let route = route(scripted().1, &upstream.url("")).build().unwrap();
    let builder = Proxy::builder().route(route).listen(Listen::Port(0)).max_connections(3);
    let proxy = Running::start(builder.head_timeout(Duration::from_secs(1)));
    let mut slow = Vec::new();
    for start in ["", "GET /r/x HT", "GET /r/x HTTP/1.1\r\nhost: "] {
        let mut stream = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut late = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    let mut answer = Vec::new();
    tokio::time::timeout(LIMIT, late.read_to_end(&mut answer)).await.unwrap().unwrap();
    let answer = Answer::parse(&answer);
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (503, Some("overloaded")));
    assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
    for mut stream in slow {
        tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut Vec::new()))
            .await
            .expect("it is closed")
            .unwrap();
    }
    assert_eq!(proxy.get("/x").await.status, 200);
}

/// Between requests a client that has shown the key may take its time; one that has not, and one whose head does not end, may not.
#[tokio::test]
async fn a_connection_waits_long_for_the_next_request_and_short_for_the_rest_of_one() {
    let upstream = Upstream::start(|_, _| ok()).await;
    let route = route(scripted().1, &upstream.url("/base")).build().unwrap();
    let builder = Proxy::builder().route(route).listen(Listen::Port(0));
    let proxy = Running::start(builder.head_timeout(Duration::from_millis(300)).idle_timeout(Duration::from_secs(2)));
    let good = fill("GET /r/x HTTP/1.1\nhost: {host}\nx-api-key: {key}\n\n", &proxy);
    let wrong = fill("GET /r/x HTTP/1.1\nhost: {host}\nx-api-key: no\n\n", &proxy);
    let ask = async |text: &str| {
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
        client.write_all(text.as_bytes()).await.unwrap();
        let mut answer = [0; 4096];
        assert!(client.read(&mut answer).await.unwrap() > 0);
        client
    };
    let ends = async |mut client: TcpStream, least: u64, most: u64| {
        let began = std::time::Instant::now();
        let read = tokio::time::timeout(LIMIT, client.read_to_end(&mut Vec::new())).await.expect("it is closed");
        assert_eq!(read.unwrap_or(0), 0);
        let took = began.elapsed().as_millis();
        assert!((u128::from(least)..u128::from(most)).contains(&took), "{took} ms, not {least} to {most}");
    };
    let waits = async {
        let mut client = ask(&good).await;
        // Longer than a head may take.
        tokio::time::sleep(Duration::from_millis(1200)).await;
        client.write_all(good.as_bytes()).await.unwrap();
        assert!(client.read(&mut [0; 4096]).await.unwrap() > 0);
        ends(client, 1500, 6000).await;
    };
    let stops_within = async {
        let mut client = ask(&good).await;
        client.write_all(&good.as_bytes()[..20]).await.unwrap();
        ends(client, 200, 1500).await;
    };
    let has_no_key = async { ends(ask(&wrong).await, 200, 1500).await };
    tokio::join!(waits, stops_within, has_no_key);
}

/// Neither limit is one of answers: a stream may be silent for longer than both.
#[tokio::test]
async fn a_silent_stream_is_not_idle() {
    let address = raw_upstream(|_, mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        stream.write_all(b"4\r\nlate\r\n0\r\n\r\n").await.unwrap();
    })
    .await;
    let route = route(scripted().1, &format!("http://{address}")).build().unwrap();
    let builder = Proxy::builder().route(route).listen(Listen::Port(0));
    let short = Duration::from_millis(200);
    let proxy = Running::start(builder.head_timeout(short).idle_timeout(short));
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    let get = fill("GET /r/x HTTP/1.1\nhost: {host}\nx-api-key: {key}\n\n", &proxy);
    // And a piece of the next request, which nobody waits for yet.
    client.write_all(get.as_bytes()).await.unwrap();
    client.write_all(b"GET /r/").await.unwrap();
    read_head(&mut client).await;
    let mut late = [0; 14];
    tokio::time::timeout(LIMIT, client.read_exact(&mut late)).await.unwrap().expect("the whole answer");
    assert_eq!(&late, b"4\r\nlate\r\n0\r\n\r\n");
}
