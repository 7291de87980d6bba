//! A store in memory: nothing is kept, by whatever command, and nothing is written.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "in a test a panic is the report")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::machine::Machine;
use support::text;
use unexpired_testkit::{Endpoint, Fault};

const CONFIG: &str = ".config/unexpired/config.toml";

fn memory(machine: &Machine, args: &[&str]) -> Command {
    let mut command = machine.home.unexpired(args);
    // The folder is where the proxy's keys would go.
    command.env("UNEXPIRED_STORE", format!("memory:{}", machine.home.path().join("state").display()));
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn said(machine: &Machine, args: &[&str]) -> String {
    let output = memory(machine, args).output().unwrap();
    assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)), "{args:?}");
    text(&output.stdout)
}

/// Everything under the home that was not there at first.
fn written(machine: &Machine) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![machine.home.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let ours = [CONFIG, "secret", "refresh"].iter().any(|name| path == machine.home.path().join(name));
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if !ours {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn each_call_mints_by_itself_and_no_file_is_written() {
    let machine = Machine::new(3600);
    let tokens = [said(&machine, &["token", "corp"]), said(&machine, &["token", "corp"])];
    assert_ne!(tokens[0], tokens[1]);
    assert_eq!(machine.requests(), 2);

    let mut reject = memory(&machine, &["reject", "corp"]).stdin(Stdio::piped()).spawn().unwrap();
    reject.stdin.take().unwrap().write_all(tokens[1].as_bytes()).unwrap();
    assert!(reject.wait().unwrap().success(), "nobody hands it out again");

    for args in [&["status"][..], &["status", "corp"]] {
        assert!(said(&machine, args).contains("store: memory: nothing is kept, and each call mints"));
    }
    let examined = text(&memory(&machine, &["doctor"]).output().unwrap().stdout);
    assert!(examined.contains("ok    store: memory: no token is kept, and each call mints"), "{examined}");
    assert!(!examined.contains("locks:") && !examined.contains("records:"), "{examined}");

    // An agent's helper that comes back early: there is no note of it, and so no suspicion.
    said(&machine, &["token", "corp", "--as", "codex"]);
    said(&machine, &["token", "corp", "--min-ttl", "10m"]);
    assert_eq!(written(&machine), Vec::<PathBuf>::new());
    assert_eq!(machine.requests(), 4);
}

/// The same by the configuration; and a ticket of the warm path that was written before does not outlive the change.
#[test]
fn the_configuration_says_it_and_the_environment_overrides_it() {
    let machine = Machine::new(3600);
    let config = machine.home.path().join(CONFIG);
    let kept = machine.token(&["token", "corp"]);
    assert_eq!(machine.token(&["token", "corp"]), kept);
    let before = std::fs::read_to_string(&config).unwrap();
    machine.home.write(CONFIG, &format!("store = 'memory'\n{before}"));
    // A folder in the environment is files, whatever the configuration says.
    assert_eq!(machine.token(&["token", "corp"]), kept);
    let requests = machine.requests();
    for _ in 0..2 {
        let mut command = machine.home.unexpired(&["token", "corp"]);
        let output = command.env_remove("UNEXPIRED_STORE").output().unwrap();
        assert_ne!(text(&output.stdout), kept);
    }
    assert_eq!(machine.requests(), requests + 2);
    assert_eq!(machine.token(&["token", "corp"]), kept);
}

#[test]
fn a_slow_mint_has_no_minter_and_a_failure_is_remembered_by_nobody() {
    let machine = Machine::new(3600);
    machine.idp.fault(Fault::delay(Duration::from_millis(1300)).times(1));
    said(&machine, &["token", "corp"]);
    assert_eq!(machine.requests(), 1, "no other process stands by");
    machine.idp.fault(Fault::status(400).always());
    for requests in [2, 3] {
        let output = memory(&machine, &["token", "corp"]).output().unwrap();
        assert!(!output.status.success());
        assert_eq!(machine.requests(), requests);
    }
    let mint = memory(&machine, &["mint", "corp"]).output().unwrap();
    assert!(
        !mint.status.success() && text(&mint.stderr).contains("the store cannot be used"),
        "{}",
        text(&mint.stderr)
    );
    assert_eq!(written(&machine), Vec::<PathBuf>::new());
}

/// What rotates needs a place that outlives the process: the user's own file, or another store.
#[test]
fn a_refresh_token_is_refused_before_it_is_sent_unless_a_file_of_the_users_keeps_it() {
    let machine = Machine::new(3600);
    said(&machine, &["token", "rotating"]);
    said(&machine, &["token", "rotating"]);
    assert_eq!(machine.idp.requests_at(Endpoint::OAuth).len(), 2);
    let config = std::fs::read_to_string(machine.home.path().join(CONFIG)).unwrap();
    let refresh = machine.home.path().join("refresh");
    let of_file = format!("refresh_token_file = \"{}\"", refresh.display());
    let other = config.replace(&of_file, &format!("refresh_token = {{ file = \"{}\" }}", refresh.display()));
    machine.home.write(CONFIG, &other);
    for args in [&["token", "rotating"][..], &["config", "check"]] {
        let output = memory(&machine, args).output().unwrap();
        let stderr = text(&output.stderr);
        let told = stderr.contains("token.rotating.refresh_token: store = \"memory\" would lose what the server puts in the place of refresh_token")
            && stderr.contains("refresh_token_file");
        assert!(told && output.status.code() == Some(2), "{stderr}");
    }
    assert_eq!(machine.requests(), 2, "nothing was sent");
}

#[test]
fn watch_writes_its_file_and_nothing_else() {
    let machine = Machine::new(3600);
    let file = machine.home.path().join("out");
    let mut child = memory(&machine, &["watch", "corp", "--file", file.to_str().unwrap()]).spawn().unwrap();
    machine.until("the file is there", || file.exists());
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(child.wait().unwrap().success());
    assert_eq!(written(&machine), [file]);
    assert_eq!(machine.requests(), 1);
}

/// One process has one store in memory: two names for the same identity are one token there.
#[test]
fn a_proxy_mints_once_for_all_its_routes_and_writes_its_own_keys_alone() {
    let machine = Machine::new(3600);
    let config = std::fs::read_to_string(machine.home.path().join(CONFIG)).unwrap();
    let corp = config.split("[token.never]").next().unwrap();
    let route = |name: &str, token: &str| {
        format!("[route.{name}]\ntoken = '{token}'\nupstream = '{}'\n", machine.idp.resource_server().url())
    };
    let two = corp.replace("[token.corp]", "[token.other]");
    machine.home.write(CONFIG, &format!("{corp}{two}{}{}", route("one", "corp"), route("two", "other")));

    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut proxy = memory(&machine, &["proxy", "--port", &port.to_string()]).spawn().unwrap();
    let mut stderr = BufReader::new(proxy.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("a client's key") {
        assert!(stderr.read_line(&mut line).unwrap() > 0, "{line}");
    }
    for name in ["one", "two"] {
        let key = said(&machine, &["proxy", "key", name]);
        let answer = get(port, &format!("/{name}/x"), key.trim_end());
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    proxy.kill().unwrap();
    proxy.wait().unwrap();
    assert_eq!(machine.requests(), 1);
    assert!(
        written(&machine).iter().all(|path| path.to_string_lossy().contains("proxy-keys")),
        "{:?}",
        written(&machine)
    );

    let program = ["run", "one", "--", "sh", "-c", "test -n \"$UNEXPIRED_PROXY_URL\""];
    assert_eq!(memory(&machine, &program).env("PATH", "/usr/bin:/bin").status().unwrap().code(), Some(0));
}

fn get(port: u16, path: &str, key: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!("host: 127.0.0.1:{port}\r\nconnection: close\r\nauthorization: Bearer {key}\r\n");
    write!(stream, "GET {path} HTTP/1.1\r\n{head}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
