//! A configuration mints: each provider against the lab's identity provider, and the fallback when it is down.
#![cfg(feature = "config")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use unexpired::config::Config;
use unexpired_testkit::lab::{Lab, LabOptions};

#[test]
fn every_token_of_the_labs_configuration_is_minted() {
    let lab = Lab::start(LabOptions::default()).unwrap();
    let config = Config::parse(lab.config_toml(), "lab.toml").unwrap();
    assert!(config.names().count() >= 5);
    for token in config.tokens() {
        let manager = config.manager(token.name()).unwrap().build();
        let minted = manager.blocking_token().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(minted.source(), token.provider());
        let shown = format!("{manager:?} {minted:?} {:?}", manager.status());
        assert!(!shown.contains(minted.secret()), "{shown}");
    }
    // The rotated refresh token is in the file, and a second process goes on with it.
    let again = Config::parse(lab.config_toml(), "lab.toml").unwrap();
    for _ in 0..2 {
        again.manager("lab-oauth-refresh").unwrap().build().blocking_token().unwrap();
    }
}

/// Nothing is written anywhere: what two names have in common they share in memory, and so do clones of the configuration.
#[test]
fn with_a_store_in_memory_a_process_mints_once_and_touches_no_file() {
    let lab = Lab::start(LabOptions::default()).unwrap();
    let section = |name: &str| {
        let text = lab.config_toml().split_once("[token.lab-oauth]\n").unwrap().1;
        format!("[token.{name}]\n{}\n\n", text.split("\n\n").next().unwrap())
    };
    let text = format!("store = 'memory'\n{}{}", section("one"), section("two"));
    let config = Config::parse(&text, "c.toml").unwrap();
    let minted = |config: &Config, name: &str| {
        let source = config.stored_source(name, config.open_store().unwrap()).unwrap();
        unexpired::TokenManager::builder(name, source).build().blocking_token().unwrap()
    };
    let first = minted(&config, "one");
    for (config, name) in [(&config, "two"), (&config.clone(), "one")] {
        assert_eq!(minted(config, name).secret(), first.secret());
    }
}

/// A server that rotates would lock the user out: the next process would begin with a token that is used up.
#[test]
fn a_refresh_token_is_not_sent_where_its_successor_would_be_lost() {
    let text = "store = 'memory'\n[token.t]\nprovider = 'oauth'\ntoken_url = 'https://as.example.com/token'\nclient_id = 'c'\n\
                grant = 'refresh_token'\nrefresh_token = { env = 'PATH' }\n";
    let expected = "store = \"memory\" would lose what the server puts in the place of refresh_token; \
                    name a refresh_token_file, or set store (or UNEXPIRED_STORE) to \"file\" or \"keyring\"";
    let config = Config::parse(text, "c.toml").unwrap();
    let error = config.source("t").err().unwrap();
    assert_eq!(error.to_string(), format!("c.toml:7: token.t.refresh_token: {expected}"));
    assert_eq!(config.missing().iter().map(ToString::to_string).collect::<Vec<_>>(), [error.to_string()]);
    // The user's own file is where the user wants it.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rt");
    std::fs::write(&file, "rt-1").unwrap();
    let text = text.replace("refresh_token = { env = 'PATH' }", &format!("refresh_token_file = '{}'", file.display()));
    let config = Config::parse(&text, "c.toml").unwrap();
    assert!(config.source("t").is_ok());
    assert_eq!(config.missing(), []);
}
