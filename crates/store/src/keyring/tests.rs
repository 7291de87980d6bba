//! Records in a keyring of the tests' own: one that takes short entries only, breaks off at any step, or fails.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

use super::*;
use crate::FileStore;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use unexpired_core::{
    Clock as _, Record, RefreshTokenRecord, StoreKey, SystemClock, Token, TokenRecord, TokenStore as _,
};

/// A keyring in memory. After `steps` changes it takes no more: as if its user had been killed.
#[derive(Debug)]
struct Fake {
    entries: Mutex<HashMap<String, String>>,
    steps: AtomicUsize,
    longest: usize,
}

impl Fake {
    fn new(longest: usize) -> Arc<Self> {
        Arc::new(Self { entries: Mutex::default(), steps: AtomicUsize::new(usize::MAX), longest })
    }

    fn step(&self) -> Result<(), KeyringError> {
        let left = self.steps.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |steps| steps.checked_sub(1));
        left.map(drop).map_err(|_| KeyringError::locked())
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.entries.lock().unwrap().keys().cloned().collect();
        names.sort();
        names
    }
}

impl Keyring for Fake {
    fn get(&self, service: &str, account: &str) -> Result<Option<Secret>, KeyringError> {
        let entries = self.entries.lock().unwrap();
        Ok(entries.get(&format!("{service}/{account}")).map(|text| Secret::new(text.as_str())))
    }

    fn set(&self, service: &str, account: &str, secret: &str) -> Result<(), KeyringError> {
        self.step()?;
        assert!(secret.len() <= self.longest, "{} bytes", secret.len());
        self.entries.lock().unwrap().insert(format!("{service}/{account}"), secret.to_owned());
        Ok(())
    }

    fn remove(&self, service: &str, account: &str) -> Result<bool, KeyringError> {
        self.step()?;
        Ok(self.entries.lock().unwrap().remove(&format!("{service}/{account}")).is_some())
    }

    fn check(&self) -> Result<(), KeyringError> {
        Ok(())
    }

    fn longest(&self) -> usize {
        self.longest
    }
}

fn key() -> StoreKey {
    StoreKey::of(&["oauth", "client-1"])
}

fn store(folder: &tempfile::TempDir, keyring: &Arc<Fake>) -> FileStore {
    FileStore::open(folder.path().join("state")).unwrap().records_in_keyring(keyring.clone())
}

fn put(store: &FileStore, token: &str) -> Result<(), StoreError> {
    let mut locked = store.lock_now(&key(), Duration::ZERO).unwrap().unwrap();
    locked.commit(&Record::RefreshToken(RefreshTokenRecord::new(Secret::new(token), "seed")))
}

fn held(store: &FileStore) -> Option<String> {
    store.load_now(&key()).unwrap().map(|record| match record {
        Record::RefreshToken(record) => record.token.expose().to_owned(),
        _ => panic!("another record"),
    })
}

/// The account of the record in the keyring: its locks are in a folder of the tests' own.
fn account(store: &FileStore) -> String {
    let of = unexpired_core::Digest::of(&store.path().to_string_lossy()).to_hex();
    format!("{}.{}", key().as_str(), &of[..16])
}

/// What a server has rotated exists nowhere else: neither way of changing the store may begin anew with a token that was used up.
#[test]
fn a_refresh_token_is_followed_from_files_into_the_keyring_and_not_forgotten_in_files() {
    let (folder, keyring) = (tempfile::tempdir().unwrap(), Fake::new(1 << 20));
    let files = FileStore::open(folder.path().join("state")).unwrap();
    put(&files, "rt-1").unwrap();
    let file = files.path().join(format!("{}.json", key().as_str()));
    // A writer that died before its renaming.
    std::fs::rename(&file, file.with_extension("tmp")).unwrap();
    let store = store(&folder, &keyring);
    let locked = store.lock_now(&key(), Duration::ZERO).unwrap().unwrap();
    assert!(matches!(locked.load().unwrap(), Some(Record::RefreshToken(record)) if record.token.expose() == "rt-1"));
    drop(locked);
    put(&store, "rt-2").unwrap();
    assert!(held(&store).as_deref() == Some("rt-2") && !file.exists());

    let error = files.load_now(&key()).unwrap_err().to_string();
    assert!(error.contains("is in the keyring") && error.contains(".in-keyring"), "{error}");
    std::fs::remove_file(file.with_extension("in-keyring")).unwrap();
    assert_eq!(held(&files), None);
}

/// Two that lock in different folders could redeem the same refresh token at once.
#[test]
fn who_locks_in_another_folder_has_other_records() {
    let (one, two, keyring) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), Fake::new(1 << 20));
    let (one, two) = (store(&one, &keyring), store(&two, &keyring));
    put(&one, "rt-1").unwrap();
    assert_eq!(held(&two), None);
}

#[tokio::test]
async fn records_are_in_the_keyring_and_locks_alone_in_files() {
    let (folder, keyring) = (tempfile::tempdir().unwrap(), Fake::new(1 << 20));
    let store = store(&folder, &keyring);
    assert_eq!(held(&store), None);
    put(&store, "rt-1").unwrap();
    put(&store, "rt-2").unwrap();
    assert_eq!(held(&store).as_deref(), Some("rt-2"));
    assert_eq!(keyring.names(), [format!("unexpired/{}", account(&store))]);

    let mut record = TokenRecord::default();
    record.token = Some(Token::builder("at-1", SystemClock.now()).expires_in(Duration::from_secs(60)).build().unwrap());
    let other = StoreKey::of(&["another"]);
    store.lock(&other).await.unwrap().commit(Record::Token(Box::new(record))).await.unwrap();
    let Some(Record::Token(found)) = store.load(&other).await.unwrap() else { panic!("a token's record") };
    assert_eq!(found.token.unwrap().secret(), "at-1");

    let files: Vec<_> = std::fs::read_dir(store.path()).unwrap().flatten().collect();
    // And a mark that the refresh token is not in a file.
    assert_eq!(files.len(), 3);
    for file in files {
        let path = file.path();
        let ending = path.extension().unwrap().to_str().unwrap();
        assert!(["lock", "in-keyring"].contains(&ending) && file.metadata().unwrap().len() == 0, "{path:?}");
    }
    assert!(store.lock_now(&key(), Duration::ZERO).unwrap().is_some());
}

#[test]
fn one_holder_at_a_time() {
    let (folder, keyring) = (tempfile::tempdir().unwrap(), Fake::new(1 << 20));
    let (one, two) = (store(&folder, &keyring), store(&folder, &keyring));
    let locked = one.lock_now(&key(), Duration::ZERO).unwrap().unwrap();
    assert!(two.lock_now(&key(), Duration::ZERO).unwrap().is_none());
    drop(locked);
    assert!(two.lock_now(&key(), Duration::ZERO).unwrap().is_some());
}

#[test]
fn long_records_are_kept_in_parts_and_no_part_is_left_behind() {
    let (folder, keyring) = (tempfile::tempdir().unwrap(), Fake::new(1280));
    let store = store(&folder, &keyring);
    for (length, entries) in [(10, 1), (4000, 5), (2000, 3), (6000, 6), (10, 1), (1280, 3)] {
        // Characters of two bytes: no part may end in the middle of one.
        let token = "ü".repeat(length / 2);
        put(&store, &token).unwrap();
        assert_eq!(held(&store), Some(token));
        assert_eq!(keyring.names().len(), entries, "{length}: {:?}", keyring.names());
    }
    let error = put(&store, &"x".repeat(100_000)).unwrap_err().to_string();
    assert!(error.contains("too long for this keyring") && error.contains("store = \"file\""), "{error}");
    assert_eq!(held(&store), Some("ü".repeat(640)), "and what was there stays");
}

#[test]
fn a_writer_that_is_killed_leaves_the_old_record_or_the_new_one() {
    for (old, new) in [(10, 4000), (4000, 3000), (3000, 4000), (4000, 10), (10, 20)] {
        let mut seen = [false; 2];
        for steps in 0..12 {
            let (folder, keyring) = (tempfile::tempdir().unwrap(), Fake::new(1280));
            let store = store(&folder, &keyring);
            let (old, new) = ("o".repeat(old), "n".repeat(new));
            put(&store, &old).unwrap();
            keyring.steps.store(steps, Ordering::Relaxed);
            let done = put(&store, &new);
            keyring.steps.store(usize::MAX, Ordering::Relaxed);
            let found = held(&store).unwrap();
            assert!(found == old || found == new, "{steps} steps");
            assert!(done.is_err() || found == new, "what was accepted is kept");
            seen[usize::from(found == new)] = true;
            // And the next writer finds its way.
            put(&store, "again").unwrap();
            assert_eq!(held(&store).as_deref(), Some("again"));
        }
        assert_eq!(seen, [true; 2]);
    }
}

#[test]
fn what_cannot_be_read_is_put_aside_and_not_shown() {
    let (folder, keyring) = (tempfile::tempdir().unwrap(), Fake::new(1280));
    let store = store(&folder, &keyring);
    for text in ["canary", "{\"v\":2,\"canary\":1}"] {
        keyring.set("unexpired", &account(&store), text).unwrap();
        let error = store.load_now(&key()).unwrap_err().to_string();
        assert!(error.contains("the keyring's entry unexpired/") && !error.contains("canary"), "{error}");
        put(&store, "rt-1").unwrap();
        assert_eq!(held(&store).as_deref(), Some("rt-1"));
        let aside = keyring.get("unexpired", &format!("{}.unreadable", account(&store))).unwrap().unwrap();
        assert_eq!(aside.expose(), text);
    }
    // A part that somebody took away.
    put(&store, &"x".repeat(3000)).unwrap();
    keyring.remove("unexpired", &format!("{}.a.1", account(&store))).unwrap();
    let error = store.load_now(&key()).unwrap_err().to_string();
    assert!(error.contains("parts of it are missing"), "{error}");
    put(&store, "rt-2").unwrap();
    assert_eq!(held(&store).as_deref(), Some("rt-2"));
}

#[test]
fn nobody_waits_longer_than_the_limit() {
    let start = Instant::now();
    let (_hold, wait) = std::sync::mpsc::channel::<()>();
    assert_eq!(bounded(Duration::from_millis(20), move || wait.recv()), None);
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_eq!(bounded(Duration::from_secs(20), || 7), Some(7));
}
