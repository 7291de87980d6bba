//! One file a record, replaced by renaming; one lock file beside it.

use crate::folder::Folder;
use crate::thread::off_thread;
use crate::{format, sys};
use std::fs::{self, File, TryLockError};
use std::future::ready;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use unexpired_core::{BoxFuture, Record, StoreError, StoreGuard, StoreKey, TokenStore};
use zeroize::Zeroizing;

/// A [`TokenStore`] in files. Cheap to clone.
///
/// Files are read and written on a thread of their own, so that no runtime is held up by a disk.
///
/// | file | what |
/// |---|---|
/// | `KEY.json` | the record: `{"v":1,"kind":"refresh_token","token":…,"seed":…,"unanswered":0,"rotates":true}` or `{"v":1,"kind":"token",…}`; not encrypted |
/// | `KEY.tmp` | a record on its way. Whole ones of a writer that died are put in place by who locks next: a refresh token that the server has rotated exists nowhere else |
/// | `KEY.lock` | the lock; empty, never removed |
/// | `KEY.unreadable`, `KEY.unreadable.2`, … | damaged records, or a later version's, that were in the way of a commit |
#[derive(Clone, Debug)]
pub struct FileStore {
    locks: Arc<Folder>,
    records: Arc<Folder>,
    lock_wait: Duration,
    in_place: bool,
    handed: Arc<Mutex<Option<Locked>>>,
}

impl FileStore {
    /// The store in `folder`, which is created (0700) if it is not there.
    ///
    /// # Errors
    ///
    /// The folder cannot be created, belongs to somebody else, is open to others, or is a symbolic link. The error names it and the remedy.
    pub fn open(folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let locks = Arc::new(Folder::open(folder.into())?);
        Ok(Self { records: locks.clone(), locks, lock_wait: LONGEST_WAIT, in_place: false, handed: Arc::default() })
    }

    /// The store that everyone with this user's rights shares: locks in [`default_dir`](crate::default_dir), records in
    /// [`volatile_dir`](crate::volatile_dir) where there is one.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); and where no home is known.
    pub fn open_default() -> Result<Self, StoreError> {
        let folder = crate::default_dir().ok_or_else(|| {
            StoreError::new(
                "there is no folder for the store: no home is known; set UNEXPIRED_STORE to a folder of yours",
            )
        })?;
        let store = Self::open(folder)?;
        match crate::volatile_dir() {
            Some(records) => store.records_in(records),
            None => Ok(store),
        }
    }

    /// The folder of records that [`open_default`](Self::open_default) uses, for reading alone: `None` if there is none yet. Locks of this store are of
    /// no use.
    pub fn records_by_default() -> Option<Self> {
        let folder = Arc::new(Folder::existing(crate::folder::default_records()?)?);
        Some(Self {
            records: folder.clone(),
            locks: folder,
            lock_wait: LONGEST_WAIT,
            in_place: true,
            handed: Arc::default(),
        })
    }

    /// Keeps records in another folder than locks: access tokens belong in memory ([`volatile_dir`](crate::volatile_dir)), while a lock must be the
    /// same one for everybody.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn records_in(mut self, folder: impl Into<PathBuf>) -> Result<Self, StoreError> {
        self.records = Arc::new(Folder::open(folder.into())?);
        Ok(self)
    }

    /// How long a lock is waited for. Default 15 s.
    #[must_use]
    pub fn lock_wait(mut self, wait: Duration) -> Self {
        self.lock_wait = wait;
        self
    }

    /// Does its work on the thread that asks, in place of one of its own: for programs with nothing else to do meanwhile. A lock that somebody
    /// holds then blocks that thread.
    #[must_use]
    pub fn in_place(mut self) -> Self {
        self.in_place = true;
        self
    }

    /// Whoever asks for this lock next is given it, instead of waiting for it.
    #[must_use]
    pub fn handing_out(self, locked: Locked) -> Self {
        *self.handed.lock().unwrap_or_else(PoisonError::into_inner) = Some(locked);
        self
    }

    /// The folder of the locks.
    pub fn path(&self) -> &Path {
        self.locks.path()
    }

    /// The folder of the records.
    pub fn records_path(&self) -> &Path {
        self.records.path()
    }

    /// [`load`](TokenStore::load), on the thread that asks.
    ///
    /// # Errors
    ///
    /// The record cannot be read, or is none.
    pub fn load_now(&self, key: &StoreKey) -> Result<Option<Record>, StoreError> {
        self.files(key).load()
    }

    /// [`lock`](TokenStore::lock), on the thread that asks: `None` if somebody holds it for all of `wait`.
    ///
    /// # Errors
    ///
    /// The lock's file cannot be opened.
    pub fn lock_now(&self, key: &StoreKey, wait: Duration) -> Result<Option<Locked>, StoreError> {
        self.files(key).lock(wait, &|| false)
    }

    /// Takes over a lock that another process has let us inherit as an open file: `None` if that is another file than this key's lock, or is not
    /// locked by it.
    ///
    /// # Errors
    ///
    /// The lock's file cannot be looked at.
    pub fn inherit(&self, key: &StoreKey, file: File) -> Result<Option<Locked>, StoreError> {
        self.files(key).inherit(file)
    }

    fn files(&self, key: &StoreKey) -> Files {
        let name = key.as_str();
        let record = |ending: &str| self.records.path().join(format!("{name}.{ending}"));
        Files {
            locks: self.locks.clone(),
            records: self.records.clone(),
            record: record("json"),
            temporary: record("tmp"),
            lock: self.locks.path().join(format!("{name}.lock")),
        }
    }

    fn handed(&self, lock: &Path) -> Option<Locked> {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        handed.take_if(|locked| locked.0.files.lock == lock)
    }
}

impl TokenStore for FileStore {
    fn load(&self, key: &StoreKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        let files = self.files(key);
        self.run(move |_| files.load())
    }

    fn lock(&self, key: &StoreKey) -> BoxFuture<'_, Result<Box<dyn StoreGuard>, StoreError>> {
        let files = self.files(key);
        let (wait, in_place) = (self.lock_wait, self.in_place);
        if let Some(Locked(held)) = self.handed(&files.lock) {
            return Box::pin(ready(Ok(Box::new(Guard { held, in_place }) as Box<dyn StoreGuard>)));
        }
        let (place, seconds) = (files.lock.clone(), wait.as_secs_f64());
        let locked = self.run(move |abandoned| files.lock(wait, abandoned));
        Box::pin(async move {
            let Some(Locked(held)) = locked.await? else {
                let place = place.display();
                return Err(StoreError::new(format!(
                    "another process has held {place} for {seconds:.1} s; end it and try again"
                )));
            };
            Ok(Box::new(Guard { held, in_place }) as Box<dyn StoreGuard>)
        })
    }
}

impl FileStore {
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Fn() -> bool) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        run(self.in_place, work)
    }
}

fn run<T: Send + 'static>(
    in_place: bool,
    work: impl FnOnce(&dyn Fn() -> bool) -> Result<T, StoreError> + Send + 'static,
) -> BoxFuture<'static, Result<T, StoreError>> {
    if in_place { Box::pin(ready(work(&|| false))) } else { Box::pin(off_thread(work)) }
}

/// The exclusive right to change one record, held by this process. It ends when this is dropped.
#[derive(Debug)]
pub struct Locked(Arc<Held>);

impl Locked {
    /// The record as it is now.
    ///
    /// # Errors
    ///
    /// The record cannot be read, or is none.
    pub fn load(&self) -> Result<Option<Record>, StoreError> {
        self.0.files.load()
    }

    /// Replaces the record; done once it is durable.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn commit(&mut self, record: &Record) -> Result<(), StoreError> {
        self.0.files.commit(record)
    }

    /// The lock as an open file, for a child process to inherit: it stays locked until the last process that has it open closes it. Only where
    /// [`CAN_HAND_OVER`](Self::CAN_HAND_OVER) says so.
    pub fn hand_over(self) -> std::io::Result<File> {
        self.0.kept.store(true, Ordering::Release);
        self.0.lock.try_clone()
    }

    /// Whether a lock follows its open file into a child process. It does on Unix.
    pub const CAN_HAND_OVER: bool = cfg!(unix);
}

/// Shared with the thread of the last operation: a guard that is dropped in the middle of a commit keeps the lock until the commit is done.
struct Guard {
    held: Arc<Held>,
    in_place: bool,
}

#[derive(Debug)]
struct Held {
    files: Files,
    lock: File,
    /// A child has it, or will: it is let go by closing alone.
    kept: AtomicBool,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing would do, were there not children that inherit the descriptor for a moment between fork and exec.
        if !self.kept.load(Ordering::Acquire) {
            let _ = self.lock.unlock();
        }
    }
}

impl StoreGuard for Guard {
    fn load(&mut self) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        let held = self.held.clone();
        run(self.in_place, move |_| held.files.load())
    }

    fn commit(&mut self, record: Record) -> BoxFuture<'_, Result<(), StoreError>> {
        let held = self.held.clone();
        run(self.in_place, move |_| held.files.commit(&record))
    }
}

#[derive(Debug)]
struct Files {
    locks: Arc<Folder>,
    records: Arc<Folder>,
    record: PathBuf,
    temporary: PathBuf,
    lock: PathBuf,
}

impl Files {
    fn load(&self) -> Result<Option<Record>, StoreError> {
        self.records.check()?;
        read(&self.record)?.map(|bytes| format::parse(&bytes, &self.record)).transpose()
    }

    /// Waits for the lock until it is ours, the time is up, or nobody waits for us any more.
    fn lock(self, wait: Duration, abandoned: &dyn Fn() -> bool) -> Result<Option<Locked>, StoreError> {
        self.locks.check()?;
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
                return Ok(None);
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.held(file).map(Some)
    }

    fn inherit(self, file: File) -> Result<Option<Locked>, StoreError> {
        self.locks.check()?;
        sys::check_file(&file, &self.lock)?;
        // Taking a lock that the same open file holds already succeeds at once; if another has it, it is not ours.
        if !sys::is_file_at(&file, &self.lock) || file.try_lock().is_err() {
            return Ok(None);
        }
        self.held(file).map(Some)
    }

    fn held(self, lock: File) -> Result<Locked, StoreError> {
        let held = Held { files: self, lock, kept: AtomicBool::new(false) };
        held.files.finish()?;
        Ok(Locked(Arc::new(held)))
    }

    /// Writes beside the record, makes it durable, renames it into place, makes the renaming durable. A crash at any point leaves the old record
    /// or the new one.
    fn commit(&self, record: &Record) -> Result<(), StoreError> {
        let bytes = format::write(record)?;
        self.records.check()?;
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
        sys::sync_folder(self.records.path()).map_err(|error| failed("write", self.records.path(), &error))
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
    // Room for everything, so that no copy is left behind by growing. A record is replaced, never written on, so it keeps its length.
    let room = usize::try_from(length).unwrap_or_default().saturating_add(1);
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
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
