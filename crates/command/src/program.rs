//! Which program a name means: an absolute path, or the first hit in the absolute entries of `PATH`. Never the working folder, which
//! may be a repository that somebody else wrote.

use crate::sys;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use unexpired_core::{ErrorKind, MintError, Secret};

/// `PATH` (the command's own, else the inherited, else the system's usual folders where that leaves nothing) without relative and empty entries.
pub(crate) fn path(own: Option<&Secret>) -> OsString {
    let path = match own {
        Some(own) => OsString::from(own.expose()),
        None => std::env::var_os("PATH").unwrap_or_else(|| sys::DEFAULT_PATH.into()),
    };
    let absolute = std::env::split_paths(&path).filter(|entry| entry.is_absolute());
    // Entries that were just split can be joined again, save quoted ones on Windows. An empty PATH means the working folder to a shell.
    std::env::join_paths(absolute).ok().filter(|path| !path.is_empty()).unwrap_or_else(|| sys::DEFAULT_PATH.into())
}

/// Whether `name` can be looked up at all.
pub(crate) fn check(name: &str) -> Result<(), MintError> {
    if Path::new(name).is_absolute() || !name.contains(sys::SEPARATORS) {
        return Ok(());
    }
    Err(MintError::new(ErrorKind::Misconfigured, format!("the program {name} is a relative path"))
        .remedy("write its absolute path, or its bare name to have it looked up in PATH"))
}

/// The file to start.
pub(crate) fn find(name: &str, path: &OsStr) -> Result<PathBuf, MintError> {
    check(name)?;
    if Path::new(name).is_absolute() {
        return Ok(name.into());
    }
    std::env::split_paths(path)
        .flat_map(|folder| sys::candidates(&folder, name))
        .find(|file| sys::is_program(file))
        .ok_or_else(|| {
            MintError::new(
                ErrorKind::Misconfigured,
                format!("{name} is not installed: no absolute entry of PATH has it"),
            )
            .remedy(format!("install {}, or configure its absolute path", stem(name)))
        })
}

/// A program's name without folder and ending.
pub(crate) fn stem(name: &str) -> String {
    let file = name.rsplit(sys::SEPARATORS).next().unwrap_or(name);
    let lower = file.to_ascii_lowercase();
    let ending = sys::ENDINGS.iter().find(|ending| lower.ends_with(**ending)).map_or(0, |ending| ending.len());
    file.get(..file.len().saturating_sub(ending)).unwrap_or(file).to_owned()
}
