//! Bazel and other build tools: <https://github.com/EngFlow/credential-helper-spec>. Commands that are not known must fail.

use super::args::BazelArgs;
use super::place::Place;
use super::{input, pick, write};
use crate::args::Args;
use crate::commands::rfc3339;
use crate::failure::{Failure, USAGE};
use crate::handout;
use crate::out;
use crate::project::Project;
use serde_json::Value;
use std::time::Duration;

pub(super) fn run(args: &Args, own: &BazelArgs) -> Result<(), Failure> {
    if own.command != "get" {
        return Err(Failure::new(USAGE, "unknown command: only get is known"));
    }
    let request: Value = serde_json::from_str(&input::all()?).map_err(|_| {
        Failure::new(USAGE, "the request on stdin is no JSON: {\"uri\":\"https://HOST/PATH\"} is expected")
    })?;
    let uri =
        request.get("uri").and_then(Value::as_str).ok_or_else(|| Failure::new(USAGE, "the request has no uri"))?;
    let nothing = || out::answer("{\"headers\":{}}\n");
    let Some(place) = place(uri) else { return nothing() };
    let project = Project::load(args)?;
    let Some(token) = pick::by_place(&project, &place, own.by.name.as_deref())? else { return nothing() };
    let handed = handout::token(args, token.name(), &own.by.wait.ask(Some(PATIENCE)))?;
    let expires = handed.usable_until().map(|until| format!(",\"expires\":\"{}\"", rfc3339(until)));
    write::parts(&[
        "{\"headers\":{\"Authorization\":[\"",
        handed.token.scheme(),
        " ",
        handed.token.secret(),
        "\"]}",
        expires.as_deref().unwrap_or_default(),
        "}\n",
    ])
}

/// gRPC's schemes are written here too.
fn place(uri: &str) -> Option<Place> {
    match uri.strip_prefix("grpcs://") {
        Some(rest) => Place::url(&format!("https://{rest}")),
        None => Place::url(uri),
    }
}

/// Bazel waits 10 s.
const PATIENCE: Duration = Duration::from_secs(9);
