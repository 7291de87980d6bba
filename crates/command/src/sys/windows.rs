//! Threads for the streams, and `taskkill` for the tree of processes.
//!
//! A process that outlived its parent is no longer in the tree and is not found. A reader whose stream such a process keeps open stays
//! behind until that process ends.

use super::{CHUNK, Capped, Ended, Running, Tail};
use std::io::{self, Read};
use std::os::windows::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// Dropping it tells the supervisor to end the run.
pub(crate) struct Stop(Sender<Seen>);

impl Drop for Stop {
    fn drop(&mut self) {
        let _ = self.0.send(Seen::Stop);
    }
}

enum Seen {
    Out(Zeroizing<Vec<u8>>),
    Err(Zeroizing<Vec<u8>>),
    /// A stream has ended.
    End,
    Stop,
}

/// Starts `command`, supervised by a thread of its own.
pub(crate) fn start(command: Command) -> io::Result<Running> {
    let (tell, told) = channel();
    let stop = Stop(tell.clone());
    let (done, ended) = oneshot::channel();
    std::thread::Builder::new()
        .name("unexpired-command".into())
        .spawn(move || supervise(command, tell, &told, done))?;
    Ok(Running { stop: Some(stop), ended })
}

fn supervise(mut command: Command, tell: Sender<Seen>, told: &Receiver<Seen>, done: oneshot::Sender<Ended>) {
    command.creation_flags(CREATE_NO_WINDOW).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // cmd.exe and CreateProcess look into the working folder first, unless this is set.
    command.env("NoDefaultCurrentDirectoryInExePath", "1");
    let spawned = command.spawn();
    drop(command);
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let _ = done.send(Ended::NotStarted(error));
            return;
        }
    };
    let watched = match (child.stdout.take(), child.stderr.take()) {
        (Some(out), Some(err)) => {
            let both = follow(out, tell.clone(), Seen::Out).and_then(|()| follow(err, tell, Seen::Err));
            both.map(|()| watch(&mut child, told))
        }
        _ => Err(io::Error::other("no streams")),
    };
    let ended = watched.unwrap_or_else(Ended::NotStarted);
    if !matches!(ended, Ended::Exited { .. }) {
        kill_tree(&mut child);
    }
    let _ = done.send(ended);
    let _ = child.wait();
}

/// Passes a stream on, chunk by chunk.
fn follow(
    mut stream: impl Read + Send + 'static,
    tell: Sender<Seen>,
    wrap: fn(Zeroizing<Vec<u8>>) -> Seen,
) -> io::Result<()> {
    std::thread::Builder::new().name("unexpired-stream".into()).spawn(move || {
        let mut chunk = Zeroizing::new([0_u8; CHUNK]);
        while let Ok(length @ 1..) = stream.read(&mut *chunk) {
            let bytes = Zeroizing::new(chunk.get(..length).unwrap_or_default().to_vec());
            if tell.send(wrap(bytes)).is_err() {
                return;
            }
        }
        let _ = tell.send(Seen::End);
    })?;
    Ok(())
}

fn watch(child: &mut Child, told: &Receiver<Seen>) -> Ended {
    let (mut stdout, mut stderr) = (Capped::new(), Tail::new());
    let mut open = 2_u8;
    let mut exited: Option<Instant> = None;
    loop {
        match told.recv_timeout(SLICE) {
            Ok(Seen::Out(bytes)) => {
                if !stdout.push(&bytes) {
                    return Ended::Overflow;
                }
            }
            Ok(Seen::Err(bytes)) => stderr.push(&bytes),
            Ok(Seen::End) => open = open.saturating_sub(1),
            Ok(Seen::Stop) => return Ended::Stopped { stderr },
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
        }
        match child.try_wait() {
            Ok(None) => {
                if open == 0 {
                    // Both streams are closed and the child lives on: only its end or `Stop` is left to wait for.
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
            Ok(Some(_)) | Err(_) => {
                // What the child wrote may still be on its way through the readers.
                let since = *exited.get_or_insert_with(Instant::now);
                if open == 0 || since.elapsed() > GRACE {
                    return Ended::Exited { status: child.wait().ok(), stdout: stdout.0, stderr };
                }
            }
        }
    }
}

fn kill_tree(child: &mut Child) {
    let mut taskkill = Command::new(root_folder().join("System32").join("taskkill.exe"));
    taskkill.args(["/T", "/F", "/PID", &child.id().to_string()]).creation_flags(CREATE_NO_WINDOW);
    let _ = taskkill.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let _ = child.kill();
}

/// The shell, with `line` as its program.
pub(crate) fn shell(line: &str) -> Command {
    let mut command = Command::new(root_folder().join("System32").join("cmd.exe"));
    // `cmd` has its own idea of quotes: with `/s` the outer pair is taken off and the rest stays as it is.
    command.args(["/d", "/s", "/c"]).raw_arg(format!("\"{line}\""));
    command
}

/// Where commands start.
pub(crate) fn root_folder() -> PathBuf {
    std::env::var_os("SystemRoot")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .unwrap_or_else(|| r"C:\Windows".into())
}

/// The files in `folder` that `name` may mean: itself if it has an ending, else with each of the usual endings.
pub(crate) fn candidates(folder: &Path, name: &str) -> Vec<PathBuf> {
    let lower = name.to_ascii_lowercase();
    if ENDINGS.iter().any(|ending| lower.ends_with(ending)) {
        return vec![folder.join(name)];
    }
    ENDINGS.iter().map(|ending| folder.join(format!("{name}{ending}"))).collect()
}

/// Whether `file` is there.
pub(crate) fn is_program(file: &Path) -> bool {
    file.is_file()
}

/// Whether both name the same environment variable.
pub(crate) fn same_variable(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

/// What separates folders in a path, and a drive from its path.
pub(crate) const SEPARATORS: &[char] = &['/', '\\', ':'];
/// The endings of programs.
pub(crate) const ENDINGS: &[&str] = &[".com", ".exe", ".bat", ".cmd"];
/// `PATH` where there is none.
pub(crate) const DEFAULT_PATH: &str = r"C:\Windows\System32;C:\Windows";

const CREATE_NO_WINDOW: u32 = 0x0800_0000;
const SLICE: Duration = Duration::from_millis(20);
const GRACE: Duration = Duration::from_millis(500);
