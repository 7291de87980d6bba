//! The file that holds the token: replaced whole, so that a reader finds the old one or the new one, and gone once its token is over.
//!
//! Beside it, while there is no token to be had, stands the mark `PATH.failed`: one line that says why, one that says when the next attempt is.

use super::form::Form;
use crate::failure::{Failure, USAGE};
use crate::out;
use crate::sys::{self, Owner};
use crate::ticket::stamp;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use unexpired::{Phase, Timestamp, Token, TokenRecord};

pub(super) struct TokenFile {
    path: PathBuf,
    form: Form,
    mode: u32,
    owner: Owner,
    /// What stands in the file, if that is known, and the file's stamp since then.
    written: Option<(Token, String)>,
    /// What stands in the mark.
    marked: Option<String>,
    /// How often writing failed in a row, and when it is tried again.
    strikes: u32,
    not_before: Option<Instant>,
}

impl TokenFile {
    /// The file at `path`, which may be there already if it is one of ours.
    pub(super) fn open(path: PathBuf, form: Form, mode: u32, owner: Owner) -> Result<Self, Failure> {
        let shown = path.display();
        let wrong = |what: String, remedy: &str| Failure::new(USAGE, format!("{shown}: {what}")).hint(remedy);
        let folder = path.parent().filter(|folder| folder.is_dir());
        if folder.is_none() || path.file_name().is_none() {
            return Err(wrong("there is no such folder".to_owned(), "create the folder; the file is made in it"));
        }
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => {
                return Err(wrong("is a symbolic link, which is not followed".to_owned(), "name the file itself"));
            }
            Ok(found) if !found.is_file() => return Err(wrong("is no file".to_owned(), "name a file")),
            Ok(_) => {
                let text = fs::read(&path).map_err(|error| wrong(format!("cannot be read: {}", error.kind()), ""))?;
                if !std::str::from_utf8(&text).is_ok_and(|text| form.is_of(text)) {
                    return Err(wrong(
                        "holds something else than a token in this format, and would be replaced".to_owned(),
                        "name another file, or move this one away",
                    ));
                }
            }
            Err(_) => {}
        }
        Ok(Self { path, form, mode, owner, written: None, marked: None, strikes: 0, not_before: None })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Recognises what an earlier run left, so that a token that lives stays though its successor cannot be had.
    pub(super) fn recognise(&mut self, record: &TokenRecord) {
        if let Some(token) = &record.token
            && fs::read(&self.path).is_ok_and(|found| found == self.form.render(token).as_bytes())
        {
            self.written = Some((token.clone(), stamp(&self.path)));
        }
        self.marked = fs::read_to_string(self.mark_path()).ok();
    }

    /// The token that stands in the file, as long as it is good for use.
    pub(super) fn living(&self, now: Timestamp) -> Option<&Token> {
        self.written.as_ref().map(|(token, _)| token).filter(|token| token.moments().phase(now) != Phase::Expired)
    }

    /// Makes the file hold this token, unless it does.
    pub(super) fn keep(&mut self, token: &Token) {
        let holds = self
            .written
            .as_ref()
            .is_some_and(|(written, then)| written.digest() == token.digest() && stamp(&self.path) == *then);
        if holds {
            return self.unmark();
        }
        if self.not_before.is_some_and(|moment| Instant::now() < moment) {
            return;
        }
        match self.replace(&self.path, self.form.render(token).as_bytes()) {
            Ok(stamp) => {
                self.written = Some((token.clone(), stamp));
                (self.strikes, self.not_before) = (0, None);
                self.unmark();
            }
            Err(error) => {
                let pause = Duration::from_secs(1 << self.strikes.min(6)).min(LONGEST_PAUSE);
                self.strikes = self.strikes.saturating_add(1);
                self.not_before = Some(Instant::now() + pause);
                let line = format!("{} cannot be written: {}", self.path.display(), error.kind());
                out::to_stderr(&format!("warning: {line}; tried again in {} s", pause.as_secs()));
            }
        }
    }

    /// Takes the file away: its token is over, and nobody may find it any more.
    pub(super) fn clear(&mut self) {
        self.written = None;
        match fs::remove_file(&self.path) {
            Ok(()) => sys::sync_folder(&self.path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let line = format!("{} holds a token that is over and cannot be removed", self.path.display());
                out::to_stderr(&format!("warning: {line}: {}", error.kind()));
            }
        }
    }

    /// Leaves the mark, for whoever wonders why there is no token.
    pub(super) fn mark(&mut self, text: &str) {
        if self.marked.as_deref() != Some(text) && self.replace(&self.mark_path(), text.as_bytes()).is_ok() {
            self.marked = Some(text.to_owned());
        }
    }

    fn unmark(&mut self) {
        if self.marked.take().is_some() {
            let _ = fs::remove_file(self.mark_path());
        }
    }

    pub(super) fn mark_path(&self) -> PathBuf {
        beside(&self.path, "", ".failed")
    }

    /// Puts a file in its place whole, with its mode and owner, and on the disk. The answer is its stamp: that of the file that was written, whatever
    /// has its name by now.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<String> {
        // One name: what a killed run has left is used up by the next one. Nobody else has it, for the path is locked.
        let new = beside(path, ".", ".unexpired-new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let replaced = sys::create_private(&new).and_then(|mut file| {
            file.write_all(bytes)?;
            // First whose it is, then who else may read it: never wider than it ends.
            sys::give(&file, &self.owner, self.mode)?;
            file.sync_all()?;
            fs::rename(&new, path)?;
            file.metadata().map(|metadata| sys::stamp(&metadata))
        });
        match &replaced {
            Ok(_) => sys::sync_folder(path),
            Err(_) => drop(fs::remove_file(&new)),
        }
        replaced
    }
}

/// A path in the same folder, with something before and behind the name.
fn beside(path: &Path, before: &str, behind: &str) -> PathBuf {
    let mut name = OsString::from(before);
    name.push(path.file_name().unwrap_or_default());
    name.push(behind);
    path.with_file_name(name)
}

const LONGEST_PAUSE: Duration = Duration::from_secs(60);
