//! The store and the secrets of the command in GNOME Keyring, on a session bus of the test's own.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests may fail loudly"
)]

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use unexpired_tests::cli::{Lab, unexpired};
use unexpired_tests::servers::{GnomeKeyring, OidcProvider, SECRET, SessionBus, USER_BASIC};

/// A home, and the bus that programs in it find.
struct Home<'a> {
    folder: &'a Path,
    bus: &'a str,
}

impl Home<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(unexpired());
        command.args(arguments).env_clear().current_dir(self.folder);
        command.env("HOME", self.folder).env("DBUS_SESSION_BUS_ADDRESS", self.bus);
        command.env("UNEXPIRED_STORE", format!("keyring:{}", self.state().display()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What a call prints; it must succeed and say nothing else.
    fn said(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)), "{arguments:?}");
        text(&output.stdout)
    }

    /// What a call says that fails, and its exit code. It must not take long.
    fn fails(&self, arguments: &[&str]) -> (String, Option<i32>) {
        let start = Instant::now();
        let output = self.command(arguments).output().unwrap();
        assert!(start.elapsed() < Duration::from_secs(12), "{arguments:?} took {:?}", start.elapsed());
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        (text(&output.stderr), output.status.code())
    }

    fn with_stdin(&self, arguments: &[&str], stdin: &str) -> Output {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn state(&self) -> PathBuf {
        self.folder.join("state")
    }

    /// Whether nothing but empty locks and marks lies in the state folder.
    fn has_locks_alone(&self) {
        for entry in std::fs::read_dir(self.state()).unwrap().flatten() {
            assert!(
                entry.path().extension().is_some_and(|ending| ending == "lock" || ending == "in-keyring"),
                "{entry:?}"
            );
            assert_eq!(entry.metadata().unwrap().len(), 0, "{entry:?}");
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn the_store_is_in_the_keyring_and_nothing_that_is_secret_in_a_file() {
    let Some(mut keyring) = GnomeKeyring::start() else { return };
    let lab = Lab::start(60);
    let address = keyring.address().to_owned();
    let home = Home { folder: lab.home(), bus: &address };

    let first = home.said(&["token", "corp"]);
    assert!(lab.accepts(first.trim_end()));
    for _ in 0..3 {
        assert_eq!(home.said(&["token", "corp"]), first);
    }
    assert_eq!(lab.asked(), 1, "one mint serves everybody");
    home.has_locks_alone();
    let status: Value = serde_json::from_str(&home.said(&["status", "--json"])).unwrap();
    assert_eq!(status["tokens"][0]["cached"]["phase"], "fresh");
    assert!(status["store"].as_str().unwrap().starts_with("the keyring; locks in "), "{status}");
    let examined = text(&home.command(&["doctor"]).output().unwrap().stdout);
    assert!(examined.contains("ok    records: in the keyring, which is unlocked"), "{examined}");

    // A token that was refused is handed out no more.
    let refused = home.with_stdin(&["reject", "corp"], &first);
    assert!(refused.status.success(), "{}", text(&refused.stderr));
    let second = home.said(&["token", "corp"]);
    assert_ne!(second, first);

    // The keyring keeps it over its own end, encrypted.
    keyring.restart();
    assert_eq!(home.said(&["token", "corp"]), second);
    assert_eq!(lab.asked(), 2);
    for file in std::fs::read_dir(keyring.files()).unwrap().flatten() {
        let bytes = std::fs::read(file.path()).unwrap();
        assert!(!text(&bytes).contains(second.trim_end()), "{file:?}");
    }
    home.has_locks_alone();
}

#[test]
fn many_processes_at_once_mint_once() {
    let Some(keyring) = GnomeKeyring::start() else { return };
    let lab = Lab::start(60);
    let home = Home { folder: lab.home(), bus: keyring.address() };
    let children: Vec<Child> = (0..20).map(|_| home.command(&["token", "corp"]).spawn().unwrap()).collect();
    let answers: Vec<String> = children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", text(&output.stderr));
            text(&output.stdout)
        })
        .collect();
    assert!(answers.iter().all(|answer| *answer == answers[0] && !answer.is_empty()));
    assert_eq!(lab.asked(), 1);
}

/// A failure is shared as a token is.
#[test]
fn a_failing_source_is_asked_once() {
    let Some(keyring) = GnomeKeyring::start() else { return };
    let lab = Lab::start(60);
    let home = Home { folder: lab.home(), bus: keyring.address() };
    lab.outage(true);
    let (said, code) = home.fails(&["token", "corp", "--timeout", "1s"]);
    assert_eq!(code, Some(3), "{said}");
    let asked = lab.asked();
    let (again, _) = home.fails(&["token", "corp"]);
    assert!(again.contains("overloaded") && again.contains("next attempt in"), "{again}");
    assert!(lab.asked() <= asked + 1, "{} and then {}", asked, lab.asked());
    home.has_locks_alone();
}

#[test]
fn a_keyring_that_cannot_be_used_is_told_of_in_time_and_nothing_takes_its_place() {
    let Some(keyring) = GnomeKeyring::start() else { return };
    let lab = Lab::start(60);
    let nobody = SessionBus::start().unwrap();
    fn home<'a>(lab: &'a Lab, bus: &'a str) -> Home<'a> {
        Home { folder: lab.home(), bus }
    }
    let check = |bus: &str, what: &str, remedy: &str| {
        let file = lab.home().join("t").display().to_string();
        for arguments in [&["token", "corp"][..], &["secret", "set", "corp/ci"], &["watch", "corp", "--file", &file]] {
            let (said, code) = home(&lab, bus).fails(arguments);
            let told = said.contains(what) && said.contains(remedy) && !said.contains("panicked");
            assert!(told && code == Some(3), "{arguments:?}: {said}");
        }
        let status = home(&lab, bus).said(&["status"]);
        assert!(status.contains(what), "{status}");
        let examined = text(&home(&lab, bus).command(&["doctor"]).output().unwrap().stdout);
        assert!(examined.contains(&format!("fail  records: {what}")), "{examined}");
    };
    let absent = format!("unix:path={}/no-bus", lab.home().display());
    check(&absent, "the session bus, on which the keyring is, cannot be used", "DBUS_SESSION_BUS_ADDRESS");
    check(nobody.address(), "no program on the session bus keeps secrets", "gnome-keyring");
    keyring.lock();
    check(keyring.address(), "the keyring is locked", "unlock it");
    keyring.freeze();
    check(keyring.address(), "the keyring did not answer within 4 s", "prompt");
    assert_eq!(lab.asked(), 0, "no token was minted without its store");
    let files = std::fs::read_dir(home(&lab, "").state()).map(|folder| folder.count()).unwrap_or_default();
    assert_eq!(files, 0, "nothing was written");
}

#[test]
fn a_secret_comes_from_the_keyring() {
    let Some(keyring) = GnomeKeyring::start() else { return };
    let Some(issuer) = OidcProvider::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let home = Home { folder: folder.path(), bus: keyring.address() };
    let config = folder.path().join(".config/unexpired");
    std::fs::create_dir_all(&config).unwrap();
    write(
        &config.join("config.toml"),
        &format!(
            "[token.corp]\nprovider = 'oauth'\ntoken_url = '{}'\nclient_id = '{}'\nclient_secret = {{ keyring = 'https://corp.example/ci' }}\n\
             scope = 'api'\nresource = 'https://api.example/ttl=60'\n",
            issuer.token_endpoint(),
            unexpired_tests::servers::CLIENT_BASIC,
        ),
    );
    let (said, code) = home.fails(&["token", "corp"]);
    let expected = "config.toml:5: token.corp.client_secret: the keyring's entry https://corp.example/ci does not exist; \
                    put the secret there: unexpired secret set https://corp.example/ci";
    assert!(said.contains(expected) && code == Some(2), "{said}");
    assert_eq!(home.said(&["config", "check"]).lines().count(), 1);

    for (entry, secret, code) in [
        ("https://corp.example/ci", "another\n", 0),
        ("https://corp.example/ci", &format!("{SECRET}\n"), 0),
        ("https://corp.example/ci", "", 2),
        ("no-account", "x", 2),
    ] {
        let set = home.with_stdin(&["secret", "set", entry], secret);
        assert_eq!(set.status.code(), Some(code), "{entry}: {}", text(&set.stderr));
        assert_eq!(text(&set.stdout), "");
    }
    // The refusal is remembered for 5 s: an entry is not looked at to learn that it has changed.
    let start = Instant::now();
    while !home.command(&["token", "corp"]).output().unwrap().status.success() {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(100));
    }
    let token = home.said(&["token", "corp"]);
    assert_eq!(home.said(&["secret", "remove", "https://corp.example/ci"]), "");
    assert_eq!(home.said(&["token", "corp"]), token, "what was minted lives on");
    let again = home.command(&["secret", "remove", "https://corp.example/ci"]).output().unwrap();
    assert!(again.status.success() && text(&again.stderr).contains("no such entry"));
}

/// As `rotation.rs`, with the record in the keyring and no file of the user's.
#[test]
fn a_family_with_reuse_detection_outlives_killed_helpers() {
    // Clients that vanish in the middle of a call have been seen to end the keyring itself; what it had accepted may then be gone, and it is begun anew.
    assert!((0..3).any(|_| outlives_killed_helpers()), "GNOME Keyring ended three times over");
}

/// `false` if the keyring ended meanwhile.
fn outlives_killed_helpers() -> bool {
    let Some(keyring) = GnomeKeyring::start() else { return true };
    let Some(issuer) = OidcProvider::start() else { return true };
    let folder = tempfile::tempdir().unwrap();
    let home = Home { folder: folder.path(), bus: keyring.address() };
    let first = issuer.first_refresh_token(USER_BASIC, Some("https://api.example/ttl=3"));
    for (entry, secret) in [("corp/client", SECRET), ("corp/refresh", first.as_str())] {
        assert!(home.with_stdin(&["secret", "set", entry], secret).status.success());
    }
    let config = folder.path().join("config.toml");
    write(
        &config,
        &format!(
            "store = 'keyring'\n[token.rotating]\nprovider = 'oauth'\ngrant = 'refresh_token'\ntoken_url = '{}'\nclient_id = '{USER_BASIC}'\n\
             client_secret = {{ keyring = 'corp/client' }}\nrefresh_token = {{ keyring = 'corp/refresh' }}\n",
            issuer.token_endpoint(),
        ),
    );
    let arguments = ["token", "rotating", "--fresh", "--config", config.to_str().unwrap()];
    home.said(&arguments);
    // How long one takes here when it is left alone, at its fastest: most moments of death lie within.
    let took = (0..5).map(|_| {
        let start = Instant::now();
        home.said(&arguments);
        start.elapsed()
    });
    let whole = u64::try_from(took.min().unwrap().as_micros()).unwrap();
    let mut killed = 0;
    for round in 0..100_u64 {
        let mut helper = home.command(&arguments).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(round * 7919 % whole));
        killed += u32::from(matches!(helper.try_wait(), Ok(None)));
        let _ = helper.kill();
        let _ = helper.wait();
    }
    if !keyring.lives() {
        eprintln!("GNOME Keyring has ended by itself; again");
        return false;
    }
    assert!(killed > 40, "{killed} were killed in the middle");
    home.said(&arguments);
    assert_eq!(issuer.stats()["refused"], json!({}), "no token was sent twice, and the family lives");
    let granted = issuer.stats()["granted"]["refresh_token"].as_u64().unwrap();
    assert!(granted > 10, "{granted} redemptions: the kills met some");
    home.has_locks_alone();
    true
}

/// In the process: what a program that uses the library does.
#[test]
fn an_entry_is_put_found_replaced_and_taken_away() {
    use unexpired_store::keyring::{Keyring as _, SystemKeyring};
    let Some(mut keyring) = GnomeKeyring::start() else { return };
    let system = SystemKeyring::on_bus(keyring.address());
    system.check().unwrap();
    assert!(system.get("corp", "ci").unwrap().is_none() && !system.remove("corp", "ci").unwrap());
    for secret in ["fake", "ünï \"cödé\"\n", &"x".repeat(200_000), ""] {
        system.set("corp", "ci", secret).unwrap();
        assert_eq!(system.get("corp", "ci").unwrap().unwrap().expose(), secret);
    }
    system.set("corp", "other", "o").unwrap();
    assert!(system.remove("corp", "ci").unwrap());
    assert!(system.get("corp", "ci").unwrap().is_none());
    // A connection that has gone is made anew.
    keyring.restart();
    assert_eq!(system.get("corp", "other").unwrap().unwrap().expose(), "o");
    keyring.lock();
    let error = system.get("corp", "other").unwrap_err();
    assert!(error.what().contains("locked"), "{error}");
}
