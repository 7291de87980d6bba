//! What goes through, and how it looks on the other side.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

mod support;

use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use unexpired_proxy::{Listen, LocalKey, Proxy, Route};

#[tokio::test]
async fn a_request_arrives_as_it_was_sent_but_for_its_credential() {
    let upstream =
        Upstream::start(|_, _| reply(201, &[("x-answer", "yes"), ("set-cookie", "a=b; Secure")], "made")).await;
    let (proxy, _) = before(&upstream);
    let answer = proxy
        .send(
            "POST",
            "/v1/things%20x?a=1&b=%2F",
            "x-kept: 1\r\ncookie: c=d\r\nuser-agent: test\r\naccept-encoding: gzip\r\n",
            b"hello",
        )
        .await;
    assert_eq!((answer.status, answer.text().as_str()), (201, "made"));
    assert_eq!((answer.header("x-answer"), answer.header("set-cookie")), (Some("yes"), Some("a=b; secure")));
    let seen = upstream.last();
    assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/base/v1/things%20x?a=1&b=%2F"));
    assert_eq!(seen.body, b"hello");
    assert_eq!(seen.header("authorization"), Some("Bearer scripted-1"));
    assert_eq!(seen.header("host"), Some(upstream.address.to_string().as_str()));
    for (name, value) in [
        ("x-kept", "1"),
        ("cookie", "c=d"),
        ("user-agent", "test"),
        ("content-length", "5"),
        ("accept-encoding", "gzip"),
    ] {
        assert_eq!(seen.header(name), Some(value), "{name}");
    }
    for name in ["via", "forwarded", "x-forwarded-for", "connection"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert!(
        seen.headers.values().all(|value| !value.as_bytes().windows(KEY.len()).any(|window| window == KEY.as_bytes()))
    );
}

/// Each shape in which clients send a key opens the route, and none of them reaches the upstream.
#[tokio::test]
async fn the_key_in_every_shape() {
    let upstream = Upstream::start(|_, _| ok()).await;
    let (proxy, _) = before(&upstream);
    let basic = "dXNlcjp1bngtdGVzdC1rZXk="; // user:unx-test-key
    let cases = [
        (format!("authorization: Bearer {KEY}"), "", 200),
        (format!("Authorization: Token {KEY}"), "", 200),
        (format!("authorization: Basic {basic}"), "", 200),
        (format!("api-key: {KEY}"), "", 200),
        (format!("x-api-key: {KEY}"), "", 200),
        (format!("x-goog-api-key: {KEY}"), "", 200),
        ("x-none: 1".to_owned(), "?key=unx-test-key", 200),
        ("x-none: 1".to_owned(), "?alt=sse&%6bey=unx-test-key", 200),
        (format!("authorization: Bearer stale\r\nx-api-key: {KEY}"), "", 200),
        (
            format!("authorization: Bearer {KEY}\r\nx-api-key: stale\r\napi-key: stale\r\nx-goog-api-key: stale"),
            "?key=stale",
            200,
        ),
        ("x-none: 1".to_owned(), "", 401),
        ("authorization: Bearer unx-test-kex".to_owned(), "", 401),
        ("authorization: Bearer ".to_owned(), "", 401),
        ("x-api-key: unx-test-key-and-more".to_owned(), "", 401),
        (format!("proxy-authorization: Bearer {KEY}"), "", 401),
        (format!("cookie: key={KEY}"), "", 401),
    ];
    let mut sent = 0;
    for (header, query, status) in cases {
        let head = format!(
            "GET /r/x{query} HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close\r\n{header}\r\n\r\n",
            proxy.port
        );
        let answer = proxy.raw(head.as_bytes()).await;
        assert_eq!(answer.status, status, "{header} {query}: {}", answer.all);
        sent += usize::from(status == 200);
        assert_eq!(upstream.seen().len(), sent, "{header}: a request without the key goes nowhere");
        if status == 200 {
            let seen = upstream.last();
            assert_eq!(seen.headers.get_all("authorization").iter().count(), 1);
            assert_eq!(seen.header("authorization"), Some("Bearer scripted-1"), "{header}");
            assert!(
                ["api-key", "x-api-key", "x-goog-api-key", "proxy-authorization"]
                    .iter()
                    .all(|name| seen.header(name).is_none())
            );
            assert!(!seen.path.contains("key") && !seen.path.contains("stale"), "{}", seen.path);
            assert_eq!(seen.path, if query.contains("alt") { "/base/x?alt=sse" } else { "/base/x" });
        } else {
            assert_eq!(answer.header("www-authenticate"), Some("bearer realm=\"unexpired\""));
        }
    }
}

#[tokio::test]
async fn a_key_opens_its_own_route_and_no_other() {
    let upstream = Upstream::start(|_, _| ok()).await;
    let make = |name: &str, key: &str| {
        Route::builder(name, scripted().1, upstream.url(""), LocalKey::new(key)).build().unwrap()
    };
    let proxy =
        Running::start(Proxy::builder().route(make("a", "key-a")).route(make("b", "key-b")).listen(Listen::Port(0)));
    for (route, key, status) in
        [("a", "key-a", 200), ("b", "key-b", 200), ("a", "key-b", 401), ("b", "key-a", 401), ("c", "key-a", 404)]
    {
        let head = format!(
            "GET /{route}/ HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close\r\nx-api-key: {key}\r\n\r\n",
            proxy.port
        );
        assert_eq!(proxy.raw(head.as_bytes()).await.status, status, "{route} {key}");
    }
    assert_eq!(upstream.seen().len(), 2);
}

#[tokio::test]
async fn the_token_goes_where_the_upstream_wants_it() {
    for (header, scheme, expected) in [
        (None, None, ("authorization", "Bearer scripted-1")),
        (None, Some("Token"), ("authorization", "Token scripted-1")),
        (None, Some("none"), ("authorization", "scripted-1")),
        (Some("api-key"), None, ("api-key", "scripted-1")),
        (Some("X-Auth"), Some("Bearer"), ("x-auth", "Bearer scripted-1")),
    ] {
        let upstream = Upstream::start(|_, _| ok()).await;
        let mut builder =
            route(scripted().1, &upstream.url("")).set_header("X-Team", "search").set_header("user-agent", "ours");
        if let Some(header) = header {
            builder = builder.header(header);
        }
        if let Some(scheme) = scheme {
            builder = builder.scheme(scheme);
        }
        let proxy = Running::of(builder.build().unwrap());
        for _ in 0..2 {
            let answer = proxy.send("GET", "/", "x-auth: mine\r\nx-team: other\r\nuser-agent: theirs\r\n", b"").await;
            assert_eq!(answer.status, 200);
            let seen = upstream.last();
            assert_eq!(seen.header(expected.0), Some(expected.1));
            assert_eq!(seen.header("authorization").is_some(), expected.0 == "authorization");
            let team: Vec<_> = seen.headers.get_all("x-team").iter().collect();
            assert_eq!((team.len(), team[0].to_str().unwrap(), seen.header("user-agent")), (1, "search", Some("ours")));
        }
    }
}

#[tokio::test]
async fn what_is_for_one_hop_stays_there_in_both_directions() {
    let upstream = Upstream::start(|_, _| {
        reply(
            200,
            &[
                ("x-hop", "1"),
                ("connection", "x-hop"),
                ("keep-alive", "timeout=3"),
                ("access-control-allow-origin", "*"),
                ("x-end", "1"),
            ],
            "x",
        )
    })
    .await;
    let (proxy, _) = before(&upstream);
    let head = format!(
        "GET /r/ HTTP/1.1\r\nhost: localhost:{}\r\nconnection: close, x-mine, authorization\r\nx-mine: 1\r\nx-end: 1\r\nte: trailers\r\nkeep-alive: 5\r\n\
         proxy-connection: keep-alive\r\nproxy-authorization: Basic eDp5\r\nx-api-key: {KEY}\r\nexpect: nothing\r\n\r\n",
        proxy.port
    );
    let answer = proxy.raw(head.as_bytes()).await;
    assert_eq!(answer.status, 200);
    let seen = upstream.last();
    for name in ["x-mine", "te", "keep-alive", "proxy-connection", "proxy-authorization", "expect", "connection"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!((seen.header("x-end"), seen.header("authorization")), (Some("1"), Some("Bearer scripted-1")));
    for name in ["x-hop", "keep-alive", "access-control-allow-origin"] {
        assert_eq!(answer.header(name), None, "{name}: {}", answer.head);
    }
    assert_eq!(answer.header("x-end"), Some("1"));
}

/// Each event reaches the client before the upstream sends the next.
#[tokio::test]
async fn events_arrive_one_by_one() {
    let (go, wait) = tokio::sync::mpsc::channel::<()>(1);
    let wait = std::sync::Arc::new(tokio::sync::Mutex::new(wait));
    let address = raw_upstream(move |_, mut stream| {
        let wait = wait.clone();
        async move {
            read_head(&mut stream).await;
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
                .await
                .unwrap();
            for number in 0..5 {
                wait.lock().await.recv().await.unwrap();
                let event = format!("data: {number}\n\n");
                stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes()).await.unwrap();
            }
            stream.write_all(b"0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let proxy = Running::of(route(scripted().1, &format!("http://{address}")).build().unwrap());
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    let head = format!("GET /r/events HTTP/1.1\r\nhost: localhost:{}\r\nx-api-key: {KEY}\r\n\r\n", proxy.port);
    client.write_all(head.as_bytes()).await.unwrap();
    let head = read_head(&mut client).await.to_ascii_lowercase();
    assert!(
        head.contains("text/event-stream") && head.contains("chunked"),
        "the head comes before the first event: {head}"
    );
    for number in 0..5 {
        go.send(()).await.unwrap();
        let expected = format!("9\r\ndata: {number}\n\n\r\n");
        let mut event = vec![0; expected.len()];
        tokio::time::timeout(LIMIT, client.read_exact(&mut event)).await.expect("the event at once").unwrap();
        assert_eq!(String::from_utf8_lossy(&event), expected);
    }
    let mut end = [0; 5];
    client.read_exact(&mut end).await.unwrap();
    assert_eq!(&end, b"0\r\n\r\n");
}

/// The upstream has the first part of a body before the client has sent the second.
#[tokio::test]
async fn a_body_streams_up_as_it_comes() {
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel::<Vec<u8>>();
    let address = raw_upstream(move |_, mut stream| {
        let told = told.clone();
        async move {
            read_head(&mut stream).await;
            let mut buffer = [0; 4096];
            let mut all = Vec::new();
            while !all.ends_with(b"0\r\n\r\n") {
                let read = stream.read(&mut buffer).await.unwrap();
                all.extend_from_slice(&buffer[..read]);
                told.send(all.clone()).unwrap();
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let proxy = Running::of(route(scripted().1, &format!("http://{address}")).build().unwrap());
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    let head = format!(
        "POST /r/up HTTP/1.1\r\nhost: localhost:{}\r\nx-api-key: {KEY}\r\ntransfer-encoding: chunked\r\nexpect: 100-continue\r\n\r\n",
        proxy.port
    );
    client.write_all(head.as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 100"));
    client.write_all(b"5\r\nfirst\r\n").await.unwrap();
    let mut seen = Vec::new();
    while !seen.windows(5).any(|window| window == b"first") {
        seen = tokio::time::timeout(LIMIT, tells.recv()).await.expect("the first part at once").unwrap();
    }
    client.write_all(b"6\r\nsecond\r\n0\r\n\r\n").await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_websocket_passes_both_ways() {
    let address = raw_upstream(|number, mut stream| async move {
        let head = read_head(&mut stream).await.to_ascii_lowercase();
        // The first handshake finds its token revoked.
        if number == 0 {
            stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            return;
        }
        assert!(head.contains("authorization: bearer scripted-2"), "{head}");
        assert!(head.contains("connection: upgrade") && head.contains("upgrade: websocket"), "{head}");
        assert!(head.contains("sec-websocket-key: abc"), "{head}");
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: xyz\r\n\r\nhello";
        stream.write_all(answer).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await;
    let proxy = Running::of(route(scripted().1, &format!("http://{address}/ws")).build().unwrap());
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    let head = format!(
        "GET /r/live HTTP/1.1\r\nhost: localhost:{}\r\nauthorization: Bearer {KEY}\r\nconnection: keep-alive, Upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-key: abc\r\n\r\nearly",
        proxy.port
    );
    client.write_all(head.as_bytes()).await.unwrap();
    let head = read_head(&mut client).await.to_ascii_lowercase();
    assert!(
        head.starts_with("http/1.1 101")
            && head.contains("sec-websocket-accept: xyz")
            && head.contains("upgrade: websocket"),
        "{head}"
    );
    let mut first = [0; 10];
    client.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"helloearly");
    // What would be refused in a request is nobody's affair now.
    for text in ["one", "two", "POST / HTTP/1.1\ncontent-length: 1\ncontent-length: 1\n\n"] {
        client.write_all(text.as_bytes()).await.unwrap();
        let mut echo = vec![0; text.len()];
        client.read_exact(&mut echo).await.unwrap();
        assert_eq!(echo, text.as_bytes());
    }
}

#[tokio::test]
async fn no_connection_becomes_one_for_further_requests() {
    let upstream = Upstream::start(|_, _| ok()).await;
    let (proxy, _) = before(&upstream);
    for protocol in ["h2c", "H2C, websocket", "HTTP/2.0", "TLS/1.3"] {
        let head = format!(
            "GET /r/ HTTP/1.1\r\nhost: localhost:{}\r\nx-api-key: {KEY}\r\nconnection: close, Upgrade, HTTP2-Settings\r\nupgrade: {protocol}\r\n\
             http2-settings: AAMAAABkAAQAAP__\r\n\r\n",
            proxy.port
        );
        assert_eq!(proxy.raw(head.as_bytes()).await.status, 200);
        assert!(upstream.last().header("upgrade").is_none() && upstream.last().header("http2-settings").is_none());
    }
}

#[tokio::test]
async fn places_within_the_upstream_lead_through_the_proxy() {
    let upstream = Upstream::start(|_, seen| {
        let location = seen.header("x-location").unwrap().to_owned();
        reply(302, &[("location", &location), ("content-location", &location)], "")
    })
    .await;
    let (proxy, _) = before(&upstream);
    let (own, port) = (upstream.address, proxy.port);
    for (given, expected) in [
        (format!("http://{own}/base/next?x=1"), format!("http://127.0.0.1:{port}/r/next?x=1")),
        ("/base/next".to_owned(), format!("http://127.0.0.1:{port}/r/next")),
        ("next".to_owned(), "next".to_owned()),
        ("/login".to_owned(), format!("http://{own}/login")),
        ("https://elsewhere.example/base/".to_owned(), "https://elsewhere.example/base/".to_owned()),
        ("//elsewhere.example/base/".to_owned(), "http://elsewhere.example/base/".to_owned()),
    ] {
        let answer = proxy.send("GET", "/here", &format!("x-location: {given}\r\n"), b"").await;
        assert_eq!(answer.status, 302, "redirects are the client's to follow");
        assert_eq!(answer.header("location"), Some(expected.as_str()), "{given}");
        assert_eq!(answer.header("content-location"), Some(expected.as_str()), "{given}");
    }
}

#[tokio::test]
async fn a_route_alone_has_its_own_port_or_a_private_socket() {
    let upstream = Upstream::start(|_, _| ok()).await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let number = port.local_addr().unwrap().port();
    let own =
        route(scripted().1, &upstream.url("/base")).listen(Listen::Tcp(std::sync::Arc::new(port))).build().unwrap();
    let mut proxy = Running::start(Proxy::builder().route(own));
    proxy.port = number;
    let head =
        format!("GET /v1/x?a=1 HTTP/1.1\r\nhost: localhost:{number}\r\nx-api-key: {KEY}\r\nconnection: close\r\n\r\n");
    assert_eq!(proxy.raw(head.as_bytes()).await.status, 200);
    assert_eq!(upstream.last().path, "/base/v1/x?a=1");

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.sock");
        let build = || route(scripted().1, &upstream.url("")).listen(Listen::Socket(path.clone())).build().unwrap();
        let mut proxy = Running::start(Proxy::builder().route(build()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let taken = Proxy::builder().route(build()).bind().unwrap_err();
        assert!(taken.to_string().contains("another proxy serves it"), "{taken}");
        let mut client = tokio::net::UnixStream::connect(&path).await.unwrap();
        // Clients of a socket write any host.
        let head =
            format!("GET /v1/y HTTP/1.1\r\nhost: api.anthropic.com\r\nx-api-key: {KEY}\r\nconnection: close\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(Answer::parse(&answer).status, 200);
        assert_eq!(upstream.last().path, "/v1/y");
        proxy.stop();
        proxy.task.await.unwrap().unwrap();
        assert!(!path.exists(), "the socket goes with the proxy");
        // What a killed proxy left is replaced; what is no socket is not.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists() && Proxy::builder().route(build()).bind().is_ok());
        std::fs::write(&path, "precious").unwrap();
        assert!(Proxy::builder().route(build()).bind().is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}

#[tokio::test]
async fn connections_are_used_again_and_a_closed_one_costs_nothing() {
    let address = raw_upstream(|_, mut stream| async move {
        // Three requests a connection, and then it is closed without a word.
        for _ in 0..3 {
            if read_head(&mut stream).await.is_empty() {
                return;
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
        }
    })
    .await;
    let proxy = Running::of(route(scripted().1, &format!("http://{address}")).build().unwrap());
    for _ in 0..20 {
        let answer = proxy.get("/").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    }
}

/// An upstream that reads a request on a connection that was used before, and closes it without a word: nobody knows what it did meanwhile. What may be done
/// twice is sent again, on a new connection, once; the rest is not.
#[tokio::test]
async fn what_may_have_been_done_is_done_again_only_if_that_is_the_same() {
    for (method, headers, status) in [
        ("GET", "", 200),
        ("PUT", "", 200),
        ("DELETE", "", 200),
        ("POST", "", 502),
        ("PATCH", "", 502),
        ("POST", "idempotency-key: 1\r\n", 200),
        ("PATCH", "X-Idempotency-Key: 1\r\n", 200),
    ] {
        let requests = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = requests.clone();
        let address = raw_upstream(move |number, mut stream| {
            let seen = seen.clone();
            async move {
                for count in 0.. {
                    let head = read_head(&mut stream).await;
                    if head.is_empty() {
                        return;
                    }
                    if head.contains("content-length: 5") {
                        stream.read_exact(&mut [0; 5]).await.unwrap();
                    }
                    seen.lock().unwrap().push((number, count));
                    if (number, count) == (0, 1) {
                        return;
                    }
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
            }
        })
        .await;
        let proxy = Running::of(route(scripted().1, &format!("http://{address}")).build().unwrap());
        assert_eq!(proxy.get("/").await.status, 200);
        let answer = proxy.send(method, "/", headers, if method == "GET" { b"" } else { b"hello" }).await;
        assert_eq!(answer.status, status, "{method} {headers}: {}", answer.all);
        let attempts: &[_] = if status == 200 { &[(0, 0), (0, 1), (1, 0)] } else { &[(0, 0), (0, 1)] };
        assert_eq!(requests.lock().unwrap().as_slice(), attempts, "{method} {headers}");
        if status == 502 {
            assert!(answer.text().contains("closed the connection"), "{}", answer.text());
        }
    }
}

/// A client that breaks off in the middle of its body, on a connection to the upstream that was used before: what it had sent until then is not sent again as
/// if it were all.
#[tokio::test]
async fn a_body_that_was_broken_off_is_not_sent_again_as_a_whole_one() {
    for end in ["ZZ\r\n", ""] {
        let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::<String>::new()));
        let noted = seen.clone();
        let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
        let address = raw_upstream(move |number, mut stream| {
            let (noted, told) = (noted.clone(), told.clone());
            async move {
                if number == 0 {
                    read_head(&mut stream).await;
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
                // All that comes until the proxy has done with it.
                let mut rest = Vec::new();
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    rest.extend_from_slice(&buffer[..read]);
                    if rest.ends_with(b"0\r\n\r\n") {
                        break;
                    }
                }
                noted.lock().unwrap().push(String::from_utf8(rest).unwrap());
                told.send(()).unwrap();
            }
        })
        .await;
        let proxy = Running::of(route(scripted().1, &format!("http://{address}")).build().unwrap());
        assert_eq!(proxy.get("/").await.status, 200);
        let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
        let head = format!(
            "PUT /r/x HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nauthorization: Bearer {KEY}\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
            proxy.port
        );
        client.write_all(head.as_bytes()).await.unwrap();
        // The upstream has the beginning before the client breaks off.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        client.write_all(end.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let _ = client.read_to_end(&mut Vec::new()).await;
        tells.recv().await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let seen = seen.lock().unwrap();
        assert!(seen[0].contains("hello"), "{seen:?}");
        assert!(seen.len() == 1 && !seen[0].ends_with("0\r\n\r\n"), "{seen:?}");
    }
}

/// On a new connection even what may be done twice is not: that upstream fails.
#[tokio::test]
async fn what_fails_on_a_new_connection_is_not_sent_again() {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = count.clone();
    let address = raw_upstream(move |_, mut stream| {
        let counted = counted.clone();
        async move {
            read_head(&mut stream).await;
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    })
    .await;
    let proxy = Running::of(route(scripted().1, &format!("http://{address}")).build().unwrap());
    assert_eq!(proxy.get("/").await.status, 502);
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), 1);
}

/// A connection that the upstream has closed meanwhile is seen to be closed before a request is sent on it, which matters to what cannot be sent twice.
#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_not_used_for_what_cannot_be_sent_twice() {
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let address = raw_upstream(move |_, mut stream| {
        let told = told.clone();
        async move {
            read_head(&mut stream).await;
            stream.read_exact(&mut [0; 5]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            drop(stream);
            told.send(()).unwrap();
        }
    })
    .await;
    let proxy = Running::of(route(scripted().1, &format!("http://{address}")).build().unwrap());
    for _ in 0..20 {
        assert_eq!(proxy.send("POST", "/", "", b"hello").await.status, 200);
        tells.recv().await.unwrap();
    }
}

/// Node and others close after five seconds and say so; a connection is not used in its last.
#[tokio::test]
async fn what_an_upstream_says_of_its_connections_is_heeded() {
    for (keep_alive, connections) in
        [("timeout=1", 2), ("max=5, Timeout = 1", 2), ("timeout=60", 1), ("", 1), ("timeout=x", 1)]
    {
        let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = count.clone();
        let address = raw_upstream(move |_, mut stream| {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            async move {
                while !read_head(&mut stream).await.is_empty() {
                    let answer = format!("HTTP/1.1 200 OK\r\nkeep-alive: {keep_alive}\r\ncontent-length: 2\r\n\r\nok");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        })
        .await;
        let proxy = Running::of(route(scripted().1, &format!("http://{address}")).build().unwrap());
        assert_eq!(proxy.get("/").await.header("keep-alive"), None);
        tokio::time::sleep(std::time::Duration::from_millis(600)).await;
        assert_eq!(proxy.get("/").await.status, 200);
        assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), connections, "{keep_alive}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_made_to_look_whole() {
    let address = raw_upstream(|_, mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n").await.unwrap();
    })
    .await;
    let proxy = Running::of(route(scripted().1, &format!("http://{address}")).build().unwrap());
    let answer = proxy.get("/").await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "half"));
    assert!(!answer.all.contains("0\r\n\r\n"), "{}", answer.all);
}

/// An upstream that answers at once and goes on reading: neither direction waits for the other.
#[tokio::test]
async fn an_answer_may_begin_before_the_request_has_ended() {
    const LENGTH: usize = 8 << 20;
    let address = raw_upstream(|_, mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegun\r\n").await.unwrap();
        let mut body = vec![0; LENGTH];
        stream.read_exact(&mut body).await.unwrap();
        stream.write_all(b"4\r\nread\r\n0\r\n\r\n").await.unwrap();
    })
    .await;
    let proxy = Running::of(route(scripted().1, &format!("http://{address}")).build().unwrap());
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    let head = format!(
        "POST /r/ HTTP/1.1\r\nhost: localhost:{}\r\nx-api-key: {KEY}\r\nconnection: close\r\ncontent-length: {LENGTH}\r\n\r\n",
        proxy.port
    );
    client.write_all(head.as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200"), "before a byte of the body was sent");
    client.write_all(&vec![b'x'; LENGTH]).await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(LIMIT, client.read_to_end(&mut rest)).await.expect("in time").unwrap();
    assert!(String::from_utf8_lossy(&rest).contains("read"), "{}", String::from_utf8_lossy(&rest));
}

/// A client that goes away ends the request at the upstream, which would go on for nobody.
#[tokio::test]
async fn a_client_that_goes_away_is_not_worked_for() {
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let address = raw_upstream(move |_, mut stream| {
        let told = told.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbegun\r\n").await.unwrap();
            told.send(stream.read(&mut [0]).await.unwrap_or(0)).unwrap();
        }
    })
    .await;
    let proxy = Running::of(route(scripted().1, &format!("http://{address}")).build().unwrap());
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    let head = format!("GET /r/ HTTP/1.1\r\nhost: localhost:{}\r\nx-api-key: {KEY}\r\n\r\n", proxy.port);
    client.write_all(head.as_bytes()).await.unwrap();
    read_head(&mut client).await;
    drop(client);
    assert_eq!(tokio::time::timeout(LIMIT, tells.recv()).await.expect("the upstream is told"), Some(0));
}

/// A client that does not read holds up the upstream, and not memory.
#[tokio::test]
async fn a_slow_reader_holds_up_its_upstream() {
    let (told, mut tells) = tokio::sync::mpsc::unbounded_channel();
    let address = raw_upstream(move |_, mut stream| {
        let told = told.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n").await.unwrap();
            let mut sent = 0_usize;
            let piece = vec![b'x'; 64 << 10];
            while let Ok(Ok(())) =
                tokio::time::timeout(std::time::Duration::from_secs(1), stream.write_all(&piece)).await
            {
                sent += piece.len();
            }
            told.send(sent).unwrap();
        }
    })
    .await;
    let proxy = Running::of(route(scripted().1, &format!("http://{address}")).build().unwrap());
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    let head = format!("GET /r/ HTTP/1.1\r\nhost: localhost:{}\r\nx-api-key: {KEY}\r\n\r\n", proxy.port);
    client.write_all(head.as_bytes()).await.unwrap();
    read_head(&mut client).await;
    let sent = tokio::time::timeout(LIMIT, tells.recv()).await.expect("in time").unwrap();
    // The systems' own buffers on four sockets are most of it.
    assert!(sent < 64 << 20, "{sent} bytes went somewhere");
}
