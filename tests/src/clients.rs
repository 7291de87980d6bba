//! Programs that ask `unexpired` for tokens. Each gives [`None`] (and counts a skip) if it is not installed.

use std::path::PathBuf;

use crate::presence::{Found, file, installed, program, record, record_if_there};
use crate::process::text;

/// A program on `PATH`, by its name.
pub fn on_path(name: &str) -> Option<String> {
    record(name, program(name)).map(|path| text(&path).to_owned())
}

/// The same for one that the set-up does not bring, such as docker.
pub fn on_path_if_there(name: &str) -> Option<String> {
    record_if_there(name, program(name)).map(|path| text(&path).to_owned())
}

/// A program that came with npm's part of `tests/servers/setup`.
pub fn from_npm(name: &str) -> Option<String> {
    record(name, found(installed().join("npm/node_modules/.bin").join(name), "npm/done"))
}

/// A program that came with pip's part, such as `pip`, `uv`, `aws`; or `python`, which has the SDKs.
pub fn from_pip(name: &str) -> Option<String> {
    from_pip_as(name, name)
}

/// The same, counted by another name.
pub fn from_pip_as(name: &str, counted: &str) -> Option<String> {
    record(counted, found(installed().join("python/bin").join(name), "python/done"))
}

pub(crate) fn found(path: PathBuf, done: &str) -> Found<String> {
    // `done` is the last thing that the set-up writes.
    file(installed().join(done))?;
    Ok(text(&file(path)?).to_owned())
}
