//! Looking into a JWT without believing it: `exp` and `iat` decide when to refresh, nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// The times that a JWT states about itself, in seconds since the Unix epoch. The signature is not checked (RFC 9068 tells clients to
/// treat access tokens as opaque): a hint for refreshing, and for display.
///
/// ```
/// use unexpired_core::jwt::Times;
///
/// // {"alg":"none"} . {"exp":1767326645.75}
/// let times = Times::of("eyJhbGciOiJub25lIn0.eyJleHAiOjE3NjczMjY2NDUuNzV9.c2ln");
/// assert_eq!(times.exp, Some(1_767_326_645.75));
/// assert_eq!(Times::of("opaque").exp, None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Times {
    /// `exp`, the moment from which the token must not be accepted (RFC 7519 section 4.1.4).
    pub exp: Option<f64>,
    /// `iat`, the moment at which it was issued.
    pub iat: Option<f64>,
}

impl Times {
    /// The times in `token`; none if it is not a JWT in the compact form of three parts (five parts are encrypted: opaque).
    pub fn of(token: &str) -> Self {
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(_), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Self::default();
        };
        // A payload of a megabyte is no reason to spend time on it.
        if header.is_empty() || payload.len() > MAX_PAYLOAD {
            return Self::default();
        }
        let Ok(json) = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).map(Zeroizing::new) else {
            return Self::default();
        };
        let Ok(serde_json::Value::Object(claims)) = serde_json::from_slice(&json) else {
            return Self::default();
        };
        Self { exp: claims.get("exp").and_then(numeric_date), iat: claims.get("iat").and_then(numeric_date) }
    }
}

/// A NumericDate: a number, or a number written as a string. What is negative, not finite or later than the year 5138 (milliseconds, most
/// likely) is no hint.
fn numeric_date(value: &serde_json::Value) -> Option<f64> {
    let seconds = match value {
        serde_json::Value::Number(number) => number.as_f64()?,
        serde_json::Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    (seconds.is_finite() && (0.0..=LATEST).contains(&seconds)).then_some(seconds)
}

const MAX_PAYLOAD: usize = 256 * 1024;
const LATEST: f64 = 1e11;

#[cfg(test)]
mod tests {
    use super::*;

    fn with(payload: &str) -> Times {
        Times::of(&format!("eyJhbGciOiJub25lIn0.{}.c2ln", URL_SAFE_NO_PAD.encode(payload)))
    }

    #[test]
    fn numbers_strings_and_floats_are_dates() {
        assert_eq!(
            with(r#"{"exp":1767326645,"iat":"1767323045"}"#),
            Times { exp: Some(1767326645.0), iat: Some(1767323045.0) }
        );
        assert_eq!(with(r#"{"exp":1767326645.75}"#).exp, Some(1767326645.75));
    }

    #[test]
    fn what_is_absurd_is_no_hint() {
        for payload in [
            r#"{"exp":-1}"#,
            r#"{"exp":1767326645000}"#,
            r#"{"exp":null}"#,
            r#"{"exp":"soon"}"#,
            r#"{"exp":1e400}"#,
            "[1]",
            "{",
            "",
            r#"{"exp":"NaN"}"#,
            r#"{"exp":"inf"}"#,
        ] {
            assert_eq!(with(payload).exp, None, "{payload}");
        }
    }

    #[test]
    fn what_is_not_a_jwt_is_opaque() {
        for token in ["abc", "a.b", "a.b.c.d.e", "..", "eyJhIjox.x.y", "", "é.é.é", "eyJhbGciOiJub25lIn0.eyJl+/.c2ln"]
        {
            assert_eq!(Times::of(token), Times::default(), "{token}");
        }
    }
}
