//! All that is particular to one operating system in this crate.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use manager::*;
pub(crate) use os::*;

/// The file of this program, for starting it once more.
pub(crate) fn this_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// A name beside this file for what is to take its place.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".unexpired-{}", std::process::id()));
    path.with_file_name(name)
}

#[cfg(unix)]
mod os {
    use super::{Command, beside};
    use std::ffi::OsStr;
    use std::fs::{File, Metadata, OpenOptions};
    use std::io::{self, Write};
    use std::os::fd::AsFd as _;
    use std::os::unix::process::CommandExt as _;
    use std::path::{Path, PathBuf};
    use std::process::ExitStatus;

    /// Writes a file that only this user can read.
    pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(bytes)
    }

    /// A new file that only this user can read.
    pub(crate) fn create_private(path: &Path) -> io::Result<File> {
        use std::os::unix::fs::OpenOptionsExt as _;
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    }

    /// Makes a renaming or a removal in a file's folder durable, where the folder allows it.
    pub(crate) fn sync_folder(file: &Path) {
        let _ = file.parent().and_then(|folder| File::open(folder).ok()).map(|folder| folder.sync_all());
    }

    /// Whose a file is to be: numbers, each only if it was asked for.
    #[derive(Debug, Default)]
    pub(crate) struct Owner {
        user: Option<u32>,
        group: Option<u32>,
    }

    impl Owner {
        /// `USER`, `USER:GROUP` or `:GROUP`, by name or number.
        pub(crate) fn parse(text: &str) -> Result<Self, String> {
            let (user, group) = text.split_once(':').map_or((text, ""), |(user, group)| (user, group));
            let number = |name: &str, file: &str| match name {
                "" => Ok(None),
                _ => name.parse().ok().or_else(|| number_in(&read(file), name)).map(Some).ok_or_else(|| {
                    format!(
                        "{file} has no {}; write a name that it has, or a number",
                        unexpired::text::one_line(name, 40)
                    )
                }),
            };
            Ok(Self { user: number(user, "/etc/passwd")?, group: number(group, "/etc/group")? })
        }
    }

    /// The number of a user of `/etc/passwd`.
    pub(crate) fn user_named(name: &str) -> Option<u32> {
        number_in(&read("/etc/passwd"), name)
    }

    /// Whether a user who is no more than that can read a file: nothing is known of the groups that the user is in besides its own.
    pub(crate) fn is_readable_by(metadata: &Metadata, user: Option<u32>, group: Option<u32>) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        let mode = metadata.mode();
        mode & 0o004 != 0
            || (mode & 0o040 != 0 && Some(metadata.gid()) == group)
            || (mode & 0o400 != 0 && Some(metadata.uid()) == user)
    }

    /// The number of a group of `/etc/group`.
    pub(crate) fn group_named(name: &str) -> Option<u32> {
        number_in(&read("/etc/group"), name)
    }

    /// Gives a file its owner and then its mode.
    pub(crate) fn give(file: &File, owner: &Owner, mode: u32) -> io::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        if owner.user.is_some() || owner.group.is_some() {
            std::os::unix::fs::fchown(file, owner.user, owner.group)?;
        }
        file.set_permissions(std::fs::Permissions::from_mode(mode))
    }

    /// `name:password:number:…`, in both files.
    fn number_in(text: &str, name: &str) -> Option<u32> {
        text.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == name).then_some(())?;
            fields.nth(1)?.parse().ok()
        })
    }

    fn read(path: &str) -> String {
        std::fs::read_to_string(path).unwrap_or_default()
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

    /// The user whose rights this process has.
    pub(crate) fn user() -> Option<u32> {
        Some(rustix::process::geteuid().as_raw())
    }

    /// The keys of a terminal as they are pressed, without being shown; put back as it was when this is dropped. Signals stay signals.
    pub(crate) struct Keys(Option<rustix::termios::Termios>);

    impl Keys {
        pub(crate) fn unbuffered() -> Self {
            use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
            let Ok(before) = tcgetattr(std::io::stdin()) else { return Self(None) };
            let mut modes = before.clone();
            modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO;
            Self(tcsetattr(std::io::stdin(), OptionalActions::Now, &modes).is_ok().then_some(before))
        }

        /// The same, and what is pressed to end a program is a key like any other: for whoever hides what is typed, and must put that back.
        #[cfg(feature = "keyring")]
        pub(crate) fn hidden() -> Self {
            use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
            let Ok(before) = tcgetattr(std::io::stdin()) else { return Self(None) };
            let mut modes = before.clone();
            modes.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
            Self(tcsetattr(std::io::stdin(), OptionalActions::Flush, &modes).is_ok().then_some(before))
        }

        /// Whether keys are hidden now.
        #[cfg(feature = "keyring")]
        pub(crate) const fn are_hidden(&self) -> bool {
            self.0.is_some()
        }

        /// Tells each key, on a thread that nobody waits for, until `told` says no.
        pub(crate) fn listen(told: impl Fn(u8) -> bool + Send + 'static) {
            if std::io::IsTerminal::is_terminal(&std::io::stdin()) {
                std::thread::spawn(move || {
                    use std::io::Read as _;
                    let mut keys = std::io::stdin().lock().bytes();
                    while keys.next().is_some_and(|key| key.is_ok_and(&told)) {}
                });
            }
        }
    }

    impl Drop for Keys {
        fn drop(&mut self) {
            if let Some(before) = &self.0 {
                let _ = rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, before);
            }
        }
    }

    /// Who may do what with a file.
    pub(crate) fn mode(metadata: &Metadata) -> Option<u32> {
        use std::os::unix::fs::MetadataExt as _;
        Some(metadata.mode() & 0o7777)
    }

    /// Whether a file or folder belongs to another user than this one and root.
    pub(crate) fn is_anothers(metadata: &Metadata) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        metadata.uid() != 0 && Some(metadata.uid()) != user()
    }

    /// Whether a file belongs to this user.
    pub(crate) fn is_own(metadata: &Metadata) -> bool {
        use std::os::unix::fs::MetadataExt as _;
        Some(metadata.uid()) == user()
    }

    /// The number of a file on its disk.
    pub(crate) fn inode(metadata: &Metadata) -> Option<u64> {
        use std::os::unix::fs::MetadataExt as _;
        Some(metadata.ino())
    }

    /// Whether a folder is this user's alone: what is wrong, and the remedy. As the store itself sees it.
    pub(crate) fn own_alone(metadata: &Metadata) -> Result<(), (&'static str, &'static str)> {
        use std::os::unix::fs::MetadataExt as _;
        if metadata.is_symlink() {
            return Err(("is a symbolic link, which is not followed", "name the folder itself by UNEXPIRED_STORE"));
        }
        if !metadata.is_dir() {
            return Err(("is no folder", "move it away, or set UNEXPIRED_STORE"));
        }
        if Some(metadata.uid()) != user() {
            return Err(("belongs to another user", "set UNEXPIRED_STORE to a folder of your own"));
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(("is open to others", "close it with chmod 700"));
        }
        Ok(())
    }

    /// A working folder that is always there.
    pub(crate) const ROOT: &str = "/";

    /// A process group of its own: whoever ends the group of the one that starts it does not end it.
    pub(crate) fn detach(command: &mut Command) {
        command.process_group(0);
    }

    /// Writes a file anew, in one step, with this mode.
    pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
        use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
        let temporary = beside(path);
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
            file.write_all(bytes)?;
            file.set_permissions(std::fs::Permissions::from_mode(mode & 0o777))?;
            file.sync_all()?;
            std::fs::rename(&temporary, path)
        };
        write().inspect_err(|_| drop(std::fs::remove_file(&temporary)))
    }

    /// A folder that only this user can enter.
    pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::DirBuilder::new().mode(0o700).create(path)
    }

    /// A symbolic link at `link` that leads to `to`.
    pub(crate) fn link(to: &Path, link: &Path) -> io::Result<()> {
        std::os::unix::fs::symlink(to, link)
    }

    /// The name by which a program finds itself called, whatever its file.
    pub(crate) fn called(command: &mut Command, name: &OsStr) {
        command.arg0(name);
    }

    /// Whether the file can be run; none if there is no such file.
    pub(crate) fn is_executable(path: &Path) -> Option<bool> {
        use std::os::unix::fs::PermissionsExt as _;
        let metadata = std::fs::metadata(path).ok()?;
        Some(metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    }

    /// The files that a program's name means, in this order.
    pub(crate) fn program_files(path: &Path) -> Vec<PathBuf> {
        vec![path.to_path_buf()]
    }

    /// The signal that ended a program.
    pub(crate) fn signal_of(status: ExitStatus) -> Option<i32> {
        use std::os::unix::process::ExitStatusExt as _;
        status.signal()
    }

    /// Whether the terminal sends its interrupts to this process group.
    pub(crate) fn is_in_foreground() -> bool {
        let terminal = File::open("/dev/tty");
        terminal.is_ok_and(|tty| rustix::termios::tcgetpgrp(tty).is_ok_and(|group| group == rustix::process::getpgrp()))
    }

    /// Sends a signal to a process of ours that has not been waited for.
    pub(crate) fn send(process: u32, signal: i32) {
        let process = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
        let signal = rustix::process::Signal::from_named_raw(signal);
        if let (Some(process), Some(signal)) = (process, signal) {
            // One that has just ended needs none.
            let _ = rustix::process::kill_process(process, signal);
        }
    }

    /// The lock that whoever started this process left on its standard input, if that is a file.
    pub(crate) fn inherited_lock() -> Option<File> {
        let file = File::from(std::io::stdin().as_fd().try_clone_to_owned().ok()?);
        file.metadata().is_ok_and(|metadata| metadata.is_file()).then_some(file)
    }
}

#[cfg(not(unix))]
mod os {
    use super::{Command, beside};
    use std::ffi::OsStr;
    use std::fs::{File, Metadata, OpenOptions};
    use std::io::{self, Write};
    use std::path::{Path, PathBuf};
    use std::process::ExitStatus;

    pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).open(path)?.write_all(bytes)
    }

    pub(crate) fn create_private(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    pub(crate) fn sync_folder(_: &Path) {}

    /// There are no owners by number here.
    #[derive(Debug, Default)]
    pub(crate) struct Owner;

    impl Owner {
        pub(crate) fn parse(_: &str) -> Result<Self, String> {
            Err("there is no such thing on this system".to_owned())
        }
    }

    /// Who may read a file is what the folder's access list says.
    pub(crate) fn give(_: &File, _: &Owner, _: u32) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn stamp(metadata: &Metadata) -> String {
        format!("{:?}.{}.{:?}", metadata.modified().ok(), metadata.len(), metadata.created().ok())
    }

    pub(crate) fn stdout() -> impl Write {
        std::io::stdout()
    }

    pub(crate) fn user() -> Option<u32> {
        None
    }

    pub(crate) fn user_named(_: &str) -> Option<u32> {
        None
    }

    pub(crate) fn group_named(_: &str) -> Option<u32> {
        None
    }

    pub(crate) fn is_readable_by(_: &Metadata, _: Option<u32>, _: Option<u32>) -> bool {
        true
    }

    /// Here a signal ends what is shown; keys are not listened to.
    pub(crate) struct Keys;

    impl Keys {
        pub(crate) fn unbuffered() -> Self {
            Self
        }

        #[cfg(feature = "keyring")]
        pub(crate) fn hidden() -> Self {
            Self
        }

        #[cfg(feature = "keyring")]
        pub(crate) const fn are_hidden(&self) -> bool {
            false
        }

        pub(crate) fn listen(_: impl Fn(u8) -> bool + Send + 'static) {}
    }

    /// Access lists are not looked at here.
    pub(crate) fn mode(_: &Metadata) -> Option<u32> {
        None
    }

    pub(crate) fn is_anothers(_: &Metadata) -> bool {
        false
    }

    pub(crate) fn is_own(_: &Metadata) -> bool {
        true
    }

    pub(crate) fn inode(_: &Metadata) -> Option<u64> {
        None
    }

    pub(crate) fn own_alone(metadata: &Metadata) -> Result<(), (&'static str, &'static str)> {
        if metadata.is_dir() { Ok(()) } else { Err(("is no folder", "move it away, or set UNEXPIRED_STORE")) }
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

    pub(crate) fn replace(path: &Path, bytes: &[u8], _: u32) -> io::Result<()> {
        let temporary = beside(path);
        let write = || {
            let mut file = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            drop(file);
            std::fs::rename(&temporary, path)
        };
        write().inspect_err(|_| drop(std::fs::remove_file(&temporary)))
    }

    pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
        std::fs::create_dir(path)
    }

    pub(crate) fn link(to: &Path, link: &Path) -> io::Result<()> {
        #[cfg(windows)]
        return if to.is_dir() {
            std::os::windows::fs::symlink_dir(to, link)
        } else {
            std::os::windows::fs::symlink_file(to, link)
        };
        #[cfg(not(windows))]
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn called(_: &mut Command, _: &OsStr) {}

    pub(crate) fn is_executable(path: &Path) -> Option<bool> {
        std::fs::metadata(path).ok().map(|metadata| metadata.is_file())
    }

    pub(crate) fn program_files(path: &Path) -> Vec<PathBuf> {
        let with = |ending: &str| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            PathBuf::from(name)
        };
        // What npm installs are command files.
        [".exe", ".cmd", ".bat", ""].iter().map(|ending| with(ending)).collect()
    }

    pub(crate) fn signal_of(_: ExitStatus) -> Option<i32> {
        None
    }

    pub(crate) fn inherited_lock() -> Option<File> {
        None
    }
}

/// What a service manager hands over, and what it is told: the protocols `sd_listen_fds` and `sd_notify`.
#[cfg(target_os = "linux")]
mod manager {
    use rustix::net::{AddressFamily, sockopt};
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
    use std::path::{Path, PathBuf};
    use std::time::Duration;
    use unexpired_proxy::{Listen, Place};

    /// The listeners that were handed over to this process, each with the name that it was given. Once only, and before anything else is opened: from
    /// then on they are the caller's.
    pub(crate) fn handed_over() -> Result<Vec<(String, Listen, Place)>, String> {
        let count = std::env::var("LISTEN_FDS").unwrap_or_default();
        if count.parse::<u32>().is_ok_and(|count| count > MOST_LISTENERS) {
            return Err(format!("LISTEN_FDS is {count}, more than {MOST_LISTENERS}"));
        }
        let handed = sd_listen_fds::get().map_err(|_| "LISTEN_PID or LISTEN_FDS is no number".to_owned())?;
        let mut listeners = Vec::new();
        for (at, (name, socket)) in handed.into_iter().enumerate() {
            let (listen, place) =
                listener(socket.into_std()).map_err(|what| format!("the socket number {at} {what}"))?;
            listeners.push((name.unwrap_or_default(), listen, place));
        }
        Ok(listeners)
    }

    fn listener(socket: OwnedFd) -> Result<(Listen, Place), String> {
        let unusable = |error: rustix::io::Errno| format!("cannot be used: {error}");
        rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC).map_err(unusable)?;
        // A connection that was accepted already (Accept=yes) and a datagram socket are refused here.
        if !sockopt::socket_acceptconn(&socket).map_err(unusable)? {
            return Err("is not listened at".to_owned());
        }
        let address = rustix::net::getsockname(&socket).map_err(unusable)?;
        match address.address_family() {
            AddressFamily::INET | AddressFamily::INET6 => {
                let listener = TcpListener::from(socket);
                let address = listener.local_addr().map_err(|error| format!("has no address: {error}"))?;
                Ok((Listen::Tcp(listener.into()), Place::Tcp(address)))
            }
            AddressFamily::UNIX => {
                let listener = UnixListener::from(socket);
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(SocketAddr::as_pathname).map_or_else(PathBuf::new, Path::to_owned);
                Ok((Listen::Unix(listener.into()), Place::Socket(path)))
            }
            other => Err(format!("is of another family ({})", other.as_raw())),
        }
    }

    /// Tells the service manager, if there is one that wants to know. One that does not listen changes nothing.
    pub(crate) fn tell_manager(state: &str) {
        let Some(place) = std::env::var_os("NOTIFY_SOCKET").filter(|place| !place.is_empty()) else { return };
        let address = match place.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name),
            None => SocketAddr::from_pathname(&place),
        };
        let told = UnixDatagram::unbound().and_then(|socket| {
            socket.set_write_timeout(Some(Duration::from_secs(1)))?;
            socket.send_to_addr(state.as_bytes(), &address?)
        });
        if let Err(error) = told {
            crate::out::to_stderr(&format!("warning: the service manager was not told {state}: {error}"));
        }
    }

    const MOST_LISTENERS: u32 = 64;
}

/// Other systems' managers hand nothing over that can be taken without foreign code, and notice the end of a process by themselves.
#[cfg(not(target_os = "linux"))]
mod manager {
    use unexpired_proxy::{Listen, Place};

    #[allow(clippy::unnecessary_wraps, reason = "as on Linux")]
    pub(crate) fn handed_over() -> Result<Vec<(String, Listen, Place)>, String> {
        Ok(Vec::new())
    }

    pub(crate) fn tell_manager(_: &str) {}
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn owners_by_name_and_number() {
        for (text, shown) in [
            ("0:0", "Owner { user: Some(0), group: Some(0) }"),
            ("root", "Owner { user: Some(0), group: None }"),
            (":4242", "Owner { user: None, group: Some(4242) }"),
            ("", "Owner { user: None, group: None }"),
        ] {
            assert_eq!(format!("{:?}", Owner::parse(text).unwrap()), shown);
        }
        assert!(Owner::parse("no-such-user-here").unwrap_err().contains("/etc/passwd"));
        assert!(Owner::parse("0:no-such-group-here").unwrap_err().contains("/etc/group"));
    }
}
