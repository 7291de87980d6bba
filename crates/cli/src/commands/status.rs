//! `unexpired status`: what is configured, and what is kept of it. Mints nothing, runs no command, reads no secret but those in the store.

use crate::args::{Args, StatusArgs};
use crate::commands::rfc3339;
use crate::failure::Failure;
use crate::out;
use crate::project::Project;
use crate::shared::{self, Subject};
use serde_json::{Value, json};
use unexpired::config::{Export, TokenConfig};
use unexpired::store::{FileStore, StoreKind};
use unexpired::text::one_line;
use unexpired::{Clock as _, Phase, SystemClock, Timestamp, TokenRecord};

pub(crate) fn run(args: &Args, own: &StatusArgs) -> Result<(), Failure> {
    if own.watch {
        return super::live::run(args, own);
    }
    let project = Project::load(args)?;
    let names: Vec<&str> = match &own.name {
        Some(name) => {
            project.token(name)?;
            vec![name.as_str()]
        }
        None => project.config.names().collect(),
    };
    let tokens: Vec<(&str, &TokenConfig)> =
        names.into_iter().filter_map(|name| Some((name, project.config.token(name)?))).collect();
    let store = match project.config.store() {
        StoreKind::Memory => Ok(None),
        StoreKind::Keyring => FileStore::open_keyring().map(Some),
        _ => FileStore::open_default().map(Some),
    };
    let place = match &store {
        Ok(Some(store)) if store.kind() == StoreKind::Keyring => {
            format!("the keyring; locks in {}", store.path().display())
        }
        Ok(Some(store)) => store.records_path().display().to_string(),
        Ok(None) => "memory: nothing is kept, and each call mints".to_owned(),
        Err(error) => format!("none: {error}"),
    };
    let kept = |name: &str, token: &TokenConfig| -> Result<Option<TokenRecord>, Failure> {
        let (Ok(Some(store)), Export::Allowed) = (&store, token.export()) else { return Ok(None) };
        let subject = Subject::configured(&project, name)?;
        let key = subject.stored(store.clone()).key();
        Ok(Some(shared::look(store, &key, &*subject.source)))
    };
    let now = SystemClock.now();
    if own.json {
        let mut objects = Vec::new();
        for (name, token) in &tokens {
            objects.push(object(name, token, kept(name, token)?.as_ref(), now));
        }
        let object = json!({ "config": project.path.display().to_string(), "store": place, "tokens": objects });
        return out::answer(&format!("{object:#}\n"));
    }
    let mut text = format!("{}\nstore: {place}\n", project.path.display());
    for (name, token) in &tokens {
        text.push('\n');
        text.push_str(&paragraph(name, token, kept(name, token)?.as_ref(), now));
    }
    out::answer(&text)
}

/// What the store has of a token, in words.
fn kept_in_words(record: &TokenRecord, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    let token = record.usable(now).map_or_else(
        || "none kept: the next call mints".to_owned(),
        |token| {
            let moments = token.moments();
            let phase = match moments.phase(now) {
                Phase::Fresh => "fresh",
                Phase::Due => "due for refresh",
                _ => "close to its end",
            };
            match token.expires_at() {
                Some(_) => {
                    format!(
                        "{} of {}, {phase}, {} s left",
                        token.fingerprint(),
                        token.source(),
                        moments.expires_at.until(now).as_secs()
                    )
                }
                None => format!("{} of {}, never expires", token.fingerprint(), token.source()),
            }
        },
    );
    lines.push(("token", token));
    if let Some(failure) = &record.failure {
        let wait = failure.not_before.since(now).as_secs();
        let next = if wait == 0 { "may be tried now".to_owned() } else { format!("next attempt in {wait} s") };
        lines.push(("failing", format!("{} ({next})", failure.error)));
    }
    lines
}

fn paragraph(name: &str, token: &TokenConfig, record: Option<&TokenRecord>, now: Timestamp) -> String {
    let mut lines = vec![one_line(name, 40)];
    let mut add = |key: &str, value: String| lines.push(format!("  {key:<9} {}", one_line(&value, 200)));
    add("provider", token.provider().to_owned());
    if let Some(scope) = token.scope() {
        add("scope", scope);
    }
    if let Some(audience) = token.audience() {
        add("audience", audience.to_owned());
    }
    let hosts: Vec<String> = token.hosts().iter().map(ToString::to_string).collect();
    add("hosts", if hosts.is_empty() { "none: `probe` sends it nowhere".to_owned() } else { hosts.join(", ") });
    if token.export() == Export::Never {
        add("export", "never: it is not printed".to_owned());
    }
    if let Some(min_ttl) = token.min_ttl() {
        add("min_ttl", format!("{} s", min_ttl.as_secs()));
    }
    for fallback in token.fallbacks() {
        add("fallback", fallback.to_owned());
    }
    for (key, value) in record.map(|record| kept_in_words(record, now)).unwrap_or_default() {
        add(key, value);
    }
    lines.push(String::new());
    lines.join("\n")
}

/// What the store has of a token, for machines; `null` if it has none that can be used.
fn kept_as_json(record: &TokenRecord, now: Timestamp) -> Value {
    record.usable(now).map_or(Value::Null, |token| {
        json!({
            "fingerprint": token.fingerprint(),
            "source": token.source(),
            "phase": format!("{:?}", token.moments().phase(now)).to_lowercase(),
            "expires_at": token.expires_at().map(rfc3339),
            "expires_in": token.expires_at().map(|_| token.moments().expires_at.until(now).as_secs()),
        })
    })
}

fn failure_as_json(record: &TokenRecord, now: Timestamp) -> Value {
    record.failure.as_ref().map_or(Value::Null, |failure| {
        json!({
            "kind": failure.error.kind().as_str(),
            "message": failure.error.to_string(),
            "in_a_row": failure.streak,
            "next_attempt_in": failure.not_before.since(now).as_secs(),
        })
    })
}

/// A token for machines.
pub(super) fn object(name: &str, token: &TokenConfig, record: Option<&TokenRecord>, now: Timestamp) -> Value {
    json!({
        "name": name,
        "provider": token.provider(),
        "scope": token.scope(),
        "audience": token.audience(),
        "hosts": token.hosts().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "export": if token.export() == Export::Never { "never" } else { "allowed" },
        "min_ttl_seconds": token.min_ttl().map(|min_ttl| min_ttl.as_secs()),
        "fallbacks": token.fallbacks(),
        "cached": record.map_or(Value::Null, |record| kept_as_json(record, now)),
        "failure": record.map_or(Value::Null, |record| failure_as_json(record, now)),
    })
}
