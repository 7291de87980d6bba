//! The tokens that every process of this user shares: answered from the store, minted once, refused once.

use crate::args::Args;
use crate::clients::Instance;
use crate::commands::runtime;
use crate::failure::{Failure, USAGE};
use crate::handout::{Ask, Handed, HereClock};
use crate::minter::Minter;
use crate::out;
use crate::project::{Narrator, Project};
use crate::suspicion::Seen;
use std::pin::pin;
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unexpired::store::{FileStore, Locked, StoreKind, default_dir};
use unexpired::{
    Clock as _, Digest, Error, ErrorKind, MintError, Phase, Record, Refusal, Secret, StoreKey, StoredSource,
    SystemClock, Timestamp, Token, TokenManager, TokenOptions, TokenRecord, TokenSource,
};

/// A token that is to be handed out, as the configuration or the environment describes it.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) source: Arc<dyn TokenSource>,
    pub(crate) identity: Vec<String>,
    /// The least life that the configuration wants it to have.
    pub(crate) min_ttl: Duration,
    /// A mint may use up a credential that cannot be had again.
    pub(crate) rotates: bool,
    /// Where it is kept.
    pub(crate) store: StoreKind,
    /// How another process of this program mints it.
    pub(crate) minter: Minter,
}

impl Subject {
    /// The token of this name of the configuration.
    pub(crate) fn configured(project: &Project, name: &str) -> Result<Self, Failure> {
        let token = project.token(name)?;
        Ok(Self {
            name: name.to_owned(),
            source: project.config.source(name)?,
            identity: token.identity(),
            min_ttl: token.min_ttl().unwrap_or_default(),
            rotates: token.rotates(),
            store: project.config.store(),
            minter: Minter::configured(&project.path, name),
        })
    }

    /// The token of a vendor's environment variables.
    pub(crate) fn of_environment(provider: &str, scope: Option<&str>) -> Result<Self, MintError> {
        let (source, identity) = unexpired::env::source_with_identity(provider, scope)?;
        Ok(Self {
            name: provider.to_owned(),
            source,
            identity,
            min_ttl: Duration::ZERO,
            rotates: false,
            store: StoreKind::of_environment().unwrap_or_default(),
            minter: Minter::of_environment(provider, scope),
        })
    }

    pub(crate) fn stored(&self, store: FileStore) -> StoredSource {
        StoredSource::new(self.source.clone(), Arc::new(store), self.identity.clone()).min_ttl(self.min_ttl)
    }
}

/// The store that processes share; none if nothing is to be kept, or there is no place for files: why is for `--verbose`, `status` and `doctor`.
///
/// A keyring was asked for by name, so nothing takes its place.
pub(crate) fn open(args: &Args, kind: StoreKind) -> Result<Option<FileStore>, Failure> {
    StoreKind::check_environment().map_err(|error| Failure::new(USAGE, error.to_string()))?;
    match kind {
        StoreKind::Memory => Ok(None),
        StoreKind::Keyring => FileStore::open_keyring().map(Some).map_err(|error| {
            let kind = if cfg!(feature = "keyring") { ErrorKind::Unavailable } else { ErrorKind::Misconfigured };
            Failure::of(kind, format!("the store cannot be used: {error}"))
                .hint("without the keyring, for this once: UNEXPIRED_STORE=memory unexpired …")
        }),
        _ => Ok(FileStore::open_default().inspect_err(|error| not_shared(args, error)).ok()),
    }
}

/// For `--verbose`: this process is on its own.
fn not_shared(args: &Args, error: &dyn std::fmt::Display) {
    if args.verbose {
        out::to_stderr(&format!("verbose: tokens are not shared with other processes: {error}"));
    }
}

/// What is kept, for looking alone: no folder is made, and nobody is told why there is none.
pub(crate) fn open_to_look(kind: StoreKind) -> Option<FileStore> {
    match kind {
        StoreKind::Memory => None,
        StoreKind::Keyring => {
            default_dir().filter(|folder| folder.exists()).and_then(|_| FileStore::open_keyring().ok())
        }
        _ => FileStore::records_by_default(),
    }
}

/// What is known of a token, if its credential is still the one it was minted with.
pub(crate) fn look(store: &FileStore, key: &StoreKey, source: &dyn TokenSource) -> TokenRecord {
    match store.load_now(key) {
        Ok(Some(Record::Token(record))) if record.revision == source.revision() => *record,
        _ => TokenRecord::default(),
    }
}

/// Where a token is kept: the store, its key, and the revision under which it was minted.
pub(crate) type Kept = (FileStore, StoreKey, u64);

/// The token, from the store or minted, and where it is kept. The outer error is the machine's, the inner one the token's.
pub(crate) fn token(
    args: &Args,
    subject: &Subject,
    ask: &Ask,
) -> Result<(Result<Handed, Error>, Option<Kept>), Failure> {
    let asked = SystemClock.now();
    // Before the record is read, as with every stamp.
    let revision = subject.source.revision();
    let Some(store) = open(args, subject.store)?.map(FileStore::in_place) else {
        return Ok((mint_here(args, subject, ask, ask.min_ttl(), subject.source.clone(), None)?, None));
    };
    let key = subject.stored(store.clone()).key();
    let until = Instant::now() + ask.timeout().unwrap_or(LONGEST_WAIT);
    let this = Sharing { args, subject, ask, store: store.clone(), key: key.clone(), asked, until };
    let outcome = this.token()?;
    Ok((outcome, (!subject.rotates).then_some((store, key, revision))))
}

/// Says that a resource refused this token.
pub(crate) fn reject(subject: &Subject, text: &Secret) -> Result<Refusal, Failure> {
    let cannot = |error: &dyn std::fmt::Display| {
        Failure::of(ErrorKind::Unavailable, format!("{}: the rejection cannot be kept: {error}", subject.name))
    };
    let store = match subject.store {
        // Nobody hands it out again: nothing is kept.
        StoreKind::Memory => return Ok(Refusal::Stale),
        StoreKind::Keyring => FileStore::open_keyring(),
        _ => FileStore::open_default(),
    };
    let store = store.map_err(|error| cannot(&error))?.in_place();
    let key = subject.stored(store.clone()).key();
    let locked = store.lock_now(&key, LONGEST_WAIT).map_err(|error| cannot(&error))?;
    let Some(mut locked) = locked else { return Err(cannot(&"another process is minting all the time")) };
    let mut record = match locked.load() {
        Ok(Some(Record::Token(record))) => *record,
        _ => TokenRecord::default(),
    };
    let refusal = record.reject(Digest::of(text.expose()), SystemClock.now());
    if refusal != Refusal::Stale {
        locked.commit(&Record::Token(Box::new(record))).map_err(|error| cannot(&error))?;
    }
    Ok(refusal)
}

/// One process's part in sharing one token.
struct Sharing<'a> {
    args: &'a Args,
    subject: &'a Subject,
    ask: &'a Ask,
    store: FileStore,
    key: StoreKey,
    /// When the command was started.
    asked: Timestamp,
    until: Instant,
}

impl Sharing<'_> {
    fn token(&self) -> Result<Result<Handed, Error>, Failure> {
        let Some(profile) = self.ask.client.filter(|client| client.keeps.is_some()) else { return self.plain() };
        let Some(instance) = Instance::of_this_process() else { return self.plain() };
        let seen = Seen::by(&instance, &self.store, &self.key);
        let suspected = look(&self.store, &self.key, &*self.subject.source).usable(self.asked).cloned();
        let outcome = match suspected.filter(|token| seen.suspects(token, &profile, self.asked)) {
            Some(token) => self.another_than(&token)?,
            None => self.plain()?,
        };
        if let Ok(handed) = &outcome {
            seen.note(&handed.token, SystemClock.now());
        }
        Ok(outcome)
    }

    /// A token in the place of one that is suspected of being refused, if a suspicion may mint now; else the same again.
    fn another_than(&self, token: &Token) -> Result<Result<Handed, Error>, Failure> {
        let left = self.until.saturating_duration_since(Instant::now());
        let Ok(Some(mut locked)) = self.store.lock_now(&self.key, left) else { return self.plain() };
        let Ok(Some(Record::Token(mut record))) = locked.load() else { return self.plain_under(locked) };
        if !record.suspect(token.digest(), SystemClock.now()) || locked.commit(&Record::Token(record)).is_err() {
            return self.plain_under(locked);
        }
        if self.args.verbose {
            let fingerprint = token.fingerprint();
            out::to_stderr(&format!(
                "verbose: the client is back for {fingerprint} too early: it may have been refused"
            ));
        }
        let fresh = Ask { fresh: true, ..*self.ask };
        let this = Sharing { ask: &fresh, store: self.store.clone(), key: self.key.clone(), ..*self };
        let minted = if self.subject.rotates { this.mint_under(locked)? } else { this.mint_in_process(Some(locked))? };
        match minted {
            Ok(handed) => Ok(Ok(handed)),
            // An outage during a suspicion costs nobody the token that lives.
            Err(_) => self.plain(),
        }
    }

    /// The plain way, without the lock.
    fn plain_under(&self, locked: Locked) -> Result<Result<Handed, Error>, Failure> {
        drop(locked);
        self.plain()
    }

    fn plain(&self) -> Result<Result<Handed, Error>, Failure> {
        let record = look(&self.store, &self.key, &*self.subject.source);
        if let Some(handed) = self.answer(&record) {
            self.refresh_behind(&record);
            return Ok(Ok(handed));
        }
        if let Some(error) = self.held_back(&record) {
            return self.or_what_lives(&record, error);
        }
        match self.mint(&record)? {
            Ok(handed) => Ok(Ok(handed)),
            Err(error) => self.or_what_lives(&look(&self.store, &self.key, &*self.subject.source), error),
        }
    }

    /// A token of the record that is good for what is asked.
    fn answer(&self, record: &TokenRecord) -> Option<Handed> {
        let now = SystemClock.now();
        let token = record.usable(now)?;
        let moments = token.moments();
        if self.ask.fresh && !record.arrived_after(self.asked) {
            return None;
        }
        let wanted = self.ask.least_life(token);
        let left = moments.expires_at.until(now);
        if left >= wanted {
            return Some(self.hand(token, false));
        }
        // Nothing is minted for its sake while the issuer is known to give no longer life.
        let quiet = record.short_until.is_some_and(|until| !until.waited(now)) && wanted > moments.life();
        (quiet || record.backing_off(now).is_some()).then(|| self.hand(token, true))
    }

    /// The least life that will do. What depends on the token's own life is measured by the one that is kept.
    fn least_life(&self) -> Duration {
        let record = look(&self.store, &self.key, &*self.subject.source);
        record.usable(SystemClock.now()).map_or(self.ask.min_ttl(), |token| self.ask.least_life(token))
    }

    fn hand(&self, token: &Token, short: bool) -> Handed {
        Handed { token: token.clone(), name: self.subject.name.clone(), short, instead: None }
    }

    /// The remembered failure, while the source is to be left alone.
    fn held_back(&self, record: &TokenRecord) -> Option<Error> {
        let now = SystemClock.now();
        let failure = record.backing_off(now)?;
        Some(Error::remembered(self.subject.name.as_str(), failure.error.clone(), failure.not_before, now))
    }

    /// Who wanted another token has the one that lives, marked short, where there is no other.
    fn or_what_lives(&self, record: &TokenRecord, error: Error) -> Result<Result<Handed, Error>, Failure> {
        match record.usable(SystemClock.now()) {
            Some(token) => {
                let short = token.moments().expires_at.until(SystemClock.now()) < self.ask.least_life(token);
                Ok(Ok(Handed { instead: Some(error), ..self.hand(token, short) }))
            }
            None => Ok(Err(error)),
        }
    }

    /// Starts the minter for a token that is due, if nobody is at it. This process does not wait.
    fn refresh_behind(&self, record: &TokenRecord) {
        if !is_due(record) {
            return;
        }
        let Ok(Some(locked)) = self.store.lock_now(&self.key, Duration::ZERO) else { return };
        let record = look(&self.store, &self.key, &*self.subject.source);
        if is_due(&record) {
            // If no process can be started the next call tries again.
            let _ = self.subject.minter.start(Some(locked), None, Duration::ZERO);
        }
    }

    /// Mints: in this process, or by a minter that nobody's end takes with it.
    fn mint(&self, record: &TokenRecord) -> Result<Result<Handed, Error>, Failure> {
        let left = self.until.saturating_duration_since(Instant::now());
        let locked = match self.store.lock_now(&self.key, left) {
            Ok(Some(locked)) => locked,
            Ok(None) => return Ok(Err(self.too_late())),
            Err(error) => {
                not_shared(self.args, &error);
                return mint_here(
                    self.args,
                    self.subject,
                    self.ask,
                    self.least_life(),
                    self.subject.source.clone(),
                    None,
                );
            }
        };
        let slow = record.took.is_some_and(|took| took >= SLOW);
        if self.subject.rotates || slow { self.mint_under(locked) } else { self.mint_in_process(Some(locked)) }
    }

    /// Hands the mint and its lock to the minter, and waits for it.
    fn mint_under(&self, locked: Locked) -> Result<Result<Handed, Error>, Failure> {
        if Locked::CAN_HAND_OVER {
            let found = look(&self.store, &self.key, &*self.subject.source);
            if let Some(handed) = self.answer(&found) {
                return Ok(Ok(handed));
            }
            if let Some(error) = self.held_back(&found) {
                return Ok(Err(error));
            }
            let asked = (self.ask.fresh || self.ask.whole_seconds).then_some(self.asked);
            if let Ok(child) = self.subject.minter.start(Some(locked), asked, self.least_life()) {
                return Ok(self.wait_for(child));
            }
            // It cannot be started, and the lock is gone with the attempt.
            return self.mint_in_process(None);
        }
        self.mint_in_process(Some(locked))
    }

    fn mint_in_process(&self, locked: Option<Locked>) -> Result<Result<Handed, Error>, Failure> {
        let store = match locked {
            Some(locked) => self.store.clone().handing_out(locked),
            None => self.store.clone(),
        };
        let mut stored = self.subject.stored(store);
        // What is there already was not good enough, and the store cannot tell why.
        if self.ask.fresh || self.ask.whole_seconds {
            stored = stored.newer_than(self.asked);
        }
        mint_here(self.args, self.subject, self.ask, self.least_life(), Arc::new(stored), Some(&self.subject.minter))
    }

    /// Waits for the minter as long as the caller allows. It goes on in any case.
    fn wait_for(&self, mut child: Child) -> Result<Handed, Error> {
        let mut pause = Duration::from_micros(500);
        loop {
            let ended = !matches!(child.try_wait(), Ok(None));
            if ended || Instant::now() >= self.until {
                let record = look(&self.store, &self.key, &*self.subject.source);
                let new = !self.ask.fresh || record.arrived_after(self.asked);
                if let Some(token) = record.usable(SystemClock.now()).filter(|_| new) {
                    let short = token.moments().expires_at.until(SystemClock.now()) < self.ask.least_life(token);
                    return Ok(self.hand(token, short));
                }
                return Err(self
                    .held_back(&record)
                    .unwrap_or_else(|| if ended { self.ended() } else { self.too_late() }));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        }
    }

    fn too_late(&self) -> Error {
        let cause = MintError::new(ErrorKind::TimedOut, "no token within the time allowed")
            .from_source(self.subject.source.name())
            .remedy("call again: another process mints it meanwhile");
        Error::new(self.subject.name.as_str(), cause)
    }

    fn ended(&self) -> Error {
        let cause = MintError::new(ErrorKind::Unavailable, "the process that was to mint the token ended without one")
            .from_source(self.subject.source.name())
            .remedy(format!("see why: unexpired mint {} --verbose", self.subject.name));
        Error::new(self.subject.name.as_str(), cause)
    }
}

/// Whether a token that is handed out should be refreshed now, and its source may be asked.
fn is_due(record: &TokenRecord) -> bool {
    let now = SystemClock.now();
    let due = record.usable(now).is_some_and(|token| token.moments().phase(now) != Phase::Fresh);
    due && (record.backing_off(now).is_none() || record.may_try_when_urgent(now))
}

/// Mints in this process. After a second another one stands by, should this one be killed.
fn mint_here(
    args: &Args,
    subject: &Subject,
    ask: &Ask,
    least: Duration,
    source: Arc<dyn TokenSource>,
    standby: Option<&Minter>,
) -> Result<Result<Handed, Error>, Failure> {
    // This process is here for one mint, and makes it on the thread that it has: starting the engine's own would cost as much as the TLS
    // handshake's arithmetic.
    let runtime = runtime()?;
    let handle = runtime.handle().clone();
    let builder = TokenManager::builder(subject.name.as_str(), source)
        .min_ttl(subject.min_ttl)
        .clock(Arc::new(HereClock))
        .spawner(move |flight| drop(handle.spawn(flight)));
    let (manager, narrator) = Narrator::watch(args, builder);
    let asked = SystemClock.now();
    let mut options = TokenOptions::new();
    options = options.min_ttl(least);
    if let Some(timeout) = ask.timeout() {
        options = options.timeout(timeout);
    }
    let outcome = runtime.block_on(async {
        let mut answer = pin!(manager.token_with(options));
        match tokio::time::timeout(SLOW, &mut answer).await {
            Ok(outcome) => outcome,
            Err(_) => {
                if let Some(standby) = standby {
                    // It waits for the lock that this process holds. Without it the token is minted all the same, if nobody kills us.
                    let _ = standby.start(None, (ask.fresh || ask.whole_seconds).then_some(asked), least);
                }
                answer.await
            }
        }
    });
    // A file or a program that is still being waited for must not hold up the end.
    runtime.shutdown_background();
    Ok(narrator.finish(outcome).map(|answer| Handed {
        short: answer.short,
        token: answer.token,
        name: manager.name().to_owned(),
        instead: None,
    }))
}

/// From here on a mint is slow: whoever waits for it may be killed before it ends.
const SLOW: Duration = Duration::from_secs(1);
/// How long a token is waited for where nobody says how long.
const LONGEST_WAIT: Duration = Duration::from_secs(25);
