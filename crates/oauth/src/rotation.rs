//! The record of a refresh token: who may redeem it, and what is known of it at every moment.

use std::sync::{Mutex, MutexGuard, PoisonError};
use unexpired_core::{
    Digest, ErrorKind, MintError, MintRequest, Record, RefreshTokenRecord, Secret, StoreGuard, StoreKey, TokenStore,
};

/// The exclusive right, over all processes that share the store, to redeem one refresh token.
pub(crate) struct Turn<'a> {
    guard: Box<dyn StoreGuard>,
    key: StoreKey,
    record: RefreshTokenRecord,
    /// The token that the store holds.
    stored: Option<Digest>,
    /// Whether the store holds the whole record as it is here.
    durable: bool,
    unwritten: &'a Unwritten,
}

impl<'a> Turn<'a> {
    /// Waits for the right, and finds the token to redeem: what was rotated last, or else what the user configured.
    pub(crate) async fn begin(
        store: &dyn TokenStore,
        key: StoreKey,
        configured: &Secret,
        unwritten: &'a Unwritten,
        request: &MintRequest,
    ) -> Result<Self, MintError> {
        let begun = request.within_deadline(async {
            let mut guard = store.lock(&key).await?;
            let loaded = guard.load().await;
            Ok::<_, MintError>((guard, loaded))
        });
        let Some(begun) = begun.await else {
            return Err(MintError::new(ErrorKind::TimedOut, "another process held the refresh token all the time")
                .remedy("try again; if it lasts, end the process that holds the lock"));
        };
        let (guard, loaded) = begun?;
        let seed = seed(configured);
        let kept = unwritten.lock().clone().filter(|kept| kept.key == key);
        let (record, stored, durable) = match (loaded, kept) {
            (Ok(found), kept) => {
                let found = match found {
                    // Another seed: somebody signed in again.
                    Some(Record::RefreshToken(record)) if record.seed == seed => Some(record),
                    _ => None,
                };
                let found = match found {
                    Some(wiped) if wiped.token.is_empty() => Some(begun_again(wiped, configured)?),
                    found => found,
                };
                let stored = found.as_ref().map(|record| Digest::of(record.token.expose()));
                match (kept, found) {
                    // Nobody has written since this process failed to.
                    (Some(kept), _) if stored == kept.over || stored == Some(kept.digest()) => {
                        (kept.record, stored, false)
                    }
                    (_, Some(found)) => (found, stored, true),
                    (_, None) => (RefreshTokenRecord::new(configured.clone(), seed), stored, false),
                }
            }
            (Err(error), Some(kept)) => {
                tracing::warn!(%error, "the store cannot be read; the refresh token is the one that this process holds");
                (kept.record, kept.over, false)
            }
            // Without the record the configured token may be one that was redeemed long ago, and sending that again revokes the grant.
            (Err(error), None) => return Err(error.into()),
        };
        Ok(Self { guard, key, record, stored, durable, unwritten })
    }

    /// The token to redeem.
    pub(crate) fn token(&self) -> &Secret {
        &self.record.token
    }

    /// How often it was sent and nobody knows whether it was received, where that matters.
    pub(crate) fn unanswered(&self) -> u32 {
        if self.may_rotate() { self.record.unanswered } else { 0 }
    }

    /// Whether the token may be used up by being sent: always, but at a server that is known to let it stand.
    pub(crate) fn may_rotate(&self) -> bool {
        self.record.rotates != Some(false)
    }

    /// Notes that the token is about to be sent. Before, not after: a process that ends in between must not send it as if for the first time.
    pub(crate) async fn sending(&mut self) {
        if self.may_rotate() {
            self.record.unanswered = self.record.unanswered.saturating_add(1);
        } else if self.durable {
            return;
        }
        self.write("that the refresh token is about to be sent").await;
    }

    /// Takes that back: it never left, or the server answered that it did not redeem it.
    pub(crate) async fn not_redeemed(&mut self) {
        if !self.may_rotate() {
            return;
        }
        // Where locks do not reach (a network file system), another machine may have rotated meanwhile: its record stays.
        if let Ok(Some(Record::RefreshToken(found))) = self.guard.load().await {
            let found = Digest::of(found.token.expose());
            if found != Digest::of(self.record.token.expose()) && Some(found) != self.stored {
                *self.unwritten.lock() = None;
                return;
            }
        }
        self.record.unanswered = self.record.unanswered.saturating_sub(1);
        self.write("that the refresh token was not redeemed").await;
    }

    /// Notes what to redeem next: the new token, or the same one if there is none (RFC 6749 section 6). Done once that is durable, or kept in
    /// memory if the store fails.
    pub(crate) async fn redeemed(&mut self, new: Option<Secret>) {
        let new = new.filter(|new| new.expose() != self.record.token.expose());
        let before = (self.record.unanswered, self.record.rotates);
        (self.record.unanswered, self.record.rotates) = (0, Some(new.is_some()));
        match new {
            Some(new) => self.record.token = new,
            // What stays as it is need not be written again.
            None if self.durable && before == (0, Some(false)) => return,
            None => {}
        }
        self.write("the refresh token to be used next").await;
    }

    async fn write(&mut self, what: &str) {
        let digest = Digest::of(self.record.token.expose());
        self.durable = false;
        // First into memory: this future may be dropped while the disk is busy.
        *self.unwritten.lock() = Some(Kept { key: self.key.clone(), record: self.record.clone(), over: self.stored });
        match self.guard.commit(Record::RefreshToken(self.record.clone())).await {
            Ok(()) => {
                *self.unwritten.lock() = None;
                self.stored = Some(digest);
                self.durable = true;
            }
            Err(error) => {
                tracing::warn!(%error, "the store does not take {what}; it is kept in memory until the next attempt");
            }
        }
    }
}

/// The record of a sign-in in whose place another one has worked meanwhile, for somebody who comes back to it.
fn begun_again(mut record: RefreshTokenRecord, configured: &Secret) -> Result<RefreshTokenRecord, MintError> {
    if record.rotates == Some(true) {
        // It was redeemed long ago, and sending it again would revoke its whole grant.
        return Err(MintError::new(
            ErrorKind::Denied,
            "this refresh token was used up before another sign-in took its place",
        )
        .remedy(crate::error::SIGN_IN));
    }
    record.token = configured.clone();
    Ok(record)
}

/// What the store has not taken yet. It is lost with the process.
#[derive(Default)]
pub(crate) struct Unwritten(Mutex<Option<Kept>>);

#[derive(Clone)]
struct Kept {
    key: StoreKey,
    record: RefreshTokenRecord,
    /// The token that the store held when it failed.
    over: Option<Digest>,
}

impl Kept {
    fn digest(&self) -> Digest {
        Digest::of(self.record.token.expose())
    }
}

impl Unwritten {
    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What tells a configured refresh token from others: its digest in hexadecimal.
pub(crate) fn seed(configured: &Secret) -> String {
    let digest = unexpired_crypto::sha256(configured.expose().as_bytes());
    unexpired_core::text::hex(&digest)
}
