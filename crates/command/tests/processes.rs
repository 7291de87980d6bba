//! Real processes: how commands are run, and that nothing of them stays behind.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test")]

use std::fs;
use std::future::Future;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};
use unexpired_command::{Command, CommandBuilder};
use unexpired_core::{ErrorKind, MintError, MintRequest, SecretSource, TestClock, Token, TokenSource};

async fn mint(command: CommandBuilder) -> Result<Token, MintError> {
    command.build()?.mint(MintRequest::standalone()).await
}

async fn printed(command: CommandBuilder) -> String {
    mint(command).await.unwrap_or_else(|error| panic!("{error}")).secret().to_owned()
}

async fn error(command: CommandBuilder) -> MintError {
    match mint(command).await {
        Err(error) => error,
        Ok(_) => panic!("a token"),
    }
}

/// Waits (on the real clock, processes know no other) until `done` yields something.
fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The process ids that a script wrote to `file`, one a line.
fn pids(file: &Path, count: usize) -> Vec<u32> {
    wait_for("the script's start", || {
        let pids: Vec<u32> =
            fs::read_to_string(file).ok()?.lines().filter_map(|line| line.trim().parse().ok()).collect();
        (pids.len() == count).then_some(pids)
    })
}

/// Whether a process is there and no zombie.
fn is_alive(pid: u32) -> bool {
    rustix::process::Pid::from_raw(pid as i32).is_some_and(|id| rustix::process::test_kill_process(id).is_ok())
        && !fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

fn assert_gone(pids: &[u32]) {
    for pid in pids {
        wait_for("the end of a process", || (!is_alive(*pid)).then_some(()));
    }
}

/// A script of a child and a grandchild that both sleep, and write their ids down first.
fn sleepers(folder: &Path) -> (CommandBuilder, PathBuf) {
    let file = folder.join("pids");
    let line = format!("sleep 1000 & echo $! >> {0}; echo $$ >> {0}; wait", file.display());
    (Command::shell(line), file)
}

#[tokio::test]
async fn argv_and_shell_both_give_their_token() {
    assert_eq!(printed(Command::argv(["echo", "argv-token-1"])).await, "argv-token-1");
    assert_eq!(printed(Command::shell("printf '%s' 'shell-token-1' | cat")).await, "shell-token-1");
    // No shell reads arguments.
    assert_eq!(error(Command::argv(["echo", "$HOME; true"])).await.kind(), ErrorKind::Malformed);
}

#[tokio::test]
async fn the_life_is_what_the_answer_says_then_ttl_then_five_minutes() {
    let clock = TestClock::new();
    let life = async |command: CommandBuilder| {
        let request = MintRequest::standalone_on(Arc::new(clock.clone()));
        command.build().unwrap().mint(request).await.unwrap().lifetime().life.unwrap().as_secs()
    };
    assert_eq!(life(Command::argv(["echo", "opaque-1"])).await, 300);
    assert_eq!(life(Command::argv(["echo", "opaque-1"]).ttl(Duration::from_secs(77))).await, 77);
    let json = r#"{"token":"opaque-1","expires_in":50}"#;
    assert_eq!(life(Command::argv(["echo", json]).ttl(Duration::from_secs(77))).await, 50);
    // What is absurd says nothing.
    for absurd in [r#""expires_in":1e300"#, r#""expires_at":"9999-12-31T23:59:59Z""#, r#""expires_on":99999999999"#] {
        let json = format!(r#"{{"token":"opaque-1",{absurd}}}"#);
        assert_eq!(life(Command::argv(["echo", &json])).await, 300, "{absurd}");
    }
    // {"exp":1767225700}: 100 s after the test clock's start.
    let jwt = "eyJhbGciOiJub25lIn0.eyJleHAiOjE3NjcyMjU3MDB9.c2ln";
    assert_eq!(life(Command::argv(["echo", jwt])).await, 100);
    // The token's own word counts beside a longer one.
    let json = format!(r#"{{"accessToken":"{jwt}","expires_on":1767229199,"expiresOn":"2026-01-01 01:59:59.000000"}}"#);
    assert_eq!(life(Command::argv(["echo", &json])).await, 100);
}

/// The test's own standard input may be null too, so it runs in a child that has another one.
#[test]
fn stdin_is_null_whatever_ours_is() {
    const CHILD: &str = "UNEXPIRED_TEST_WITH_STDIN";
    if std::env::var_os(CHILD).is_some() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let seen = runtime.block_on(printed(Command::shell("printf 'seen-%s-end' \"$(cat)\"")));
        println!("{seen}");
        return;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "stdin_is_null_whatever_ours_is", "--nocapture"])
        .env(CHILD, "1")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Written and closed, so that a command that gets it fails the test and does not hang it.
    child.stdin.take().unwrap().write_all(b"inherited").unwrap();
    let output = child.wait_with_output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && stdout.contains("seen--end"), "{stdout}");
}

#[tokio::test]
async fn the_folder_is_the_root() {
    assert_eq!(printed(Command::shell("pwd | tr / r")).await, "r");
    let folder = tempfile::tempdir().unwrap();
    let here = fs::canonicalize(folder.path()).unwrap();
    assert_eq!(printed(Command::shell("printf %s \"$PWD\"").cwd(&here)).await, here.to_str().unwrap());
}

#[tokio::test]
async fn the_environment_is_inherited_and_can_be_set() {
    let line = "printf '%s/%s/%s' \"$MINE\" \"$AZURE_CORE_NO_COLOR\" \"${CARGO_MANIFEST_DIR:+inherited}\"";
    // Cargo sets it for tests; whoever starts this program by hand may not.
    let ours = if std::env::var_os("CARGO_MANIFEST_DIR").is_some() { "inherited" } else { "" };
    assert_eq!(printed(Command::shell(line).env("MINE", "set-1")).await, format!("set-1/true/{ours}"));
    let claims = MintRequest::standalone().with_claims("claims-1");
    let command = Command::shell("printf %s \"$UNEXPIRED_CLAIMS\"").build().unwrap();
    assert_eq!(command.mint(claims).await.unwrap().secret(), "claims-1");
}

#[tokio::test]
async fn az_is_not_asked_again_for_claims_that_it_takes_at_sign_in_only() {
    let folder = tempfile::tempdir().unwrap();
    program(&folder.path().join("az"), "echo az-token-1");
    let command = Command::argv(["az"]).env("PATH", folder.path().to_str().unwrap()).build().unwrap();
    let error = command.mint(MintRequest::standalone().with_claims("{}")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("az login --claims-challenge"), "{error}");
}

/// A script as a program. Started through `sh` where another thread's fork might still hold it open for writing.
fn program(file: &Path, line: &str) {
    fs::write(file, format!("#!/bin/sh\n{line}\n")).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn programs_are_found_through_absolute_entries_of_path_only() {
    let folder = tempfile::tempdir().unwrap();
    let here = fs::canonicalize(folder.path()).unwrap();
    program(&here.join("planted"), "echo planted-token");
    for path in [".", "", ":", "relative:.:"] {
        for command in [Command::argv(["planted"]), Command::shell("planted")] {
            let error = error(command.env("PATH", path).cwd(&here)).await;
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{path:?}: {error}");
        }
    }
    let path = format!(".:{}:/usr/bin:/bin", here.display());
    let line = "case $PATH in .*|*:.:*) echo relative;; *) echo absolute;; esac";
    assert_eq!(printed(Command::shell(line).env("PATH", path)).await, "absolute");
    for name in ["./planted", "sub/planted", "~/planted"] {
        let error = Command::argv([name]).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured);
        assert!(error.to_string().contains("absolute path"), "{error}");
    }
}

#[tokio::test]
async fn a_program_that_is_missing_or_none_is_a_fault_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let no_program = folder.path().join("data");
    fs::write(&no_program, "data").unwrap();
    for (command, says) in [
        (Command::argv(["no-such-program-here"]), "install no-such-program-here"),
        (Command::argv(["/no/such/program"]), "does not exist"),
        (Command::argv([no_program.to_str().unwrap()]), "executed"),
        (Command::argv(["true"]).cwd("/no/such/folder"), "cwd"),
        (Command::shell("no-such-program-here"), "install the program"),
    ] {
        let error = error(command).await;
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn what_cannot_work_is_refused_when_it_is_built() {
    for command in [
        Command::argv(Vec::<String>::new()),
        Command::argv([""]),
        Command::shell("  "),
        Command::argv(["a", "b\0c"]),
        Command::shell("a").env("A=B", "c"),
        Command::shell("a").env("", "c"),
        Command::shell("a").cwd("relative"),
        Command::shell("a").timeout(Duration::ZERO),
        Command::shell("a").ttl(Duration::ZERO),
    ] {
        assert_eq!(command.build().unwrap_err().kind(), ErrorKind::Misconfigured);
    }
}

#[tokio::test]
async fn stdout_is_capped_and_the_writer_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let error = error(Command::shell(format!("echo $$ > {}; exec yes secret-token", file.display()))).await;
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(error.to_string().contains("64 KiB") && !error.to_string().contains("secret-token"), "{error}");
    assert_gone(&pids(&file, 1));
    // Exactly 64 KiB pass.
    let line = "head -c 65536 /dev/zero | tr '\\0' t";
    assert_eq!(printed(Command::shell(line)).await.len(), 65_536);
    assert_eq!(
        mint(Command::shell("head -c 65537 /dev/zero | tr '\\0' t")).await.unwrap_err().kind(),
        ErrorKind::Malformed
    );
}

#[tokio::test]
async fn a_flood_on_stderr_neither_blocks_nor_fills_the_memory() {
    assert_eq!(printed(Command::shell("head -c 3000000 /dev/zero >&2; echo flood-token")).await, "flood-token");
}

#[tokio::test]
async fn a_failure_shows_stderr_masked_and_never_stdout() {
    let line = "echo stdout-secret-1; echo \"ERROR: bad eyJhbGciOi.eyJzdWIiOi.c2ln for $PASSWORD\" >&2; exit 3";
    let error = error(Command::shell(line).env("PASSWORD", "hunter2")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    assert!(text.contains("exited with 3: ERROR: bad [masked] for [masked]"), "{text}");
    assert!(!text.contains("stdout-secret-1") && !text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn a_signal_or_silence_is_told() {
    assert!(error(Command::shell("kill -9 $$")).await.to_string().contains("signal: 9"));
    let error = error(Command::shell("echo \"ERROR: Please run 'az login' to setup account.\" >&2")).await;
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(mint(Command::argv(["true"])).await.unwrap_err().to_string().contains("printed nothing"));
}

#[tokio::test]
async fn when_time_is_up_by_our_clock_the_whole_group_is_gone() {
    let clock = TestClock::new();
    // By default 10 s; never more than the mint's own 20 s.
    for (timeout, passes) in [(None, 10), (Some(7), 7), (Some(600), 20)] {
        let folder = tempfile::tempdir().unwrap();
        let (mut command, file) = sleepers(folder.path());
        if let Some(timeout) = timeout {
            command = command.timeout(Duration::from_secs(timeout));
        }
        let command = command.build().unwrap();
        let request = MintRequest::standalone_on(Arc::new(clock.clone()));
        let task = tokio::spawn(async move { command.mint(request).await });
        let pids = tokio::task::spawn_blocking(move || pids(&file, 2)).await.unwrap();
        assert!(pids.iter().all(|pid| is_alive(*pid)) && !task.is_finished());
        clock.advance(Duration::from_secs(passes));
        let error = task.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert!(error.to_string().contains(&format!("within {passes}.0 s")), "{error}");
        assert_gone(&pids);
    }
}

#[tokio::test]
async fn a_dropped_future_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let (command, file) = sleepers(folder.path());
    let command = command.build().unwrap();
    let pids = {
        let mut minting = pin!(command.mint(MintRequest::standalone()));
        std::future::poll_fn(|context| {
            assert!(minting.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        pids(&file, 2)
    };
    assert_gone(&pids);
}

#[tokio::test]
async fn a_grandchild_that_keeps_stdout_open_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let clock = TestClock::new();
    let request = MintRequest::standalone_on(Arc::new(clock.clone()));
    // The clock stands still: no timeout can be what ends the wait.
    let line = format!("sleep 1000 & echo $! > {}; echo parent-token", file.display());
    let token = Command::shell(line).build().unwrap().mint(request).await.unwrap();
    assert_eq!(token.secret(), "parent-token");
    // What a successful command leaves in the background is its own affair.
    let left = pids(&file, 1);
    assert!(is_alive(left[0]));
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(left[0] as i32).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    assert_eq!(clock.sleepers(), 0);
}

#[test]
fn no_runtime_is_needed_and_none_is_blocked() {
    let manager =
        unexpired_core::TokenManager::builder("t", Command::argv(["echo", "managed-1"]).build().unwrap()).build();
    assert_eq!(manager.blocking_token().unwrap().secret(), "managed-1");

    // While a command runs, others on the same thread go on.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("go");
        let line = format!("mkfifo {0}; read token < {0}; echo $token", pipe.display());
        let command = Command::shell(line).build().unwrap();
        let minting = tokio::spawn(async move { command.mint(MintRequest::standalone()).await });
        while !pipe.exists() {
            tokio::task::yield_now().await;
        }
        fs::write(&pipe, "fifo-token\n").unwrap();
        assert_eq!(minting.await.unwrap().unwrap().secret(), "fifo-token");
    });
}

#[tokio::test]
async fn as_a_secret_it_yields_its_whole_output() {
    let secret = Command::shell("printf 'line 1\\nline 2\\n'").build().unwrap().secret().await.unwrap();
    assert_eq!(secret.expose(), "line 1\nline 2");
    let error = Command::shell("printf 'a\\0b'").build().unwrap().secret().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
}

#[test]
fn debug_shows_neither_arguments_nor_values() {
    let command = Command::argv(["tool", "--password=pw-1"]).env("A", "value-1").build().unwrap();
    let shown = format!("{command:?}");
    assert!(shown.contains("tool") && !shown.contains("pw-1") && !shown.contains("value-1"), "{shown}");
}
