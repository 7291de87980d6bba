//! The slot, shared: a lock around the state machine, and beside it the token that is handed out without the lock.

use crate::slot::{Ask, Decision, Landed, Order, Rejection, Slot};
use crate::{Digest, Error, Secret, Timestamp, Token};
use std::sync::Arc;
use std::time::Duration;

/// A token that may be handed out until a moment, without asking the slot.
pub(crate) struct Hot {
    pub(crate) token: Token,
    until: Timestamp,
}

/// One manager's state. All its methods are short; none waits for anything but a lock that is held for microseconds.
pub(crate) struct SlotCell<F: Clone> {
    hot: shared::Hot,
    slot: shared::Lock<Slot<F>>,
}

impl<F: Clone> SlotCell<F> {
    pub(crate) fn new() -> Self {
        Self { hot: shared::Hot::empty(), slot: shared::Lock::new(Slot::new(None)) }
    }

    /// The hit path: `read` sees the token if it may be handed out at `now`.
    #[inline]
    pub(crate) fn hit<T>(&self, now: Timestamp, read: impl FnOnce(&Token) -> T) -> Option<T> {
        self.hot.with(|hot| hot.filter(|hot| !hot.until.reached(now)).map(|hot| read(&hot.token)))
    }

    pub(crate) fn ask(&self, now: Timestamp, ask: Ask, handle: impl FnOnce() -> F) -> Decision<F> {
        self.change(now, |slot| slot.ask(now, ask, handle))
    }

    pub(crate) fn refresh(&self, now: Timestamp, handle: impl FnOnce() -> F) -> Option<Order<F>> {
        self.change(now, |slot| slot.refresh(now, handle))
    }

    pub(crate) fn land(
        &self,
        id: u64,
        now: Timestamp,
        result: Result<Token, (Error, bool)>,
        jitter: f64,
        revision: u64,
        next: impl FnOnce() -> F,
    ) -> (Landed, Option<Order<F>>) {
        self.change(now, |slot| {
            let (landed, start) = slot.land(id, now, result, jitter, revision);
            let order = if start { slot.start_next(now, next) } else { None };
            (landed, order)
        })
    }

    pub(crate) fn lost(&self, id: u64, now: Timestamp) {
        self.change(now, |slot| slot.lost(id));
    }

    pub(crate) fn fail(&self, now: Timestamp, error: Error, jitter: f64, revision: u64) -> Duration {
        self.change(now, |slot| slot.fail(now, error, jitter, revision))
    }

    pub(crate) fn reject(&self, digest: Digest, host: &str, claims: Option<Secret>, now: Timestamp) -> Rejection {
        self.change(now, |slot| slot.reject(digest, host, claims, now))
    }

    /// `none_left` is called under the lock if no host is remembered any more.
    pub(crate) fn accepted(&self, digest: Digest, host: &str, now: Timestamp, none_left: impl FnOnce()) {
        self.change(now, |slot| {
            slot.accepted(digest, host);
            if !slot.remembers_hosts() {
                none_left();
            }
        });
    }

    pub(crate) fn forget_refusal(&self, now: Timestamp) {
        self.change(now, Slot::forget_refusal);
    }

    /// Looks at the slot.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Slot<F>) -> T) -> T {
        self.slot.with(|| self.seed(), |slot| read(slot))
    }

    /// Changes the slot, and publishes what may be handed out from now on before the lock is let go: no caller can see a token that the
    /// slot has dropped already.
    fn change<T>(&self, now: Timestamp, change: impl FnOnce(&mut Slot<F>) -> T) -> T {
        self.slot.with(
            || self.seed(),
            |slot| {
                let result = change(slot);
                let hot = slot.hot(now);
                let same = self.hot.with(|old| match (old, &hot) {
                    (None, None) => true,
                    (Some(old), Some((token, until))) => old.token.same_as(token) && old.until == *until,
                    _ => false,
                });
                if !same {
                    self.hot.store(hot.map(|(token, until)| Arc::new(Hot { token, until })));
                }
                result
            },
        )
    }

    /// What a forked child starts with: the token, and no flight, since threads do not follow.
    fn seed(&self) -> Slot<F> {
        Slot::new(self.hot.with(|hot| hot.map(|hot| hot.token.clone())))
    }
}

/// The process we are in: a fork changes it.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn pid() -> u32 {
    std::process::id()
}

#[cfg(target_family = "wasm")]
pub(crate) fn pid() -> u32 {
    1
}

#[cfg(not(unexpired_model))]
mod shared {
    use super::pid;
    use arc_swap::{ArcSwap, ArcSwapOption};
    use std::sync::{Arc, Mutex, PoisonError};

    pub(super) struct Hot(ArcSwapOption<super::Hot>);

    impl Hot {
        pub(super) fn empty() -> Self {
            Self(ArcSwapOption::const_empty())
        }

        #[inline]
        pub(super) fn with<T>(&self, read: impl FnOnce(Option<&super::Hot>) -> T) -> T {
            read(self.0.load().as_deref())
        }

        pub(super) fn store(&self, hot: Option<Arc<super::Hot>>) {
            self.0.store(hot);
        }
    }

    /// A lock that a forked child replaces: it might have been held at that moment by a thread that did not follow.
    pub(super) struct Lock<T>(ArcSwap<Inner<T>>);

    struct Inner<T> {
        pid: u32,
        value: Mutex<T>,
    }

    impl<T> Lock<T> {
        pub(super) fn new(value: T) -> Self {
            Self(ArcSwap::from_pointee(Inner { pid: pid(), value: Mutex::new(value) }))
        }

        pub(super) fn with<R>(&self, seed: impl Fn() -> T, run: impl FnOnce(&mut T) -> R) -> R {
            let pid = pid();
            let inner = loop {
                let inner = self.0.load_full();
                if inner.pid == pid {
                    break inner;
                }
                self.0.compare_and_swap(&inner, Arc::new(Inner { pid, value: Mutex::new(seed()) }));
            };
            // The state machine does not panic half-way; if it ever did, its state would still be one that it had before.
            let mut value = inner.value.lock().unwrap_or_else(PoisonError::into_inner);
            run(&mut value)
        }
    }
}

/// The same two things on the model checker's primitives.
#[cfg(unexpired_model)]
mod shared {
    use loom::sync::Mutex;
    use std::sync::Arc;

    pub(super) struct Hot(Mutex<Option<Arc<super::Hot>>>);

    impl Hot {
        pub(super) fn empty() -> Self {
            Self(Mutex::new(None))
        }

        pub(super) fn with<T>(&self, read: impl FnOnce(Option<&super::Hot>) -> T) -> T {
            let hot = self.0.lock().unwrap().clone();
            read(hot.as_deref())
        }

        pub(super) fn store(&self, hot: Option<Arc<super::Hot>>) {
            *self.0.lock().unwrap() = hot;
        }
    }

    pub(super) struct Lock<T>(Mutex<T>);

    impl<T> Lock<T> {
        pub(super) fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        pub(super) fn with<R>(&self, _seed: impl Fn() -> T, run: impl FnOnce(&mut T) -> R) -> R {
            run(&mut self.0.lock().unwrap())
        }
    }
}
