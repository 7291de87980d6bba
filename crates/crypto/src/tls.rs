use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;

/// The `rustls` provider of the chosen backend, made once and shared.
///
/// It is to be passed to `ClientConfig::builder_with_provider`. The process-wide default of `rustls` is neither read nor
/// installed: it belongs to the program. Without a backend the provider has no cipher suites, and building a
/// configuration with it fails with the error "no usable cipher suites configured".
///
/// ```
/// # #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
/// # fn main() -> Result<(), rustls::Error> {
/// let config = rustls::ClientConfig::builder_with_provider(unexpired_crypto::tls_provider())
///     .with_safe_default_protocol_versions()?
///     .with_root_certificates(rustls::RootCertStore::empty())
///     .with_no_client_auth();
/// # let _ = config;
/// # Ok(())
/// # }
/// # #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
/// # fn main() {}
/// ```
#[must_use]
pub fn tls_provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(provider())))
}

#[cfg(all(feature = "ring", not(feature = "fips"), not(target_family = "wasm")))]
use rustls::crypto::ring::default_provider as provider;

#[cfg(all(feature = "aws-lc-rs", not(feature = "ring"), not(feature = "fips"), not(target_family = "wasm")))]
use rustls::crypto::aws_lc_rs::default_provider as provider;

#[cfg(all(feature = "fips", not(target_family = "wasm")))]
use rustls::crypto::default_fips_provider as provider;

#[cfg(any(not(any(feature = "ring", feature = "aws-lc-rs")), target_family = "wasm"))]
use none::provider;

#[cfg(any(not(any(feature = "ring", feature = "aws-lc-rs")), target_family = "wasm"))]
mod none {
    use std::sync::Arc;

    use rustls::crypto::{CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::sign::SigningKey;

    /// Offers nothing, so that every configuration built with it is an error.
    pub(super) fn provider() -> CryptoProvider {
        CryptoProvider {
            cipher_suites: Vec::new(),
            kx_groups: Vec::new(),
            signature_verification_algorithms: WebPkiSupportedAlgorithms { all: &[], mapping: &[] },
            secure_random: &Nothing,
            key_provider: &Nothing,
        }
    }

    #[derive(Debug)]
    struct Nothing;

    impl SecureRandom for Nothing {
        fn fill(&self, _: &mut [u8]) -> Result<(), GetRandomFailed> {
            Err(GetRandomFailed)
        }
    }

    impl KeyProvider for Nothing {
        fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
            Err(rustls::Error::General(crate::CryptoError::NoBackend.to_string()))
        }
    }
}
