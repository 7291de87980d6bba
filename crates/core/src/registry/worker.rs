//! The one task that keeps all tokens of a registry fresh: it sleeps until the next one is due, starts the mints that are, and sleeps again.

use super::{Shared, due};
use crate::Timestamp;
use crate::time::SLICE;
use std::future::Future as _;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::Poll;

/// Starts it. It ends when the registry is gone.
pub(super) fn start(shared: &Arc<Shared>) {
    // However the task ends (its runtime is shut down), the next call starts another.
    let worker = Worker { shared: Arc::downgrade(shared), done: false };
    let wake = shared.wake.clone();
    let clock = shared.clock.clone();
    shared.spawner.spawn(Box::pin(async move {
        let mut worker = worker;
        loop {
            let Some(shared) = worker.shared.upgrade() else {
                worker.done = true;
                return;
            };
            let next = shared.turn();
            drop(shared);
            // The turn itself may have taken a while.
            let mut timer = pin!(clock.sleep(next.since(clock.now()).min(SLICE)));
            let mut woken = pin!(wake.notified());
            std::future::poll_fn(|context| {
                if timer.as_mut().poll(context).is_ready() {
                    return Poll::Ready(());
                }
                woken.as_mut().poll(context)
            })
            .await;
        }
    }));
}

struct Worker {
    shared: Weak<Shared>,
    done: bool,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.upgrade().filter(|_| !self.done) {
            shared.spawner.lost();
            shared.working.store(false, Ordering::Release);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

impl Shared {
    /// Starts what is due and has room. When to look again at the latest.
    fn turn(self: &Arc<Self>) -> Timestamp {
        let now = self.clock.now();
        let started: Vec<_> = {
            let mut guard = self.lock();
            let state = &mut *guard;
            let offset = wall_offset(now);
            if offset.abs_diff(state.wall_offset) > STEP {
                // The wall clock was set: every token may be due now that was not.
                for (id, entry) in &state.entries {
                    state.schedule.set(*id, entry.due(now, false));
                }
            }
            state.wall_offset = offset;
            let ids = state.schedule.start(now.boot_nanos());
            let entry = |id| state.entries.get(&id).map(|entry| (id, entry.manager.clone(), entry.pace));
            ids.into_iter().filter_map(entry).collect()
        };
        // The source may be asked for its revision, so not under the lock.
        let mut orders = Vec::with_capacity(started.len());
        let mut looked = Vec::with_capacity(started.len());
        for (id, manager, mut pace) in started {
            let order = pace.order(&manager.0, now);
            looked.push((id, pace, order.is_some(), due(&pace, &manager, now, true)));
            orders.extend(order.map(|order| (manager, order)));
        }
        let next = {
            let mut guard = self.lock();
            let state = &mut *guard;
            for (id, pace, launched, due) in looked {
                let Some(entry) = state.entries.get_mut(&id) else { continue };
                entry.pace = pace;
                if !launched {
                    state.schedule.ended(id, now.boot_nanos());
                }
                state.schedule.set(id, due);
            }
            state.schedule.next()
        };
        // What they bring is told no earlier than this.
        for (manager, order) in orders {
            manager.0.launch(order);
        }
        Timestamp::from_nanos(next, now.wall_nanos())
    }
}

/// Wall clock minus boot clock, in nanoseconds.
pub(super) fn wall_offset(now: Timestamp) -> i64 {
    now.wall_nanos().saturating_sub(now.boot_nanos())
}

/// From how far on the wall clock counts as set: 1 s. It drifts, and is corrected in small steps.
const STEP: u64 = 1_000_000_000;
