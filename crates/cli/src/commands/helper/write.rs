//! Answers that hold a secret, written once into memory that is wiped.

use crate::failure::Failure;
use crate::out;
use zeroize::Zeroizing;

/// Writes these parts to stdout, one after the other.
pub(super) fn parts(parts: &[&str]) -> Result<(), Failure> {
    out::answer(&joined(parts))
}

/// These parts as one text. Its buffer never grows: that would leave copies behind.
pub(super) fn joined(parts: &[&str]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(parts.iter().map(|part| part.len()).sum()));
    for part in parts {
        text.push_str(part);
    }
    text
}

/// A text as JSON. Tokens need none of this: they are b64tokens, the engine takes nothing else.
pub(super) fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
