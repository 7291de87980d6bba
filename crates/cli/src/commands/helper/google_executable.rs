//! Google's `executable` credential source: <https://google.aip.dev/auth/4117>.
//!
//! The exit code is 0 also for an error: it stands in the answer, where the libraries look for it. stderr stays empty.

use super::args::NamedArgs;
use super::write;
use crate::args::Args;
use crate::env;
use crate::failure::Failure;
use crate::handout;
use crate::out;
use serde_json::json;
use std::time::SystemTime;

pub(super) fn run(args: &Args, own: &NamedArgs) -> Result<(), Failure> {
    if env::text("GOOGLE_EXTERNAL_ACCOUNT_REVOKE").as_deref() == Some("1") {
        return refuse("not_supported", "unexpired does not revoke tokens of others");
    }
    let kind = env::text("GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE");
    let kind = kind.as_deref().unwrap_or(JWT);
    if kind != JWT && kind != ID_TOKEN {
        return refuse("not_supported", "the credential file's subject_token_type must be …:jwt or …:id_token");
    }
    let handed = match handout::token(args, &own.name, &own.wait.ask(None)) {
        Ok(handed) => handed,
        Err(failure) => return refuse(code(failure.exit()), failure.line()),
    };
    let unix = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let expiry = handed.usable_until().map(|until| format!(",\"expiration_time\":{}", unix(until)));
    write::parts(&[
        "{\"version\":1,\"success\":true,\"token_type\":\"",
        kind,
        "\",\"id_token\":\"",
        handed.token.secret(),
        "\"",
        expiry.as_deref().unwrap_or_default(),
        "}\n",
    ])
}

fn refuse(code: &str, message: &str) -> Result<(), Failure> {
    // Written out for the order of the members, which is that of the specification.
    let (code, message) = (json!(code), json!(message));
    out::answer(&format!("{{\"version\":1,\"success\":false,\"code\":{code},\"message\":{message}}}\n"))
}

/// The contract's codes are free texts.
fn code(exit: u8) -> &'static str {
    match exit {
        2 => "misconfigured",
        3 => "unavailable",
        4 => "denied",
        5 => "forbidden",
        _ => "other",
    }
}

const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
