//! What stands in a file.

use serde::{Deserialize, Serialize};
use std::path::Path;
use unexpired_core::{Record, RefreshTokenRecord, Secret, StoreError};
use zeroize::Zeroizing;

/// Version 1. Fields may be added; another meaning needs another version.
#[derive(Serialize, Deserialize)]
struct V1<'a> {
    v: u32,
    #[serde(flatten, borrow)]
    record: Kind<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Kind<'a> {
    RefreshToken {
        #[serde(borrow)]
        token: std::borrow::Cow<'a, str>,
        #[serde(borrow)]
        seed: std::borrow::Cow<'a, str>,
        #[serde(default)]
        unanswered: u32,
    },
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

pub(crate) fn write(record: &Record) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    let Record::RefreshToken(record) = record else {
        return Err(StoreError::new("this version of the file store does not know this kind of record"));
    };
    let token = record.token.expose();
    // Every character may become six: room for all, so that no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(token.len() * 6 + record.seed.len() * 6 + 128));
    let kind =
        Kind::RefreshToken { token: token.into(), seed: record.seed.as_str().into(), unanswered: record.unanswered };
    serde_json::to_writer(&mut *bytes, &V1 { v: VERSION, record: kind })
        .map_err(|_| StoreError::new("a record cannot be written"))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The record in a file. The error never tells what stands there.
pub(crate) fn parse(bytes: &[u8], place: &Path) -> Result<Record, StoreError> {
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
    let V1 { record: Kind::RefreshToken { token, seed, unanswered }, .. } =
        serde_json::from_slice(bytes).map_err(|_| {
            StoreError::new(format!(
                "{place} is damaged: fields are missing; move it away, and sign in again if need be"
            ))
        })?;
    let mut record = RefreshTokenRecord::new(Secret::new(token), seed);
    record.unanswered = unanswered;
    Ok(Record::RefreshToken(record))
}

const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn round(token: &str) {
        let mut record = RefreshTokenRecord::new(Secret::new(token), "seed");
        record.unanswered = 1;
        let bytes = write(&Record::RefreshToken(record)).unwrap();
        let Ok(Record::RefreshToken(read)) = parse(&bytes, Path::new("f")) else { panic!("{token}") };
        assert_eq!((read.token.expose(), read.seed.as_str(), read.unanswered), (token, "seed", 1));
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
            (b"{\"v\":1,\"kind\":\"canary\"}", "fields are missing"),
        ];
        for (bytes, expected) in rows {
            let error = parse(bytes, Path::new("/state/abc.json")).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("/state/abc.json"), "{error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn fields_of_later_versions_are_ignored() {
        let bytes = b"{\"v\":1,\"kind\":\"refresh_token\",\"token\":\"t\",\"seed\":\"s\",\"later\":[1]}";
        assert!(parse(bytes, Path::new("f")).is_ok());
    }
}
