//! A model that never sleeps. Until it is told to come to an end, its answer to everything is to call the agent's shell, so that one turn makes as many
//! requests as a test wants. It speaks the four APIs that agents ask for, as far as they ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use serde_json::{Value, json};

use crate::resource::{Incoming, Reply, reply};
use crate::{anthropic, gemini, openai};

/// What the model says last.
pub const DONE: &str = "all lifetimes are over";

/// What the model has to say to a request.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    /// Call this tool of the agent's, with these arguments; the number is new each time.
    Call(usize, String, Value),
    /// [`DONE`].
    Done,
}

/// Pages of a server with such a model: OpenAI's and Anthropic's below `/v1`, Google's below `/v1beta`. The model goes on until `finish`.
pub fn pages(finish: Arc<AtomicBool>) -> impl Fn(&Incoming) -> Reply + Send + Sync + 'static {
    let calls = AtomicUsize::new(0);
    move |request| {
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        // Without a shell it is a question beside the turn, such as for a title.
        let answer = match shell(&body) {
            Some(shell) if !finish.load(Relaxed) => {
                let number = calls.fetch_add(1, Relaxed);
                // An agent that is asked for the same again and again takes it for a loop.
                let command = format!("{PAUSE}; : {number}");
                Answer::Call(number, shell, json!({ "cmd": command, "command": command, "description": "waits" }))
            }
            _ => Answer::Done,
        };
        let path = request.target.split('?').next().unwrap_or_default();
        let events = match (request.method.as_str(), path) {
            ("GET", "/v1/models") => return reply(200, "application/json", r#"{"data":[{"id":"m"}],"models":[]}"#),
            ("POST", "/v1/responses") => openai::responses(&answer),
            ("POST", "/v1/chat/completions") => openai::chat(&answer),
            ("POST", "/v1/messages") if body.get("stream") == Some(&json!(true)) => anthropic::messages(&answer),
            ("POST", "/v1/messages/count_tokens") => return reply(200, "application/json", r#"{"input_tokens":1}"#),
            ("POST", path) if path.ends_with(":streamGenerateContent") => gemini::stream(&answer),
            ("POST", path) if path.ends_with(":generateContent") => {
                return reply(200, "application/json", gemini::verdict().to_string());
            }
            _ => return reply(404, "application/json", "{}"),
        };
        reply(200, "text/event-stream", events)
    }
}

/// The agent's own name for its shell, among the tools that the request offers.
fn shell(body: &Value) -> Option<String> {
    let mut names = Vec::new();
    names_in(body.get("tools")?, &mut names);
    names.into_iter().find(|name| SHELLS.contains(&name.as_str()))
}

/// Each API nests its tools in its own way.
fn names_in(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| names_in(item, names)),
        Value::Object(fields) => {
            names.extend(fields.get("name").and_then(Value::as_str).map(str::to_owned));
            ["function", "functionDeclarations"]
                .iter()
                .filter_map(|key| fields.get(*key))
                .for_each(|inner| names_in(inner, names));
        }
        _ => {}
    }
}

/// Codex; pi, opencode, Copilot; Claude Code; Gemini CLI; OpenClaw.
const SHELLS: [&str; 5] = ["exec_command", "bash", "Bash", "run_shell_command", "exec"];

/// What the agent's shell is asked to do: long enough for requests not to pile up, short enough for many in a token's life.
const PAUSE: &str = "sleep 0.2";
