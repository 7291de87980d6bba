//! OpenClaw's exec secret provider, protocol version 1: every id that is asked for is among the values or among the errors.

use super::args::OpenclawArgs;
use super::{input, write};
use crate::args::Args;
use crate::failure::{Failure, USAGE};
use crate::handout::{self, Handed};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::time::{Duration, Instant};

pub(super) fn run(args: &Args, own: &OpenclawArgs) -> Result<(), Failure> {
    let request: Value = serde_json::from_str(&input::all()?).map_err(|_| malformed("is no JSON"))?;
    if request.get("protocolVersion").and_then(Value::as_u64) != Some(1) {
        return Err(malformed("is not of protocolVersion 1"));
    }
    let ids = request.get("ids").and_then(Value::as_array).ok_or_else(|| malformed("has no ids"))?;
    let ids: Option<Vec<&str>> = ids.iter().map(Value::as_str).collect();
    let mut seen = HashSet::new();
    // No member may stand in an object twice.
    let ids = ids.map(|ids| ids.into_iter().filter(|id| seen.insert(*id)).collect::<Vec<_>>());
    let ids =
        ids.filter(|ids| ids.len() <= MOST_IDS).ok_or_else(|| malformed("has other ids than texts, or too many"))?;
    let found = all(args, own, &ids);

    let mut values: Vec<&str> = Vec::new();
    let quoted: Vec<String> = ids.iter().map(|id| write::json(id)).collect();
    let mut errors = serde_json::Map::new();
    for ((id, quoted), found) in ids.iter().zip(&quoted).zip(&found) {
        match found {
            Ok(handed) => {
                let comma = if values.is_empty() { "" } else { "," };
                values.extend([comma, quoted.as_str(), ":\"", handed.token.secret(), "\""]);
            }
            Err(failure) => drop(errors.insert((*id).to_owned(), json!({ "message": failure.line() }))),
        }
    }
    let end = format!("}},\"errors\":{}}}\n", Value::Object(errors));
    let head = "{\"protocolVersion\":1,\"values\":{";
    write::parts(&[&[head][..], &values, &[end.as_str()]].concat())
}

/// The tokens, a few at a time, within the time that OpenClaw waits for all of them.
fn all(args: &Args, own: &OpenclawArgs, ids: &[&str]) -> Vec<Result<Handed, Failure>> {
    let deadline = Instant::now() + own.wait.timeout.unwrap_or(PATIENCE);
    let one = |id: &&str| {
        let mut ask = own.wait.ask(None);
        ask.timeout = Some(deadline.saturating_duration_since(Instant::now()));
        handout::token(args, id, &ask)
    };
    std::thread::scope(|scope| {
        let parts = ids.chunks(ids.len().div_ceil(AT_ONCE).max(1));
        let parts: Vec<_> = parts.map(|part| scope.spawn(move || part.iter().map(one).collect::<Vec<_>>())).collect();
        let failed =
            |ids: usize| (0..ids).map(|_| Err(Failure::new(crate::failure::OTHER, "the helper failed"))).collect();
        let sizes = ids.chunks(ids.len().div_ceil(AT_ONCE).max(1)).map(<[_]>::len);
        parts.into_iter().zip(sizes).flat_map(|(part, size)| part.join().unwrap_or_else(|_| failed(size))).collect()
    })
}

fn malformed(what: &str) -> Failure {
    Failure::new(USAGE, format!("the request on stdin {what}; OpenClaw sends it"))
}

/// OpenClaw waits 5 s.
const PATIENCE: Duration = Duration::from_secs(4);
const MOST_IDS: usize = 512;
const AT_ONCE: usize = 8;
