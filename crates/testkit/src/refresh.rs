//! Refresh tokens: rotation, and what happens to a family whose token is used twice.

use std::collections::HashMap;
use std::time::Duration;

use unexpired_crypto::{CryptoError, b64, random_array};

#[derive(Default)]
pub(crate) struct RefreshTokens {
    records: HashMap<String, Record>,
    dead: Vec<u64>,
    families: u64,
}

#[derive(Clone)]
struct Record {
    holder: Holder,
    used: bool,
}

/// Whose refresh token it is, and for what.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    pub(crate) family: u64,
    pub(crate) client_id: String,
    pub(crate) subject: String,
    /// What was granted at first; a refresh may ask for less (RFC 6749 §6).
    pub(crate) scope: String,
    pub(crate) audience: Vec<String>,
    /// For how long the family may be used.
    pub(crate) until: Option<Duration>,
}

/// Why a refresh token is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Useless {
    /// Never issued, another client's, or its family was revoked.
    Unknown,
    Expired,
    /// Used before: its family is dead from now on.
    Reused {
        family: u64,
    },
}

impl RefreshTokens {
    /// A family for `holder`, whose own `family` is set here.
    pub(crate) fn first(&mut self, mut holder: Holder) -> Result<String, CryptoError> {
        self.families = self.families.saturating_add(1);
        holder.family = self.families;
        self.next(holder)
    }

    /// Another token of the same family.
    pub(crate) fn next(&mut self, holder: Holder) -> Result<String, CryptoError> {
        let token = format!("fake-rt-{}", b64::url_encode(&random_array::<24>()?));
        self.records.insert(token.clone(), Record { holder, used: false });
        Ok(token)
    }

    /// Whose it is, without using it up.
    pub(crate) fn check(&mut self, token: &str, client_id: &str, now: Duration) -> Result<Holder, Useless> {
        let record = self.records.get(token).ok_or(Useless::Unknown)?;
        let family = record.holder.family;
        if record.holder.client_id != client_id || self.dead.contains(&family) {
            return Err(Useless::Unknown);
        }
        if record.used {
            self.kill(family);
            return Err(Useless::Reused { family });
        }
        if record.holder.until.is_some_and(|until| until <= now) {
            return Err(Useless::Expired);
        }
        Ok(record.holder.clone())
    }

    pub(crate) fn use_up(&mut self, token: &str) {
        if let Some(record) = self.records.get_mut(token) {
            record.used = true;
        }
    }

    /// The family of this token; it is dead from now on.
    pub(crate) fn revoke(&mut self, token: &str) -> Option<u64> {
        let family = self.records.get(token)?.holder.family;
        self.kill(family);
        Some(family)
    }

    pub(crate) fn revoke_all(&mut self) {
        let mut families: Vec<u64> = self.records.values().map(|record| record.holder.family).collect();
        families.sort_unstable();
        families.dedup();
        self.dead = families;
    }

    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.records.keys().map(String::as_str)
    }

    fn kill(&mut self, family: u64) {
        if !self.dead.contains(&family) {
            self.dead.push(family);
        }
    }
}
