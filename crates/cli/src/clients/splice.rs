//! Changes one value in a JSON text and leaves every other byte as it is: order, spaces, comments. A path is made of keys, and `[name=x]` or `[id=x]` is
//! the element of an array that says so of itself. Comments and commas before a closing brace, which
//! some agents allow in their files, are read over; what else is not JSON is an error, and nothing is guessed.

use serde_json::Value;
use std::ops::Range;

/// The text is not what this reads: JSON, perhaps with comments.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotJson;

/// The text with `value` at `path`; objects on the way are made where there are none.
pub(crate) fn set(text: &str, path: &[&str], value: &Value) -> Result<String, NotJson> {
    let style = Style::of(text);
    let mut reader = Reader { text, at: 0, depth: 0 };
    reader.skip()?;
    if reader.at == text.len() {
        return Ok(format!("{text}{}{}", style.print(&nested(path, value), ""), style.line_end));
    }
    let whole = reader.value()?;
    reader.skip()?;
    if reader.at != text.len() {
        return Err(NotJson);
    }
    change(text, whole, path, value, &style)
}

/// A value that holds no others: its path and where it stands.
pub(crate) type Leaf = (Vec<String>, Range<usize>);

/// All of them, from the first to the last.
pub(crate) fn leaves(text: &str) -> Result<Vec<Leaf>, NotJson> {
    let mut reader = Reader { text, at: 0, depth: 0 };
    reader.skip()?;
    let mut found = Vec::new();
    if reader.at < text.len() {
        let whole = reader.value()?;
        gather(text, whole, &mut Vec::new(), &mut found)?;
    }
    Ok(found)
}

fn gather(text: &str, at: Range<usize>, path: &mut Vec<String>, found: &mut Vec<Leaf>) -> Result<(), NotJson> {
    let inner: Vec<(String, Range<usize>)> = match text.as_bytes().get(at.start) {
        Some(b'{') => object_at(text, at.start)?.members.into_iter().map(|member| (member.key, member.value)).collect(),
        Some(b'[') => {
            let elements = array_at(text, at.start)?.elements;
            elements.into_iter().map(|element| (name_of(text, &element).unwrap_or_default(), element)).collect()
        }
        _ => {
            found.push((path.clone(), at));
            return Ok(());
        }
    };
    for (key, value) in inner {
        path.push(key);
        gather(text, value, path, found)?;
        path.pop();
    }
    Ok(())
}

/// What an element of an array is called in a path.
fn name_of(text: &str, element: &Range<usize>) -> Option<String> {
    if !text.get(element.clone())?.starts_with('{') {
        return None;
    }
    let members = object_at(text, element.start).ok()?.members;
    ["name", "id"].iter().find_map(|key| {
        let member = members.iter().rfind(|member| member.key == *key)?;
        let name: String = serde_json::from_str(text.get(member.value.clone())?).ok()?;
        Some(format!("[{key}={name}]"))
    })
}

fn object_at(text: &str, at: usize) -> Result<Object, NotJson> {
    Reader { text, at, depth: 0 }.object()
}

fn array_at(text: &str, at: usize) -> Result<Array, NotJson> {
    Reader { text, at, depth: 0 }.array()
}

fn change(text: &str, at: Range<usize>, path: &[&str], value: &Value, style: &Style) -> Result<String, NotJson> {
    let indent = indent_of(text, at.start);
    let Some((key, rest)) = path.split_first() else {
        return replaced(text, at, &style.print(value, indent));
    };
    let first = if key.starts_with('[') { b'[' } else { b'{' };
    if text.as_bytes().get(at.start) != Some(&first) {
        return replaced(text, at, &style.print(&nested(path, value), indent));
    }
    let (last, trailing_comma, close) = if first == b'[' {
        let array = array_at(text, at.start)?;
        if let Some(element) = array.elements.iter().find(|element| name_of(text, element).as_deref() == Some(*key)) {
            return change(text, element.clone(), rest, value, style);
        }
        (array.elements.last().cloned(), array.trailing_comma, array.close)
    } else {
        let object = object_at(text, at.start)?;
        // Of a key that stands twice the last counts.
        if let Some(member) = object.members.iter().rfind(|member| member.key == *key) {
            return change(text, member.value.clone(), rest, value, style);
        }
        let last = object.members.last().map(|member| member.key_at..member.value.end);
        (last, object.trailing_comma, object.close)
    };
    let value = nested(rest, value);
    let name = if first == b'[' { String::new() } else { format!("{}: ", Value::from(*key)) };
    let Some(last) = last else {
        let inner = format!("{indent}{}", style.unit);
        let member = format!("{inner}{name}{}", style.print(&value, &inner));
        // What stands in it is space, or comments that stay.
        let kept = text.get(at.start + 1..close).unwrap_or_default().trim_end();
        let end = style.line_end;
        return replaced(text, at.start + 1..close, &format!("{kept}{end}{member}{end}{indent}"));
    };
    let own_line = text.get(at.start..last.start).unwrap_or_default().contains('\n');
    let inner = if own_line { indent_of(text, last.start) } else { indent };
    let member = format!("{name}{}", style.print(&value, inner));
    let member = if own_line { format!("{}{inner}{member}", style.line_end) } else { format!(" {member}") };
    // A comment behind the last member stays with it.
    let (comma, from) = match trailing_comma {
        Some(comma) => ("", comma + 1),
        None => (",", last.end),
    };
    let behind = if own_line { end_of_line(text, from, close) } else { from };
    let comment = text.get(from..behind).unwrap_or_default();
    replaced(text, from..behind, &format!("{comma}{comment}{member}"))
}

fn replaced(text: &str, at: Range<usize>, by: &str) -> Result<String, NotJson> {
    let (before, after) = (text.get(..at.start).ok_or(NotJson)?, text.get(at.end..).ok_or(NotJson)?);
    Ok(format!("{before}{by}{after}"))
}

/// The value inside of what a path leads through.
pub(crate) fn nested(path: &[&str], value: &Value) -> Value {
    path.iter().rev().fold(value.clone(), |value, key| {
        if key.starts_with('[') {
            return Value::Array(vec![value]);
        }
        Value::Object([((*key).to_owned(), value)].into_iter().collect())
    })
}

/// The spaces that the line of this place begins with.
fn indent_of(text: &str, at: usize) -> &str {
    let start = text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
    let line = text.get(start..).unwrap_or_default();
    let spaces = line.len() - line.trim_start_matches([' ', '\t']).len();
    line.get(..spaces).unwrap_or_default()
}

/// The end of this line, if only spaces and one comment stand before it.
fn end_of_line(text: &str, from: usize, close: usize) -> usize {
    let rest = text.get(from..close).unwrap_or_default();
    let line = rest.split('\n').next().unwrap_or_default();
    let line = line.strip_suffix('\r').unwrap_or(line);
    let is_comment = line.trim_start().starts_with("//");
    if rest.contains('\n') && (is_comment || line.trim().is_empty()) { from + line.trim_end().len() } else { from }
}

/// How the text is written.
struct Style {
    unit: String,
    line_end: &'static str,
}

impl Style {
    fn of(text: &str) -> Self {
        let first = text.lines().find(|line| line.starts_with([' ', '\t'])).unwrap_or_default();
        let spaces = first.len() - first.trim_start_matches([' ', '\t']).len();
        let unit = first.get(..spaces).filter(|unit| !unit.is_empty() && unit.len() <= 8).unwrap_or("  ");
        Self { unit: unit.to_owned(), line_end: if text.contains("\r\n") { "\r\n" } else { "\n" } }
    }

    /// The value, its further lines behind `indent`.
    fn print(&self, value: &Value, indent: &str) -> String {
        let printed = format!("{value:#}");
        let line = |line: &str| {
            let text = line.trim_start_matches(' ');
            format!("{}{text}", self.unit.repeat((line.len() - text.len()) / 2))
        };
        let lines: Vec<String> = printed.lines().map(line).collect();
        lines.join(&format!("{}{indent}", self.line_end))
    }
}

struct Object {
    members: Vec<Member>,
    trailing_comma: Option<usize>,
    /// Where the closing brace stands.
    close: usize,
}

struct Array {
    elements: Vec<Range<usize>>,
    trailing_comma: Option<usize>,
    close: usize,
}

struct Member {
    key: String,
    key_at: usize,
    value: Range<usize>,
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let is = self.next() == Some(byte);
        self.at += usize::from(is);
        is
    }

    /// Spaces and comments.
    fn skip(&mut self) -> Result<(), NotJson> {
        loop {
            let rest = self.rest();
            let spaces = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{feff}']).len();
            let rest = rest.get(spaces..).unwrap_or_default();
            let comment = if rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if rest.starts_with("/*") {
                rest.get(2..).and_then(|inner| inner.find("*/")).ok_or(NotJson)? + 4
            } else {
                0
            };
            self.at += spaces + comment;
            if comment == 0 {
                return Ok(());
            }
        }
    }

    /// Any value; where it stands.
    fn value(&mut self) -> Result<Range<usize>, NotJson> {
        let start = self.at;
        match self.next() {
            Some(b'{') => {
                self.object()?;
            }
            Some(b'[') => {
                self.array()?;
            }
            Some(b'"') => {
                self.string()?;
            }
            _ => {
                let word = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
                let rest = self.rest();
                let length = rest.find(|c| !word(c)).unwrap_or(rest.len());
                let text = rest.get(..length).unwrap_or_default();
                serde_json::from_str::<Value>(text).map_err(|_| NotJson)?;
                self.at += length;
            }
        }
        Ok(start..self.at)
    }

    fn string(&mut self) -> Result<String, NotJson> {
        let start = self.at;
        if !self.take(b'"') {
            return Err(NotJson);
        }
        loop {
            match self.next() {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(NotJson),
            }
        }
        self.at += 1;
        let raw = self.text.get(start..self.at).ok_or(NotJson)?;
        serde_json::from_str(raw).map_err(|_| NotJson)
    }

    fn array(&mut self) -> Result<Array, NotJson> {
        self.at += 1;
        self.deeper()?;
        let (mut elements, mut trailing_comma) = (Vec::new(), None);
        loop {
            self.skip()?;
            if self.take(b']') {
                break;
            }
            elements.push(self.value()?);
            self.skip()?;
            trailing_comma = Some(self.at);
            if !self.take(b',') {
                trailing_comma = None;
                if self.take(b']') {
                    break;
                }
                return Err(NotJson);
            }
        }
        self.depth -= 1;
        Ok(Array { elements, trailing_comma, close: self.at - 1 })
    }

    fn object(&mut self) -> Result<Object, NotJson> {
        self.at += 1;
        self.deeper()?;
        let (mut members, mut trailing_comma) = (Vec::new(), None);
        loop {
            self.skip()?;
            if self.take(b'}') {
                break;
            }
            let key_at = self.at;
            let key = self.string()?;
            self.skip()?;
            if !self.take(b':') {
                return Err(NotJson);
            }
            self.skip()?;
            let value = self.value()?;
            members.push(Member { key, key_at, value });
            self.skip()?;
            trailing_comma = Some(self.at);
            if !self.take(b',') {
                trailing_comma = None;
                if self.take(b'}') {
                    break;
                }
                return Err(NotJson);
            }
        }
        self.depth -= 1;
        Ok(Object { members, trailing_comma, close: self.at - 1 })
    }

    fn deeper(&mut self) -> Result<(), NotJson> {
        self.depth += 1;
        if self.depth > DEEPEST { Err(NotJson) } else { Ok(()) }
    }
}

/// No configuration is deeper; the reader calls itself for each level.
const DEEPEST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_value_changes_and_every_other_byte_stays() {
        let one = json!(1);
        for (text, path, expected) in [
            ("", &["a"][..], "{\n  \"a\": 1\n}\n"),
            ("{}", &["a", "b"], "{\n  \"a\": {\n    \"b\": 1\n  }\n}"),
            ("{ }\n", &["a"], "{\n  \"a\": 1\n}\n"),
            ("{ // none yet\n}\n", &["a"], "{ // none yet\n  \"a\": 1\n}\n"),
            ("{\"a\": 0}", &["a"], "{\"a\": 1}"),
            ("{\"z\": 0, \"y\": 2}", &["a"], "{\"z\": 0, \"y\": 2, \"a\": 1}"),
            ("{\n\t\"z\": 0\n}\n", &["a"], "{\n\t\"z\": 0,\n\t\"a\": 1\n}\n"),
            ("{\n  \"z\": 0 // zero\n}\n", &["a"], "{\n  \"z\": 0, // zero\n  \"a\": 1\n}\n"),
            ("{\n  \"z\": 0, // zero\n}\n", &["a"], "{\n  \"z\": 0, // zero\n  \"a\": 1\n}\n"),
            ("{\r\n  \"z\": 0\r\n}\r\n", &["a"], "{\r\n  \"z\": 0,\r\n  \"a\": 1\r\n}\r\n"),
            (
                "{\n  \"z\": { \"y\": [1, {\"a\": 2},] } /* end */\n}",
                &["z", "a"],
                "{\n  \"z\": { \"y\": [1, {\"a\": 2},], \"a\": 1 } /* end */\n}",
            ),
            ("{\n  \"a\": 0,\n  \"a\": 2\n}", &["a"], "{\n  \"a\": 0,\n  \"a\": 1\n}"),
            ("{\"a\": \"x\\\"}\"}", &["a", "b"], "{\"a\": {\n  \"b\": 1\n}}"),
            ("{\"\\u0061\": 0}", &["a"], "{\"\\u0061\": 1}"),
        ] {
            assert_eq!(set(text, path, &one).as_deref(), Ok(expected), "{text}");
            let written = leaves(expected).unwrap().into_iter().rfind(|(found, _)| found == path).unwrap();
            assert_eq!(&expected[written.1], "1", "{text}");
        }
    }

    #[test]
    fn an_element_of_an_array_is_known_by_its_name() {
        let new = json!({ "name": "b", "v": 1 });
        for (text, expected) in [
            ("{}", "{\n  \"a\": [\n    {\n      \"name\": \"b\",\n      \"v\": 1\n    }\n  ]\n}"),
            ("{\"a\": [{\"name\": \"x\"}]}", "{\"a\": [{\"name\": \"x\"}, {\n  \"name\": \"b\",\n  \"v\": 1\n}]}"),
            ("{\"a\": [{\"name\": \"b\"}, 2]}", "{\"a\": [{\n  \"name\": \"b\",\n  \"v\": 1\n}, 2]}"),
            ("{\"a\": []}", "{\"a\": [\n  {\n    \"name\": \"b\",\n    \"v\": 1\n  }\n]}"),
        ] {
            assert_eq!(set(text, &["a", "[name=b]"], &new).as_deref(), Ok(expected), "{text}");
            let found = leaves(expected).unwrap();
            assert!(
                found.iter().any(|(path, at)| path.join("/") == "a/[name=b]/v" && &expected[at.clone()] == "1"),
                "{found:?}"
            );
        }
    }

    #[test]
    fn what_is_not_json_is_left_alone() {
        let deep = "[".repeat(100_000);
        for text in [
            "{",
            "{a: 1}",
            "{'a': 1}",
            "{\"a\": 1} x",
            "{\"a\" 1}",
            "{\"a\": +}",
            "/*",
            "{\"a\": \"",
            "{\"a\": \"\\",
            "[1 2]",
            &deep,
        ] {
            assert_eq!(set(text, &["a"], &json!(1)), Err(NotJson), "{text:.20}");
        }
        assert_eq!(leaves(" "), Ok(Vec::new()));
    }
}
