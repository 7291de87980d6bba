//! A record in a keyring: one entry, or several where the keyring takes no long ones (Windows: 2,560 bytes).
//!
//! The entry `unexpired`/KEY is the record as it would stand in a file, or a list: `{"v":1,"kind":"parts","set":"a","count":3,"digest":"…"}`. The parts
//! are then in the entries KEY.a.0, KEY.a.1, … A new record's parts are written as the other set (`b` after `a`), then the list, which is the
//! moment at which the record changes; then the old parts go. A crash in between leaves the old record or the new one.

use super::{Keyring, KeyringError};
use crate::format;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use unexpired_core::{Digest, Record, StoreError};
use zeroize::Zeroizing;

#[derive(Debug)]
pub(crate) struct Entry {
    keyring: Arc<dyn Keyring>,
    account: String,
}

#[derive(Serialize, Deserialize)]
struct List {
    v: u32,
    kind: String,
    set: String,
    count: u32,
    digest: String,
}

impl List {
    fn of(text: &str) -> Option<Self> {
        let list: Self = serde_json::from_str(text).ok()?;
        (list.v == format::VERSION && list.kind == PARTS && list.count <= MOST_PARTS).then_some(list)
    }
}

impl Entry {
    pub(crate) fn new(keyring: Arc<dyn Keyring>, key: &str) -> Self {
        Self { keyring, account: key.to_owned() }
    }

    pub(crate) fn load(&self) -> Result<Option<Record>, StoreError> {
        for _ in 0..MOST_LOOKS {
            let Some(text) = self.keyring.get(SERVICE, &self.account)? else { return Ok(None) };
            let Some(list) = List::of(text.expose()) else {
                return format::parse(text.expose().as_bytes(), &self.place()).map(Some);
            };
            if let Some(whole) = self.gather(&list)? {
                return format::parse(whole.as_bytes(), &self.place()).map(Some);
            }
            // Replaced while it was read; or damaged.
        }
        let place = self.place();
        Err(StoreError::new(format!(
            "{} is damaged: parts of it are missing; sign in again if need be",
            place.display()
        )))
    }

    pub(crate) fn commit(&self, record: &Record) -> Result<(), StoreError> {
        let bytes = format::write(record)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| StoreError::new("a record cannot be written"))?;
        let before = self.keyring.get(SERVICE, &self.account)?;
        let old = before.as_ref().and_then(|text| List::of(text.expose()));
        if let (Some(before), None) = (&before, &old)
            && format::parse(before.expose().as_bytes(), &self.place()).is_err()
        {
            // Damaged, or a later version's: it is not lost.
            self.keyring.set(SERVICE, &format!("{}.unreadable", self.account), before.expose())?;
        }
        if text.len() <= self.keyring.longest() {
            self.keyring.set(SERVICE, &self.account, text)?;
        } else {
            let set = if old.as_ref().is_some_and(|old| old.set == "a") { "b" } else { "a" };
            let count = self.scatter(text, set)?;
            let digest = Digest::of(text).to_hex();
            let list = List { v: format::VERSION, kind: PARTS.into(), set: set.into(), count, digest };
            let list = serde_json::to_string(&list).map_err(|_| StoreError::new("a record cannot be written"))?;
            self.keyring.set(SERVICE, &self.account, &list)?;
            // Of a longer record whose writer died.
            self.sweep(set, count);
        }
        if let Some(old) = old {
            self.sweep(&old.set, 0);
        }
        Ok(())
    }

    /// Writes the parts of a set, and tells how many there are.
    fn scatter(&self, text: &str, set: &str) -> Result<u32, StoreError> {
        let mut rest = text;
        for index in 0..MOST_PARTS {
            if rest.is_empty() {
                return Ok(index);
            }
            let longest = self.keyring.longest().max(4).min(rest.len());
            let end = (0..=longest).rev().find(|end| rest.is_char_boundary(*end)).unwrap_or_default();
            let (part, more) = rest.split_at(end);
            self.keyring.set(SERVICE, &self.part(set, index), part)?;
            rest = more;
        }
        let what = format!("a record of {} bytes is too long for this keyring", text.len());
        Err(KeyringError::new(what, "keep tokens in files: store = \"file\"").into())
    }

    /// The whole text of a list; `None` if it is not all there, or another's.
    fn gather(&self, list: &List) -> Result<Option<Zeroizing<String>>, StoreError> {
        let room = self.keyring.longest().saturating_mul(list.count as usize);
        // Room for all, so that no copy is left behind by growing.
        let mut whole = Zeroizing::new(String::with_capacity(room.min(MOST_BYTES)));
        for index in 0..list.count {
            match self.keyring.get(SERVICE, &self.part(&list.set, index))? {
                Some(part) => whole.push_str(part.expose()),
                None => return Ok(None),
            }
        }
        Ok((Digest::of(&whole).to_hex() == list.digest).then_some(whole))
    }

    /// Takes away the parts of a set from this one on. What stays is only in the way.
    fn sweep(&self, set: &str, from: u32) {
        for index in from..MOST_PARTS {
            if !matches!(self.keyring.remove(SERVICE, &self.part(set, index)), Ok(true)) {
                break;
            }
        }
    }

    fn part(&self, set: &str, index: u32) -> String {
        format!("{}.{set}.{index}", self.account)
    }

    fn place(&self) -> PathBuf {
        PathBuf::from(format!("the keyring's entry {SERVICE}/{}", self.account))
    }
}

/// Under which service records are kept.
const SERVICE: &str = "unexpired";
const PARTS: &str = "parts";
const MOST_PARTS: u32 = 64;
const MOST_BYTES: usize = 256 * 1024;
/// A reader that comes too late this often reads what is damaged.
const MOST_LOOKS: u32 = 5;
