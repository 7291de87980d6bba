//! One record in a file of its own, replaced by renaming.

use crate::folder::Folder;
use crate::{format, sys};
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use unexpired_core::{Record, StoreError};
use zeroize::Zeroizing;

#[derive(Debug)]
pub(crate) struct RecordFile {
    folder: Arc<Folder>,
    record: PathBuf,
    temporary: PathBuf,
    /// Stands where the record is in the keyring now.
    moved: PathBuf,
}

impl RecordFile {
    pub(crate) fn new(folder: Arc<Folder>, name: &str) -> Self {
        let file = |ending: &str| folder.path().join(format!("{name}.{ending}"));
        let (record, temporary, moved) = (file("json"), file("tmp"), file("in-keyring"));
        Self { folder, record, temporary, moved }
    }

    pub(crate) fn load(&self) -> Result<Option<Record>, StoreError> {
        self.folder.check()?;
        let record = self.load_left()?;
        if record.is_none() && fs::symlink_metadata(&self.moved).is_ok() {
            return Err(StoreError::new(format!(
                "the refresh token is in the keyring, where it was kept last; set store to \"keyring\" again, or sign in anew and remove {}",
                self.moved.display()
            )));
        }
        Ok(record)
    }

    /// What is in the file; for the keyring, what was left there before the keyring was chosen.
    pub(crate) fn load_left(&self) -> Result<Option<Record>, StoreError> {
        read(&self.record)?.map(|bytes| format::parse(&bytes, &self.record)).transpose()
    }

    /// For the keyring: the record is there from now on. What was left in the file goes, and of a refresh token a mark stays, so that files do not
    /// begin anew with one that was used up.
    #[cfg(feature = "keyring")]
    pub(crate) fn moved(&self, leaves_a_mark: bool) -> Result<(), StoreError> {
        remove(&self.record).map_err(|error| failed("remove", &self.record, &error))?;
        if leaves_a_mark && fs::symlink_metadata(&self.moved).is_err() {
            sys::create(&self.moved).map(drop).map_err(|error| failed("write", &self.moved, &error))?;
        }
        Ok(())
    }

    /// Writes beside the record, makes it durable, renames it into place, makes the renaming durable. A crash at any point leaves the old record
    /// or the new one.
    pub(crate) fn commit(&self, record: &Record) -> Result<(), StoreError> {
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
    pub(crate) fn finish(&self) -> Result<(), StoreError> {
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
