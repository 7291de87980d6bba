//! One token for everyone who uses the same store: tasks, processes, whoever comes later.

use crate::slot::{FIRST_BLOCK, LONGEST_BLOCK, backoff, doubled, quiet};
use crate::store::{FailureRecord, RejectionRecord, SuspicionRecord, TokenRecord};
use crate::{
    BoxFuture, Digest, ErrorKind, MintError, MintRequest, Moments, Phase, Record, StoreGuard, StoreKey, Timestamp,
    Token, TokenSource, TokenStore,
};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A source whose tokens are kept in a [`TokenStore`], and shared by everyone who asks with the same identity.
///
/// It answers from the store if that has a token which is good for what was asked, and otherwise mints under the store's lock: whoever comes
/// meanwhile waits, and finds the token. Failures are kept too, with the moment before which nobody asks again. If the store itself fails, the
/// token is minted without it.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use unexpired_core::{BoxFuture, MemoryStore, MintError, MintRequest, StoredSource, Token, TokenManager, TokenSource};
///
/// struct Fixed;
/// impl TokenSource for Fixed {
///     fn name(&self) -> &str {
///         "fixed"
///     }
///     fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
///         Box::pin(async move { Token::builder("at-1", request.now()).expires_in(Duration::from_secs(60)).build() })
///     }
/// }
///
/// let store = Arc::new(MemoryStore::new());
/// let one = StoredSource::new(Fixed, store.clone(), ["fixed", "client-1"]);
/// let two = StoredSource::new(Fixed, store, ["fixed", "client-1"]);
/// let token = TokenManager::builder("one", one).build().blocking_token()?;
/// let same = TokenManager::builder("two", two).build().blocking_token()?;
/// assert_eq!(token.moments(), same.moments());
/// # Ok::<(), unexpired_core::Error>(())
/// ```
#[derive(Clone)]
pub struct StoredSource {
    inner: Arc<dyn TokenSource>,
    store: Arc<dyn TokenStore>,
    identity: Vec<String>,
    min_ttl: Duration,
    newer_than: Option<Timestamp>,
}

impl StoredSource {
    /// `inner`, whose tokens are kept in `store`. `identity` is everything that makes its tokens what they are: provider, authority, tenant,
    /// client, scopes, subject, the reference of the secret. What the source's [`revision`](TokenSource::revision) was is kept with the token:
    /// under another revision neither the token nor a failure counts.
    pub fn new<T: Into<String>>(
        inner: impl TokenSource,
        store: Arc<dyn TokenStore>,
        identity: impl IntoIterator<Item = T>,
    ) -> Self {
        let identity = identity.into_iter().map(Into::into).collect();
        Self { inner: Arc::new(inner), store, identity, min_ttl: Duration::ZERO, newer_than: None }
    }

    /// The least life that tokens should have when they are handed out: refreshes start so much earlier. As
    /// [`TokenManagerBuilder::min_ttl`](crate::TokenManagerBuilder::min_ttl), for those who share the token.
    #[must_use]
    pub fn min_ttl(mut self, min_ttl: Duration) -> Self {
        self.min_ttl = min_ttl;
        self
    }

    /// Answers from the store only what arrived at `moment` or later.
    #[must_use]
    pub fn newer_than(mut self, moment: Timestamp) -> Self {
        self.newer_than = Some(moment);
        self
    }

    /// The key of the record.
    pub fn key(&self) -> StoreKey {
        StoreKey::of(&self.identity.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Mints a token in the place of the one that is stored, unless that has been refreshed meanwhile: what keeps a token fresh that this process
    /// does not hold.
    ///
    /// # Errors
    ///
    /// What the source says, or said a short time ago.
    pub async fn renew(&self, request: MintRequest) -> Result<Token, MintError> {
        let stored = match self.store.load(&self.key()).await {
            Ok(Some(Record::Token(record))) => record.token,
            _ => None,
        };
        let now = request.now();
        let due = stored.filter(|token| !matches!(token.moments().phase(now), Phase::Fresh | Phase::Expired));
        match due {
            Some(token) => self.mint(request.replacing(&token)).await,
            None => self.mint(request).await,
        }
    }

    /// A token of the record that is good for this request.
    fn answer(&self, record: &TokenRecord, request: &MintRequest, now: Timestamp) -> Option<Token> {
        let token = record.token.as_ref()?;
        let (moments, digest) = (token.moments(), token.digest());
        let phase = moments.phase(now);
        let refused =
            request.rejected() == Some(digest) || record.rejection.as_ref().is_some_and(|r| r.digest == digest);
        if phase == Phase::Expired || refused || request.replaces() == Some(digest) {
            return None;
        }
        if self.newer_than.is_some_and(|moment| !record.arrived_after(moment)) {
            return None;
        }
        if let Some(claims) = request.claims() {
            return (record.claims == Some(Digest::of(claims))).then(|| token.clone());
        }
        let wanted = request.min_ttl();
        if !wanted.is_zero() && moments.expires_at.until(now) < wanted {
            let quiet = record.short_until.is_some_and(|until| !until.waited(now));
            return (quiet && wanted > moments.life()).then(|| token.clone());
        }
        // Whoever holds none takes one that is due, and refreshes it later; whoever holds one is here to refresh.
        (phase == Phase::Fresh || request.replaces().is_none()).then(|| token.clone())
    }

    async fn mint_locked(&self, guard: &mut dyn StoreGuard, request: MintRequest) -> Result<Token, MintError> {
        let mut record = match guard.load().await {
            Ok(Some(Record::Token(record))) => *record,
            Ok(_) => TokenRecord::default(),
            Err(error) => {
                tracing::warn!(target: "unexpired", %error, "the store cannot be read");
                TokenRecord::default()
            }
        };
        let now = request.now();
        if record.revision != self.inner.revision() {
            // Another credential: what was known says nothing about it.
            record = TokenRecord::default();
        }
        if let Some(token) = self.answer(&record, &request, now) {
            return Ok(token);
        }
        if let Some(error) = held_back(&mut record, &request, now) {
            return Err(error);
        }
        let request = match record.token.as_ref().filter(|token| token.moments().phase(now) != Phase::Expired) {
            Some(token) if request.held_source().is_none() => request.held_by(token.source()),
            _ => request,
        };
        // A little of the time is kept, so that what came of it can be written down.
        let limited = request.limited_to(request.remaining().saturating_sub(TIME_TO_WRITE));
        let minted = match limited.within_deadline(self.inner.mint(limited.clone())).await {
            Some(minted) => minted,
            None => Err(MintError::new(ErrorKind::TimedOut, "no answer in time")),
        };
        let now_after = request.now();
        let result = match minted {
            Ok(token) => {
                let token = if token.source().is_empty() { token.with_source(self.inner.name()) } else { token };
                let token = token.settled(Moments::of(token.lifetime(), self.min_ttl, crate::flight::random()));
                arrived(&mut record, &token, &request, now, now_after);
                Ok(token)
            }
            Err(error) => Err(failed(&mut record, error.from_source(self.inner.name()), now_after)),
        };
        // Read afterwards: a refresh token that was rotated is a change of our own.
        record.revision = self.inner.revision();
        if let Err(error) = guard.commit(Record::Token(Box::new(record))).await {
            tracing::warn!(target: "unexpired", %error, "the store does not take the token; others will mint their own");
        }
        result
    }
}

impl TokenSource for StoredSource {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        Box::pin(async move {
            let key = self.key();
            match request.within_deadline(self.store.lock(&key)).await {
                Some(Ok(mut guard)) => self.mint_locked(&mut *guard, request).await,
                Some(Err(error)) => {
                    tracing::warn!(target: "unexpired", %error, "the store cannot be used; minting without it");
                    self.inner.mint(request).await
                }
                None => Err(MintError::new(
                    ErrorKind::TimedOut,
                    "another process is minting this token, and takes all the time",
                )
                .from_source(self.inner.name())
                .remedy("try again; if it lasts, end the process that holds the lock")),
            }
        })
    }

    fn revision(&self) -> u64 {
        self.inner.revision()
    }

    fn for_scope(&self, scope: &str) -> Option<Arc<dyn TokenSource>> {
        let inner = self.inner.for_scope(scope)?;
        let mut identity = self.identity.clone();
        identity.extend(["for_scope".to_owned(), scope.to_owned()]);
        Some(Arc::new(Self { inner, identity, store: self.store.clone(), ..*self }))
    }
}

impl fmt::Debug for StoredSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredSource").field("name", &self.inner.name()).finish_non_exhaustive()
    }
}

/// What became of a report that a resource refused a shared token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It was the current token, and is handed out no more.
    Retired,
    /// It was not the current one: nothing changes.
    Stale,
    /// Replacements did not help before, so it stays; reports change nothing until this moment.
    Blocked(Timestamp),
}

impl TokenRecord {
    /// Reports that a resource refused the token of this digest. A replacement that is refused within 60 s is not replaced again until 60 s
    /// have passed, doubling to 15 min: then it is not the token that is wrong.
    pub fn reject(&mut self, digest: Digest, now: Timestamp) -> Refusal {
        if self.token.as_ref().is_none_or(|token| token.digest() != digest) {
            return Refusal::Stale;
        }
        let mut rejection = RejectionRecord::new(digest, now);
        if let Some(before) = &self.rejection {
            if let Some(until) = before.blocked_until.filter(|until| !until.waited(now)) {
                return Refusal::Blocked(until);
            }
            let block = doubled(FIRST_BLOCK, before.strikes, LONGEST_BLOCK);
            if !(before.at + LONGEST_BLOCK * 2).waited(now) {
                rejection.strikes = before.strikes;
            }
            if before.blocked_until.is_none() && !(before.at + block).waited(now) {
                let until = now + block;
                let strikes = before.strikes.saturating_add(1);
                self.rejection = Some(RejectionRecord { strikes, blocked_until: Some(until), ..before.clone() });
                return Refusal::Blocked(until);
            }
        }
        self.rejection = Some(rejection);
        self.token = None;
        self.claims = None;
        Refusal::Retired
    }

    /// Whether a suspicion against the token of this digest may mint another; if so it is noted. One mint a token, and none for 60 s afterwards, doubling
    /// to 15 min. The token stays.
    pub fn suspect(&mut self, digest: Digest, now: Timestamp) -> bool {
        if self.token.as_ref().is_none_or(|token| token.digest() != digest) {
            return false;
        }
        let mut strikes = 0;
        if let Some(before) = &self.suspicion {
            if before.digest == digest || !before.not_before.waited(now) {
                return false;
            }
            if !(before.at + LONGEST_BLOCK * 2).waited(now) {
                strikes = before.strikes;
            }
        }
        let block = doubled(FIRST_BLOCK, strikes, LONGEST_BLOCK);
        let mut suspicion = SuspicionRecord::new(digest, now, now + block);
        suspicion.strikes = strikes.saturating_add(1);
        self.suspicion = Some(suspicion);
        true
    }

    /// Whether the token arrived at `moment` or later; its mint may have begun before.
    pub fn arrived_after(&self, moment: Timestamp) -> bool {
        self.token.is_some() && self.arrived_at.is_some_and(|arrived| arrived.boot_nanos() >= moment.boot_nanos())
    }

    /// The token, if it may still be handed out.
    pub fn usable(&self, now: Timestamp) -> Option<&Token> {
        self.token.as_ref().filter(|token| token.moments().phase(now) != Phase::Expired)
    }

    /// Whether the one attempt may be made that ignores a wait: the token is urgent, the wait would outlast it, and the source did not refuse.
    pub fn may_try_when_urgent(&self, now: Timestamp) -> bool {
        let (Some(token), Some(failure)) = (self.usable(now), self.backing_off(now)) else { return false };
        let moments = token.moments();
        moments.phase(now) == Phase::Urgent
            && !failure.urgent_spent
            && !failure.error.kind().is_refusal()
            && failure.not_before.boot_nanos() >= moments.usable_until.boot_nanos()
    }

    /// Why the source is not to be asked now, and when it may be.
    pub fn backing_off(&self, now: Timestamp) -> Option<&FailureRecord> {
        self.failure.as_ref().filter(|failure| !failure.not_before.waited(now))
    }
}

/// The remembered failure, if the source is to be left alone.
fn held_back(record: &mut TokenRecord, request: &MintRequest, now: Timestamp) -> Option<MintError> {
    let may_try = record.may_try_when_urgent(now);
    let failure = record.failure.as_mut().filter(|failure| !failure.not_before.waited(now))?;
    if may_try {
        failure.urgent_spent = true;
        return None;
    }
    // Claims are news: what failed without them says nothing.
    if request.claims().is_some() && failure.error.kind().is_refusal() {
        return None;
    }
    Some(failure.error.clone().retry_after(Some(failure.not_before.since(now))))
}

fn arrived(record: &mut TokenRecord, token: &Token, request: &MintRequest, sent: Timestamp, now: Timestamp) {
    if record.rejection.as_ref().is_some_and(|rejection| rejection.digest == token.digest()) {
        // The issuer gives it again, so it is the current one again.
        record.rejection = None;
    } else if let Some(digest) = request.rejected().filter(|digest| *digest != token.digest())
        && record.rejection.as_ref().is_none_or(|rejection| rejection.digest != digest)
    {
        // Told by another way than the record: kept, so that nobody hands it out.
        record.rejection = Some(RejectionRecord::new(digest, now));
    }
    let wanted = request.min_ttl();
    let short = !wanted.is_zero() && token.moments().expires_at.until(now) < wanted;
    record.short_until = short.then(|| now + quiet(token));
    record.claims = request.claims().map(Digest::of);
    record.took = Some(now.since(sent));
    record.arrived_at = Some(now);
    record.failure = None;
    record.token = Some(token.clone());
}

fn failed(record: &mut TokenRecord, error: MintError, now: Timestamp) -> MintError {
    let kind = error.kind();
    if !kind.is_transient() && !kind.is_refusal() {
        record.failure = None;
        return error;
    }
    let same = record.failure.as_ref().filter(|failure| failure.error.kind().is_refusal() == kind.is_refusal());
    let (before, spent) = same.map_or((0, false), |failure| (failure.streak, failure.urgent_spent));
    let wait = backoff(&error, before, crate::flight::random());
    let mut failure = FailureRecord::new(error.clone(), now + wait, before.saturating_add(1));
    failure.urgent_spent = spent;
    record.failure = Some(failure);
    // Whoever waits here waits as long as everybody else.
    error.retry_after(Some(wait))
}

const TIME_TO_WRITE: Duration = Duration::from_millis(500);
