//! Which token is looked at when, and how many mints run at once. No clock, no lock, no I/O: moments are nanoseconds of the boot clock.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

/// One queue of moments for all, and two lanes: for the quick, and for those that were slow the last time.
pub(super) struct Schedule {
    most: usize,
    places: HashMap<u64, Place>,
    /// Holds an entry for each place that is due some time, and stale ones, which are known by their moment.
    queue: BinaryHeap<Reverse<(i64, u64)>>,
    waiting: VecDeque<u64>,
    waiting_slow: VecDeque<u64>,
    /// The quick mints in the order of their start, and stale entries.
    started: VecDeque<(i64, u64)>,
    quick: usize,
    slow: usize,
}

/// Where one token stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) lane: Lane,
    /// `i64::MAX` for never.
    pub(super) due: i64,
    was_slow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    Idle,
    /// It is due, and waits until fewer mints run.
    Waiting,
    /// A mint runs since then.
    Quick(i64),
    Slow(i64),
}

impl Schedule {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            places: HashMap::new(),
            queue: BinaryHeap::new(),
            waiting: VecDeque::new(),
            waiting_slow: VecDeque::new(),
            started: VecDeque::new(),
            quick: 0,
            slow: 0,
        }
    }

    /// A new token, due at once.
    pub(super) fn add(&mut self, id: u64, now: i64) {
        self.places.insert(id, Place { lane: Lane::Idle, due: now, was_slow: false });
        self.queue.push(Reverse((now, id)));
    }

    pub(super) fn remove(&mut self, id: u64) {
        if let Some(place) = self.places.remove(&id) {
            self.leave(place.lane);
        }
    }

    pub(super) fn place(&self, id: u64) -> Option<&Place> {
        self.places.get(&id)
    }

    /// The token is to be looked at then.
    pub(super) fn set(&mut self, id: u64, due: Option<i64>) {
        if let Some(place) = self.places.get_mut(&id) {
            let due = due.unwrap_or(i64::MAX);
            if place.due != due {
                place.due = due;
                if due != i64::MAX {
                    self.queue.push(Reverse((due, id)));
                }
            }
        }
    }

    /// The tokens whose mint may start now; each counts as running until [`ended`](Self::ended).
    pub(super) fn start(&mut self, now: i64) -> Vec<u64> {
        self.let_slow_ones_pass(now);
        while let Some(Reverse((due, id))) = self.queue.peek().copied().filter(|Reverse((due, _))| *due <= now) {
            self.queue.pop();
            let Some(place) = self.places.get_mut(&id).filter(|place| place.due == due) else { continue };
            place.due = i64::MAX;
            let lane = std::mem::replace(&mut place.lane, Lane::Waiting);
            if lane == Lane::Waiting {
                continue;
            }
            let queue = if place.was_slow { &mut self.waiting_slow } else { &mut self.waiting };
            queue.push_back(id);
            // A mint that is due to be looked at while it runs never landed.
            self.leave(lane);
        }
        let mut start = Vec::new();
        while self.quick < self.most {
            let Some(id) = self.waiting.pop_front() else { break };
            if self.enter(id, Lane::Quick(now)) {
                self.quick = self.quick.saturating_add(1);
                self.started.push_back((now, id));
                start.push(id);
            }
        }
        while self.slow < self.most {
            let Some(id) = self.waiting_slow.pop_front() else { break };
            if self.enter(id, Lane::Slow(now)) {
                self.slow = self.slow.saturating_add(1);
                start.push(id);
            }
        }
        start
    }

    /// The mint has ended, or there was none to be started.
    pub(super) fn ended(&mut self, id: u64, now: i64) {
        let Some(place) = self.places.get_mut(&id) else { return };
        let lane = place.lane;
        if let Lane::Quick(since) | Lane::Slow(since) = lane {
            place.was_slow = since.saturating_add(SLOW) <= now;
            place.lane = Lane::Idle;
            self.leave(lane);
        }
    }

    /// When [`start`](Self::start) is to be called again at the latest.
    pub(super) fn next(&self) -> i64 {
        let due = self.queue.peek().map_or(i64::MAX, |Reverse((due, _))| *due);
        match self.started.front() {
            Some((since, _)) if !self.waiting.is_empty() => due.min(since.saturating_add(SLOW)),
            _ => due,
        }
    }

    /// Mints that have run for long make room for others.
    fn let_slow_ones_pass(&mut self, now: i64) {
        while let Some((since, id)) = self.started.front().copied() {
            let place = self.places.get_mut(&id).filter(|place| place.lane == Lane::Quick(since));
            match place {
                None => {}
                Some(place) if since.saturating_add(SLOW) <= now => {
                    place.lane = Lane::Slow(since);
                    self.quick = self.quick.saturating_sub(1);
                    self.slow = self.slow.saturating_add(1);
                }
                Some(_) => return,
            }
            self.started.pop_front();
        }
    }

    /// Whether a token that waited is still there and may begin.
    fn enter(&mut self, id: u64, lane: Lane) -> bool {
        match self.places.get_mut(&id).filter(|place| place.lane == Lane::Waiting) {
            Some(place) => {
                place.lane = lane;
                true
            }
            None => false,
        }
    }

    fn leave(&mut self, lane: Lane) {
        match lane {
            Lane::Quick(_) => self.quick = self.quick.saturating_sub(1),
            Lane::Slow(_) => self.slow = self.slow.saturating_sub(1),
            Lane::Idle | Lane::Waiting => {}
        }
    }
}

/// A mint that has run for so long is slow: 2 s.
const SLOW: i64 = 2_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn schedule(most: usize, tokens: u64) -> Schedule {
        let mut schedule = Schedule::new(most);
        (1..=tokens).for_each(|id| schedule.add(id, 0));
        schedule
    }

    #[test]
    fn so_many_run_at_once_and_the_others_in_their_turn() {
        let mut schedule = schedule(2, 5);
        assert_eq!(schedule.start(0), [1, 2]);
        assert!(schedule.start(0).is_empty());
        schedule.ended(1, SECOND);
        schedule.set(1, Some(60 * SECOND));
        assert_eq!(schedule.start(SECOND), [3]);
        // One that was taken out makes room, and none is started that was taken out.
        schedule.remove(4);
        schedule.remove(2);
        assert_eq!(schedule.start(SECOND), [5]);
        schedule.ended(3, SECOND);
        schedule.ended(5, SECOND);
        assert_eq!(schedule.next(), 60 * SECOND);
        assert_eq!(schedule.start(60 * SECOND), [1]);
    }

    #[test]
    fn a_slow_mint_makes_room_and_waits_for_its_like_the_next_time() {
        let mut schedule = schedule(1, 3);
        assert_eq!(schedule.start(0), [1]);
        assert_eq!(schedule.next(), 2 * SECOND);
        assert_eq!(schedule.start(2 * SECOND), [2]);
        schedule.ended(2, 2 * SECOND);
        assert_eq!(schedule.start(2 * SECOND), [3]);
        schedule.ended(1, 20 * SECOND);
        schedule.ended(3, 20 * SECOND);
        for id in 1..=3 {
            schedule.set(id, Some(30 * SECOND));
        }
        // The third was slow too. The slow lane has room for one.
        assert_eq!(schedule.start(30 * SECOND), [2, 1]);
        schedule.ended(2, 30 * SECOND);
        assert!(schedule.start(31 * SECOND).is_empty());
        // It was quick this time: the next time it is one of the quick.
        schedule.ended(1, 31 * SECOND);
        assert_eq!(schedule.start(31 * SECOND), [3]);
        schedule.set(1, Some(40 * SECOND));
        assert_eq!(schedule.start(40 * SECOND), [1]);
    }

    #[test]
    fn a_mint_that_never_lands_is_begun_again() {
        let mut schedule = schedule(1, 1);
        assert_eq!(schedule.start(0), [1]);
        schedule.set(1, Some(21 * SECOND));
        assert!(schedule.start(20 * SECOND).is_empty());
        assert_eq!(schedule.start(21 * SECOND), [1]);
        assert_eq!((schedule.quick, schedule.slow), (1, 0));
    }

    #[test]
    fn only_the_last_moment_that_was_set_counts() {
        let mut schedule = schedule(8, 1);
        schedule.start(0);
        schedule.ended(1, 0);
        for due in [5, 3, 9, 3, 7] {
            schedule.set(1, Some(due * SECOND));
        }
        assert!(schedule.start(6 * SECOND).is_empty());
        assert_eq!(schedule.start(7 * SECOND), [1]);
        schedule.ended(1, 7 * SECOND);
        schedule.set(1, None);
        assert!(schedule.start(i64::MAX - 1).is_empty());
    }
}
