//! OpenAI's Responses API and chat completions, as streams.

use serde_json::{Value, json};

use crate::model::{Answer, DONE};

pub(crate) fn responses(answer: &Answer) -> String {
    let item = match answer {
        Answer::Call(number, name, arguments) => json!({
            "type": "function_call", "id": format!("fc_{number}"), "call_id": format!("call_{number}"), "status": "completed",
            "name": name, "arguments": arguments.to_string(),
        }),
        Answer::Done => json!({
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
    events.iter().map(named).collect()
}

pub(crate) fn chat(answer: &Answer) -> String {
    let (delta, reason) = match answer {
        Answer::Call(number, name, arguments) => {
            let function = json!({ "name": name, "arguments": arguments.to_string() });
            let call = json!({ "index": 0, "id": format!("call_{number}"), "type": "function", "function": function });
            (json!({ "role": "assistant", "tool_calls": [call] }), "tool_calls")
        }
        Answer::Done => (json!({ "role": "assistant", "content": DONE }), "stop"),
    };
    let chunk = |delta: Value, reason: Option<&str>| {
        let choice = json!({ "index": 0, "delta": delta, "finish_reason": reason });
        let chunk =
            json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice] });
        format!("data: {chunk}\n\n")
    };
    format!("{}{}data: [DONE]\n\n", chunk(delta, None), chunk(json!({}), Some(reason)))
}

/// An event whose name is its type.
pub(crate) fn named(event: &Value) -> String {
    let name = event.get("type").and_then(Value::as_str).unwrap_or_default();
    format!("event: {name}\ndata: {event}\n\n")
}
