//! A certificate for loopback, made at the start.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use unexpired_core::Secret;

use crate::StartError;

pub(crate) struct Tls {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) ca_pem: String,
}

impl Tls {
    pub(crate) fn new(given: Option<&(String, Secret)>) -> Result<Self, StartError> {
        let made;
        let (chain, key, ca_pem) = match given {
            Some((chain, key)) => (chain.as_str(), key.expose(), last(chain)),
            None => {
                made = make().map_err(|error| StartError::new(format!("no certificate: {error}")))?;
                (made.0.as_str(), made.1.expose(), made.2.clone())
            }
        };
        let bad = |error: &dyn std::fmt::Display| StartError::new(format!("the certificate or its key: {error}"));
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().map_err(|error| bad(&error))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| bad(&error))?;
        let config = rustls::ServerConfig::builder_with_provider(unexpired_crypto::tls_provider())
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| bad(&error))?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem })
    }
}

/// Certificate, key, and the CA's certificate.
fn make() -> Result<(String, Secret, String), rcgen::Error> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "unexpired testkit CA (trust it nowhere)");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let ca_certificate = ca.self_signed(&ca_key)?;

    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(["localhost", "127.0.0.1", "::1"].map(str::to_owned))?;
    leaf.distinguished_name.push(DnType::CommonName, "localhost");
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.use_authority_key_identifier_extension = true; // Python's OpenSSL insists on it.
    let leaf = leaf.signed_by(&key, &Issuer::from_params(&ca, &ca_key))?;
    Ok((leaf.pem(), Secret::new(key.serialize_pem()), ca_certificate.pem()))
}

/// The last certificate of a chain.
fn last(chain: &str) -> String {
    chain.rfind("-----BEGIN CERTIFICATE-----").and_then(|start| chain.get(start..)).unwrap_or(chain).to_owned()
}
