//! Tickets: where the record of a token is, for who asked the last time, and what must not have changed since.
//!
//! With one a call needs neither to read the configuration nor to build a source: it compares a few file stamps and prints. Who has none, or one
//! that is out of date, goes the long way, which writes a new one.

use crate::shared::Subject;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use unexpired::config::TokenConfig;
use unexpired::store::FileStore;
use unexpired::{Digest, StoreKey};

/// What a ticket says of one name in one configuration file.
#[derive(Debug, PartialEq)]
pub(crate) struct Ticket {
    /// The key of the record.
    pub(crate) key: StoreKey,
    /// The revision that the record must have.
    pub(crate) revision: u64,
    config: String,
    files: Vec<(PathBuf, String)>,
    variables: Vec<(String, String)>,
}

impl Ticket {
    /// The ticket of a subject, as its files and variables are now. `config` is the configuration file's stamp from before it was read.
    pub(crate) fn of(subject: &Subject, key: StoreKey, token: &TokenConfig, config: String, revision: u64) -> Self {
        debug_assert_eq!(token.name(), subject.name);
        Self {
            key,
            revision,
            config,
            files: token.credential_files().into_iter().map(|path| (path.to_owned(), stamp(path))).collect(),
            variables: token.credential_variables().into_iter().map(|name| (name.to_owned(), variable(name))).collect(),
        }
    }

    /// The ticket that was written last, if nothing that it depends on has changed.
    pub(crate) fn find(records: &Path, config: &Path, name: &str) -> Option<Self> {
        let text = fs::read_to_string(place(records, config, name)).ok()?;
        let ticket = Self::parse(&text)?;
        let same_files = ticket.files.iter().all(|(path, then)| stamp(path) == *then);
        let same_variables = ticket.variables.iter().all(|(name, then)| variable(name) == *then);
        (stamp(config) == ticket.config && same_files && same_variables).then_some(ticket)
    }

    /// Keeps the ticket beside the records. That it cannot be kept only costs time.
    pub(crate) fn keep(&self, store: &FileStore, config: &Path, name: &str) {
        let place = place(store.records_path(), config, name);
        let text = self.write();
        if fs::read_to_string(&place).is_ok_and(|kept| kept == text) {
            return;
        }
        let new = place.with_extension(format!("ticket-{}", std::process::id()));
        let written = crate::sys::write_private(&new, text.as_bytes()).and_then(|()| fs::rename(&new, &place));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
    }

    fn write(&self) -> String {
        let pairs = |pairs: &mut dyn Iterator<Item = (String, &String)>| -> Vec<Value> {
            pairs.map(|(one, other)| serde_json::json!([one, other])).collect()
        };
        let files = pairs(&mut self.files.iter().map(|(path, stamp)| (path.to_string_lossy().into_owned(), stamp)));
        let variables = pairs(&mut self.variables.iter().map(|(name, digest)| (name.clone(), digest)));
        let key = self.key.as_str();
        serde_json::json!({ "v": VERSION, "key": key, "revision": self.revision, "config": self.config, "files": files, "variables": variables })
            .to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        let value: Value = serde_json::from_str(text).ok()?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let pairs = |name: &str| -> Option<Vec<(String, String)>> {
            let pair = |value: &Value| Some((text(value.get(0)?)?, text(value.get(1)?)?));
            value.get(name)?.as_array()?.iter().map(pair).collect()
        };
        if value.get("v")?.as_u64()? != VERSION {
            return None;
        }
        Some(Self {
            key: StoreKey::from_hex(value.get("key")?.as_str()?)?,
            revision: value.get("revision")?.as_u64()?,
            config: text(value.get("config")?)?,
            files: pairs("files")?.into_iter().map(|(path, stamp)| (path.into(), stamp)).collect(),
            variables: pairs("variables")?,
        })
    }
}

/// What tells one state of a file from every other: which file it is, its size, when it was changed, who may change it.
pub(crate) fn stamp(path: &Path) -> String {
    fs::metadata(path).map_or_else(|_| "absent".to_owned(), |metadata| crate::sys::stamp(&metadata))
}

fn variable(name: &str) -> String {
    match std::env::var_os(name) {
        Some(value) => Digest::of(&value.to_string_lossy()).to_hex(),
        None => "unset".to_owned(),
    }
}

fn place(records: &Path, config: &Path, name: &str) -> PathBuf {
    let of = StoreKey::of(&["ticket", &config.to_string_lossy(), name]);
    records.join(format!("{}.ticket", of.as_str()))
}

const VERSION: u64 = 1;
