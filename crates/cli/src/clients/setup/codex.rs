//! `~/.codex/config.toml`: a provider whose key a command prints. A repository's own `.codex/config.toml` cannot choose a provider.

use super::{Ask, FilePlan, Plan, folder};
use crate::clients::edit::{Form, Set};
use crate::failure::Failure;
use serde_json::json;

pub(super) fn plan(ask: &Ask<'_>) -> Result<Plan, Failure> {
    let words = ask.words("codex");
    let (command, arguments) = words.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let mut auth = json!({ "command": command, "args": arguments });
    if let (Some(interval), Some(auth)) = (ask.interval.filter(|_| ask.printed), auth.as_object_mut()) {
        auth.insert("refresh_interval_ms".to_owned(), json!(u64::try_from(interval.as_millis()).unwrap_or(u64::MAX)));
    }
    let provider = json!({ "name": "unexpired", "base_url": ask.url, "wire_api": "responses", "auth": auth });
    let mut sets =
        vec![Set::new(&["model_provider"], "unexpired"), Set::new(&["model_providers", "unexpired"], provider)];
    sets.extend(ask.model.map(|model| Set::new(&["model"], model)));
    let file = folder("CODEX_HOME", ".codex")?.join("config.toml");
    Ok(Plan { files: vec![FilePlan { file, form: Form::Toml, sets, holds_key: false }], ..Plan::default() })
}
