//! What the errors of the token endpoint ask for.

use crate::service_account::NAME;
use unexpired_core::{ErrorKind, MintError};
use unexpired_http::Response;

/// What is known of the request beside its answer.
pub(crate) struct Asked<'a> {
    pub(crate) subject: Option<&'a str>,
    /// The service account's number, from the key file.
    pub(crate) client_id: Option<&'a str>,
    /// The server's clock minus ours in milliseconds: as the assertion had it, and as the answer has it.
    pub(crate) assumed_skew: i64,
    pub(crate) skew: i64,
}

/// The error that an answer without a token stands for. `error` is what the answer means by its status and OAuth's fields alone.
///
/// OAuth's `error` decides the kind. Google's descriptions are for people, and only choose the remedy.
pub(crate) fn refusal(response: &Response, error: MintError, asked: &Asked<'_>) -> MintError {
    let failure = response.failure();
    let (Some(code), false) = (failure.error.as_deref(), matches!(response.status(), 429 | 500..=599)) else {
        return error.from_source(NAME);
    };
    let description = failure.description.as_deref().unwrap_or_default();
    let says = |word: &str| description.to_ascii_lowercase().contains(word);
    let finish = |kind: ErrorKind, message: &str, remedy: &str| {
        MintError::new(kind, message)
            .code(code)
            .host(response.host())
            .remedy(remedy)
            .retry_after(response.retry_after())
            .from_source(NAME)
    };
    // Google's libraries look for these in either field, whatever the status.
    if PASSING.iter().any(|passing| code == *passing || description == *passing) {
        return finish(ErrorKind::Unavailable, "the token endpoint has a passing trouble", "try again later");
    }
    match code {
        "invalid_grant" if asked.skew.abs_diff(asked.assumed_skew) >= NOTEWORTHY => {
            // The next assertion will be dated by the server's clock: worth another attempt, so no refusal.
            finish(ErrorKind::Unavailable, &clock(response, asked.skew, "the assertion was dated by it"), SET_CLOCK)
        }
        "invalid_grant" if says("timeframe") || says("short-lived") => {
            finish(ErrorKind::Denied, &clock(response, asked.skew, "the assertion's times are refused"), SET_CLOCK)
        }
        "invalid_grant" if says("signature") => finish(
            ErrorKind::Denied,
            "the key's signature is refused: the key was deleted or rotated",
            "make a new key and replace the file",
        ),
        "invalid_grant" if says("not found") => match asked.subject {
            Some(_) => finish(
                ErrorKind::Denied,
                "the service account or the subject does not exist",
                "check subject and the key file",
            ),
            None => finish(
                ErrorKind::Denied,
                "the service account does not exist",
                "use a key of a service account that exists",
            ),
        },
        "invalid_grant" => finish(
            ErrorKind::Denied,
            shown(description, "the assertion is refused"),
            "check this machine's clock, and that the key still exists",
        ),
        "invalid_scope" => finish(
            ErrorKind::Misconfigured,
            "the scope is empty or unknown",
            "set scope to URLs such as https://www.googleapis.com/auth/cloud-platform",
        ),
        "unauthorized_client" if asked.subject.is_some() => {
            let number = asked
                .client_id
                .filter(|id| id.len() <= 30 && id.bytes().all(|b| b.is_ascii_digit()))
                .unwrap_or("of the service account");
            let remedy = format!("let a Workspace administrator delegate exactly these scopes to client id {number}");
            finish(ErrorKind::Denied, "domain-wide delegation is not granted", &remedy)
        }
        "unauthorized_client" => finish(
            ErrorKind::Denied,
            shown(description, "the client may not use this grant"),
            "use the JSON key of a service account",
        ),
        _ => error.from_source(NAME),
    }
}

/// What the two clocks say: the server's `Date`, and how far ours is from it.
fn clock(response: &Response, skew: i64, what: &str) -> String {
    let seconds = skew.unsigned_abs() / 1000;
    match (response.date().and_then(|_| response.header("date")), skew) {
        (Some(date), 1000..) => format!("{what}: this machine's clock is {seconds} s behind the server's, {date}"),
        (Some(date), ..=-1000) => format!("{what}: this machine's clock is {seconds} s ahead of the server's, {date}"),
        (Some(date), _) => format!("{what}, though this machine's clock agrees with the server's, {date}"),
        (None, _) => what.to_owned(),
    }
}

fn shown<'a>(description: &'a str, otherwise: &'a str) -> &'a str {
    if description.is_empty() { otherwise } else { description }
}

const SET_CLOCK: &str = "set this machine's clock (NTP)";

/// In milliseconds. Google takes assertions that are off by some minutes; what is less than this cannot be why it refused one.
const NOTEWORTHY: u64 = 30_000;

const PASSING: [&str; 3] = ["internal_failure", "server_error", "temporarily_unavailable"];
