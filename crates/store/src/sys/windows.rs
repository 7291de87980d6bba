//! Windows: the profile folder's access list keeps others out; links are refused.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The state folder.
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Opens the folder, and creates it with its parents if it is not there.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        if !std::fs::symlink_metadata(path)?.is_dir() {
            return Err(io::Error::other("it is a link or no folder; name a real one"));
        }
        Ok(Self(path.to_owned()))
    }

    /// The content of a file, or `None` if there is none.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        match self.open(name, OpenOptions::new().read(true)) {
            Ok(file) => super::read_whole(file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A new file.
    pub(crate) fn create_file(&self, name: &str) -> io::Result<File> {
        self.open(name, OpenOptions::new().write(true).create_new(true))
    }

    /// A file to be locked, created if it is not there.
    pub(crate) fn lock_file(&self, name: &str) -> io::Result<File> {
        self.open(name, OpenOptions::new().read(true).write(true).create(true).truncate(false))
    }

    /// Whether something has this name.
    pub(crate) fn exists(&self, name: &str) -> io::Result<bool> {
        match std::fs::symlink_metadata(self.0.join(name)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes a name away; it may be gone already.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match std::fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Renames a file, over another if there is one.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.0.join(from), self.0.join(to))
    }

    /// Folders cannot be flushed; NTFS keeps a journal of its names.
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, name: &str, options: &mut OpenOptions) -> io::Result<File> {
        let file = options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).open(self.0.join(name))?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is a link or no plain file; remove it"));
        }
        Ok(file)
    }
}

/// The state folder in the user's profile.
pub(crate) fn state_folder() -> Option<PathBuf> {
    let local = std::env::var_os("LOCALAPPDATA").filter(|value| !value.is_empty()).map(PathBuf::from);
    let local = local.or_else(|| std::env::home_dir().map(|home| home.join("AppData").join("Local")))?;
    Some(local.join("unexpired"))
}

const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
