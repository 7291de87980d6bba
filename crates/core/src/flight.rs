//! A flight: the one mint that everybody waits for. It belongs to nobody who waits.

use crate::crowd::{Crowd, Wait};
use crate::manager::Inner;
use crate::pace::Pace;
use crate::slot::{Landed, Order, Served, worth_another};
use crate::source::within;
use crate::{BoxFuture, Error, ErrorKind, Event, MintError, MintRequest, Moments, Phase, Token};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

/// What those who wait hold on to.
pub(crate) struct Flight {
    crowd: Crowd<Outcome>,
    waiters: AtomicUsize,
}

/// How a flight ended.
#[derive(Clone)]
pub(crate) enum Outcome {
    Token(Served),
    /// With whether a token was left that has life in it.
    Failed(Error, bool),
    /// It was aborted: whoever still wants a token starts another.
    Lost,
}

impl Flight {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { crowd: Crowd::new(), waiters: AtomicUsize::new(0) })
    }

    /// The end, told to everyone who waits. What is said first counts.
    fn end(&self, outcome: Outcome) {
        self.crowd.bring(outcome);
    }
}

/// One who waits for the end, and is counted while it exists: a flight tries more than once only for somebody who waits.
pub(crate) struct Waiter(Arc<Flight>);

impl Waiter {
    pub(crate) fn new(flight: Arc<Flight>) -> Self {
        flight.waiters.fetch_add(1, Ordering::AcqRel);
        Self(flight)
    }

    pub(crate) fn outcome(&self) -> Wait<'_, Outcome> {
        self.0.crowd.wait()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        // After the end nobody counts any more, and thousands would queue up to write here.
        if self.0.crowd.end().is_none() {
            self.0.waiters.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Inner {
    /// Starts a flight that the slot has ordered.
    pub(crate) fn launch(self: &Arc<Self>, order: Order<Arc<Flight>>) {
        // The guard exists before the future is handed over: a runtime that is shut down drops it unpolled.
        let guard = Landing { inner: self.clone(), id: order.id, flight: order.handle.clone(), landed: false };
        let kept = self.kept_fresh.load(Ordering::Acquire);
        if kept != 0 && kept != crate::cell::pid() {
            // A forked child: the task that kept the token fresh did not follow.
            keep_fresh(self);
        }
        self.watch(&order);
        self.spawner.spawn(Box::pin(fly(order, guard)));
    }

    /// A given runtime may be one that nobody drives, and a source may block the thread it runs on: then the flight never lands, and nobody
    /// else would tell those who wait for it. Watched from the thread that runs no foreign code.
    fn watch(self: &Arc<Self>, order: &Order<Arc<Flight>>) {
        #[cfg(feature = "thread")]
        if self.spawner.is_watched() {
            let (inner, flight, id, end) = (self.clone(), order.handle.clone(), order.id, order.deadline + GRACE);
            let watch = async move {
                if within(&inner.clock, end, flight.crowd.wait()).await.is_none() {
                    inner.spawner.lost();
                    inner.cell.lost(id, inner.clock.now());
                    flight.end(Outcome::Lost);
                    inner.happened(&Happened::Landed(&Outcome::Lost, false));
                }
            };
            // Without the thread there is nothing to watch from; the flight's own start has told of it.
            let _ = crate::background::watch(Box::pin(watch));
        }
        #[cfg(not(feature = "thread"))]
        let _ = order;
    }

    /// Whether a token is there that has life in it.
    fn holds_usable(&self) -> bool {
        let now = self.clock.now();
        self.cell.read(|slot| slot.current().is_some_and(|(token, _)| token.moments().phase(now) != Phase::Expired))
    }

    /// The source's revision; a source that panics has none.
    pub(crate) fn revision(&self) -> u64 {
        catch_unwind(AssertUnwindSafe(|| self.source.revision())).unwrap_or_default()
    }

    /// One request to the source.
    async fn attempt(&self, order: &Order<Arc<Flight>>) -> Result<Token, Error> {
        let request = MintRequest::ordered(self.clock.clone(), order);
        let minted = within(&self.clock, order.deadline, caught(|| self.source.mint(request))).await;
        let result = match minted {
            Some(Some(result)) => result,
            Some(None) => Err(panicked()),
            None => Err(MintError::new(ErrorKind::TimedOut, "no answer within 20 s")),
        };
        let token = result.map_err(|error| Error::new(self.name.clone(), error.from_source(self.source.name())))?;
        let token = if token.source().is_empty() { token.with_source(self.source.name()) } else { token };
        // Moments that are shared with others (through a store) stay as they are.
        let token = if token.is_settled() {
            token
        } else {
            token.with_moments(Moments::of(token.lifetime(), self.min_ttl, random()))
        };
        if token.moments().phase(self.clock.now()) == Phase::Expired {
            let error =
                MintError::new(ErrorKind::Malformed, "the token has expired on arrival").from_source(token.source());
            return Err(Error::new(self.name.clone(), error.remedy("compare this machine's clock with the server's")));
        }
        Ok(token)
    }
}

/// The whole flight: one attempt, or up to three while somebody waits and no token is usable.
async fn fly(order: Order<Arc<Flight>>, mut guard: Landing) {
    let inner = guard.inner.clone();
    let started = inner.clock.now();
    let mut attempts = 0_u32;
    let (result, revision) = loop {
        attempts = attempts.saturating_add(1);
        let revision = inner.revision();
        let error = match inner.attempt(&order).await {
            Ok(token) => break (Ok(token), revision),
            Err(error) => error,
        };
        inner.failures.fetch_add(1, Ordering::Relaxed);
        let now = inner.clock.now();
        let wanted = order.handle.waiters.load(Ordering::Acquire) > 0;
        if !worth_another(error.kind()) || attempts >= MOST_ATTEMPTS || !wanted || inner.holds_usable() {
            break (Err((error, false)), revision);
        }
        let wait = inner.cell.fail(now, error.clone(), random(), revision);
        let again = now + wait;
        if order.deadline.waited(again) {
            break (Err((error, true)), revision);
        }
        inner.clock.sleep_until(again).await;
    };
    let took = inner.clock.now().since(started);
    if let Err((error, _)) = &result {
        inner.observer.tell(&Event::Failed { name: inner.name.clone(), error: error.clone(), attempts, took });
    }
    guard.land(result, revision, attempts, took);
}

/// Clears the slot whatever happens to the flight: landing, panic, abort.
struct Landing {
    inner: Arc<Inner>,
    id: u64,
    flight: Arc<Flight>,
    landed: bool,
}

impl Landing {
    fn land(&mut self, result: Result<Token, (Error, bool)>, revision: u64, attempts: u32, took: Duration) {
        self.landed = true;
        let inner = &self.inner;
        let (landed, next) = inner.cell.land(self.id, inner.clock.now(), result, random(), revision, Flight::new);
        if let Some(order) = next {
            inner.launch(order);
        }
        let outcome = match landed {
            Landed::Token(served, replaced) => {
                inner.mints.fetch_add(1, Ordering::Relaxed);
                // Those who wait come first; whoever watches can be told afterwards.
                self.flight.end(Outcome::Token(served.clone()));
                let new = inner.arrived(&served, replaced, attempts, took);
                inner.happened(&Happened::Landed(&Outcome::Token(served), new));
                return;
            }
            Landed::Failed(error) => Outcome::Failed(error, inner.holds_usable()),
        };
        self.flight.end(outcome.clone());
        inner.happened(&Happened::Landed(&outcome, false));
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        if !self.landed {
            self.inner.spawner.lost();
            self.inner.cell.lost(self.id, self.inner.clock.now());
            self.flight.end(Outcome::Lost);
            self.inner.happened(&Happened::Landed(&Outcome::Lost, false));
        }
    }
}

/// What the registry that a manager is in must know. Told when it is done, and under no lock.
#[cfg_attr(not(feature = "thread"), allow(dead_code, reason = "registries have a thread"))]
pub(crate) enum Happened<'a> {
    /// A flight has ended; whether it brought a token that was not there before.
    Landed(&'a Outcome, bool),
    /// The token was rejected, and is handed out no more.
    Rejected,
}

/// Who is told.
pub(crate) type Told = Arc<dyn Fn(&Happened<'_>) + Send + Sync>;

/// Refreshes without callers until the last clone of the manager is gone.
pub(crate) fn keep_fresh(inner: &Arc<Inner>) {
    let pid = crate::cell::pid();
    if inner.kept_fresh.swap(pid, Ordering::AcqRel) == pid {
        return;
    }
    // However the task ends (its runtime is shut down), the next call starts another.
    let keeper = Keeper { manager: Arc::downgrade(inner), pid, elsewhere: inner.spawner.is_elsewhere() };
    let weak = Arc::downgrade(inner);
    let clock = inner.clock.clone();
    let mut changes = inner.current.subscribe();
    inner.spawner.spawn(Box::pin(async move {
        let _keeper = keeper;
        let mut pace = Pace::new(clock.now());
        loop {
            let Some(inner) = weak.upgrade() else { return };
            let now = clock.now();
            if let Some(order) = pace.order(&inner, now) {
                let flight = order.handle.clone();
                inner.launch(order);
                drop(inner);
                let outcome = flight.crowd.wait().await;
                pace.landed(&outcome, clock.now());
                continue;
            }
            let next = pace.next(&inner, now);
            drop(inner);
            let pause = next.since(now).clamp(SHORTEST_PAUSE, crate::time::SLICE);
            let mut timer = pin!(clock.sleep(pause));
            let mut gone = pin!(changes.changed());
            std::future::poll_fn(|context| {
                if timer.as_mut().poll(context).is_ready() {
                    return Poll::Ready(());
                }
                gone.as_mut().poll(context).map(|_| ())
            })
            .await;
        }
    }));
}

/// The task ends while the manager lives: its runtime was shut down. The background thread takes over.
struct Keeper {
    manager: Weak<Inner>,
    pid: u32,
    /// The task runs where somebody else may end it.
    elsewhere: bool,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let Some(inner) = self.manager.upgrade() else { return };
        let _ = inner.kept_fresh.compare_exchange(self.pid, 0, Ordering::AcqRel, Ordering::Acquire);
        if self.elsewhere {
            inner.spawner.lost();
            keep_fresh(&inner);
        }
    }
}

/// Where flights run.
#[derive(Clone, Default)]
pub(crate) struct Spawner {
    given: Option<Given>,
    /// The given place has dropped a flight: it is shut down, and the background thread steps in.
    dead: Arc<AtomicBool>,
    /// The process it was given in: a forked child has none of its threads.
    #[cfg(feature = "thread")]
    pid: u32,
}

#[derive(Clone)]
enum Given {
    #[cfg(feature = "thread")]
    Runtime(tokio::runtime::Handle),
    Function(Arc<dyn Fn(BoxFuture<'static, ()>) + Send + Sync>),
}

impl Spawner {
    #[cfg(feature = "thread")]
    pub(crate) fn runtime(handle: tokio::runtime::Handle) -> Self {
        Self { given: Some(Given::Runtime(handle)), dead: Arc::default(), pid: crate::cell::pid() }
    }

    pub(crate) fn given(spawn: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static) -> Self {
        Self { given: Some(Given::Function(Arc::new(spawn))), ..Self::default() }
    }

    #[cfg(not(feature = "thread"))]
    pub(crate) fn is_given(&self) -> bool {
        self.given.is_some()
    }

    /// Whether flights run where somebody else may hold them up. Who gives a function of his own sees to that himself.
    #[cfg(feature = "thread")]
    fn is_watched(&self) -> bool {
        !matches!(self.given, Some(Given::Function(_)))
    }

    #[cfg(feature = "thread")]
    fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Acquire)
            || (matches!(self.given, Some(Given::Runtime(_))) && self.pid != crate::cell::pid())
    }

    /// Whether what is spawned goes to a given place, and another would step in.
    fn is_elsewhere(&self) -> bool {
        #[cfg(feature = "thread")]
        return self.given.is_some() && !self.is_dead();
        #[cfg(not(feature = "thread"))]
        false
    }

    /// The given place does not run what it is given: from now on another steps in.
    pub(crate) fn lost(&self) {
        self.dead.store(true, Ordering::Release);
    }

    pub(crate) fn spawn(&self, future: BoxFuture<'static, ()>) {
        match &self.given {
            #[cfg(feature = "thread")]
            Some(_) if self.is_dead() => spawn_on_thread(future),
            #[cfg(feature = "thread")]
            Some(Given::Runtime(handle)) => drop(handle.spawn(future)),
            Some(Given::Function(spawn)) => spawn(future),
            #[cfg(feature = "thread")]
            None => spawn_on_thread(future),
            #[cfg(not(feature = "thread"))]
            None => drop(future),
        }
    }
}

#[cfg(feature = "thread")]
fn spawn_on_thread(future: BoxFuture<'static, ()>) {
    // If no thread can be had the future is dropped: that makes the flight a lost one, which its waiters see.
    if let Err(error) = crate::background::spawn(future) {
        tracing::error!(target: "unexpired", %error, "cannot start the background thread");
    }
}

/// What a panic of a source counts as.
pub(crate) fn panicked() -> MintError {
    MintError::new(ErrorKind::Unavailable, "the source panicked").remedy("this is a defect of the source: report it")
}

/// The output of a future made by `make`; `None` if making or polling it panics.
pub(crate) async fn caught<F: Future>(make: impl FnOnce() -> F) -> Option<F::Output> {
    let mut future = pin!(catch_unwind(AssertUnwindSafe(make)).ok()?);
    std::future::poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// A number in 0..1. It spreads waits and guards no secret, so the standard library's keys are random enough.
pub(crate) fn random() -> f64 {
    (RandomState::new().hash_one(0_u8) >> 11) as f64 / (1_u64 << 53) as f64
}

const MOST_ATTEMPTS: u32 = 3;
/// A flight that did not land within its time and this is given up.
#[cfg(feature = "thread")]
const GRACE: Duration = Duration::from_secs(1);
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
