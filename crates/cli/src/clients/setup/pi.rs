//! `~/.pi/agent/models.json`: a provider whose key a command prints at each request. Not `auth.json`, where it would be kept for the life of the process.

use super::{Ask, FilePlan, Plan, folder};
use crate::clients::edit::{Form, Set};
use crate::failure::Failure;
use serde_json::json;

pub(super) fn plan(ask: &Ask<'_>) -> Result<Plan, Failure> {
    let model = ask.model("pi")?;
    let provider = json!({
        "baseUrl": ask.url,
        "api": ask.api.name(),
        "apiKey": format!("!{}", ask.line("pi")),
        // Anthropic's form has the key in x-api-key, where a token is not looked for.
        "authHeader": true,
        "models": [{ "id": model }],
    });
    let file = folder("PI_CODING_AGENT_DIR", ".pi/agent")?.join("models.json");
    let sets = vec![Set::new(&["providers", "unexpired"], provider)];
    let notes = vec![format!("start it with: pi --provider unexpired --model {model}")];
    Ok(Plan { files: vec![FilePlan { file, form: Form::Json, sets, holds_key: false }], notes, ..Plan::default() })
}
