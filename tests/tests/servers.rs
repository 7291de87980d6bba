//! Each real server starts, and is as strict and as odd as the other tests count on. No code under test here: only raw
//! HTTP, so that a failure says that the server changed.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::io;
use std::net::TcpStream;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use unexpired_tests::http::{Answer, Request};
use unexpired_tests::sdk;
use unexpired_tests::servers::{
    Azurite, CLIENT_BASIC, CLIENT_POST, Glewlwyd, OidcProvider, SECRET, USER_BASIC, USER_PUBLIC,
};

const MACHINE: (&str, &str) = ("grant_type", "client_credentials");
const TWO_SECONDS: (&str, &str) = ("resource", "https://api.example/ttl=2");

#[test]
fn oidc_provider_mints_short_jwts_for_both_ways_to_send_a_secret() {
    let Some(server) = OidcProvider::start() else { return };
    let scope = ("scope", "api:read");
    let by_basic = token(&server).basic(CLIENT_BASIC, SECRET).form(&[MACHINE, TWO_SECONDS, scope]).send().unwrap();
    let by_post = [MACHINE, TWO_SECONDS, scope, ("client_id", CLIENT_POST), ("client_secret", SECRET)];
    let by_post = token(&server).form(&by_post).send().unwrap();
    for (answer, client) in [(by_basic, CLIENT_BASIC), (by_post, CLIENT_POST)] {
        assert_eq!(answer.status, 200, "{client}");
        assert_eq!(answer.json()["expires_in"], 2);
        assert_eq!(answer.text("token_type"), "Bearer");
        let claims = claims(&answer.text("access_token"));
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 2);
        assert_eq!(claims["aud"], "https://api.example");
        assert_eq!(claims["iss"], server.url().as_str());
        assert_eq!((&claims["client_id"], &claims["scope"]), (&json!(client), &json!("api:read")));
    }
    assert_eq!(server.stats()["granted"], json!({ "client_credentials": 2 }));
}

#[test]
fn oidc_provider_refuses_a_secret_that_is_not_form_encoded_or_wrong() {
    let Some(server) = OidcProvider::start() else { return };
    let raw = token(&server).raw_basic(CLIENT_BASIC, SECRET).form(&[MACHINE]).send().unwrap();
    assert_eq!((raw.status, raw.text("error").as_str()), (400, "invalid_request"));
    let wrong = token(&server).basic(CLIENT_BASIC, "wrong").form(&[MACHINE]).send().unwrap();
    assert_eq!((wrong.status, wrong.text("error").as_str()), (401, "invalid_client"));
}

#[test]
fn oidc_provider_rotates_refresh_tokens_and_a_reused_one_ends_the_family() {
    let Some(server) = OidcProvider::start() else { return };
    for client in [USER_PUBLIC, USER_BASIC] {
        let first = server.first_refresh_token(client, Some("https://api.example/ttl=2"));
        let answer = refresh(&server, client, &first);
        assert_eq!((answer.status, &answer.json()["expires_in"]), (200, &json!(2)), "{client}");
        assert_eq!(claims(&answer.text("access_token"))["aud"], "https://api.example");
        let second = answer.text("refresh_token");
        assert_ne!(first, second);
        let third = refresh(&server, client, &second).text("refresh_token");
        for used in [&first, &third] {
            let refused = refresh(&server, client, used);
            assert_eq!((refused.status, refused.text("error").as_str()), (400, "invalid_grant"), "{client}");
        }
    }
}

#[test]
fn oidc_provider_fails_on_demand() {
    let Some(server) = OidcProvider::start() else { return };
    server.faults(&json!([
        { "status": 503, "times": 2, "headers": { "retry-after": "1" } },
        { "status": 429, "headers": { "retry-after": "Wed, 21 Oct 2065 07:28:00 GMT" }, "body": "slow down" },
    ]));
    let ask = || token(&server).basic(CLIENT_BASIC, SECRET).form(&[MACHINE]).send();
    let answers: Vec<_> = (0..4).map(|_| ask().unwrap()).collect();
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [503, 503, 429, 200]);
    assert_eq!(answers[1].header("retry-after"), Some("1"));
    assert_eq!(answers[2].body, b"slow down");

    // A lost answer: the server rotated the token, the client never heard of it.
    let token = server.first_refresh_token(USER_PUBLIC, None);
    server.faults(&json!([{ "drop": true }]));
    let form = [("grant_type", "refresh_token"), ("refresh_token", &token), ("client_id", USER_PUBLIC)];
    let lost = Request::post(server.token_endpoint()).form(&form).send();
    assert!(matches!(lost.unwrap_err().kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset));
    let stats = server.stats();
    assert_eq!((&stats["dropped"], &stats["granted"]["refresh_token"]), (&json!(1), &json!(1)));
    assert_eq!(refresh(&server, USER_PUBLIC, &token).text("error"), "invalid_grant");
    assert_eq!(server.stats()["answers"]["/token 503"], 2);
}

#[test]
fn oidc_provider_is_an_issuer_of_its_own_over_https() {
    let Some(server) = OidcProvider::start() else { return };
    let found = format!("{}/.well-known/openid-configuration", server.https_url());
    let found = Request::get(found).trust(server.ca()).send().unwrap();
    assert_eq!(found.text("issuer"), server.https_url());
    let answer = Request::post(found.text("token_endpoint")).trust(server.ca());
    let answer = answer.basic(CLIENT_BASIC, SECRET).form(&[MACHINE, TWO_SECONDS]).send().unwrap();
    assert_eq!(claims(&answer.text("access_token"))["iss"], server.https_url().as_str());
    let stranger = OidcProvider::start().unwrap();
    let untrusted = Request::get(server.https_url()).trust(stranger.ca()).send();
    assert!(untrusted.unwrap_err().to_string().contains("certificate"));
}

#[test]
fn azurite_takes_a_token_until_it_expires() {
    let tenant = "11111111-2222-3333-4444-555555555555";
    let (Some(server), Some(azurite)) = (OidcProvider::start_as_entra(tenant), Azurite::start()) else { return };
    let mint = |resource: &str| {
        let form = [MACHINE, ("resource", resource)];
        token(&server).basic(CLIENT_BASIC, SECRET).form(&form).send().unwrap().text("access_token")
    };
    let list = |authorization: &str| azurite.list(authorization).unwrap().status;
    assert_eq!(list(&format!("Bearer {}", mint("https://storage.azure.com/ttl=60"))), 200);
    assert_eq!(list(&format!("Bearer {}", mint("https://api.example/ttl=60"))), 403, "another audience");
    assert_eq!(list("Bearer garbage"), 403);

    // On a very busy machine a token may die before its first use.
    let seen_alive_and_dead = || {
        let short = mint(&Azurite::resource(3));
        let dies = u128::from(claims(&short)["exp"].as_u64().unwrap()) * 1000;
        let bearer = format!("Bearer {short}");
        let mut taken = 0;
        loop {
            let before = unix_now().as_millis();
            match list(&bearer) {
                200 => taken += 1,
                403 => break,
                other => panic!("{other}"),
            }
            assert!(before <= dies, "taken although it had expired before the request");
            sleep(Duration::from_millis(100));
        }
        assert!(unix_now().as_millis() >= dies, "refused although it had life left");
        taken > 0
    };
    assert!((0..3).any(|_| seen_alive_and_dead()), "a token of 3 s was never taken");
}

#[test]
fn glewlwyd_is_legal_and_awkward() {
    let Some(server) = Glewlwyd::start() else { return };
    let ask = || Request::post(server.token_endpoint());
    let scope = ("scope", "api");

    let raw = ask().raw_basic(Glewlwyd::CLIENT, SECRET).form(&[MACHINE, scope]).send().unwrap();
    assert_eq!((raw.status, raw.text("token_type").as_str()), (200, "bearer"));
    assert_eq!(raw.json()["expires_in"], 3);
    let claims = claims(&raw.text("access_token"));
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 3);
    let post = [MACHINE, scope, ("client_id", Glewlwyd::CLIENT), ("client_secret", SECRET)];
    assert_eq!(ask().form(&post).send().unwrap().status, 200);

    for refused in [ask().basic(Glewlwyd::CLIENT, SECRET), ask().raw_basic(Glewlwyd::CLIENT, "wrong")] {
        let refused = refused.form(&[MACHINE, scope]).send().unwrap();
        assert_eq!((refused.status, refused.body.len()), (403, 0));
    }

    let found = Request::get(format!("{}/.well-known/openid-configuration", server.url())).send().unwrap();
    assert_eq!(found.text("issuer"), server.issuer());
    assert_eq!(found.text("token_endpoint"), format!("{}/api/oidc/token", server.issuer()));
    assert!(found.text("token_endpoint").contains("//api"));
}

#[test]
fn glewlwyd_rotates_refresh_tokens_and_a_reused_one_ends_the_family() {
    let Some(server) = Glewlwyd::start() else { return };
    let refresh = |token: &str| {
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        let request = Request::post(server.token_endpoint()).raw_basic(Glewlwyd::CLIENT, SECRET);
        request.form(&form).send().unwrap()
    };
    let first = server.first_refresh_token();
    let second = refresh(&first).text("refresh_token");
    let third = refresh(&second).text("refresh_token");
    assert!(first != second && second != third);
    for used in [&first, &third] {
        let refused = refresh(used);
        assert_eq!((refused.status, refused.body.len()), (400, 0));
    }
}

/// The SDKs' side of later tests: with canned answers each gets its token from where it is pointed.
#[test]
fn azure_identity_goes_to_a_custom_authority() {
    let Some(server) = OidcProvider::start() else { return };
    let tenant = format!("{}/tenant.example", server.https_url());
    server.faults(&json!([
        canned(
            "/tenant.example/v2.0/.well-known/openid-configuration",
            &json!({
                "issuer": format!("{tenant}/v2.0"),
                "authorization_endpoint": format!("{tenant}/oauth2/v2.0/authorize"),
                "token_endpoint": format!("{tenant}/oauth2/v2.0/token"),
            })
        ),
        canned("/tenant.example/oauth2/v2.0/token", &answer_of("entra")),
    ]));
    let url = server.https_url();
    let scope = "https://api.example/.default";
    let got = sdk::azure_identity(&url, server.ca(), "tenant.example", CLIENT_BASIC, SECRET, scope);
    let Some(got) = got else { return };
    assert_token(got, "azure-identity", "entra");
}

#[test]
fn ibm_cloud_sdk_core_goes_to_a_custom_url() {
    let Some(server) = OidcProvider::start() else { return };
    // This SDK reads the JWT, not the answer around it.
    let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let now = unix_now().as_secs();
    let jwt = format!("{}.{}.c2ln", part(json!({ "alg": "RS256" })), part(json!({ "iat": now, "exp": now + 3600 })));
    server.faults(&json!([canned("/identity/token", &answer_of(&jwt))]));
    let Some(got) = sdk::ibm_cloud_sdk_core(&server.url(), "fake-api-key") else { return };
    assert_token(got, "ibm-cloud-sdk-core", &jwt);
    server.faults(&json!([{ "path": "/identity/token", "status": 400, "times": 9 }]));
    assert!(sdk::ibm_cloud_sdk_core(&server.url(), "fake-api-key").unwrap().is_err());
}

#[test]
fn google_auth_goes_to_the_token_uri_of_its_key() {
    let Some(server) = OidcProvider::start() else { return };
    let key = include_str!("../../fixtures/keys/test-rsa-2048.pem");
    let file = json!({
        "type": "service_account", "client_email": "robot@project.example", "private_key": key, "private_key_id": "1",
        "token_uri": server.token_endpoint(),
    });
    server.faults(&json!([canned("/token", &answer_of("google"))]));
    let scope = "https://api.example/read";
    let Some(got) = sdk::google_auth(&file.to_string(), scope, None, false) else { return };
    assert_token(got, "google-auth", "google");
    let itself = sdk::google_auth(&file.to_string(), scope, None, true).unwrap().unwrap();
    assert_eq!(claims(&itself.token)["scope"], scope);
    assert_eq!(server.stats()["requests"], json!({ "/token": 1 }));
}

#[test]
fn servers_end_with_their_handle() {
    let Some(mut server) = OidcProvider::start() else { return };
    assert!(server.runs());
    let address = server.url().replace("http://", "");
    drop(server);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn servers_end_with_a_test_process_that_dies() {
    let test = ["--exact", "starts_a_server_and_dies", "--ignored", "--nocapture"];
    let folder = tempfile::tempdir().unwrap();
    let died = Command::new(std::env::current_exe().unwrap()).args(test).env("TMPDIR", folder.path()).output().unwrap();
    let said = |stream: &[u8]| String::from_utf8_lossy(stream).into_owned();
    if said(&died.stderr).contains("SKIPPED(") {
        return; // and counted there
    }
    let output = said(&died.stdout);
    assert!(!died.status.success(), "nothing was started: {output}");
    let address = output.lines().find_map(|line| line.strip_prefix("server at http://")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "the server outlived its test");
        sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "the other half of servers_end_with_a_test_process_that_dies"]
fn starts_a_server_and_dies() {
    let Some(server) = OidcProvider::start() else { return };
    println!("\nserver at {}", server.url());
    std::process::abort(); // before `server` is dropped
}

fn token(server: &OidcProvider) -> Request<'static> {
    Request::post(server.token_endpoint())
}

fn refresh(server: &OidcProvider, client: &str, refresh_token: &str) -> Answer {
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
    match client {
        USER_PUBLIC => token(server).form(&[form[0], form[1], ("client_id", client)]),
        _ => token(server).basic(client, SECRET).form(&form),
    }
    .send()
    .unwrap()
}

fn claims(jwt: &str) -> Value {
    let payload = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn canned(path: &str, body: &Value) -> Value {
    json!({ "path": path, "status": 200, "headers": { "content-type": "application/json" }, "body": body.to_string() })
}

fn answer_of(token: &str) -> Value {
    let expiration = unix_now().as_secs() + 3600;
    json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600, "expiration": expiration })
}

fn assert_token(got: Result<sdk::SdkToken, String>, sdk: &str, token: &str) {
    let got = got.unwrap_or_else(|error| panic!("{sdk}: {error}"));
    assert_eq!(got.token, token);
    assert!(got.sdk.starts_with(sdk));
    let left = got.expires_on - i64::try_from(unix_now().as_secs()).unwrap();
    assert!((3300..=3600).contains(&left), "{sdk} thinks that it lives {left} s");
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
}
