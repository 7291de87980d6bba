//! Thousands of named tokens kept fresh at once, for gateways and controllers: one timer on the background thread, mints side by side.
//!
//! ```
//! # use std::time::Duration;
//! # use unexpired_core::{BoxFuture, MintError, MintRequest, Token, TokenManager, TokenSource};
//! # struct Fixed;
//! # impl TokenSource for Fixed {
//! #     fn name(&self) -> &str { "fixed" }
//! #     fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
//! #         Box::pin(async move { Token::builder("at-1", request.now()).expires_in(Duration::from_secs(60)).build() })
//! #     }
//! # }
//! use unexpired_core::registry::Registry;
//!
//! # async fn example() -> Result<(), unexpired_core::Error> {
//! let registry = Registry::builder().build();
//! let mut revisions = registry.subscribe();
//!
//! registry.insert(TokenManager::builder("tenant-a", Fixed)); // from now on it is kept fresh
//! let token = registry.token("tenant-a").await?;
//!
//! let revision = revisions.changed().await.expect("the registry is there");
//! for change in &revision.changes {
//!     println!("{}: {:?}", change.name, change.what); // hand the new token on: registry.cached(&change.name)
//! }
//! let status = registry.status("tenant-a").expect("it was inserted");
//! assert_eq!(status.failures_in_a_row, 0);
//!
//! registry.remove("tenant-a");
//! # let _ = token;
//! # Ok(())
//! # }
//! ```
//!
//! - **Each name has a [`TokenManager`] of its own**: what holds for its callers holds here. The registry asks for a new token when the old one is
//!   due, without callers, and after refusals less and less often, as [`TokenManager::keep_fresh`] does; a source that fails backs off alone.
//! - **A slow endpoint delays nobody**: at most [`max_mints`](RegistryBuilder::max_mints) mints that the registry started run at once, and one
//!   that has had no answer for 2 s makes room for another. (A mint ends after 20 s, so no more than a dozen times as many are ever open.) Tokens
//!   whose last mint was that slow wait for each other in the future, not for the quick ones. Mints that a caller waits for are never held
//!   back, and not counted.
//! - **No herd**: each token is refreshed at a moment of its own, by the jitter of its [`Moments`](crate::Moments); after a suspend each is asked
//!   for once.
//! - **Revisions** say what has changed: see [`Revisions`].
//! - **A forked child** must make a registry of its own.

mod revisions;
mod schedule;
mod status;
mod worker;

pub use revisions::{CredentialChange, Revision, Revisions, What};
pub use status::CredentialStatus;

use crate::event::Observer;
use crate::flight::{Happened, Outcome, Spawner, Told};
use crate::pace::Pace;
use crate::time::{SLICE, SharedClock};
use crate::{
    BoxFuture, Clock, Error, ErrorKind, Event, MintError, Timestamp, Token, TokenManager, TokenManagerBuilder,
};
use revisions::Log;
use schedule::Schedule;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Named tokens, kept fresh while they are in it. Cheap to clone; when the last clone is dropped, the keeping ends.
#[derive(Clone)]
pub struct Registry(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// The number of the last revision.
    revision: watch::Sender<u64>,
    /// Something is due sooner than the worker knows.
    wake: Arc<Notify>,
    working: AtomicBool,
    clock: SharedClock,
    spawner: Spawner,
    observer: Observer,
}

struct State {
    names: HashMap<Arc<str>, u64>,
    entries: HashMap<u64, Entry>,
    last_id: u64,
    schedule: Schedule,
    log: Log,
    /// Wall clock minus boot clock when they were looked at last.
    wall_offset: i64,
}

struct Entry {
    manager: TokenManager,
    pace: Pace,
    last_error: Option<Error>,
    failures_in_a_row: u32,
    revision: u64,
}

impl Registry {
    /// To set more than nothing.
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder {
            clock: SharedClock::System,
            spawner: Spawner::default(),
            observer: Observer::default(),
            max_mints: MAX_MINTS,
        }
    }

    /// Adds a token, or replaces the one of that name, and keeps it fresh from now on: the first mint starts at once, as soon as there is
    /// room. Of the builder's settings the registry's own clock, runtime and spawner take the place; its observer is kept if it has one.
    ///
    /// The manager is the one that the registry keeps: hold on to it for the hit path. A replaced one, and its token, are its holders' own.
    pub fn insert(&self, mut builder: TokenManagerBuilder) -> TokenManager {
        let shared = &self.0;
        if builder.observer.0.is_none() {
            builder.observer = shared.observer.clone();
        }
        let now = shared.clock.now();
        let name = builder.name.clone();
        // A source that is dropped may do what it likes: not under the lock.
        let (manager, _old) = {
            let mut state = shared.lock();
            let id = state.last_id.wrapping_add(1);
            state.last_id = id;
            let manager = builder.build_in(shared.clock.clone(), shared.spawner.clone(), Shared::told(shared, id));
            let old = state.names.insert(name.clone(), id).and_then(|old| state.take(old));
            let what = if old.is_some() { What::Replaced } else { What::Added };
            let revision = state.log.add(&name, old.as_ref().map(|old| old.revision), what);
            let entry = Entry {
                manager: manager.clone(),
                pace: Pace::new(now),
                last_error: None,
                failures_in_a_row: 0,
                revision,
            };
            state.entries.insert(id, entry);
            state.schedule.add(id, now.boot_nanos());
            shared.revision.send_replace(revision);
            (manager, old)
        };
        shared.wake();
        manager
    }

    /// Takes a token out; whether there was one of this name. Managers that were handed out go on working, and nobody keeps them fresh.
    pub fn remove(&self, name: &str) -> bool {
        let shared = &self.0;
        let _old = {
            let mut state = shared.lock();
            let Some((name, id)) = state.names.remove_entry(name) else { return false };
            let old = state.take(id);
            let revision = state.log.remove(&name, old.as_ref().map(|old| old.revision));
            shared.revision.send_replace(revision);
            old
        };
        true
    }

    /// The manager of a token.
    pub fn manager(&self, name: &str) -> Option<TokenManager> {
        let manager = {
            let state = self.0.lock();
            let id = state.names.get(name)?;
            state.entries.get(id)?.manager.clone()
        };
        // A runtime that was given and shut down has dropped the worker.
        if !self.0.working.load(Ordering::Acquire) {
            self.0.wake();
        }
        Some(manager)
    }

    /// A token that is good for use now: [`TokenManager::token`] by name.
    ///
    /// # Errors
    ///
    /// [`NotConfigured`](ErrorKind::NotConfigured) if there is no token of this name; otherwise as [`TokenManager::token`].
    pub async fn token(&self, name: &str) -> Result<Token, Error> {
        match self.manager(name) {
            Some(manager) => manager.token().await,
            None => {
                let error = MintError::new(ErrorKind::NotConfigured, "there is no token of this name in the registry");
                Err(Error::new(name, error.remedy("insert it first")))
            }
        }
    }

    /// The token that is held, if it is usable. Starts nothing and waits for nothing.
    pub fn cached(&self, name: &str) -> Option<Token> {
        self.manager(name)?.cached()
    }

    /// How things are with one token. Mints nothing.
    pub fn status(&self, name: &str) -> Option<CredentialStatus> {
        let state = self.0.lock();
        let id = state.names.get(name)?;
        Some(CredentialStatus::of(state.entries.get(id)?, state.schedule.place(*id), self.0.clock.now()))
    }

    /// How things are with all tokens, in the order of their names.
    pub fn statuses(&self) -> Vec<CredentialStatus> {
        let mut statuses: Vec<_> = {
            let state = self.0.lock();
            let now = self.0.clock.now();
            let status = |(id, entry): (&u64, &Entry)| CredentialStatus::of(entry, state.schedule.place(*id), now);
            state.entries.iter().map(status).collect()
        };
        statuses.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        statuses
    }

    /// All names, in order.
    pub fn names(&self) -> Vec<Arc<str>> {
        let mut names: Vec<_> = self.0.lock().names.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    /// How many tokens there are.
    pub fn len(&self) -> usize {
        self.0.lock().names.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of the last revision; 0 before the first.
    pub fn revision(&self) -> u64 {
        *self.0.revision.borrow()
    }

    /// Follows what changes from now on.
    pub fn subscribe(&self) -> Revisions {
        self.subscribe_from(self.revision())
    }

    /// Follows what has changed since a revision that was seen before; 0 tells of everything that there is.
    pub fn subscribe_from(&self, revision: u64) -> Revisions {
        Revisions::new(Arc::downgrade(&self.0), self.0.revision.subscribe(), revision)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way; if it ever did, a state that is one step behind is better than none.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The worker looks again, and is started if there is none.
    fn wake(self: &Arc<Self>) {
        if !self.working.swap(true, Ordering::AcqRel) {
            worker::start(self);
        }
        self.wake.notify_one();
    }

    /// What a manager of this registry calls when something has happened to its token.
    fn told(shared: &Arc<Self>, id: u64) -> Told {
        let weak: Weak<Self> = Arc::downgrade(shared);
        Arc::new(move |happened| {
            if let Some(shared) = weak.upgrade() {
                shared.happened(id, happened);
            }
        })
    }

    fn happened(self: &Arc<Self>, id: u64, happened: &Happened<'_>) {
        let now = self.clock.now();
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(entry) = state.entries.get_mut(&id) else { return };
        let what = match happened {
            Happened::Rejected => Some(What::Rejected),
            Happened::Landed(outcome, new) => {
                entry.pace.landed(outcome, now);
                state.schedule.ended(id, now.boot_nanos());
                match outcome {
                    Outcome::Token(_) => (entry.last_error, entry.failures_in_a_row) = (None, 0),
                    Outcome::Failed(error, _) => {
                        entry.last_error = Some(error.clone());
                        entry.failures_in_a_row = entry.failures_in_a_row.saturating_add(1);
                    }
                    Outcome::Lost => {}
                }
                new.then_some(What::Refreshed)
            }
        };
        let due = entry.due(now, false);
        state.schedule.set(id, due);
        if let Some(what) = what {
            entry.revision = state.log.add(entry.manager.name_arc(), Some(entry.revision), what);
            self.revision.send_replace(entry.revision);
        }
        drop(guard);
        self.wake();
    }
}

impl State {
    fn take(&mut self, id: u64) -> Option<Entry> {
        self.schedule.remove(id);
        self.entries.remove(&id)
    }
}

impl Entry {
    /// When to look at it again, in nanoseconds of the boot clock; `None` for never. `looked`: it was looked at just now, and nothing was due.
    fn due(&self, now: Timestamp, looked: bool) -> Option<i64> {
        due(&self.pace, &self.manager, now, looked)
    }
}

fn due(pace: &Pace, manager: &TokenManager, now: Timestamp, looked: bool) -> Option<i64> {
    let next = pace.next(&manager.0, now);
    // A token is due by whichever clock says so first; a wait is over by the boot clock alone.
    let mut due = (now + next.until(now)).boot_nanos();
    if looked {
        let soonest = (now + SHORTEST_PAUSE).boot_nanos();
        if due < soonest {
            due = next.boot_nanos().clamp(soonest, (now + SLICE).boot_nanos());
        }
    }
    if pace.refused() {
        // Whether the credential was replaced is worth a look.
        due = due.min((now + SLICE).boot_nanos());
    }
    (due != i64::MAX).then_some(due)
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("tokens", &self.len()).field("revision", &self.revision()).finish()
    }
}

/// Makes a [`Registry`]. Building one spawns nothing; the first token does.
#[derive(Clone)]
pub struct RegistryBuilder {
    clock: SharedClock,
    spawner: Spawner,
    observer: Observer,
    max_mints: usize,
}

impl RegistryBuilder {
    /// How many mints that the registry starts may run at once; 64 by default, at least 1. See the [module's page](self) for what becomes of
    /// slow ones.
    #[must_use]
    pub fn max_mints(mut self, most: usize) -> Self {
        self.max_mints = most.max(1);
        self
    }

    /// The clock of all its tokens; the system's by default.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = SharedClock::Given(clock);
        self
    }

    /// Works and mints on this runtime in place of the background thread. If it is shut down, the background thread steps in.
    #[must_use]
    pub fn runtime(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.spawner = Spawner::runtime(runtime);
        self
    }

    /// Works and mints by handing futures to `spawn`: for tests.
    #[must_use]
    pub fn spawner(mut self, spawn: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static) -> Self {
        self.spawner = Spawner::given(spawn);
        self
    }

    /// Calls `observer` at every event of every token that has no observer of its own. It runs on the thread where the event happens and
    /// must not block.
    #[must_use]
    pub fn on_event(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.observer = Observer(Some(Arc::new(observer)));
        self
    }

    /// The registry.
    pub fn build(self) -> Registry {
        let now = self.clock.now();
        let state = State {
            names: HashMap::new(),
            entries: HashMap::new(),
            last_id: 0,
            schedule: Schedule::new(self.max_mints),
            log: Log::default(),
            wall_offset: worker::wall_offset(now),
        };
        Registry(Arc::new(Shared {
            state: Mutex::new(state),
            revision: watch::Sender::new(0),
            wake: Arc::default(),
            working: AtomicBool::new(false),
            clock: self.clock,
            spawner: self.spawner,
            observer: self.observer,
        }))
    }
}

impl fmt::Debug for RegistryBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryBuilder").field("max_mints", &self.max_mints).finish_non_exhaustive()
    }
}

const MAX_MINTS: usize = 64;
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
