//! Where things are kept that must survive: a trait, and a store in memory.

use crate::{BoxFuture, ErrorKind, MintError, Secret};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

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
        Self(digest.iter().map(|byte| format!("{byte:02x}")).collect())
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

/// One record behind its lock.
type Cell = Arc<tokio::sync::Mutex<Option<Record>>>;

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
        let cell = self.cell(key);
        Box::pin(async move { Ok(cell.lock().await.clone()) })
    }

    fn lock(&self, key: &StoreKey) -> BoxFuture<'_, Result<Box<dyn StoreGuard>, StoreError>> {
        let cell = self.cell(key);
        Box::pin(async move { Ok(Box::new(MemoryGuard(cell.lock_owned().await)) as Box<dyn StoreGuard>) })
    }
}

struct MemoryGuard(tokio::sync::OwnedMutexGuard<Option<Record>>);

impl StoreGuard for MemoryGuard {
    fn load(&mut self) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }

    fn commit(&mut self, record: Record) -> BoxFuture<'_, Result<(), StoreError>> {
        *self.0 = Some(record);
        Box::pin(std::future::ready(Ok(())))
    }
}
