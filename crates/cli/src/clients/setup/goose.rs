//! goose's `config.yaml` is YAML, so the piece is printed. The key is a secret, which goose looks for in its variable first.

use super::{Ask, Plan};
use crate::clients::point::Api;
use crate::failure::Failure;
use serde_json::Value;

pub(super) fn plan(ask: &Ask<'_>) -> Result<Plan, Failure> {
    // Every JSON string is a YAML string.
    let text = |text: &str| Value::from(text).to_string();
    let (mut piece, key) = match ask.api {
        Api::AnthropicMessages => {
            (format!("GOOSE_PROVIDER: anthropic\nANTHROPIC_HOST: {}\n", text(ask.url)), "ANTHROPIC_API_KEY")
        }
        api => {
            let path = if api == Api::OpenaiResponses { "responses" } else { "chat/completions" };
            (
                format!("GOOSE_PROVIDER: openai\nOPENAI_HOST: {}\nOPENAI_BASE_PATH: {path}\n", text(ask.url)),
                "OPENAI_API_KEY",
            )
        }
    };
    if let Some(model) = ask.model {
        piece.push_str(&format!("GOOSE_MODEL: {}\n", text(model)));
    }
    let variable = format!("export {key}=\"$({})\"\n", ask.line("goose"));
    let pieces = vec![("~/.config/goose/config.yaml".to_owned(), piece), ("your shell's profile".to_owned(), variable)];
    Ok(Plan { pieces, ..Plan::default() })
}
