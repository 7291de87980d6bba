//! What a resource said when it refused a token: `WWW-Authenticate`, read.

use crate::Secret;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// What a refusal by a resource means for the token.
///
/// ```
/// use unexpired_core::Challenge;
///
/// assert!(matches!(Challenge::of(401, ["Bearer error=\"invalid_token\""]), Challenge::Plain));
/// assert!(matches!(Challenge::of(403, ["Bearer error=\"insufficient_scope\""]), Challenge::Permission));
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Challenge {
    /// The token is not accepted; nothing more is known.
    #[default]
    Plain,
    /// The token must be minted anew with these claims (a JSON object as text): Entra's continuous access evaluation.
    Claims(Secret),
    /// The token is accepted, but does not permit this: `insufficient_scope`, gRPC's `PermissionDenied`, a 403 without a word. A new token
    /// would not help, so this never retires one.
    Permission,
}

impl Challenge {
    /// Reads the status of a refusal and its `WWW-Authenticate` header lines.
    ///
    /// `insufficient_claims` with claims that decode to an object with `access_token` is [`Claims`](Self::Claims) (401 or 403);
    /// `insufficient_scope` and `insufficient_user_authentication` (RFC 9470) are [`Permission`](Self::Permission), as is a 403 without
    /// `invalid_token`; everything else is [`Plain`](Self::Plain).
    pub fn of<'a>(status: u16, www_authenticate: impl IntoIterator<Item = &'a str>) -> Self {
        let mut invalid_token = false;
        for line in www_authenticate {
            for challenge in parse_www_authenticate(line) {
                if !challenge.scheme.eq_ignore_ascii_case("bearer") {
                    continue;
                }
                match challenge.parameter("error") {
                    Some("insufficient_claims") => {
                        if let Some(claims) = challenge.parameter("claims").and_then(decode_claims) {
                            return Self::Claims(claims);
                        }
                    }
                    Some("insufficient_scope" | "insufficient_user_authentication") => return Self::Permission,
                    Some("invalid_token") => invalid_token = true,
                    _ => {}
                }
            }
        }
        if status == 403 && !invalid_token { Self::Permission } else { Self::Plain }
    }
}

/// One challenge of a `WWW-Authenticate` header (RFC 9110 section 11.3).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthChallenge {
    /// The scheme as it was written; compare without case.
    pub scheme: String,
    /// Names in lower case with their values; of several of one name the first.
    pub parameters: Vec<(String, String)>,
}

impl AuthChallenge {
    /// The value of a parameter, by its name in lower case.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The challenges in one `WWW-Authenticate` header line. What makes no sense ends the reading; what was read before it counts.
///
/// ```
/// use unexpired_core::parse_www_authenticate;
///
/// let challenges = parse_www_authenticate(r#"Negotiate YII=, Bearer realm="a, b", error=invalid_token"#);
/// assert_eq!(challenges.len(), 2);
/// assert_eq!(challenges[1].parameter("realm"), Some("a, b"));
/// ```
pub fn parse_www_authenticate(line: &str) -> Vec<AuthChallenge> {
    let mut challenges: Vec<AuthChallenge> = Vec::new();
    let mut rest = line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (word, after) = split_token(rest);
        if word.is_empty() {
            return challenges;
        }
        let blank = after.trim_start_matches([' ', '\t']);
        if let Some(value) = blank.strip_prefix('=').filter(|_| !challenges.is_empty()) {
            let Some((value, after)) = split_value(value.trim_start_matches([' ', '\t'])) else { return challenges };
            if let Some(challenge) = challenges.last_mut() {
                let name = word.to_ascii_lowercase();
                if challenge.parameter(&name).is_none() {
                    challenge.parameters.push((name, value));
                }
            }
            rest = after;
            continue;
        }
        challenges.push(AuthChallenge { scheme: word.to_owned(), parameters: Vec::new() });
        // A token68 follows its scheme and is followed by a comma or the end.
        let (candidate, end) = split_while(blank, |c| c.is_ascii_alphanumeric() || "-._~+/".contains(c));
        let end = end.trim_start_matches('=');
        let end = end.trim_start_matches([' ', '\t']);
        let alone = end.is_empty() || end.starts_with(',');
        rest = if blank.len() < after.len() && !candidate.is_empty() && alone { end } else { after };
    }
}

fn split_token(text: &str) -> (&str, &str) {
    split_while(text, |c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c))
}

fn split_while(text: &str, accept: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c: char| !accept(c)).unwrap_or(text.len()))
}

/// A token or a quoted string, unescaped, and what follows.
fn split_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, after) = split_token(text);
        return Some((value.to_owned(), after));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, quoted.get(at + 1..).unwrap_or_default())),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// Claims come as base64 in either alphabet, padded or not, and must be an object with `access_token`.
fn decode_claims(text: &str) -> Option<Secret> {
    let text = text.trim().trim_end_matches('=').replace('-', "+").replace('_', "/");
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let json = GeneralPurpose::new(&alphabet::STANDARD, config).decode(text).ok()?;
    let json = String::from_utf8(json).ok()?;
    let value: serde_json::Value = serde_json::from_str(&json).ok()?;
    value.get("access_token")?.is_object().then(|| Secret::new(json))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIMS: &str = "eyJhY2Nlc3NfdG9rZW4iOnsibmJmIjp7ImVzc2VudGlhbCI6dHJ1ZSwidmFsdWUiOiIxNzY3MjI1NjAwIn19fQ==";

    fn read(line: &str) -> Vec<(String, Vec<(String, String)>)> {
        parse_www_authenticate(line).into_iter().map(|c| (c.scheme, c.parameters)).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    #[test]
    fn headers_as_servers_write_them() {
        assert_eq!(read("Bearer"), [("Bearer".into(), vec![])]);
        assert_eq!(
            read(r#"Bearer realm="a, b", error="invalid_token", error_description="it \"expired\"""#),
            [(
                "Bearer".into(),
                pairs(&[("realm", "a, b"), ("error", "invalid_token"), ("error_description", "it \"expired\"")])
            )]
        );
        assert_eq!(read("bearer error=invalid_token"), [("bearer".into(), pairs(&[("error", "invalid_token")]))]);
        assert_eq!(
            read(r#"Bearer realm="x", DPoP algs="ES256 PS256", error="use_dpop_nonce""#),
            [
                ("Bearer".into(), pairs(&[("realm", "x")])),
                ("DPoP".into(), pairs(&[("algs", "ES256 PS256"), ("error", "use_dpop_nonce")]))
            ]
        );
        assert_eq!(
            read(r#"Negotiate YII=, Bearer realm="x""#),
            [("Negotiate".into(), vec![]), ("Bearer".into(), pairs(&[("realm", "x")]))]
        );
        assert_eq!(read("Basic, Bearer"), [("Basic".into(), vec![]), ("Bearer".into(), vec![])]);
        assert_eq!(
            read(r#"Bearer Realm = "x" , error="a", error="b""#),
            [("Bearer".into(), pairs(&[("realm", "x"), ("error", "a")]))]
        );
        assert_eq!(read(r#"Bearer realm="never closed"#), [("Bearer".into(), vec![])]);
        assert_eq!(read(""), []);
    }

    #[test]
    fn what_each_refusal_means() {
        let claims =
            |line: &str| matches!(Challenge::of(401, [line]), Challenge::Claims(c) if c.expose().contains("nbf"));
        let plain = |status, line: &str| matches!(Challenge::of(status, [line]), Challenge::Plain);
        let permission = |status, line: &str| matches!(Challenge::of(status, [line]), Challenge::Permission);
        assert!(claims(&format!(r#"Bearer realm="", error="insufficient_claims", claims="{CLAIMS}""#)));
        assert!(claims(&format!(r#"Bearer claims="{CLAIMS}", error="insufficient_claims""#)));
        assert!(claims(&format!(
            r#"PoP nonce="x", Bearer error="insufficient_claims", claims="{}""#,
            CLAIMS.trim_end_matches('=')
        )));
        assert!(plain(401, &format!(r#"Bearer error="invalid_token", claims="{CLAIMS}""#)));
        assert!(plain(401, r#"Bearer error="insufficient_claims", claims="not base64!""#));
        assert!(plain(401, ""));
        assert!(plain(401, "Basic realm=\"x\""));
        assert!(plain(403, r#"Bearer error="invalid_token""#));
        assert!(permission(403, ""));
        assert!(permission(401, r#"Basic realm="x", Bearer error="insufficient_scope", scope="a b""#));
        assert!(permission(
            401,
            r#"Bearer error="insufficient_user_authentication", acr_values="myACR", max_age="300""#
        ));
    }
}
