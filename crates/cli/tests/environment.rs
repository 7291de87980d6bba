//! Keys of the configuration whose effect is seen beside an environment variable only: which authorities are trusted, where refresh tokens are
//! kept.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the report")]

mod support;

use support::{Home, text};
use unexpired_testkit::{Endpoint, IdentityProvider, defaults};

#[test]
fn bundled_roots_are_trusted_in_place_of_the_systems() {
    let idp = IdentityProvider::builder().https().blocking_start().unwrap();
    let home = Home::new();
    let key = home.write("key", defaults::API_KEY);
    let ca = idp.ca_file().unwrap();
    let token = |roots: &str| {
        let config = format!(
            "[token.t]\nprovider = 'ibm'\nendpoint = '{}'\napi_key = {{ file = '{}' }}\n{roots}",
            idp.https_url().unwrap(),
            key.display()
        );
        let path = home.write("c.toml", &config);
        home.unexpired(&["--config", path.to_str().unwrap(), "token", "t", "--fresh"])
            .env("SSL_CERT_FILE", &ca)
            .output()
            .unwrap()
    };
    let output = token("");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = token("roots = 'bundled'");
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("unknown issuer"), "{}", text(&output.stderr));
}

#[test]
fn a_refresh_token_begins_where_it_is_configured_and_goes_on_in_the_store() {
    let idp = IdentityProvider::blocking_start().unwrap();
    let first = idp.refresh_token(defaults::PUBLIC_CLIENT_ID, "read").unwrap();
    let home = Home::new();
    let secret = home.write("first", first.expose());
    let config = format!(
        "[token.t]\nprovider = 'oauth'\ntoken_url = '{}'\nclient_id = '{}'\ngrant = 'refresh_token'\nrefresh_token = {{ file = '{}' }}\n",
        idp.oauth_token_url(),
        defaults::PUBLIC_CLIENT_ID,
        secret.display()
    );
    let path = home.write("c.toml", &config);
    let store = home.path().join("store");
    for _ in 0..2 {
        let output = home
            .unexpired(&["--config", path.to_str().unwrap(), "token", "t", "--fresh"])
            .env("UNEXPIRED_STORE", &store)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let sent: Vec<String> = idp
        .requests_at(Endpoint::OAuth)
        .iter()
        .map(|request| request.field("refresh_token").unwrap().to_owned())
        .collect();
    assert_eq!(sent.len(), 2);
    assert_eq!(sent[0], first.expose());
    assert_ne!(sent[1], first.expose(), "the server rotated it, and the newest one is used");
    assert_eq!(std::fs::read_to_string(secret).unwrap(), first.expose(), "the configured place is only read");
    assert!(store.is_dir());
}
