//! When the source is asked for a token that nobody asks for: what [`TokenManager::keep_fresh`](crate::TokenManager::keep_fresh) and a registry do.

use crate::Timestamp;
use crate::flight::{Flight, Outcome};
use crate::manager::Inner;
use crate::slot::Order;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Follows the slot's own waits, and after refusals asks less and less often, down to every 15 minutes.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    refusals: u32,
    not_before: Timestamp,
    /// The source's revision when it was asked last.
    asked_at: u64,
    /// The same, if it refused.
    refused_at: Option<u64>,
    /// How many tokens had been minted when it was looked at last.
    mints: u64,
}

impl Pace {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { refusals: 0, not_before: now, asked_at: 0, refused_at: None, mints: 0 }
    }

    /// The flight that is to be launched now, if one is.
    pub(crate) fn order(&mut self, inner: &Inner, now: Timestamp) -> Option<Order<Arc<Flight>>> {
        let mints = inner.mints.load(Ordering::Relaxed);
        if self.mints != mints {
            // Somebody's call brought a token: refusals are over.
            *self = Self { mints, ..Self::new(now) };
        }
        if self.refused_at.is_some_and(|revision| revision != inner.revision()) {
            // The credential was replaced: what was refused before says nothing any more.
            *self = Self { mints, ..Self::new(now) };
            inner.cell.forget_refusal(now);
        }
        let order = if self.not_before.waited(now) { inner.cell.refresh(now, Flight::new) } else { None };
        if order.is_some() {
            self.asked_at = inner.revision();
        }
        order
    }

    /// A flight has ended.
    pub(crate) fn landed(&mut self, outcome: &Outcome, now: Timestamp) {
        match outcome {
            // Errors that nobody remembers count as refusals here, or this would be a loop.
            Outcome::Failed(error, _) if !error.kind().is_transient() => {
                let pause = REFUSAL_FIRST.saturating_mul(2_u32.saturating_pow(self.refusals.min(16)));
                self.refusals = self.refusals.saturating_add(1);
                self.not_before = now + pause.min(REFUSAL_LONGEST);
                self.refused_at = Some(self.asked_at);
            }
            Outcome::Token(_) => (self.refusals, self.refused_at) = (0, None),
            Outcome::Failed(..) => {}
            Outcome::Lost => self.not_before = now + PAUSE_AFTER_LOSS,
        }
    }

    /// When [`order`](Self::order) is worth calling again.
    pub(crate) fn next(&self, inner: &Inner, now: Timestamp) -> Timestamp {
        inner.cell.read(|slot| slot.next_refresh(now)).later(self.not_before)
    }

    /// Whether the source refused, so that a change of its credential is worth looking for.
    #[cfg(feature = "thread")]
    pub(crate) fn refused(&self) -> bool {
        self.refused_at.is_some()
    }
}

const REFUSAL_FIRST: Duration = Duration::from_secs(5);
const REFUSAL_LONGEST: Duration = Duration::from_secs(15 * 60);
const PAUSE_AFTER_LOSS: Duration = Duration::from_secs(1);
