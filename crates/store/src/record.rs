//! The text of a record, version 1.

use serde::de::Visitor;
use serde::{Deserialize, Serialize};
use std::fmt;
use unexpired_core::{Record, RefreshTokenRecord, Secret};
use zeroize::Zeroizing;

/// Why a text is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Torn, truncated, or something else altogether.
    Damaged,
    /// Written by a program that knows more than this one.
    Newer,
}

/// The record as it is written, or `None` if this version has no form for it.
pub(crate) fn write(record: &Record) -> Option<Zeroizing<Vec<u8>>> {
    let Record::RefreshToken(record) = record else { return None };
    let (token, seed) = (record.token.expose(), record.seed.as_str());
    let form = Written { v: VERSION, r#type: REFRESH_TOKEN, token, seed, unanswered: record.unanswered };
    // Room for every character escaped: a vector that grows leaves copies behind.
    let room = token.len().saturating_add(seed.len()).saturating_mul(6).saturating_add(128);
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *text, &form).ok()?;
    text.push(b'\n');
    Some(text)
}

/// The record that `text` is.
pub(crate) fn read(text: &[u8]) -> Result<Record, Unreadable> {
    let head: Head = serde_json::from_slice(text).map_err(|_| Unreadable::Damaged)?;
    if head.v > VERSION || (head.v == VERSION && head.r#type != REFRESH_TOKEN) {
        return Err(Unreadable::Newer);
    }
    let form: Read = serde_json::from_slice(text).map_err(|_| Unreadable::Damaged)?;
    if head.v != VERSION || form.token.0.is_empty() {
        return Err(Unreadable::Damaged);
    }
    let mut record = RefreshTokenRecord::new(Secret::from(form.token.0), form.seed);
    record.unanswered = form.unanswered;
    Ok(Record::RefreshToken(record))
}

#[derive(Serialize)]
struct Written<'a> {
    v: u64,
    r#type: &'a str,
    token: &'a str,
    seed: &'a str,
    unanswered: u32,
}

/// What every version has.
#[derive(Deserialize)]
struct Head {
    v: u64,
    #[serde(default)]
    r#type: String,
}

#[derive(Deserialize)]
struct Read {
    token: Text,
    seed: String,
    unanswered: u32,
}

/// A text that is overwritten when it is dropped.
struct Text(Zeroizing<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Text, E> {
        if text.contains('\0') { Err(E::custom("NUL")) } else { Ok(Text(Zeroizing::new(text.to_owned()))) }
    }
}

const VERSION: u64 = 1;
const REFRESH_TOKEN: &str = "refresh_token";

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Zeroizing<Vec<u8>> {
        let mut record = RefreshTokenRecord::new(Secret::new("rt \"quoted\" \u{1}ü"), "seed");
        record.unanswered = 1;
        write(&Record::RefreshToken(record)).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let Ok(Record::RefreshToken(record)) = read(&text()) else { panic!() };
        assert_eq!((record.token.expose(), &*record.seed, record.unanswered), ("rt \"quoted\" \u{1}ü", "seed", 1));
    }

    #[test]
    fn the_format_is_the_documented_one() {
        let record = Record::RefreshToken(RefreshTokenRecord::new(Secret::new("rt-1"), "s"));
        let expected = "{\"v\":1,\"type\":\"refresh_token\",\"token\":\"rt-1\",\"seed\":\"s\",\"unanswered\":0}\n";
        assert_eq!(std::str::from_utf8(&write(&record).unwrap()).unwrap(), expected);
    }

    #[test]
    fn no_part_of_a_record_is_a_record() {
        let whole = text();
        // Without its line break it is still whole.
        for end in 0..whole.len() - 1 {
            assert_eq!(read(&whole[..end]).unwrap_err(), Unreadable::Damaged, "{end}");
        }
        // A hole of zeros, as file systems leave them.
        for start in 0..whole.len() - 1 {
            let mut holed = whole.to_vec();
            holed[start..].fill(0);
            assert_eq!(read(&holed).unwrap_err(), Unreadable::Damaged, "{start}");
        }
    }

    #[test]
    fn what_a_later_version_wrote_is_told_from_damage() {
        assert_eq!(read(br#"{"v":2,"what":"ever"}"#).unwrap_err(), Unreadable::Newer);
        assert_eq!(read(br#"{"v":1,"type":"failure"}"#).unwrap_err(), Unreadable::Newer);
        for damaged in [
            "{}",
            "[]",
            r#"{"v":"1"}"#,
            r#"{"v":0,"type":"refresh_token","token":"a","seed":"","unanswered":0}"#,
            r#"{"v":1,"type":"refresh_token","token":"","seed":"","unanswered":0}"#,
            r#"{"v":1,"type":"refresh_token","token":"a"}"#,
        ] {
            assert_eq!(read(damaged.as_bytes()).unwrap_err(), Unreadable::Damaged, "{damaged}");
        }
    }
}
