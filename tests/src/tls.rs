//! A certificate authority that lives as long as a test.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;

/// An authority and one certificate of it, for `localhost` and `127.0.0.1`, as PEM files in a temporary folder.
#[derive(Debug)]
pub struct TestCa {
    folder: TempDir,
    root: CertificateDer<'static>,
}

impl TestCa {
    /// Makes a new authority, and the server certificate with its key.
    ///
    /// # Panics
    /// If the temporary folder is not writable.
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "Test authority");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");

        let mut params = CertificateParams::new(["localhost", "127.0.0.1"].map(String::from)).expect("valid names");
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // OpenSSL's strict mode wants it.
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &ca).expect("a certificate");

        let this = Self { folder: crate::process::home(), root: ca.der().clone() };
        let files = [
            (this.ca_file(), ca.pem()),
            (this.certificate_file(), certificate.pem()),
            (this.key_file(), key.serialize_pem()),
        ];
        for (file, pem) in files {
            std::fs::write(file, pem).expect("the temporary folder is writable");
        }
        this
    }

    /// The authority's certificate: what a client must trust.
    pub fn ca_file(&self) -> PathBuf {
        self.path().join("ca.pem")
    }

    /// The server's certificate.
    pub fn certificate_file(&self) -> PathBuf {
        self.path().join("cert.pem")
    }

    /// The server's private key.
    pub fn key_file(&self) -> PathBuf {
        self.path().join("key.pem")
    }

    /// A client's settings that trust this authority and no other.
    ///
    /// # Panics
    /// Never in practice: the certificate is our own.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).expect("our own certificate is sound");
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Arc::new(config)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Default for TestCa {
    fn default() -> Self {
        Self::new()
    }
}
