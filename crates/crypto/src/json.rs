//! Just enough JSON to write: this crate never reads any.

use core::fmt::Write as _;

/// Appends `text` as a JSON string (RFC 8259 §7).
pub(crate) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// An object of string members, in this order, without white space.
pub(crate) fn object<'a>(members: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::from("{");
    for (name, value) in members {
        if out.len() > 1 {
            out.push(',');
        }
        push_string(&mut out, name);
        out.push(':');
        push_string(&mut out, value);
    }
    out.push('}');
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn strings_survive_another_parser() {
        let everything: String = (0u32..0x250).chain([0x2028, 0xfeff, 0x1f600]).filter_map(char::from_u32).collect();
        for text in ["", "plain", "q\"b\\s/", everything.as_str()] {
            let json = super::object([(text, text), ("kid", "k")]);
            let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(parsed.get(text).and_then(|v| v.as_str()), Some(text), "{json}");
        }
    }
}
