//! Programs that this project did not write ask `unexpired` for their tokens, as they are and through several lifetimes, and use them at
//! servers that refuse expired ones. What is set up here is what the guides in `docs/clients` say.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod aws;
mod azure;
mod cargo;
mod containers;
mod curl;
mod git;
mod go;
mod google;
mod kubernetes;
mod node;
mod python;
mod terraform;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use unexpired_tests::cli::{Outcome, unexpired};
use unexpired_tests::resource::Resource;

/// How long the lab's tokens live, in seconds.
const LIFE: u32 = 3;
/// A bit more than three lives.
const SESSION: Duration = Duration::from_millis(9500);

/// Does it again and again through three lives, and at least four times, however slow the machine is.
fn through_lifetimes(mut once: impl FnMut()) {
    let end = Instant::now() + SESSION;
    let mut times = 0;
    while Instant::now() < end || times < 4 {
        once();
        times += 1;
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Three tokens were used, and none was refused.
fn assert_fresh(server: &Resource) {
    let seen = server.seen();
    assert!(seen.accepted.len() >= 3, "{} tokens in three lifetimes", seen.accepted.len());
    assert_eq!(seen.refused, 0, "tokens were refused");
}

fn good(outcome: &Outcome) {
    assert!(outcome.ok, "{}\n{}", outcome.stdout, outcome.stderr);
}

fn program() -> &'static str {
    unexpired().to_str().unwrap()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Vendors' libraries in one process.
fn use_tokens() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/servers/use_tokens.py")
}
