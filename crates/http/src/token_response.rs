//! The success body of a token endpoint (RFC 6749 section 5.1), and what Entra, IBM and metadata services add to it.

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use unexpired_core::{MintError, Secret, Token, TokenBuilder, text};

use crate::{Failure, Response};

/// What a token endpoint answered. Made by [`Response::token`]; `Debug` shows no secret.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TokenResponse {
    /// `access_token`: a `b64token`, so it can stand in a header.
    pub access_token: Secret,
    /// `token_type` as the server wrote it; `Bearer` if it said nothing.
    pub token_type: String,
    /// `expires_in`: a number, a number in a string, or a fraction of seconds. Zero if it was negative; `None` if it was missing, no number,
    /// or longer than ten years (most likely milliseconds).
    pub expires_in: Option<Duration>,
    /// `expires_on` (Entra and its metadata services) or `expiration` (IBM): seconds since the Unix epoch. `None` as above.
    pub expires_at: Option<SystemTime>,
    /// `refresh_in`: when Entra advises to refresh.
    pub refresh_in: Option<Duration>,
    /// `refresh_token`. A server that rotates sends a new one with every answer.
    pub refresh_token: Option<Secret>,
    /// `scope`, if the server says that it differs from what was asked.
    pub scope: Option<String>,
    /// `issued_token_type` (RFC 8693).
    pub issued_token_type: Option<String>,
    /// `id_token` (OpenID Connect), not validated.
    pub id_token: Option<Secret>,
}

impl TokenResponse {
    /// Starts the token: secret, scheme, lifetimes, the server's `Date`, counted from before the request. The source's name is the caller's
    /// to add.
    pub fn into_builder(self, response: &Response) -> TokenBuilder {
        Token::builder(self.access_token, response.requested_at())
            .scheme(&self.token_type)
            .expires_in(self.expires_in)
            .expires_at(self.expires_at)
            .refresh_in(self.refresh_in)
            .date(response.date())
    }

    pub(crate) fn read(response: &Response) -> Result<Self, MintError> {
        let malformed = |message: &str| response.malformed(message);
        let members: Members =
            serde_json::from_slice(response.json_text()).map_err(|error| match error.classify() {
                serde_json::error::Category::Data if error.to_string().starts_with(TWICE) => malformed(TWICE),
                serde_json::error::Category::Data => malformed("the token answer has a member of the wrong type"),
                _ => malformed(&format!("the token endpoint answered {}", response.shape())),
            })?;
        if members.has_error {
            return Err(response.failure().into_mint_error(response));
        }
        let Some(access_token) = members.access_token.filter(|token| !token.is_empty()) else {
            return Err(malformed("the token answer holds no access_token"));
        };
        if !text::is_b64token(access_token.expose()) {
            return Err(malformed("the access_token holds characters that may not stand in a header"));
        }
        let token_type = members.token_type.filter(|kind| !kind.is_empty()).unwrap_or_else(|| "Bearer".to_owned());
        let refresh_token = members.refresh_token.filter(|token| !token.is_empty());
        if refresh_token.as_ref().is_some_and(|token| token.expose().chars().any(char::is_control)) {
            return Err(malformed("the refresh_token holds control characters"));
        }
        let now = response.date().unwrap_or_else(|| response.requested_at().system_time());
        let host = response.host();
        Ok(Self {
            access_token,
            token_type,
            expires_in: members.expires_in.life(host, "expires_in"),
            expires_at: members
                .expires_on
                .moment(now, host, "expires_on")
                .or_else(|| members.expiration.moment(now, host, "expiration")),
            refresh_in: members.refresh_in.life(host, "refresh_in").filter(|after| !after.is_zero()),
            refresh_token,
            scope: members.scope.filter(|scope| !scope.is_empty()),
            issued_token_type: members.issued_token_type,
            id_token: members.id_token.filter(|token| !token.is_empty()),
        })
    }
}

/// The members that are looked at. Read by hand because a derived reader lets doubled unknown members pass.
#[derive(Default)]
struct Members {
    access_token: Option<Secret>,
    token_type: Option<String>,
    expires_in: Seconds,
    expires_on: Seconds,
    expiration: Seconds,
    refresh_in: Seconds,
    refresh_token: Option<Secret>,
    scope: Option<String>,
    issued_token_type: Option<String>,
    id_token: Option<Secret>,
    has_error: bool,
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Members::default();
                let mut seen = HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    match name.as_str() {
                        "access_token" => members.access_token = secret(&mut map)?,
                        "token_type" => members.token_type = map.next_value()?,
                        "expires_in" => members.expires_in = map.next_value()?,
                        "expires_on" => members.expires_on = map.next_value()?,
                        "expiration" => members.expiration = map.next_value()?,
                        "refresh_in" => members.refresh_in = map.next_value()?,
                        "refresh_token" => members.refresh_token = secret(&mut map)?,
                        "scope" => members.scope = map.next_value()?,
                        "issued_token_type" => members.issued_token_type = map.next_value()?,
                        "id_token" => members.id_token = secret(&mut map)?,
                        "error" => members.has_error = Failure::is_error(&map.next_value()?),
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                    if !seen.insert(name) {
                        return Err(A::Error::custom(TWICE));
                    }
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

fn secret<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Option<Secret>, A::Error> {
    Ok(map.next_value::<Option<String>>()?.map(Secret::from))
}

/// A number of seconds as servers write it.
#[derive(Clone, Copy, Default)]
enum Seconds {
    /// Missing, `null` or an empty string.
    #[default]
    Absent,
    Given(f64),
    /// No number at all.
    Nonsense,
}

impl Seconds {
    fn life(self, host: &str, member: &str) -> Option<Duration> {
        match self {
            Self::Absent => None,
            Self::Given(seconds) if seconds <= 0.0 => Some(Duration::ZERO),
            Self::Given(seconds) if seconds <= TEN_YEARS => Some(Duration::from_secs_f64(seconds)),
            Self::Given(_) | Self::Nonsense => {
                tracing::warn!(host, member, "the server states an absurd lifetime, which is ignored");
                None
            }
        }
    }

    fn moment(self, now: SystemTime, host: &str, member: &str) -> Option<SystemTime> {
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        match self {
            Self::Absent => None,
            Self::Given(seconds) if seconds <= 0.0 => Some(UNIX_EPOCH),
            Self::Given(seconds) if seconds <= now + TEN_YEARS => {
                UNIX_EPOCH.checked_add(Duration::from_secs_f64(seconds))
            }
            Self::Given(_) | Self::Nonsense => {
                tracing::warn!(host, member, "the server states an absurd expiry, which is ignored");
                None
            }
        }
    }
}

impl<'de> Deserialize<'de> for Seconds {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = |seconds: f64| if seconds.is_finite() { Self::Given(seconds) } else { Self::Nonsense };
        Ok(match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Null => Self::Absent,
            serde_json::Value::Number(value) => value.as_f64().map_or(Self::Nonsense, number),
            serde_json::Value::String(text) if text.trim().is_empty() => Self::Absent,
            serde_json::Value::String(text) => text.trim().parse().map_or(Self::Nonsense, number),
            _ => Self::Nonsense,
        })
    }
}

const TEN_YEARS: f64 = 10.0 * 366.0 * 86_400.0;
const TWICE: &str = "the token answer holds a member twice";

#[cfg(test)]
mod tests {
    use unexpired_core::ErrorKind;

    use super::*;
    use crate::response::tests::response;

    fn read(body: impl AsRef<[u8]>) -> Result<TokenResponse, MintError> {
        response(200, &[("date", "Thu, 01 Jan 2026 00:00:00 GMT")], body).token()
    }

    #[test]
    fn every_way_to_write_expires_in() {
        let seconds = |s| Some(Duration::from_secs(s));
        for (value, expected) in [
            ("3600", seconds(3600)),
            ("\"3600\"", seconds(3600)),
            ("\" 3600 \"", seconds(3600)),
            ("3599.75", Some(Duration::from_millis(3_599_750))),
            ("\"3599.75\"", Some(Duration::from_millis(3_599_750))),
            ("3.6e3", seconds(3600)),
            ("0", seconds(0)),
            ("-1", seconds(0)),
            ("\"-1\"", seconds(0)),
            ("-1e300", seconds(0)),
            ("315360000", seconds(315_360_000)),
            ("316224001", None),
            ("1767225600000", None),
            ("1e300", None),
            ("18446744073709551615", None),
            ("99999999999999999999999999", None),
            ("\"NaN\"", None),
            ("\"inf\"", None),
            ("\"-inf\"", None),
            ("\"1e999\"", None),
            ("\"soon\"", None),
            ("\"\"", None),
            ("null", None),
            ("true", None),
            ("[3600]", None),
            ("{}", None),
        ] {
            let token =
                read(format!(r#"{{"access_token":"at-1","token_type":"Bearer","expires_in":{value}}}"#)).unwrap();
            assert_eq!(token.expires_in, expected, "{value}");
        }
        assert_eq!(read(r#"{"access_token":"at-1"}"#).unwrap().expires_in, None);
        // A number that JSON readers cannot hold makes the whole answer unreadable.
        assert_eq!(read(r#"{"access_token":"at-1","expires_in":1e999}"#).unwrap_err().kind(), ErrorKind::Malformed);
    }

    #[test]
    fn zero_is_expired_on_arrival() {
        for value in ["0", "-5", "\"-5\""] {
            let response = response(200, &[], format!(r#"{{"access_token":"at-1","expires_in":{value}}}"#));
            let error = response.token().unwrap().into_builder(&response).build().unwrap_err();
            assert!(error.message().contains("expired"), "{error}");
        }
    }

    #[test]
    fn absolute_expiries_and_hints() {
        let at = |s| UNIX_EPOCH.checked_add(Duration::from_secs(s));
        for (members, expires_at, refresh_in) in [
            (r#""expires_on":"1767229200""#, at(1_767_229_200), None),
            (r#""expiration":1767229200"#, at(1_767_229_200), None),
            (r#""expires_on":"01/01/2026 01:00:00 +00:00","expiration":1767229200"#, at(1_767_229_200), None),
            (r#""expires_on":1767229200000"#, None, None),
            (r#""expires_on":-1"#, Some(UNIX_EPOCH), None),
            (r#""refresh_in":"1800""#, None, Some(Duration::from_secs(1800))),
            (r#""refresh_in":0"#, None, None),
            (r#""refresh_in":-1"#, None, None),
        ] {
            let token = read(format!(r#"{{"access_token":"at-1",{members}}}"#)).unwrap();
            assert_eq!((token.expires_at, token.refresh_in), (expires_at, refresh_in), "{members}");
        }
    }

    #[test]
    fn a_token_that_would_split_a_header_is_refused() {
        for token in ["at\\r\\nX: y", "at\\n", "at\\u0000", "at 1", "", "=", "\\u00e9", "at\\u007f", "at\\ttab"] {
            let error = read(format!(r#"{{"access_token":"{token}","expires_in":60}}"#)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed, "{token}");
            assert!(error.to_string().contains("access_token"), "{error}");
        }
        let error = read(r#"{"access_token":"at-1","refresh_token":"rt\r\n1"}"#).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
    }

    #[test]
    fn what_is_no_token_answer_is_malformed() {
        for body in [
            "",
            " ",
            "null",
            "[]",
            "\"at-1\"",
            "at-1",
            "{",
            "{}",
            r#"{"access_token":null}"#,
            r#"{"access_token":7}"#,
            r#"{"access_token":["at-1"]}"#,
            r#"{"access_token":"at-1","token_type":7}"#,
            r#"{"access_token":"at-1"} trailing"#,
            r#"{"access_token":"at-1"}{"access_token":"at-2"}"#,
            "<html><body>sign in</body></html>",
            "access_token=at-1&expires_in=3600",
        ] {
            let error = read(body).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed, "{body}");
            assert!(!error.to_string().contains("at-1") && error.to_string().contains("as.example.com"), "{error}");
        }
        assert!(read("<html>").unwrap_err().to_string().contains("HTML"));
        assert_eq!(read(b"\xff\xfe{}").unwrap_err().kind(), ErrorKind::Malformed);
    }

    #[test]
    fn doubled_members_are_refused_known_or_not() {
        for body in [
            r#"{"access_token":"at-1","access_token":"at-2"}"#,
            r#"{"access_token":"at-1","access_token":"at-1"}"#,
            r#"{"access_token":"at-1","expires_in":60,"expires_in":3600}"#,
            r#"{"access_token":"at-1","x":1,"x":1}"#,
            r#"{"access_token":"at-1","\u0061ccess_token":"at-2"}"#,
        ] {
            let error = read(body).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed, "{body}");
            assert!(error.to_string().contains("twice"), "{error}");
        }
    }

    #[test]
    fn what_else_a_good_answer_may_hold() {
        let token = read(
            "\u{feff} {\"access_token\":\"at-1\",\"token_type\":\"bearer\",\"scope\":\"a b\",\"refresh_token\":\"rt-1\",\"id_token\":\"i\",\
             \"issued_token_type\":\"urn:ietf:params:oauth:token-type:access_token\",\"error\":null,\"unknown\":{\"deep\":[1,{}]}}",
        )
        .unwrap();
        assert_eq!(token.access_token.expose(), "at-1");
        assert_eq!(token.token_type, "bearer");
        assert_eq!(token.scope.as_deref(), Some("a b"));
        assert_eq!(token.refresh_token.as_ref().map(Secret::expose), Some("rt-1"));
        assert_eq!(token.id_token.as_ref().map(Secret::expose), Some("i"));
        assert!(!format!("{token:?}").contains("at-1") && !format!("{token:?}").contains("rt-1"));

        let token = read(r#"{"access_token":"at-1","refresh_token":"","scope":null,"token_type":null}"#).unwrap();
        assert_eq!((token.token_type.as_str(), token.refresh_token.is_none(), token.scope), ("Bearer", true, None));
    }

    #[test]
    fn an_error_with_status_200_is_an_error() {
        let error = read(r#"{"error":"invalid_grant","error_description":"expired"}"#).unwrap_err();
        assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Denied, Some("invalid_grant")));
        let error = read(r#"{"error":"temporarily_unavailable","access_token":"at-1"}"#).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let error = read(r#"{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED"}}"#).unwrap_err();
        assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Denied, Some("PERMISSION_DENIED")));
    }
}
