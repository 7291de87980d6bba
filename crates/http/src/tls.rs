//! Whom to trust, and who we are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use std::{env, fs};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use unexpired_core::{ErrorKind, MintError};
use zeroize::Zeroizing;

/// Which certificate authorities are trusted. A `ca_file` is trusted beside any of them: companies inspect TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Roots {
    /// Those of the system and those in `SSL_CERT_FILE` and `SSL_CERT_DIR`, together.
    ///
    /// On Unix the system's are those of the first bundle file found among the usual places, and the variables add to them (unlike OpenSSL
    /// with `SSL_CERT_FILE`, which reads that file in the bundle's stead). On macOS and Windows the system's store is asked; there the
    /// variables, if they are set, are read in its stead.
    #[default]
    System,
    /// Mozilla's list as it was when the program was built. The variables are not read.
    Bundled,
    /// Nothing but the `ca_file`.
    OnlyCaFile,
}

/// What a client's TLS configuration is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    pub(crate) roots: Roots,
    pub(crate) ca_file: Option<PathBuf>,
    pub(crate) client_certificate: Option<(PathBuf, PathBuf)>,
}

/// A [`Trust`] with the state of the files and variables that it refers to. A certificate that is replaced on disk makes another key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct TrustKey {
    trust: Trust,
    environment: Environment,
    stamps: Vec<Option<(SystemTime, u64)>>,
}

#[derive(Clone, Default, PartialEq, Eq)]
struct Environment {
    cert_file: Option<PathBuf>,
    cert_dir: Option<OsString>,
}

impl Trust {
    /// The key as things are now. Costs a `stat` for each file named.
    pub(crate) fn key(&self) -> TrustKey {
        let environment = self.environment();
        let certificate = self.client_certificate.iter().flat_map(|(chain, key)| [chain, key]);
        let files = self.ca_file.iter().chain(certificate).chain(&environment.cert_file);
        let stamps = files.map(|file| stamp(file)).collect();
        TrustKey { trust: self.clone(), environment, stamps }
    }

    /// Whether there are files beside the system's own: those may lie anywhere.
    pub(crate) fn names_files(&self) -> bool {
        let Environment { cert_file, cert_dir } = self.environment();
        let usual_file = |file: &Path| BUNDLES.iter().any(|usual| file == Path::new(usual));
        let usual_dir = |dir: &Path| USUAL_DIRS.iter().any(|usual| dir == Path::new(usual));
        self.ca_file.is_some()
            || self.client_certificate.is_some()
            || cert_file.is_some_and(|file| !usual_file(&file))
            || cert_dir.is_some_and(|dirs| env::split_paths(&dirs).any(|dir| !usual_dir(&dir)))
    }

    fn environment(&self) -> Environment {
        match self.roots {
            Roots::System => Environment {
                cert_file: env::var_os("SSL_CERT_FILE").filter(|file| !file.is_empty()).map(PathBuf::from),
                cert_dir: env::var_os("SSL_CERT_DIR").filter(|dir| !dir.is_empty()),
            },
            Roots::Bundled | Roots::OnlyCaFile => Environment::default(),
        }
    }
}

impl TrustKey {
    /// The key of a client that speaks no TLS.
    pub(crate) fn nobody() -> Self {
        Self {
            trust: Trust { roots: Roots::OnlyCaFile, ..Trust::default() },
            environment: Environment::default(),
            stamps: Vec::new(),
        }
    }

    /// The configuration: built once for each key in a process, since reading the system's certificates takes 3 ms.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, MintError> {
        static BUILT: Mutex<Vec<(TrustKey, Arc<ClientConfig>)>> = Mutex::new(Vec::new());
        let built = || BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = built().iter().find(|(key, _)| key == self) {
            return Ok(config.clone());
        }
        // Not under the lock: a disk that does not answer is nobody else's trouble.
        let config = Arc::new(build(&self.trust, self.roots()?)?);
        let mut built = built();
        // Another state of the same files replaces the old one: nobody will ask for that again.
        built.retain(|(key, _)| key.trust != self.trust);
        if built.len() >= MOST_CONFIGS {
            built.remove(0);
        }
        built.push((self.clone(), config.clone()));
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore, MintError> {
        let mut roots = RootCertStore::empty();
        match self.trust.roots {
            Roots::System => add_system(&mut roots, &self.environment),
            Roots::Bundled => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Roots::OnlyCaFile => {}
        }
        if let Some(file) = &self.trust.ca_file {
            let certificates = certificates(file).map_err(|why| in_file("ca_file", file, &why))?;
            let (added, _) = roots.add_parsable_certificates(certificates);
            if added == 0 {
                return Err(in_file("ca_file", file, "no certificate in it can be used"));
            }
        }
        if roots.is_empty() {
            return Err(MintError::new(ErrorKind::Misconfigured, "no trusted certificates were found on this system")
                .remedy("install the system's CA certificates, set ca_file, or set roots = \"bundled\""));
        }
        Ok(roots)
    }
}

/// A configuration that trusts nobody, for plain HTTP: the client below wants one in any case, and would look for the process's default.
pub(crate) fn none() -> Result<Arc<ClientConfig>, MintError> {
    build(&Trust::default(), RootCertStore::empty()).map(Arc::new)
}

fn build(trust: &Trust, roots: RootCertStore) -> Result<ClientConfig, MintError> {
    let broken =
        |error: rustls::Error| MintError::new(ErrorKind::Misconfigured, format!("TLS cannot be set up: {error}"));
    let builder = ClientConfig::builder_with_provider(unexpired_crypto::tls_provider())
        .with_safe_default_protocol_versions()
        .map_err(broken)?
        .with_root_certificates(roots);
    let mut config = match &trust.client_certificate {
        None => builder.with_no_client_auth(),
        Some((chain_file, key_file)) => {
            let chain = certificates(chain_file).map_err(|why| in_file("client certificate", chain_file, &why))?;
            let key = private_key(key_file).map_err(|why| in_file("client certificate's key", key_file, &why))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| in_file("client certificate", chain_file, &error.to_string()))?
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(all(unix, not(any(target_os = "macos", target_os = "ios"))))]
fn add_system(roots: &mut RootCertStore, environment: &Environment) {
    let bundle = BUNDLES.iter().map(Path::new).find(|file| file.is_file());
    match bundle {
        Some(file) => add_file(roots, file),
        None => add_native(roots),
    }
    if let Some(file) = environment.cert_file.as_deref().filter(|file| !bundle.is_some_and(|bundle| same(bundle, file)))
    {
        add_file(roots, file);
    }
    for dir in environment.cert_dir.iter().flat_map(env::split_paths) {
        // The usual places hold what the bundle holds, one file a certificate: reading them again would cost more than the request.
        let usual = bundle.is_some() && USUAL_DIRS.iter().any(|usual| same(Path::new(usual), &dir));
        if !usual && !dir.as_os_str().is_empty() {
            add_dir(roots, &dir);
        }
    }
}

#[cfg(not(all(unix, not(any(target_os = "macos", target_os = "ios")))))]
fn add_system(roots: &mut RootCertStore, _: &Environment) {
    add_native(roots);
}

fn add_native(roots: &mut RootCertStore) {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a system certificate cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
}

fn add_file(roots: &mut RootCertStore, file: &Path) {
    match certificates(file) {
        Ok(certificates) => {
            roots.add_parsable_certificates(certificates);
        }
        Err(why) => tracing::warn!(file = %file.display(), why, "trusted certificates cannot be read"),
    }
}

fn add_dir(roots: &mut RootCertStore, dir: &Path) {
    let found = rustls_native_certs::load_certs_from_paths(None, Some(dir));
    for error in &found.errors {
        tracing::warn!(%error, "a certificate in SSL_CERT_DIR cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = fs::read(file).map_err(|error| format!("it cannot be read: {error}"))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if certificates.is_empty() => Err("it holds no certificate in PEM form".to_owned()),
        Ok(certificates) => Ok(certificates),
        Err(_) => Err("it is no well-formed PEM".to_owned()),
    }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let pem = Zeroizing::new(fs::read(file).map_err(|error| format!("it cannot be read: {error}"))?);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| "it holds no private key in PEM form".to_owned())
}

fn in_file(what: &str, file: &Path, why: &str) -> MintError {
    MintError::new(ErrorKind::Misconfigured, format!("the {what} {}: {why}", file.display()))
        .remedy("name a readable PEM file, with an absolute path")
}

fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn same(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Where systems keep all trusted certificates in one file: Debian, Alpine; Fedora; openSUSE; RHEL; NixOS; the BSDs.
const BUNDLES: [&str; 8] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
    "/usr/local/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];
const USUAL_DIRS: [&str; 2] = ["/etc/ssl/certs", "/etc/pki/tls/certs"];
const MOST_CONFIGS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(roots: Roots, cert_file: Option<&Path>, cert_dir: Option<&Path>) -> usize {
        let environment = Environment { cert_file: cert_file.map(Path::to_owned), cert_dir: cert_dir.map(Into::into) };
        let key = TrustKey { trust: Trust { roots, ..Trust::default() }, environment, stamps: Vec::new() };
        // A machine without certificates has none.
        key.roots().map_or(0, |roots| roots.len())
    }

    #[test]
    #[cfg(all(unix, not(any(target_os = "macos", target_os = "ios"))))]
    fn the_environments_certificates_add_to_the_systems() {
        let folder = tempfile::tempdir().unwrap();
        let extra = folder.path().join("extra.pem");
        fs::write(&extra, rcgen::generate_simple_self_signed(["a.example.com".to_owned()]).unwrap().cert.pem())
            .unwrap();
        let system = roots(Roots::System, None, None);
        assert_eq!(roots(Roots::System, Some(&extra), None), system + 1);
        assert_eq!(roots(Roots::System, None, Some(folder.path())), system + 1);
        // What is the system's own is not read twice.
        if let Some(bundle) = BUNDLES.iter().map(Path::new).find(|file| file.is_file()) {
            assert_eq!(roots(Roots::System, Some(bundle), Some(Path::new(USUAL_DIRS[0]))), system);
            let link = folder.path().join("link.pem");
            std::os::unix::fs::symlink(bundle, &link).unwrap();
            assert_eq!(roots(Roots::System, Some(&link), None), system);
        }
    }

    #[test]
    fn without_roots_there_is_a_remedy() {
        let error = TrustKey::nobody().roots().unwrap_err();
        assert!(error.to_string().contains("ca_file"), "{error}");
    }

    #[test]
    fn a_configuration_is_built_once() {
        let key = Trust { roots: Roots::Bundled, ..Trust::default() }.key();
        assert!(Arc::ptr_eq(&key.config().unwrap(), &key.config().unwrap()));
        let other = Trust { roots: Roots::System, ..Trust::default() }.key();
        assert!(other.config().map_or(true, |other| !Arc::ptr_eq(&other, &key.config().unwrap())));
    }
}
