//! What a refusal by the upstream says about the token.

use http::header::{HeaderMap, WWW_AUTHENTICATE};
use serde_json::Value;
use unexpired_core::Challenge;

/// What a response with this status and these headers says about the token.
pub(crate) enum Verdict {
    /// Nothing.
    Fine,
    /// The token is refused.
    Refused(Challenge),
    /// A 403 that may say in its body that the token has expired.
    AskBody,
}

/// `also` are the statuses that the configuration says mean an expired token.
pub(crate) fn judge(status: u16, headers: &HeaderMap, also: &[u16]) -> Verdict {
    let means_refused = status == 401 || also.contains(&status);
    if !means_refused && status != 403 {
        return Verdict::Fine;
    }
    // Where any refusal of this status means the token, it is read as a 401 is.
    match Challenge::of(if means_refused { 401 } else { status }, lines(headers)) {
        Challenge::Permission if !means_refused => {
            if lines(headers).any(is_expiry) {
                Verdict::Refused(Challenge::Plain)
            } else if matches!(Challenge::of(401, lines(headers)), Challenge::Permission) {
                // Read as a 401, only an outright statement counts.
                Verdict::Fine
            } else {
                Verdict::AskBody
            }
        }
        Challenge::Permission => Verdict::Fine,
        challenge => Verdict::Refused(challenge),
    }
}

fn lines(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|line| line.to_str().ok())
}

/// Whether a JSON body says that the token has expired: in one of the fields that APIs document, by code or in words.
pub(crate) fn body_says_expired(body: &[u8]) -> bool {
    serde_json::from_slice::<Value>(body).is_ok_and(|value| says_expired(&value, 0))
}

fn says_expired(value: &Value, depth: usize) -> bool {
    if depth > DEEPEST {
        return false;
    }
    match value {
        Value::Object(fields) => fields.iter().any(|(name, value)| match value {
            Value::String(text) => FIELDS.contains(&name.to_ascii_lowercase().as_str()) && is_expiry(text),
            nested => says_expired(nested, depth + 1),
        }),
        Value::Array(items) => items.iter().any(|item| says_expired(item, depth + 1)),
        _ => false,
    }
}

/// `invalid_token`, `ExpiredTokenException`, `TOKEN_EXPIRED`, "The security token included in the request is expired".
fn is_expiry(text: &str) -> bool {
    let text: String = text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    let speaks_of_token = ["token", "credential", "jwt"].iter().any(|word| text.contains(word));
    text == "invalidtoken" || (speaks_of_token && text.contains("expired"))
}

/// Where APIs put a code or a message: OAuth, OpenAI, Google, Azure, AWS.
const FIELDS: [&str; 11] = [
    "error",
    "error_code",
    "error_description",
    "code",
    "type",
    "__type",
    "reason",
    "status",
    "message",
    "msg",
    "detail",
];
const DEEPEST: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, challenge: &str, also: &[u16]) -> &'static str {
        let mut headers = HeaderMap::new();
        if !challenge.is_empty() {
            headers.insert(WWW_AUTHENTICATE, challenge.parse().unwrap());
        }
        match judge(status, &headers, also) {
            Verdict::Fine => "fine",
            Verdict::Refused(Challenge::Claims(_)) => "claims",
            Verdict::Refused(_) => "refused",
            Verdict::AskBody => "body",
        }
    }

    #[test]
    fn which_answers_mean_the_token() {
        let claims = "Bearer error=\"insufficient_claims\", claims=\"eyJhY2Nlc3NfdG9rZW4iOnt9fQ==\"";
        for (status, challenge, also, expected) in [
            (200, "", &[][..], "fine"),
            (401, "", &[], "refused"),
            (401, "Bearer error=\"invalid_token\"", &[], "refused"),
            (401, "Bearer error=\"insufficient_scope\"", &[], "fine"),
            (401, claims, &[], "claims"),
            (403, claims, &[], "claims"),
            (403, "", &[], "body"),
            (403, "Bearer error=\"invalid_token\"", &[], "refused"),
            (403, "Bearer error_description=\"The access token expired\"", &[], "refused"),
            (403, "Bearer error=\"insufficient_scope\"", &[], "fine"),
            (403, "", &[403], "refused"),
            (403, "Bearer error=\"insufficient_scope\"", &[403], "fine"),
            (440, "", &[], "fine"),
            (440, "", &[403, 440], "refused"),
            (500, "Bearer error=\"invalid_token\"", &[], "fine"),
        ] {
            assert_eq!(verdict(status, challenge, also), expected, "{status} {challenge} {also:?}");
        }
    }

    #[test]
    fn bodies_that_speak_of_an_expired_token() {
        for body in [
            r#"{"error":"invalid_token"}"#,
            r#"{"error":{"code":"token_expired","message":"x"}}"#,
            r#"{"error":{"code":"ExpiredAuthenticationToken"}}"#,
            r#"{"message":"The security token included in the request is expired"}"#,
            r#"{"__type":"ExpiredTokenException"}"#,
            r#"{"errors":[{"reason":"TOKEN_EXPIRED"}]}"#,
            r#"{"error":{"details":[{"reason":"ACCESS_TOKEN_EXPIRED"}]}}"#,
            r#"{"error":{"message":"Provided authentication credentials have expired: token"}}"#,
        ] {
            assert!(body_says_expired(body.as_bytes()), "{body}");
        }
        for body in [
            "",
            "expired token",
            r#"{"error":"forbidden"}"#,
            r#"{"error":{"message":"Your subscription has expired"}}"#,
            r#"{"error":{"message":"You lack permission to use this token"}}"#,
            r#"{"prompt":"my token expired"}"#,
            r#"["invalid_token"]"#,
        ] {
            assert!(!body_says_expired(body.as_bytes()), "{body}");
        }
    }
}
