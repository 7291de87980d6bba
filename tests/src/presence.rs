//! What runs, what is skipped, and what may not be skipped.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Something that may be installed, or the reason why it is not.
pub type Found<T> = Result<T, String>;

/// Counts a run or a skip of the named server or SDK in this test; [`None`] if it is missing and may be skipped.
///
/// Each outcome is one line in `target/servers/counts`, which `scripts/real-summary` sums up.
///
/// # Panics
/// If it is missing and `REQUIRE_REAL` is `all` or names it in its comma-separated list.
pub fn record<T>(name: &str, found: Found<T>) -> Option<T> {
    let why = found.as_ref().err().cloned();
    let found = record_if_there(name, found);
    if let Some(why) = why {
        assert!(!required(name), "REQUIRE_REAL: {name} is missing: {why}; run tests/servers/setup");
    }
    found
}

/// The same for what `tests/servers/setup` does not install: it may always be missing.
pub(crate) fn record_if_there<T>(name: &str, found: Found<T>) -> Option<T> {
    match found {
        Ok(found) => {
            count("run", name, "");
            Some(found)
        }
        Err(why) => {
            count("skipped", name, &why);
            eprintln!("SKIPPED({name}): {why}");
            None
        }
    }
}

/// The folder that `tests/servers/setup` fills.
pub(crate) fn installed() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").filter(|folder| !folder.is_empty()).unwrap_or("target".into());
    let target = package().join("..").join(target);
    target.join("servers")
}

/// This package's folder.
pub(crate) fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program on `PATH`, or in the folders of the system's servers.
pub(crate) fn program(name: &str) -> Found<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/bin", "/usr/sbin", "/usr/local/bin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .ok_or_else(|| "not installed".to_owned())
}

/// A file that must be there for a server to count as installed.
pub(crate) fn file(path: PathBuf) -> Found<PathBuf> {
    if path.exists() { Ok(path) } else { Err("not installed".to_owned()) }
}

fn required(name: &str) -> bool {
    let list = env::var("REQUIRE_REAL").unwrap_or_default();
    list.split(',').map(str::trim).any(|wanted| wanted == "all" || wanted == name)
}

fn count(outcome: &str, name: &str, why: &str) {
    let binary = env::current_exe().ok().and_then(|exe| Some(exe.file_stem()?.to_string_lossy().into_owned()));
    // Cargo adds a hash, which changes with each build: `servers-0123456789abcdef`.
    let binary = binary.as_deref().unwrap_or_default();
    let binary = binary.rsplit_once('-').map_or(binary, |(name, _)| name);
    let thread = std::thread::current();
    let test = format!("{binary}::{}", thread.name().unwrap_or("main"));
    let line = format!("{outcome}\t{name}\t{test}\t{why}\n");
    let folder = installed();
    // One write in append mode: lines of tests that run at once do not mix.
    let written = fs::create_dir_all(&folder)
        .and_then(|()| OpenOptions::new().create(true).append(true).open(folder.join("counts")))
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        panic!("{} is not writable: {error}", folder.display());
    }
}
