//! The listener with TLS: trusted by whoever trusts its CA, and by nobody else.
#![cfg(feature = "https")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use unexpired_testkit::IdentityProvider;

async fn get(url: &str, host: &str, roots: rustls::RootCertStore, path: &str) -> std::io::Result<String> {
    let config = rustls::ClientConfig::builder_with_provider(unexpired_crypto::tls_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let port = url.rsplit_once(':').unwrap().1;
    let socket = tokio::net::TcpStream::connect(format!("127.0.0.1:{port}")).await?;
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, socket).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

fn trusting(pem: &str) -> rustls::RootCertStore {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    roots
}

#[tokio::test]
async fn its_ca_is_enough_and_needed() {
    let idp = IdentityProvider::builder().https().start().await.unwrap();
    let url = idp.https_url().unwrap();
    assert_eq!(std::fs::read_to_string(idp.ca_file().unwrap()).unwrap(), idp.ca_pem().unwrap());
    for host in ["localhost", "127.0.0.1"] {
        let discovery = "/oauth2/.well-known/openid-configuration";
        let answer = get(url, host, trusting(idp.ca_pem().unwrap()), discovery).await.unwrap();
        let port = url.rsplit_once(':').unwrap().1;
        assert!(answer.contains(&format!(r#""issuer":"https://{host}:{port}/oauth2""#)), "{answer}");
    }
    let stranger = IdentityProvider::builder().https_only().start().await.unwrap();
    assert!(stranger.url().starts_with("https://localhost:"));
    assert!(get(url, "localhost", trusting(stranger.ca_pem().unwrap()), "/").await.is_err());
    assert!(get(url, "other.example", trusting(idp.ca_pem().unwrap()), "/").await.is_err());
}

#[tokio::test]
async fn a_certificate_can_be_given() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let idp = IdentityProvider::builder().https_certificate(chain.clone(), key).start().await.unwrap();
    assert_eq!(idp.ca_pem(), Some(chain.as_str()));
    let answer = get(idp.https_url().unwrap(), "localhost", trusting(&chain), "/oauth2/jwks").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"));
    assert!(IdentityProvider::builder().https_certificate("nonsense", "nonsense").start().await.is_err());
}
