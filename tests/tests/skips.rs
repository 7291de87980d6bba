//! A missing server is a counted skip, and a failure where `REQUIRE_REAL` says so.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::process::{Command, Output};

use unexpired_tests::servers::{Azurite, OidcProvider};

#[test]
fn a_missing_server_is_skipped_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    for (require, passes) in
        [("", true), ("glewlwyd", true), ("azurite", false), ("glewlwyd, azurite", false), ("all", false)]
    {
        let output = run(folder.path().to_str().unwrap(), require);
        assert_eq!(output.status.success(), passes, "REQUIRE_REAL={require}");
        let said = [output.stdout, output.stderr].concat();
        assert!(String::from_utf8_lossy(&said).contains(if passes {
            "SKIPPED(azurite): "
        } else {
            "REQUIRE_REAL: azurite is missing"
        }));
    }
    let counts = std::fs::read_to_string(folder.path().join("servers/counts")).unwrap();
    let azurite: Vec<_> = counts.lines().filter(|line| line.starts_with("skipped\tazurite\t")).collect();
    assert_eq!(azurite.len(), 5);
    assert!(azurite.iter().all(|line| line.ends_with(" installed")), "{counts}");
}

#[test]
#[ignore = "the other half of a_missing_server_is_skipped_and_counted"]
fn wants_servers() {
    assert!(Azurite::start().is_none());
    assert!(OidcProvider::start().is_none());
}

/// Runs `wants_servers` where nothing is installed. `PATH` stays: it is npm's part that is missing.
fn run(target: &str, require: &str) -> Output {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "wants_servers", "--ignored", "--nocapture"])
        .env("CARGO_TARGET_DIR", target)
        .env("REQUIRE_REAL", require)
        .output()
        .unwrap()
}
