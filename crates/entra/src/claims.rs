//! The `claims` parameter: what a resource demanded, and what the client announces of itself.

use serde_json::{Map, Value, json};
use unexpired_core::{ErrorKind, MintError};

/// The value of `claims`, or none if there is nothing to say.
///
/// A challenge goes out as it came in. A client that handles challenges merges its capability `cp1` into it.
pub(crate) fn parameter(challenge: Option<&str>, cae: bool) -> Result<Option<String>, MintError> {
    let Some(challenge) = challenge else {
        return Ok(cae.then(|| capability().to_string()));
    };
    let Ok(demanded @ Value::Object(_)) = serde_json::from_str(challenge) else {
        return Err(MintError::new(ErrorKind::Malformed, "the resource's claims challenge is no JSON object"));
    };
    if !cae {
        return Ok(Some(challenge.to_owned()));
    }
    let mut claims = demanded;
    merge(&mut claims, capability());
    Ok(Some(claims.to_string()))
}

fn capability() -> Value {
    json!({ "access_token": { "xms_cc": { "values": ["cp1"] } } })
}

/// Adds `more` to `base`: objects member by member, lists by the texts they lack (capabilities are compared without case). Where both say
/// something else of one member, what the server said stays.
fn merge(base: &mut Value, more: Value) {
    match (base, more) {
        (Value::Object(base), Value::Object(more)) => merge_members(base, more),
        (Value::Array(base), Value::Array(more)) => {
            for value in more {
                let known = base.iter().any(|held| match (held.as_str(), value.as_str()) {
                    (Some(held), Some(value)) => held.eq_ignore_ascii_case(value),
                    _ => *held == value,
                });
                if !known {
                    base.push(value);
                }
            }
        }
        // `"access_token": null` is how OpenID Connect asks for a claim without conditions.
        (base @ Value::Null, more) => *base = more,
        _ => {}
    }
}

fn merge_members(base: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        match base.get_mut(&name) {
            Some(held) => merge(held, value),
            None => {
                base.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NBF: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1767225600"}}}"#;

    #[test]
    fn challenge_and_capability_are_merged_deeply() {
        for (challenge, cae, expected) in [
            (None, false, None),
            (None, true, Some(r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#)),
            (Some(NBF), false, Some(NBF)),
            (
                Some(NBF),
                true,
                Some(r#"{"access_token":{"nbf":{"essential":true,"value":"1767225600"},"xms_cc":{"values":["cp1"]}}}"#),
            ),
            (
                Some(r#"{"access_token":{"xms_cc":{"values":["CP1","x"]}},"id_token":null}"#),
                true,
                Some(r#"{"access_token":{"xms_cc":{"values":["CP1","x"]}},"id_token":null}"#),
            ),
            (
                Some(r#"{"access_token":{"xms_cc":{"values":["x"]}}}"#),
                true,
                Some(r#"{"access_token":{"xms_cc":{"values":["x","cp1"]}}}"#),
            ),
            (Some(r#"{"access_token":null}"#), true, Some(r#"{"access_token":{"xms_cc":{"values":["cp1"]}}}"#)),
            (Some(r#"{"access_token":5}"#), true, Some(r#"{"access_token":5}"#)),
        ] {
            let value = parameter(challenge, cae).unwrap();
            let as_json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(value.as_deref().map(as_json), expected.map(as_json), "{challenge:?}");
        }
    }

    #[test]
    fn a_challenge_without_the_capability_is_passed_on_to_the_letter() {
        let spaced = "{ \"access_token\": {\"nbf\": {\"essential\":true} } }";
        assert_eq!(parameter(Some(spaced), false).unwrap().as_deref(), Some(spaced));
    }

    #[test]
    fn what_is_no_object_is_not_sent() {
        // Base64 in place of JSON is the usual mistake.
        for challenge in ["", "eyJhY2Nlc3NfdG9rZW4iOnt9fQ==", "[]", "null", "{"] {
            assert_eq!(parameter(Some(challenge), true).unwrap_err().kind(), ErrorKind::Malformed, "{challenge}");
        }
    }
}
