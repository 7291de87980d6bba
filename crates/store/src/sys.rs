//! All that is particular to one operating system in this crate.

pub(crate) use os::*;

/// When this machine booted, in tens of seconds.
fn boot_second() -> String {
    use unexpired_core::{Clock as _, SystemClock};
    let now = SystemClock.now();
    format!("about {}", now.wall_nanos().saturating_sub(now.boot_nanos()) / 10_000_000_000)
}

#[cfg(unix)]
mod os {
    use rustix::fs::OFlags;
    use std::ffi::OsStr;
    use std::fs::{self, DirBuilder, File, OpenOptions};
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
    use std::path::{Path, PathBuf};
    use unexpired_core::StoreError;

    #[cfg(target_vendor = "apple")]
    pub(crate) const STATE: &str = "Library/Application Support/unexpired";
    #[cfg(not(target_vendor = "apple"))]
    pub(crate) const STATE: &str = ".local/state/unexpired";

    pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
        match fs::symlink_metadata(path) {
            Ok(_) => Ok(()),
            Err(_) => DirBuilder::new().recursive(true).mode(0o700).create(path),
        }
    }

    pub(crate) fn check_folder(path: &Path) -> Result<(), StoreError> {
        let place = path.display();
        let metadata =
            fs::symlink_metadata(path).map_err(|error| StoreError::new(format!("cannot look at {place}: {error}")))?;
        let refused = |what: &str| Err(StoreError::new(format!("the store {place} {what}")));
        if metadata.is_symlink() {
            return refused("is a symbolic link, which is not followed; name the folder itself");
        }
        if !metadata.is_dir() {
            return refused("is no folder; move it away or set UNEXPIRED_STORE");
        }
        if metadata.uid() != user() {
            return refused("belongs to another user; set UNEXPIRED_STORE to a folder of your own");
        }
        if metadata.mode() & 0o077 != 0 {
            return refused("is open to others; close it with chmod 700");
        }
        Ok(())
    }

    pub(crate) fn check_file(file: &File, path: &Path) -> Result<(), StoreError> {
        let place = path.display();
        let metadata = file.metadata().map_err(|error| StoreError::new(format!("cannot look at {place}: {error}")))?;
        let refused = |what: &str| Err(StoreError::new(format!("{place} {what}")));
        if !metadata.is_file() {
            return refused("is no file; move it away");
        }
        if metadata.uid() != user() {
            return refused("belongs to another user; move it away");
        }
        if metadata.mode() & 0o077 != 0 {
            return refused("is open to others, so its secret may be known; close it with chmod 600, or sign in again");
        }
        Ok(())
    }

    pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK)).open(path)
    }

    pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK)).open(path)
    }

    pub(crate) fn create(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(flags(OFlags::NOFOLLOW)).open(path)
    }

    /// Whether the open file is the one that has this name.
    pub(crate) fn is_file_at(file: &File, path: &Path) -> bool {
        match (file.metadata(), fs::symlink_metadata(path)) {
            (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
            _ => false,
        }
    }

    /// Where records may lie that need not outlive a boot: `/run/user/UID` if it is ours alone, else a folder of ours in `/dev/shm`.
    #[cfg(target_os = "linux")]
    pub(crate) fn volatile() -> Vec<PathBuf> {
        let mut places = Vec::new();
        let runtime = PathBuf::from(format!("/run/user/{}", user()));
        if fs::symlink_metadata(&runtime)
            .is_ok_and(|found| found.is_dir() && found.uid() == user() && found.mode() & 0o077 == 0)
        {
            places.push(runtime.join("unexpired"));
        }
        // Everybody may write here, and nobody may take away what is another's: the sticky bit says so.
        if fs::symlink_metadata("/dev/shm").is_ok_and(|found| found.is_dir() && found.mode() & 0o1000 != 0) {
            places.push(PathBuf::from(format!("/dev/shm/unexpired-{}", user())));
        }
        places
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn volatile() -> Vec<PathBuf> {
        Vec::new()
    }

    /// What tells this boot from every other. Where the system has no such thing, the second of the boot by the wall clock, in tens: another boot
    /// has another, and a clock that was set only makes what was written count anew from the wall clock.
    pub(crate) fn boot_id() -> &'static str {
        static ID: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        ID.get_or_init(|| match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
            Ok(id) if !id.trim().is_empty() => id.trim().to_owned(),
            _ => super::boot_second(),
        })
    }

    /// Makes a renaming durable.
    pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    /// The home of the passwd entry, without asking the environment; where the file does not list us `HOME`, or else the system's look-up.
    pub(crate) fn home() -> Option<PathBuf> {
        let listed = fs::read("/etc/passwd").ok().and_then(|passwd| home_in(&passwd, user()));
        listed.or_else(std::env::home_dir).filter(|home| home.is_absolute())
    }

    /// `name:password:uid:gid:comment:home:shell`, a line a user.
    fn home_in(passwd: &[u8], uid: u32) -> Option<PathBuf> {
        let uid = uid.to_string();
        passwd.split(|byte| *byte == b'\n').find_map(|line| {
            let mut fields = line.split(|byte| *byte == b':');
            let ours = fields.nth(2)? == uid.as_bytes();
            let home = fields.nth(2)?;
            (ours && home.starts_with(b"/")).then(|| PathBuf::from(OsStr::from_bytes(home)))
        })
    }

    /// Whether a file was not opened because it is a symbolic link.
    pub(crate) fn is_link(error: &io::Error) -> bool {
        error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
    }

    fn user() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    fn flags(flags: OFlags) -> i32 {
        flags.bits().cast_signed()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn the_home_of_the_passwd_entry() {
            let passwd = b"root:x:0:0:root:/root:/bin/sh\n#comment\nodd\nalice:x:1000:1000:A,,:/home/alice:/bin/zsh\nnone:x:7:7:::\n";
            assert_eq!(home_in(passwd, 1000), Some("/home/alice".into()));
            assert_eq!(home_in(passwd, 0), Some("/root".into()));
            assert_eq!(home_in(passwd, 7), None);
            assert_eq!(home_in(passwd, 8), None);
        }
    }
}

/// Windows and others: the profile folder's own access list keeps others out, and renaming replaces.
#[cfg(not(unix))]
mod os {
    use std::fs::{self, File, OpenOptions};
    use std::io;
    use std::path::{Path, PathBuf};
    use unexpired_core::StoreError;

    pub(crate) const STATE: &str = "unexpired";

    pub(crate) fn create_folder(path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    pub(crate) fn check_folder(path: &Path) -> Result<(), StoreError> {
        let place = path.display();
        match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => {
                Err(StoreError::new(format!("the store {place} is no folder; move it away or set UNEXPIRED_STORE")))
            }
            Err(error) => Err(StoreError::new(format!("cannot look at {place}: {error}"))),
        }
    }

    pub(crate) fn check_file(file: &File, path: &Path) -> Result<(), StoreError> {
        match file.metadata() {
            Ok(metadata) if metadata.is_file() => Ok(()),
            _ => Err(StoreError::new(format!("{} is no file; move it away", path.display()))),
        }
    }

    pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    pub(crate) fn open_lock(path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
    }

    pub(crate) fn create(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    pub(crate) fn is_file_at(_: &File, _: &Path) -> bool {
        // Locks are not inherited here.
        false
    }

    pub(crate) fn volatile() -> Vec<PathBuf> {
        Vec::new()
    }

    pub(crate) fn boot_id() -> &'static str {
        static ID: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        ID.get_or_init(super::boot_second)
    }

    /// Folders cannot be synced here; the renaming is in the file system's journal.
    pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn is_link(_: &io::Error) -> bool {
        false
    }

    pub(crate) fn home() -> Option<PathBuf> {
        std::env::var_os("LOCALAPPDATA").map(PathBuf::from).filter(|home| home.is_absolute())
    }
}
