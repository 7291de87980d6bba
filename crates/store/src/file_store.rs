//! Locks in files, and the records that they guard: in files as well, or in the operating system's keyring.

use crate::folder::Folder;
#[cfg(feature = "keyring")]
use crate::keyring::{Entry, Keyring, SystemKeyring};
use crate::kind::StoreKind;
use crate::record_file::{RecordFile, failed};
use crate::sys;
use crate::thread::off_thread;
use std::fs::{File, TryLockError};
use std::future::ready;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use unexpired_core::{BoxFuture, Record, StoreError, StoreGuard, StoreKey, TokenStore};

/// A [`TokenStore`] in files. Cheap to clone.
///
/// Records can be in the operating system's keyring instead: [`open_keyring`](Self::open_keyring). Then only the locks are files.
///
/// Files are read and written on a thread of their own, so that no runtime is held up by a disk.
///
/// | file | what |
/// |---|---|
/// | `KEY.json` | the record: `{"v":1,"kind":"refresh_token","token":…,"seed":…,"unanswered":0,"rotates":true}` or `{"v":1,"kind":"token",…}`; not encrypted |
/// | `KEY.tmp` | a record on its way. Whole ones of a writer that died are put in place by who locks next: a refresh token that the server has rotated exists nowhere else |
/// | `KEY.lock` | the lock; empty, never removed |
/// | `KEY.in-keyring` | a mark: the refresh token is in the keyring; empty |
/// | `KEY.unreadable`, `KEY.unreadable.2`, … | damaged records, or a later version's, that were in the way of a commit |
#[derive(Clone, Debug)]
pub struct FileStore {
    locks: Arc<Folder>,
    records: Records,
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
        let records = Records::Folder(locks.clone());
        Ok(Self { records, locks, lock_wait: LONGEST_WAIT, in_place: false, handed: Arc::default() })
    }

    /// The store that everyone with this user's rights shares: locks in [`default_dir`](crate::default_dir), records in
    /// [`volatile_dir`](crate::volatile_dir) where there is one.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); where no home is known; and where `UNEXPIRED_STORE` says that there are no files: see [`StoreKind`].
    pub fn open_default() -> Result<Self, StoreError> {
        StoreKind::check_environment()?;
        if let Some(kind) = StoreKind::of_environment().filter(|kind| *kind != StoreKind::File) {
            let name = kind.name();
            return Err(StoreError::new(format!(
                "UNEXPIRED_STORE is {name}, and this needs files; set it to a folder of yours"
            )));
        }
        let store = Self::open_locks()?;
        match crate::volatile_dir() {
            Some(records) => store.records_in(records),
            None => Ok(store),
        }
    }

    /// The store whose records are in the operating system's keyring, under the service `unexpired`; its locks are in [`default_dir`](crate::default_dir).
    /// Nothing that is secret is in a file.
    ///
    /// An operation takes at most 4 s, and asks nobody to unlock the keyring. A record that is too long for an entry is kept in several.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); and if the keyring cannot be reached or is locked, or this is built without the feature `keyring`.
    pub fn open_keyring() -> Result<Self, StoreError> {
        #[cfg(feature = "keyring")]
        {
            StoreKind::check_environment()?;
            let keyring = SystemKeyring::new();
            keyring.check()?;
            Ok(Self::open_locks()?.records_in_keyring(Arc::new(keyring)))
        }
        #[cfg(not(feature = "keyring"))]
        Err(StoreError::new(NO_KEYRING))
    }

    /// The default folder of locks.
    fn open_locks() -> Result<Self, StoreError> {
        let folder = crate::default_dir().ok_or_else(|| {
            StoreError::new(
                "there is no folder for the store: no home is known; set UNEXPIRED_STORE to a folder of yours",
            )
        })?;
        Self::open(folder)
    }

    /// The folder of records that [`open_default`](Self::open_default) uses, for reading alone: `None` if there is none yet, or the store is of
    /// another kind by `UNEXPIRED_STORE`. Locks of this store are of no use.
    pub fn records_by_default() -> Option<Self> {
        let files = match StoreKind::of_environment() {
            Some(kind) => kind == StoreKind::File,
            None => StoreKind::check_environment().is_ok(),
        };
        if !files {
            return None;
        }
        let folder = Arc::new(Folder::existing(crate::folder::default_records()?)?);
        Some(Self {
            records: Records::Folder(folder.clone()),
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
        self.records = Records::Folder(Arc::new(Folder::open(folder.into())?));
        Ok(self)
    }

    /// Keeps records in a keyring, under the service `unexpired`. Locks stay files, and nothing that is secret is in them.
    #[cfg(feature = "keyring")]
    #[must_use]
    pub fn records_in_keyring(mut self, keyring: Arc<dyn Keyring>) -> Self {
        self.records = Records::Keyring(keyring);
        self
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

    /// The folder of the records; that of the locks, if the records are in a keyring.
    pub fn records_path(&self) -> &Path {
        match &self.records {
            Records::Folder(folder) => folder.path(),
            #[cfg(feature = "keyring")]
            Records::Keyring(_) => self.locks.path(),
        }
    }

    /// Where the records are.
    pub fn kind(&self) -> StoreKind {
        match &self.records {
            Records::Folder(_) => StoreKind::File,
            #[cfg(feature = "keyring")]
            Records::Keyring(_) => StoreKind::Keyring,
        }
    }

    /// [`load`](TokenStore::load), on the thread that asks.
    ///
    /// # Errors
    ///
    /// The record cannot be read, or is none.
    pub fn load_now(&self, key: &StoreKey) -> Result<Option<Record>, StoreError> {
        self.files(key).record.load()
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
        let record = match &self.records {
            Records::Folder(folder) => Place::File(RecordFile::new(folder.clone(), name)),
            #[cfg(feature = "keyring")]
            Records::Keyring(keyring) => Place::Keyring(
                Entry::new(keyring.clone(), &account(name, self.locks.path())),
                RecordFile::new(self.locks.clone(), name),
            ),
        };
        Files { locks: self.locks.clone(), lock: self.locks.path().join(format!("{name}.lock")), record }
    }

    fn handed(&self, lock: &Path) -> Option<Locked> {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        handed.take_if(|locked| locked.0.files.lock == lock)
    }
}

impl TokenStore for FileStore {
    fn load(&self, key: &StoreKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        let files = self.files(key);
        self.run(move |_| files.record.load())
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
        self.0.files.record.load()
    }

    /// Replaces the record; done once it is durable.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn commit(&mut self, record: &Record) -> Result<(), StoreError> {
        self.0.files.record.commit(record)
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
        run(self.in_place, move |_| held.files.record.load())
    }

    fn commit(&mut self, record: Record) -> BoxFuture<'_, Result<(), StoreError>> {
        let held = self.held.clone();
        run(self.in_place, move |_| held.files.record.commit(&record))
    }
}

/// The account of a record in the keyring. Whoever locks in another folder than the default one has records of its own, for the locks are what keeps two
/// from redeeming the same refresh token.
#[cfg(feature = "keyring")]
fn account(name: &str, locks: &Path) -> String {
    if crate::folder::state_dir().is_some_and(|default| default == locks) {
        return name.to_owned();
    }
    let of = unexpired_core::Digest::of(&locks.to_string_lossy()).to_hex();
    format!("{name}.{}", of.get(..16).unwrap_or_default())
}

/// Where all records are.
#[derive(Clone, Debug)]
enum Records {
    Folder(Arc<Folder>),
    #[cfg(feature = "keyring")]
    Keyring(Arc<dyn Keyring>),
}

/// Where one record is.
#[derive(Debug)]
enum Place {
    File(RecordFile),
    /// With the file in which the record was before the keyring was chosen.
    #[cfg(feature = "keyring")]
    Keyring(Entry, RecordFile),
}

impl Place {
    fn load(&self) -> Result<Option<Record>, StoreError> {
        match self {
            Self::File(file) => file.load(),
            #[cfg(feature = "keyring")]
            Self::Keyring(entry, before) => match entry.load()? {
                Some(record) => Ok(Some(record)),
                // A refresh token that the server has rotated exists nowhere else.
                None => before.load_left(),
            },
        }
    }

    /// Replaces the record. A crash at any point leaves the old one or the new one.
    fn commit(&self, record: &Record) -> Result<(), StoreError> {
        match self {
            Self::File(file) => file.commit(record),
            #[cfg(feature = "keyring")]
            Self::Keyring(entry, before) => {
                entry.commit(record)?;
                before.moved(matches!(record, Record::RefreshToken(_)))
            }
        }
    }

    /// Under the lock: ends what a writer began that died.
    fn finish(&self) -> Result<(), StoreError> {
        match self {
            Self::File(file) => file.finish(),
            // Nothing is ever half in place there; in the file from before it may be.
            #[cfg(feature = "keyring")]
            Self::Keyring(_, before) => before.finish(),
        }
    }
}

#[derive(Debug)]
struct Files {
    locks: Arc<Folder>,
    lock: PathBuf,
    record: Place,
}

impl Files {
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
        held.files.record.finish()?;
        Ok(Locked(Arc::new(held)))
    }
}

const LONGEST_WAIT: Duration = Duration::from_secs(15);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// Said wherever a keyring is asked for and there is none.
#[cfg(not(feature = "keyring"))]
pub(crate) const NO_KEYRING: &str =
    "this build has no keyring; build it with --features keyring, or keep tokens in files: store = \"file\"";
