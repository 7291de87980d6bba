//! What has changed, by number.

use super::Shared;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use tokio::sync::watch;

/// Follows a registry. Each change of it has a number, one more than the one before; what is told is the last change of each name.
///
/// Who is slow misses nothing: names that changed meanwhile are told once, with their last change. Only of names that were removed the
/// registry remembers no more than the last 4,096; see [`Revision::complete`].
#[derive(Debug)]
pub struct Revisions {
    shared: Weak<Shared>,
    numbers: watch::Receiver<u64>,
    seen: u64,
}

/// What has changed since the revision before.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Revision {
    /// The number: to go on from here after a restart of the follower, [`Registry::subscribe_from`](super::Registry::subscribe_from).
    pub number: u64,
    /// The last change of each name that changed, oldest first.
    pub changes: Vec<CredentialChange>,
    /// Whether nothing is left out. If not, names may have been removed that are not in the list: take the registry's names as they are now.
    pub complete: bool,
}

/// A change of one token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CredentialChange {
    /// The token's name.
    pub name: Arc<str>,
    /// The number of the change.
    pub revision: u64,
    /// What it was.
    pub what: What,
}

/// What happened to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum What {
    /// It was added. There is no token of it yet.
    Added,
    /// Another source took the place of the one of this name. The token before it is not handed out any more.
    Replaced,
    /// It was taken out.
    Removed,
    /// A new token is there.
    Refreshed,
    /// A resource refused the token; it is not handed out any more, and another is on its way.
    Rejected,
}

impl Revisions {
    pub(super) fn new(shared: Weak<Shared>, numbers: watch::Receiver<u64>, seen: u64) -> Self {
        Self { shared, numbers, seen }
    }

    /// Waits until something has changed since the last revision that was told; `None` when the registry is gone. Dropping the future loses
    /// nothing.
    pub async fn changed(&mut self) -> Option<Revision> {
        let seen = self.seen;
        self.numbers.wait_for(|number| *number > seen).await.ok()?;
        self.latest()
    }

    /// As [`changed`](Self::changed), without waiting: `None` if nothing has changed.
    pub fn latest(&mut self) -> Option<Revision> {
        let shared = self.shared.upgrade()?;
        let state = shared.lock();
        let revision = state.log.since(self.seen)?;
        self.seen = revision.number;
        Some(revision)
    }
}

/// The last change of each name.
#[derive(Default)]
pub(super) struct Log {
    number: u64,
    rows: BTreeMap<u64, (Arc<str>, What)>,
    /// The rows of names that were removed.
    removed: BTreeMap<u64, Arc<str>>,
    removed_at: HashMap<Arc<str>, u64>,
    /// The last removal that was forgotten.
    forgotten: u64,
}

impl Log {
    /// A change of a name that is there; `before` is its last one. Returns the number.
    pub(super) fn add(&mut self, name: &Arc<str>, before: Option<u64>, what: What) -> u64 {
        match before {
            Some(before) => drop(self.rows.remove(&before)),
            // It may have been removed before.
            None => {
                if let Some(before) = self.removed_at.remove(name) {
                    self.removed.remove(&before);
                    self.rows.remove(&before);
                }
            }
        }
        self.number = self.number.saturating_add(1);
        self.rows.insert(self.number, (name.clone(), what));
        self.number
    }

    /// A name is gone.
    pub(super) fn remove(&mut self, name: &Arc<str>, before: Option<u64>) -> u64 {
        let number = self.add(name, before, What::Removed);
        self.removed.insert(number, name.clone());
        self.removed_at.insert(name.clone(), number);
        if self.removed.len() > MOST_REMOVED
            && let Some((oldest, name)) = self.removed.pop_first()
        {
            self.removed_at.remove(&name);
            self.rows.remove(&oldest);
            self.forgotten = oldest;
        }
        number
    }

    fn since(&self, seen: u64) -> Option<Revision> {
        if self.number <= seen {
            return None;
        }
        let rows = self.rows.range(seen.saturating_add(1)..);
        let change = |(revision, (name, what)): (&u64, &(Arc<str>, What))| CredentialChange {
            name: name.clone(),
            revision: *revision,
            what: *what,
        };
        // Who begins at nothing has no name that could have been removed.
        let complete = seen == 0 || seen >= self.forgotten;
        Some(Revision { number: self.number, changes: rows.map(change).collect(), complete })
    }
}

const MOST_REMOVED: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn told(log: &Log, seen: u64) -> Vec<(u64, String, What)> {
        let changes = log.since(seen).map_or_else(Vec::new, |revision| revision.changes);
        changes.into_iter().map(|change| (change.revision, change.name.to_string(), change.what)).collect()
    }

    #[test]
    fn each_name_is_told_once_with_its_last_change() {
        let mut log = Log::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert!(log.since(0).is_none());
        let added = log.add(&a, None, What::Added);
        log.add(&b, None, What::Added);
        assert_eq!(told(&log, 1), [(2, "b".into(), What::Added)]);
        let refreshed = log.add(&a, Some(added), What::Refreshed);
        assert_eq!(told(&log, 0), [(2, "b".into(), What::Added), (3, "a".into(), What::Refreshed)]);
        log.remove(&a, Some(refreshed));
        assert_eq!(told(&log, 3), [(4, "a".into(), What::Removed)]);
        log.add(&a, None, What::Added);
        assert_eq!(told(&log, 2), [(5, "a".into(), What::Added)]);
        assert!(log.since(5).is_none());
    }

    #[test]
    fn who_has_missed_removals_that_are_forgotten_is_told_so() {
        let mut log = Log::default();
        for n in 0..5000 {
            let name: Arc<str> = format!("n{n}").into();
            let added = log.add(&name, None, What::Added);
            log.remove(&name, Some(added));
        }
        assert_eq!(log.rows.len(), MOST_REMOVED);
        assert!(!log.since(1).is_some_and(|revision| revision.complete));
        assert!(log.since(5000).is_some_and(|revision| revision.complete));
        assert!(log.since(0).is_some_and(|revision| revision.complete));
    }
}
