//! `unexpired secret`: puts a secret into the operating system's keyring, or takes it away. It comes on stdin, so it is in no argument list and no
//! shell's history.

use crate::args::SecretCommand;
use crate::failure::{Failure, OTHER, USAGE};
use crate::out;
use crate::sys::Keys;
use std::io::{IsTerminal as _, Read as _};
use unexpired::store::keyring::{Keyring as _, KeyringError, SystemKeyring};
use unexpired::{ErrorKind, Secret};
use zeroize::Zeroizing;

pub(crate) fn run(own: &SecretCommand) -> Result<(), Failure> {
    let (SecretCommand::Set { entry } | SecretCommand::Remove { entry }) = own;
    let (service, account) = entry
        .rsplit_once('/')
        .filter(|parts| !parts.0.is_empty() && !parts.1.is_empty() && !entry.contains(char::is_control))
        .ok_or_else(|| Failure::new(USAGE, "the entry is not of the form SERVICE/ACCOUNT").hint(USE))?;
    let keyring = SystemKeyring::new();
    match own {
        SecretCommand::Set { .. } => {
            // Before anything is typed.
            keyring.check().map_err(told)?;
            keyring.set(service, account, read(entry)?.expose()).map_err(told)?;
        }
        SecretCommand::Remove { .. } => {
            if !keyring.remove(service, account).map_err(told)? {
                out::to_stderr("warning: the keyring has no such entry");
            }
        }
    }
    Ok(())
}

fn told(error: KeyringError) -> Failure {
    Failure::of(ErrorKind::Unavailable, error)
}

/// The secret, without the one line end after it.
fn read(entry: &str) -> Result<Secret, Failure> {
    let bytes = if std::io::stdin().is_terminal() { typed(entry)? } else { piped()? };
    let text = std::str::from_utf8(&bytes).map_err(|_| Failure::new(USAGE, "the secret is not UTF-8"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() || text.contains('\0') || bytes.len() as u64 > LONGEST {
        let line = "stdin holds no secret: it is empty, longer than 64 KiB, or has a NUL in it";
        return Err(Failure::new(USAGE, line).hint(USE));
    }
    Ok(Secret::new(text))
}

fn piped() -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST as usize + 1));
    let read = std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes);
    read.map(|_| bytes).map_err(unreadable)
}

/// What is typed, and not shown.
fn typed(entry: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let keys = Keys::hidden();
    if !keys.are_hidden() {
        return Err(Failure::new(USAGE, "what is typed here could be seen").hint(USE));
    }
    out::to_stderr(&format!("the secret of {entry}, which is not shown, and Enter:"));
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST as usize + 1));
    for key in std::io::stdin().lock().bytes().take(LONGEST as usize + 1) {
        match key.map_err(unreadable)? {
            b'\r' | b'\n' | END => break,
            BREAK => return Err(Failure::silent(OTHER)),
            // The last character, of however many bytes.
            BACKSPACE | DELETE => while bytes.pop().is_some_and(|byte| byte & 0xC0 == 0x80) {},
            key => bytes.push(key),
        }
    }
    Ok(bytes)
}

#[allow(clippy::needless_pass_by_value, reason = "it is what `map_err` gives")]
fn unreadable(error: std::io::Error) -> Failure {
    Failure::new(OTHER, format!("stdin cannot be read: {error}"))
}

const USE: &str = "printf %s \"$SECRET\" | unexpired secret set SERVICE/ACCOUNT";
const LONGEST: u64 = 64 * 1024;
const BREAK: u8 = 3;
const END: u8 = 4;
const BACKSPACE: u8 = 8;
const DELETE: u8 = 127;
