//! Several futures in one task that wake each other, without going through the runtime: a task that wakes itself is queued again, and another
//! thread is called to help with it, for every piece that passes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// A waker for what is polled together. While that happens it asks for another turn; at any other time it wakes the task.
pub(crate) struct Nudge {
    inner: Arc<Inner>,
    waker: Waker,
    /// At the last poll nobody had anything to do.
    stalled: AtomicBool,
}

struct Inner {
    polling: AtomicBool,
    again: AtomicBool,
    task: Mutex<Waker>,
}

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // The order of the two, and that of the poller's, is what loses no call: either it is seen there or here.
        self.again.store(true, Ordering::SeqCst);
        if !self.polling.load(Ordering::SeqCst) {
            let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
            task.wake();
        }
    }
}

impl Nudge {
    pub(crate) fn new() -> Self {
        let inner = Arc::new(Inner {
            polling: AtomicBool::new(false),
            again: AtomicBool::new(false),
            task: Mutex::new(Waker::noop().clone()),
        });
        Self { waker: Waker::from(inner.clone()), inner, stalled: AtomicBool::new(false) }
    }

    /// Nobody waits any more: calls wake no task until the next poll.
    pub(crate) fn rest(&self) {
        self.inner.task.lock().unwrap_or_else(PoisonError::into_inner).clone_from(Waker::noop());
    }

    /// Does what calls somebody, when everybody is polled right afterwards: called by name, the task would be queued once more for nothing.
    pub(crate) fn quietly<T>(&self, act: impl FnOnce() -> T) -> T {
        self.inner.polling.store(true, Ordering::SeqCst);
        let outcome = act();
        self.inner.polling.store(false, Ordering::SeqCst);
        outcome
    }

    /// Polls until something is ready or nobody has anything to do. After the latter nobody is asked again before somebody has called: whoever asks
    /// twice, as a server does for the next piece of a body, must ask for the same.
    pub(crate) fn poll<T>(
        &self,
        context: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let inner = &*self.inner;
        {
            let mut task = inner.task.lock().unwrap_or_else(PoisonError::into_inner);
            if !task.will_wake(context.waker()) {
                task.clone_from(context.waker());
            }
        }
        if self.stalled.load(Ordering::Relaxed) && !inner.again.load(Ordering::SeqCst) {
            return Poll::Pending;
        }
        self.stalled.store(false, Ordering::Relaxed);
        let mut inside = Context::from_waker(&self.waker);
        for _ in 0..MOST_TURNS {
            inner.polling.store(true, Ordering::SeqCst);
            inner.again.store(false, Ordering::SeqCst);
            let outcome = poll(&mut inside);
            inner.polling.store(false, Ordering::SeqCst);
            if outcome.is_ready() {
                return outcome;
            }
            if !inner.again.load(Ordering::SeqCst) {
                self.stalled.store(true, Ordering::Relaxed);
                return outcome;
            }
        }
        // Others have their turn.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

const MOST_TURNS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_call_from_inside_is_another_turn_and_one_from_outside_wakes_the_task() {
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(count.clone());
        let mut context = Context::from_waker(&waker);
        let nudge = Nudge::new();
        let (mut turns, mut kept) = (0, None);
        let outcome = nudge.poll(&mut context, |inside| {
            turns += 1;
            kept = Some(inside.waker().clone());
            if turns < 3 {
                inside.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        assert!(outcome.is_pending() && turns == 3);
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        kept.unwrap().wake();
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn whoever_has_nothing_to_do_is_not_asked_again_before_a_call() {
        let nudge = Nudge::new();
        let mut context = Context::from_waker(Waker::noop());
        let (mut polls, mut kept) = (0, None);
        let mut ask = |ready: bool, kept: &mut Option<Waker>| {
            let outcome = nudge.poll(&mut context, |inside| {
                polls += 1;
                *kept = Some(inside.waker().clone());
                if ready { Poll::Ready(()) } else { Poll::Pending }
            });
            (outcome.is_ready(), polls)
        };
        assert_eq!(ask(false, &mut kept), (false, 1));
        assert_eq!(ask(true, &mut kept), (false, 1));
        kept.take().unwrap().wake();
        assert_eq!(ask(true, &mut kept), (true, 2));
        assert_eq!(ask(false, &mut kept), (false, 3));
        nudge.quietly(|| kept.take().unwrap().wake());
        assert_eq!(ask(true, &mut kept), (true, 4));
    }

    #[test]
    fn no_call_of_another_thread_is_lost() {
        for _ in 0..2000 {
            let count = Arc::new(Count(AtomicUsize::new(0)));
            let waker = Waker::from(count.clone());
            let nudge = Nudge::new();
            let done = Arc::new(AtomicBool::new(false));
            let mut thread = None;
            let mut seen = false;
            let outcome = nudge.poll(&mut Context::from_waker(&waker), |inside| {
                if thread.is_none() {
                    let (waker, done) = (inside.waker().clone(), done.clone());
                    thread = Some(std::thread::spawn(move || {
                        done.store(true, Ordering::SeqCst);
                        waker.wake();
                    }));
                }
                seen = done.load(Ordering::SeqCst);
                Poll::<()>::Pending
            });
            thread.unwrap().join().unwrap();
            assert!(outcome.is_pending());
            assert!(seen || count.0.load(Ordering::SeqCst) > 0, "neither a turn nor a call");
        }
    }
}
