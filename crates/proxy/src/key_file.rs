//! The local keys of all routes in one file that only its owner may read. It is replaced by renaming, and a running proxy notices.

use crate::credential::{KeySource, LocalKey};
use crate::sys;
use serde_json::{Map, Value, json};
use std::fmt;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use unexpired_core::{ErrorKind, MintError, Secret};
use unexpired_crypto::constant_time_eq;
use zeroize::Zeroizing;

/// The keys of a user's routes, in a folder of the user's own.
///
/// ```
/// # fn main() -> Result<(), unexpired_core::MintError> {
/// # if unexpired_crypto::backend() == "none" { return Ok(()); }
/// # let folder = tempfile::tempdir().unwrap();
/// # let folder = folder.path();
/// use unexpired_proxy::{KeyFile, KeySource};
///
/// let file = KeyFile::new(folder);
/// let key = file.key("gov")?; // made if there is none
/// let door = file.door("gov");
/// assert!(door.opens(key.expose().as_bytes()) && !file.door("other").opens(key.expose().as_bytes()));
///
/// let newer = file.rotate("gov")?;
/// assert!(door.opens(newer.expose().as_bytes()));
/// assert!(door.opens(key.expose().as_bytes()), "the old one is honoured for five minutes");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KeyFile(Arc<Inner>);

struct Inner {
    path: PathBuf,
    lock: PathBuf,
    seen: Mutex<Seen>,
}

/// What was read last.
#[derive(Default)]
struct Seen {
    stamp: Option<Stamp>,
    looked: Option<Instant>,
    routes: Vec<Entry>,
}

type Stamp = (SystemTime, u64, u64);

/// The keys of one route.
struct Entry {
    route: String,
    key: Secret,
    /// The one before, and until when it is honoured, in seconds of the Unix epoch.
    old: Option<(Secret, u64)>,
}

impl KeyFile {
    /// The keys in `folder`, which must be there and the user's own. Reads nothing yet.
    pub fn new(folder: impl AsRef<Path>) -> Self {
        let folder = folder.as_ref();
        let (path, lock) = (folder.join("proxy-keys.json"), folder.join("proxy-keys.lock"));
        Self(Arc::new(Inner { path, lock, seen: Mutex::default() }))
    }

    /// The key of a route. If there is none it is made.
    ///
    /// # Errors
    ///
    /// The file cannot be read or written, is open to others, or makes no sense.
    pub fn key(&self, route: &str) -> Result<Secret, MintError> {
        self.change(|entries| match entries.iter().find(|entry| entry.route == route) {
            Some(entry) => Ok((entry.key.clone(), false)),
            None => {
                let key = LocalKey::random()?;
                entries.push(Entry { route: route.to_owned(), key: key.clone(), old: None });
                Ok((key, true))
            }
        })
    }

    /// A new key for a route. The one before is honoured for five minutes.
    ///
    /// # Errors
    ///
    /// As [`key`](Self::key).
    pub fn rotate(&self, route: &str) -> Result<Secret, MintError> {
        let until = unix_now().saturating_add(GRACE.as_secs());
        self.change(|entries| {
            let key = LocalKey::random()?;
            match entries.iter_mut().find(|entry| entry.route == route) {
                Some(entry) => {
                    let old = std::mem::replace(&mut entry.key, key.clone());
                    entry.old = Some((old, until));
                }
                None => entries.push(Entry { route: route.to_owned(), key: key.clone(), old: None }),
            }
            Ok((key, true))
        })
    }

    /// What a running proxy asks: the file is looked at again every second, and when a key is not known.
    pub fn door(&self, route: &str) -> Door {
        Door { file: self.clone(), route: route.to_owned() }
    }

    /// Reads, changes and writes, alone.
    fn change<T>(&self, act: impl FnOnce(&mut Vec<Entry>) -> Result<(T, bool), MintError>) -> Result<T, MintError> {
        let lock = sys::open_lock(&self.0.lock).map_err(|error| self.cannot("lock", &error))?;
        lock.lock().map_err(|error| self.cannot("lock", &error))?;
        let mut entries = match self.read() {
            Ok((entries, _)) => entries,
            Err(Unread::Absent) => Vec::new(),
            Err(Unread::Wrong(error)) => return Err(error),
        };
        let (result, changed) = act(&mut entries)?;
        if changed {
            self.write(&entries).map_err(|error| self.cannot("write", &error))?;
        }
        let _ = lock.unlock();
        Ok(result)
    }

    fn read(&self) -> Result<(Vec<Entry>, Stamp), Unread> {
        let mut file = match sys::open_to_read(&self.0.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unread::Absent),
            Err(error) => return Err(Unread::Wrong(self.cannot("read", &error))),
        };
        let wrong = |what: &str, remedy: &str| {
            let line = format!("the proxy's keys in {} {what}", self.0.path.display());
            Unread::Wrong(MintError::new(ErrorKind::Misconfigured, line).remedy(remedy))
        };
        let metadata = file.metadata().map_err(|error| Unread::Wrong(self.cannot("look at", &error)))?;
        sys::check_private(&metadata).map_err(|(what, remedy)| wrong(what, remedy))?;
        let mut text = Zeroizing::new(Vec::new());
        let read = io::Read::by_ref(&mut file).take(MOST_BYTES).read_to_end(&mut text);
        read.map_err(|error| Unread::Wrong(self.cannot("read", &error)))?;
        let entries = parse(&text).ok_or_else(|| wrong("make no sense", "remove the file; new keys are then made"))?;
        Ok((entries, stamp(&metadata)))
    }

    fn write(&self, entries: &[Entry]) -> io::Result<()> {
        let temporary = self.0.path.with_extension("tmp");
        // Ours alone, under the lock: what is there was left by a writer that died.
        let _ = fs::remove_file(&temporary);
        let mut file = sys::create_private(&temporary)?;
        file.write_all(&serialize(entries))?;
        file.sync_all()?;
        fs::rename(&temporary, &self.0.path)
    }

    fn cannot(&self, what: &str, error: &io::Error) -> MintError {
        let line = format!("cannot {what} the proxy's keys in {}: {error}", self.0.path.display());
        MintError::new(ErrorKind::Misconfigured, line)
            .remedy("see to the folder's rights, or set UNEXPIRED_STORE to one of your own")
    }

    /// What is known, read anew if the file has changed; the file is looked at only so often.
    fn current(&self, at_once: bool) -> MutexGuard<'_, Seen> {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !at_once && seen.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return seen;
        }
        seen.looked = Some(Instant::now());
        let now = fs::symlink_metadata(&self.0.path).ok().map(|metadata| stamp(&metadata));
        if now.is_some() && now == seen.stamp {
            return seen;
        }
        // A file that is gone, open to others or unreadable opens nothing.
        (seen.routes, seen.stamp) = match self.read() {
            Ok((entries, stamp)) => (entries, Some(stamp)),
            Err(Unread::Absent) => (Vec::new(), None),
            Err(Unread::Wrong(error)) => {
                tracing::warn!(target: "unexpired", %error, "no key is honoured");
                (Vec::new(), None)
            }
        };
        seen
    }
}

impl fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("KeyFile").field(&self.0.path).finish()
    }
}

/// One route's keys as a running proxy sees them.
#[derive(Clone, Debug)]
pub struct Door {
    file: KeyFile,
    route: String,
}

impl KeySource for Door {
    fn opens(&self, presented: &[u8]) -> bool {
        self.file.current(false).opens(&self.route, presented) || self.file.current(true).opens(&self.route, presented)
    }
}

impl Seen {
    fn opens(&self, route: &str, presented: &[u8]) -> bool {
        let Some(entry) = self.routes.iter().find(|entry| entry.route == route) else { return false };
        let is = |key: &Secret| !key.is_empty() && constant_time_eq(key.expose().as_bytes(), presented);
        is(&entry.key) || entry.old.as_ref().is_some_and(|(old, until)| is(old) && unix_now() < *until)
    }
}

enum Unread {
    Absent,
    Wrong(MintError),
}

fn parse(text: &[u8]) -> Option<Vec<Entry>> {
    let value: Value = serde_json::from_slice(text).ok()?;
    if value.get("v")?.as_u64()? != VERSION {
        return None;
    }
    let entry = |(route, value): (&String, &Value)| {
        let old = match value.get("old") {
            Some(old) => Some((Secret::new(old.get("key")?.as_str()?), old.get("until")?.as_u64()?)),
            None => None,
        };
        Some(Entry { route: route.clone(), key: Secret::new(value.get("key")?.as_str()?), old })
    };
    value.get("keys")?.as_object()?.iter().map(entry).collect()
}

fn serialize(entries: &[Entry]) -> Zeroizing<Vec<u8>> {
    let mut keys = Map::new();
    for entry in entries {
        let mut value = json!({ "key": entry.key.expose() });
        let old = entry.old.as_ref().filter(|(_, until)| *until > unix_now());
        if let (Some((old, until)), Some(object)) = (old, value.as_object_mut()) {
            object.insert("old".to_owned(), json!({ "key": old.expose(), "until": until }));
        }
        keys.insert(entry.route.clone(), value);
    }
    let mut text = Zeroizing::new(json!({ "v": VERSION, "keys": keys }).to_string().into_bytes());
    text.push(b'\n');
    text
}

fn stamp(metadata: &fs::Metadata) -> Stamp {
    (metadata.modified().unwrap_or(UNIX_EPOCH), metadata.len(), sys::file_number(metadata))
}

fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

const VERSION: u64 = 1;
/// How long the key before the newest is honoured.
const GRACE: Duration = Duration::from_secs(300);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const MOST_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn opens(file: &KeyFile, route: &str, key: &Secret) -> bool {
        file.door(route).opens(key.expose().as_bytes())
    }

    #[test]
    fn a_key_is_made_once_and_a_running_proxy_notices_another() {
        let folder = tempfile::tempdir().unwrap();
        let (proxy, command) = (KeyFile::new(folder.path()), KeyFile::new(folder.path()));
        let first = command.key("a").unwrap();
        assert_eq!(command.key("a").unwrap().expose(), first.expose());
        assert!(opens(&proxy, "a", &first) && !opens(&proxy, "b", &first));
        let second = command.rotate("a").unwrap();
        assert!(opens(&proxy, "a", &second) && opens(&proxy, "a", &first));
        let third = command.rotate("a").unwrap();
        assert!(opens(&proxy, "a", &third) && opens(&proxy, "a", &second));
        assert!(!opens(&proxy, "a", &first), "two keys at most");
        fs::remove_file(folder.path().join("proxy-keys.json")).unwrap();
        std::thread::sleep(LOOK_EVERY);
        assert!(!opens(&proxy, "a", &third), "a file that is gone opens nothing");
    }

    #[test]
    fn the_old_key_is_honoured_until_its_time() {
        let entry = |until| Seen {
            routes: vec![Entry { route: "a".into(), key: "new".into(), old: Some(("old".into(), until)) }],
            ..Seen::default()
        };
        assert!(entry(unix_now() + 60).opens("a", b"old") && !entry(unix_now()).opens("a", b"old"));
        // What is over is not written again.
        let text = serialize(&entry(unix_now()).routes);
        assert!(!String::from_utf8_lossy(&text).contains("old"));
    }

    #[test]
    fn many_at_once_agree_on_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let keys: Vec<String> = std::thread::scope(|scope| {
            let make = || KeyFile::new(folder.path()).key("a").unwrap().expose().to_owned();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(keys.iter().all(|key| *key == keys[0]));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_opens_nothing() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let key = KeyFile::new(folder.path()).key("a").unwrap();
        let path = folder.path().join("proxy-keys.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let file = KeyFile::new(folder.path());
        assert!(!opens(&file, "a", &key));
        assert!(file.key("a").unwrap_err().to_string().contains("chmod 600"));
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(KeyFile::new(folder.path()).key("a").is_err());
        fs::remove_file(&path).unwrap();
        fs::write(&path, "{}").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(KeyFile::new(folder.path()).key("a").unwrap_err().to_string().contains("make no sense"));
    }
}
