//! What is signed: the assertion of the JWT-bearer grant, and the JWT that is itself the token.

use crate::key_file::KeyFile;
use crate::service_account::misconfigured;
use serde::Serialize;
use unexpired_core::{ErrorKind, MintError, Secret};
use unexpired_crypto::{Algorithm, CryptoError, SigningKey, jwt};

/// The claims, in the order of Google's documentation.
#[derive(Debug, Serialize)]
pub(crate) struct Claims<'a> {
    pub(crate) iss: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sub: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) aud: Option<&'a str>,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
}

impl<'a> Claims<'a> {
    /// Claims that hold from ten seconds before `now` (as the server sees it) for an hour, the longest that Google takes.
    pub(crate) fn new(iss: &'a str, now: i64) -> Self {
        let iat = now.saturating_sub(SLACK);
        Self { iss, sub: None, scope: None, aud: None, iat, exp: iat.saturating_add(LIFE) }
    }

    /// Signed with the file's key: RS256, and `kid` if the file tells it.
    pub(crate) fn sign(&self, key: &KeyFile) -> Result<Secret, MintError> {
        let signing = SigningKey::from_pem(key.private_key.expose()).map_err(|error| unusable(&error))?;
        let json = serde_json::to_string(self)
            .map_err(|_| MintError::new(ErrorKind::Malformed, "the claims cannot be written as JSON"))?;
        let kid = key.private_key_id.as_deref().map(|kid| ("kid", kid));
        let header: Vec<_> = kid.into_iter().collect();
        jwt::sign(&signing, Algorithm::Rs256, &header, &json).map(Secret::from).map_err(|error| unusable(&error))
    }
}

fn unusable(error: &CryptoError) -> MintError {
    let remedy = match error {
        CryptoError::NoBackend => "build the program with the feature ring or fips",
        _ => "download the service account's key again",
    };
    misconfigured(&format!("the key file's private_key cannot sign: {error}"), remedy)
}

/// Google's libraries for Rust date `iat` back by this, against clocks that are a little fast.
pub(crate) const SLACK: i64 = 10;
/// `exp` − `iat`. The token endpoint refuses more.
pub(crate) const LIFE: i64 = 3600;
