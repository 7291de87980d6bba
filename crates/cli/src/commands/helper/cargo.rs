//! cargo: <https://doc.rust-lang.org/cargo/reference/credential-provider-protocol.html>, and `cargo:token-from-stdout`.
//!
//! cargo sends the token as the whole `Authorization` header, so the scheme goes before it.

use super::args::{CargoArgs, CargoOptions};
use super::place::Place;
use super::{input, pick, write};
use crate::args::Args;
use crate::env;
use crate::failure::{Failure, USAGE};
use crate::handout::{self, Handed};
use crate::out;
use crate::project::Project;
use clap::Parser;
use serde_json::{Value, json};
use std::io;
use std::time::SystemTime;
use unexpired::ErrorKind;
use unexpired::text::one_line;

pub(super) fn run(args: &Args, own: &CargoArgs) -> Result<(), Failure> {
    if own.cargo_plugin { converse(args, &own.options) } else { to_stdout(args, &own.options) }
}

/// One line, by the index that the environment names.
fn to_stdout(args: &Args, options: &CargoOptions) -> Result<(), Failure> {
    let index = env::text("CARGO_REGISTRY_INDEX_URL").ok_or_else(|| {
        Failure::new(USAGE, "CARGO_REGISTRY_INDEX_URL is not set: cargo sets it")
            .hint("in .cargo/config.toml: credential-provider = [\"cargo:token-from-stdout\", \"unexpired\", \"helper\", \"cargo\"]")
    })?;
    match find(args, options, &index, false)? {
        Some(handed) => {
            let (scheme, blank) = front(&handed, options);
            write::parts(&[scheme, blank, handed.token.secret(), "\n"])
        }
        None => {
            Err(Failure::of(ErrorKind::Forbidden, format!("no token is for the registry {}", one_line(&index, 100)))
                .hint("add its host to `hosts` of the token that is"))
        }
    }
}

/// The JSON protocol: a line each way, until cargo closes stdin.
fn converse(args: &Args, options: &CargoOptions) -> Result<(), Failure> {
    out::answer("{\"v\":[1]}\n")?;
    let mut stdin = io::stdin().lock();
    while let Some(line) = input::line(&mut stdin)? {
        if line.is_empty() {
            continue;
        }
        match serde_json::from_str::<Value>(&line) {
            Ok(request) => answer(args, options, &request)?,
            // Whoever speaks is not cargo.
            Err(_) => return refuse("other", "the request is no JSON", None),
        }
    }
    Ok(())
}

fn answer(args: &Args, options: &CargoOptions, request: &Value) -> Result<(), Failure> {
    let text = |path: &str| request.pointer(path).and_then(Value::as_str).unwrap_or_default();
    if request.get("v").and_then(Value::as_u64) != Some(1) {
        return refuse("other", "the request is of another version than 1", None);
    }
    match text("/kind") {
        "get" => {}
        // There is nothing to log in to: the configuration says where tokens come from.
        _ => return refuse("operation-not-supported", "", None),
    }
    let options = match words(request) {
        words if words.is_empty() => options.clone(),
        words => match Line::try_parse_from(std::iter::once("cargo").chain(words)) {
            Ok(line) => line.options,
            Err(_) => {
                return refuse(
                    "other",
                    "unknown options in credential-provider; known: --token NAME, --raw, --min-ttl, --timeout",
                    None,
                );
            }
        },
    };
    let challenges: Vec<&str> = request
        .pointer("/registry/headers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|line| line.as_str()?.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"))
        .map(|(_, value)| value.trim())
        .collect();
    // A token was refused, of whichever provider: cargo says no more.
    let fresh = super::says_invalid_token(challenges);
    match find(args, &options, text("/registry/index-url"), fresh) {
        Ok(Some(handed)) => give(&handed, &options),
        Ok(None) => refuse("url-not-supported", "", None),
        Err(failure) => refuse("other", failure.line(), failure.hint_text()),
    }
}

fn give(handed: &Handed, options: &CargoOptions) -> Result<(), Failure> {
    let (scheme, blank) = front(handed, options);
    let unix = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let cache = match handed.usable_until() {
        Some(until) => format!("\"expires\",\"expiration\":{}", unix(until)),
        None => "\"session\"".to_owned(),
    };
    write::parts(&[
        "{\"Ok\":{\"kind\":\"get\",\"token\":\"",
        scheme,
        blank,
        handed.token.secret(),
        "\",\"cache\":",
        &cache,
        ",\"operation_independent\":true}}\n",
    ])
}

/// cargo shows message and causes itself, so nothing of it is said on stderr.
fn refuse(kind: &str, message: &str, cause: Option<&str>) -> Result<(), Failure> {
    let error = match kind {
        "other" => json!({ "kind": kind, "message": message, "caused-by": cause.into_iter().collect::<Vec<_>>() }),
        _ => json!({ "kind": kind }),
    };
    out::answer(&format!("{}\n", json!({ "Err": error })))
}

fn find(args: &Args, options: &CargoOptions, index: &str, fresh: bool) -> Result<Option<Handed>, Failure> {
    let url = index.strip_prefix("sparse+").or_else(|| index.strip_prefix("registry+")).unwrap_or(index);
    let Some(place) = Place::url(url) else { return Ok(None) };
    let project = Project::load(args)?;
    let Some(token) = pick::by_place(&project, &place, options.by.name.as_deref())? else { return Ok(None) };
    let mut ask = options.by.wait.ask(None);
    ask.fresh = fresh;
    handout::token(args, token.name(), &ask).map(Some)
}

/// What stands before the token.
fn front<'a>(handed: &'a Handed, options: &CargoOptions) -> (&'a str, &'static str) {
    if options.raw { ("", "") } else { (handed.token.scheme(), " ") }
}

/// What the configuration of cargo says after the provider's name.
fn words(request: &Value) -> Vec<&str> {
    request.get("args").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

#[derive(Parser)]
#[command(no_binary_name = false)]
struct Line {
    #[command(flatten)]
    options: CargoOptions,
}
