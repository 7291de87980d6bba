//! Anthropic's Messages API, as a stream.

use serde_json::json;

use crate::model::{Answer, DONE};
use crate::openai::named;

pub(crate) fn messages(answer: &Answer) -> String {
    let (block, delta, reason) = match answer {
        Answer::Call(number, name, arguments) => (
            json!({ "type": "tool_use", "id": format!("toolu_{number}"), "name": name, "input": {} }),
            json!({ "type": "input_json_delta", "partial_json": arguments.to_string() }),
            "tool_use",
        ),
        Answer::Done => {
            (json!({ "type": "text", "text": "" }), json!({ "type": "text_delta", "text": DONE }), "end_turn")
        }
    };
    let usage = json!({ "input_tokens": 1, "output_tokens": 1 });
    let message = json!({
        "id": "msg", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": null, "usage": usage,
    });
    let events = [
        json!({ "type": "message_start", "message": message }),
        json!({ "type": "content_block_start", "index": 0, "content_block": block }),
        json!({ "type": "content_block_delta", "index": 0, "delta": delta }),
        json!({ "type": "content_block_stop", "index": 0 }),
        json!({ "type": "message_delta", "delta": { "stop_reason": reason, "stop_sequence": null }, "usage": usage }),
        json!({ "type": "message_stop" }),
    ];
    events.iter().map(named).collect()
}
