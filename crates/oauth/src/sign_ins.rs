//! Who signs in again leaves the refresh token of the former sign-in in the store. Here it is found and wiped.

use std::sync::{Mutex, PoisonError};
use unexpired_core::{Record, RefreshTokenRecord, Secret, StoreError, StoreKey, TokenStore};

/// The sign-ins of one place, one after another. A note in the store, a record without a token, tells which was the last.
pub(crate) struct SignIns {
    /// `None` if the place is not known.
    note: Option<StoreKey>,
    /// The seed that the note has, as far as this process knows.
    noted: Mutex<String>,
}

impl SignIns {
    pub(crate) fn noted_at(note: Option<StoreKey>) -> Self {
        Self { note, noted: Mutex::default() }
    }

    /// The refresh token of this seed has worked: what there is of the one before it goes.
    pub(crate) async fn worked(
        &self,
        store: &dyn TokenStore,
        seed: &str,
        record_of: &(dyn Fn(&str) -> StoreKey + Sync),
    ) {
        let Some(note) = &self.note else { return };
        if *self.noted.lock().unwrap_or_else(PoisonError::into_inner) == seed {
            return;
        }
        match Self::replace(store, note, seed, record_of).await {
            Ok(()) => *self.noted.lock().unwrap_or_else(PoisonError::into_inner) = seed.to_owned(),
            Err(error) => {
                tracing::warn!(%error, "the refresh token of a former sign-in stays in the store until the next attempt")
            }
        }
    }

    async fn replace(
        store: &dyn TokenStore,
        note: &StoreKey,
        seed: &str,
        record_of: &(dyn Fn(&str) -> StoreKey + Sync),
    ) -> Result<(), StoreError> {
        if seed_of(store.load(note).await?).as_deref() == Some(seed) {
            return Ok(());
        }
        let mut guard = store.lock(note).await?;
        if let Some(former) = seed_of(guard.load().await?).filter(|former| former != seed) {
            wipe(store, &record_of(&former)).await?;
        }
        guard.commit(Record::RefreshToken(RefreshTokenRecord::new(Secret::new(""), seed))).await
    }
}

/// Takes the token out of a record. What stays says whether the configured token that the record began with had been used up.
async fn wipe(store: &dyn TokenStore, key: &StoreKey) -> Result<(), StoreError> {
    let mut guard = store.lock(key).await?;
    match guard.load().await? {
        Some(Record::RefreshToken(record)) if !record.token.is_empty() => {
            let used_up = crate::rotation::seed(&record.token) != record.seed;
            let mut wiped = RefreshTokenRecord::new(Secret::new(""), record.seed);
            wiped.rotates = if used_up { Some(true) } else { record.rotates };
            guard.commit(Record::RefreshToken(wiped)).await
        }
        _ => Ok(()),
    }
}

fn seed_of(record: Option<Record>) -> Option<String> {
    match record {
        Some(Record::RefreshToken(record)) => Some(record.seed),
        _ => None,
    }
}
