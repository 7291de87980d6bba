//! The lab: what it prints is a configuration that works, for every provider, and it ends when it is told to.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the report")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use support::{Home, text};

#[test]
fn a_lab_hands_out_tokens_of_every_provider_and_ends_on_a_signal() {
    let home = Home::new();
    let file = home.path().join("lab.toml");
    let path = file.to_str().unwrap();
    let mut lab = home
        .unexpired(&["lab", "--lifetime", "90s", "--config-file", path])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(lab.stdout.take().unwrap());
    let mut printed = String::new();
    while !printed.contains("[token.lab-oauth-refresh]") {
        assert!(stdout.read_line(&mut printed).unwrap() > 0, "{printed}");
    }
    let control = printed.lines().find_map(|line| line.strip_prefix("#   control")).unwrap().trim();
    assert!(control.starts_with("http://127.0.0.1:") && control.ends_with("/lab"), "{control}");

    for name in ["lab-entra", "lab-google", "lab-ibm", "lab-oauth", "lab-oauth-refresh", "lab-oauth-refresh"] {
        let output = home.run(&["--config", path, "token", name, "--format", "json"]);
        assert!(output.status.success() && output.stderr.is_empty(), "{name}: {}", text(&output.stderr));
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["token_name"], name);
        assert!((80..=90).contains(&answer["expires_in"].as_u64().unwrap()), "{name}: {}", answer["expires_in"]);
        let check = control.to_owned() + "/check";
        let output = home.run(&["--config", path, "probe", name, "--url", &check]);
        assert!(
            text(&output.stdout).starts_with("accepted: 127.0.0.1 answers 200"),
            "{name}: {}",
            text(&output.stderr)
        );
    }

    let told = Command::new("kill").args(["-TERM", &lab.id().to_string()]).status().unwrap();
    assert!(told.success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(lab.wait().unwrap().code(), Some(0));
    assert!(!file.exists(), "the configuration names files that went away with the lab");
}
