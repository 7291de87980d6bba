//! `unexpired service`: what it writes, what it leaves alone, what it takes away. Nothing is started: no service manager is found from these homes.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the report")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use support::{Home, text};

fn home() -> Home {
    let home = Home::new();
    home.write(".config/unexpired/config.toml", CONFIG);
    home
}

/// Exit code, stdout, stderr, without a service manager.
fn run(home: &Home, args: &[&str]) -> (Option<i32>, String, String) {
    let output = home.unexpired(args).env("XDG_RUNTIME_DIR", home.path()).output().unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn units(home: &Home) -> [PathBuf; 2] {
    ["service", "socket"].map(|kind| home.path().join(format!(".config/systemd/user/unexpired-proxy.{kind}")))
}

#[test]
fn install_again_changes_nothing_and_uninstall_takes_away_what_it_wrote() {
    let home = home();
    let [service, socket] = units(&home);
    let (code, said, notes) = run(&home, &["service", "install"]);
    assert_eq!(code, Some(0), "{notes}");
    assert!(said.starts_with(&format!("wrote {}\nwrote {}\n", service.display(), socket.display())), "{said}");
    assert!(said.contains("left to do where one does:\n  systemctl --user daemon-reload\n"), "{said}");
    let first = [fs::read_to_string(&service).unwrap(), fs::read_to_string(&socket).unwrap()];
    assert!(
        first[0].contains(&format!("Environment=UNEXPIRED_STORE={}/store\n", home.path().display())),
        "{}",
        first[0]
    );
    assert!(first[1].contains("ListenStream=127.0.0.1:8639\nListenStream=[::1]:8639\n"), "{}", first[1]);

    let own = home.write(".config/systemd/user/unexpired-proxy.service.d/own.conf", "[Service]\n");
    let (code, said, _) = run(&home, &["service", "install"]);
    assert_eq!(code, Some(0));
    assert!(said.starts_with(&format!("unchanged {}\nunchanged", service.display())), "{said}");
    assert_eq!([fs::read_to_string(&service).unwrap(), fs::read_to_string(&socket).unwrap()], first);
    let (_, said, _) = run(&home, &["service", "install", "--port", "9000"]);
    assert!(said.starts_with("wrote ") && fs::read_to_string(&socket).unwrap().contains("127.0.0.1:9000"), "{said}");
    assert_eq!(run(&home, &["service", "status"]).0, Some(0));

    let (code, said, notes) = run(&home, &["service", "uninstall", "--print"]);
    assert_eq!(code, Some(0), "{notes}");
    assert!(said.starts_with("remove ") && service.exists(), "{said}");
    let (code, said, notes) = run(&home, &["service", "uninstall"]);
    assert_eq!(code, Some(0), "{notes}");
    assert_eq!(said, format!("removed {}\nremoved {}\n", service.display(), socket.display()));
    assert!(notes.contains("your own changes stay"), "{notes}");
    assert!(!service.exists() && !socket.exists() && own.exists());
    let (code, _, why) = run(&home, &["service", "uninstall"]);
    assert_eq!((code, why.contains("no service is installed")), (Some(2), true), "{why}");
    assert_eq!(run(&home, &["service", "status"]).0, Some(1));
}

#[test]
fn a_file_of_somebody_else_is_neither_replaced_nor_taken_away() {
    let home = home();
    let [service, socket] = units(&home);
    home.write(".config/systemd/user/unexpired-proxy.socket", "[Socket]\nListenStream=1\n");
    for verb in ["install", "uninstall"] {
        let (code, said, why) = run(&home, &["service", verb]);
        assert_eq!((code, said.as_str()), (Some(2), ""), "{why}");
        assert!(why.contains("was not written by unexpired service install"), "{why}");
    }
    assert!(!service.exists(), "nothing is written by halves");
    assert_eq!(fs::read_to_string(&socket).unwrap(), "[Socket]\nListenStream=1\n");

    // A unit that was masked.
    fs::remove_file(&socket).unwrap();
    std::os::unix::fs::symlink("/dev/null", &socket).unwrap();
    assert_eq!(run(&home, &["service", "install"]).0, Some(2));
    assert_eq!(fs::read_link(&socket).unwrap(), PathBuf::from("/dev/null"));
}

#[test]
fn the_machine_s_service_is_for_root() {
    let home = home();
    if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        // As another user; setpriv comes with the system.
        let output = Command::new("setpriv")
            .args(["--reuid", "65534", "--clear-groups", env!("CARGO_BIN_EXE_unexpired")])
            .args(["service", "install", "--system"])
            .env_clear()
            .env("HOME", "/")
            .current_dir("/")
            .output();
        match output {
            Ok(output) if !text(&output.stderr).contains("setpriv:") => {
                assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
                assert!(text(&output.stderr).contains("is for root"), "{}", text(&output.stderr));
            }
            // Another user may not be able to reach the program.
            other => drop(writeln_skipped(&format!("{other:?}"))),
        }
        return;
    }
    let (code, _, why) = run(&home, &["service", "install", "--system"]);
    assert_eq!((code, why.contains("is for root")), (Some(2), true), "{why}");
}

#[test]
fn an_image_is_written_below_its_root() {
    let home = home();
    let image = home.path().join("image");
    home.write("image/etc/unexpired/config.toml", CONFIG);
    let args = ["service", "install", "--system", "--root", image.to_str().unwrap(), "--program", "/usr/bin/unexpired"];
    let (code, said, why) = run(&home, &args);
    assert_eq!(code, Some(0), "{why}");
    for file in
        ["sysusers.d/unexpired.conf", "systemd/system/unexpired-proxy.service", "systemd/system/unexpired-proxy.socket"]
    {
        assert!(said.contains(&format!("wrote {}/etc/{file}\n", image.display())), "{said}");
    }
    let service = fs::read_to_string(image.join("etc/systemd/system/unexpired-proxy.service")).unwrap();
    assert!(
        service.contains("\nExecStart=/usr/bin/unexpired --config /etc/unexpired/config.toml proxy\n"),
        "{service}"
    );
    assert!(service.contains("\nMemoryDenyWriteExecute=yes\n") && !service.contains("UNEXPIRED_STORE"), "{service}");
    assert!(said.contains(&format!("systemctl --root={} enable", image.display())), "{said}");
    assert!(!said.contains("restart"), "{said}");
    let (code, _, why) = run(&home, &["service", "uninstall", "--system", "--root", image.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{why}");
    assert!(!image.join("etc/sysusers.d/unexpired.conf").exists());
}

fn writeln_skipped(why: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "SKIPPED(setpriv): {why}")
}

const CONFIG: &str = "\
[token.corp]
provider = 'oauth'
token_url = 'https://login.example.com/token'
client_id = 'c'
client_secret = { file = '/run/credentials/unexpired-proxy.service/corp' }
hosts = ['api.example.com']

[route.api]
token = 'corp'
upstream = 'https://api.example.com'
";
