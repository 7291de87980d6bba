//! A folder is held by its descriptor, and files are opened relative to it: what was checked is what is used.

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The state folder: ours, and closed to everybody else.
pub(crate) struct Folder(OwnedFd);

impl Folder {
    /// Opens the folder, and creates it with its parents if it is not there.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        match Self::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
                Self::open(path)
            }
            other => other,
        }
    }

    fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(folder) => folder,
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(io::Error::other("it is a symbolic link or no folder; name a real one"));
            }
            Err(error) => return Err(error.into()),
        };
        let stat = rustix::fs::fstat(&folder)?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("it belongs to another user; name one of your own"));
        }
        if stat.st_mode & 0o077 != 0 {
            return Err(io::Error::other("others may enter it; run chmod 700 on it"));
        }
        Ok(Self(folder))
    }

    /// The content of a file, or `None` if there is none.
    pub(crate) fn read(&self, name: &str) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        // NONBLOCK: a named pipe must not hold us up before it is seen to be none of ours.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.0, name, flags, Mode::empty()) {
            Ok(file) => super::read_whole(ours(file)?).map(Some),
            Err(Errno::NOENT) => Ok(None),
            Err(Errno::LOOP) => Err(io::Error::other("it is a symbolic link; remove it")),
            Err(error) => Err(error.into()),
        }
    }

    /// A new file.
    pub(crate) fn create_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        ours(rustix::fs::openat(&self.0, name, flags, PRIVATE)?)
    }

    /// A file to be locked, created if it is not there.
    pub(crate) fn lock_file(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.0, name, flags, PRIVATE) {
            Ok(file) => ours(file),
            Err(Errno::LOOP) => Err(io::Error::other("it is a symbolic link; remove it")),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether something has this name.
    pub(crate) fn exists(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a name away; it may be gone already.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.0, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Renames a file, over another if there is one.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?)
    }

    /// Done when what was renamed is on the disk.
    pub(crate) fn sync(&self) -> io::Result<()> {
        match rustix::fs::fsync(&self.0) {
            // Some file systems cannot flush folders.
            Ok(()) | Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A plain file that belongs to us and that nobody else may read or write.
fn ours(file: OwnedFd) -> io::Result<File> {
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is no plain file; remove it"));
    }
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it belongs to another user; remove it"));
    }
    if stat.st_mode & 0o077 != 0 {
        return Err(io::Error::other("others may use it; run chmod 600 on it"));
    }
    Ok(File::from(file))
}

/// The state folder under the user's home.
pub(crate) fn state_folder() -> Option<PathBuf> {
    let users = std::fs::read("/etc/passwd").unwrap_or_default();
    let home = home_in(&users, rustix::process::geteuid().as_raw()).or_else(std::env::home_dir)?;
    let below =
        if cfg!(target_os = "macos") { "Library/Application Support/unexpired" } else { ".local/state/unexpired" };
    Some(home.join(below))
}

/// The home folder of `uid` in the text of `/etc/passwd`: `name:password:uid:gid:gecos:home:shell`.
fn home_in(users: &[u8], uid: u32) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt as _;
    let uid = uid.to_string();
    users.split(|byte| *byte == b'\n').find_map(|line| {
        let mut fields = line.split(|byte| *byte == b':');
        (fields.nth(2)? == uid.as_bytes()).then_some(())?;
        let home = fields.nth(2)?;
        home.starts_with(b"/").then(|| PathBuf::from(std::ffi::OsStr::from_bytes(home)))
    })
}

/// `rw-------`.
const PRIVATE: Mode = Mode::RUSR.union(Mode::WUSR);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_is_found_by_number() {
        let users = b"root:x:0:0:root:/root:/bin/sh\n# comment\nbroken:x\ndev:x:1000:1000:A Dev,,,:/home/dev:/bin/sh\nodd:x:7:7::none:";
        assert_eq!(home_in(users, 1000), Some("/home/dev".into()));
        assert_eq!(home_in(users, 0), Some("/root".into()));
        assert_eq!(home_in(users, 100), None);
        assert_eq!(home_in(users, 7), None);
    }
}
