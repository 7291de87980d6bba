//! One source kept fresh. What users hold.

use crate::cell::SlotCell;
use crate::event::{Change, Observer};
use crate::flight::{Flight, Happened, Outcome, Spawner, Told, Waiter};
use crate::slot::{Ask, Decision, Rejection, Served};
use crate::source::within;
use crate::time::SharedClock;
use crate::{BoxFuture, Challenge, Clock, Error, ErrorKind, Event, MintError, Phase, Timestamp, Token, TokenSource};
use http::HeaderValue;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::sync::watch;

/// One source kept fresh: the slot that holds its token, and the single flight that renews it. Cheap to clone.
///
/// What holds for every caller, on any thread, in any runtime or none:
///
/// - A token is never handed out past its use, nor one that was reported rejected.
/// - While the token has life in it nobody waits for the source and nobody sees an error. (Two bounded exceptions: the caller that starts a
///   refresh in the last tenth of the life waits for it up to 2 s; whoever asks for a `min_ttl` waits.)
/// - One mint serves everyone who needs it; so does one failure.
/// - An error says what to do, and when the source is asked again.
///
/// Nothing runs before the first call. Flights run on one background thread of the process, or on a runtime given to the builder.
///
/// ```
/// # use std::time::Duration;
/// # use unexpired_core::{BoxFuture, MintError, MintRequest, Token, TokenManager, TokenSource};
/// # struct Fixed;
/// # impl TokenSource for Fixed {
/// #     fn name(&self) -> &str { "fixed" }
/// #     fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
/// #         Box::pin(async move { Token::builder("at-1", request.now()).expires_in(Duration::from_secs(60)).build() })
/// #     }
/// # }
/// let manager = TokenManager::builder("corp", Fixed).build();
/// let token = manager.blocking_token()?;
/// assert_eq!(token.authorization(), "Bearer at-1");
/// # Ok::<(), unexpired_core::Error>(())
/// ```
#[derive(Clone)]
pub struct TokenManager(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) name: Arc<str>,
    pub(crate) source: Arc<dyn TokenSource>,
    pub(crate) clock: SharedClock,
    pub(crate) cell: SlotCell<Arc<Flight>>,
    pub(crate) min_ttl: Duration,
    pub(crate) spawner: Spawner,
    pub(crate) observer: Observer,
    pub(crate) current: watch::Sender<Option<Token>>,
    pub(crate) mints: AtomicU64,
    pub(crate) failures: AtomicU64,
    remembers_hosts: AtomicBool,
    told_failing: AtomicBool,
    /// The process in which a task keeps the token fresh; 0 if none does.
    pub(crate) kept_fresh: AtomicU32,
    /// The registry that it is in.
    told: Option<Told>,
}

impl TokenManager {
    /// Starts a manager for `source`. `name` is what errors and events call the token.
    pub fn builder(name: impl Into<Arc<str>>, source: impl TokenSource) -> TokenManagerBuilder {
        TokenManagerBuilder {
            name: name.into(),
            source: Arc::new(source),
            clock: None,
            min_ttl: Duration::ZERO,
            spawner: Spawner::default(),
            observer: Observer::default(),
        }
    }

    /// The token's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    #[cfg(feature = "thread")]
    pub(crate) fn name_arc(&self) -> &Arc<str> {
        &self.0.name
    }

    /// A token that is good for use now.
    ///
    /// With a fresh token at hand this neither waits nor locks nor allocates. Dropping the future gives up the wait, never the mint.
    ///
    /// # Errors
    ///
    /// Only while there is no usable token: what the source said, remembered for as long as it is not asked again.
    pub async fn token(&self) -> Result<Token, Error> {
        match self.hit(Token::clone) {
            Some(token) => Ok(token),
            None => self.slow(TokenOptions::default()).await.map(|answer| answer.token),
        }
    }

    /// The ready-made value of the `Authorization` header: as [`token`](Self::token), and as cheap.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    pub async fn authorization(&self) -> Result<HeaderValue, Error> {
        match self.hit(|token| token.authorization().clone()) {
            Some(value) => Ok(value),
            None => self.slow(TokenOptions::default()).await.map(|answer| answer.token.authorization().clone()),
        }
    }

    /// As [`token`](Self::token), with wishes.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token); and [`TimedOut`](ErrorKind::TimedOut) if the caller's own time is up.
    pub async fn token_with(&self, options: TokenOptions) -> Result<Answer, Error> {
        self.slow(options).await
    }

    /// As [`token`](Self::token), for threads without a runtime. Blocks the thread; not to be called from asynchronous code.
    ///
    /// # Errors
    ///
    /// As [`token`](Self::token).
    pub fn blocking_token(&self) -> Result<Token, Error> {
        match self.hit(Token::clone) {
            Some(token) => Ok(token),
            None => crate::block::block_on(self.slow(TokenOptions::default())).map(|answer| answer.token),
        }
    }

    /// As [`token_with`](Self::token_with), for threads without a runtime.
    ///
    /// # Errors
    ///
    /// As [`token_with`](Self::token_with).
    pub fn blocking_token_with(&self, options: TokenOptions) -> Result<Answer, Error> {
        crate::block::block_on(self.slow(options))
    }

    /// The token that is held, if it is usable. Starts nothing and waits for nothing.
    pub fn cached(&self) -> Option<Token> {
        if let Some(token) = self.hit(Token::clone) {
            return Some(token);
        }
        let now = self.0.clock.now();
        self.0
            .cell
            .read(|slot| slot.current().map(|(token, _)| token.clone()))
            .filter(|t| t.moments().phase(now) != Phase::Expired)
    }

    /// Reports that `host` refused `token` with `challenge`.
    ///
    /// Only the current token falls: a hundred reports cost one mint, a late report for an old token does nothing. A host that refuses the
    /// replacement too, without [`accepted`](Self::accepted) ever having been called for it, is taken for the problem: its reports change
    /// nothing for 60 s, doubling to 15 min, and other hosts keep the token. Refusals for lack of permission never retire a token.
    pub fn reject(&self, token: &Token, host: &str, challenge: &Challenge) -> Rejection {
        let claims = match challenge {
            Challenge::Permission => return Rejection::Kept,
            Challenge::Plain => None,
            Challenge::Claims(claims) => Some(claims.clone()),
        };
        let inner = &self.0;
        let rejection = inner.cell.reject(token.digest(), host, claims, inner.clock.now());
        // After the slot knows the host: `accepted` clears this only under the slot's lock, when no host is left.
        inner.remembers_hosts.store(true, Ordering::Release);
        if rejection == Rejection::Retired {
            let fingerprint = token.fingerprint();
            inner.observer.tell(&Event::Rejected {
                name: inner.name.clone(),
                fingerprint,
                host: crate::text::one_line(host, 80),
            });
            inner.happened(&Happened::Rejected);
        }
        rejection
    }

    /// Reports that `host` accepted `token`. Optional, and cheap where no host ever refused: it tells a revoked token from a host that
    /// refuses every token.
    pub fn accepted(&self, token: &Token, host: &str) {
        let inner = &self.0;
        if inner.remembers_hosts.load(Ordering::Acquire) {
            let none_left = || inner.remembers_hosts.store(false, Ordering::Release);
            inner.cell.accepted(token.digest(), host, inner.clock.now(), none_left);
        }
    }

    /// [`reject`](Self::reject), and then the token that takes the place: what a client does between a 401 and its one retry. After a
    /// claims challenge it is a token minted with those claims.
    ///
    /// # Errors
    ///
    /// [`Rejected`](ErrorKind::Rejected) if another token would not help (this host refuses all, or permission lacks): pass the refusal
    /// on. Otherwise as [`token`](Self::token).
    pub async fn replacement(&self, token: &Token, host: &str, challenge: &Challenge) -> Result<Token, Error> {
        let refused = |message: &str, remedy: &str| {
            let cause = MintError::new(ErrorKind::Rejected, message).host(host).remedy(remedy);
            Error::new(self.0.name.clone(), cause)
        };
        match self.reject(token, host, challenge) {
            Rejection::Kept => {
                Err(refused("the token is valid but lacks permission", "grant the permission or ask for another scope"))
            }
            Rejection::HostRefused => {
                Err(refused("refuses every token", "check that the token's audience and scope are meant for this host"))
            }
            Rejection::Retired | Rejection::Stale => {
                let claims = matches!(challenge, Challenge::Claims(_));
                self.slow(TokenOptions { claims, ..TokenOptions::default() }).await.map(|answer| answer.token)
            }
        }
    }

    /// How things are. Mints nothing.
    pub fn status(&self) -> Status {
        let inner = &self.0;
        let now = inner.clock.now();
        inner.cell.read(|slot| {
            let token = slot.current();
            let failure = slot.last_failure();
            Status {
                name: inner.name.clone(),
                phase: token.map_or(Phase::Expired, |(token, _)| token.moments().phase(now)),
                token: token.map(|(token, _)| token.clone()),
                reissued: token.is_some_and(|(_, reissued)| reissued),
                refreshing: slot.flying(),
                last_error: failure.map(|(error, not_before, ..)| error.until(not_before, now)),
                next_attempt: failure.map(|(_, not_before, ..)| now.system_time() + not_before.since(now)),
                failures_in_a_row: failure.map_or(0, |(_, _, streak, _)| streak),
                mints: inner.mints.load(Ordering::Relaxed),
                failures: inner.failures.load(Ordering::Relaxed),
            }
        })
    }

    /// Until when the refusals of `host` are passed through, if it is taken for a host that refuses every token.
    pub fn host_refused_until(&self, host: &str) -> Option<Timestamp> {
        let now = self.0.clock.now();
        self.0.cell.read(|slot| slot.blocked_until(host)).filter(|until| !until.waited(now))
    }

    /// Follows the token: each new one is seen, and the last one kept.
    pub fn subscribe(&self) -> Subscription {
        Subscription(self.0.current.subscribe())
    }

    /// Keeps the token fresh without callers, for as long as any clone of this manager lives. After refusals it asks less and less often,
    /// down to every 15 minutes. Calling it again changes nothing.
    pub fn keep_fresh(&self) {
        crate::flight::keep_fresh(&self.0);
    }

    /// A manager for another scope with the same credential, if the source can make one.
    pub fn for_scope(&self, name: impl Into<Arc<str>>, scope: &str) -> Option<Self> {
        let inner = &self.0;
        let source = inner.source.for_scope(scope)?;
        Some(Self(Arc::new(Inner::new(
            name.into(),
            source,
            inner.clock.clone(),
            inner.min_ttl,
            inner.spawner.clone(),
            inner.observer.clone(),
            None,
        ))))
    }

    /// The hit path: one atomic load, the boot clock and the coarse wall clock, one compare.
    #[inline]
    fn hit<T>(&self, read: impl FnOnce(&Token) -> T) -> Option<T> {
        self.0.cell.hit(self.0.clock.coarse(), read)
    }

    /// Everything that is not the hit path. Boxed, so that the future of the hit path stays small; two boxes, so that a crowd without time limits
    /// does not carry the timers.
    fn slow(&self, options: TokenOptions) -> BoxFuture<'_, Result<Answer, Error>> {
        let Some(timeout) = options.timeout else { return Box::pin(self.answer(options)) };
        Box::pin(async move {
            let deadline = self.0.clock.now() + timeout;
            match within(&self.0.clock, deadline, self.answer(options)).await {
                Some(result) => result,
                None => self.too_late(options),
            }
        })
    }

    /// The caller's time is up: the token if it has life in it, else an error.
    fn too_late(&self, options: TokenOptions) -> Result<Answer, Error> {
        let now = self.0.clock.now();
        let held = self.0.cell.read(|slot| slot.current().map(|(token, reissued)| (token.clone(), reissued)));
        let usable = held.filter(|(token, _)| !options.claims && token.moments().phase(now) != Phase::Expired);
        if let Some((token, reissued)) = usable {
            let short = token.moments().expires_at.until(now) < options.min_ttl;
            return Ok(Answer { token, short, reissued });
        }
        let cause = MintError::new(ErrorKind::TimedOut, "no token within the time the caller allowed")
            .from_source(self.0.source.name())
            .remedy("allow more time; the mint goes on and the next call may find its token");
        Err(Error::new(self.0.name.clone(), cause))
    }

    async fn answer(&self, options: TokenOptions) -> Result<Answer, Error> {
        let inner = &self.0;
        let mut ask = Ask { min_ttl: options.min_ttl, claims: options.claims, ..Ask::default() };
        // Each turn but the first follows a wait; three flights in a row that bring nothing usable are enough.
        for _ in 0..TURNS {
            let now = inner.clock.now();
            let (waiter, limit) = match self.turn(now, ask) {
                Turn::Over(result) => return result,
                Turn::Again => continue,
                Turn::Wait(waiter, limit) => (waiter, limit),
            };
            let outcome = match limit {
                None => Some(waiter.outcome().await),
                // The old token has life in it: it is what the caller came for. What it gets after the wait, the slot says. Boxed, so that a crowd
                // does not carry the timer.
                Some(limit) => Box::pin(within(&inner.clock, now + limit, waiter.outcome())).await,
            };
            drop(waiter);
            match outcome {
                Some(Outcome::Token(served)) if !options.claims && self.is_current(&served.token) => {
                    let short = served.token.moments().expires_at.until(inner.clock.now()) < options.min_ttl;
                    return Ok(self.serve(Served { short, ..served }));
                }
                // Who asked for more life than the token has, or came when it was urgent, still gets the token; who brought claims does not.
                Some(Outcome::Failed(error, held)) if options.claims || !held => return Err(error),
                _ => {}
            }
            ask.joined = true;
        }
        let cause = MintError::new(ErrorKind::Unavailable, "the mint was lost several times over")
            .from_source(inner.source.name());
        Err(Error::new(inner.name.clone(), cause))
    }

    /// Asks the slot, and starts the flight that it orders.
    fn turn(&self, now: Timestamp, mut ask: Ask) -> Turn {
        let inner = &self.0;
        let mut decision = inner.cell.ask(now, ask, Flight::new);
        if matches!(decision, Decision::Revision) {
            ask.revision = Some(inner.revision());
            decision = inner.cell.ask(now, ask, Flight::new);
        }
        match decision {
            Decision::Serve(served) => Turn::Over(Ok(self.serve(served))),
            Decision::ServeAndFly(served, order) => {
                inner.launch(order);
                Turn::Over(Ok(self.serve(served)))
            }
            Decision::Fail(error) => Turn::Over(Err(error)),
            // Asked for and given above; a source whose revision changes on every look ends here.
            Decision::Revision => Turn::Again,
            Decision::Join(flight) => Turn::Wait(Waiter::new(flight), None),
            Decision::Fly(order, limit) => {
                // Counted as one who waits before the flight starts: it may fail at once, and tries again only for somebody.
                let waiter = Waiter::new(order.handle.clone());
                inner.launch(order);
                Turn::Wait(waiter, limit.map(|(limit, _)| limit))
            }
        }
    }

    /// Whether the token is the one that is handed out now: it may have been rejected or replaced while somebody waited for it.
    fn is_current(&self, token: &Token) -> bool {
        self.hit(|current| current.same_as(token)).unwrap_or(false)
    }

    fn serve(&self, served: Served) -> Answer {
        let inner = &self.0;
        if !served.failing {
            // Looked at first: thousands who write the same would queue up.
            if inner.told_failing.load(Ordering::Relaxed) {
                inner.told_failing.store(false, Ordering::Relaxed);
            }
        } else if !inner.told_failing.swap(true, Ordering::Relaxed) {
            let usable_until = served.token.expires_at().map(|_| served.token.moments().usable_until.system_time());
            let fingerprint = served.token.fingerprint();
            inner.observer.tell(&Event::ServedWhileFailing { name: inner.name.clone(), fingerprint, usable_until });
        }
        Answer { token: served.token, short: served.short, reissued: served.reissued }
    }
}

/// What a caller does next.
enum Turn {
    Over(Result<Answer, Error>),
    Again,
    /// Wait for a flight, at most so long.
    Wait(Waiter, Option<Duration>),
}

impl Inner {
    fn new(
        name: Arc<str>,
        source: Arc<dyn TokenSource>,
        clock: SharedClock,
        min_ttl: Duration,
        spawner: Spawner,
        observer: Observer,
        told: Option<Told>,
    ) -> Self {
        Self {
            name,
            source,
            clock,
            cell: SlotCell::new(),
            min_ttl,
            spawner,
            observer,
            current: watch::Sender::new(None),
            mints: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            remembers_hosts: AtomicBool::new(false),
            told_failing: AtomicBool::new(false),
            kept_fresh: AtomicU32::new(0),
            told,
        }
    }

    pub(crate) fn happened(&self, happened: &Happened<'_>) {
        if let Some(told) = &self.told {
            told(happened);
        }
    }

    /// Tells of a token, and whether it was not there before.
    pub(crate) fn arrived(&self, served: &Served, replaced: bool, attempts: u32, took: Duration) -> bool {
        let change = Change::new(self.name.clone(), &served.token, served.reissued, attempts, took);
        self.observer.tell(&if replaced { Event::Refreshed(change) } else { Event::Minted(change) });
        self.current.send_if_modified(|current| {
            let new = current.as_ref().is_none_or(|current| !current.same_as(&served.token));
            if new {
                *current = Some(served.token.clone());
            }
            new
        })
    }
}

impl fmt::Debug for TokenManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenManager")
            .field("name", &self.0.name)
            .field("source", &self.0.source.name())
            .finish_non_exhaustive()
    }
}

/// Makes a [`TokenManager`]. Building one spawns nothing and asks nobody.
#[derive(Clone)]
pub struct TokenManagerBuilder {
    pub(crate) name: Arc<str>,
    source: Arc<dyn TokenSource>,
    clock: Option<Arc<dyn Clock>>,
    min_ttl: Duration,
    spawner: Spawner,
    pub(crate) observer: Observer,
}

impl TokenManagerBuilder {
    /// The clock; the system's by default.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The least life that tokens should have when they are handed out: refreshes start so much earlier, at most at half the life.
    #[must_use]
    pub fn min_ttl(mut self, min_ttl: Duration) -> Self {
        self.min_ttl = min_ttl;
        self
    }

    /// Runs flights on this runtime in place of the background thread. If it is shut down, the background thread steps in.
    #[cfg(feature = "thread")]
    #[must_use]
    pub fn runtime(mut self, runtime: tokio::runtime::Handle) -> Self {
        self.spawner = Spawner::runtime(runtime);
        self
    }

    /// Runs flights by handing them to `spawn`: for targets without threads, and for tests.
    #[must_use]
    pub fn spawner(mut self, spawn: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static) -> Self {
        self.spawner = Spawner::given(spawn);
        self
    }

    /// Calls `observer` at every event. It runs on the thread where the event happens and must not block.
    #[must_use]
    pub fn on_event(mut self, observer: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.observer = Observer(Some(Arc::new(observer)));
        self
    }

    /// The manager.
    #[cfg(feature = "thread")]
    pub fn build(self) -> TokenManager {
        let clock = self.clock.clone().map_or(SharedClock::System, SharedClock::Given);
        self.on(clock)
    }

    /// The manager, as one of a registry.
    #[cfg(feature = "thread")]
    pub(crate) fn build_in(self, clock: SharedClock, spawner: Spawner, told: Told) -> TokenManager {
        let inner = Inner::new(self.name, self.source, clock, self.min_ttl, spawner, self.observer, Some(told));
        TokenManager(Arc::new(inner))
    }

    /// The manager, also where there are no threads (the feature `thread` is off): there clock and spawner must be given.
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](ErrorKind::Misconfigured) without a clock or without a spawner, where there are no threads.
    pub fn try_build(self) -> Result<TokenManager, MintError> {
        #[cfg(feature = "thread")]
        return Ok(self.build());
        #[cfg(not(feature = "thread"))]
        {
            let missing = |what: &str| {
                let message = format!("a manager without the feature `thread` needs a {what}");
                MintError::new(ErrorKind::Misconfigured, message)
            };
            let clock = SharedClock::Given(self.clock.clone().ok_or_else(|| missing("clock"))?);
            if !self.spawner.is_given() {
                return Err(missing("spawner"));
            }
            Ok(self.on(clock))
        }
    }

    fn on(self, clock: SharedClock) -> TokenManager {
        let inner = Inner::new(self.name, self.source, clock, self.min_ttl, self.spawner, self.observer, None);
        TokenManager(Arc::new(inner))
    }
}

impl fmt::Debug for TokenManagerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenManagerBuilder")
            .field("name", &self.name)
            .field("source", &self.source.name())
            .finish_non_exhaustive()
    }
}

/// A caller's wishes.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenOptions {
    min_ttl: Duration,
    timeout: Option<Duration>,
    claims: bool,
}

impl TokenOptions {
    /// No wishes: what [`TokenManager::token`] does.
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that is good for at least so long. If the issuer gives none, the answer is marked [`short`](Answer::short).
    #[must_use]
    pub fn min_ttl(mut self, min_ttl: Duration) -> Self {
        self.min_ttl = min_ttl;
        self
    }

    /// How long the caller can wait. The mint itself is not cut short.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }
}

/// A token, and what goes with this answer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Answer {
    /// The token.
    pub token: Token,
    /// Its life is shorter than the caller asked for; the issuer gave no better, or could not be asked.
    pub short: bool,
    /// The issuer answered this token again after it had been rejected.
    pub reissued: bool,
}

/// How things are with one token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The token's name.
    pub name: Arc<str>,
    /// The token that is held, usable or not.
    pub token: Option<Token>,
    /// Where it is in its life; `Expired` if there is none.
    pub phase: Phase,
    /// The issuer answered it again after it had been rejected.
    pub reissued: bool,
    /// A flight is running.
    pub refreshing: bool,
    /// Why the last flight failed, if it did.
    pub last_error: Option<Error>,
    /// When the source may be asked again after a failure.
    pub next_attempt: Option<SystemTime>,
    /// How many failures there were since the last success.
    pub failures_in_a_row: u32,
    /// How many tokens were minted.
    pub mints: u64,
    /// How many attempts failed.
    pub failures: u64,
}

/// Follows one manager's token.
///
/// ```no_run
/// # async fn follow(manager: unexpired_core::TokenManager) {
/// let mut tokens = manager.subscribe();
/// while let Some(token) = tokens.changed().await {
///     println!("now {}", token.fingerprint());
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Subscription(watch::Receiver<Option<Token>>);

impl Subscription {
    /// The next token that arrives; `None` when the manager is gone.
    pub async fn changed(&mut self) -> Option<Token> {
        loop {
            self.0.changed().await.ok()?;
            if let Some(token) = self.0.borrow_and_update().clone() {
                return Some(token);
            }
        }
    }

    /// The token that arrived last, usable or not.
    pub fn latest(&self) -> Option<Token> {
        self.0.borrow().clone()
    }
}

/// Keeps `impl Future` out of the signatures above while saying that they can cross threads.
#[allow(dead_code, reason = "checked by the compiler, never called")]
fn futures_cross_threads(manager: &TokenManager) {
    fn check(_: impl Future + Send) {}
    check(manager.token());
    check(manager.authorization());
}

const TURNS: u32 = 4;
