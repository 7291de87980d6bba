//! How things are with one token of a registry.

use super::Entry;
use super::schedule::{Lane, Place};
use crate::{Error, Phase, Timestamp};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How things are with one token of a registry. Holds no secret: it can be shown as it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CredentialStatus {
    /// The token's name.
    pub name: Arc<str>,
    /// The name of the source that gave the token; `None` without a token.
    pub source: Option<String>,
    /// Where the token is in its life; `Expired` if there is none.
    pub phase: Phase,
    /// A short text that tells the token from others and says nothing about it.
    pub fingerprint: Option<String>,
    /// When the token expires; `None` without a token, and if it never does.
    pub expires_at: Option<SystemTime>,
    /// When the source is asked next; `None` if that is not foreseen, or it is being asked now.
    pub next_refresh: Option<SystemTime>,
    /// It is being asked now.
    pub refreshing: bool,
    /// It would be asked now if fewer mints ran.
    pub waiting: bool,
    /// Why the last attempt failed, if it did.
    pub last_error: Option<Error>,
    /// How many attempts have failed since the last success.
    pub failures_in_a_row: u32,
    /// How many tokens were minted.
    pub mints: u64,
    /// How many requests failed.
    pub failures: u64,
    /// The number of its last change.
    pub revision: u64,
}

impl CredentialStatus {
    pub(super) fn of(entry: &Entry, place: Option<&Place>, now: Timestamp) -> Self {
        let status = entry.manager.status();
        let token = status.token.as_ref();
        let waiting = place.is_some_and(|place| place.lane == Lane::Waiting);
        let due = place.map(|place| place.due).filter(|due| *due != i64::MAX && !status.refreshing);
        let wait = |due: i64| Duration::from_nanos(u64::try_from(due.saturating_sub(now.boot_nanos())).unwrap_or(0));
        Self {
            name: status.name.clone(),
            source: token.map(|token| token.source().to_owned()),
            phase: status.phase,
            fingerprint: token.map(|token| token.fingerprint()),
            expires_at: token.and_then(|token| token.expires_at()),
            next_refresh: due
                .map(|due| (now + wait(due)).system_time())
                .or_else(|| (waiting && !status.refreshing).then(|| now.system_time())),
            refreshing: status.refreshing,
            waiting: waiting && !status.refreshing,
            last_error: entry.last_error.clone(),
            failures_in_a_row: entry.failures_in_a_row,
            mints: status.mints,
            failures: status.failures,
            revision: entry.revision,
        }
    }
}
