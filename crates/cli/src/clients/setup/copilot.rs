//! `~/.copilot/providers.json` holds static keys only, which is enough for the local key. Printed tokens are for its variables: a command in the file is ignored.

use super::{Ask, FilePlan, Plan, folder};
use crate::clients::edit::{Form, Set};
use crate::clients::point::Api;
use crate::failure::Failure;
use crate::{env, project};
use serde_json::json;
use std::path::PathBuf;

pub(super) fn plan(ask: &Ask<'_>) -> Result<Plan, Failure> {
    let kind = if ask.api == Api::AnthropicMessages { "anthropic" } else { "openai" };
    let model = ask.model("copilot")?;
    let mut plan = Plan {
        notes: vec!["unset COPILOT_PROVIDER_BEARER_TOKEN: it goes before everything else".to_owned()],
        ..Plan::default()
    };
    if ask.printed {
        let quoted = project::quoted;
        let lines = format!(
            "export COPILOT_PROVIDER_BASE_URL={} COPILOT_PROVIDER_TYPE={kind} COPILOT_MODEL={}\n\
             export COPILOT_PROVIDER_API_KEY_COMMAND={}\nunset COPILOT_PROVIDER_BEARER_TOKEN\n",
            quoted(ask.url),
            quoted(model),
            quoted(&ask.line("copilot")),
        );
        plan.pieces.push(("your shell's profile".to_owned(), lines));
        return Ok(plan);
    }
    let provider = json!({ "name": "unexpired", "type": kind, "baseUrl": ask.url, "apiKey": ask.key });
    let element = format!("[id={model}]");
    let sets = vec![
        Set::new(&["providers", "[name=unexpired]"], provider),
        Set::new(&["models", &element], json!({ "id": model, "provider": "unexpired" })),
    ];
    let file = match env::text("COPILOT_PROVIDERS_CONFIG") {
        Some(file) => PathBuf::from(file),
        None => folder("COPILOT_HOME", ".copilot")?.join("providers.json"),
    };
    plan.files.push(FilePlan { file, form: Form::Json, sets, holds_key: true });
    plan.notes.push(format!("choose the model unexpired/{model}"));
    Ok(plan)
}
