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

    // The header's own line about a token works, too.
    let line = printed.lines().find_map(|line| line.strip_prefix("# Is a token accepted?")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[..3], ["unexpired", "--config", path], "{line}");
    let output = home.run(&words[1..]);
    assert!(output.status.success(), "{}", text(&output.stderr));

    let told = Command::new("kill").args(["-TERM", &lab.id().to_string()]).status().unwrap();
    assert!(told.success());
    let mut rest = String::new();
    stdout.read_to_string(&mut rest).unwrap();
    assert_eq!(lab.wait().unwrap().code(), Some(0));
    assert!(!file.exists(), "the configuration names files that went away with the lab");
}

#[test]
fn a_lab_says_its_endpoints_as_json_on_the_port_that_was_asked_for_with_tls() {
    let home = Home::new();
    // A port that was free a moment ago; if somebody takes it in between, another one.
    let (mut lab, told, port) = (0..5)
        .find_map(|_| {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let args = ["lab", "--json", "--https", "--port", &port.to_string()];
            let mut lab = home.unexpired(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            BufReader::new(lab.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            match serde_json::from_str::<serde_json::Value>(&line) {
                Ok(told) => Some((lab, told, port)),
                Err(_) => {
                    lab.wait().unwrap();
                    None
                }
            }
        })
        .unwrap();
    assert_eq!(told["url"], format!("http://127.0.0.1:{port}"));
    assert_eq!(told["lab"], format!("http://127.0.0.1:{port}/lab"));
    for provider in ["entra", "google", "ibm", "oauth"] {
        let url = told[provider]["token_url"].as_str().unwrap();
        assert!(url.starts_with(&format!("http://127.0.0.1:{port}/")), "{url}");
    }

    // The authority that it names is that of its TLS.
    let https = told["https_url"].as_str().unwrap();
    assert!(https.starts_with("https://localhost:"), "{https}");
    let key = home.write("key", told["ibm"]["api_key"].as_str().unwrap());
    let config = format!(
        "[token.t]\nprovider = 'ibm'\nendpoint = '{https}'\napi_key = {{ file = '{}' }}\nca_file = '{}'\n",
        key.display(),
        told["ca_file"].as_str().unwrap()
    );
    let config = home.write("c.toml", &config);
    let output = home.run(&["--config", config.to_str().unwrap(), "token", "t"]);
    assert!(output.status.success(), "{}", text(&output.stderr));

    // The terminal is closed: nothing is left behind.
    let key_file = told["google"]["credentials_file"].as_str().unwrap();
    assert!(std::path::Path::new(key_file).exists());
    let told = Command::new("kill").args(["-HUP", &lab.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert_eq!(lab.wait().unwrap().code(), Some(0));
    assert!(!std::path::Path::new(key_file).exists(), "{key_file}");
}

/// Whoever starts it with `nohup` wants it to outlive the terminal.
#[cfg(target_os = "linux")]
#[test]
fn a_lab_that_was_told_to_ignore_a_hang_up_goes_on() {
    let home = Home::new();
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' HUP; exec \"$0\" lab --json", env!("CARGO_BIN_EXE_unexpired")])
        .env_clear()
        .env("HOME", home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut lab = command.spawn().unwrap();
    let mut stdout = BufReader::new(lab.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    let id = lab.id().to_string();
    assert!(Command::new("kill").args(["-HUP", &id]).status().unwrap().success());
    let address = told["url"].as_str().unwrap().strip_prefix("http://").unwrap();
    std::net::TcpStream::connect(address).unwrap();
    assert_eq!(lab.try_wait().unwrap(), None);
    assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
    assert_eq!(lab.wait().unwrap().code(), Some(0));
}
