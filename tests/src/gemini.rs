//! Google's generateContent, as a stream.

use serde_json::{Value, json};

use crate::model::{Answer, DONE};

pub(crate) fn stream(answer: &Answer) -> String {
    let part = match answer {
        Answer::Call(_, name, arguments) => json!({ "functionCall": { "name": name, "args": arguments } }),
        Answer::Done => json!({ "text": DONE }),
    };
    format!("data: {}\n\n", of(part))
}

/// What Gemini CLI asks beside the turn: whether that is stuck in a loop.
pub(crate) fn verdict() -> Value {
    let text = json!({ "unproductive_state_analysis": "no", "unproductive_state_confidence": 0 }).to_string();
    of(json!({ "text": text }))
}

fn of(part: Value) -> Value {
    json!({
        "candidates": [{ "index": 0, "content": { "role": "model", "parts": [part] }, "finishReason": "STOP" }],
        "usageMetadata": { "promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2 },
    })
}
