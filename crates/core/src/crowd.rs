//! A crowd that waits for one end. Those who have been woken wake others, each from its own thread: a runtime takes a task from one of its own
//! workers at a fraction of what it costs from outside, and with ten thousand the difference is most of the wait. Nobody depends on it: who
//! brings the end goes on until all are woken, so a runtime that is blocked holds up only its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

/// The end, and those who wait for it.
pub(crate) struct Crowd<T> {
    end: OnceLock<T>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    places: Vec<Option<Waker>>,
    /// Places whose holder has gone.
    vacant: Vec<usize>,
}

impl<T: Clone> Crowd<T> {
    pub(crate) fn new() -> Self {
        Self { end: OnceLock::new(), waiting: Mutex::default() }
    }

    /// The end, if it has come.
    pub(crate) fn end(&self) -> Option<&T> {
        self.end.get()
    }

    /// Brings the end to everyone who waits; the first counts.
    pub(crate) fn bring(&self, end: T) {
        if self.end.set(end).is_ok() {
            while self.wake(BY_BRINGER) {}
        }
    }

    /// The end, once it has come.
    pub(crate) fn wait(&self) -> Wait<'_, T> {
        Wait { crowd: self, place: None }
    }

    /// Wakes up to `most` of those who wait; whether there may be more.
    fn wake(&self, most: usize) -> bool {
        let woken = {
            let mut waiting = self.lock();
            let from = waiting.places.len().saturating_sub(most);
            waiting.places.split_off(from)
        };
        let more = woken.len() == most;
        for waker in woken.into_iter().flatten() {
            // A foreign waker that panics must not take others with it, nor the flight.
            drop(catch_unwind(AssertUnwindSafe(|| waker.wake())));
        }
        more
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No code of anybody else runs under the lock: what is there stays whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Crowd::wait`].
pub(crate) struct Wait<'a, T> {
    crowd: &'a Crowd<T>,
    place: Option<usize>,
}

impl<T: Clone> Future for Wait<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if self.crowd.end.get().is_none() {
            // Wakers are cloned and dropped with the lock open: they are foreign code, which may come back here.
            let waker = context.waker().clone();
            let mut waiting = self.crowd.lock();
            // Looked at under the lock: who brings the end takes it afterwards.
            if self.crowd.end.get().is_none() {
                let (place, before) = waiting.keep(self.place, waker);
                drop(waiting);
                drop(before);
                self.place = Some(place);
                return Poll::Pending;
            }
        }
        let Some(end) = self.crowd.end.get() else { return Poll::Pending };
        let end = end.clone();
        self.crowd.wake(BY_WOKEN);
        Poll::Ready(end)
    }
}

impl Waiting {
    /// Keeps a waker at the place it has, or at a new one; and what was there before.
    fn keep(&mut self, place: Option<usize>, waker: Waker) -> (usize, Option<Waker>) {
        let place = place.or_else(|| self.vacant.pop());
        if let Some(place) = place
            && let Some(kept) = self.places.get_mut(place)
        {
            return (place, kept.replace(waker));
        }
        self.places.push(Some(waker));
        (self.places.len().saturating_sub(1), None)
    }

    fn leave(&mut self, place: usize) -> Option<Waker> {
        let left = self.places.get_mut(place)?.take();
        self.vacant.push(place);
        left
    }
}

impl<T> Drop for Wait<'_, T> {
    fn drop(&mut self) {
        // After the end the places are taken by those who wake, and thousands would queue up here for nothing.
        if let Some(place) = self.place
            && self.crowd.end.get().is_none()
        {
            let left = self.crowd.waiting.lock().unwrap_or_else(PoisonError::into_inner).leave(place);
            drop(left);
        }
    }
}

/// How many the bringer wakes at a time.
const BY_BRINGER: usize = 32;
/// How many everyone who has been woken wakes in turn.
const BY_WOKEN: usize = 64;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

    use super::*;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;
    use std::thread;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn poll<T: Clone>(wait: Pin<&mut Wait<'_, T>>, count: &Arc<Count>) -> Poll<T> {
        wait.poll(&mut Context::from_waker(&count.clone().into()))
    }

    #[test]
    fn everyone_is_woken_though_none_of_the_woken_runs() {
        let crowd = Crowd::new();
        let count = Arc::new(Count::default());
        let mut waits: Vec<_> = (0..1000).map(|_| Box::pin(crowd.wait())).collect();
        assert!(waits.iter_mut().all(|wait| poll(wait.as_mut(), &count).is_pending()));
        crowd.bring(7);
        assert_eq!(count.0.load(Ordering::Relaxed), 1000);
        assert!(waits.iter_mut().all(|wait| poll(wait.as_mut(), &count) == Poll::Ready(7)));
        assert_eq!(count.0.load(Ordering::Relaxed), 1000, "nobody is woken twice");
    }

    #[test]
    fn a_waker_that_panics_takes_nobody_with_it() {
        struct Panics;
        impl Wake for Panics {
            fn wake(self: Arc<Self>) {
                panic!("a waker of somebody else");
            }
        }
        let crowd = Crowd::new();
        let count = Arc::new(Count::default());
        let (mut before, mut bad, mut after) = (pin!(crowd.wait()), pin!(crowd.wait()), pin!(crowd.wait()));
        assert!(poll(before.as_mut(), &count).is_pending());
        assert!(bad.as_mut().poll(&mut Context::from_waker(&Arc::new(Panics).into())).is_pending());
        assert!(poll(after.as_mut(), &count).is_pending());
        crowd.bring(());
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
    }

    #[test]
    fn who_comes_late_does_not_wait_and_the_first_end_counts() {
        let crowd = Crowd::new();
        crowd.bring(1);
        crowd.bring(2);
        let count = Arc::new(Count::default());
        assert_eq!(poll(pin!(crowd.wait()), &count), Poll::Ready(1));
    }

    #[test]
    fn the_last_waker_counts_and_a_place_that_was_left_is_used_again() {
        let crowd = Crowd::new();
        let (first, second) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let mut moved = pin!(crowd.wait());
        assert!(poll(moved.as_mut(), &first).is_pending());
        assert!(poll(moved.as_mut(), &second).is_pending());
        for _ in 0..100 {
            let mut gone = Box::pin(crowd.wait());
            assert!(poll(gone.as_mut(), &first).is_pending());
        }
        assert_eq!(crowd.lock().places.len(), 2, "a crowd that comes and goes takes no more memory");
        crowd.bring(());
        assert_eq!((first.0.load(Ordering::Relaxed), second.0.load(Ordering::Relaxed)), (0, 1));
    }

    #[test]
    fn nobody_is_forgotten_who_comes_while_the_end_is_brought() {
        for round in 0..500 {
            let crowd = Arc::new(Crowd::new());
            let threads: Vec<_> = (0..6)
                .map(|_| {
                    let crowd = crowd.clone();
                    // Parked until it is woken: a lost wake-up is a test that hangs.
                    thread::spawn(move || crate::block::block_on(crowd.wait()))
                })
                .collect();
            if round % 2 == 0 {
                thread::yield_now();
            }
            crowd.bring(round);
            assert!(threads.into_iter().all(|thread| thread.join().unwrap() == round));
        }
    }
}
