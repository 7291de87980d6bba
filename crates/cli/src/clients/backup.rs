//! What `setup --write` has replaced, in the state folder, so that `--undo` restores it to the byte.

use crate::failure::{Failure, OTHER, USAGE};
use crate::sys;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A file that is to be changed.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) file: PathBuf,
    /// None if there was no file.
    pub(crate) before: Option<Vec<u8>>,
    pub(crate) after: Vec<u8>,
    /// Whether it now holds a key, and must be its owner's alone.
    pub(crate) private: bool,
}

/// The backups of one client, one folder a change.
#[derive(Debug)]
pub(crate) struct Backups(PathBuf);

impl Backups {
    /// In the state folder `state`, which is the user's own.
    pub(crate) fn new(state: &Path, client: &str) -> Self {
        Self(state.join("setup").join(client))
    }

    /// Keeps what there is, and then writes what is new.
    pub(crate) fn write(&self, changes: &[Change]) -> Result<(), Failure> {
        let folder = self.0.join((self.last()?.unwrap_or(0) + 1).to_string());
        self.keep(&folder, changes).map_err(|error| cannot("keep a backup in", &folder, &error))?;
        for change in changes {
            if read(&change.file)? != change.before {
                return Err(Failure::new(OTHER, format!("{} has changed meanwhile", change.file.display()))
                    .hint("run it once more"));
            }
            let mode = if change.private { Some(PRIVATE) } else { mode(&change.file) };
            if let Some(parent) = change.file.parent() {
                fs::create_dir_all(parent).map_err(|error| cannot("make", parent, &error))?;
            }
            sys::replace(&change.file, &change.after, mode.unwrap_or(PRIVATE))
                .map_err(|error| cannot("write", &change.file, &error))?;
        }
        Ok(())
    }

    /// Restores what the last change has replaced; the files.
    pub(crate) fn undo(&self) -> Result<Vec<PathBuf>, Failure> {
        let Some(last) = self.last()? else {
            return Err(Failure::new(USAGE, "there is nothing to undo: no change of this client's was written"));
        };
        let folder = self.0.join(last.to_string());
        let unreadable = |error: &io::Error| cannot("read the backup in", &folder, error);
        let list = fs::read(folder.join(LIST)).map_err(|error| unreadable(&error))?;
        let list: Vec<Value> = serde_json::from_slice(&list).map_err(|error| unreadable(&error.into()))?;
        let mut kept = Vec::new();
        for (number, entry) in list.iter().enumerate() {
            let file = PathBuf::from(entry["file"].as_str().unwrap_or_default());
            let after = fs::read(folder.join(format!("{number}.after"))).map_err(|error| unreadable(&error))?;
            let before = match entry["existed"].as_bool() {
                Some(false) => None,
                _ => Some(fs::read(folder.join(format!("{number}.before"))).map_err(|error| unreadable(&error))?),
            };
            let now = read(&file)?;
            // An undo that was interrupted may have restored it.
            if now.as_ref() != Some(&after) && now != before {
                let line = format!("{} was changed after it was written, and is left alone", file.display());
                return Err(Failure::new(OTHER, line).hint(format!("what it was: {}", folder.display())));
            }
            let mode = entry["mode"].as_u64().and_then(|mode| u32::try_from(mode).ok()).unwrap_or(PRIVATE);
            kept.push((file, before, mode));
        }
        for (file, before, mode) in &kept {
            match before {
                Some(bytes) => sys::replace(file, bytes, *mode),
                None => fs::remove_file(file)
                    .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }),
            }
            .map_err(|error| cannot("restore", file, &error))?;
        }
        fs::remove_dir_all(&folder).map_err(|error| cannot("remove", &folder, &error))?;
        Ok(kept.into_iter().map(|(file, ..)| file).collect())
    }

    fn keep(&self, folder: &Path, changes: &[Change]) -> io::Result<()> {
        for folder in [self.0.parent().unwrap_or(&self.0), &self.0, folder] {
            if !folder.is_dir() {
                sys::create_private_folder(folder)?;
            }
        }
        let mut list = Vec::new();
        for (number, change) in changes.iter().enumerate() {
            if let Some(before) = &change.before {
                sys::replace(&folder.join(format!("{number}.before")), before, PRIVATE)?;
            }
            sys::replace(&folder.join(format!("{number}.after")), &change.after, PRIVATE)?;
            list.push(json!({ "file": change.file, "existed": change.before.is_some(), "mode": mode(&change.file) }));
        }
        sys::replace(&folder.join(LIST), Value::from(list).to_string().as_bytes(), PRIVATE)
    }

    /// The number of the last change that was kept whole.
    fn last(&self) -> Result<Option<u64>, Failure> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot("read", &self.0, &error)),
        };
        let whole = entries.flatten().filter(|entry| entry.path().join(LIST).is_file());
        Ok(whole.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).max())
    }
}

/// What a file holds; none if there is none.
pub(crate) fn read(file: &Path) -> Result<Option<Vec<u8>>, Failure> {
    match fs::metadata(file) {
        Ok(metadata) if metadata.len() > MOST_BYTES => {
            return Err(Failure::new(USAGE, format!("{} is too large for a configuration", file.display())));
        }
        _ => {}
    }
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot("read", file, &error)),
    }
}

fn mode(file: &Path) -> Option<u32> {
    fs::metadata(file).ok().and_then(|metadata| sys::mode(&metadata)).map(|mode| mode & 0o777)
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(OTHER, format!("cannot {what} {}: {error}", path.display()))
}

const LIST: &str = "files.json";
const PRIVATE: u32 = 0o600;
const MOST_BYTES: u64 = 4 << 20;
