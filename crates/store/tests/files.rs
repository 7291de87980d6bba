//! Records in files: private, locked, never torn.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test"
)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use unexpired_core::{Record, RefreshTokenRecord, Secret, StoreError, StoreGuard, StoreKey, TokenStore};
use unexpired_store::FileStore;

fn key() -> StoreKey {
    StoreKey::of(&["oauth", "client-1"])
}

fn record(token: &str) -> Record {
    Record::RefreshToken(RefreshTokenRecord::new(Secret::new(token), "seed"))
}

fn token(record: Option<Record>) -> Option<String> {
    record.map(|record| match record {
        Record::RefreshToken(record) => record.token.expose().to_owned(),
        _ => panic!("another record"),
    })
}

async fn loaded(store: &FileStore) -> Result<Option<String>, StoreError> {
    Ok(token(store.load(&key()).await?))
}

async fn put(store: &FileStore, token: &str) -> Result<(), StoreError> {
    store.lock(&key()).await?.commit(record(token)).await
}

/// A folder of its own and a store in it.
fn fresh() -> (tempfile::TempDir, FileStore) {
    let home = tempfile::tempdir().unwrap();
    let store = FileStore::open(home.path().join("a/b/state")).unwrap();
    (home, store)
}

fn file(store: &FileStore, ending: &str) -> PathBuf {
    store.path().join(format!("{}.{ending}", key().as_str()))
}

fn names(store: &FileStore) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(store.path())
        .unwrap()
        .map(|entry| entry.unwrap().path().extension().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

/// Writes what a store would find, as private as its own.
fn plant(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn what_is_committed_is_loaded_by_everybody() {
    let (_home, store) = fresh();
    assert_eq!(loaded(&store).await.unwrap(), None);
    let mut guard = store.lock(&key()).await.unwrap();
    assert!(guard.load().await.unwrap().is_none());
    guard.commit(record("rt-1")).await.unwrap();
    guard.commit(record("rt-2")).await.unwrap();
    assert_eq!(token(guard.load().await.unwrap()).as_deref(), Some("rt-2"));
    drop(guard);
    let again = FileStore::open(store.path()).unwrap();
    assert_eq!(loaded(&again).await.unwrap().as_deref(), Some("rt-2"));
    assert!(again.load(&StoreKey::of(&["another"])).await.unwrap().is_none());
    assert_eq!(names(&store), ["json", "lock"]);
}

#[tokio::test]
async fn folder_and_files_are_private_from_the_start() {
    let (home, store) = fresh();
    put(&store, "rt-1").await.unwrap();
    for folder in ["a", "a/b", "a/b/state"] {
        assert_eq!(mode(&home.path().join(folder)), 0o700, "{folder}");
    }
    assert_eq!((mode(&file(&store, "json")), mode(&file(&store, "lock"))), (0o600, 0o600));
    assert!(!format!("{store:?}").contains("rt-1"));
}

#[tokio::test]
async fn a_folder_that_others_may_enter_is_refused_at_every_use() {
    let (_home, store) = fresh();
    put(&store, "rt-1").await.unwrap();
    for wrong in [0o750, 0o707, 0o701, 0o770] {
        fs::set_permissions(store.path(), fs::Permissions::from_mode(wrong)).unwrap();
        for error in [
            FileStore::open(store.path()).unwrap_err(),
            loaded(&store).await.unwrap_err(),
            put(&store, "rt-2").await.unwrap_err(),
        ] {
            assert!(error.to_string().contains("chmod 700"), "{error}");
        }
    }
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(loaded(&store).await.unwrap().as_deref(), Some("rt-1"));
}

#[tokio::test]
async fn links_other_peoples_files_and_relative_paths_are_refused() {
    let (home, store) = fresh();
    let link = home.path().join("link");
    symlink(store.path(), &link).unwrap();
    assert!(FileStore::open(&link).unwrap_err().to_string().contains("symbolic link"));
    assert!(FileStore::open("state").unwrap_err().to_string().contains("absolute"));
    plant(&home.path().join("plain"), "");
    assert!(FileStore::open(home.path().join("plain")).is_err());

    let target = home.path().join("target");
    plant(&target, "{\"v\":1,\"kind\":\"refresh_token\",\"token\":\"planted\",\"seed\":\"s\",\"unanswered\":0}");
    for ending in ["json", "lock", "tmp"] {
        let place = file(&store, ending);
        let _ = fs::remove_file(&place);
        symlink(&target, &place).unwrap();
        assert!(put(&store, "rt-1").await.unwrap_err().to_string().contains("symbolic link"), "{ending}");
        fs::remove_file(&place).unwrap();
    }
    assert!(fs::read_to_string(&target).unwrap().contains("planted"));

    // A named pipe does not hold anybody up.
    assert!(Command::new("mkfifo").args(["-m", "600"]).arg(file(&store, "json")).status().unwrap().success());
    assert!(loaded(&store).await.unwrap_err().to_string().contains("is no file"));
    fs::remove_file(file(&store, "json")).unwrap();

    plant(&file(&store, "json"), "x");
    fs::set_permissions(file(&store, "json"), fs::Permissions::from_mode(0o640)).unwrap();
    assert!(loaded(&store).await.unwrap_err().to_string().contains("chmod 600"));

    // Only root can give a file away.
    if fs::metadata(home.path()).unwrap().uid() == 0 {
        fs::set_permissions(file(&store, "json"), fs::Permissions::from_mode(0o600)).unwrap();
        std::os::unix::fs::chown(file(&store, "json"), Some(12_345), None).unwrap();
        assert!(loaded(&store).await.unwrap_err().to_string().contains("another user"));
        std::os::unix::fs::chown(store.path(), Some(12_345), None).unwrap();
        assert!(FileStore::open(store.path()).unwrap_err().to_string().contains("another user"));
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_an_error_that_names_the_file_and_is_never_lost() {
    let (_home, store) = fresh();
    for (text, remedy) in [("{\"v\":1,\"kind\":\"refr", "damaged"), ("", "damaged"), ("{\"v\":2}", "format 2")] {
        plant(&file(&store, "json"), text);
        let error = loaded(&store).await.unwrap_err().to_string();
        assert!(error.contains(remedy) && error.contains(key().as_str()), "{error}");
        assert_eq!(fs::read_to_string(file(&store, "json")).unwrap(), text);
        put(&store, "rt-new").await.unwrap();
        assert_eq!(loaded(&store).await.unwrap().as_deref(), Some("rt-new"));
    }
    let kept = |name: &str| fs::read_to_string(file(&store, name)).unwrap();
    assert_eq!((kept("unreadable").len(), kept("unreadable.2").len(), &*kept("unreadable.3")), (19, 0, "{\"v\":2}"));
    plant(&file(&store, "json"), &"x".repeat(2_000_000));
    assert!(loaded(&store).await.unwrap_err().to_string().contains("too long"));
}

#[tokio::test]
async fn a_writer_that_died_before_its_rename_has_it_finished() {
    let (_home, store) = fresh();
    put(&store, "rt-old").await.unwrap();
    let whole = fs::read_to_string(file(&store, "json")).unwrap().replace("rt-old", "rt-new");
    // Half a record: the old one holds.
    plant(&file(&store, "tmp"), &whole[..whole.len() / 2]);
    assert_eq!(token(store.lock(&key()).await.unwrap().load().await.unwrap()).as_deref(), Some("rt-old"));
    assert_eq!(names(&store), ["json", "lock"]);
    // A whole one: the server has rotated, the new one is the only one that works.
    plant(&file(&store, "tmp"), &whole);
    assert_eq!(loaded(&store).await.unwrap().as_deref(), Some("rt-old"));
    assert_eq!(token(store.lock(&key()).await.unwrap().load().await.unwrap()).as_deref(), Some("rt-new"));
    assert_eq!(names(&store), ["json", "lock"]);
    // A later version's: not ours to judge.
    plant(&file(&store, "tmp"), "{\"v\":2}");
    assert!(store.lock(&key()).await.err().unwrap().to_string().contains("format 2"));
    assert_eq!(names(&store), ["json", "lock", "tmp"]);
}

#[tokio::test]
async fn what_cannot_be_written_is_told_and_the_old_record_stays() {
    let (_home, store) = fresh();
    put(&store, "rt-1").await.unwrap();
    let mut guard = store.lock(&key()).await.unwrap();
    // A folder in the way of the temporary file, which not even root can unlink as a file.
    fs::create_dir(file(&store, "tmp")).unwrap();
    let error = guard.commit(record("rt-2")).await.unwrap_err().to_string();
    assert!(error.contains("cannot write") && error.contains(".tmp") && !error.contains("rt-2"), "{error}");
    fs::remove_dir(file(&store, "tmp")).unwrap();
    guard.commit(record("rt-3")).await.unwrap();
    assert_eq!(loaded(&store).await.unwrap().as_deref(), Some("rt-3"));

    // A folder without the right to write stops those who are not above rights; one that cannot be created stops everybody.
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o500)).unwrap();
    if fs::File::create(store.path().join("probe.probe")).is_err() {
        assert!(guard.commit(record("rt-4")).await.unwrap_err().to_string().contains("cannot write"));
    }
    fs::set_permissions(store.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let error = FileStore::open("/proc/unexpired-state").unwrap_err().to_string();
    assert!(error.contains("UNEXPIRED_STORE"), "{error}");
}

#[tokio::test]
async fn one_holds_the_lock_and_waiting_for_it_is_bounded() {
    let (_home, store) = fresh();
    let guard = store.lock(&key()).await.unwrap();
    let hasty = store.clone().lock_wait(Duration::from_millis(20));
    let error = hasty.lock(&key()).await.err().unwrap().to_string();
    assert!(error.contains("has held") && error.contains(key().as_str()), "{error}");
    // Another record has another lock, and reading needs none.
    hasty.lock(&StoreKey::of(&["another"])).await.unwrap();
    assert_eq!(loaded(&hasty).await.unwrap(), None);

    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.lock(&key()).await.map(drop) }
    });
    drop(guard);
    waiting.await.unwrap().unwrap();

    // One who has stopped waiting never gets the lock.
    let guard = store.lock(&key()).await.unwrap();
    let abandoned = tokio::time::timeout(Duration::from_millis(5), store.lock(&key())).await;
    assert!(abandoned.is_err());
    drop(guard);
    store.lock(&key()).await.unwrap();
    assert!(file(&store, "lock").exists());
}

/// Many processes add one each, many times: with a lock that held two at once, additions would be lost.
#[tokio::test]
async fn processes_take_turns() {
    let (_home, store) = fresh();
    put(&store, "0").await.unwrap();
    let mut children: Vec<Child> = (0..4).map(|_| child("count", &store).spawn().unwrap()).collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(loaded(&store).await.unwrap().as_deref(), Some("100"));
}

/// kill -9 at random moments: the record is always the last one that was acknowledged or the one that was being written.
#[tokio::test]
async fn a_killed_writer_leaves_the_old_record_or_the_new_one() {
    let (_home, store) = fresh();
    let mut random = 0x9e37_79b9_u64;
    let (mut last, mut advanced) = (0_u64, 0);
    for _ in 0..KILLS {
        let mut child = child("write", &store).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.by_ref().map(Result::unwrap).find(|line| line.contains("begin ")).unwrap();
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_micros(random >> 52));
        child.kill().unwrap();
        child.wait().unwrap();
        let told: Vec<String> = std::iter::once(first).chain(lines.map_while(Result::ok)).collect();
        let latest = |word: &str| {
            told.iter().filter_map(|line| line.split(word).nth(1)?.trim().parse::<u64>().ok()).max().unwrap_or(last)
        };
        let (began, done) = (latest("begin "), latest("done "));

        // Without a lock: whole, and either of the two. (With nothing acknowledged yet there may be nothing.)
        let seen = loaded(&store).await.unwrap().map_or(0, |text| text.parse().unwrap());
        assert!((done..=began).contains(&seen), "{seen} of {done}..={began}");
        // Under the lock of the next writer: the same, or the new one finished.
        let under_lock = token(store.lock(&key()).await.unwrap().load().await.unwrap());
        let now = under_lock.map_or(0, |text| text.parse().unwrap());
        assert!((seen..=began).contains(&now), "{now} of {seen}..={began}");
        assert!(names(&store).iter().all(|name| name == "json" || name == "lock"));
        advanced += u32::from(now > last);
        last = now;
    }
    assert!(advanced > KILLS / 4, "the kills came too early to prove anything: {advanced}");
}

/// This very test binary, as another process.
fn child(what: &str, store: &FileStore) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_other_process", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, what).env(FOLDER, store.path()).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Does nothing, unless it was started by another test.
#[tokio::test]
async fn the_other_process() {
    let (Some(what), Some(folder)) = (std::env::var_os(CHILD), std::env::var_os(FOLDER)) else { return };
    let store = FileStore::open(PathBuf::from(folder)).unwrap();
    let add = async |guard: &mut Box<dyn StoreGuard>, say: bool| {
        let next = token(guard.load().await.unwrap()).map_or(1, |text| text.parse::<u64>().unwrap() + 1);
        let tell = |word: &str| {
            if say {
                let mut out = std::io::stdout().lock();
                let _ = writeln!(out, "\n{word} {next}").and_then(|()| out.flush());
            }
        };
        tell("begin");
        guard.commit(record(&next.to_string())).await.unwrap();
        tell("done");
    };
    if what == "count" {
        for _ in 0..25 {
            add(&mut store.lock(&key()).await.unwrap(), false).await;
        }
    } else {
        loop {
            add(&mut store.lock(&key()).await.unwrap(), true).await;
        }
    }
}

const CHILD: &str = "UNEXPIRED_TEST_CHILD";
const FOLDER: &str = "UNEXPIRED_TEST_FOLDER";
const KILLS: u32 = 300;
