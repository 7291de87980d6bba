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
