//! What stands in a file.

use crate::token_form::TokenForm;
use serde::{Deserialize, Serialize};
use std::path::Path;
use unexpired_core::{Record, RefreshTokenRecord, Secret, StoreError};
use zeroize::Zeroizing;

/// Version 1. Fields may be added; another meaning needs another version.
#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    kind: &'a str,
    token: &'a str,
    seed: &'a str,
    unanswered: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    rotates: Option<bool>,
}

/// What every version has.
#[derive(Deserialize)]
struct Version {
    v: u32,
    #[serde(default)]
    kind: String,
}

#[derive(Deserialize)]
struct Read {
    token: Text,
    seed: String,
    #[serde(default)]
    unanswered: u32,
    #[serde(default)]
    rotates: Option<bool>,
}

/// A text that is overwritten when it is dropped. Read in one piece: serde's buffers for tagged and flattened forms keep copies.
pub(crate) struct Text(pub(crate) Zeroizing<String>);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl serde::de::Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text(Zeroizing::new(text.to_owned())))
    }
}

pub(crate) fn write(record: &Record) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    match record {
        Record::RefreshToken(record) => {
            let token = record.token.expose();
            let RefreshTokenRecord { seed, unanswered, rotates, .. } = record;
            let form =
                Written { v: VERSION, kind: REFRESH_TOKEN, token, seed, unanswered: *unanswered, rotates: *rotates };
            to_bytes(&form, token.len().saturating_add(record.seed.len()))
        }
        Record::Token(record) => {
            let form = TokenForm::of(record);
            let secret = record.token.as_ref().map_or(0, |token| token.secret().len());
            to_bytes(&form, secret.saturating_add(2048))
        }
        _ => Err(StoreError::new("this version of the file store does not know this kind of record")),
    }
}

/// Every character may become six: room for all, so that no copy is left behind by growing.
fn to_bytes(form: &impl Serialize, length: usize) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.saturating_mul(6).saturating_add(128)));
    serde_json::to_writer(&mut *bytes, form).map_err(|_| StoreError::new("a record cannot be written"))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The record in a file. The error never tells what stands there.
pub(crate) fn parse(bytes: &[u8], place: &Path) -> Result<Record, StoreError> {
    // The commonest first: on the way of every call that is answered from the store nothing is read twice.
    if bytes.starts_with(TOKEN_HEAD)
        && let Some(record) = TokenForm::parse(bytes)
    {
        return Ok(Record::Token(Box::new(record)));
    }
    let place = place.display();
    let version: Version = serde_json::from_slice(bytes).map_err(|_| {
        StoreError::new(format!("{place} is damaged: it is no record; move it away, and sign in again if need be"))
    })?;
    if version.v != VERSION {
        return Err(StoreError::new(format!(
            "{place} is of format {}, and this version reads format {VERSION}; use the version that wrote it",
            version.v
        )));
    }
    match version.kind.as_str() {
        REFRESH_TOKEN => {
            let read: Read = serde_json::from_slice(bytes).map_err(|_| {
                StoreError::new(format!(
                    "{place} is damaged: fields are missing; move it away, and sign in again if need be"
                ))
            })?;
            let mut record = RefreshTokenRecord::new(Secret::from(read.token.0), read.seed);
            record.unanswered = read.unanswered;
            record.rotates = read.rotates;
            Ok(Record::RefreshToken(record))
        }
        TOKEN => TokenForm::parse(bytes).map(|record| Record::Token(Box::new(record))).ok_or_else(|| {
            StoreError::new(format!("{place} is damaged: fields are missing; remove it, and the token is minted anew"))
        }),
        _ => Err(StoreError::new(format!(
            "{place} holds a kind of record that this version does not know; use the version that wrote it"
        ))),
    }
}

/// Whether `bytes` was written to its end, by whatever version.
pub(crate) fn is_whole(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Version>(bytes).is_ok()
}

pub(crate) const VERSION: u32 = 1;
const REFRESH_TOKEN: &str = "refresh_token";
pub(crate) const TOKEN: &str = "token";
/// How a token's record of this version begins, as it is written here.
const TOKEN_HEAD: &[u8] = b"{\"v\":1,\"kind\":\"token\",";

#[cfg(test)]
mod tests {
    use super::*;

    fn round(token: &str) {
        let mut record = RefreshTokenRecord::new(Secret::new(token), "seed");
        record.unanswered = 1;
        for rotates in [None, Some(true), Some(false)] {
            record.rotates = rotates;
            let bytes = write(&Record::RefreshToken(record.clone())).unwrap();
            let Ok(Record::RefreshToken(read)) = parse(&bytes, Path::new("f")) else { panic!("{token}") };
            let read = (read.token.expose(), read.seed.as_str(), read.unanswered, read.rotates);
            assert_eq!(read, (token, "seed", 1, rotates));
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for token in ["rt-1", "with \"quotes\" and \\", "\u{1}\u{2}ünïcödé\n", &"x".repeat(5000)] {
            round(token);
        }
    }

    #[test]
    fn what_is_no_record_is_said_to_be_damaged_and_not_shown() {
        let rows: [(&[u8], &str); 6] = [
            (b"", "damaged"),
            (b"canary", "damaged"),
            (b"{\"v\":1,\"kind\":\"refresh_token\",\"token\":\"canary\"}", "fields are missing"),
            (b"{\"v\":1,\"kind\":\"refresh_token\",\"token\":\"canary\",\"seed\":\"s\"", "damaged"),
            (b"{\"v\":2,\"canary\":1}", "format 2"),
            (b"{\"v\":1,\"kind\":\"canary\"}", "does not know"),
        ];
        for (bytes, expected) in rows {
            let error = parse(bytes, Path::new("/state/abc.json")).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("/state/abc.json"), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_tokens_record_begins_as_it_is_looked_for() {
        let record = Record::Token(Box::default());
        let bytes = write(&record).unwrap();
        assert!(bytes.starts_with(TOKEN_HEAD));
        assert!(matches!(parse(&bytes, Path::new("f")), Ok(Record::Token(_))));
    }

    #[test]
    fn fields_of_later_versions_are_ignored() {
        let bytes = b"{\"v\":1,\"kind\":\"refresh_token\",\"token\":\"t\",\"seed\":\"s\",\"later\":[1]}";
        assert!(parse(bytes, Path::new("f")).is_ok());
    }

    #[test]
    fn no_part_of_a_record_is_a_record() {
        let whole = write(&Record::RefreshToken(RefreshTokenRecord::new(Secret::new("rt-1"), "seed"))).unwrap();
        // The line break at the end is not needed.
        for end in 0..whole.len() - 1 {
            assert!(parse(&whole[..end], Path::new("f")).is_err(), "{end}");
            // A hole of zeros, as file systems leave them.
            let mut holed = whole.to_vec();
            holed[end..].fill(0);
            assert!(parse(&holed, Path::new("f")).is_err(), "{end}");
        }
    }
}
