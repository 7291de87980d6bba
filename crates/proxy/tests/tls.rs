//! Upstreams with TLS: whose certificates are trusted, HTTP/2 by agreement, a certificate of our own.
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
use support::authority::Authority;
use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

async fn upstream(acceptor: TlsAcceptor, connections: Arc<AtomicUsize>) -> Upstream {
    Upstream::start_with(
        |_, seen| {
            if seen.header("authorization") == Some("Bearer scripted-1") && seen.path.contains("revoked") {
                reply(401, &[], "no")
            } else {
                ok()
            }
        },
        move |stream| {
            connections.fetch_add(1, Ordering::SeqCst);
            let acceptor = acceptor.clone();
            async move { acceptor.accept(stream).await.ok() }
        },
    )
    .await
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_agreed_on() {
    for (alpn, version) in [
        (&[&b"h2"[..], b"http/1.1"][..], http::Version::HTTP_2),
        (&[b"http/1.1"], http::Version::HTTP_11),
        (&[], http::Version::HTTP_11),
    ] {
        let (authority, connections) = (Authority::new(), Arc::new(AtomicUsize::new(0)));
        let upstream = upstream(authority.acceptor(alpn, false), connections.clone()).await;
        let url = format!("https://localhost:{}/base", upstream.address.port());
        let proxy = Arc::new(Running::of(route(scripted().1, &url).ca_file(authority.ca_file()).build().unwrap()));
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let proxy = proxy.clone();
                tokio::spawn(async move { proxy.send("POST", "/revoked?x=1", "x-kept: 1\r\n", b"hello").await })
            })
            .collect();
        for task in tasks {
            let answer = task.await.unwrap();
            assert_eq!((answer.status, answer.text().as_str()), (200, "{\"ok\":true}"), "{}", answer.all);
        }
        let seen = upstream.last();
        assert_eq!(
            (seen.version, seen.path.as_str(), seen.body.as_slice()),
            (version, "/base/revoked?x=1", &b"hello"[..])
        );
        assert_eq!(seen.header("host"), Some(format!("localhost:{}", upstream.address.port()).as_str()));
        assert_eq!((seen.header("authorization"), seen.header("x-kept")), (Some("Bearer scripted-2"), Some("1")));
        if version == http::Version::HTTP_2 {
            assert_eq!(connections.load(Ordering::SeqCst), 1, "one connection carries all");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_gets_no_token() {
    let (authority, other) = (Authority::new(), Authority::new());
    let upstream = upstream(authority.acceptor(&[], false), Arc::default()).await;
    for (host, ca_file) in [("localhost", other.ca_file()), ("127.0.0.1", authority.ca_file())] {
        let url = format!("https://{host}:{}", upstream.address.port());
        let proxy = Running::of(route(scripted().1, &url).ca_file(ca_file).build().unwrap());
        let answer = proxy.get("/").await;
        assert_eq!(answer.status, 502);
        assert!(answer.text().contains("TLS failed"), "{}", answer.text());
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_certificate_of_our_own_is_shown() {
    let authority = Authority::new();
    let upstream = upstream(authority.acceptor(&[b"h2"], true), Arc::default()).await;
    let url = format!("https://localhost:{}", upstream.address.port());
    let without = Running::of(route(scripted().1, &url).ca_file(authority.ca_file()).build().unwrap());
    assert_eq!(without.get("/").await.status, 502);
    let (chain, key) = authority.sign("client");
    let with = route(scripted().1, &url).ca_file(authority.ca_file()).client_certificate(chain, key).build().unwrap();
    assert_eq!(Running::of(with).get("/").await.status, 200);
    assert_eq!(upstream.seen().len(), 1);
}

/// RFC 9113 section 8.7: what an upstream says that it did not look at is sent again, whatever it is; what it may have looked at is not.
#[tokio::test]
async fn what_was_not_looked_at_is_sent_again_on_another_connection() {
    let frame = |kind: u8, flags: u8, stream: u8, payload: &[u8]| {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream], payload].concat()
    };
    let refused = frame(3, 0, 3, &[0, 0, 0, 7]);
    let failed = frame(3, 0, 3, &[0, 0, 0, 2]);
    let farewell = |last: u8, why: u8| frame(7, 0, 0, &[0, 0, 0, last, 0, 0, 0, why]);
    for (name, says, method, status) in [
        ("a refused stream", refused, "POST", 200),
        ("a farewell before it", farewell(1, 0), "POST", 200),
        ("a stream that failed", failed.clone(), "POST", 502),
        ("a farewell behind it", farewell(3, 0), "POST", 502),
        ("a fault of the connection", farewell(1, 1), "POST", 502),
        ("a stream that failed", failed, "PUT", 200),
    ] {
        let authority = Authority::new();
        let acceptor = authority.acceptor(&[b"h2"], false);
        let requests = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = requests.clone();
        let ok = frame(1, 5, 0, &[0x88]);
        let settings = [frame(4, 0, 0, &[]), frame(4, 1, 0, &[])].concat();
        let address = raw_upstream(move |number, stream| {
            let (acceptor, seen, says, ok, settings) =
                (acceptor.clone(), seen.clone(), says.clone(), ok.clone(), settings.clone());
            async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                stream.read_exact(&mut [0; 24]).await.unwrap();
                stream.write_all(&settings).await.unwrap();
                let mut head = [0; 9];
                while stream.read_exact(&mut head).await.is_ok() {
                    let length = usize::from(head[1]) << 8 | usize::from(head[2]);
                    stream.read_exact(&mut vec![0; length]).await.unwrap();
                    if head[3] != 1 {
                        continue;
                    }
                    let id = head[8];
                    seen.lock().unwrap().push((number, id));
                    if (number, id) != (0, 3) {
                        let mut ok = ok.clone();
                        ok[8] = id;
                        stream.write_all(&ok).await.unwrap();
                        continue;
                    }
                    stream.write_all(&says).await.unwrap();
                    if says[3] == 7 {
                        let _ = stream.shutdown().await;
                        return;
                    }
                }
            }
        })
        .await;
        let url = format!("https://localhost:{}", address.port());
        let proxy = Running::of(route(scripted().1, &url).ca_file(authority.ca_file()).build().unwrap());
        assert_eq!(proxy.get("/").await.status, 200, "{name}");
        let answer = proxy.send(method, "/", "", b"hello").await;
        assert_eq!(answer.status, status, "{name}: {}", answer.all);
        let attempts: &[_] = if status == 200 { &[(0, 1), (0, 3), (1, 1)] } else { &[(0, 1), (0, 3)] };
        assert_eq!(requests.lock().unwrap().as_slice(), attempts, "{name}");
    }
}
