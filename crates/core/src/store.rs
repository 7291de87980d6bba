//! Where things are kept that must survive: a trait, and a store in memory.

use crate::{BoxFuture, Digest, ErrorKind, MintError, Secret, Timestamp, Token};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The key of a record: a digest over the whole identity that it belongs to, never a name alone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StoreKey(String);

impl StoreKey {
    /// The key of an identity, given part by part (provider, authority, client, scopes, …). Parts cannot run into each other.
    ///
    /// ```
    /// use unexpired_core::StoreKey;
    ///
    /// assert_ne!(StoreKey::of(&["ab", "c"]), StoreKey::of(&["a", "bc"]));
    /// ```
    pub fn of(parts: &[&str]) -> Self {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        let digest = unexpired_crypto::sha256(&bytes);
        Self(crate::text::hex(&digest))
    }

    /// A key that was kept elsewhere, as [`as_str`](Self::as_str) gave it; `None` if it is not 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        digits.then(|| Self(text.to_owned()))
    }

    /// The key as 64 hexadecimal digits: fit to be a file's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreKey({})", self.0.get(..8).unwrap_or_default())
    }
}

/// What is kept under a key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Record {
    /// A refresh token.
    RefreshToken(RefreshTokenRecord),
    /// What everyone who shares an access token knows of it.
    Token(Box<TokenRecord>),
}

/// An access token as it is shared, and what is known of its source: see [`StoredSource`](crate::StoredSource).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TokenRecord {
    /// What the source's revision was after the last mint.
    pub revision: u64,
    /// The token that was minted last.
    pub token: Option<Token>,
    /// The digest of the claims that `token` was minted with.
    pub claims: Option<Digest>,
    /// How long the mint of `token` took.
    pub took: Option<Duration>,
    /// When `token` arrived.
    pub arrived_at: Option<Timestamp>,
    /// Until then nothing is minted for a `min_ttl`'s sake: the issuer gave no longer life.
    pub short_until: Option<Timestamp>,
    /// The failures since `token` arrived.
    pub failure: Option<FailureRecord>,
    /// The token that was refused last.
    pub rejection: Option<RejectionRecord>,
    /// The token that was suspected last of being refused.
    pub suspicion: Option<SuspicionRecord>,
}

/// A token that somebody has reason to believe refused, though nobody says so.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SuspicionRecord {
    /// Which one.
    pub digest: Digest,
    /// When that was.
    pub at: Timestamp,
    /// Until then no suspicion mints.
    pub not_before: Timestamp,
    /// How many suspicions in a row have minted.
    pub strikes: u32,
}

impl SuspicionRecord {
    /// A suspicion, the first in a row.
    pub fn new(digest: Digest, at: Timestamp, not_before: Timestamp) -> Self {
        Self { digest, at, not_before, strikes: 1 }
    }
}

/// How a source failed last, and when it may be asked again.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FailureRecord {
    /// What it said.
    pub error: MintError,
    /// Until then it is left alone, whoever asks.
    pub not_before: Timestamp,
    /// How many failures of this sort there were in a row.
    pub streak: u32,
    /// The one attempt at `urgent_at` that ignores the wait was made.
    pub urgent_spent: bool,
}

impl FailureRecord {
    /// A failure.
    pub fn new(error: MintError, not_before: Timestamp, streak: u32) -> Self {
        Self { error, not_before, streak, urgent_spent: false }
    }
}

/// A token that a resource refused.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RejectionRecord {
    /// Which one.
    pub digest: Digest,
    /// When that was said.
    pub at: Timestamp,
    /// How many replacements were refused in a row.
    pub strikes: u32,
    /// Until then refusals change nothing: replacements did not help.
    pub blocked_until: Option<Timestamp>,
}

impl RejectionRecord {
    /// The refusal of a token, the first in a row.
    pub fn new(digest: Digest, at: Timestamp) -> Self {
        Self { digest, at, strikes: 0, blocked_until: None }
    }
}

/// A refresh token as it is kept.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RefreshTokenRecord {
    /// The token to redeem next.
    pub token: Secret,
    /// The digest (64 hexadecimal digits) of the refresh token that the user configured when this record began. If the configured one is
    /// another by now, somebody signed in again and this record is out of date.
    pub seed: String,
    /// How often `token` was sent without an answer that says whether it was received: 0, or 1 after a lost answer.
    pub unanswered: u32,
    /// Whether the server's last answer put another refresh token in the place of the one that was sent. `None`: there was none yet.
    pub rotates: Option<bool>,
}

impl RefreshTokenRecord {
    /// A record of a token that was never sent.
    pub fn new(token: Secret, seed: impl Into<String>) -> Self {
        Self { token, seed: seed.into(), unanswered: 0, rotates: None }
    }
}

/// Keeps records. What [`StoreGuard::commit`] has accepted survives a crash, if the store outlives the process at all.
pub trait TokenStore: Send + Sync + 'static {
    /// The record as it is, without a lock.
    fn load(&self, key: &StoreKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>>;

    /// Waits for the exclusive right to change the record. It ends when the guard is dropped.
    fn lock(&self, key: &StoreKey) -> BoxFuture<'_, Result<Box<dyn StoreGuard>, StoreError>>;
}

/// The exclusive right to change one record.
pub trait StoreGuard: Send {
    /// The record as it is now.
    fn load(&mut self) -> BoxFuture<'_, Result<Option<Record>, StoreError>>;

    /// Replaces the record; done once it is durable.
    fn commit(&mut self, record: Record) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Why a store did not do what it was asked to. The message names the place and the remedy.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    message: String,
}

impl StoreError {
    /// An error with its whole message; must not hold a secret.
    pub fn new(message: impl AsRef<str>) -> Self {
        Self { message: crate::text::one_line(message.as_ref(), 240) }
    }
}

impl From<StoreError> for MintError {
    fn from(error: StoreError) -> Self {
        MintError::new(ErrorKind::Unavailable, error.message)
    }
}

/// A store that lives as long as the process.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    records: Arc<Mutex<HashMap<StoreKey, Cell>>>,
}

/// One record and its lock. Who only looks does not wait for who holds the lock.
#[derive(Clone, Default)]
struct Cell {
    record: Arc<Mutex<Option<Record>>>,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl Cell {
    fn record(&self) -> MutexGuard<'_, Option<Record>> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cell")
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn cell(&self, key: &StoreKey) -> Cell {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).entry(key.clone()).or_default().clone()
    }
}

impl TokenStore for MemoryStore {
    fn load(&self, key: &StoreKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        let record = self.cell(key).record().clone();
        Box::pin(std::future::ready(Ok(record)))
    }

    fn lock(&self, key: &StoreKey) -> BoxFuture<'_, Result<Box<dyn StoreGuard>, StoreError>> {
        let cell = self.cell(key);
        Box::pin(async move {
            let lock = cell.lock.clone().lock_owned().await;
            Ok(Box::new(MemoryGuard { cell, _lock: lock }) as Box<dyn StoreGuard>)
        })
    }
}

struct MemoryGuard {
    cell: Cell,
    _lock: tokio::sync::OwnedMutexGuard<()>,
}

impl StoreGuard for MemoryGuard {
    fn load(&mut self) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        Box::pin(std::future::ready(Ok(self.cell.record().clone())))
    }

    fn commit(&mut self, record: Record) -> BoxFuture<'_, Result<(), StoreError>> {
        *self.cell.record() = Some(record);
        Box::pin(std::future::ready(Ok(())))
    }
}
