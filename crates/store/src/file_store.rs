//! One file a record, replaced by renaming; one lock file beside it.

use crate::folder::Folder;
use crate::thread::off_thread;
use crate::{format, sys};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use unexpired_core::{BoxFuture, Record, StoreError, StoreGuard, StoreKey, TokenStore};
use zeroize::Zeroizing;

/// A [`TokenStore`] in files. Cheap to clone.
///
/// Files are read and written on a thread of their own, so that no runtime is held up by a disk.
///
/// | file | what |
/// |---|---|
/// | `KEY.json` | the record: `{"v":1,"kind":"refresh_token","token":…,"seed":…,"unanswered":0,"rotates":true}`; not encrypted |
/// | `KEY.tmp` | a record on its way. Whole ones of a writer that died are put in place by who locks next: a refresh token that the server has rotated exists nowhere else |
/// | `KEY.lock` | the lock; empty, never removed |
/// | `KEY.unreadable`, `KEY.unreadable.2`, … | damaged records, or a later version's, that were in the way of a commit |
#[derive(Clone, Debug)]
pub struct FileStore {
    folder: Arc<Folder>,
    lock_wait: Duration,
}

impl FileStore {
    /// The store in `folder`, which is created (0700) if it is not there.
    ///
    /// # Errors
    ///
    /// The folder cannot be created, belongs to somebody else, is open to others, or is a symbolic link. The error names it and the remedy.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Ok(Self { folder: Arc::new(Folder::open(folder.into())?), lock_wait: LONGEST_WAIT })
    }

    /// How long a lock is waited for. Default 15 s.
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn files(&self, key: &StoreKey) -> Files {
        let name = key.as_str();
        let in_folder = |name: String| self.folder.path().join(name);
        Files {
            folder: self.folder.clone(),
            record: in_folder(format!("{name}.json")),
            temporary: in_folder(format!("{name}.tmp")),
            lock: in_folder(format!("{name}.lock")),
        }
    }
}

impl TokenStore for FileStore {
    fn load(&self, key: &StoreKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        let files = self.files(key);
        Box::pin(off_thread(move |_| files.load()))
    }

    fn lock(&self, key: &StoreKey) -> BoxFuture<'_, Result<Box<dyn StoreGuard>, StoreError>> {
        let files = self.files(key);
        let wait = self.lock_wait;
        Box::pin(async move {
            let held = off_thread(move |abandoned| files.lock(wait, abandoned)).await?;
            Ok(Box::new(Guard(Arc::new(held))) as Box<dyn StoreGuard>)
        })
    }
}

/// Shared with the thread of the last operation: a guard that is dropped in the middle of a commit keeps the lock until the commit is done.
struct Guard(Arc<Held>);

struct Held {
    files: Files,
    lock: File,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing would do, were there not children that inherit the descriptor for a moment between fork and exec.
        let _ = self.lock.unlock();
    }
}

impl StoreGuard for Guard {
    fn load(&mut self) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        let held = self.0.clone();
        Box::pin(off_thread(move |_| held.files.load()))
    }

    fn commit(&mut self, record: Record) -> BoxFuture<'_, Result<(), StoreError>> {
        let held = self.0.clone();
        Box::pin(off_thread(move |_| held.files.commit(&record)))
    }
}

struct Files {
    folder: Arc<Folder>,
    record: PathBuf,
    temporary: PathBuf,
    lock: PathBuf,
}

impl Files {
    fn load(&self) -> Result<Option<Record>, StoreError> {
        self.folder.check()?;
        read(&self.record)?.map(|bytes| format::parse(&bytes, &self.record)).transpose()
    }

    /// Waits for the lock until it is ours, the time is up, or nobody waits for us any more.
    fn lock(self, wait: Duration, abandoned: &dyn Fn() -> bool) -> Result<Held, StoreError> {
        self.folder.check()?;
        let file = sys::open_lock(&self.lock).map_err(|error| failed("open", &self.lock, &error))?;
        sys::check_file(&file, &self.lock)?;
        let start = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(TryLockError::Error(error)) => return Err(failed("lock", &self.lock, &error)),
            }
            if abandoned() {
                return Err(StoreError::new("nobody waits for the lock any more"));
            }
            let left = wait.saturating_sub(start.elapsed());
            if left.is_zero() {
                let (place, seconds) = (self.lock.display(), wait.as_secs_f64());
                return Err(StoreError::new(format!(
                    "another process has held {place} for {seconds:.1} s; end it and try again"
                )));
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        let held = Held { files: self, lock: file };
        held.files.finish()?;
        Ok(held)
    }

    /// Writes beside the record, makes it durable, renames it into place, makes the renaming durable. A crash at any point leaves the old record
    /// or the new one.
    fn commit(&self, record: &Record) -> Result<(), StoreError> {
        let bytes = format::write(record)?;
        self.folder.check()?;
        let write = || {
            // We hold the lock: it is nobody else's.
            remove(&self.temporary)?;
            let mut file = sys::create(&self.temporary)?;
            file.write_all(&bytes)?;
            file.sync_all()
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&self.temporary);
            failed("write", &self.temporary, &error)
        })?;
        self.put_in_place()
    }

    /// Under the lock: ends what a writer began that died before its renaming. What it left half written goes.
    fn finish(&self) -> Result<(), StoreError> {
        let Some(bytes) = read(&self.temporary)? else { return Ok(()) };
        match format::parse(&bytes, &self.temporary) {
            Ok(_) => self.put_in_place(),
            // Whole, and beyond us: a later version's.
            Err(error) if format::is_whole(&bytes) => Err(error),
            Err(_) => remove(&self.temporary).map_err(|error| failed("remove", &self.temporary, &error)),
        }
    }

    fn put_in_place(&self) -> Result<(), StoreError> {
        self.spare_what_cannot_be_read()?;
        fs::rename(&self.temporary, &self.record).map_err(|error| failed("replace", &self.record, &error))?;
        sys::sync_folder(self.folder.path()).map_err(|error| failed("write", self.folder.path(), &error))
    }

    /// A record that is damaged, or a later version's, is not overwritten.
    fn spare_what_cannot_be_read(&self) -> Result<(), StoreError> {
        if read(&self.record)?.is_none_or(|bytes| format::parse(&bytes, &self.record).is_ok()) {
            return Ok(());
        }
        let aside = self.record.with_extension("unreadable");
        let numbered = (2..=MOST_ASIDE).map(|number| self.record.with_extension(format!("unreadable.{number}")));
        let free = std::iter::once(aside.clone()).chain(numbered).find(|path| fs::symlink_metadata(path).is_err());
        match free {
            Some(free) => fs::rename(&self.record, free).map_err(|error| failed("move", &self.record, &error)),
            None => Err(StoreError::new(format!("there are too many damaged records; remove {}*", aside.display()))),
        }
    }
}

/// What stands in a file of ours, or `None` if there is none.
fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    let mut file = match sys::open_to_read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path, &error)),
    };
    sys::check_file(&file, path)?;
    let length = file.metadata().map_err(|error| failed("read", path, &error))?.len();
    if length > MOST_BYTES {
        return Err(StoreError::new(format!("{} is no record: it is too long; move it away", path.display())));
    }
    // Room for everything, so that no copy is left behind by growing.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MOST_BYTES as usize));
    let whole = Read::by_ref(&mut file).take(MOST_BYTES).read_to_end(&mut bytes);
    whole.map(|_| Some(bytes)).map_err(|error| failed("read", path, &error))
}

/// Takes a file away; it may be gone already.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

pub(crate) fn failed(what: &str, place: &Path, error: &io::Error) -> StoreError {
    let remedy = match error.kind() {
        _ if sys::is_link(error) => "; it is a symbolic link: remove it",
        io::ErrorKind::PermissionDenied => "; give its owner the right to",
        io::ErrorKind::StorageFull => "; free some space",
        io::ErrorKind::ReadOnlyFilesystem => "; set UNEXPIRED_STORE to a folder that can be written",
        _ => "",
    };
    StoreError::new(format!("cannot {what} {}: {error}{remedy}", place.display()))
}

const MOST_BYTES: u64 = 256 * 1024;
const MOST_ASIDE: u32 = 100;
const LONGEST_WAIT: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
