//! opencode's global configuration: a provider with the local key. Keys are resolved once, at its start.

use super::{Ask, FilePlan, Plan};
use crate::clients::edit::{Form, Set};
use crate::clients::point::{Api, at_home};
use crate::env;
use crate::failure::Failure;
use serde_json::json;
use std::path::PathBuf;

pub(super) fn plan(ask: &Ask<'_>) -> Result<Plan, Failure> {
    let model = ask.model("opencode")?;
    let package = match ask.api {
        Api::OpenaiCompletions => "@ai-sdk/openai-compatible",
        Api::OpenaiResponses => "@ai-sdk/openai",
        Api::AnthropicMessages => "@ai-sdk/anthropic",
        Api::GoogleGenerativeAi => "@ai-sdk/google",
    };
    let provider = json!({
        "npm": package,
        "name": "unexpired",
        "options": { "baseURL": ask.url, "apiKey": ask.key },
        "models": { model: {} },
    });
    let sets = vec![Set::new(&["provider", "unexpired"], provider), Set::new(&["model"], format!("unexpired/{model}"))];
    Ok(Plan { files: vec![FilePlan { file: file()?, form: Form::Json, sets, holds_key: true }], ..Plan::default() })
}

/// The file that there is; `.jsonc` has comments.
fn file() -> Result<PathBuf, Failure> {
    if let Some(file) = env::text("OPENCODE_CONFIG") {
        return Ok(PathBuf::from(file));
    }
    let folder = match env::text("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute()) {
        Some(folder) => folder.join("opencode"),
        None => at_home(".config/opencode")?,
    };
    let with_comments = folder.join("opencode.jsonc");
    Ok(if with_comments.exists() { with_comments } else { folder.join("opencode.json") })
}
