//! A clock that moves only when told to.

use crate::{BoxFuture, Clock, Timestamp};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A clock for tests: it stands still until it is told to move. Clones are the same clock.
///
/// ```
/// use std::time::Duration;
/// use unexpired_core::{Clock, TestClock};
///
/// let clock = TestClock::new();
/// let start = clock.now();
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(clock.now().since(start), Duration::from_secs(5));
///
/// clock.step_wall(-3600);
/// assert!(clock.now().system_time() < start.system_time());
/// assert_eq!(clock.now().since(start), Duration::from_secs(5));
/// ```
#[derive(Clone)]
pub struct TestClock(Arc<Mutex<State>>);

struct State {
    boot: i64,
    wall: i64,
    /// How long the machine was suspended in all: timers do not count it.
    suspended: i64,
    sleepers: Vec<(u64, Waker)>,
    next_sleeper: u64,
}

impl TestClock {
    /// A clock that stands at 2026-01-01T00:00:00Z, 1,000 s after boot.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            boot: 1_000 * SECOND,
            wall: 1_767_225_600 * SECOND,
            suspended: 0,
            sleepers: Vec::new(),
            next_sleeper: 0,
        })))
    }

    /// Lets time pass: both clocks move, and sleepers whose time has come wake.
    pub fn advance(&self, by: Duration) {
        let nanos = crate::time::to_nanos(by);
        self.change(|state| {
            state.boot = state.boot.saturating_add(nanos);
            state.wall = state.wall.saturating_add(nanos);
        });
    }

    /// Suspends the machine: both clocks move, timers do not.
    pub fn suspend(&self, by: Duration) {
        let nanos = crate::time::to_nanos(by);
        self.change(|state| {
            state.boot = state.boot.saturating_add(nanos);
            state.wall = state.wall.saturating_add(nanos);
            state.suspended = state.suspended.saturating_add(nanos);
        });
    }

    /// Sets the wall clock forward or back by `seconds`; the boot clock stays.
    pub fn step_wall(&self, seconds: i64) {
        self.change(|state| state.wall = state.wall.saturating_add(seconds.saturating_mul(SECOND)));
    }

    /// How many sleeps are going on.
    pub fn sleepers(&self) -> usize {
        self.lock().sleepers.len()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let wakers = {
            let mut state = self.lock();
            change(&mut state);
            std::mem::take(&mut state.sleepers)
        };
        for (_, waker) in wakers {
            waker.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for TestClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TestClock({:?})", self.now())
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let state = self.lock();
        Timestamp::from_nanos(state.boot, state.wall)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut state = self.lock();
        state.next_sleeper += 1;
        let until = state.boot.saturating_sub(state.suspended).saturating_add(crate::time::to_nanos(duration));
        Box::pin(Sleep { clock: self.clone(), id: state.next_sleeper, until })
    }
}

struct Sleep {
    clock: TestClock,
    id: u64,
    until: i64,
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.clock.lock();
        state.sleepers.retain(|(id, _)| *id != self.id);
        if state.boot.saturating_sub(state.suspended) >= self.until {
            return Poll::Ready(());
        }
        state.sleepers.push((self.id, context.waker().clone()));
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let id = self.id;
        self.clock.lock().sleepers.retain(|(sleeper, _)| *sleeper != id);
    }
}

const SECOND: i64 = 1_000_000_000;
