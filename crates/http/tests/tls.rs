//! Certificates: whom the client believes, what it says if it does not, and how it shows its own.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod support;

use std::convert::Infallible;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{Authority, Server, TOKEN, ok};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use unexpired_core::{ErrorKind, MintRequest};
use unexpired_http::{Client, Endpoint, Form, Response, Roots, SendError};

fn client(authority: &Authority) -> Client {
    Client::builder().roots(Roots::OnlyCaFile).ca_file(authority.file()).build().unwrap()
}

async fn mint(client: &Client, endpoint: &Endpoint) -> Result<Response, SendError> {
    let form = Form::new().secret("client_secret", &"hunter2".into());
    let answer = client.post_form(endpoint, &form, None, &[], &MintRequest::standalone()).await;
    if let Err(error) = &answer {
        assert!(!error.to_string().contains("hunter2") && error.to_string().contains(endpoint.host()), "{error}");
    }
    answer
}

#[tokio::test]
async fn a_certificate_of_the_ca_file_is_believed_beside_any_roots() {
    let authority = Authority::new();
    let server = Server::secure(authority.server(&authority.certificate("localhost", |_| {}))).await;
    for roots in [Roots::System, Roots::Bundled, Roots::OnlyCaFile] {
        let client = Client::builder().roots(roots).ca_file(authority.file()).build().unwrap();
        let response = mint(&client, &server.https("localhost")).await.unwrap();
        assert_eq!(response.token().unwrap().access_token.expose(), "at-1", "{roots:?}");
    }
    // The process belongs to the program: no default provider was installed, and none was needed.
    assert!(rustls::crypto::CryptoProvider::get_default().is_none());
}

#[tokio::test]
async fn each_bad_certificate_has_its_words_and_sees_no_request() {
    let authority = Authority::new();
    let expired = authority.certificate("localhost", |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let early = authority.certificate("localhost", |params| params.not_before = rcgen::date_time_ymd(4000, 1, 1));
    let other = authority.certificate("other.example.com", |_| {});
    let unknown = Authority::new();
    let stranger = unknown.certificate("localhost", |_| {});
    for (certificate, words, remedy) in [
        (&expired, "has expired", "clock"),
        (&early, "is not valid yet", "clock"),
        (&other, "is for another host", "check the host's name"),
        (&stranger, "unknown issuer", "ca_file"),
        (&authority.self_signed("localhost"), "certificate", "ca_file"),
    ] {
        let server = Server::secure(authority.server(certificate)).await;
        let error = mint(&client(&authority), &server.https("localhost")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(error.to_string().contains(words) && error.to_string().contains(remedy), "{error}");
        assert!(!error.maybe_received(), "{words}");
        assert!(server.requests().is_empty(), "{words}");
    }
    let bundled = Client::builder().roots(Roots::Bundled).build().unwrap();
    let server = Server::secure(authority.server(&stranger)).await;
    assert!(mint(&bundled, &server.https("localhost")).await.unwrap_err().to_string().contains("unknown issuer"));
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_gets_it() {
    let authority = Authority::new();
    let server = Server::secure(authority.demanding_server(&authority.certificate("localhost", |_| {}))).await;
    let own = authority.certificate("client-123", |_| {});
    let builder = || Client::builder().roots(Roots::OnlyCaFile).ca_file(authority.file());

    let with = builder().client_certificate(&own.chain, &own.key).build().unwrap();
    assert!(mint(&with, &server.https("localhost")).await.unwrap().token().is_ok());

    let error = mint(&builder().build().unwrap(), &server.https("localhost")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
    assert!(error.to_string().contains("wants a client certificate"), "{error}");
    assert!(!error.maybe_received());

    let strange = Authority::new().certificate("client-123", |_| {});
    // Its folder is gone by now: an unreadable file is found at the first request, and named.
    let without = builder().client_certificate(&strange.chain, &strange.key).build().unwrap();
    let error = mint(&without, &server.https("localhost")).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_received()), (ErrorKind::Misconfigured, false));
    assert!(error.to_string().contains("client-123.pem"), "{error}");

    let other = Authority::new();
    let refused = other.certificate("client-123", |_| {});
    let with = builder().client_certificate(&refused.chain, &refused.key).build().unwrap();
    let error = mint(&with, &server.https("localhost")).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_received()), (ErrorKind::Misconfigured, false), "{error}");
    assert!(error.to_string().contains("refuses the client certificate"), "{error}");

    // A key that belongs to another certificate.
    let mixed = builder().client_certificate(&own.chain, &refused.key).build().unwrap();
    assert_eq!(mint(&mixed, &server.https("localhost")).await.unwrap_err().kind(), ErrorKind::Misconfigured);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn files_are_read_at_the_request_and_again_when_they_change() {
    let (old, new) = (Authority::new(), Authority::new());
    let server = Server::secure(new.server(&new.certificate("localhost", |_| {}))).await;
    let file = old.folder().join("later.pem");
    let client = Client::builder().roots(Roots::OnlyCaFile).ca_file(&file).build().unwrap();

    let error = mint(&client, &server.https("localhost")).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_received()), (ErrorKind::Misconfigured, false));
    assert!(error.to_string().contains("later.pem"), "{error}");

    for (content, words) in [("", "no certificate"), ("-----BEGIN CERTIFICATE-----\n!", "PEM")] {
        std::fs::write(&file, content).unwrap();
        let error = mint(&client, &server.https("localhost")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.to_string().contains(words), "{error}");
    }

    std::fs::write(&file, old.pem()).unwrap();
    assert!(mint(&client, &server.https("localhost")).await.unwrap_err().to_string().contains("certificate"));
    // Longer than the old one, so that the change shows even where file times are coarse.
    std::fs::write(&file, format!("# the new one\n{}", new.pem())).unwrap();
    assert!(mint(&client, &server.https("localhost")).await.is_ok());
}

#[tokio::test]
async fn plain_http_reads_no_certificates() {
    let server = Server::answering(ok(TOKEN)).await;
    let client = Client::builder().ca_file("/nonexistent/ca.pem").build().unwrap();
    assert!(mint(&client, &server.http()).await.is_ok());
    let secure = Endpoint::parse(&server.http().as_str().replace("http:", "https:")).unwrap();
    assert_eq!(mint(&client, &secure).await.unwrap_err().kind(), ErrorKind::Misconfigured);
}

#[tokio::test]
async fn a_server_without_tls() {
    let authority = Authority::new();
    for bytes in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(bytes).await.unwrap();
            socket.shutdown().await.unwrap();
            // Closed gently: unread bytes would turn the end into a reset.
            let _ = tokio::io::copy(&mut socket, &mut tokio::io::sink()).await;
        });
        let endpoint = Endpoint::parse(&format!("https://localhost:{port}/token")).unwrap();
        let error = mint(&client(&authority), &endpoint).await.unwrap_err();
        assert_eq!((error.kind(), error.maybe_received()), (ErrorKind::Unavailable, false), "{error}");
        assert!(error.to_string().contains("TLS"), "{error}");
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_no_connection() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint =
        Endpoint::parse(&format!("https://localhost:{}/token", listener.local_addr().unwrap().port())).unwrap();
    let client = Client::builder().roots(Roots::OnlyCaFile).ca_file(authority.file());
    let client = client.connect_timeout(Duration::from_millis(200)).build().unwrap();
    let error = mint(&client, &endpoint).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_received()), (ErrorKind::TimedOut, false));
    assert!(error.to_string().contains("no connection within 0.2 s"), "{error}");
}

/// As soon as somebody is connected, time does not pass but jumps from limit to limit.
#[tokio::test]
async fn by_default_a_connection_takes_5_s_at_most() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let accepting = tokio::spawn(async move {
        let accepted = listener.accept().await.unwrap();
        tokio::time::pause();
        accepted
    });
    let endpoint = Endpoint::parse(&format!("https://localhost:{port}/token")).unwrap();
    let error = mint(&client(&authority), &endpoint).await.unwrap_err();
    assert!(error.to_string().contains("no connection within 5 s"), "{error}");
    drop(accepting.await);
}

#[tokio::test]
async fn http_2_is_spoken_where_the_server_offers_it() {
    let authority = Authority::new();
    let mut config = authority.server(&authority.certificate("localhost", |_| {}));
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (socket, _) = listener.accept().await.unwrap();
        let stream = acceptor.accept(socket).await.unwrap();
        let service = service_fn(|request: hyper::Request<hyper::body::Incoming>| async move {
            assert_eq!(request.version(), hyper::Version::HTTP_2);
            Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::from(TOKEN))))
        });
        let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
    });
    let endpoint = Endpoint::parse(&format!("https://localhost:{port}/token")).unwrap();
    assert!(mint(&client(&authority), &endpoint).await.unwrap().token().is_ok());
}

#[test]
fn nothing_to_trust_is_found_when_the_client_is_built() {
    let error = Client::builder().roots(Roots::OnlyCaFile).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
}

/// A pipe that nobody writes to is read as a file on a disk that does not answer.
#[cfg(unix)]
#[tokio::test]
async fn a_certificate_file_that_cannot_be_read_holds_up_nobody_else() {
    let authority = Authority::new();
    let server = Server::secure(authority.server(&authority.certificate("localhost", |_| {}))).await;
    let folder = tempfile::tempdir().unwrap();
    let hangs = folder.path().join("ca.pem");
    assert!(std::process::Command::new("mkfifo").arg(&hangs).status().unwrap().success());
    // So that a failure is one, and no hang.
    let rescue = hangs.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(5));
        let _ = std::fs::write(rescue, "");
    });
    let stuck = Client::builder().ca_file(&hangs).timeout(Duration::from_millis(300)).build().unwrap();
    let stuck_too = Client::builder().roots(Roots::Bundled).ca_file(&hangs).timeout(Duration::from_millis(300));
    let stuck_too = stuck_too.build().unwrap();
    let start = std::time::Instant::now();
    let endpoint = server.https("localhost");
    let well = client(&authority);
    let (one, two, three) = tokio::join!(mint(&stuck, &endpoint), mint(&stuck_too, &endpoint), mint(&well, &endpoint));
    assert!(three.is_ok());
    for error in [one, two, mint(&stuck, &endpoint).await] {
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(!error.maybe_received() && error.to_string().contains("certificate files"), "{error}");
    }
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    #[cfg(target_os = "linux")]
    {
        let names = std::fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
        assert_eq!(names.filter(|name| name.trim() == "unexpired-certs").count(), 2, "one for each client");
    }
    assert_eq!(server.requests().len(), 1);
}
