//! All that is particular to one operating system in this crate.

pub(crate) use os::*;

/// Forbids core dumps, which would hold tokens, and other processes of the user to look into this one's memory. Best effort: what the system
/// does not know is left out.
pub fn protect_memory() {
    os::protect();
}

#[cfg(unix)]
mod os {
    use rustix::fs::OFlags;
    use std::fs::{self, File, Metadata, OpenOptions};
    use std::io;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::Path;

    pub(super) fn protect() {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        #[cfg(target_os = "linux")]
        let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    }

    pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK)).open(path)
    }

    pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK)).open(path)
    }

    pub(crate) fn create_private(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(flags(OFlags::NOFOLLOW)).open(path)
    }

    pub(crate) fn check_private(metadata: &Metadata) -> Result<(), (&'static str, &'static str)> {
        if !metadata.is_file() {
            return Err(("are no regular file", "remove it; new keys are then made"));
        }
        if metadata.uid() != rustix::process::geteuid().as_raw() {
            return Err(("belong to another user", "remove the file; new keys are then made"));
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(("are open to others", "run chmod 600 on the file, and unexpired proxy key ROUTE --rotate"));
        }
        Ok(())
    }

    pub(crate) fn file_number(metadata: &Metadata) -> u64 {
        metadata.ino() ^ metadata.dev().rotate_left(32)
    }

    /// A socket at `path` that only its owner may connect to, from the moment at which it is there. One that nobody listens on is replaced.
    pub(crate) fn bind_private(path: &Path, suffix: &str) -> io::Result<UnixListener> {
        match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.file_type().is_socket() => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is something that is no socket"));
            }
            Ok(_) if UnixStream::connect(path).is_ok() => return Err(io::ErrorKind::AddrInUse.into()),
            _ => {}
        }
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(suffix);
        let temporary = Path::new(&temporary);
        let listener = UnixListener::bind(temporary)?;
        let placed = fs::set_permissions(temporary, fs::Permissions::from_mode(0o600))
            .and_then(|()| fs::rename(temporary, path));
        if let Err(error) = placed {
            let _ = fs::remove_file(temporary);
            return Err(error);
        }
        Ok(listener)
    }

    fn flags(flags: OFlags) -> i32 {
        flags.bits().cast_signed()
    }
}

/// Windows: the profile folder's own access list keeps others out, and renaming replaces.
#[cfg(not(unix))]
mod os {
    use std::fs::{File, Metadata, OpenOptions};
    use std::io;
    use std::path::Path;

    pub(super) fn protect() {}

    pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
    }

    pub(crate) fn create_private(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    pub(crate) fn check_private(metadata: &Metadata) -> Result<(), (&'static str, &'static str)> {
        if metadata.is_file() { Ok(()) } else { Err(("are no regular file", "remove it; new keys are then made")) }
    }

    pub(crate) fn file_number(_: &Metadata) -> u64 {
        0
    }
}
