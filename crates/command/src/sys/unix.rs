//! Process groups, `poll`, and a child that stays a zombie until its group has been dealt with.

use super::{CHUNK, Capped, Ended, Running, Tail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// Closing it tells the supervisor to end the run.
pub(crate) type Stop = PipeWriter;

/// Starts `command` in a group of its own, supervised by a thread of its own.
pub(crate) fn start(command: Command) -> io::Result<Running> {
    let (stopped, stop) = io::pipe()?;
    let (done, ended) = oneshot::channel();
    std::thread::Builder::new().name("unexpired-command".into()).spawn(move || supervise(command, &stopped, done))?;
    Ok(Running { stop: Some(stop), ended })
}

fn supervise(mut command: Command, stopped: &PipeReader, done: oneshot::Sender<Ended>) {
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let spawned = command.spawn();
    // It holds what was set in the environment, and nobody needs that any more.
    drop(command);
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            let _ = done.send(Ended::NotStarted(error));
            return;
        }
    };
    let group = Pid::from_child(&child);
    let ended = match watch(&mut child, group, stopped) {
        Ended::Exited { stdout, stderr, .. } => Ended::Exited { status: child.wait().ok(), stdout, stderr },
        other => {
            // The leader has not been waited for, so its number, which is the group's, cannot belong to anybody else.
            let _ = kill_process_group(group, Signal::KILL);
            other
        }
    };
    let _ = done.send(ended);
    // Nothing new if it has exited; otherwise the killed child is collected.
    let _ = child.wait();
}

/// Reads both streams until the child has exited, too much was written, or nobody waits any more.
///
/// The child's own end decides, not the end of its output: a grandchild may hold stdout open for ever.
fn watch(child: &mut Child, group: Pid, stopped: &PipeReader) -> Ended {
    let (mut stdout, mut stderr) = (Capped::new(), Tail::new());
    let mut out = child.stdout.take().filter(|pipe| rustix::io::ioctl_fionbio(pipe, true).is_ok());
    let mut err = child.stderr.take().filter(|pipe| rustix::io::ioctl_fionbio(pipe, true).is_ok());
    let mut slice = FIRST_SLICE;
    loop {
        // Asked before reading: what was written before the end is in the pipe by then.
        let exited = has_exited(group);
        let mut overflow = false;
        let open = (out.is_some(), err.is_some());
        read(&mut out, |bytes| {
            overflow |= !stdout.push(bytes);
            !overflow
        });
        read(&mut err, |bytes| {
            stderr.push(bytes);
            true
        });
        if overflow {
            return Ended::Overflow;
        }
        if exited {
            return Ended::Exited { status: None, stdout: stdout.0, stderr };
        }
        // A stream that closes is mostly the child's end, a moment before it can be seen.
        slice = if open == (out.is_some(), err.is_some()) { (slice * 2).min(LAST_SLICE) } else { FIRST_SLICE };
        if wait(stopped, out.as_ref().map(AsFd::as_fd), err.as_ref().map(AsFd::as_fd), slice) {
            return Ended::Stopped { stderr };
        }
    }
}

/// Reads what is there, as far as a whole answer may be long; a stream at its end is closed.
fn read(stream: &mut Option<impl Read>, mut take: impl FnMut(&[u8]) -> bool) {
    let mut chunk = Zeroizing::new([0_u8; CHUNK]);
    for _ in 0..READS {
        let Some(pipe) = stream else { return };
        match pipe.read(&mut *chunk) {
            Ok(length) if length > 0 => {
                if !take(chunk.get(..length).unwrap_or_default()) {
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => *stream = None,
        }
    }
}

/// Sleeps until something can be read or `slice` is over. Whether the run is to be ended.
fn wait(
    stopped: &PipeReader,
    out: Option<std::os::fd::BorrowedFd<'_>>,
    err: Option<std::os::fd::BorrowedFd<'_>>,
    slice: Duration,
) -> bool {
    let time = Timespec { tv_sec: 0, tv_nsec: i64::from(slice.subsec_nanos()) as _ };
    let mut all: Vec<PollFd<'_>> = Vec::with_capacity(3);
    all.push(PollFd::new(stopped, PollFlags::IN));
    all.extend([out, err].into_iter().flatten().map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN)));
    match poll(&mut all, Some(&time)) {
        Ok(_) => all.first().is_some_and(|stop| !stop.revents().is_empty()),
        Err(rustix::io::Errno::INTR) => false,
        // Cannot happen with descriptors that are open; ending the run is better than a loop without sleep.
        Err(_) => true,
    }
}

/// Whether the child has ended. It stays a zombie. A child that somebody else has collected has ended as well.
fn has_exited(child: Pid) -> bool {
    let looked = waitid(WaitId::Pid(child), WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT);
    !matches!(looked, Ok(None) | Err(rustix::io::Errno::INTR))
}

/// The shell, with `line` as its program.
pub(crate) fn shell(line: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]);
    command
}

/// Where commands start.
pub(crate) fn root_folder() -> PathBuf {
    "/".into()
}

/// The files in `folder` that `name` may mean.
pub(crate) fn candidates(folder: &Path, name: &str) -> Vec<PathBuf> {
    vec![folder.join(name)]
}

/// Whether `file` can be executed by somebody.
pub(crate) fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Whether both name the same environment variable.
pub(crate) fn same_variable(a: &str, b: &str) -> bool {
    a == b
}

/// What separates folders in a path.
pub(crate) const SEPARATORS: &[char] = &['/'];
/// The endings of programs.
pub(crate) const ENDINGS: &[&str] = &[];
/// `PATH` where there is none: helpers are often started without environment.
pub(crate) const DEFAULT_PATH: &str = if cfg!(target_os = "macos") {
    "/opt/homebrew/bin:/usr/local/bin:/usr/bin:/bin"
} else {
    "/usr/local/bin:/usr/bin:/bin"
};

/// Pauses between looks at a child that is silent: it may have exited while a grandchild keeps its streams open.
const FIRST_SLICE: Duration = Duration::from_millis(1);
const LAST_SLICE: Duration = Duration::from_millis(50);
/// So many chunks are more than stdout may hold.
const READS: usize = 16;
