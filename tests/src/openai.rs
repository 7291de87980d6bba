//! A model that never sleeps: OpenAI's Responses API and chat completions, as far as agents ask for them. Until it is told to come to an end, its
//! answer to everything is to call the agent's shell, so that one turn makes as many requests as a test wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use serde_json::{Value, json};

use crate::resource::{Incoming, Reply, reply};

/// What the model says last.
pub const DONE: &str = "all lifetimes are over";

/// Pages of an OpenAI-compatible server below `/v1`; the model goes on until `finish`.
pub fn pages(finish: Arc<AtomicBool>) -> impl Fn(&Incoming) -> Reply + Send + Sync + 'static {
    let calls = AtomicUsize::new(0);
    move |request| {
        let path = request.target.split('?').next().unwrap_or_default();
        let call = if finish.load(Relaxed) { None } else { Some(calls.fetch_add(1, Relaxed)) };
        match (request.method.as_str(), path) {
            ("GET", "/v1/models") => reply(200, "application/json", r#"{"models":[]}"#),
            ("POST", "/v1/responses") => reply(200, "text/event-stream", responses(call)),
            ("POST", "/v1/chat/completions") => reply(200, "text/event-stream", chat(call)),
            _ => reply(404, "application/json", "{}"),
        }
    }
}

fn responses(call: Option<usize>) -> String {
    let item = match call {
        Some(call) => json!({
            "type": "function_call", "id": format!("fc_{call}"), "call_id": format!("call_{call}"), "status": "completed",
            "name": "exec_command", "arguments": json!({ "cmd": PAUSE }).to_string(),
        }),
        None => json!({
            "type": "message", "id": "msg", "role": "assistant", "status": "completed",
            "content": [{ "type": "output_text", "text": DONE, "annotations": [] }],
        }),
    };
    let usage = json!({ "input_tokens": 1, "output_tokens": 1, "total_tokens": 2 });
    let events = [
        json!({ "type": "response.created", "response": { "id": "resp" } }),
        json!({ "type": "response.output_item.done", "output_index": 0, "item": item }),
        json!({ "type": "response.completed", "response": { "id": "resp", "usage": usage } }),
    ];
    let event = |event: &Value| {
        let name = event.get("type").and_then(Value::as_str).unwrap_or_default();
        format!("event: {name}\ndata: {event}\n\n")
    };
    events.iter().map(event).collect()
}

fn chat(call: Option<usize>) -> String {
    let (delta, reason) = match call {
        Some(call) => {
            let function = json!({ "name": "bash", "arguments": json!({ "command": PAUSE }).to_string() });
            let call = json!({ "index": 0, "id": format!("call_{call}"), "type": "function", "function": function });
            (json!({ "role": "assistant", "tool_calls": [call] }), "tool_calls")
        }
        None => (json!({ "role": "assistant", "content": DONE }), "stop"),
    };
    let chunk = |delta: Value, reason: Option<&str>| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
        let chunk =
            json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice] });
        format!("data: {chunk}\n\n")
    };
    format!("{}{}data: [DONE]\n\n", chunk(delta, None), chunk(json!({}), Some(reason)))
}

/// What the agent's shell is asked to do: long enough for requests not to pile up, short enough for many in a token's life.
const PAUSE: &str = "sleep 0.2";
