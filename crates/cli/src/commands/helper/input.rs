//! What clients send on stdin: never without end, and wiped, since it may hold a secret.

use crate::failure::{Failure, USAGE};
use std::io::{self, BufRead, Read as _};
use zeroize::Zeroizing;

/// All of stdin, as text; what is no UTF-8 is replaced.
pub(super) fn all() -> Result<Zeroizing<String>, Failure> {
    // As large as it may become: a buffer that grew would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX + 1));
    io::stdin().lock().take(MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() > MAX {
        return Err(too_long());
    }
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Zeroizing::new(text)),
        // A path of git's, or a password of somebody else; nothing of ours is spelled like that.
        Err(error) => {
            let bytes = Zeroizing::new(error.into_bytes());
            Ok(Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned()))
        }
    }
}

/// The next line, without its end; `None` at the end of the input.
pub(super) fn line(input: &mut impl BufRead) -> Result<Option<Zeroizing<String>>, Failure> {
    let mut line = Zeroizing::new(String::new());
    let read = input.take(MAX as u64 + 1).read_line(&mut line).map_err(|error| unreadable(&error))?;
    if read > MAX {
        return Err(too_long());
    }
    let end = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(end);
    Ok((read > 0).then_some(line))
}

/// Takes what a client sends and throws it away: one that writes to a closed pipe may fall over.
pub(super) fn discard() {
    let _ = io::copy(&mut io::stdin().lock().take(MAX as u64), &mut io::sink());
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::new(USAGE, format!("stdin cannot be read: {}", error.kind()))
}

fn too_long() -> Failure {
    Failure::new(USAGE, "stdin holds more than 256 KiB, which no client sends")
}

/// git sends lines of up to 64 KiB, go the whole head of a response, OpenClaw up to 512 ids of 256 characters.
const MAX: usize = 256 * 1024;
