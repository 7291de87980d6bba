use core::fmt;

use zeroize::Zeroizing;

use crate::backend::KeyPair;
use crate::der::{self, Parsed};
use crate::{Algorithm, CryptoError, KeyKind, PublicJwk, VerifyingKey, b64, backend, pem};

/// A key that signs: a private key, or a shared secret for HMAC.
///
/// `Debug` shows its kind and size and nothing else.
pub struct SigningKey(Inner);

enum Inner {
    Pair(Box<KeyPair>),
    Secret(Zeroizing<Vec<u8>>),
}

impl SigningKey {
    /// Reads the private key in a PEM text.
    ///
    /// | label | form |
    /// |---|---|
    /// | `PRIVATE KEY` | PKCS#8: RSA of 2048 to 4096 bits (8192 with `aws-lc-rs`), EC P-256, EC P-384, Ed25519 |
    /// | `RSA PRIVATE KEY` | PKCS#1 |
    /// | `EC PRIVATE KEY` | SEC1, with its curve and its public half |
    ///
    /// Certificates, parameters and other text around the key are passed over.
    ///
    /// # Errors
    ///
    /// [`CryptoError::BadKey`] says what is wrong: no private key, more than one, an encrypted one, an OpenSSH one, a
    /// kind or size that is not supported, damage. [`CryptoError::NoBackend`].
    pub fn from_pem(text: &str) -> Result<Self, CryptoError> {
        let blocks = pem::blocks(text)?;
        let mut keys = blocks.iter().filter(|block| block.label.ends_with("PRIVATE KEY"));
        let Some(key) = keys.next() else {
            return Err(CryptoError::BadKey(match blocks.first().map(|block| block.label) {
                None => "this is no PEM text: a private key starts with -----BEGIN PRIVATE KEY-----",
                Some(label) if label.ends_with("PUBLIC KEY") => {
                    "this is a public key, and signing needs the private key (BEGIN PRIVATE KEY)"
                }
                Some(label) if label.ends_with("CERTIFICATE") => {
                    "this is a certificate without its private key, and signing needs the private key (BEGIN PRIVATE KEY)"
                }
                Some(_) => "the PEM text has no private key (BEGIN PRIVATE KEY)",
            }));
        };
        if keys.next().is_some() {
            return Err(CryptoError::BadKey("the PEM text has more than one private key: leave the one to use"));
        }
        if key.is_encrypted() {
            return Err(CryptoError::BadKey(
                "the private key is encrypted with a password, which is not supported: \
                 `openssl pkey -in KEY -out NEW` writes it without one",
            ));
        }
        match key.label {
            "PRIVATE KEY" => Self::from_pkcs8(&key.decode()?),
            "RSA PRIVATE KEY" => Self::from_parsed(Parsed::Rsa(&key.decode()?)),
            "EC PRIVATE KEY" => Self::from_parsed(der::sec1(&key.decode()?, None)?),
            "OPENSSH PRIVATE KEY" => Err(CryptoError::BadKey(
                "the private key is in OpenSSH's own format: `ssh-keygen -p -m PKCS8 -f KEY` rewrites the file",
            )),
            _ => Err(CryptoError::BadKey("the kind of private key is not supported: use PKCS#8 (BEGIN PRIVATE KEY)")),
        }
    }

    /// Reads a private key in PKCS#8 DER, of the kinds that [`from_pem`](Self::from_pem) reads.
    ///
    /// # Errors
    ///
    /// As [`from_pem`](Self::from_pem).
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, CryptoError> {
        Self::from_parsed(der::pkcs8(der)?)
    }

    /// A shared secret for `HS256` (at least 32 bytes), `HS384` (48) and `HS512` (64).
    ///
    /// # Errors
    ///
    /// [`CryptoError::BadKey`] if it is shorter than 32 bytes: RFC 7518 §3.2 wants a key as long as the digest.
    /// [`CryptoError::NoBackend`].
    pub fn hmac_key(secret: &[u8]) -> Result<Self, CryptoError> {
        check_secret(secret)?;
        Ok(Self(Inner::Secret(Zeroizing::new(secret.to_vec()))))
    }

    /// Signs `message`, which the backend hashes. ECDSA signatures are R and S side by side (RFC 7518 §3.4), not DER.
    ///
    /// # Errors
    ///
    /// [`CryptoError::WrongAlgorithm`] if `alg` is not among [`algorithms`](Self::algorithms),
    /// [`CryptoError::SigningFailed`].
    pub fn sign(&self, alg: Algorithm, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        if !self.algorithms().contains(&alg) {
            return Err(CryptoError::WrongAlgorithm { algorithm: alg, key: self.kind() });
        }
        match &self.0 {
            Inner::Pair(pair) => pair.sign(alg, message),
            Inner::Secret(secret) => backend::hmac(alg, secret, message),
        }
    }

    /// What this key can sign with, the customary choice first. Never empty.
    #[must_use]
    pub fn algorithms(&self) -> &[Algorithm] {
        self.kind().algorithms()
    }

    /// Kind and size of the key.
    #[must_use]
    pub fn kind(&self) -> KeyKind {
        match &self.0 {
            Inner::Pair(pair) => pair.kind(),
            Inner::Secret(secret) => KeyKind::Hmac { bits: secret.len().saturating_mul(8) },
        }
    }

    /// The public half as a JWK. `None` for a shared secret, which has none.
    #[must_use]
    pub fn public_jwk(&self) -> Option<PublicJwk> {
        let Inner::Pair(pair) = &self.0 else { return None };
        let public = pair.public();
        match self.kind() {
            KeyKind::Rsa { .. } => {
                let (n, e) = der::rsa_public(public)?;
                Some(PublicJwk::Rsa { n: b64::url_encode(n), e: b64::url_encode(e) })
            }
            kind @ (KeyKind::P256 | KeyKind::P384) => {
                // 0x04, then two coordinates of the same length (SEC1 §2.3.3).
                let coordinates = public.strip_prefix(&[4])?;
                let (x, y) = coordinates.split_at_checked(coordinates.len() / 2)?;
                let crv = if kind == KeyKind::P256 { "P-256" } else { "P-384" };
                Some(PublicJwk::Ec { crv, x: b64::url_encode(x), y: b64::url_encode(y) })
            }
            KeyKind::Ed25519 => Some(PublicJwk::Ed25519 { x: b64::url_encode(public) }),
            KeyKind::Hmac { .. } => None,
        }
    }

    /// The key that checks this key's signatures.
    ///
    /// # Errors
    ///
    /// [`CryptoError::BadKey`]; not for a key that this crate read.
    pub fn verifying_key(&self) -> Result<VerifyingKey, CryptoError> {
        match (&self.0, self.public_jwk()) {
            (Inner::Secret(secret), _) => VerifyingKey::hmac_key(secret),
            (_, Some(jwk)) => VerifyingKey::from_jwk(&jwk),
            (_, None) => Err(CryptoError::BadKey("the private key has no readable public half")),
        }
    }

    fn from_parsed(parsed: Parsed<'_>) -> Result<Self, CryptoError> {
        let pair = match parsed {
            Parsed::Rsa(pkcs1) => KeyPair::rsa(pkcs1)?,
            Parsed::Ec { curve, scalar, point } => {
                // Some writers drop the leading zeros of the scalar.
                let scalar = der::unsigned(scalar);
                let mut padded = Zeroizing::new(vec![0; curve.len().saturating_sub(scalar.len())]);
                padded.reserve_exact(scalar.len());
                padded.extend_from_slice(scalar);
                KeyPair::ec(curve, &padded, point)?
            }
            Parsed::Ed25519(pkcs8) => KeyPair::ed25519(pkcs8)?,
        };
        Ok(Self(Inner::Pair(Box::new(pair))))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.kind())
    }
}

/// A new P-256 key, and the same key as PKCS#8 DER to be kept.
///
/// # Errors
///
/// [`CryptoError::NoRandom`], [`CryptoError::NoBackend`].
pub fn generate_es256() -> Result<(SigningKey, Zeroizing<Vec<u8>>), CryptoError> {
    let pkcs8 = backend::generate_es256()?;
    Ok((SigningKey::from_pkcs8(&pkcs8)?, pkcs8))
}

pub(crate) fn check_secret(secret: &[u8]) -> Result<(), CryptoError> {
    if backend::NAME == "none" {
        return Err(CryptoError::NoBackend);
    }
    if secret.len() < 32 {
        return Err(CryptoError::BadKey(
            "the shared secret is too short to sign with: HS256 needs at least 32 bytes (RFC 7518 section 3.2)",
        ));
    }
    Ok(())
}
