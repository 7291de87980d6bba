use core::fmt;

use zeroize::Zeroizing;

use crate::signing::check_secret;
use crate::{Algorithm, CryptoError, KeyKind, b64, backend, constant_time_eq, der, json, sha256};

/// The public half of a key, as the members of a JWK (RFC 7517, RFC 7518 §6, RFC 8037). Numbers are base64url.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublicJwk {
    /// `"kty":"RSA"`.
    Rsa {
        /// Modulus.
        n: String,
        /// Exponent.
        e: String,
    },
    /// `"kty":"EC"`.
    Ec {
        /// `P-256` or `P-384`.
        crv: &'static str,
        /// First coordinate.
        x: String,
        /// Second coordinate.
        y: String,
    },
    /// `"kty":"OKP","crv":"Ed25519"`.
    Ed25519 {
        /// The public key.
        x: String,
    },
}

impl PublicJwk {
    /// The members that make the key, in the order of their names (RFC 7638 §3.2).
    #[must_use]
    pub fn members(&self) -> Vec<(&'static str, &str)> {
        match self {
            Self::Rsa { n, e } => vec![("e", e.as_str()), ("kty", "RSA"), ("n", n.as_str())],
            Self::Ec { crv, x, y } => vec![("crv", crv), ("kty", "EC"), ("x", x.as_str()), ("y", y.as_str())],
            Self::Ed25519 { x } => vec![("crv", "Ed25519"), ("kty", "OKP"), ("x", x.as_str())],
        }
    }

    /// The JWK as JSON, followed by `extra` string members such as `kid`, `use` and `alg`.
    ///
    /// ```
    /// use unexpired_crypto::PublicJwk;
    /// let jwk = PublicJwk::Ed25519 { x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".into() };
    /// assert_eq!(
    ///     jwk.to_json(&[("kid", "k1")]),
    ///     r#"{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","kid":"k1"}"#
    /// );
    /// ```
    #[must_use]
    pub fn to_json(&self, extra: &[(&str, &str)]) -> String {
        json::object(self.members().into_iter().chain(extra.iter().copied()))
    }

    /// The SHA-256 thumbprint in base64url (RFC 7638): a `kid` that follows from the key.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        b64::url_encode(&sha256(json::object(self.members()).as_bytes()))
    }
}

/// A key that checks signatures.
///
/// `Debug` shows its kind and size and nothing else.
#[derive(Clone)]
pub struct VerifyingKey(Inner);

#[derive(Clone)]
enum Inner {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
    Secret(Zeroizing<Vec<u8>>),
}

impl VerifyingKey {
    /// From the members of a JWK.
    ///
    /// # Errors
    ///
    /// As the constructor for its kind.
    pub fn from_jwk(jwk: &PublicJwk) -> Result<Self, CryptoError> {
        match jwk {
            PublicJwk::Rsa { n, e } => Self::rsa(n, e),
            PublicJwk::Ec { crv, x, y } => Self::ec(crv, x, y),
            PublicJwk::Ed25519 { x } => Self::ed25519(x),
        }
    }

    /// RSA from `n` and `e` in base64url; 2048 to 8192 bits.
    ///
    /// # Errors
    ///
    /// [`CryptoError::BadBase64`], [`CryptoError::BadKey`] for another size, [`CryptoError::NoBackend`].
    pub fn rsa(n: &str, e: &str) -> Result<Self, CryptoError> {
        need_backend()?;
        let (n, e) = (b64::url_decode(n)?, b64::url_decode(e)?);
        let (n, e) = (der::unsigned(&n).to_vec(), der::unsigned(&e).to_vec());
        if !(2048..=8192).contains(&bits(&n)) || e.is_empty() {
            return Err(CryptoError::BadKey("the RSA public key must have 2048 to 8192 bits and an exponent"));
        }
        Ok(Self(Inner::Rsa { n, e }))
    }

    /// EC from `crv` (`P-256` or `P-384`) and the coordinates in base64url, each of full length (RFC 7518 §6.2.1.2).
    ///
    /// Whether the point lies on the curve is checked when a signature is.
    ///
    /// # Errors
    ///
    /// [`CryptoError::BadBase64`], [`CryptoError::BadKey`] for another curve or length, [`CryptoError::NoBackend`].
    pub fn ec(crv: &str, x: &str, y: &str) -> Result<Self, CryptoError> {
        need_backend()?;
        let (x, y) = (b64::url_decode(x)?, b64::url_decode(y)?);
        let point = [&[4], x.as_slice(), y.as_slice()].concat();
        match (crv, x.len(), y.len()) {
            ("P-256", 32, 32) => Ok(Self(Inner::P256(point))),
            ("P-384", 48, 48) => Ok(Self(Inner::P384(point))),
            _ => {
                Err(CryptoError::BadKey("the EC public key must be on P-256 or P-384, with coordinates of full length"))
            }
        }
    }

    /// Ed25519 from `x` in base64url.
    ///
    /// # Errors
    ///
    /// [`CryptoError::BadBase64`], [`CryptoError::BadKey`] if it has not 32 bytes, [`CryptoError::NoBackend`].
    pub fn ed25519(x: &str) -> Result<Self, CryptoError> {
        need_backend()?;
        let x = b64::url_decode(x)?;
        if x.len() != 32 {
            return Err(CryptoError::BadKey("the Ed25519 public key must have 32 bytes"));
        }
        Ok(Self(Inner::Ed25519(x)))
    }

    /// A shared secret, with the limits of [`SigningKey::hmac_key`](crate::SigningKey::hmac_key).
    ///
    /// # Errors
    ///
    /// [`CryptoError::BadKey`] if it is too short, [`CryptoError::NoBackend`].
    pub fn hmac_key(secret: &[u8]) -> Result<Self, CryptoError> {
        check_secret(secret)?;
        Ok(Self(Inner::Secret(Zeroizing::new(secret.to_vec()))))
    }

    /// Whether `signature` is this key's, over `message`, by `alg`. `false` too if `alg` does not fit the key, so that
    /// a token's header cannot choose how its signature is read (RFC 8725 §3.1).
    #[must_use]
    pub fn verify(&self, alg: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.kind().algorithms().contains(&alg) {
            return false;
        }
        match &self.0 {
            Inner::Rsa { n, e } => backend::verify_rsa(alg, n, e, message, signature),
            Inner::P256(public) | Inner::P384(public) | Inner::Ed25519(public) => {
                backend::verify_public(alg, public, message, signature)
            }
            Inner::Secret(secret) => {
                backend::hmac(alg, secret, message).is_ok_and(|expected| constant_time_eq(&expected, signature))
            }
        }
    }

    /// Kind and size of the key.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match &self.0 {
            Inner::Rsa { n, .. } => KeyKind::Rsa { bits: bits(n) },
            Inner::P256(_) => KeyKind::P256,
            Inner::P384(_) => KeyKind::P384,
            Inner::Ed25519(_) => KeyKind::Ed25519,
            Inner::Secret(secret) => KeyKind::Hmac { bits: secret.len().saturating_mul(8) },
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", self.kind())
    }
}

fn need_backend() -> Result<(), CryptoError> {
    if backend::NAME == "none" { Err(CryptoError::NoBackend) } else { Ok(()) }
}

/// Length in bits of a number without leading zero bytes.
fn bits(number: &[u8]) -> usize {
    let leading = number.first().map_or(0, |first| first.leading_zeros() as usize);
    number.len().saturating_mul(8).saturating_sub(leading)
}
