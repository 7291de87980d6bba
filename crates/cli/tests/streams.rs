//! stdout, stderr, stdin and the environment: what scripts and programs rely on.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the report")]

mod support;

use std::io::Read as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use support::{Home, response, serve, text};

fn with_token() -> Home {
    let port = serve(Arc::new(|_: &str, _: &str| {
        response(
            "200 OK",
            "content-type: application/json\r\n",
            r#"{"access_token":"fake-token-1","token_type":"Bearer","expires_in":3600}"#,
        )
    }));
    let home = Home::new();
    home.write("secret", "fake-secret");
    let config = format!(
        "[token.corp]\nprovider = 'oauth'\ntoken_url = 'http://127.0.0.1:{port}/t'\nclient_id = 'app'\nclient_secret = {{ file = '{}' }}\n",
        home.path().join("secret").display()
    );
    home.write(".config/unexpired/config.toml", &config);
    home
}

#[test]
fn the_token_and_one_line_end_and_nothing_else() {
    let output = with_token().run(&["token", "corp"]);
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("fake-token-1\n".to_owned(), String::new()));
    assert!(output.status.success());
}

/// Some programs start a helper with a pipe that they never close.
#[test]
fn stdin_is_left_alone() {
    let mut child = with_token_child(&["token", "corp"], |command| command.stdin(Stdio::piped()));
    let stdin = child.1.stdin.take();
    let output = child.1.wait_with_output().unwrap();
    assert_eq!(text(&output.stdout), "fake-token-1\n");
    drop(stdin);
}

#[test]
fn a_reader_that_went_away_is_no_panic() {
    for args in [
        &["--help"][..],
        &["token", "--help"],
        &["token", "corp"],
        &["status"],
        &["config", "schema"],
        &["completions", "bash"],
        &["--version"],
    ] {
        let (_home, mut child) = with_token_child(args, |command| command.stdout(Stdio::piped()));
        drop(child.stdout.take());
        let mut stderr = String::new();
        child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        let code = child.wait().unwrap().code();
        assert!(matches!(code, Some(0 | 1)), "{args:?}: {code:?}");
        assert_eq!(stderr, "", "{args:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let home = with_token();
    for args in
        [&["token", "corp"][..], &["--help"], &["token", "--help"], &["help"], &["--version"], &["status"], &["man"]]
    {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = home.unexpired(args).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let stderr = text(&output.stderr);
        assert!(stderr.starts_with("error: the answer could not be written to stdout"), "{args:?}: {stderr}");
    }
}

#[test]
fn an_empty_environment_is_enough_where_the_file_is_named() {
    let home = with_token();
    let config = home.path().join(".config/unexpired/config.toml");
    let output =
        home.unexpired(&["token", "corp", "--config", config.to_str().unwrap()]).env_remove("HOME").output().unwrap();
    assert_eq!((text(&output.stdout), text(&output.stderr)), ("fake-token-1\n".to_owned(), String::new()));
    for args in [&["--help"][..], &["--version"], &["config", "schema"], &["completions", "zsh"], &["man"]] {
        let output = home.unexpired(args).env_remove("HOME").output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty() && !output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn a_file_in_the_working_folder_is_not_picked_up() {
    let home = with_token();
    let own = home.path().join(".config/unexpired/config.toml");
    let text_of_it = std::fs::read_to_string(&own).unwrap();
    std::fs::remove_file(own).unwrap();
    for name in ["config.toml", "unexpired.toml", "unexpired/config.toml", ".unexpired.toml"] {
        home.write(name, &text_of_it);
    }
    let output = home.run(&["token", "corp"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}

#[test]
fn verbose_tells_fingerprints_and_no_token() {
    let output = with_token().run(&["token", "corp", "--verbose"]);
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with("verbose: token corp: minted by oauth in "), "{stderr}");
    assert!(stderr.contains(", fingerprint ") && !stderr.contains("fake-token-1"), "{stderr}");
    assert_eq!(text(&output.stdout), "fake-token-1\n");
}

/// The time a caller allows is kept, and a hint says what to do.
#[test]
fn a_provider_that_never_answers_costs_the_time_that_was_allowed() {
    let port = serve(Arc::new(|_: &str, _: &str| {
        std::thread::sleep(Duration::from_secs(30));
        String::new()
    }));
    let home = Home::new();
    home.write("secret", "fake-secret");
    let config = format!(
        "[token.slow]\nprovider = 'oauth'\ntoken_url = 'http://127.0.0.1:{port}/t'\nclient_id = 'app'\nclient_secret = {{ file = '{}' }}\n",
        home.path().join("secret").display()
    );
    home.write(".config/unexpired/config.toml", &config);
    let output = home.run(&["token", "slow", "--timeout", "200ms"]);
    assert_eq!(output.status.code(), Some(3));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("no token within the time the caller allowed"), "{stderr}");
    assert!(stderr.ends_with("hint: allow more time: unexpired token slow --timeout 20s\n"), "{stderr}");
}

fn with_token_child(
    args: &[&str],
    change: impl FnOnce(&mut std::process::Command) -> &mut std::process::Command,
) -> (Home, std::process::Child) {
    let home = with_token();
    let mut command = home.unexpired(args);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    change(&mut command);
    let child = command.spawn().unwrap();
    (home, child)
}
