//! All that is particular to one operating system in this crate.

use std::io;
use std::path::PathBuf;
use std::process::Command;

pub(crate) use os::*;

/// The file of this program, for starting it once more.
pub(crate) fn this_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

#[cfg(unix)]
mod os {
    use super::Command;
    use std::fs::{File, Metadata, OpenOptions};
    use std::io::{self, Write};
    use std::os::fd::AsFd as _;
    use std::os::unix::process::CommandExt as _;
    use std::path::Path;

    /// Writes a file that only this user can read.
    pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)
    }

    /// What tells one state of a file from every other.
    pub(crate) fn stamp(metadata: &Metadata) -> String {
        use std::os::unix::fs::MetadataExt as _;
        let numbers = [
            metadata.dev(),
            metadata.ino(),
            metadata.size(),
            u64::from(metadata.mode()),
            u64::from(metadata.uid()),
            metadata.mtime().cast_unsigned(),
            metadata.mtime_nsec().cast_unsigned(),
            metadata.ctime().cast_unsigned(),
            metadata.ctime_nsec().cast_unsigned(),
        ];
        numbers.iter().map(|number| format!("{number:x}.")).collect()
    }

    /// The standard output without a buffer.
    pub(crate) fn stdout() -> impl Write {
        std::io::stdout()
            .as_fd()
            .try_clone_to_owned()
            .map_or_else(|error| Out::Failed(error.kind()), |out| Out::File(File::from(out)))
    }

    enum Out {
        File(File),
        Failed(io::ErrorKind),
    }

    impl Write for Out {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            match self {
                Self::File(file) => file.write(bytes),
                Self::Failed(kind) => Err((*kind).into()),
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A working folder that is always there.
    pub(crate) const ROOT: &str = "/";

    /// A process group of its own: whoever ends the group of the one that starts it does not end it.
    pub(crate) fn detach(command: &mut Command) {
        command.process_group(0);
    }

    /// The lock that whoever started this process left on its standard input, if that is a file.
    pub(crate) fn inherited_lock() -> Option<File> {
        let file = File::from(std::io::stdin().as_fd().try_clone_to_owned().ok()?);
        file.metadata().is_ok_and(|metadata| metadata.is_file()).then_some(file)
    }
}

#[cfg(not(unix))]
mod os {
    use super::Command;
    use std::fs::{File, Metadata, OpenOptions};
    use std::io::{self, Write};
    use std::path::Path;

    pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).open(path)?.write_all(bytes)
    }

    pub(crate) fn stamp(metadata: &Metadata) -> String {
        format!("{:?}.{}.{:?}", metadata.modified().ok(), metadata.len(), metadata.created().ok())
    }

    pub(crate) fn stdout() -> impl Write {
        std::io::stdout()
    }

    pub(crate) const ROOT: &str = "\\";

    pub(crate) fn detach(command: &mut Command) {
        #[cfg(windows)]
        {
            use std::os::windows::process::CommandExt as _;
            const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
            const DETACHED_PROCESS: u32 = 0x8;
            command.creation_flags(CREATE_NEW_PROCESS_GROUP | DETACHED_PROCESS);
        }
        #[cfg(not(windows))]
        let _ = command;
    }

    pub(crate) fn inherited_lock() -> Option<File> {
        None
    }
}
