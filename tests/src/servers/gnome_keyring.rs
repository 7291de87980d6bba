//! GNOME Keyring: the Secret Service that most desktops have, on a session bus of its own.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::presence::{Found, program, record};
use crate::process::{Process, home, text};

/// A `dbus-daemon` and a `gnome-keyring-daemon` on it, with an unlocked default keyring. Nothing of the machine's own session is touched, and
/// nothing listens but a Unix socket in a temporary folder.
#[derive(Debug)]
pub struct GnomeKeyring {
    bus: SessionBus,
    keyring: Option<Process>,
    home: TempDir,
}

impl GnomeKeyring {
    /// Starts both.
    pub fn start() -> Option<Self> {
        let bus = SessionBus::start()?;
        let mut server = Self { bus, keyring: None, home: home() };
        server.run();
        Some(server)
    }

    /// The address of the bus, for `DBUS_SESSION_BUS_ADDRESS`.
    pub fn address(&self) -> &str {
        self.bus.address()
    }

    /// Ends the keyring as a crash would, and starts it anew on the same bus and the same files.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn restart(&mut self) {
        self.keyring = None;
        self.run();
    }

    /// Whether the keyring is still on the bus.
    pub fn lives(&self) -> bool {
        self.bus.pid_of("org.freedesktop.secrets").is_some()
    }

    /// Locks the default keyring.
    ///
    /// # Panics
    /// If the keyring does not do it.
    pub fn lock(&self) {
        let locked = self
            .bus
            .send("org.freedesktop.Secret.Service.Lock", &["array:objpath:/org/freedesktop/secrets/collection/login"]);
        assert!(locked.is_some(), "the keyring locks itself");
    }

    /// Stops the keyring in the middle of what it does: it has its name on the bus, and answers nobody.
    ///
    /// # Panics
    /// If there is no such process.
    pub fn freeze(&self) {
        let pid = self.bus.pid_of("org.freedesktop.secrets").expect("the keyring is on the bus");
        let stopped = std::process::Command::new("kill").args(["-STOP", &pid]).status();
        assert!(stopped.is_ok_and(|status| status.success()), "the keyring stops");
    }

    /// The files of the keyring, which are encrypted.
    pub fn files(&self) -> PathBuf {
        self.home.path().join(".local/share/keyrings")
    }

    fn run(&mut self) {
        let folder = self.home.path();
        // The password is read from its standard input, once.
        let line = format!(
            "printf {PASSWORD} | exec gnome-keyring-daemon --foreground --unlock --components=secrets --control-directory={}/control",
            folder.display()
        );
        let environment = [
            ("DBUS_SESSION_BUS_ADDRESS", self.address().to_owned()),
            ("HOME", text(folder).to_owned()),
            ("XDG_RUNTIME_DIR", text(folder).to_owned()),
        ];
        let mut process = Process::start_in("gnome-keyring", home(), folder, &["sh", "-c", &line], &environment);
        process.ready(|_| {
            let answer = self.bus.send("org.freedesktop.Secret.Service.ReadAlias", &["string:default"])?;
            answer.contains("/collection/login").then_some(())
        });
        self.keyring = Some(process);
    }
}

/// A session bus that starts nothing by itself.
#[derive(Debug)]
pub struct SessionBus {
    address: String,
    _process: Process,
    _home: TempDir,
}

impl SessionBus {
    /// Starts it; [`None`] if GNOME Keyring is not installed.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start() -> Option<Self> {
        record("gnome-keyring", find())?;
        let folder = home();
        let (socket, config) = (folder.path().join("bus"), folder.path().join("bus.conf"));
        std::fs::write(&config, CONFIG.replace("SOCKET", text(&socket))).expect("the home is writable");
        let config = format!("--config-file={}", config.display());
        let mut process = Process::start("dbus-daemon", home(), &["dbus-daemon", "--nofork", &config], &[]);
        process.ready(|_| std::os::unix::net::UnixStream::connect(&socket).ok());
        Some(Self { address: format!("unix:path={}", socket.display()), _process: process, _home: folder })
    }

    /// Its address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Calls a method of the Secret Service, and gives what `dbus-send` prints.
    fn send(&self, method: &str, arguments: &[&str]) -> Option<String> {
        self.call("org.freedesktop.secrets", "/org/freedesktop/secrets", method, arguments)
    }

    fn pid_of(&self, name: &str) -> Option<String> {
        let bus = "org.freedesktop.DBus";
        let method = "org.freedesktop.DBus.GetConnectionUnixProcessID";
        let said = self.call(bus, "/org/freedesktop/DBus", method, &[&format!("string:{name}")])?;
        said.split_whitespace().last().map(str::to_owned)
    }

    fn call(&self, destination: &str, path: &str, method: &str, arguments: &[&str]) -> Option<String> {
        let mut command = std::process::Command::new("dbus-send");
        command.arg(format!("--bus={}", self.address)).args(["--print-reply", "--reply-timeout=2000"]);
        command.args([&format!("--dest={destination}"), path, method]).args(arguments);
        let output = command.output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

fn find() -> Found<()> {
    ["dbus-daemon", "dbus-send", "gnome-keyring-daemon"].into_iter().try_for_each(|name| program(name).map(drop))
}

/// Of the fake keyring.
const PASSWORD: &str = "fake-password";

const CONFIG: &str = r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=SOCKET</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"#;
