//! A refresh token that changes at each use, at a server that ends the whole family when one is used twice, while the programs that ask for
//! tokens are killed.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use unexpired_core::jwt::Times;
use unexpired_tests::cli::unexpired;
use unexpired_tests::http::Request;
use unexpired_tests::servers::{OidcProvider, SECRET, USER_BASIC};

/// How many helpers are killed.
const ROUNDS: u64 = 400;

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn helper(home: &Path) -> Child {
    Command::new(unexpired())
        .args(["token", "rotating", "--fresh", "--config"])
        .arg(home.join("config.toml"))
        .env_clear()
        .env("UNEXPIRED_STORE", home.join("store"))
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// What a helper prints that is left alone.
fn token(home: &Path) -> String {
    let output = helper(home).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn invalid_grants(issuer: &OidcProvider) -> Value {
    issuer.stats()["refused"].clone()
}

#[test]
fn a_family_with_reuse_detection_outlives_hundreds_of_killed_helpers() {
    let Some(issuer) = OidcProvider::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path();
    let first = issuer.first_refresh_token(USER_BASIC, Some("https://api.example/ttl=3"));
    write(&home.join("secret"), SECRET);
    write(&home.join("first"), &first);
    write(
        &home.join("config.toml"),
        &format!(
            "[token.rotating]\nprovider = 'oauth'\ngrant = 'refresh_token'\ntoken_url = '{}'\nclient_id = '{USER_BASIC}'\n\
             client_secret = {{ file = '{}' }}\nrefresh_token_file = '{}'\n",
            issuer.token_endpoint(),
            home.join("secret").display(),
            home.join("first").display(),
        ),
    );
    // How long one takes here when it is left alone, at its fastest: most moments of death lie within.
    token(home);
    let took = (0..5).map(|_| {
        let start = Instant::now();
        token(home);
        start.elapsed()
    });
    let whole = u64::try_from(took.min().unwrap().as_micros()).unwrap();
    let mut killed = 0;
    for round in 0..ROUNDS {
        let moment = Duration::from_micros(round * 7919 % whole);
        // Mostly one, sometimes a few that share a mint.
        let mut helpers: Vec<Child> = (0..if round % 10 == 0 { 3 } else { 1 }).map(|_| helper(home)).collect();
        std::thread::sleep(moment);
        for helper in &mut helpers {
            killed += u32::from(matches!(helper.try_wait(), Ok(None)));
            let _ = helper.kill();
            let _ = helper.wait();
        }
    }
    eprintln!("{killed} of {ROUNDS} and more were killed in the middle; one takes {whole} µs");
    assert!(killed > 200, "{killed} were killed in the middle");

    let last = token(home);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(Times::of(&last).exp.unwrap() > now);
    assert_eq!(invalid_grants(&issuer), json!({}), "no token was sent twice, and the family lives");
    let granted = issuer.stats()["granted"]["refresh_token"].as_u64().unwrap();
    assert!(granted > 50, "{granted} redemptions: the kills met some");

    // The server does detect reuse: the first token again ends the family.
    let again = Request::post(issuer.token_endpoint())
        .basic(USER_BASIC, SECRET)
        .form(&[("grant_type", "refresh_token"), ("refresh_token", &first)])
        .send()
        .unwrap();
    assert_eq!((again.status, again.text("error").as_str()), (400, "invalid_grant"));
    helper(home).wait_with_output().unwrap();
    assert_eq!(invalid_grants(&issuer), json!({ "refresh_token invalid_grant": 2 }));
}
