//! Each source against a server that breaks a rule of its answers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

use std::sync::Arc;
use unexpired_core::*;
use unexpired_entra::ClientSecret;
use unexpired_google::ServiceAccount;
use unexpired_ibm::ApiKey;
use unexpired_oauth::{ClientCredentials, RefreshToken, Server};
use unexpired_testkit::{ExpiresIn, Fault, IdentityProvider, defaults};

#[tokio::test]
async fn a_life_is_believed_if_it_makes_sense() {
    let raw = |text: &str| ExpiresIn::Raw(text.to_owned());
    // The tokens are JWTs that live for an hour, and say so.
    let hour = 3_598..=3_600;
    for (how, lives) in [
        (ExpiresIn::Text, Some(hour.clone())),
        (ExpiresIn::Float, Some(hour.clone())),
        (ExpiresIn::Missing, Some(hour.clone())),
        (ExpiresIn::Absurd, Some(hour.clone())),
        (raw("1e300"), Some(hour.clone())),
        (raw("\"soon\""), Some(hour.clone())),
        (raw("null"), Some(hour.clone())),
        (raw("[3600]"), Some(hour)),
        (raw("60"), Some(60..=60)),
        (ExpiresIn::Negative, None),
        (raw("0"), None),
        (ExpiresIn::Duplicate, None),
        (raw("1e999"), None),
    ] {
        let fault = Fault::expires_in(how);
        for (name, answer) in ask_everyone(&fault).await {
            match (&lives, answer) {
                (Some(lives), Ok(token)) => {
                    let life = token.lifetime().life.unwrap().as_secs();
                    assert!(lives.contains(&life), "{name}, {fault:?}: {life} s");
                }
                (None, Err(error)) => assert_eq!(error.kind(), ErrorKind::Malformed, "{name}, {fault:?}: {error}"),
                (_, answer) => panic!("{name}, {fault:?}: {answer:?}"),
            }
        }
    }
}

#[tokio::test]
async fn an_answer_that_would_break_a_header_or_says_two_things_is_refused() {
    for body in [
        r#"{"access_token":"canary\r\nx-injected: 1","token_type":"Bearer","expires_in":60}"#,
        r#"{"access_token":"canary\n","token_type":"Bearer","expires_in":60}"#,
        r#"{"access_token":"canary\u0000","token_type":"Bearer","expires_in":60}"#,
        r#"{"access_token":"canary 1","token_type":"Bearer","expires_in":60}"#,
        r#"{"access_token":"","token_type":"Bearer","expires_in":60}"#,
        r#"{"access_token":"canary","access_token":"canary2","token_type":"Bearer","expires_in":60}"#,
        r#"{"access_token":"canary","token_type":"Bearer","expires_in":60,"scope":"a","scope":"b"}"#,
        r#"{"access_token":"canary","token_type":"Bearer\r\nx-injected: 1","expires_in":60}"#,
        r#"{"access_token":"canary","refresh_token":"canary\r\n","token_type":"Bearer","expires_in":60}"#,
        r#"{"access_token":["canary"],"token_type":"Bearer","expires_in":60}"#,
        r#"["canary"]"#,
        "<html>canary</html>",
    ] {
        for (name, answer) in ask_everyone(&Fault::status(200).body(body)).await {
            let Err(error) = answer else { panic!("{name} takes {body}") };
            assert_eq!(error.kind(), ErrorKind::Malformed, "{name}, {body}: {error}");
            let line = error.to_string();
            assert!(!line.contains("canary") && !line.contains("injected"), "{name}, {body}: {line}");
        }
    }
}

/// What each source makes of an answer with this fault.
async fn ask_everyone(fault: &Fault) -> Vec<(&'static str, Result<Token, MintError>)> {
    let idp = IdentityProvider::blocking_start().unwrap();
    let text = |text: &str| Arc::new(Secret::new(text));
    let oauth = || Server::token_url(&idp.oauth_token_url()).unwrap();
    let entra = ClientSecret::builder(defaults::TENANT, defaults::CLIENT_ID, text(defaults::CLIENT_SECRET))
        .authority(idp.entra_authority())
        .scope(defaults::ENTRA_SCOPE);
    let google = ServiceAccount::builder(Arc::new(idp.service_account_json())).scope(defaults::GOOGLE_SCOPE);
    let machine = ClientCredentials::builder(oauth(), defaults::CLIENT_ID).client_secret(text(defaults::CLIENT_SECRET));
    let person = RefreshToken::builder(oauth(), defaults::PUBLIC_CLIENT_ID)
        .refresh_token(Arc::new(idp.refresh_token(defaults::PUBLIC_CLIENT_ID, "read").unwrap()));
    let sources: [(&str, Arc<dyn TokenSource>); 5] = [
        ("entra", Arc::new(entra.build().unwrap())),
        ("google", Arc::new(google.build().unwrap())),
        ("ibm", Arc::new(ApiKey::builder(text(defaults::API_KEY)).endpoint(idp.ibm_endpoint()).build().unwrap())),
        ("oauth", Arc::new(machine.build().unwrap())),
        ("oauth, refresh token", Arc::new(person.build().unwrap())),
    ];
    let mut answers = Vec::new();
    for (name, source) in sources {
        idp.fault(fault.clone());
        answers.push((name, source.mint(MintRequest::standalone()).await));
        assert_eq!(idp.faults(), 0, "{name} has not met the fault");
    }
    answers
}
