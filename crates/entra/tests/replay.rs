//! Entra's exchanges, replayed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

#[path = "../../../fixtures/replay.rs"]
mod replay;

use replay::{Exchange, Replay, fixture};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use unexpired_core::{
    BoxFuture, ErrorKind, MintError, MintRequest, Secret, SecretSource, TestClock, Token, TokenSource,
};
use unexpired_entra::{ClientSecret, ClientSecretBuilder, Cloud};

const TENANT: &str = "11111111-2222-4333-8444-555555555555";
const CLIENT: &str = "aaaaaaaa-0000-4000-8000-000000000001";
const SECRET: &str = "fAkE~s3cr3t+value=";
const SCOPE: &str = "https://management.azure.com/.default";

fn builder(authority: &str, secret: &str) -> ClientSecretBuilder {
    ClientSecret::builder(TENANT, CLIENT, Arc::new(Secret::new(secret))).scope(SCOPE).authority(authority)
}

fn request() -> MintRequest {
    MintRequest::standalone_on(Arc::new(TestClock::new()))
}

async fn mint(exchange: Exchange) -> Result<Token, MintError> {
    let replay = Replay::of([exchange]);
    let result = builder(&replay.url, SECRET).build().unwrap().mint(request()).await;
    replay.finish();
    if let Err(error) = &result {
        assert!(!error.to_string().contains("s3cr3t") && error.to_string().chars().count() <= 300, "{error}");
        assert_eq!((error.source_name(), error.endpoint_host()), (Some("entra"), Some("127.0.0.1")));
    }
    result
}

/// The error body that Entra would send for a code.
fn aadsts(code: u64, error: &str) -> String {
    format!(
        r#"{{"error":"{error}","error_description":"AADSTS{code}: Text of Microsoft's. Trace ID: 0000aaaa-11bb-4ccc-8d33-eeeeee333333 Correlation ID: 5a5a5a5a-0000-4000-8000-00000000000a Timestamp: 2026-01-01 00:00:00Z","error_codes":[{code}],"trace_id":"0000aaaa-11bb-4ccc-8d33-eeeeee333333","correlation_id":"5a5a5a5a-0000-4000-8000-00000000000a"}}"#
    )
}

#[tokio::test]
async fn a_secret_becomes_a_token() {
    let replay = Replay::of([fixture("entra/client-secret.http")]);
    let source = builder(&replay.url, SECRET).build().unwrap();
    let token = source.mint(request()).await.unwrap();
    assert_eq!(token.authorization(), "Bearer eyJ.fake-arm-token.sig");
    assert_eq!(token.lifetime().life, Some(Duration::from_secs(3599)));
    assert_eq!((token.lifetime().refresh_in, token.source()), (None, "entra"));

    let came = replay.finish().remove(0);
    let id = came.header("client-request-id").unwrap();
    assert!(id.len() == 36 && id.as_bytes()[14] == b'4', "{id} is no random UUID");
}

#[tokio::test]
async fn a_token_that_states_no_life_or_an_absurd_one_does_not_live_for_ever() {
    for body in [
        r#"{"access_token":"at-1","token_type":"Bearer"}"#,
        r#"{"access_token":"at-1","token_type":"Bearer","expires_in":null}"#,
        r#"{"access_token":"at-1","token_type":"Bearer","expires_in":"soon"}"#,
        r#"{"access_token":"at-1","token_type":"Bearer","expires_in":1e300}"#,
    ] {
        let token = mint(fixture("entra/client-secret.http").answering("200 OK", &[], body)).await.unwrap();
        assert_eq!(token.lifetime().life, Some(Duration::from_secs(300)), "{body}");
    }
}

#[tokio::test]
async fn the_hint_when_to_refresh_is_kept() {
    let token = mint(fixture("entra/long-lived.http")).await.unwrap();
    assert_eq!(token.lifetime().life, Some(Duration::from_secs(86399)));
    assert_eq!(token.lifetime().refresh_in, Some(Duration::from_secs(43199)));
}

#[tokio::test]
async fn a_claims_challenge_goes_out_with_the_capability() {
    let replay = Replay::of([fixture("entra/claims-retry.http")]);
    let source = builder(&replay.url, "fAkE").scope("https://graph.microsoft.com/.default").cae(true).build().unwrap();
    let challenge = r#"{"access_token":{"nbf":{"essential":true,"value":"1767225600"}}}"#;
    source.mint(request().with_claims(challenge)).await.unwrap();
    replay.finish();
}

#[tokio::test]
async fn a_wrong_secret_is_a_refusal_with_advice_and_the_trace() {
    let error = mint(fixture("entra/wrong-secret.http")).await.unwrap_err();
    assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Denied, Some("AADSTS7000215")));
    let line = error.to_string();
    assert_eq!(
        line,
        "entra at 127.0.0.1: AADSTS7000215: the client secret is wrong (trace 0000aaaa-11bb-4ccc-8d33-eeeeee333333); \
         set client_secret to the secret's value, not its id; or make a new one"
    );
}

#[tokio::test]
async fn a_secrets_id_in_place_of_its_value_is_noticed() {
    let id = "cccccccc-0000-4000-8000-000000000003";
    let mut exchange = fixture("entra/wrong-secret.http");
    exchange.request.form[2].1 = id.to_owned();
    let replay = Replay::of([exchange]);
    let error = builder(&replay.url, id).build().unwrap().mint(request()).await.unwrap_err();
    replay.finish();
    assert!(error.to_string().contains("that is the secret's id"), "{error}");
    assert!(!error.to_string().contains(id), "{error}");
}

#[tokio::test]
async fn throttling_outages_and_loops_are_transient() {
    for (name, code, wait) in [
        ("entra/throttled.http", Some("AADSTS90055"), Some(60)),
        ("entra/unavailable.http", None, None),
        ("entra/client-loop.http", Some("AADSTS50196"), Some(300)),
    ] {
        let error = mint(fixture(name)).await.unwrap_err();
        assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Unavailable, code), "{name}");
        assert_eq!(error.wait(), wait.map(Duration::from_secs), "{name}");
        assert!(!error.to_string().contains("html"), "{error}");
    }
}

#[tokio::test]
async fn codes_decide_kind_and_remedy() {
    use ErrorKind::{Denied, Misconfigured, Unavailable};
    for (status, code, oauth, kind, remedy) in [
        ("401 Unauthorized", 7000222, "invalid_client", Denied, "make a new client secret"),
        ("401 Unauthorized", 7000218, "invalid_client", Misconfigured, "set client_secret"),
        ("400 Bad Request", 700016, "unauthorized_client", Misconfigured, "and the cloud that they live in"),
        ("400 Bad Request", 90002, "invalid_request", Misconfigured, "set cloud to where it lives"),
        ("400 Bad Request", 90038, "invalid_request", Misconfigured, "set cloud to the tenant's"),
        (
            "400 Bad Request",
            900382,
            "invalid_request",
            Misconfigured,
            "set cloud to where the application is registered",
        ),
        ("400 Bad Request", 900439, "invalid_request", Misconfigured, "set cloud to us-government"),
        ("400 Bad Request", 500011, "invalid_resource", Misconfigured, "name in another cloud"),
        ("400 Bad Request", 1002012, "invalid_scope", Misconfigured, "one resource and /.default"),
        ("400 Bad Request", 700022, "invalid_scope", Misconfigured, "one token for each resource"),
        ("400 Bad Request", 53003, "access_denied", Denied, "trace id for the sign-in log"),
        ("400 Bad Request", 65001, "invalid_grant", Denied, "grant consent"),
        ("400 Bad Request", 7000112, "unauthorized_client", Denied, "enable it"),
        ("400 Bad Request", 90033, "temporarily_unavailable", Unavailable, "try again later"),
        ("400 Bad Request", 50033, "server_error", Unavailable, "try again later"),
        // A 5xx is about the moment, whatever else it says.
        ("503 Service Unavailable", 7000215, "invalid_client", Unavailable, "try again later"),
        // Codes that nobody has written down here yet: OAuth's `error` decides.
        ("400 Bad Request", 7009999, "invalid_grant", Denied, "Text of Microsoft's."),
        ("400 Bad Request", 7009998, "temporarily_unavailable", Unavailable, "Text of Microsoft's."),
    ] {
        let error =
            mint(fixture("entra/client-secret.http").answering(status, &[], aadsts(code, oauth))).await.unwrap_err();
        assert_eq!((error.kind(), error.provider_code()), (kind, Some(format!("AADSTS{code}").as_str())), "{error}");
        let line = error.to_string();
        assert!(line.contains(remedy) && line.contains("0000aaaa-11bb-4ccc-8d33-eeeeee333333"), "{line}");
        assert!(!line.contains("Timestamp"), "{line}");
    }
}

#[tokio::test]
async fn a_code_is_found_in_error_codes_first_and_then_in_the_description() {
    for (body, code) in [
        (
            r#"{"error":"invalid_request","error_description":"AADSTS90002: x","error_codes":[700016,90002]}"#,
            "AADSTS700016",
        ),
        (r#"{"error":"invalid_request","error_description":"AADSTS90002: x"}"#, "AADSTS90002"),
        (r#"{"error":"invalid_request","error_description":"x AADSTS90002: y"}"#, "invalid_request"),
        (r#"{"error":"invalid_request"}"#, "invalid_request"),
    ] {
        let error =
            mint(fixture("entra/client-secret.http").answering("400 Bad Request", &[], body)).await.unwrap_err();
        assert_eq!(error.provider_code(), Some(code), "{body}");
    }
}

#[tokio::test]
async fn nonsense_is_transient() {
    for body in [
        "<html>captive portal</html>",
        "",
        "{}",
        r#"{"access_token":"a\r\nb"}"#,
        r#"{"access_token":"at","expires_in":-1}"#,
    ] {
        let error = mint(fixture("entra/client-secret.http").answering("200 OK", &[], body)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{body}");
    }
}

#[tokio::test]
async fn an_error_with_status_200_is_an_error() {
    let error = mint(fixture("entra/client-secret.http").answering("200 OK", &[], aadsts(7000222, "invalid_client")))
        .await
        .unwrap_err();
    assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Denied, Some("AADSTS7000222")));
}

#[tokio::test]
async fn a_secret_that_is_repeated_by_the_server_is_not_shown() {
    // `mint` checks that no error holds the secret.
    for (body, code) in [
        (
            format!(
                r#"{{"error":"invalid_client","error_description":"AADSTS7009999: not {SECRET}","error_codes":[7009999]}}"#
            ),
            Some("AADSTS7009999"),
        ),
        (
            format!(r#"{{"error":"invalid_client","error_description":"AADSTS7000215: no","trace_id":"{SECRET}"}}"#),
            Some("AADSTS7000215"),
        ),
        (format!(r#"{{"error":"{SECRET}","error_description":"not {SECRET}"}}"#), None),
    ] {
        let error =
            mint(fixture("entra/client-secret.http").answering("400 Bad Request", &[], body)).await.unwrap_err();
        assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Denied, code), "{error}");
    }
}

#[tokio::test]
async fn the_secret_is_read_at_every_mint() {
    struct Changing(Mutex<Vec<&'static str>>, AtomicU64);

    impl SecretSource for Changing {
        fn secret(&self) -> BoxFuture<'_, Result<Secret, MintError>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            let next = self.0.lock().unwrap().pop();
            Box::pin(async move {
                next.map(Secret::new).ok_or_else(|| MintError::new(ErrorKind::Misconfigured, "the file is gone"))
            })
        }

        fn revision(&self) -> u64 {
            self.1.load(Ordering::Relaxed)
        }
    }

    let mut second = fixture("entra/client-secret.http");
    second.request.form[2].1 = "fAkE-second".to_owned();
    let replay = Replay::of([fixture("entra/client-secret.http"), second]);
    let secret = Changing(Mutex::new(vec!["", "fAkE-second\n", SECRET]), AtomicU64::new(0));
    let source =
        ClientSecret::builder(TENANT, CLIENT, Arc::new(secret)).scope(SCOPE).authority(&replay.url).build().unwrap();
    for mints in 0..2 {
        assert_eq!(source.revision(), mints);
        source.mint(request()).await.unwrap();
    }
    replay.finish();
    for says in ["the client secret is empty", "the file is gone"] {
        let error = source.mint(request()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.message(), error.source_name()),
            (ErrorKind::Misconfigured, says, Some("entra"))
        );
    }
}

#[tokio::test]
async fn a_sibling_asks_for_another_scope_of_the_same_cloud() {
    let other = "https://vault.azure.net/.default";
    let mut exchange = fixture("entra/client-secret.http");
    exchange.request.form[1].1 = other.to_owned();
    let replay = Replay::of([exchange]);
    let source = builder(&replay.url, SECRET).cloud(Cloud::Public).build().unwrap();
    for wrong in
        ["", "https://vault.azure.net", "https://vault.azure.cn/.default", "https://vault.usgovcloudapi.net/.default"]
    {
        assert!(source.for_scope(wrong).is_none(), "{wrong}");
    }
    source.for_scope(other).unwrap().mint(request()).await.unwrap();
    replay.finish();
}

#[test]
fn one_clouds_names_with_anothers_authority_are_refused_by_build() {
    let built = |tenant: &str, scope: &str, cloud| {
        ClientSecret::builder(tenant, CLIENT, Arc::new(Secret::new(SECRET))).scope(scope).cloud(cloud).build()
    };
    let gov =
        built("contoso.onmicrosoft.us", "https://cognitiveservices.azure.us/.default", Cloud::UsGovernment).unwrap();
    assert_eq!(gov.endpoint(), "https://login.microsoftonline.us/contoso.onmicrosoft.us/oauth2/v2.0/token");
    assert_eq!(gov.cloud(), Some(Cloud::UsGovernment));

    let error =
        built("contoso.onmicrosoft.us", "https://cognitiveservices.azure.us/.default", Cloud::Public).unwrap_err();
    assert_eq!(
        error.to_string(),
        "entra at login.microsoftonline.com: the tenant lives in the us-government cloud, and the authority is the public cloud's; \
         set cloud to us-government"
    );
}

#[test]
fn nothing_that_is_shown_holds_the_secret() {
    let unbuilt = builder("https://login.example.com", SECRET);
    let shown = format!("{unbuilt:?}") + &format!("{:?}", unbuilt.build().unwrap());
    assert!(shown.contains(CLIENT) && !shown.contains("s3cr3t"), "{shown}");
}
