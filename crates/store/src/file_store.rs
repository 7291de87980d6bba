//! One file a record, replaced by renaming; one lock file beside it.

use crate::folder::Folder;
use crate::thread::off_thread;
use crate::{format, sys};
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use unexpired_core::{BoxFuture, Record, StoreError, StoreGuard, StoreKey, TokenStore};
use zeroize::Zeroizing;

/// A [`TokenStore`] in files. Cheap to clone.
///
/// Files are read and written on a thread of their own, so that no runtime is held up by a disk. A lock is waited for up to 15 s.
#[derive(Clone, Debug)]
pub struct FileStore {
    folder: Arc<Folder>,
}

impl FileStore {
    /// The store in `folder`, which is created (0700) if it is not there.
    ///
    /// # Errors
    ///
    /// The folder cannot be created, belongs to somebody else, is open to others, or is a symbolic link. The error names it and the remedy.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Ok(Self { folder: Arc::new(Folder::open(folder.into())?) })
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
        Box::pin(async move {
            let held = off_thread(move |abandoned| files.lock(abandoned)).await?;
            Ok(Box::new(Guard(Arc::new(held))) as Box<dyn StoreGuard>)
        })
    }
}

/// The lock is held for as long as the file is open, on whatever thread the last operation runs.
struct Guard(Arc<Held>);

struct Held {
    files: Files,
    _lock: File,
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
    lock: PathBuf,
}

impl Files {
    fn load(&self) -> Result<Option<Record>, StoreError> {
        let mut file = match sys::open_to_read(&self.record) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("read", &self.record, &error)),
        };
        sys::check_file(&file, &self.record)?;
        let length = file.metadata().map_err(|error| failed("read", &self.record, &error))?.len();
        if length > MOST_BYTES {
            return Err(StoreError::new(format!(
                "{} is no record: it is too long; move it away",
                self.record.display()
            )));
        }
        // Room for everything, so that no copy is left behind by growing.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MOST_BYTES as usize));
        Read::by_ref(&mut file)
            .take(MOST_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|error| failed("read", &self.record, &error))?;
        format::parse(&bytes, &self.record).map(Some)
    }

    /// Waits for the lock until it is ours, the time is up, or nobody waits for us any more.
    fn lock(self, abandoned: &dyn Fn() -> bool) -> Result<Held, StoreError> {
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
            if start.elapsed() >= LONGEST_WAIT {
                let place = self.lock.display();
                return Err(StoreError::new(format!(
                    "another process has held {place} for {} s; end it and try again",
                    LONGEST_WAIT.as_secs()
                )));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.remove_leftovers();
        Ok(Held { files: self, _lock: file })
    }

    /// Writes beside the record, makes it durable, renames it into place, makes the renaming durable. A crash at any point leaves the old record
    /// or the new one.
    fn commit(&self, record: &Record) -> Result<(), StoreError> {
        let bytes = format::write(record)?;
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let new = self.record.with_extension(format!("tmp.{}.{number}", std::process::id()));
        let write = || {
            let mut file = sys::create(&new)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            drop(file);
            fs::rename(&new, &self.record)
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&new);
            failed("write", &self.record, &error)
        })?;
        sys::sync_folder(self.folder.path()).map_err(|error| failed("write", self.folder.path(), &error))
    }

    /// What a killed process left half written. We hold the lock, so nobody is writing it.
    fn remove_leftovers(&self) {
        let prefix = self.record.file_stem().map(|stem| format!("{}.tmp.", stem.to_string_lossy()));
        let (Some(prefix), Ok(entries)) = (prefix, fs::read_dir(self.folder.path())) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

pub(crate) fn failed(what: &str, place: &Path, error: &io::Error) -> StoreError {
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied => "; give its owner the right to",
        io::ErrorKind::StorageFull => "; free some space",
        io::ErrorKind::ReadOnlyFilesystem => "; set UNEXPIRED_STORE to a folder that can be written",
        _ => "",
    };
    StoreError::new(format!("cannot {what} {}: {error}{remedy}", place.display()))
}

static COUNTER: AtomicU64 = AtomicU64::new(0);
const MOST_BYTES: u64 = 256 * 1024;
const LONGEST_WAIT: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
