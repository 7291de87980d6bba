//! The store: a folder of records, one file and one lock each.

use crate::record::{self, Unreadable};
use crate::sys::Folder;
use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use unexpired_core::{BoxFuture, Record, StoreError, StoreGuard, StoreKey, TokenStore};
use zeroize::Zeroizing;

/// Records in a folder. Cheap to clone; clones, and other processes with the same folder, share records and locks.
///
/// Files are read and written on threads of their own: any executor will do, and none is blocked.
#[derive(Clone)]
pub struct FileStore {
    folder: Arc<Path>,
    lock_wait: Duration,
}

impl FileStore {
    /// A store in `folder`, which is created with mode 0700, as its parents are, if it is not there.
    ///
    /// # Errors
    ///
    /// The path is relative, the folder cannot be created, is a symbolic link, belongs to somebody else, or others may enter it.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let folder = folder.into();
        if !folder.is_absolute() {
            return Err(StoreError::new(format!(
                "the state folder {} is a relative path; write it in full",
                folder.display()
            )));
        }
        Folder::create(&folder).map_err(|error| folder_error(&folder, &error))?;
        Ok(Self { folder: folder.into(), lock_wait: DEFAULT_LOCK_WAIT })
    }

    /// How long [`lock`](TokenStore::lock) waits for whoever holds the lock. Default 20 s, the longest that a mint takes.
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn files(&self, key: &StoreKey) -> Files {
        Files { folder: self.folder.clone(), key: key.as_str().to_owned() }
    }
}

impl TokenStore for FileStore {
    fn load(&self, key: &StoreKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        let files = self.files(key);
        Box::pin(on_thread(move |_| files.load()))
    }

    fn lock(&self, key: &StoreKey) -> BoxFuture<'_, Result<Box<dyn StoreGuard>, StoreError>> {
        let files = self.files(key);
        let wait = self.lock_wait;
        Box::pin(on_thread(move |abandoned| {
            let lock = files.lock(wait, abandoned)?;
            files.finish()?;
            Ok(Box::new(Guard(Arc::new(Held { files, lock }))) as Box<dyn StoreGuard>)
        }))
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStore").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// Shared with the thread that writes: a guard that is dropped in the middle of a commit holds its lock until the commit is done.
struct Guard(Arc<Held>);

struct Held {
    files: Files,
    lock: File,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing would do, were there not children that inherited the descriptor for a moment.
        let _ = self.lock.unlock();
    }
}

impl StoreGuard for Guard {
    fn load(&mut self) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        let held = self.0.clone();
        Box::pin(on_thread(move |_| held.files.load()))
    }

    fn commit(&mut self, record: Record) -> BoxFuture<'_, Result<(), StoreError>> {
        let held = self.0.clone();
        Box::pin(on_thread(move |_| held.files.commit(&record)))
    }
}

/// The files of one record. Each use opens and checks the folder anew: it may have been replaced.
struct Files {
    folder: Arc<Path>,
    key: String,
}

impl Files {
    fn name(&self, ending: &str) -> String {
        format!("{}.{ending}", self.key)
    }

    fn path(&self, ending: &str) -> PathBuf {
        self.folder.join(self.name(ending))
    }

    fn open(&self) -> Result<Folder, StoreError> {
        Folder::create(&self.folder).map_err(|error| folder_error(&self.folder, &error))
    }

    fn error(&self, doing: &str, ending: &str, error: &io::Error) -> StoreError {
        StoreError::new(format!("cannot {doing} {}: {error}", self.path(ending).display()))
    }

    fn load(&self) -> Result<Option<Record>, StoreError> {
        let folder = self.open()?;
        let text = folder.read(&self.name(RECORD)).map_err(|error| self.error("read", RECORD, &error))?;
        let Some(text) = text else { return Ok(None) };
        record::read(&text).map(Some).map_err(|why| {
            let path = self.path(RECORD);
            let path = path.display();
            StoreError::new(match why {
                Unreadable::Damaged => format!("{path} is damaged; move it away and sign in again"),
                Unreadable::Newer => format!("{path} was written by a newer version of unexpired; use that version"),
            })
        })
    }

    /// Waits for the lock by asking again and again: a blocking wait could not be given up.
    fn lock(&self, wait: Duration, abandoned: &dyn Fn() -> bool) -> Result<File, StoreError> {
        let file = self.open()?.lock_file(&self.name(LOCK)).map_err(|error| self.error("open", LOCK, &error))?;
        let start = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(TryLockError::Error(error)) => return Err(self.error("lock", LOCK, &error)),
            }
            let left = wait.saturating_sub(start.elapsed());
            if left.is_zero() || abandoned() {
                return Err(StoreError::new(format!(
                    "another process has held the lock {} for {:.1} s; try again, or end that process",
                    self.path(LOCK).display(),
                    wait.as_secs_f64()
                )));
            }
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Under the lock: finishes what a writer began that died between writing and renaming. What it left half written goes.
    fn finish(&self) -> Result<(), StoreError> {
        let folder = self.open()?;
        let left = folder.read(&self.name(TEMPORARY)).map_err(|error| self.error("read", TEMPORARY, &error))?;
        match left.map(|text| record::read(&text)) {
            None => Ok(()),
            Some(Ok(_)) => self.put_in_place(&folder),
            Some(Err(Unreadable::Damaged)) => {
                folder.remove(&self.name(TEMPORARY)).map_err(|error| self.error("remove", TEMPORARY, &error))
            }
            Some(Err(Unreadable::Newer)) => Err(StoreError::new(format!(
                "{} was written by a newer version of unexpired; use that version",
                self.path(TEMPORARY).display()
            ))),
        }
    }

    fn commit(&self, record: &Record) -> Result<(), StoreError> {
        let text = record::write(record).ok_or_else(|| {
            StoreError::new("this version of the file store has no form for such a record; use a newer one")
        })?;
        let folder = self.open()?;
        self.write(&folder, &text).map_err(|error| {
            // Half a record is of no use; whole ones that could not be renamed stay for `finish`.
            let _ = folder.remove(&self.name(TEMPORARY));
            self.error("write", TEMPORARY, &error)
        })?;
        self.put_in_place(&folder)
    }

    fn write(&self, folder: &Folder, text: &Zeroizing<Vec<u8>>) -> io::Result<()> {
        // Under the lock it is nobody else's.
        folder.remove(&self.name(TEMPORARY))?;
        let mut file = folder.create_file(&self.name(TEMPORARY))?;
        file.write_all(text)?;
        file.sync_all()
    }

    fn put_in_place(&self, folder: &Folder) -> Result<(), StoreError> {
        self.spare_what_cannot_be_read(folder)?;
        folder
            .rename(&self.name(TEMPORARY), &self.name(RECORD))
            .and_then(|()| folder.sync())
            .map_err(|error| self.error("replace", RECORD, &error))
    }

    fn spare_what_cannot_be_read(&self, folder: &Folder) -> Result<(), StoreError> {
        let present = folder.read(&self.name(RECORD)).map_err(|error| self.error("read", RECORD, &error))?;
        if present.is_none_or(|text| record::read(&text).is_ok()) {
            return Ok(());
        }
        for number in 1..=MOST_UNREADABLE {
            let name = if number == 1 { self.name(ASIDE) } else { format!("{}.{number}", self.name(ASIDE)) };
            let taken = folder.exists(&name).map_err(|error| self.error("look for", ASIDE, &error))?;
            if !taken {
                return folder
                    .rename(&self.name(RECORD), &name)
                    .map_err(|error| self.error("move aside", RECORD, &error));
            }
        }
        Err(StoreError::new(format!("too many damaged records; remove {}*", self.path(ASIDE).display())))
    }
}

/// Runs `work` on a thread of its own. `work` may ask whether anybody still waits.
async fn on_thread<T: Send + 'static>(
    work: impl FnOnce(&dyn Fn() -> bool) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let (done, waiting) = oneshot::channel();
    let started = thread::Builder::new().name("unexpired-store".into()).spawn(move || {
        let result = work(&|| done.is_closed());
        // A guard that nobody takes is dropped here, and its lock with it.
        let _ = done.send(result);
    });
    match started {
        Ok(_) => waiting.await.unwrap_or_else(|_| Err(StoreError::new("the store's thread ended early"))),
        Err(error) => Err(StoreError::new(format!("no thread for the store: {error}"))),
    }
}

fn folder_error(folder: &Path, error: &io::Error) -> StoreError {
    let path = folder.display();
    StoreError::new(match error.kind() {
        io::ErrorKind::Other | io::ErrorKind::NotADirectory => format!("the state folder {path} is refused: {error}"),
        _ => format!(
            "cannot use the state folder {path}: {error}; make it writable, or set UNEXPIRED_STORE to another one"
        ),
    })
}

const RECORD: &str = "json";
const TEMPORARY: &str = "tmp";
const LOCK: &str = "lock";
const ASIDE: &str = "unreadable";
const MOST_UNREADABLE: u32 = 100;
const DEFAULT_LOCK_WAIT: Duration = Duration::from_secs(20);
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(50);
