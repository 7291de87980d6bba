//! IAM's exchanges, replayed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

#[path = "../../../fixtures/replay.rs"]
mod replay;

use replay::{Exchange, Replay, fixture};
use std::sync::Arc;
use std::time::Duration;
use unexpired_core::{ErrorKind, MintError, MintRequest, Secret, TestClock, Token, TokenSource, WindowCap};
use unexpired_ibm::{ApiKey, ApiKeyBuilder};

const KEY: &str = "FAKE_ibmcloud_api_key_0001";

fn builder(replay: &Replay) -> ApiKeyBuilder {
    ApiKey::builder(Arc::new(Secret::new(KEY))).endpoint(&replay.url)
}

/// On a clock that stands at the fixtures' time, 2026-01-01T00:00:00Z.
fn request() -> MintRequest {
    MintRequest::standalone_on(Arc::new(TestClock::new()))
}

async fn mint(exchange: Exchange) -> Result<Token, MintError> {
    let replay = Replay::of([exchange]);
    let result = builder(&replay).build().unwrap().mint(request()).await;
    replay.finish();
    if let Err(error) = &result {
        assert!(!error.to_string().contains(KEY) && error.to_string().chars().count() <= 300, "{error}");
        assert_eq!((error.source_name(), error.endpoint_host()), (Some("ibm"), Some("127.0.0.1")));
    }
    result
}

#[tokio::test]
async fn a_key_becomes_a_token_of_an_hour() {
    let token = mint(fixture("ibm/api-key.http")).await.unwrap();
    assert_eq!(token.authorization(), "Bearer eyJ.fake-iam-token.sig");
    assert_eq!(token.source(), "ibm");
    assert_eq!(token.lifetime().life, Some(Duration::from_secs(3600)));
    assert_eq!(token.lifetime().cap, WindowCap::OneIn(5));
}

#[tokio::test]
async fn a_token_that_states_no_life_or_an_absurd_one_does_not_live_for_ever() {
    for body in [
        r#"{"access_token":"at-1","token_type":"Bearer"}"#,
        r#"{"access_token":"at-1","token_type":"Bearer","expires_in":null}"#,
        r#"{"access_token":"at-1","token_type":"Bearer","expires_in":"soon"}"#,
        r#"{"access_token":"at-1","token_type":"Bearer","expires_in":1e300}"#,
    ] {
        let token = mint(fixture("ibm/api-key.http").answering("200 OK", &[], body)).await.unwrap();
        assert_eq!(token.lifetime().life, Some(Duration::from_secs(300)), "{body}");
    }
}

#[tokio::test]
async fn a_client_authenticates_by_basic_and_the_earlier_of_two_expiries_counts() {
    let replay = Replay::of([fixture("ibm/api-key-with-client.http")]);
    let source = builder(&replay)
        .client_id("my-client")
        .client_secret(Arc::new(Secret::new("my-secret\n")))
        .scope("ibm openid")
        .build()
        .unwrap();
    let token = source.mint(request()).await.unwrap();
    replay.finish();
    // `expires_in` says an hour, `expiration` 40 minutes.
    assert_eq!(token.lifetime().life, Some(Duration::from_secs(2400)));
}

#[tokio::test]
async fn a_sibling_asks_for_another_scope() {
    let mut asked = fixture("ibm/api-key.http");
    asked.request.form.push(("scope".into(), "openid".into()));
    let replay = Replay::of([asked]);
    let source = builder(&replay).build().unwrap();
    assert!(source.for_scope("").is_none() && source.for_scope("a\nb").is_none());
    source.for_scope("openid").unwrap().mint(request()).await.unwrap();
    replay.finish();
}

#[tokio::test]
async fn a_wrong_key_is_a_refusal_with_advice_and_the_transaction() {
    let error = mint(fixture("ibm/wrong-key.http")).await.unwrap_err();
    assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Denied, Some("BXNIM0415E")));
    let line = error.to_string();
    for part in ["deleted", "test or production", "(transaction ZmFrZQ-00000000000000000000000000000002)"] {
        assert!(line.contains(part), "{line}");
    }
}

#[tokio::test]
async fn throttling_is_transient_and_tells_how_long() {
    let error = mint(fixture("ibm/throttled.http")).await.unwrap_err();
    assert_eq!((error.kind(), error.wait()), (ErrorKind::Unavailable, Some(Duration::from_secs(10))));
}

#[tokio::test]
async fn codes_decide_kind_and_remedy_whatever_the_language_of_the_text() {
    for (status, code, kind, remedy) in [
        ("405 Method Not Allowed", "BXNIM0060E", ErrorKind::Misconfigured, "set the endpoint"),
        ("400 Bad Request", "BXNIM0109E", ErrorKind::Misconfigured, "check that the API key is not empty"),
        ("401 Unauthorized", "BXNIM0308E", ErrorKind::Misconfigured, "set client_id and client_secret"),
        ("401 Unauthorized", "BXNIM0310E", ErrorKind::Misconfigured, "correct client_id"),
        ("400 Bad Request", "BXNIM0410E", ErrorKind::Denied, "active user or service id"),
        ("401 Unauthorized", "BXNIM0430E", ErrorKind::Denied, "let the account's owner allow it"),
        ("400 Bad Request", "BXNIM0434E", ErrorKind::Denied, "unblock"),
        ("401 Unauthorized", "BXNIM0436E", ErrorKind::Denied, "ask the account's administrator"),
        ("401 Unauthorized", "BXNIM0462E", ErrorKind::Denied, "enable or replace"),
        ("403 Forbidden", "BXNIM0513E", ErrorKind::Denied, "grant the access policy"),
        ("400 Bad Request", "BXNIM9999E", ErrorKind::Denied, "Texte de l'erreur"),
        ("500 Internal Server Error", "BXNIM0415E", ErrorKind::Unavailable, "try again later"),
        ("503 Service Unavailable", "BXNIM9999E", ErrorKind::Unavailable, "try again later"),
    ] {
        let body = format!(r#"{{"errorCode":"{code}","errorMessage":"Texte de l'erreur"}}"#);
        let error = mint(fixture("ibm/api-key.http").answering(status, &[], body)).await.unwrap_err();
        assert_eq!((error.kind(), error.provider_code()), (kind, Some(code)));
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

#[tokio::test]
async fn pages_and_nonsense_are_transient_and_not_repeated() {
    for (status, body, kind) in [
        ("200 OK", "<html>captive portal</html>", ErrorKind::Malformed),
        ("200 OK", "{}", ErrorKind::Malformed),
        ("200 OK", r#"{"access_token":"a b","expires_in":3600}"#, ErrorKind::Malformed),
        ("502 Bad Gateway", "<html>captive portal</html>", ErrorKind::Unavailable),
        ("302 Found", "captive portal", ErrorKind::Misconfigured),
    ] {
        let error =
            mint(fixture("ibm/api-key.http").answering(status, &[("location", "/elsewhere")], body)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(!error.to_string().contains("captive"), "{error}");
    }
}

#[tokio::test]
async fn a_key_that_is_repeated_by_the_server_is_not_shown() {
    // `mint` checks that no error holds the key.
    for (status, headers, body) in [
        ("400 Bad Request", vec![], format!(r#"{{"errorCode":"BXNIM9999E","errorMessage":"no key {KEY}"}}"#)),
        ("400 Bad Request", vec![], format!(r#"{{"errorCode":"{KEY}","errorMessage":"no"}}"#)),
        ("400 Bad Request", vec![], format!(r#"{{"errorCode":"BXNIM0415E","errorMessage":"no key {KEY}"}}"#)),
        ("503 Service Unavailable", vec![], format!(r#"{{"errorCode":"BXNIM0415E","errorMessage":"no key {KEY}"}}"#)),
        ("503 Service Unavailable", vec![], KEY.to_owned()),
        (
            "400 Bad Request",
            vec![("transaction-id", KEY)],
            r#"{"errorCode":"BXNIM0415E","errorMessage":"no"}"#.to_owned(),
        ),
    ] {
        let error = mint(fixture("ibm/api-key.http").answering(status, &headers, body)).await.unwrap_err();
        assert_eq!(error.kind().is_transient(), status.starts_with("503"), "{error}");
    }
}

#[tokio::test]
async fn neither_is_the_clients_secret() {
    for text in ["my-secret", "bXktY2xpZW50Om15LXNlY3JldA==", r"my\u002Dsecret", "my%2Dsecret"] {
        let body = format!(r#"{{"errorCode":"BXNIM9999E","errorMessage":"not {text}"}}"#);
        let replay = Replay::of([fixture("ibm/api-key-with-client.http").answering("401 Unauthorized", &[], body)]);
        let source = builder(&replay)
            .client_id("my-client")
            .client_secret(Arc::new(Secret::new("my-secret")))
            .scope("ibm openid")
            .build()
            .unwrap();
        let error = source.mint(request()).await.unwrap_err();
        replay.finish();
        let line = error.to_string();
        assert!(!line.contains(text) && !line.contains("my-secret") && line.contains("repeats a secret"), "{line}");
        assert_eq!(error.provider_code(), Some("BXNIM9999E"));
    }
}

#[tokio::test]
async fn what_is_no_key_is_never_sent() {
    // Nobody listens there: a request would be a transient error.
    let source =
        |key: &str| ApiKey::builder(Arc::new(Secret::new(key))).endpoint("http://127.0.0.1:1").build().unwrap();
    for key in ["", "{FAKE}", "\"FAKE\"", "FAKE key"] {
        let error = source(key).mint(request()).await.unwrap_err();
        assert_eq!((error.kind(), error.source_name()), (ErrorKind::Misconfigured, Some("ibm")), "{key}");
    }
    assert!(source(KEY).mint(request()).await.unwrap_err().kind().is_transient());
}

#[test]
fn a_client_is_an_id_and_a_secret() {
    let builder = || ApiKey::builder(Arc::new(Secret::new(KEY)));
    let secret = || Arc::new(Secret::new("my-secret"));
    for half in [
        builder().client_id("my-client"),
        builder().client_secret(secret()),
        builder().client_id("").client_secret(secret()),
    ] {
        assert_eq!(half.build().unwrap_err().kind(), ErrorKind::Misconfigured);
    }
    let shown = format!("{:?}", builder().client_id("my-client").client_secret(secret()).build().unwrap());
    assert!(shown.contains("my-client") && !shown.contains("my-secret") && !shown.contains(KEY), "{shown}");
}
