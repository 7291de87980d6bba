use crate::der::Curve;
use crate::{Algorithm, CryptoError, KeyKind};

pub(crate) const NAME: &str = "none";

#[cfg(not(target_family = "wasm"))]
pub(crate) use super::software::sha256;

#[cfg(target_family = "wasm")]
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    use sha2::Digest as _;
    let mut digest = sha2::Sha256::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().into()
}

pub(crate) fn random(_: &mut [u8]) -> Result<(), CryptoError> {
    Err(CryptoError::NoBackend)
}

/// There is no value of this type, so that its methods need no body.
pub(crate) enum KeyPair {}

impl KeyPair {
    pub(crate) fn rsa(_: &[u8]) -> Result<Self, CryptoError> {
        Err(CryptoError::NoBackend)
    }

    pub(crate) fn ec(_: Curve, _: &[u8], _: Option<&[u8]>) -> Result<Self, CryptoError> {
        Err(CryptoError::NoBackend)
    }

    pub(crate) fn ed25519(_: &[u8]) -> Result<Self, CryptoError> {
        Err(CryptoError::NoBackend)
    }

    pub(crate) fn kind(&self) -> KeyKind {
        match *self {}
    }

    pub(crate) fn public(&self) -> &[u8] {
        match *self {}
    }

    pub(crate) fn sign(&self, _: Algorithm, _: &[u8]) -> Result<Vec<u8>, CryptoError> {
        match *self {}
    }
}

pub(crate) fn generate_es256() -> Result<zeroize::Zeroizing<Vec<u8>>, CryptoError> {
    Err(CryptoError::NoBackend)
}

pub(crate) fn hmac(_: Algorithm, _: &[u8], _: &[u8]) -> Result<Vec<u8>, CryptoError> {
    Err(CryptoError::NoBackend)
}

pub(crate) fn verify_rsa(_: Algorithm, _: &[u8], _: &[u8], _: &[u8], _: &[u8]) -> bool {
    false
}

pub(crate) fn verify_public(_: Algorithm, _: &[u8], _: &[u8], _: &[u8]) -> bool {
    false
}
