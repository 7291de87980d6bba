//! What a provider says when it refuses, reduced to the fields that it documents.

use std::fmt;

use serde_json::{Map, Value};
use unexpired_core::{ErrorKind, MintError, text};

use crate::Response;

/// The fields of an error body: OAuth's (RFC 6749 section 5.2), Entra's, Google's, IBM's.
///
/// Every text is one line, capped, and what looks like a token is masked. The body itself is not kept.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// `error`, as OAuth defines it: `invalid_grant`, …
    pub error: Option<String>,
    /// `error_description` (OAuth), `error.message` (Google), `errorMessage` (IBM), `errors[0].message`, or `message`. Entra's trace and
    /// correlation ids are cut from its end.
    pub description: Option<String>,
    /// `error_codes` (Entra), or the number in `error.code` (Google).
    pub codes: Vec<u64>,
    /// `suberror` (Entra).
    pub suberror: Option<String>,
    /// `claims` (Entra): a claims challenge, to be sent with the next request. Not masked, since it is to be repeated as it came.
    pub claims: Option<String>,
    /// The provider's own code: `AADSTS…` (Entra), `error.status` or a textual `error.code` (Google, Azure), `errorCode` or `errors[0].code`
    /// (IBM).
    pub error_code: Option<String>,
    /// What a support desk asks for: `trace_id` (Entra), `context.requestId` or `trace` (IBM), `error.correlationId` (Azure).
    pub trace: Option<String>,
    /// `correlation_id` (Entra).
    pub correlation_id: Option<String>,
    /// Whether the body was a page and no JSON.
    pub is_html: bool,
    /// Whether there was no body.
    pub is_empty: bool,
    /// Whether the answer repeated a secret of the request. Then this holds its codes and numbers, and none of its texts and ids.
    pub is_echo: bool,
    /// Whether the provider gave its refusal a name, shown or not.
    is_named: bool,
}

impl Failure {
    pub(crate) fn read(body: &[u8]) -> Self {
        let body = body.trim_ascii_start();
        let mut failure = Self { is_html: body.starts_with(b"<"), is_empty: body.is_empty(), ..Self::default() };
        match serde_json::from_slice::<Value>(body) {
            Ok(Value::Object(members)) => failure.read_object(&members),
            // Some gateways wrap the object in a list.
            Ok(Value::Array(list)) => {
                if let Some(Value::Object(members)) = list.first() {
                    failure.read_object(members);
                }
            }
            _ => {}
        }
        failure.is_named = failure.error.is_some() || failure.error_code.is_some();
        failure
    }

    fn read_object(&mut self, members: &Map<String, Value>) {
        match members.get("error") {
            Some(Value::String(error)) if !error.is_empty() => self.error = Some(name(error)),
            Some(Value::Object(error)) => self.read_google(error),
            _ => {}
        }
        if let Some(Value::Object(first)) = members.get("errors").and_then(|errors| errors.get(0)) {
            set(&mut self.error_code, first, "code", name);
            set(&mut self.description, first, "message", describe);
        }
        set(&mut self.error_code, members, "errorCode", name);
        set(&mut self.description, members, "error_description", describe);
        set(&mut self.description, members, "errorMessage", describe);
        set(&mut self.description, members, "message", describe);
        set(&mut self.suberror, members, "suberror", name);
        set(&mut self.claims, members, "claims", claims);
        set(&mut self.trace, members, "trace_id", name);
        set(&mut self.trace, members, "trace", name);
        set(&mut self.correlation_id, members, "correlation_id", name);
        if let Some(Value::Object(context)) = members.get("context") {
            set(&mut self.trace, context, "requestId", name);
        }
        if let Some(Value::Array(codes)) = members.get("error_codes") {
            self.codes.extend(codes.iter().filter_map(Value::as_u64).take(MAX_CODES));
        }
        if self.error_code.is_none() {
            self.error_code = self.aadsts();
        }
    }

    /// `{"error":{"code":403,"message":"…","status":"PERMISSION_DENIED"}}`, and Azure's metadata services with a textual code.
    fn read_google(&mut self, error: &Map<String, Value>) {
        set(&mut self.error_code, error, "status", name);
        set(&mut self.error_code, error, "code", name);
        set(&mut self.description, error, "message", describe);
        set(&mut self.trace, error, "correlationId", name);
        self.codes.extend(error.get("code").and_then(Value::as_u64));
    }

    /// Entra's description starts with its code; `error_codes` repeats it as a number.
    fn aadsts(&self) -> Option<String> {
        let (prefix, _) = self.description.as_deref()?.split_once(':')?;
        let digits = prefix.strip_prefix("AADSTS")?;
        (!digits.is_empty() && digits.len() < 12 && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| prefix.to_owned())
    }

    /// The same without all that may hold a part of a secret. Codes stay if they are codes and do not hold one.
    pub(crate) fn without_words(self, repeats: impl Fn(&[u8]) -> bool) -> Self {
        let is_code = |code: &String| {
            let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_-.".contains(&b);
            code.len() <= 40 && code.bytes().all(allowed) && !repeats(code.as_bytes())
        };
        Self {
            error: self.error.filter(is_code),
            error_code: self.error_code.filter(is_code),
            is_echo: true,
            description: None,
            suberror: None,
            trace: None,
            correlation_id: None,
            ..self
        }
    }

    /// Whether the value of a member `error` says that there is one.
    pub(crate) fn is_error(value: &Value) -> bool {
        match value {
            Value::String(error) => !error.is_empty(),
            Value::Object(error) => !error.is_empty(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => false,
        }
    }

    /// The error that this failure is, unless the provider's crate knows better.
    ///
    /// | answer | kind |
    /// |---|---|
    /// | 408, 425, 429, 5xx; `temporarily_unavailable`, `server_error`, `slow_down` | `Unavailable`, with `Retry-After` |
    /// | 3xx, 404, 405, 410 | `Misconfigured`: this is not the token endpoint |
    /// | any other with an `error` or a code of the provider | `Denied` |
    /// | a page, or nothing at all, save 401 and 403 with no body | `Unavailable`: something in between answered |
    /// | 401, 403 | `Denied` |
    /// | everything else | `Malformed` |
    pub fn into_mint_error(self, response: &Response) -> MintError {
        let status = response.status();
        let error = self.error.as_deref().unwrap_or_default();
        let busy = matches!(status, 408 | 425 | 429 | 500..=599)
            || matches!(error, "temporarily_unavailable" | "server_error" | "slow_down");
        let kind = match status {
            _ if busy => ErrorKind::Unavailable,
            300..=399 | 404 | 405 | 410 => ErrorKind::Misconfigured,
            _ if self.is_named => ErrorKind::Denied,
            _ if self.is_html => ErrorKind::Unavailable,
            401 | 403 => ErrorKind::Denied,
            _ if self.is_empty => ErrorKind::Unavailable,
            _ => ErrorKind::Malformed,
        };
        let said = match (&self.description, self.is_html) {
            _ if self.is_echo => {
                format!("answered {}, with a text that repeats a secret and is not shown", status_text(status))
            }
            (Some(description), _) => description.clone(),
            (None, true) => format!("answered {} with a page instead of JSON", status_text(status)),
            (None, false) => format!("answered {}", status_text(status)),
        };
        let mut mint_error = MintError::new(kind, said).host(response.host()).retry_after(response.retry_after());
        if let Some(code) = self.error_code.as_deref().or(self.error.as_deref()) {
            mint_error = mint_error.code(code);
        }
        mint_error.remedy(remedy(kind, status, error, self.is_html))
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("error", &self.error)
            .field("error_code", &self.error_code)
            .field("codes", &self.codes)
            .field("suberror", &self.suberror)
            .field("description", &self.description)
            .field("trace", &self.trace)
            .field("claims", &self.claims.as_ref().map(|_| "…"))
            .finish_non_exhaustive()
    }
}

fn remedy(kind: ErrorKind, status: u16, error: &str, is_html: bool) -> &'static str {
    match (kind, error) {
        (ErrorKind::Denied, "invalid_client") => "check the client id and its secret, key or certificate",
        (ErrorKind::Denied, "invalid_grant") => {
            "sign in again or replace the credential; if it signs assertions, check the clock"
        }
        (ErrorKind::Denied, "invalid_scope" | "invalid_target") => {
            "check the scope, audience or resource that is asked for"
        }
        (ErrorKind::Denied, "unauthorized_client" | "unsupported_grant_type") => {
            "allow this grant for the client at the provider"
        }
        (ErrorKind::Denied, "interaction_required" | "login_required" | "consent_required") => "sign in again",
        (ErrorKind::Denied, _) if matches!(status, 401 | 403) => "check the credential and what it was granted",
        (ErrorKind::Misconfigured, _) if (300..400).contains(&status) => {
            "redirects are not followed: set the address that the endpoint really has"
        }
        (ErrorKind::Misconfigured, _) => "check the address of the token endpoint",
        (ErrorKind::Unavailable, _) if is_html => IN_BETWEEN,
        (ErrorKind::Unavailable, _) => "try again later",
        (ErrorKind::Denied, _) => "look up what its code means at the provider",
        _ => "check the address of the token endpoint, and whether a proxy answers in its place",
    }
}

fn status_text(status: u16) -> String {
    let reason =
        http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default();
    format!("{status} {reason}").trim_end().to_owned()
}

/// Fills an empty field with the text of a member.
fn set(field: &mut Option<String>, members: &Map<String, Value>, member: &str, shown: fn(&str) -> String) {
    if let (None, Some(Value::String(value))) = (&field, members.get(member)) {
        *field = Some(shown(value.trim())).filter(|value| !value.is_empty());
    }
}

/// A code or an id.
fn name(value: &str) -> String {
    text::one_line(&text::mask(cut(value)), 100)
}

fn describe(value: &str) -> String {
    let value = cut(value);
    let value = value.find("Trace ID:").and_then(|at| value.get(..at)).unwrap_or(value);
    text::one_line(&text::mask(value), 300)
}

/// A claims challenge that was cut would be another one: what is too long is none.
fn claims(value: &str) -> String {
    if value.len() <= MAX_CLAIMS { value.to_owned() } else { String::new() }
}

/// A megabyte of text is not worth masking. A token at the cut is masked whole or lost: the cut leaves one that is still far too long.
fn cut(value: &str) -> &str {
    value.char_indices().nth(MAX_TEXT).and_then(|(at, _)| value.get(..at)).unwrap_or(value)
}

/// Of a page where JSON should be. `Response` says the same of one with status 200.
pub(crate) const IN_BETWEEN: &str =
    "try again later; if it lasts, check whether a proxy or a sign-in page stands in between";
const MAX_TEXT: usize = 4096;
const MAX_CLAIMS: usize = 8192;
const MAX_CODES: usize = 16;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::response::tests::response;

    fn error(status: u16, body: &str) -> MintError {
        let response = response(status, &[], body);
        response.failure().into_mint_error(&response)
    }

    #[test]
    fn statuses_and_bodies_have_their_kinds() {
        use ErrorKind::{Denied, Malformed, Misconfigured, Unavailable};
        for (status, body, kind) in [
            (400, r#"{"error":"invalid_grant"}"#, Denied),
            (401, r#"{"error":"invalid_client"}"#, Denied),
            (400, r#"{"error":"temporarily_unavailable"}"#, Unavailable),
            (400, r#"{"error":"server_error"}"#, Unavailable),
            (400, r#"{"errorCode":"BXNIM0415E","errorMessage":"Provided API key could not be found."}"#, Denied),
            (403, r#"{"error":{"code":403,"message":"no","status":"PERMISSION_DENIED"}}"#, Denied),
            (408, "", Unavailable),
            (429, r#"{"error":"invalid_request"}"#, Unavailable),
            (500, r#"{"error":"invalid_grant"}"#, Unavailable),
            (503, "<html>upstream</html>", Unavailable),
            (502, "", Unavailable),
            (400, "<html>proxy</html>", Unavailable),
            (403, "<html>firewall</html>", Unavailable),
            (400, "", Unavailable),
            (401, "", Denied),
            (403, "{}", Denied),
            (404, "", Misconfigured),
            (404, "<html>", Misconfigured),
            (405, r#"{"error":"x"}"#, Misconfigured),
            (410, "", Misconfigured),
            (302, "", Misconfigured),
            (307, "<html>", Misconfigured),
            (400, "{}", Malformed),
            (418, "teapot", Malformed),
            (101, "x", Malformed),
        ] {
            let error = error(status, body);
            assert_eq!(error.kind(), kind, "{status} {body}");
            assert!(error.remedy_text().is_some(), "{status} {body}: what to do now?");
        }
    }

    #[test]
    fn retry_after_comes_along() {
        let response = response(429, &[("retry-after", "7")], "");
        assert_eq!(response.failure().into_mint_error(&response).wait(), Some(Duration::from_secs(7)));
    }

    #[test]
    fn entra() {
        let body = r#"{"error":"interaction_required","error_description":"AADSTS50079: You must enroll in multi-factor authentication.\r\nTrace ID: 0000aaaa-11bb-4ccc-8d33-eeeeee333333\r\nCorrelation ID: 5a5a5a5a-0000-4000-8000-00000000000a\r\nTimestamp: 2026-01-01 00:00:00Z","error_codes":[50079,-1,"x"],"suberror":"basic_action","claims":"{\"access_token\":{}}","trace_id":"0000aaaa-11bb-4ccc-8d33-eeeeee333333","correlation_id":"5a5a5a5a-0000-4000-8000-00000000000a"}"#;
        let failure = response(400, &[], body).failure();
        assert_eq!(failure.error.as_deref(), Some("interaction_required"));
        assert_eq!(failure.error_code.as_deref(), Some("AADSTS50079"));
        assert_eq!(
            failure.description.as_deref(),
            Some("AADSTS50079: You must enroll in multi-factor authentication.")
        );
        assert_eq!(failure.codes, [50079]);
        assert_eq!(failure.suberror.as_deref(), Some("basic_action"));
        assert_eq!(failure.claims.as_deref(), Some(r#"{"access_token":{}}"#));
        assert_eq!(failure.trace.as_deref(), Some("0000aaaa-11bb-4ccc-8d33-eeeeee333333"));
        assert_eq!(failure.correlation_id.as_deref(), Some("5a5a5a5a-0000-4000-8000-00000000000a"));
        let line = error(400, body).to_string();
        assert_eq!(
            line,
            "as.example.com: AADSTS50079: AADSTS50079: You must enroll in multi-factor authentication.; sign in again"
        );
    }

    #[test]
    fn google_ibm_and_azure() {
        let read = |body: &str| response(400, &[], body).failure();
        let failure =
            read(r#"{"error":{"code":403,"message":"Permission denied","status":"PERMISSION_DENIED","details":[{}]}}"#);
        assert_eq!(
            (failure.error_code.as_deref(), failure.codes.as_slice()),
            (Some("PERMISSION_DENIED"), [403].as_slice())
        );
        assert_eq!(failure.description.as_deref(), Some("Permission denied"));

        let failure = read(
            r#"{"context":{"requestId":"req-2"},"errorCode":"BXNIM0415E","errorMessage":"Provided API key could not be found."}"#,
        );
        assert_eq!((failure.error_code.as_deref(), failure.trace.as_deref()), (Some("BXNIM0415E"), Some("req-2")));
        assert_eq!(failure.description.as_deref(), Some("Provided API key could not be found."));

        let failure =
            read(r#"{"errors":[{"code":"not_found","message":"No such profile"}],"trace":"t-1","status_code":404}"#);
        assert_eq!((failure.error_code.as_deref(), failure.trace.as_deref()), (Some("not_found"), Some("t-1")));

        let failure = read(
            r#"{"error":{"code":"ArgumentNullOrEmpty","message":"A resource is required.","correlationId":"c-1"}}"#,
        );
        assert_eq!(
            (failure.error_code.as_deref(), failure.trace.as_deref()),
            (Some("ArgumentNullOrEmpty"), Some("c-1"))
        );
    }

    #[test]
    fn nothing_that_looks_like_a_token_is_shown() {
        let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJmYWtlIn0.ZmFrZS1zaWduYXR1cmU";
        for member in
            ["error", "error_description", "suberror", "errorCode", "errorMessage", "message", "trace", "trace_id"]
        {
            let body = serde_json::json!({ member: format!("x '{token}' y") }).to_string();
            let response = response(400, &[], &body);
            let failure = response.failure();
            let shown = format!("{failure:?} {}", failure.clone().into_mint_error(&response));
            assert!(!shown.contains("eyJ") && !shown.contains("ZmFrZS1"), "{shown}");
        }
        let long = format!(r#"{{"error":"{}","claims":"{}"}}"#, "e ".repeat(100_000), "c".repeat(10_000));
        let failure = response(400, &[], long).failure();
        assert!(failure.error.is_some_and(|error| error.chars().count() <= 100));
    }

    #[test]
    fn line_breaks_and_escapes_stay_out_of_the_line() {
        let line =
            error(400, "{\"error\":\"a\\r\\nb\",\"error_description\":\"\\u001b[31mred\\u202e\\nnext\"}").to_string();
        assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
    }
}
