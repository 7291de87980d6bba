//! `~/.claude/settings.json`: `apiKeyHelper`, whose output is sent in both of its headers, and the base URL.

use super::{Ask, FilePlan, Plan, folder};
use crate::clients::edit::{Form, Set};
use crate::failure::Failure;

pub(super) fn plan(ask: &Ask<'_>) -> Result<Plan, Failure> {
    let mut sets =
        vec![Set::new(&["apiKeyHelper"], ask.line("claude")), Set::new(&["env", "ANTHROPIC_BASE_URL"], ask.url)];
    if let Some(interval) = ask.interval.filter(|_| ask.printed) {
        sets.push(Set::new(&["env", "CLAUDE_CODE_API_KEY_HELPER_TTL_MS"], interval.as_millis().to_string()));
    }
    sets.extend(ask.model.map(|model| Set::new(&["model"], model)));
    let mut notes = vec![
        "unset ANTHROPIC_API_KEY and ANTHROPIC_AUTH_TOKEN: they are sent beside what the helper prints".to_owned(),
    ];
    if ask.upstream.trim_end_matches('/').ends_with("/v1") {
        notes.push("claude puts /v1 behind its base URL, and the route's upstream ends with it too".to_owned());
    }
    let file = folder("CLAUDE_CONFIG_DIR", ".claude")?.join("settings.json");
    Ok(Plan { files: vec![FilePlan { file, form: Form::Json, sets, holds_key: false }], notes, ..Plan::default() })
}
