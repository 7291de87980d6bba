//! A child with a temporary home, a clean environment, and an end: it never outlives the test.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running program. Dropping it kills the program and all that it started.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    leash: Option<ChildStdin>,
    home: TempDir,
}

impl Process {
    /// Starts `command` in `home`. Of this process's environment only `PATH` reaches it: preset CA files and proxies
    /// would decide whom it trusts.
    pub(crate) fn start(name: &str, home: TempDir, command: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = home.path().to_owned();
        Self::start_in(name, home, &folder, command, environment)
    }

    /// The same with another working folder than its home.
    pub(crate) fn start_in<V: AsRef<OsStr>>(
        name: &str,
        home: TempDir,
        folder: &Path,
        command: &[&str],
        environment: &[(&str, V)],
    ) -> Self {
        let out = File::create(home.path().join("stdout")).expect("the home is writable");
        let err = File::create(home.path().join("stderr")).expect("the home is writable");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", LEASH, name])
            .args(command)
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .env("TMPDIR", home.path())
            .env("LANG", "C.UTF-8")
            .envs(environment.iter().map(|(name, value)| (name, value.as_ref())))
            .stdin(Stdio::piped())
            .stdout(out)
            .stderr(err);
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        let mut child = shell.spawn().unwrap_or_else(|error| panic!("{name} did not start: {error}"));
        let leash = child.stdin.take();
        Self { name: name.to_owned(), child, leash, home }
    }

    /// Asks `probe` until it answers.
    ///
    /// # Panics
    /// If the program ends, or has not answered after 20 s.
    pub(crate) fn ready<T>(&mut self, probe: impl FnMut(&Self) -> Option<T>) -> T {
        self.within(READY, probe)
    }

    /// The same with a limit of its own.
    ///
    /// # Panics
    /// If the program ends before, or `limit` is over.
    pub(crate) fn within<T>(&mut self, limit: Duration, mut probe: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(answer) = probe(self) {
                return answer;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("{} ended with {status} before it was ready\n{}", self.name, self.log());
            }
            assert!(Instant::now() < deadline, "{} was not ready after {limit:?}\n{}", self.name, self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the program's own end.
    ///
    /// # Panics
    /// If it runs longer than `limit`.
    pub(crate) fn finish(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status,
                Ok(None) => {}
                Err(error) => panic!("{}: {error}", self.name),
            }
            assert!(Instant::now() < deadline, "{} still ran after {limit:?}\n{}", self.name, self.log());
            sleep(Duration::from_millis(20));
        }
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its number: the shell that starts it becomes it.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to stdout so far.
    pub(crate) fn stdout(&self) -> String {
        read(&self.home.path().join("stdout"))
    }

    /// What it wrote to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        read(&self.home.path().join("stderr"))
    }

    fn log(&self) -> String {
        format!("stdout:\n{}\nstderr:\n{}", self.stdout(), self.stderr())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.leash.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A temporary home.
pub(crate) fn home() -> TempDir {
    tempfile::Builder::new().prefix("unexpired-test-").tempdir().expect("a temporary folder")
}

/// A port that was free a moment ago. For servers that cannot choose one themselves; try again if somebody was faster.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("test folders have UTF-8 names")
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}

/// The shell becomes the program; beside it, in the same process group, a watcher holds the other end of our pipe.
/// The pipe closes when we drop it and when this process dies, however it dies; then the watcher ends the whole group.
/// (Linux's parent-death signal would fire already when the *thread* that started the child ends.)
const LEASH: &str = r#"exec 3<&0; (cat <&3; kill -KILL 0) >/dev/null 2>&1 & exec "$@" 3<&- </dev/null"#;

/// Node took over 3 s on two busy cores.
const READY: Duration = Duration::from_secs(20);
