//! Starting a program and ending it with all its children: all that is particular to one operating system in this crate.
//!
//! One thread supervises one run, so that no caller's runtime is blocked and none is needed. It ends the run when [`Running`] is dropped.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as here;
#[cfg(windows)]
use windows as here;

pub(crate) use here::{
    DEFAULT_PATH, ENDINGS, SEPARATORS, candidates, is_program, root_folder, same_variable, shell, start,
};

use std::io;
use std::process::ExitStatus;
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// A run. Dropping it kills the whole group.
pub(crate) struct Running {
    stop: Option<here::Stop>,
    /// How it ended.
    pub(crate) ended: oneshot::Receiver<Ended>,
}

impl Running {
    /// Kills the whole group.
    pub(crate) fn stop(&mut self) {
        self.stop = None;
    }
}

/// How a run ended.
pub(crate) enum Ended {
    /// By itself. The status is missing if the host program collects all its children itself.
    Exited { status: Option<ExitStatus>, stdout: Zeroizing<Vec<u8>>, stderr: Tail },
    /// It wrote too much, and was killed.
    Overflow,
    /// It was killed because nobody waits any more.
    Stopped { stderr: Tail },
    /// It never began.
    NotStarted(io::Error),
}

/// What a stream has brought, up to a limit.
struct Capped(Zeroizing<Vec<u8>>);

impl Capped {
    fn new() -> Self {
        // All of it at once: a vector that grows leaves copies behind.
        Self(Zeroizing::new(Vec::with_capacity(MAX_STDOUT)))
    }

    /// Whether there was room.
    fn push(&mut self, bytes: &[u8]) -> bool {
        let fits = self.0.len().saturating_add(bytes.len()) <= MAX_STDOUT;
        if fits {
            self.0.extend_from_slice(bytes);
        }
        fits
    }
}

/// The last few KiB of a stream.
pub(crate) struct Tail {
    bytes: Zeroizing<Vec<u8>>,
    cut: bool,
}

impl Tail {
    pub(crate) fn new() -> Self {
        Self { bytes: Zeroizing::new(Vec::with_capacity(MAX_STDERR + CHUNK)), cut: false }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(CHUNK) {
            self.bytes.extend_from_slice(chunk);
            let excess = self.bytes.len().saturating_sub(MAX_STDERR);
            if excess > 0 {
                self.bytes.drain(..excess);
                self.cut = true;
            }
        }
    }

    /// The text, from the first whole line on: half a token might not look like one.
    pub(crate) fn text(&self) -> String {
        let bytes: &[u8] = if self.cut {
            self.bytes.iter().position(|byte| *byte == b'\n').and_then(|end| self.bytes.get(end..)).unwrap_or_default()
        } else {
            &self.bytes
        };
        String::from_utf8_lossy(bytes).into_owned()
    }
}

const MAX_STDOUT: usize = 64 * 1024;
const MAX_STDERR: usize = 4 * 1024;
const CHUNK: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_begins_with_a_whole_line() {
        let mut tail = Tail::new();
        tail.push(b"short\n");
        assert_eq!(tail.text(), "short\n");
        tail.push(&[b'x'; 20_000]);
        assert_eq!(tail.text(), "");
        tail.push(b"\nERROR: the end");
        assert_eq!(tail.text(), "\nERROR: the end");
    }

    #[test]
    fn what_is_capped_never_moves() {
        let mut capped = Capped::new();
        let place = capped.0.as_ptr();
        assert!(capped.push(&[b'x'; MAX_STDOUT]));
        assert!(!capped.push(b"x"));
        assert_eq!((capped.0.as_ptr(), capped.0.len()), (place, MAX_STDOUT));
    }
}
