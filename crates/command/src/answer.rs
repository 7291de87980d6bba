//! What a command printed, read as a token. No error holds any part of it, except the code and message of an answer that says that it is an
//! error.

use crate::aws::{self, AwsCredentials};
use crate::rfc3339;
use serde::Deserialize;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use unexpired_core::text::is_b64token;
use unexpired_core::{ErrorKind, MintError, Secret};
use zeroize::Zeroizing;

/// A token as it was printed.
pub(crate) struct Answer {
    pub(crate) token: Secret,
    pub(crate) scheme: Option<String>,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) expires_at: Option<SystemTime>,
}

impl Answer {
    fn of(token: &str) -> Result<Self, MintError> {
        Ok(Self { token: checked(token)?, scheme: None, expires_in: None, expires_at: None })
    }

    /// The same, with the earliest of `moments`.
    fn until(mut self, object: &Object, moments: &[&'static str]) -> Result<Self, MintError> {
        for name in moments {
            let moment = object.get(*name).map_or(Ok(None), |value| moment(name, value))?;
            self.expires_at = [self.expires_at, moment].into_iter().flatten().min();
        }
        Ok(self)
    }
}

/// Recognises the answer.
pub(crate) fn read(stdout: &[u8]) -> Result<Answer, MintError> {
    let text = std::str::from_utf8(stdout).map_err(|_| malformed("the answer is not UTF-8"))?;
    // PowerShell begins files with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii();
    match text.as_bytes().first() {
        None => Err(malformed("the answer is empty")),
        Some(b'{' | b'[' | b'"') => match serde_json::from_str(text) {
            Ok(Json::Object(object)) => document(&object),
            Ok(Json::Text(token)) => Answer::of(&token),
            Ok(_) => Err(malformed("the answer is JSON, but no object")),
            Err(_) => Err(malformed("the answer begins like JSON and is none, or has a member twice")),
        },
        Some(b'<') => Err(malformed("the answer is HTML or XML")),
        Some(_) => Answer::of(text),
    }
}

/// AWS `credential_process`, version 1. The keys are packed into one text.
pub(crate) fn read_aws(stdout: &[u8]) -> Result<Answer, MintError> {
    let text = std::str::from_utf8(stdout).map_err(|_| malformed("the answer is not UTF-8"))?;
    let Ok(Json::Object(object)) = serde_json::from_str(text.trim_ascii()) else {
        return Err(malformed("the answer is no JSON object, or has a member twice"));
    };
    if !matches!(object.get("Version"), Some(Json::Number(version)) if *version == 1.0) {
        return Err(malformed("the answer's Version is not the number 1"));
    }
    let member = |name: &str| match object.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::Text(text)) if is_key(text) => Ok(Some(Secret::new(text.as_str()))),
        Some(_) => Err(malformed(&format!("the answer's {name} is no text, is empty, or holds blanks"))),
    };
    let needed = |name: &str| member(name)?.ok_or_else(|| malformed(&format!("the answer has no {name}")));
    let keys = AwsCredentials {
        access_key_id: needed("AccessKeyId")?,
        secret_access_key: needed("SecretAccessKey")?,
        session_token: member("SessionToken")?,
        account_id: member("AccountId")?,
    };
    let answer =
        Answer { token: keys.pack(), scheme: Some(aws::SCHEME.to_owned()), expires_in: None, expires_at: None };
    answer.until(&object, &["Expiration"])
}

fn is_key(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic())
}

/// The kinds of JSON, by what only they have.
fn document(object: &Object) -> Result<Answer, MintError> {
    if object.get("kind").is_some_and(|kind| kind.text() == Some("ExecCredential")) {
        exec_credential(object)
    } else if let Some(success) = is_google_executable(object) {
        google_executable(object, success)
    } else if object.contains_key("AccessKeyId") || object.contains_key("SecretAccessKey") {
        Err(MintError::new(
            ErrorKind::Misconfigured,
            "the answer holds AWS keys (credential_process): they sign requests, and none of them is a bearer token",
        ))
    } else if let Some(Json::Object(credential)) = object.get("credential") {
        // gcloud config config-helper
        match credential.get("access_token").and_then(Json::text) {
            Some(token) => Answer::of(token)?.until(credential, &["token_expiry"]),
            None if has_token(object) => generic(object),
            None => Err(malformed("the answer's credential has no access_token")),
        }
    } else {
        generic(object)
    }
}

fn has_token(object: &Object) -> bool {
    TOKENS.iter().any(|name| object.contains_key(*name))
}

/// Many programs say `success`. What it says, if the rest does not speak for another kind of answer; and a failure always counts.
fn is_google_executable(object: &Object) -> Option<bool> {
    let Some(Json::Bool(success)) = object.get("success") else { return None };
    let versioned = object.contains_key("version");
    let holds = object.contains_key("id_token") || object.contains_key("saml_response");
    let google = if has_token(object) { versioned && holds } else { versioned || holds };
    (google || !success).then_some(*success)
}

/// Kubernetes: `client.authentication.k8s.io/v1` and `v1beta1`, which have the same members.
fn exec_credential(object: &Object) -> Result<Answer, MintError> {
    let version = object.get("apiVersion").and_then(Json::text).unwrap_or_default();
    if !matches!(version, "client.authentication.k8s.io/v1" | "client.authentication.k8s.io/v1beta1") {
        return Err(malformed("the ExecCredential is neither of version v1 nor of v1beta1"));
    }
    let Some(Json::Object(status)) = object.get("status") else {
        return Err(malformed("the ExecCredential has no status"));
    };
    match status.get("token").and_then(Json::text) {
        Some(token) if !token.is_empty() => Answer::of(token)?.until(status, &["expirationTimestamp"]),
        _ if status.contains_key("clientCertificateData") => {
            Err(MintError::new(ErrorKind::Misconfigured, "the ExecCredential holds a client certificate and no token"))
        }
        _ => Err(malformed("the ExecCredential's status has no token")),
    }
}

/// AIP-4117, version 1.
fn google_executable(object: &Object, success: bool) -> Result<Answer, MintError> {
    if !success {
        let message = object.get("message").and_then(Json::text).unwrap_or("the command reports a failure");
        let error = MintError::new(ErrorKind::Denied, message);
        return Err(match object.get("code") {
            Some(Json::Text(code)) => error.code(&**code),
            Some(Json::Number(code)) => error.code(code.to_string()),
            _ => error,
        });
    }
    if !matches!(object.get("version"), Some(Json::Number(version)) if *version <= 1.0) {
        return Err(malformed("the answer's version is not 1"));
    }
    match object.get("id_token").and_then(Json::text) {
        Some(token) => Answer::of(token)?.until(object, &["expiration_time"]),
        None if object.contains_key("saml_response") => {
            Err(MintError::new(ErrorKind::Misconfigured, "the answer holds a SAML assertion, which is no bearer token"))
        }
        None => Err(malformed("the answer has no id_token")),
    }
}

/// `az`, `azd`, `ibmcloud`, OAuth token responses, and whatever looks like them.
fn generic(object: &Object) -> Result<Answer, MintError> {
    let Some(token) = TOKENS.iter().find_map(|name| object.get(*name)) else {
        return Err(match object.get("error").and_then(Json::text).filter(|error| is_oauth_code(error)) {
            Some(code @ ("temporarily_unavailable" | "server_error")) => {
                MintError::new(ErrorKind::Unavailable, "the answer is an error").code(code)
            }
            Some(code) => MintError::new(ErrorKind::Denied, "the answer is an error").code(code),
            None => malformed("the answer is JSON without access_token or token"),
        });
    };
    let Some(token) = token.text() else {
        return Err(malformed("the answer's token is no text"));
    };
    let mut answer = Answer::of(token)?.until(object, &MOMENTS)?;
    // Local time without a zone, as `az` prints it, is not believed; `azd` prints the same member with a zone.
    let with_zone = object.get("expiresOn").and_then(Json::text).and_then(|text| rfc3339::parse(text.trim()));
    answer.expires_at = [answer.expires_at, with_zone.map(since_epoch)].into_iter().flatten().min();
    let life = object.get("expires_in").map_or(Ok(None), |life| seconds("expires_in", life))?;
    // What is absurd is as good as nothing said.
    answer.expires_in = life.filter(|life| *life <= TEN_YEARS).map(|life| Duration::from_secs_f64(life.max(0.0)));
    let scheme = ["token_type", "tokenType"].iter().find_map(|name| object.get(*name)).and_then(Json::text);
    if let Some(kind) = scheme.and_then(|s| UNUSABLE.iter().find(|kind| s.eq_ignore_ascii_case(kind))) {
        let message = format!("the answer holds a token of the type {kind}, which is no bearer token");
        return Err(MintError::new(ErrorKind::Misconfigured, message));
    }
    // URNs name formats, not schemes.
    answer.scheme = scheme.filter(|s| is_scheme(s)).map(str::to_owned);
    Ok(answer)
}

/// The token without `Bearer ` or what `ibmcloud iam oauth-tokens` puts before it.
fn checked(text: &str) -> Result<Secret, MintError> {
    if text.contains('\u{1b}') {
        return Err(malformed("the answer holds colour codes"));
    }
    if text.contains(['\n', '\r']) {
        return Err(malformed("the answer has more than one line"));
    }
    if text.chars().any(char::is_control) {
        return Err(malformed("the answer holds control characters"));
    }
    let text = text.trim();
    let text = without_prefix(text, "iam token:");
    let text = without_prefix(text, "bearer ");
    if text.is_empty() {
        return Err(malformed("the answer's token is empty"));
    }
    if text.contains(char::is_whitespace) {
        return Err(malformed("the answer is more than one word"));
    }
    // What `jq -r` and `--query` print for something that is not there.
    if NOTHING.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return Err(malformed("the answer is a word for nothing"));
    }
    if !is_b64token(text) {
        return Err(malformed("the answer holds characters that no bearer token has"));
    }
    Ok(Secret::new(text))
}

fn without_prefix<'a>(text: &'a str, prefix: &str) -> &'a str {
    match text.split_at_checked(prefix.len()) {
        Some((head, rest)) if head.eq_ignore_ascii_case(prefix) => rest.trim_start(),
        _ => text,
    }
}

/// A moment in time; `None` where nothing is said: null, an empty text (gcloud), the year 1 (Go's zero time).
fn moment(name: &str, value: &Json) -> Result<Option<SystemTime>, MintError> {
    if let Some(epoch) = value.text().and_then(|text| rfc3339::parse(text.trim())) {
        return Ok((epoch > GO_ZERO_TIME_ENDS).then(|| since_epoch(epoch)));
    }
    let Some(epoch) = seconds(name, value)? else { return Ok(None) };
    let epoch = if epoch > MILLISECONDS { epoch / 1000.0 } else { epoch };
    // A cast from float saturates.
    Ok(Some(since_epoch(epoch as i64)))
}

/// A number, or a number in a text.
fn seconds(name: &str, value: &Json) -> Result<Option<f64>, MintError> {
    let number = match value {
        Json::Null => return Ok(None),
        Json::Text(text) if text.trim().is_empty() => return Ok(None),
        Json::Text(text) => text.trim().parse().ok(),
        Json::Number(number) => Some(*number),
        _ => None,
    };
    match number.filter(|number| number.is_finite()) {
        Some(number) => Ok(Some(number)),
        None => Err(malformed(&format!("the answer's {name} is neither a number nor a time with a zone"))),
    }
}

/// What is before 1970 or beyond every calendar is 1970 or as late as can be said: expired, or no limit.
fn since_epoch(seconds: i64) -> SystemTime {
    let seconds = u64::try_from(seconds).unwrap_or(0).min(MILLISECONDS as u64);
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH)
}

fn is_oauth_code(text: &str) -> bool {
    !text.is_empty() && text.len() <= 40 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn malformed(message: &str) -> MintError {
    MintError::new(ErrorKind::Malformed, message)
}

/// JSON whose texts are overwritten when it is dropped, and which has no member twice.
enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(Zeroizing<String>),
    List,
    Object(Object),
}

type Object = BTreeMap<String, Json>;

impl Json {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Builder)
    }
}

struct Builder;

impl<'de> Visitor<'de> for Builder {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value as f64))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(Zeroizing::new(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        while list.next_element::<Json>()?.is_some() {}
        Ok(Json::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
        let mut object = Object::new();
        while let Some((name, value)) = map.next_entry::<String, Json>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a member appears twice"));
            }
        }
        Ok(Json::Object(object))
    }
}

/// Where the token is, in this order.
const TOKENS: [&str; 4] = ["access_token", "token", "accessToken", "iam_token"];
/// Where its end is; the earliest counts.
const MOMENTS: [&str; 9] = [
    "expires_on",
    "expires_at",
    "expiresAt",
    "expiry",
    "expiration",
    "expiration_time",
    "expirationTimestamp",
    "token_expiry",
    "Expiration",
];
const NOTHING: [&str; 8] = ["null", "none", "nil", "undefined", "nan", "true", "false", "bearer"];
/// More seconds than this are milliseconds (as seconds: the year 5138).
const MILLISECONDS: f64 = 1e11;
/// In seconds. A longer life is a mistake: most likely milliseconds.
const TEN_YEARS: f64 = 10.0 * 366.0 * 86_400.0;
/// Types that are no use after `Bearer `: RFC 8693 section 2.2.1, and those that need a proof with each request.
const UNUSABLE: [&str; 4] = ["N_A", "DPoP", "PoP", "mac"];
/// 0002-01-01T00:00:00Z.
const GO_ZERO_TIME_ENDS: i64 = -62_104_060_800;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const JWT: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJmYWtlIn0.c2ln";

    fn fails(stdout: &[u8], kind: ErrorKind, says: &str) {
        let Err(error) = read(stdout) else { panic!("taken for a token: {}", String::from_utf8_lossy(stdout)) };
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }

    fn epoch(seconds: u64) -> Option<SystemTime> {
        Some(UNIX_EPOCH + Duration::from_secs(seconds))
    }

    #[test]
    fn aws_keys_are_read_where_they_are_expected() {
        let good = include_bytes!("../tests/answers/aws-credential-process.json");
        let answer = read_aws(good).unwrap();
        assert_eq!(answer.scheme.as_deref(), Some(aws::SCHEME));
        assert!(answer.expires_at.is_some() && is_b64token(answer.token.expose()));
        for (stdout, says) in [
            (r#"{"Version":2,"AccessKeyId":"x","SecretAccessKey":"y"}"#, "Version is not the number 1"),
            (r#"{"Version":"1","AccessKeyId":"x","SecretAccessKey":"y"}"#, "Version is not the number 1"),
            (r#"{"AccessKeyId":"x","SecretAccessKey":"y"}"#, "Version is not the number 1"),
            (r#"{"Version":1,"AccessKeyId":"x"}"#, "has no SecretAccessKey"),
            (r#"{"Version":1,"AccessKeyId":"","SecretAccessKey":"y"}"#, "AccessKeyId is no text"),
            (r#"{"Version":1,"AccessKeyId":"x","SecretAccessKey":"y\n"}"#, "SecretAccessKey is no text"),
            (r#"{"Version":1,"AccessKeyId":"x","SecretAccessKey":"y","Expiration":"tomorrow"}"#, "Expiration"),
            (r#"{"Version":1,"AccessKeyId":"x","AccessKeyId":"x","SecretAccessKey":"y"}"#, "twice"),
            (JWT, "no JSON object"),
        ] {
            let Err(error) = read_aws(stdout.as_bytes()) else { panic!("taken for keys: {stdout}") };
            assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn one_bare_token() {
        for text in [
            format!("{JWT}\n"),
            format!("\u{feff}  {JWT}\r\n\r\n"),
            format!("Bearer {JWT}"),
            format!("bearer  {JWT}\n"),
            format!("IAM token:  Bearer {JWT}\n"),
            format!("\"{JWT}\"\n"),
        ] {
            let answer = read(text.as_bytes()).unwrap();
            assert_eq!(answer.token.expose(), JWT, "{text:?}");
            assert!(answer.expires_at.is_none() && answer.expires_in.is_none() && answer.scheme.is_none());
        }
    }

    #[test]
    fn each_program_as_it_prints() {
        // (what was printed, the token, its end)
        for (json, token, end) in [
            (include_str!("../tests/answers/az.json"), "eyJ.fake-cli.sig", epoch(1_767_229_199)),
            (include_str!("../tests/answers/az-before-2.54.json"), "eyJ.fake-cli.sig", None),
            (include_str!("../tests/answers/azd.json"), "eyJ.fake-azd.sig", epoch(1_767_229_199)),
            (include_str!("../tests/answers/gcloud.json"), "ya29.a0fake-gcloud", epoch(1_767_326_645)),
            (include_str!("../tests/answers/gcloud-no-expiry.json"), "ya29.a0fake-gcloud", None),
            (include_str!("../tests/answers/kubernetes-v1.json"), "k8s-fake-0001", epoch(1_767_225_600)),
            (include_str!("../tests/answers/kubernetes-v1beta1.json"), "k8s-fake-0002", None),
            (include_str!("../tests/answers/google-executable.json"), "eyJ.fake-id.sig", epoch(1_620_433_341)),
            (include_str!("../tests/answers/ibmcloud.json"), "eyJ.fake-iam.sig", None),
            (include_str!("../tests/answers/go-oauth2.json"), "go-fake-0001", None),
            (r#"{"token":"t-1","expires_at":1767225600000}"#, "t-1", epoch(1_767_225_600)),
            (r#"{"token":"t-1","expiry":"2026-01-01T01:00:00+01:00"}"#, "t-1", epoch(1_767_225_600)),
            (r#"{"token":"t-1","expiration":1767225600.9,"expires_on":"1767225601"}"#, "t-1", epoch(1_767_225_600)),
            (r#"{"token":"t-1","status":"ok","version":"2","kind":7,"credential":null}"#, "t-1", None),
        ] {
            let answer = read(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"));
            assert_eq!((answer.token.expose(), answer.expires_at), (token, end), "{json}");
        }
    }

    #[test]
    fn oauth_responses_with_any_form_of_expires_in() {
        for (life, expected) in [
            ("3600", Some(3600)),
            (r#""3600""#, Some(3600)),
            ("3600.0", Some(3600)),
            ("-5", Some(0)),
            ("null", None),
            ("315360000", Some(315_360_000)),
            ("1767225600000", None),
            ("1e300", None),
        ] {
            let answer =
                read(format!(r#"{{"access_token":"t-1","token_type":"bearer","expires_in":{life}}}"#).as_bytes())
                    .unwrap();
            assert_eq!(answer.expires_in, expected.map(Duration::from_secs), "{life}");
            assert_eq!(answer.scheme.as_deref(), Some("bearer"));
        }
        fails(br#"{"access_token":"t-1","expires_in":"soon"}"#, ErrorKind::Malformed, "expires_in");
        fails(br#"{"access_token":"t-1","expires_at":"2026-01-01 00:00:00"}"#, ErrorKind::Malformed, "expires_at");
        fails(br#"{"access_token":"t-1","expiry":true}"#, ErrorKind::Malformed, "expiry");
    }

    #[test]
    fn a_member_that_another_kind_has_too_hides_no_token() {
        for (json, life) in [
            (r#"{"success":true,"access_token":"t-1","expires_in":3600}"#, Some(3600)),
            (r#"{"success":true,"version":"2.7","token":"t-1"}"#, None),
            (r#"{"success":true,"version":1,"token":"t-1","token_type":"Bearer"}"#, None),
            (r#"{"success":true,"id_token":"id-1","access_token":"t-1","expires_in":3600}"#, Some(3600)),
            (r#"{"success":"yes","access_token":"t-1"}"#, None),
            (r#"{"token":"t-1","credential":{}}"#, None),
            (r#"{"token":"t-1","credential":{"id_token":"id-1"},"expires_in":60}"#, Some(60)),
        ] {
            let answer = read(json.as_bytes()).unwrap_or_else(|error| panic!("{json}: {error}"));
            assert_eq!(answer.token.expose(), "t-1", "{json}");
            assert_eq!(answer.expires_in, life.map(Duration::from_secs), "{json}");
        }
        // And what is Google's stays so.
        let both =
            br#"{"version":1,"success":true,"id_token":"id-1","access_token":"t-1","expiration_time":1767225600}"#;
        assert_eq!(read(both).unwrap().token.expose(), "id-1");
        fails(br#"{"success":false,"access_token":"t-1"}"#, ErrorKind::Denied, "reports a failure");
        fails(br#"{"success":true}"#, ErrorKind::Malformed, "without access_token");
        fails(br#"{"success":true,"id_token":"id-1"}"#, ErrorKind::Malformed, "version is not 1");
    }

    #[test]
    fn types_that_are_no_bearer_tokens_are_refused() {
        for kind in ["N_A", "n_a", "DPoP", "dpop", "PoP", "mac"] {
            for member in ["token_type", "tokenType"] {
                let json = format!(r#"{{"access_token":"t-1","{member}":"{kind}","expires_in":60}}"#);
                fails(json.as_bytes(), ErrorKind::Misconfigured, "no bearer token");
            }
        }
        let json = br#"{"access_token":"t-1","token_type":"urn:ietf:params:oauth:token-type:jwt"}"#;
        assert_eq!(read(json).unwrap().scheme, None);
    }

    #[test]
    fn what_is_no_token_says_why() {
        let malformed = ErrorKind::Malformed;
        fails(b"", malformed, "empty");
        fails(b" \r\n\t", malformed, "empty");
        fails(b"tok-1\ntok-2\n", malformed, "more than one line");
        fails(b"WARNING: old\n{\"token\":\"t-1\"}\n", malformed, "more than one line");
        fails(b"two words", malformed, "more than one word");
        fails(b"\xff\xfe", malformed, "UTF-8");
        fails(b"tok\0en", malformed, "control characters");
        fails(b"\x1b[32mtok-1\x1b[0m", malformed, "colour");
        fails(b"<html><body>502</body></html>", malformed, "HTML");
        fails(b"null\n", malformed, "nothing");
        fails(b"None", malformed, "nothing");
        fails(b"Bearer ", malformed, "nothing");
        fails(b"\"\"", malformed, "empty");
        fails("tök-1".as_bytes(), malformed, "no bearer token");
        fails(b"{\"token\":\"t-1\"} trailing", malformed, "JSON");
        fails(b"{\"token\":\"t-1\",\"token\":\"t-2\"}", malformed, "twice");
        fails(b"[\"t-1\"]", malformed, "no object");
        fails(b"{\"token\":{\"a\":1}}", malformed, "no text");
        fails(b"{\"token\":\"a b\"}", malformed, "more than one word");
        fails(b"{\"token\":\"a\\nb\"}", malformed, "more than one line");
        fails(b"{}", malformed, "without access_token");
        fails(br#"{"credential":{"id_token":"t-1"}}"#, malformed, "access_token");
        fails(
            br#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1alpha1"}"#,
            malformed,
            "v1beta1",
        );
        fails(br#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1"}"#, malformed, "status");
        fails(br#"{"version":2,"success":true,"id_token":"t-1"}"#, malformed, "version");
        fails("[".repeat(20_000).as_bytes(), malformed, "JSON");
    }

    #[test]
    fn what_is_another_kind_of_credential_is_refused() {
        fails(include_bytes!("../tests/answers/aws-credential-process.json"), ErrorKind::Misconfigured, "AWS keys");
        fails(
            br#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"clientCertificateData":"x","clientKeyData":"y"}}"#,
            ErrorKind::Misconfigured,
            "client certificate",
        );
        fails(
            br#"{"version":1,"success":true,"token_type":"urn:ietf:params:oauth:token-type:saml2","saml_response":"x"}"#,
            ErrorKind::Misconfigured,
            "SAML",
        );
    }

    #[test]
    fn an_answer_that_is_an_error_is_a_refusal() {
        let json = include_bytes!("../tests/answers/google-executable-failure.json");
        fails(json, ErrorKind::Denied, "401: Caller not authorized.");
        fails(br#"{"error":"invalid_grant","error_description":"x"}"#, ErrorKind::Denied, "invalid_grant");
        fails(br#"{"error":"temporarily_unavailable"}"#, ErrorKind::Unavailable, "temporarily_unavailable");
        fails(br#"{"error":{"code":1}}"#, ErrorKind::Malformed, "without access_token");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(stdout: Vec<u8>) {
            let _ = read(&stdout);
        }

        #[test]
        fn json_of_any_shape_makes_no_panic(
            name in prop::sample::select([&TOKENS[..], &MOMENTS[..], &["expires_in", "expiresOn", "status", "kind", "success", "credential"]].concat()),
            value in "\"[0-9TZ:.+-]{0,30}\"|-?[0-9]{1,25}(\\.[0-9]{1,5})?(e[0-9]{1,3})?|null|true|\\{\\}|\\[\\]",
        ) {
            let _ = read(format!("{{\"access_token\":\"t-1\",\"{name}\":{value}}}").as_bytes());
            let _ = read(format!("{{\"{name}\":{value}}}").as_bytes());
        }

        /// Whatever stands around it, a token is in no error. (Its own characters make it invalid: `!` is in no b64token.)
        #[test]
        fn no_error_holds_the_answer(
            secret in "[a-z0-9]{12,40}",
            before in prop::sample::select(vec!["", "Bearer ", "{\"token\":\"", "{\"", "<", "\"", "x\n", "{\"access_token\":", "\u{1b}["]),
            after in prop::sample::select(vec!["!", "! \n", "!\"}", "!\"", "!\",\"expiry\":\"x\"}", "!\u{7}", "!\n!"]),
        ) {
            let text = format!("{before}{secret}{after}");
            if let Err(error) = read(text.as_bytes()) {
                prop_assert!(!error.to_string().contains(&secret) && !format!("{error:?}").contains(&secret), "{error}");
            } else {
                prop_assert!(false, "taken for a token: {text}");
            }
        }
    }
}
