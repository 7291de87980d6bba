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
    use std::fs::File;
    use std::os::fd::AsFd as _;
    use std::os::unix::process::CommandExt as _;

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
    use std::fs::File;

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
