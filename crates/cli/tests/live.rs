//! `unexpired status --watch` where there is no terminal: a page a second, without cursor movements; it mints nothing.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the report")]

mod support;

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::Home;
use unexpired_testkit::{IdentityProvider, defaults};

/// What is printed within some seconds, and the exit code after SIGTERM.
fn watch(home: &Home, args: &[&str], seconds: u64) -> (String, Option<i32>) {
    let mut command = home.unexpired(&[&["status", "--watch"], args].concat());
    let mut child = command.env("TERM", "xterm").stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(seconds));
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let mut stdout = String::new();
    child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
    (stdout, child.wait().unwrap().code())
}

#[test]
fn each_second_a_page_that_follows_the_store() {
    let idp = IdentityProvider::blocking_start().unwrap();
    let home = Home::new();
    let secret = home.write("secret", defaults::CLIENT_SECRET);
    let config = format!(
        "[token.corp]\nprovider = 'oauth'\ntoken_url = '{}'\nclient_id = '{}'\nclient_secret = {{ file = '{}' }}\n\
         [token.hidden]\nprovider = 'ibm'\napi_key = {{ file = '/no/such' }}\nexport = 'never'\n",
        idp.oauth_token_url(),
        defaults::CLIENT_ID,
        secret.display()
    );
    home.write(".config/unexpired/config.toml", &config);
    let (pages, code) = watch(&home, &[], 3);
    assert_eq!(code, Some(0));
    assert!(pages.matches("unexpired 20").count() >= 2, "{pages}");
    assert!(pages.contains(" corp    none kept: the next call mints\n"), "{pages}");
    assert!(pages.contains(" hidden  never kept: export = \"never\"\n"), "{pages}");
    idp.assert_mints(0);

    assert!(home.run(&["token", "corp"]).status.success());
    let (pages, _) = watch(&home, &["corp"], 2);
    assert!(pages.contains(" left, refresh in ") && pages.contains('●') && !pages.contains("hidden"), "{pages}");
    assert!(!pages.contains('\x1b'), "{pages}");
    idp.assert_not_shown(&pages);
    idp.assert_mints(1);

    home.write("secret", "another");
    assert_eq!(home.run(&["token", "corp"]).status.code(), Some(4));
    let (pages, _) = watch(&home, &[], 2);
    assert!(pages.contains("failing, ") && pages.contains("invalid_client"), "{pages}");

    let (lines, code) = watch(&home, &["--json"], 2);
    assert_eq!(code, Some(0));
    assert!(lines.lines().count() >= 2, "{lines}");
    for line in lines.lines() {
        assert!(
            line.starts_with("{\"at\":\"20") && line.ends_with('}') && line.contains("\"name\":\"corp\""),
            "{line}"
        );
    }
}
