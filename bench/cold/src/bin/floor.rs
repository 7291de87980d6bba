//! The least that mints a token over HTTPS: one form posted by hyper over rustls on ring.
//! Arguments: address, CA file or `system` (then the system's roots are loaded as well), body.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().expect("address, path, CA file, roots, body");
    let (address, path, ca, roots, body) = (next(), next(), next(), next(), next());
    let mut store = RootCertStore::empty();
    if roots == "system" {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    for certificate in CertificateDer::pem_file_iter(ca).expect("a CA file") {
        store.add(certificate.expect("a certificate")).expect("a certificate");
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(store)
        .with_no_client_auth();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let answer = runtime.block_on(async {
        let tcp = tokio::net::TcpStream::connect(&address).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("TLS");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(hyper_util::rt::TokioIo::new(tls)).await.expect("HTTP");
        tokio::spawn(connection);
        let request = hyper::Request::post(path)
            .header("host", "localhost")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        let response = sender.send_request(request).await.expect("a response");
        response.into_body().collect().await.expect("a body").to_bytes()
    });
    let json: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
    println!("{}", json["access_token"].as_str().expect("a token"));
}
