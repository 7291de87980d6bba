//! The demo as lines: for people without a terminal, and as JSON for machines. Both tell each change, and of the requests only those that a
//! user would not like; their number stands in the sum.

use super::story::{Happening, Outcome, Story, What, millis, milliseconds, seconds};
use serde_json::{Value, json};
use std::time::Duration;

/// A happening as a line for people; `None` for a request that went well.
pub(crate) fn plain(happening: &Happening, story: &Story) -> Option<String> {
    let text = match &happening.what {
        What::Token { fingerprint, life, took } => {
            let verb = if story.lives.len() > 1 { "refreshed" } else { "minted   " };
            format!("{verb}  {fingerprint}  lives {}, minted in {}", seconds(*life), milliseconds(*took))
        }
        What::MintFailed { error } => format!("failed     {error}"),
        What::OutageBegan => "outage     the identity provider answers 503 to everything".to_owned(),
        What::OutageEnded => "outage     is over".to_owned(),
        What::Revoked { fingerprint } => {
            format!("revoked    {fingerprint}  the resource server refuses it from now on")
        }
        What::Refused { fingerprint } => format!("401        {fingerprint}  a client reports it and retries once"),
        What::Request { fingerprint, outcome: Outcome::Accepted { retried: true }, .. } => {
            format!("made good  {}  the retry was accepted", fingerprint.as_deref().unwrap_or("-"))
        }
        What::Request { outcome: Outcome::Accepted { .. }, .. } => return None,
        What::Request { outcome: Outcome::Status(status), .. } => {
            format!("FAILED     a user is left with HTTP {status}")
        }
        What::Request { outcome: Outcome::Error(error), .. } => format!("FAILED     a user is left with: {error}"),
    };
    Some(format!("{:>6.1} s  {text}", happening.at.as_secs_f64()))
}

/// A happening as one JSON object; `None` for a request that went well.
pub(crate) fn json(happening: &Happening, story: &Story) -> Option<String> {
    let mut object = match &happening.what {
        What::Token { fingerprint, life, took } => json!({
            "event": if story.lives.len() > 1 { "refreshed" } else { "minted" },
            "fingerprint": fingerprint, "lives_ms": millis(*life), "took_ms": millis(*took),
        }),
        What::MintFailed { error } => json!({ "event": "mint_failed", "error": error }),
        What::OutageBegan => json!({ "event": "outage_began" }),
        What::OutageEnded => json!({ "event": "outage_ended" }),
        What::Revoked { fingerprint } => json!({ "event": "revoked", "fingerprint": fingerprint }),
        What::Refused { fingerprint } => json!({ "event": "refused", "status": 401, "fingerprint": fingerprint }),
        What::Request { fingerprint, outcome: Outcome::Accepted { retried: true }, .. } => {
            json!({ "event": "made_good", "fingerprint": fingerprint })
        }
        What::Request { outcome: Outcome::Accepted { .. }, .. } => return None,
        What::Request { outcome: Outcome::Status(status), .. } => json!({ "event": "user_saw", "status": status }),
        What::Request { outcome: Outcome::Error(error), .. } => json!({ "event": "user_saw", "error": error }),
    };
    stamp(&mut object, happening.at);
    Some(object.to_string())
}

/// The sum as one JSON object.
pub(crate) fn json_summary(story: &Story, life: Duration, ended: Duration) -> String {
    let mut object = json!({
        "event": "summary",
        "kept": story.kept(),
        "token_lives_ms": millis(life),
        "requests": story.requests,
        "accepted": story.accepted,
        "user_saw_rejected": story.seen_rejected,
        "user_saw_errors": story.seen_errors,
        "tokens": story.lives.len(),
        "failed_mints": story.failed_mints.len(),
        "outage_ms": millis(story.outage_time(ended)),
        "requests_during_outage": story.during_outage,
        "slowest_during_outage_us": micros(story.slowest_in_outage),
        "answers_401": story.met_401,
        "made_good": story.retried,
        "slowest_us": micros(story.slowest),
    });
    stamp(&mut object, ended);
    object.to_string()
}

fn stamp(object: &mut Value, at: Duration) {
    if let Some(object) = object.as_object_mut() {
        object.insert("at_ms".to_owned(), json!(millis(at)));
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
