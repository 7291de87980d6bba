//! The client's credential: taken out in every shape in which clients send one, and compared with the route's local key.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::header::{AUTHORIZATION, HeaderMap, HeaderValue, PROXY_AUTHORIZATION};
use std::fmt;
use unexpired_core::Secret;
use zeroize::Zeroizing;

/// Who may come in.
///
/// Called for each value that a client presents. Implementations compare in constant time.
pub trait KeySource: Send + Sync + 'static {
    /// Whether `presented` is the key.
    fn opens(&self, presented: &[u8]) -> bool;
}

/// A key that stays as it is.
///
/// ```
/// use unexpired_proxy::{KeySource, LocalKey};
///
/// let key = LocalKey::new("unx-1");
/// assert!(key.opens(b"unx-1") && !key.opens(b"unx-2") && !LocalKey::new("").opens(b""));
/// ```
pub struct LocalKey(Secret);

impl LocalKey {
    /// The key. An empty one opens nothing.
    pub fn new(key: impl Into<Secret>) -> Self {
        Self(key.into())
    }

    /// A new key of 256 random bits, `unx-` and 43 characters.
    ///
    /// # Errors
    ///
    /// The operating system gives no random numbers.
    pub fn random() -> Result<Secret, unexpired_core::MintError> {
        let bytes = unexpired_crypto::random_array::<32>().map(Zeroizing::new).map_err(|error| {
            unexpired_core::MintError::new(unexpired_core::ErrorKind::Unavailable, format!("no random key: {error}"))
        })?;
        Ok(Secret::new(format!("{PREFIX}{}", unexpired_crypto::b64::url_encode(&*bytes))))
    }
}

impl KeySource for LocalKey {
    fn opens(&self, presented: &[u8]) -> bool {
        !self.0.is_empty() && unexpired_crypto::constant_time_eq(self.0.expose().as_bytes(), presented)
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalKey(…)")
    }
}

/// Takes every credential out of the headers, right or wrong, and says whether one of them is the key.
pub(crate) fn take(headers: &mut HeaderMap, keys: &dyn KeySource) -> bool {
    let mut opened = false;
    while let Some(name) = headers.keys().find(|name| is_shape(name.as_str())).cloned() {
        // Of several with one name the first is looked at, and all are gone.
        if let Some(value) = headers.remove(&name) {
            opened |= match name {
                AUTHORIZATION => opens(&value, keys),
                PROXY_AUTHORIZATION => false,
                _ => keys.opens(value.as_bytes().trim_ascii()),
            };
        }
    }
    opened
}

/// Whether an `Authorization` of any scheme holds the key: after the scheme, or as the password of `Basic`, or alone.
fn opens(value: &HeaderValue, keys: &dyn KeySource) -> bool {
    let value = value.as_bytes().trim_ascii();
    let (scheme, credential) = match value.iter().position(|byte| *byte == b' ') {
        Some(at) => {
            let (scheme, credential) = value.split_at(at);
            (scheme, credential.trim_ascii())
        }
        None => (&b""[..], value),
    };
    if !scheme.eq_ignore_ascii_case(b"basic") {
        return keys.opens(credential);
    }
    let Ok(pair) = BASE64.decode(credential).map(Zeroizing::new) else { return false };
    let Some(colon) = pair.iter().position(|byte| *byte == b':') else { return false };
    let (user, password) = pair.split_at(colon);
    match password.get(1..).unwrap_or_default() {
        // Some clients send the key as the user, with nothing for a password.
        b"" => keys.opens(user),
        password => keys.opens(password),
    }
}

/// The headers in which clients send keys: OpenAI's and most others, Azure's, Anthropic's, Google's. What is meant for a proxy is taken out too.
fn is_shape(name: &str) -> bool {
    matches!(name, "authorization" | "api-key" | "x-api-key" | "x-goog-api-key" | "proxy-authorization")
}

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// By this people and scanners for leaked secrets know a key.
const PREFIX: &str = "unx-";

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HeaderName;

    #[test]
    fn the_key_is_known_in_every_shape_and_nothing_is_left() {
        let basic = |pair: &str| format!("Basic {}", BASE64.encode(pair));
        for (name, value, right) in [
            ("authorization", "Bearer unx-1".to_owned(), true),
            ("authorization", "bearer  unx-1".to_owned(), true),
            ("authorization", "Token unx-1".to_owned(), true),
            ("authorization", "unx-1".to_owned(), true),
            ("authorization", basic("user:unx-1"), true),
            ("authorization", basic(":unx-1"), true),
            ("authorization", basic("unx-1:"), true),
            ("authorization", basic("unx-1:x"), false),
            ("authorization", basic("unx-1"), false),
            ("authorization", "Basic !".to_owned(), false),
            ("authorization", "Bearer unx-2".to_owned(), false),
            ("authorization", "Bearer".to_owned(), false),
            ("authorization", String::new(), false),
            ("api-key", "unx-1".to_owned(), true),
            ("x-api-key", "unx-1".to_owned(), true),
            ("x-goog-api-key", "unx-1".to_owned(), true),
            ("x-goog-api-key", "Bearer unx-1".to_owned(), false),
            ("proxy-authorization", "Bearer unx-1".to_owned(), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            assert_eq!(take(&mut headers, &LocalKey::new("unx-1")), right, "{name}: {value}");
            assert!(headers.is_empty(), "{name}");
        }
    }

    #[test]
    fn of_several_one_must_be_right_and_all_are_taken() {
        let mut headers = HeaderMap::new();
        headers.append("x-api-key", "stale".parse().unwrap());
        headers.append("x-api-key", "staler".parse().unwrap());
        headers.append("authorization", "Bearer unx-1".parse().unwrap());
        headers.append("accept", "*/*".parse().unwrap());
        assert!(take(&mut headers, &LocalKey::new("unx-1")));
        assert_eq!(headers.len(), 1);
    }

    #[test]
    fn random_keys_are_long_and_never_the_same() {
        let (one, other) = (LocalKey::random().unwrap(), LocalKey::random().unwrap());
        assert!(one.expose().starts_with("unx-") && one.expose().len() == 47 && one.expose() != other.expose());
    }
}
