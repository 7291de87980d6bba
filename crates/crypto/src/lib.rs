//! Digests, signatures, random numbers and the TLS provider of `unexpired`: one seam over `ring` or `aws-lc-rs`.
//!
//! Nothing here is a new primitive. The crate chooses a backend at compile time, reads the key formats that identity
//! providers hand out, and writes compact JWS ([RFC 7515]). The rest of the project names neither backend.
//!
//! | features | backend |
//! |---|---|
//! | `ring` (default), with or without `aws-lc-rs` | `ring` |
//! | `aws-lc-rs` | `aws-lc-rs` |
//! | `fips`, with or without the others | `aws-lc-rs` in its FIPS 140-3 build |
//! | none, or any `wasm` target | none |
//!
//! Without a backend everything compiles, [`sha256`], [`b64`] and [`constant_time_eq`] work, and whatever needs a
//! backend returns [`CryptoError::NoBackend`]. That is what libraries in the middle see: only a final program chooses.
//!
//! ```
//! # #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
//! # fn main() -> Result<(), unexpired_crypto::CryptoError> {
//! use unexpired_crypto::{Algorithm, generate_es256, jwt};
//!
//! let (key, _pkcs8) = generate_es256()?;
//! let assertion = jwt::sign(&key, Algorithm::Es256, &[("kid", "k1")], r#"{"iss":"client-123"}"#)?;
//!
//! let (signing_input, signature) = assertion.rsplit_once('.').unwrap_or_default();
//! let signature = unexpired_crypto::b64::url_decode(signature)?;
//! assert!(key.verifying_key()?.verify(Algorithm::Es256, signing_input.as_bytes(), &signature));
//! # Ok(())
//! # }
//! # #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
//! # fn main() {}
//! ```
//!
//! # How long key material lives
//!
//! Text and DER that this crate decodes are wiped when dropped, and so are HMAC keys, which are kept as bytes and
//! expanded for each signature. Parsed RSA and EC keys belong to the backend: `aws-lc-rs` wipes them when freed, `ring`
//! does not. What the caller passed in stays the caller's to wipe.
//!
//! [RFC 7515]: https://www.rfc-editor.org/rfc/rfc7515

mod algorithm;
pub mod b64;
mod backend;
mod der;
mod error;
mod json;
pub mod jwt;
pub mod pem;
mod random;
mod signing;
#[cfg(feature = "tls")]
mod tls;
mod verifying;

pub use algorithm::{Algorithm, KeyKind};
pub use error::CryptoError;
pub use random::{random, random_array, uuid_v4};
pub use signing::{SigningKey, generate_es256};
#[cfg(feature = "tls")]
pub use tls::tls_provider;
pub use verifying::{PublicJwk, VerifyingKey};

/// The backend that was compiled in: `ring`, `aws-lc-rs`, `aws-lc-rs (fips)`, or `none`.
#[must_use]
pub fn backend() -> &'static str {
    backend::NAME
}

/// SHA-256 of `data` (FIPS 180-4). Works without a backend too.
///
/// ```
/// let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"; // RFC 7636, appendix B
/// let challenge = unexpired_crypto::b64::url_encode(&unexpired_crypto::sha256(verifier.as_bytes()));
/// assert_eq!(challenge, "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
/// ```
#[must_use]
pub fn sha256(data: &[u8]) -> [u8; 32] {
    sha256_parts(&[data])
}

/// SHA-256 of the parts one after another, as if they were one slice.
///
/// The boundaries are not part of the digest: a caller who needs them puts lengths or separators between the parts.
///
/// ```
/// use unexpired_crypto::{sha256, sha256_parts};
/// assert_eq!(sha256_parts(&[b"ab", b"", b"c"]), sha256(b"abc"));
/// ```
#[must_use]
pub fn sha256_parts(parts: &[&[u8]]) -> [u8; 32] {
    backend::sha256(parts)
}

/// Whether `a` and `b` are equal, in a time that depends on their lengths only.
///
/// ```
/// assert!(unexpired_crypto::constant_time_eq(b"state", b"state"));
/// assert!(!unexpired_crypto::constant_time_eq(b"state", b"stat"));
/// ```
#[must_use]
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    // black_box keeps the optimiser from leaving the loops at the first difference. Words first: a proxy does this for each request.
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let words = a
        .iter()
        .zip(b)
        .fold(0u64, |seen, (x, y)| core::hint::black_box(seen | (u64::from_ne_bytes(*x) ^ u64::from_ne_bytes(*y))));
    let rest = a_rest.iter().zip(b_rest).fold(0u8, |seen, (x, y)| core::hint::black_box(seen | (x ^ y)));
    core::hint::black_box(words | u64::from(rest)) == 0
}
