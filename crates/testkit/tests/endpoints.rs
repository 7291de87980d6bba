//! Each endpoint answers in its provider's own form, and its tokens are what they say they are.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, jwk::JwkSet};
use serde_json::{Value, json};
use support::{Answer, ask, encode, get, post, post_with, request};
use unexpired_core::{Clock, TestClock};
use unexpired_crypto::{Algorithm, SigningKey, b64, jwt};
use unexpired_testkit::{Client, Endpoint, Fault, IdentityProvider, SigningAlgorithm, defaults};

fn start() -> IdentityProvider {
    IdentityProvider::blocking_start().unwrap()
}

fn entra_form<'a>() -> [(&'a str, &'a str); 4] {
    [
        ("grant_type", "client_credentials"),
        ("client_id", defaults::CLIENT_ID),
        ("client_secret", defaults::CLIENT_SECRET),
        ("scope", defaults::ENTRA_SCOPE),
    ]
}

fn ibm_form<'a>() -> [(&'a str, &'a str); 2] {
    [("grant_type", "urn:ibm:params:oauth:grant-type:apikey"), ("apikey", defaults::API_KEY)]
}

fn oauth_form<'a>() -> [(&'a str, &'a str); 3] {
    [
        ("grant_type", "client_credentials"),
        ("client_id", defaults::CLIENT_ID),
        ("client_secret", defaults::CLIENT_SECRET),
    ]
}

/// The form with one field changed; an empty value removes it.
fn with<'a>(form: &[(&'a str, &'a str)], name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut form: Vec<_> = form.iter().copied().filter(|(n, _)| *n != name).collect();
    if !value.is_empty() {
        form.push((name, value));
    }
    form
}

/// Checks a token with another implementation, by the published keys alone.
fn verify(idp: &IdentityProvider, token: &str, issuer: &str, audience: &str) -> Value {
    let header = decode_header(token).unwrap();
    let keys: JwkSet = serde_json::from_slice(&get(&idp.jwks_url()).body).unwrap();
    let key = keys.find(header.kid.as_deref().unwrap()).expect("the key is published");
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[issuer]);
    validation.leeway = 0;
    decode::<Value>(token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims
}

fn assertion(idp: &IdentityProvider, change: impl Fn(&mut Value)) -> String {
    let file: Value = serde_json::from_str(idp.service_account_json().expose()).unwrap();
    let now = idp.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut claims = json!({
        "iss": file["client_email"], "aud": file["token_uri"], "scope": defaults::GOOGLE_SCOPE,
        "iat": now, "exp": now + 3600,
    });
    change(&mut claims);
    let key = SigningKey::from_pem(file["private_key"].as_str().unwrap()).unwrap();
    let kid = file["private_key_id"].as_str().unwrap();
    jwt::sign(&key, Algorithm::Rs256, &[("kid", kid)], &claims.to_string()).unwrap().to_string()
}

fn google(idp: &IdentityProvider, assertion: &str) -> Answer {
    let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
    post(&idp.google_token_url(), &[("grant_type", grant), ("assertion", assertion)])
}

#[test]
fn tokens_of_all_four_verify_by_the_published_keys() {
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::Rs256] {
        let idp = IdentityProvider::builder().algorithm(algorithm).blocking_start().unwrap();
        let url = idp.url();

        let entra = post(&idp.entra_token_url(), &entra_form());
        let issuer = format!("{url}/{}/v2.0", defaults::TENANT);
        let claims = verify(&idp, &entra.text("access_token"), &issuer, "https://management.azure.com");
        assert_eq!((&claims["tid"], &claims["azp"]), (&json!(defaults::TENANT), &json!(defaults::CLIENT_ID)));

        let token = google(&idp, &assertion(&idp, |_| {})).text("access_token");
        let claims = verify(&idp, &token, &format!("{url}/google"), "https://googleapis.com/");
        assert_eq!(claims["scope"], defaults::GOOGLE_SCOPE);

        let ibm = post(&idp.ibm_token_url(), &ibm_form());
        let claims = verify(&idp, &ibm.text("access_token"), &format!("{url}/identity"), "https://cloud.ibm.com");
        assert_eq!(claims["account"]["bss"].as_str().unwrap().len(), 32);

        let oauth = post(&idp.oauth_token_url(), &with(&oauth_form(), "resource", "https://api.example/"));
        let claims = verify(&idp, &oauth.text("access_token"), &idp.oauth_issuer(), "https://api.example/");
        assert_eq!(claims["client_id"], defaults::CLIENT_ID);
        let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert!((3600..=3601).contains(&life), "both are rounded outwards: {life}");

        idp.assert_mints(4);
        for endpoint in Endpoint::TOKEN {
            assert_eq!(idp.mints_at(endpoint), 1, "{endpoint}");
        }
    }
}

#[test]
fn entra_success_and_refresh_in() {
    let idp = start();
    let answer = post(&idp.entra_token_url(), &entra_form());
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    let body = answer.json();
    assert_eq!((&body["expires_in"], &body["ext_expires_in"]), (&json!(3600), &json!(3600)));
    assert_eq!(body["token_type"], "Bearer");
    assert!(body.get("refresh_in").is_none() && body.get("refresh_token").is_none());

    idp.set_lifetime(Duration::from_secs(86_399));
    assert_eq!(post(&idp.entra_token_url(), &entra_form()).json()["refresh_in"], 43_199);
}

#[test]
fn entra_takes_basic_and_the_tenants_domain() {
    let idp = start();
    idp.register(Client::confidential("my client:1", "p@ss/w+rd%&é"));
    let url = format!("{}/{}/oauth2/v2.0/token", idp.url(), defaults::TENANT_DOMAIN.to_uppercase());
    let header = "Basic bXkrY2xpZW50JTNBMTpwJTQwc3MlMkZ3JTJCcmQlMjUlMjYlQzMlQTk=";
    let form = [("grant_type", "client_credentials"), ("scope", defaults::ENTRA_SCOPE)];
    assert_eq!(post_with(&url, &form, &[("authorization", header)]).status, 200);
}

#[test]
fn entra_refusals_have_their_codes() {
    let idp = start();
    idp.register(Client::confidential("old", "secret").expired_secret());
    let form = entra_form();
    let url = idp.entra_token_url();
    for (form, status, error, code) in [
        (with(&form, "grant_type", ""), 400, "invalid_request", 900_144),
        (with(&form, "grant_type", "password"), 400, "unsupported_grant_type", 70_003),
        (with(&form, "client_id", "nobody"), 400, "unauthorized_client", 700_016),
        (with(&form, "client_secret", ""), 401, "invalid_client", 7_000_218),
        (with(&form, "client_secret", "wrong"), 401, "invalid_client", 7_000_215),
        (with(&form, "client_id", "old"), 401, "invalid_client", 7_000_222),
        (with(&form, "scope", "https://a/.default https://b/.default"), 400, "invalid_scope", 700_022),
        (with(&form, "scope", "https://a/read"), 400, "invalid_scope", 1_002_012),
        (with(&form, "claims", "no json"), 400, "invalid_request", 90_013),
    ] {
        let answer = post_with(&url, &form, &[("client-request-id", "5a5a5a5a-0000-4000-8000-00000000000a")]);
        let body = answer.json();
        assert_eq!((answer.status, &body["error"], &body["error_codes"]), (status, &json!(error), &json!([code])));
        assert!(body["error_description"].as_str().unwrap().starts_with(&format!("AADSTS{code}: ")));
        assert_eq!(body["correlation_id"], "5a5a5a5a-0000-4000-8000-00000000000a");
        assert_eq!(body["trace_id"].as_str().unwrap().len(), 36);
    }
    let elsewhere = |tenant: &str| post(&format!("{}/{tenant}/oauth2/v2.0/token", idp.url()), &form).json();
    assert_eq!(elsewhere("fabrikam.onmicrosoft.com")["error_codes"], json!([90_002]));
    assert_eq!(elsewhere("common")["error_codes"], json!([9_001_023]));
    assert_eq!(idp.mints(), 0);
}

#[test]
fn entra_discovery_names_this_server() {
    let idp = start();
    let base = idp.url();
    let authority = base.strip_prefix("http://").unwrap();
    let endpoint = encode(&[("authorization_endpoint", &format!("{base}/{}/oauth2/v2.0/authorize", defaults::TENANT))]);
    let instance = get(&format!("{base}/common/discovery/instance?api-version=1.1&{endpoint}")).json();
    assert_eq!(instance["metadata"][0]["preferred_network"], authority);
    let document = get(instance["tenant_discovery_endpoint"].as_str().unwrap()).json();
    assert_eq!(document["token_endpoint"], idp.entra_token_url());
    assert_eq!(get(document["jwks_uri"].as_str().unwrap()).body, get(&idp.jwks_url()).body);

    let other = encode(&[("authorization_endpoint", "https://login.fake.example/t/oauth2/v2.0/authorize")]);
    let answer = get(&format!("{base}/common/discovery/instance?{other}"));
    assert_eq!((answer.status, answer.text("error").as_str()), (400, "invalid_instance"));
}

#[test]
fn google_checks_the_assertion() {
    let idp = start();
    let now = idp.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let good = assertion(&idp, |_| {});
    let body = google(&idp, &good).json();
    assert_eq!((&body["expires_in"], &body["token_type"]), (&json!(3600), &json!("Bearer")));
    assert_eq!(
        google(&idp, &assertion(&idp, |claims| claims["aud"] = json!("https://oauth2.googleapis.com/token"))).status,
        200,
        "what Google's own Python library signs"
    );

    let forged = format!("{}.{}", good.rsplit_once('.').unwrap().0, b64::url_encode(&[7; 256]));
    let refused = |text: &str| {
        let answer = google(&idp, text);
        (answer.status, answer.text("error"))
    };
    let grant = |name: &str| (400, name.to_owned());
    assert_eq!(refused(&forged), grant("invalid_grant"));
    assert_eq!(refused("no.jwt"), grant("invalid_grant"));
    for (name, value) in [
        ("iss", json!("nobody@demo-project.iam.gserviceaccount.com")),
        ("aud", json!("https://elsewhere.example/token")),
        ("iat", json!(now + 600)),
        ("exp", json!(now + 7200)),
        ("exp", json!(now - 600)),
        ("exp", json!(null)),
    ] {
        assert_eq!(refused(&assertion(&idp, |claims| claims[name] = value.clone())), grant("invalid_grant"), "{name}");
    }
    assert_eq!(refused(&assertion(&idp, |claims| claims["scope"] = json!(""))), grant("invalid_scope"));
    assert_eq!(
        refused(&assertion(&idp, |claims| claims["sub"] = json!("user@example.com"))),
        (401, "unauthorized_client".into())
    );
    assert_eq!(idp.mints(), 2);

    let id_token = google(
        &idp,
        &assertion(&idp, |claims| {
            claims.as_object_mut().unwrap().remove("scope");
            claims["target_audience"] = json!("https://svc.example");
        }),
    );
    assert!(id_token.json().get("access_token").is_none());
    verify(&idp, &id_token.text("id_token"), &format!("{}/google", idp.url()), "https://svc.example");
}

#[test]
fn a_service_accounts_own_jwt_is_a_token() {
    let idp = start();
    let api = idp.resource_server();
    let own = assertion(&idp, |claims| {
        claims["sub"] = claims["iss"].clone();
        claims["aud"] = json!("https://pubsub.googleapis.com/");
    });
    assert_eq!(ask(api.url(), &own).status, 200);
    idp.shift_clock(Duration::from_secs(3601));
    assert_eq!(ask(api.url(), &own).text("reason"), "expired");
    assert_eq!(idp.mints(), 0);
}

#[test]
fn ibm_success_and_refusals() {
    let idp = start();
    let url = idp.ibm_token_url();
    let answer = post(&url, &ibm_form());
    let body = answer.json();
    assert_eq!((&body["refresh_token"], &body["scope"]), (&json!("not_supported"), &json!("ibm openid")));
    let now = idp.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let left = body["expiration"].as_u64().unwrap() - now;
    assert!((3599..=3601).contains(&left), "{left}");
    assert!(answer.header("transaction-id").is_some());

    let bad = [("authorization", "Basic eDp5")];
    for (form, headers, status, code) in [
        (with(&ibm_form(), "grant_type", ""), &[][..], 400, "BXNIM0109E"),
        (with(&ibm_form(), "grant_type", "magic"), &[], 400, "BXNIM0106E"),
        (with(&ibm_form(), "apikey", ""), &[], 400, "BXNIM0109E"),
        (with(&ibm_form(), "apikey", "FAKE_wrong"), &[], 400, "BXNIM0415E"),
        (ibm_form().to_vec(), &bad[..], 401, "BXNIM0310E"),
        (vec![("grant_type", "refresh_token"), ("refresh_token", "x")], &[], 401, "BXNIM0308E"),
    ] {
        let answer = post_with(&url, &form, headers);
        assert_eq!((answer.status, answer.text("errorCode").as_str()), (status, code), "{form:?}");
        assert!(answer.json()["context"]["requestId"].is_string());
    }
    assert_eq!(get(&url).status, 405);

    let basic =
        format!("Basic {}", b64::std_encode(format!("{}:{}", defaults::CLIENT_ID, defaults::CLIENT_SECRET).as_bytes()));
    let headers = [("authorization", basic.as_str())];
    let first = post_with(&url, &ibm_form(), &headers).text("refresh_token");
    let form = [("grant_type", "refresh_token"), ("refresh_token", first.as_str())];
    let second = post_with(&url, &form, &headers).text("refresh_token");
    assert_ne!(first, second);
    assert_eq!(post_with(&url, &form, &headers).text("errorCode"), "BXNIM0407E");
}

#[test]
fn oauth_client_authentication() {
    let idp = start();
    let url = idp.oauth_token_url();
    idp.register(Client::confidential("my client:1", "p@ss/w+rd%&é").scopes(["read"]));
    let form = [("grant_type", "client_credentials")];
    let right = "Basic bXkrY2xpZW50JTNBMTpwJTQwc3MlMkZ3JTJCcmQlMjUlMjYlQzMlQTk=";
    let raw = "Basic bXkgY2xpZW50OjE6cEBzcy93K3JkJSbDqQ==";
    assert_eq!(post_with(&url, &form, &[("authorization", right)]).status, 200);
    let answer = post_with(&url, &form, &[("authorization", raw)]);
    assert_eq!((answer.status, answer.text("error").as_str()), (400, "invalid_request"), "parts not form-encoded");

    let wrong = post_with(&url, &form, &[("authorization", "Basic eDp5")]);
    assert_eq!((wrong.status, wrong.text("error").as_str()), (401, "invalid_client"));
    assert!(wrong.header("www-authenticate").unwrap().starts_with("Basic "));
    let wrong = post(&url, &with(&oauth_form(), "client_secret", "wrong"));
    assert_eq!((wrong.status, wrong.header("www-authenticate")), (401, None));

    let both = post_with(&url, &with(&form, "client_secret", "x"), &[("authorization", right)]);
    assert_eq!(both.text("error"), "invalid_request");
    let scope = post_with(&url, &with(&form, "scope", "read write"), &[("authorization", right)]);
    assert_eq!(scope.text("error"), "invalid_scope");
    let public = post(&url, &[("grant_type", "client_credentials"), ("client_id", defaults::PUBLIC_CLIENT_ID)]);
    assert_eq!(public.text("error"), "unauthorized_client");
    let target = post(&url, &with(&oauth_form(), "resource", "https://a.example/#b"));
    assert_eq!(target.text("error"), "invalid_target");
    let mut twice = oauth_form().to_vec();
    twice.push(("grant_type", "client_credentials"));
    assert_eq!(post(&url, &twice).text("error"), "invalid_request");
    assert_eq!(post(&url, &with(&oauth_form(), "grant_type", "magic")).text("error"), "unsupported_grant_type");
}

#[test]
fn oauth_discovery_in_all_three_places() {
    let idp = start();
    let issuer = idp.oauth_issuer();
    for url in [
        format!("{issuer}/.well-known/openid-configuration"),
        format!("{}/.well-known/oauth-authorization-server/oauth2", idp.url()),
        format!("{}/.well-known/openid-configuration/oauth2", idp.url()),
    ] {
        let document = get(&url).json();
        assert_eq!(document["issuer"], issuer);
        assert_eq!(document["token_endpoint"], idp.oauth_token_url());
        assert_eq!(document["jwks_uri"], idp.jwks_url());
    }
    // A client that says localhost is told localhost.
    let port = idp.url().rsplit_once(':').unwrap().1;
    let url = format!("{issuer}/.well-known/openid-configuration");
    let document = request("GET", &url, &[("host", &format!("localhost:{port}"))], "").json();
    assert_eq!(document["issuer"], format!("http://localhost:{port}/oauth2"));
}

#[test]
fn a_refresh_token_that_is_used_twice_kills_its_family() {
    let idp = start();
    let api = idp.resource_server();
    let url = idp.oauth_token_url();
    let first = idp.refresh_token(defaults::PUBLIC_CLIENT_ID, "read write").unwrap();
    let other = idp.refresh_token(defaults::PUBLIC_CLIENT_ID, "read").unwrap();
    let refresh = |token: &str, scope: &str| {
        let form = [
            ("grant_type", "refresh_token"),
            ("client_id", defaults::PUBLIC_CLIENT_ID),
            ("refresh_token", token),
            ("scope", scope),
        ];
        post(&url, &form)
    };
    let one = refresh(first.expose(), "read");
    assert_eq!(one.text("scope"), "read");
    let two = refresh(&one.text("refresh_token"), "");
    assert_eq!(two.text("scope"), "read write", "a narrower refresh does not narrow the grant");
    assert_eq!(refresh(&two.text("refresh_token"), "admin").text("error"), "invalid_scope");
    assert_eq!(ask(api.url(), &two.text("access_token")).status, 200);

    assert_eq!(refresh(&one.text("refresh_token"), "").text("error"), "invalid_grant");
    assert_eq!(refresh(&two.text("refresh_token"), "").text("error"), "invalid_grant", "the newest is dead, too");
    assert_eq!(ask(api.url(), &two.text("access_token")).text("reason"), "revoked");
    assert_eq!(refresh(other.expose(), "").status, 200, "another family lives");
    assert_eq!(refresh("fake-unknown", "").text("error"), "invalid_grant");
}

#[test]
fn refresh_tokens_belong_to_their_client_and_may_be_kept_or_expire() {
    let idp = IdentityProvider::builder()
        .keep_refresh_tokens()
        .refresh_token_lifetime(Duration::from_secs(600))
        .blocking_start()
        .unwrap();
    let token = idp.refresh_token(defaults::CLIENT_ID, "read").unwrap();
    let mut form = with(&oauth_form(), "grant_type", "refresh_token");
    form.push(("refresh_token", token.expose()));
    for _ in 0..2 {
        assert!(post(&idp.oauth_token_url(), &form).json().get("refresh_token").is_none());
    }
    let thief =
        [("grant_type", "refresh_token"), ("client_id", defaults::PUBLIC_CLIENT_ID), ("refresh_token", token.expose())];
    assert_eq!(post(&idp.oauth_token_url(), &thief).text("error"), "invalid_grant");
    idp.shift_clock(Duration::from_secs(600));
    assert_eq!(post(&idp.oauth_token_url(), &form).text("error"), "invalid_grant");
}

#[test]
fn lives_below_a_second_have_fractions() {
    let clock = TestClock::new();
    let idp = IdentityProvider::builder()
        .clock(Arc::new(clock.clone()))
        .lifetime(Duration::from_millis(250))
        .blocking_start()
        .unwrap();
    let api = idp.resource_server();
    let body = post(&idp.oauth_token_url(), &oauth_form()).json();
    assert_eq!(body["expires_in"], 0.25);
    let token = body["access_token"].as_str().unwrap();
    let times = unexpired_core::jwt::Times::of(token);
    let now = clock.now().system_time().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((times.exp.unwrap() - now - 0.25).abs() < 0.001);

    clock.advance(Duration::from_millis(249));
    assert_eq!(ask(api.url(), token).status, 200);
    clock.advance(Duration::from_millis(1));
    assert_eq!(ask(api.url(), token).text("reason"), "expired");

    let short = post(&idp.ibm_token_url(), &ibm_form()).json();
    assert!(short["expiration"].is_f64());
}

#[test]
fn unknown_paths_and_methods() {
    let idp = start();
    assert_eq!(get(&format!("{}/nothing/here", idp.url())).status, 404);
    assert_eq!(get(&format!("{}/lab", idp.url())).status, 404, "the lab is served by the lab only");
    let answer = get(&idp.oauth_token_url());
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert_eq!(post(&idp.jwks_url(), &[]).status, 405);
    let big = "x".repeat(1024 * 1024 + 1);
    assert_eq!(request("POST", &idp.oauth_token_url(), &[], &big).status, 413);
}

#[test]
fn requests_are_written_down_and_secrets_are_not_shown() {
    let idp = start();
    let url = format!("{}?a=b", idp.oauth_token_url());
    let secret = defaults::CLIENT_SECRET;
    let mut form = oauth_form().to_vec();
    form.extend([("resource", "https://a.example"), ("resource", "https://b.example")]);
    post_with(&url, &form, &[("x-test", "1")]);
    post_with(&url, &[("grant_type", "client_credentials")], &[("authorization", "Basic c2VjcmV0OnNlY3JldA==")]);

    let requests = idp.requests_at(Endpoint::OAuth);
    let [first, second] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((first.method(), first.path(), first.query()), ("POST", "/oauth2/token", "a=b"));
    assert_eq!((first.header("X-Test"), first.status()), (Some("1"), Some(200)));
    assert_eq!(first.field("client_secret"), Some(secret));
    assert_eq!(first.fields("resource").collect::<Vec<_>>(), ["https://a.example", "https://b.example"]);
    assert_eq!(second.header("authorization"), Some("Basic c2VjcmV0OnNlY3JldA=="));
    assert_eq!(second.status(), Some(401));
    let shown = format!("{requests:?}");
    assert!(!shown.contains(secret) && !shown.contains("c2VjcmV0"), "{shown}");
    idp.assert_not_shown(&shown);
}

#[test]
fn what_must_not_be_shown_is_found() {
    let idp = start();
    let token = post(&idp.oauth_token_url(), &oauth_form()).text("access_token");
    let refresh = idp.refresh_token(defaults::CLIENT_ID, "").unwrap();
    for shown in [token.as_str(), refresh.expose(), defaults::CLIENT_SECRET, defaults::API_KEY] {
        let text = format!("log: got {shown} from the server");
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| idp.assert_not_shown(&text)));
        assert!(found.is_err());
    }
    idp.assert_not_shown("log: got a token");
}

#[tokio::test]
async fn waiting_for_mints_works_in_any_runtime() {
    let idp = IdentityProvider::start().await.unwrap();
    let url = idp.oauth_token_url();
    idp.fault(Fault::delay(Duration::from_millis(30)));
    let client = std::thread::spawn(move || post(&url, &oauth_form()).status);
    assert!(idp.wait_for_mints(1).await);
    assert!(idp.blocking_wait_for_mints(1));
    assert_eq!(client.join().unwrap(), 200);
}

#[test]
fn the_server_outlives_the_runtime_that_started_it_and_ends_with_its_last_handle() {
    let idp = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(IdentityProvider::start()).unwrap()
    };
    let (url, api) = (idp.jwks_url(), idp.resource_server());
    drop(idp);
    assert_eq!(get(&url).status, 200, "the resource server holds it");
    let folder = std::env::temp_dir();
    assert!(folder.exists());
    drop(api);
    let address = url.strip_prefix("http://").unwrap().split('/').next().unwrap().to_owned();
    assert!(std::net::TcpStream::connect(address).is_err());
}
