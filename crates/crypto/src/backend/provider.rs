use zeroize::Zeroizing;

use super::library::rand::{SecureRandom as _, SystemRandom};
use super::library::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use super::library::{digest, hmac as mac};
use crate::der::{self, Curve};
use crate::{Algorithm, CryptoError, KeyKind};

pub(crate) const NAME: &str = if cfg!(feature = "fips") {
    "aws-lc-rs (fips)"
} else if cfg!(feature = "ring") {
    "ring"
} else {
    "aws-lc-rs"
};

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    // A SHA-256 digest has 32 bytes.
    out.copy_from_slice(context.finish().as_ref());
    out
}

pub(crate) fn random(buf: &mut [u8]) -> Result<(), CryptoError> {
    SystemRandom::new().fill(buf).map_err(|_| CryptoError::NoRandom)
}

/// A private key that can sign.
pub(crate) enum KeyPair {
    Rsa { pair: RsaKeyPair, modulus_len: usize, bits: usize },
    Ec { pair: EcdsaKeyPair, curve: Curve },
    Ed25519(Ed25519KeyPair),
}

impl KeyPair {
    /// From `RSAPrivateKey`.
    pub(crate) fn rsa(pkcs1: &[u8]) -> Result<Self, CryptoError> {
        let pair = RsaKeyPair::from_der(pkcs1).map_err(|rejected| match rejected.to_string().as_str() {
            "TooSmall" => TOO_SMALL,
            "TooLarge" => CryptoError::BadKey("the RSA key is too large: use at most 4096 bits"),
            _ => CryptoError::BadKey("the RSA private key is damaged, or its numbers do not belong together"),
        })?;
        let (n, _) = der::rsa_public(pair.public_key().as_ref())
            .ok_or(CryptoError::BadKey("the RSA private key has no readable public half"))?;
        let leading = n.first().map_or(0, |first| first.leading_zeros() as usize);
        let (modulus_len, bits) = (n.len(), (n.len() * 8).saturating_sub(leading));
        // The backends do not agree on this limit.
        if bits < 2048 {
            return Err(TOO_SMALL);
        }
        Ok(Self::Rsa { pair, modulus_len, bits })
    }

    /// From the scalar in `curve.len()` bytes, and the uncompressed public point.
    pub(crate) fn ec(curve: Curve, scalar: &[u8], point: Option<&[u8]>) -> Result<Self, CryptoError> {
        let point = point.ok_or(CryptoError::BadKey(
            "the EC key lacks its public half: `openssl ec -in KEY -out NEW` writes a key that has it",
        ))?;
        let algorithm = match curve {
            Curve::P256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
            Curve::P384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        };
        let pair = EcdsaKeyPair::from_private_key_and_public_key(
            algorithm,
            scalar,
            point,
            #[cfg(not(any(feature = "fips", not(feature = "ring"))))]
            &SystemRandom::new(),
        )
        .map_err(|_| CryptoError::BadKey("the EC private key is damaged, or its halves do not belong together"))?;
        Ok(Self::Ec { pair, curve })
    }

    /// From PKCS#8, with or without the public key in it.
    pub(crate) fn ed25519(pkcs8: &[u8]) -> Result<Self, CryptoError> {
        Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8).map(Self::Ed25519).map_err(|_| {
            CryptoError::BadKey("the Ed25519 private key is damaged, or its halves do not belong together")
        })
    }

    pub(crate) fn kind(&self) -> KeyKind {
        match self {
            Self::Rsa { bits, .. } => KeyKind::Rsa { bits: *bits },
            Self::Ec { curve: Curve::P256, .. } => KeyKind::P256,
            Self::Ec { curve: Curve::P384, .. } => KeyKind::P384,
            Self::Ed25519(_) => KeyKind::Ed25519,
        }
    }

    /// `RSAPublicKey`, the uncompressed point, or the 32 bytes of Ed25519.
    pub(crate) fn public(&self) -> &[u8] {
        match self {
            Self::Rsa { pair, .. } => pair.public_key().as_ref(),
            Self::Ec { pair, .. } => pair.public_key().as_ref(),
            Self::Ed25519(pair) => pair.public_key().as_ref(),
        }
    }

    pub(crate) fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match self {
            Self::Rsa { pair, modulus_len, .. } => {
                let padding: &'static dyn signature::RsaEncoding = match algorithm {
                    Algorithm::Rs256 => &signature::RSA_PKCS1_SHA256,
                    Algorithm::Rs384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::Rs512 => &signature::RSA_PKCS1_SHA512,
                    Algorithm::Ps256 => &signature::RSA_PSS_SHA256,
                    Algorithm::Ps384 => &signature::RSA_PSS_SHA384,
                    Algorithm::Ps512 => &signature::RSA_PSS_SHA512,
                    _ => return Err(CryptoError::WrongAlgorithm { algorithm, key: self.kind() }),
                };
                let mut out = vec![0; *modulus_len];
                pair.sign(padding, &SystemRandom::new(), message, &mut out).map_err(|_| CryptoError::SigningFailed)?;
                Ok(out)
            }
            Self::Ec { pair, .. } => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| CryptoError::SigningFailed),
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

/// A new P-256 key as PKCS#8.
pub(crate) fn generate_es256() -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    EcdsaKeyPair::generate_pkcs8(&signature::ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map(|document| Zeroizing::new(document.as_ref().to_vec()))
        .map_err(|_| CryptoError::NoRandom)
}

pub(crate) fn hmac(algorithm: Algorithm, key: &[u8], message: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let function = match algorithm {
        Algorithm::Hs256 => mac::HMAC_SHA256,
        Algorithm::Hs384 => mac::HMAC_SHA384,
        Algorithm::Hs512 => mac::HMAC_SHA512,
        _ => return Err(CryptoError::WrongAlgorithm { algorithm, key: KeyKind::Hmac { bits: key.len() * 8 } }),
    };
    Ok(mac::sign(&mac::Key::new(function, key), message).as_ref().to_vec())
}

pub(crate) fn verify_rsa(algorithm: Algorithm, n: &[u8], e: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let parameters = match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return false,
    };
    signature::RsaPublicKeyComponents { n, e }.verify(parameters, message, signature).is_ok()
}

/// ECDSA by the uncompressed point, or Ed25519 by its 32 bytes.
pub(crate) fn verify_public(algorithm: Algorithm, public: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let verification: &'static dyn signature::VerificationAlgorithm = match algorithm {
        Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
        Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        Algorithm::EdDsa => &signature::ED25519,
        _ => return false,
    };
    signature::UnparsedPublicKey::new(verification, public).verify(message, signature).is_ok()
}

const TOO_SMALL: CryptoError = CryptoError::BadKey("the RSA key is too small: use at least 2048 bits");
