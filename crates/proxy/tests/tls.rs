//! Upstreams with TLS: whose certificates are trusted, HTTP/2 by agreement, a certificate of our own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

mod support;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::*;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

/// An authority, and what it has signed.
struct Authority {
    folder: tempfile::TempDir,
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { folder, certificate, issuer: rcgen::Issuer::new(params, key) }
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for `name`, in files.
    fn sign(&self, name: &str) -> (PathBuf, PathBuf) {
        let key = rcgen::KeyPair::generate().unwrap();
        let signed =
            rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let (chain_file, key_file) = (self.folder.path().join("chain.pem"), self.folder.path().join("key.pem"));
        std::fs::write(&chain_file, signed.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        (chain_file, key_file)
    }

    fn acceptor(&self, alpn: &[&[u8]], ask_for_certificate: bool) -> TlsAcceptor {
        let key = rcgen::KeyPair::generate().unwrap();
        let signed =
            rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap();
        let provider = unexpired_crypto::tls_provider();
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().unwrap();
        let builder = if ask_for_certificate {
            let mut roots = RootCertStore::empty();
            roots.add(self.certificate.der().clone()).unwrap();
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap(),
            )
        } else {
            builder.with_no_client_auth()
        };
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes()).unwrap();
        let mut config = builder.with_single_cert(vec![signed.der().clone()], key).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }
}

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
