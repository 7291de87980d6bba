//! `unexpired watch` as a process: the file through lifetimes, an outage, a kill; what else is done with each token; its end.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "in a test a panic is the report")]

mod support;

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{Home, text};
use unexpired_testkit::{Fault, IdentityProvider, defaults};

/// A user with a configuration whose tokens come from an identity provider on loopback.
struct Machine {
    home: Home,
    idp: IdentityProvider,
}

impl Machine {
    fn new(lifetime: u64) -> Self {
        let idp = IdentityProvider::builder().lifetime(Duration::from_secs(lifetime)).blocking_start().unwrap();
        let home = Home::new();
        let secret = home.write("secret", defaults::CLIENT_SECRET);
        let common = format!(
            "provider = 'oauth'\ntoken_url = '{}'\nclient_id = '{}'\nclient_secret = {{ file = '{}' }}\n",
            idp.oauth_token_url(),
            defaults::CLIENT_ID,
            secret.display()
        );
        let config = format!(
            "[token.corp]\n{common}hosts = ['127.0.0.1', 'api.example.com', '*.example.net']\n\
             [token.never]\n{common}export = 'never'\n[token.anywhere]\n{common}scope = 'read'\n"
        );
        home.write(".config/unexpired/config.toml", &config);
        Self { home, idp }
    }

    fn file(&self) -> PathBuf {
        self.home.path().join("out/token")
    }

    fn mark(&self) -> PathBuf {
        self.home.path().join("out/token.failed")
    }

    /// `unexpired watch corp --file out/token …`, ended when this is dropped.
    fn watch(&self, more: &[&str]) -> Watching {
        std::fs::create_dir_all(self.home.path().join("out")).unwrap();
        self.watching(&[&["--file", "out/token"], more].concat())
    }

    fn watching(&self, args: &[&str]) -> Watching {
        let mut command = self.home.unexpired(&[&["watch", "corp"], args].concat());
        let path = format!("{}:/usr/bin:/bin", self.home.path().join("bin").display());
        Watching(command.env("PATH", path).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn token(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap_or_default()
    }

    /// Reads the file all the time until the end, and uses what it finds.
    fn reader(&self) -> Reader {
        let (path, url, end) =
            (self.file(), self.idp.resource_server().url().to_owned(), Arc::new(AtomicBool::new(false)));
        let ended = end.clone();
        let thread = std::thread::spawn(move || {
            let (mut seen, mut wrong, mut used) = (Vec::<String>::new(), BTreeSet::new(), Instant::now());
            loop {
                // Looked at before the file, which is so read once more at the end.
                let last = ended.load(Ordering::Relaxed);
                match std::fs::read_to_string(&path) {
                    Ok(found) if found.split('.').count() == 3 && found.len() > 100 => {
                        if used.elapsed() > Duration::from_millis(40) {
                            used = Instant::now();
                            let status = get(&url, &found);
                            if status != 200 {
                                wrong.insert(format!("HTTP {status}"));
                            }
                        }
                        if seen.last() != Some(&found) {
                            seen.push(found);
                        }
                    }
                    Ok(found) => drop(wrong.insert(format!("torn: {} bytes", found.len()))),
                    Err(error) => drop(wrong.insert(error.to_string())),
                }
                if last {
                    return (seen, wrong);
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Reader { end, thread }
    }
}

struct Reader {
    end: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<(Vec<String>, BTreeSet<String>)>,
}

impl Reader {
    /// Each token that was seen, once; nothing else may have been.
    fn end(self) -> Vec<String> {
        self.end.store(true, Ordering::Relaxed);
        let (seen, wrong) = self.thread.join().unwrap();
        assert_eq!(wrong, BTreeSet::new());
        seen
    }
}

struct Watching(Child);

impl Watching {
    fn end(mut self) -> (Option<i32>, String) {
        assert!(Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().unwrap().success());
        let code = self.0.wait().unwrap().code();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        self.0.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        self.0.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
        assert_eq!(stdout, "");
        (code, stderr)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn get(url: &str, token: &str) -> u16 {
    let place = url.trim_start_matches("http://").split('/').next().unwrap();
    let mut stream = TcpStream::connect(place).unwrap();
    write!(
        stream,
        "GET {} HTTP/1.1\r\nhost: {place}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n",
        url.split_once(place).unwrap().1
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn until(what: &str, done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_reader_finds_a_living_token_through_many_lifetimes_and_a_program_gets_each() {
    let machine = Machine::new(3);
    let script = "cat >>out/log && echo >>out/log";
    let watching = machine.watch(&["--exec", "/bin/sh", "-c", script]);
    until("a token", || machine.file().exists());
    assert_eq!(mode(&machine.file()), 0o600);
    let reader = machine.reader();
    std::thread::sleep(Duration::from_secs(8));
    let seen = reader.end();
    assert!(seen.len() >= 3, "{} tokens in 8 s", seen.len());
    assert!(!machine.mark().exists());
    let log = std::fs::read_to_string(machine.home.path().join("out/log")).unwrap();
    let (code, stderr) = watching.end();
    assert_eq!(code, Some(0), "{stderr}");
    for token in &seen {
        assert_eq!(log.lines().filter(|line| line == token).count(), 1, "each token once");
    }
    assert!(stderr.starts_with(&format!("keeping {} fresh with token corp\n", machine.file().display())), "{stderr}");
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    machine.idp.assert_not_shown(&stderr);
    // The file stays for whoever reads it while this is started anew; nothing else does.
    let mut left: Vec<_> =
        std::fs::read_dir(machine.home.path().join("out")).unwrap().flatten().map(|e| e.file_name()).collect();
    left.sort();
    assert_eq!(left, ["log", "token"]);
}

#[test]
fn in_an_outage_the_living_token_stays_and_then_a_mark_says_why_there_is_none() {
    let machine = Machine::new(4);
    let watching = machine.watch(&["--mode", "0644"]);
    until("a token", || machine.file().exists());
    let born = Instant::now();
    let first = machine.token();
    machine.idp.fault(Fault::status(503).always());
    while born.elapsed() < Duration::from_millis(3_400) {
        assert_eq!((machine.token().as_str(), machine.mark().exists()), (first.as_str(), false));
        std::thread::sleep(Duration::from_millis(20));
    }
    until("the mark", || machine.mark().exists());
    assert!(born.elapsed() < Duration::from_secs(6));
    assert!(!machine.file().exists(), "nobody is handed a token that is over");
    let mark = std::fs::read_to_string(machine.mark()).unwrap();
    let lines: Vec<&str> = mark.lines().collect();
    assert!(lines[0].starts_with("error: corp: ") && lines[0].contains("temporarily_unavailable"), "{mark}");
    assert!(lines[1].starts_with("next attempt not before 20") && lines[1].ends_with('Z'), "{mark}");
    assert_eq!((lines.len(), mode(&machine.mark())), (2, 0o644));
    machine.idp.clear_faults();
    until("the next token", || machine.file().exists() && !machine.mark().exists());
    assert_eq!(get(machine.idp.resource_server().url(), &machine.token()), 200);
    let (_, stderr) = watching.end();
    assert!(stderr.contains("the old token lives until") && stderr.contains("there is no token"), "{stderr}");
    assert!(stderr.trim_end().ends_with("token corp is fresh again"), "{stderr}");
    assert!(stderr.lines().count() <= 5, "the same is not said twice: {stderr}");
}

#[test]
fn whoever_is_killed_leaves_a_token_that_the_next_run_goes_on_from() {
    let machine = Machine::new(8);
    let watching = machine.watch(&[]);
    until("a token", || machine.file().exists());
    let first = machine.token();
    watching.kill();
    // Killed between writing and renaming.
    machine.home.write("out/.token.unexpired-new", "half");
    machine.idp.fault(Fault::status(503).always());
    let watching = machine.watch(&[]);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(machine.token(), first, "it lives, and an outage is no reason to take it away");
    machine.idp.clear_faults();
    let reader = machine.reader();
    until("the next token", || machine.token() != first);
    // Torn down in the middle of its life, over and over: a reader notices nothing.
    watching.kill();
    for _ in 0..5 {
        let watching = machine.watch(&[]);
        std::thread::sleep(Duration::from_millis(150));
        watching.kill();
    }
    reader.end();
    assert!(!machine.home.path().join("out/.token.unexpired-new").exists());
    machine.idp.assert_mints(2);
}

#[test]
fn a_token_that_another_process_rejects_or_renews_is_followed() {
    let machine = Machine::new(3600);
    let watching = machine.watch(&[]);
    until("a token", || machine.file().exists());
    let first = machine.token();
    let reader = machine.reader();
    let mut reject =
        machine.home.unexpired(&["reject", "corp"]).stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    reject.stdin.take().unwrap().write_all(first.as_bytes()).unwrap();
    assert!(reject.wait().unwrap().success());
    until("a token in the place of the rejected one", || machine.token() != first);
    let second = machine.token();
    let output = machine.home.run(&["token", "corp", "--fresh"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    until("the renewed token", || machine.token() == text(&output.stdout).trim_end());
    let third = machine.token();
    assert_ne!(third, second);
    // On a busy machine it may have been asleep while one of them was there.
    let seen = reader.end();
    assert!(seen.iter().all(|token| [&first, &second, &third].contains(&token)), "{} tokens", seen.len());
    assert_eq!(seen.last(), Some(&third));
    machine.idp.assert_mints(3);
    // A file that somebody takes away or writes over comes back.
    std::fs::remove_file(machine.file()).unwrap();
    until("the file again", || machine.file().exists());
    std::fs::write(machine.file(), "x").unwrap();
    until("the token again", || machine.token() == text(&output.stdout).trim_end());
    assert_eq!(watching.end().0, Some(0));
    machine.idp.assert_mints(3);
}

#[test]
fn a_failing_program_is_run_again_and_openshell_gets_no_token_as_an_argument() {
    let machine = Machine::new(3600);
    machine.home.write(
        "bin/openshell",
        "#!/bin/sh\necho \"$@\" >>log\necho \"$CORP_TOKEN\" >value\n[ -e again ] || { >again; exit 3; }\n",
    );
    std::fs::set_permissions(machine.home.path().join("bin/openshell"), std::fs::Permissions::from_mode(0o700))
        .unwrap();
    let script = "echo \"$UNEXPIRED_TOKEN_NAME $UNEXPIRED_EXPIRES_AT $T\" >own; cat >stdin";
    let watching = machine.watching(&["--openshell", "prov", "--env", "T", "--exec", "/bin/sh", "-c", script]);
    let read = |name: &str| std::fs::read_to_string(machine.home.path().join(name)).unwrap_or_default();
    until("both, and the second attempt", || read("log").lines().count() == 2 && !read("own").is_empty());
    let (code, stderr) = watching.end();
    assert_eq!(code, Some(0));
    assert!(stderr.contains("openshell exited with 3; run again in 1 s"), "{stderr}");
    let token = read("value").trim_end().to_owned();
    assert_eq!(get(machine.idp.resource_server().url(), &token), 200);
    for line in read("log").lines() {
        let words: Vec<&str> = line.split(' ').collect();
        assert_eq!(words[..6], ["provider", "update", "prov", "--credential", "CORP_TOKEN", "--credential-expires-at"]);
        let millis: u128 = words[6].strip_prefix("CORP_TOKEN=").unwrap().parse().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        assert!(millis > now + 3_500_000 && millis < now + 3_601_000, "{millis}");
    }
    let own = read("own");
    let words: Vec<&str> = own.split_whitespace().collect();
    assert_eq!((words[0], words[2], read("stdin").as_str()), ("corp", token.as_str(), ""));
    assert!(words[1].ends_with('Z'));
    machine.idp.assert_not_shown(&stderr);
}

#[test]
fn the_forms_of_the_file() {
    let machine = Machine::new(3600);
    let rows = [
        ("header", "Authorization: Bearer {}\n"),
        ("netrc", "machine 127.0.0.1 login oauth2 password {}\nmachine api.example.com login oauth2 password {}\n"),
        ("raw", "{}"),
    ];
    let token = text(&machine.home.run(&["token", "corp"]).stdout);
    for (format, expected) in rows {
        let file = machine.home.path().join(format);
        let user = std::fs::metadata(machine.home.path()).unwrap().uid().to_string();
        let args = ["--file", format, "--format", format, "--mode", "0640", "--owner", &user];
        let watching = machine.watching(&args);
        until("the file", || file.exists());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), expected.replace("{}", token.trim_end()), "{format}");
        assert_eq!(mode(&file), 0o640);
        assert_eq!(watching.end().0, Some(0));
    }
    machine.idp.assert_mints(1);
}

#[test]
fn what_cannot_be_kept_is_told_with_what_to_do() {
    let machine = Machine::new(3600);
    let home = machine.home.path();
    machine.home.write("notes", "my notes\nkeep them\n");
    machine.home.write(".netrc", "machine github.com login me password x\n");
    std::os::unix::fs::symlink("notes", home.join("link")).unwrap();
    let _first = machine.watch(&[]);
    until("a token", || machine.file().exists());
    for (args, code, said) in [
        (&["never", "--file", "f"][..], 5, "export = \"never\""),
        (&["corp"], 2, "--file <FILE>"),
        (&["nothing", "--file", "f"], 2, "has no token `nothing`"),
        (&["corp", "--file", "out/token"], 2, "another `watch` keeps this file"),
        (&["corp", "--file", "notes"], 2, "holds something else"),
        (&["corp", "--file", ".netrc", "--format", "netrc"], 2, "holds something else"),
        (&["corp", "--file", "link"], 2, "symbolic link"),
        (&["corp", "--file", "no/such/folder"], 2, "no such folder"),
        (&["corp", "--file", "out"], 2, "is no file"),
        (&["corp", "--file", "f", "--mode", "0666"], 2, "others may at most read it"),
        (&["corp", "--file", "f", "--mode", "644x"], 2, "octal"),
        (&["corp", "--file", "f", "--owner", "no-such-user-here"], 2, "/etc/passwd has no"),
        (&["anywhere", "--file", "f", "--format", "netrc"], 2, "names no host in full"),
        (&["corp", "--exec", "no-such-program-here"], 2, "is not installed"),
        (&["corp", "--env", "A=B", "--exec", "/bin/true"], 2, "no variable's name"),
        (&["corp", "--env", "A", "--file", "f"], 2, "--exec"),
    ] {
        let output = machine.home.run(&[&["watch"], args].concat());
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(code), ""), "{args:?}: {stderr}");
        assert!(stderr.contains(said), "{args:?}: {stderr}");
    }
    assert_eq!(std::fs::read_to_string(home.join("notes")).unwrap(), "my notes\nkeep them\n");
    assert!(!home.join("f").exists());
}
