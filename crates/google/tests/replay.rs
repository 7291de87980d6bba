//! Google's exchanges, replayed, and what the key signs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

#[path = "../../../fixtures/replay.rs"]
mod replay;

use jsonwebtoken::{DecodingKey, Validation};
use replay::{Exchange, Replay, fixture};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use unexpired_core::{
    BoxFuture, ErrorKind, MintError, MintRequest, Secret, SecretSource, TestClock, Token, TokenSource, WindowCap,
};
use unexpired_crypto::{Algorithm, PublicJwk, SigningKey, VerifyingKey, b64};
use unexpired_google::{ServiceAccount, ServiceAccountBuilder};

const EMAIL: &str = "ci-bot@demo-project.iam.gserviceaccount.com";
const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
/// Where the test clock stands: 2026-01-01T00:00:00Z.
const NOW: i64 = 1_767_225_600;

fn read(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)).unwrap()
}

/// The fixture's key file with the tests' key and some members replaced; null removes one.
fn key_file(members: Value) -> Secret {
    let mut file: Value = serde_json::from_str(&read("google/service-account.json")).unwrap();
    file["private_key"] = read("keys/test-rsa-2048.pem").into();
    for (name, value) in members.as_object().unwrap() {
        match value {
            Value::Null => file.as_object_mut().unwrap().remove(name),
            value => file.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    Secret::new(file.to_string())
}

fn builder(members: Value) -> ServiceAccountBuilder {
    ServiceAccount::builder(Arc::new(key_file(members)))
}

fn request_on(clock: &TestClock) -> MintRequest {
    MintRequest::standalone_on(Arc::new(clock.clone()))
}

fn request() -> MintRequest {
    request_on(&TestClock::new())
}

type Set = fn(ServiceAccountBuilder) -> ServiceAccountBuilder;

/// Header and claims of a JWT whose signature two implementations find right.
fn verified(jwt: &str) -> (Value, Value) {
    let key = SigningKey::from_pem(&read("keys/test-rsa-2048.pem")).unwrap();
    let jwk = key.public_jwk().unwrap();
    let (signed, signature) = jwt.rsplit_once('.').unwrap();
    let ours = VerifyingKey::from_jwk(&jwk).unwrap();
    assert!(ours.verify(Algorithm::Rs256, signed.as_bytes(), &b64::url_decode(signature).unwrap()));

    let PublicJwk::Rsa { n, e } = jwk else { panic!("the tests' key is RSA") };
    let mut validation = Validation::new(jsonwebtoken::Algorithm::RS256);
    validation.validate_exp = false;
    validation.validate_aud = false;
    let claims = jsonwebtoken::decode::<Value>(jwt, &DecodingKey::from_rsa_components(&n, &e).unwrap(), &validation)
        .unwrap()
        .claims;
    let header = b64::url_decode(jwt.split('.').next().unwrap()).unwrap();
    (serde_json::from_slice(&header).unwrap(), claims)
}

async fn mint_with(exchange: Exchange, members: Value, set: Set) -> Result<Token, MintError> {
    let replay = Replay::of([exchange]);
    let source = set(builder(members)).token_url(&format!("{}/token", replay.url)).build().unwrap();
    let result = source.mint(request()).await;
    replay.finish();
    if let Err(error) = &result {
        assert!(!error.to_string().contains("eyJ") && error.to_string().chars().count() <= 300, "{error}");
        assert_eq!((error.source_name(), error.endpoint_host()), (Some("google"), Some("127.0.0.1")));
    }
    result
}

#[tokio::test]
async fn an_assertion_becomes_a_token() {
    let replay = Replay::of([fixture("google/jwt-bearer.http")]);
    let token_uri = format!("{}/token", replay.url);
    let source = builder(json!({ "token_uri": token_uri })).build().unwrap();
    let token = source.mint(request()).await.unwrap();
    assert_eq!(token.authorization(), "Bearer ya29.c.fake-sa-token");
    assert_eq!((token.lifetime().life, token.lifetime().cap), (Some(Duration::from_secs(3599)), WindowCap::None));
    assert_eq!(token.source(), "google");

    let (header, claims) = verified(replay.finish()[0].field("assertion").unwrap());
    assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT", "kid": "0123456789abcdef0123456789abcdef01234567" }));
    assert_eq!(
        claims,
        json!({ "iss": EMAIL, "scope": CLOUD_PLATFORM, "aud": token_uri, "iat": NOW - 10, "exp": NOW + 3590 })
    );
}

#[tokio::test]
async fn a_subject_several_scopes_and_a_key_without_id() {
    let replay = Replay::of([fixture("google/jwt-bearer.http")]);
    let token_url = format!("{}/token", replay.url);
    let source =
        builder(json!({ "private_key_id": null, "token_uri": "https://nobody.invalid/", "universe_domain": null }))
            .scope("https://www.googleapis.com/auth/drive openid")
            .scope("email")
            .subject("user@example.com")
            .token_url(&token_url)
            .build()
            .unwrap();
    source.mint(request()).await.unwrap();
    let (header, claims) = verified(replay.finish()[0].field("assertion").unwrap());
    assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT" }));
    let scope = "https://www.googleapis.com/auth/drive openid email";
    assert_eq!(
        claims,
        json!({ "iss": EMAIL, "sub": "user@example.com", "scope": scope, "aud": token_url, "iat": NOW - 10, "exp": NOW + 3590 })
    );
}

#[tokio::test]
async fn a_self_signed_jwt_has_a_scope_or_an_audience_and_needs_no_server() {
    let unreachable = json!({ "token_uri": "http://127.0.0.1:1/" });
    let other_universe = json!({ "token_uri": "http://127.0.0.1:1/", "universe_domain": "example.goog" });
    let audience = "https://pubsub.googleapis.com/";
    for (builder, name, value) in [
        (builder(unreachable.clone()).self_signed(true), "scope", CLOUD_PLATFORM),
        (builder(unreachable.clone()).self_signed(true).scope("openid"), "scope", "openid"),
        (builder(unreachable).audience(audience), "aud", audience),
        (builder(other_universe.clone()), "scope", CLOUD_PLATFORM),
        (builder(other_universe.clone()).self_signed(false).universe_domain("example.goog"), "scope", CLOUD_PLATFORM),
        (builder(other_universe).audience(audience), "aud", audience),
    ] {
        let token = builder.build().unwrap().mint(request()).await.unwrap();
        let (header, claims) = verified(token.secret());
        assert_eq!(header["kid"], "0123456789abcdef0123456789abcdef01234567");
        assert_eq!(claims, json!({ "iss": EMAIL, "sub": EMAIL, name: value, "iat": NOW - 10, "exp": NOW + 3590 }));
        assert_eq!(token.lifetime().life, Some(Duration::from_secs(3590)));
    }
}

#[tokio::test]
async fn what_another_universe_cannot_do_is_refused() {
    let other = || builder(json!({ "universe_domain": "example.goog" }));
    for (builder, remedy) in [
        (other().subject("user@example.com"), "remove subject"),
        (other().token_url("https://as.example.com/token"), "remove token_url"),
        (other().universe_domain("googleapis.com"), "use a key of that universe"),
        (builder(json!({})).universe_domain("example.goog"), "use a key of that universe"),
    ] {
        let error = builder.build().unwrap().mint(request()).await.unwrap_err();
        assert_eq!((error.kind(), error.source_name()), (ErrorKind::Misconfigured, Some("google")));
        assert!(error.to_string().contains(remedy), "{error}");
    }
}

#[tokio::test]
async fn a_wrong_clock_is_learnt_from_the_refusal_and_the_next_assertion_is_right() {
    // The refusal's Date is two hours ahead of the test clock. The answers after it have none, which teaches nothing.
    let replay = Replay::of([
        fixture("google/wrong-time.http"),
        fixture("google/jwt-bearer.http"),
        fixture("google/jwt-bearer.http"),
    ]);
    let clock = TestClock::new();
    let source = builder(json!({})).token_url(&format!("{}/token", replay.url)).build().unwrap();
    let error = source.mint(request_on(&clock)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let line = error.to_string();
    for part in ["7200 s behind the server's, Thu, 01 Jan 2026 02:00:00 GMT", "set this machine's clock"] {
        assert!(line.contains(part), "{line}");
    }
    source.mint(request_on(&clock)).await.unwrap();
    source.for_scope("openid").unwrap().mint(request_on(&clock)).await.unwrap();
    for (request, now) in replay.finish().iter().zip([NOW, NOW + 7200, NOW + 7200]) {
        assert_eq!(verified(request.field("assertion").unwrap()).1["iat"], now - 10);
    }
}

#[tokio::test]
async fn a_clock_that_is_known_and_still_refused_is_a_refusal() {
    let replay = Replay::of([fixture("google/wrong-time.http"), fixture("google/wrong-time.http")]);
    let source = builder(json!({})).token_url(&format!("{}/token", replay.url)).build().unwrap();
    let clock = TestClock::new();
    assert_eq!(source.mint(request_on(&clock)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let error = source.mint(request_on(&clock)).await.unwrap_err();
    assert_eq!((error.kind(), error.provider_code()), (ErrorKind::Denied, Some("invalid_grant")));
    replay.finish();
}

#[tokio::test]
async fn errors_say_what_to_do_now() {
    use ErrorKind::{Denied, Malformed, Misconfigured, Unavailable};
    let alone = |builder: ServiceAccountBuilder| builder;
    let delegated = |builder: ServiceAccountBuilder| builder.subject("user@example.com");
    let cases: [(&str, &str, Set, ErrorKind, &str); 13] = [
        (
            "400 Bad Request",
            r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#,
            alone,
            Denied,
            "make a new key",
        ),
        (
            "400 Bad Request",
            r#"{"error":"invalid_grant","error_description":"Invalid grant: account not found"}"#,
            alone,
            Denied,
            "account that exists",
        ),
        (
            "400 Bad Request",
            r#"{"error":"invalid_grant","error_description":"Invalid grant: account not found"}"#,
            delegated,
            Denied,
            "check subject",
        ),
        (
            "400 Bad Request",
            r#"{"error":"invalid_grant","error_description":"Something new."}"#,
            alone,
            Denied,
            "Something new.",
        ),
        ("400 Bad Request", r#"{"error":"invalid_grant"}"#, alone, Denied, "check this machine's clock"),
        ("400 Bad Request", r#"{"error":"invalid_scope"}"#, alone, Misconfigured, "auth/cloud-platform"),
        (
            "401 Unauthorized",
            r#"{"error":"unauthorized_client"}"#,
            delegated,
            Denied,
            "to client id 100000000000000000001",
        ),
        (
            "401 Unauthorized",
            r#"{"error":"unauthorized_client"}"#,
            alone,
            Denied,
            "use the JSON key of a service account",
        ),
        ("400 Bad Request", r#"{"error":"internal_failure"}"#, alone, Unavailable, "try again later"),
        (
            "400 Bad Request",
            r#"{"error":"x","error_description":"internal_failure"}"#,
            alone,
            Unavailable,
            "try again later",
        ),
        ("503 Service Unavailable", r#"{"error":"invalid_grant"}"#, alone, Unavailable, "invalid_grant"),
        (
            "403 Forbidden",
            r#"{"error":{"code":403,"message":"No.","status":"PERMISSION_DENIED"}}"#,
            alone,
            Denied,
            "PERMISSION_DENIED",
        ),
        ("200 OK", r#"{"id_token":"eyJ.fake.sig"}"#, alone, Malformed, "no access_token"),
    ];
    for (status, body, set, kind, says) in cases {
        let error = mint_with(fixture("google/jwt-bearer.http").answering(status, &[], body), json!({}), set)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let error = mint_with(fixture("google/invalid-signature.http"), json!({}), alone).await.unwrap_err();
    assert_eq!((error.kind(), error.provider_code()), (Denied, Some("invalid_grant")));
}

#[tokio::test]
async fn a_life_that_is_missing_is_an_hour_and_one_in_text_is_read() {
    for (body, life) in [(r#"{"access_token":"at"}"#, 3600), (r#"{"access_token":"at","expires_in":"1800"}"#, 1800)] {
        let exchange = fixture("google/jwt-bearer.http").answering("200 OK", &[], body);
        let token = mint_with(exchange, json!({}), |builder| builder).await.unwrap();
        assert_eq!(token.lifetime().life, Some(Duration::from_secs(life)));
    }
}

#[tokio::test]
async fn keys_that_cannot_sign_are_refused_without_showing_them() {
    for (members, says) in [
        (json!({ "private_key": "hunter2" }), "BEGIN PRIVATE KEY"),
        (
            json!({ "private_key": "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n" }),
            "private_key cannot sign",
        ),
        (json!({ "private_key": read("keys/test-ec-p256.pem") }), "RS256"),
        (json!({ "token_uri": "http://as.example.com/token" }), "https://"),
        (json!({ "token_uri": "http://169.254.169.254/token" }), "https://"),
        (json!({ "token_uri": "not a url" }), "no URL"),
    ] {
        let error = builder(members).build().unwrap().mint(request()).await.unwrap_err();
        assert_eq!((error.kind(), error.source_name()), (ErrorKind::Misconfigured, Some("google")), "{error}");
        assert!(error.to_string().contains(says) && !error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn the_key_file_is_read_at_every_mint() {
    struct Rotated(Mutex<u64>);

    impl SecretSource for Rotated {
        fn secret(&self) -> BoxFuture<'_, Result<Secret, MintError>> {
            let mut reads = self.0.lock().unwrap();
            *reads += 1;
            let file = key_file(json!({ "private_key_id": format!("k{reads}") }));
            Box::pin(async move { Ok(file) })
        }

        fn revision(&self) -> u64 {
            *self.0.lock().unwrap()
        }
    }

    let source = ServiceAccount::builder(Arc::new(Rotated(Mutex::new(0)))).self_signed(true).build().unwrap();
    for (before, kid) in [(0, "k1"), (1, "k2")] {
        assert_eq!(source.revision(), before);
        let token = source.mint(request()).await.unwrap();
        assert_eq!(verified(token.secret()).0["kid"], kid);
    }
}

#[tokio::test]
async fn a_sibling_signs_for_another_scope() {
    let source = builder(json!({})).audience("https://pubsub.googleapis.com/").build().unwrap();
    assert!(source.for_scope("").is_none() && source.for_scope("a,b").is_none());
    let token = source.for_scope("openid email").unwrap().mint(request()).await.unwrap();
    let (_, claims) = verified(token.secret());
    assert_eq!((claims["scope"].as_str(), claims.get("aud")), (Some("openid email"), None));
}

#[test]
fn nothing_that_is_shown_holds_the_key() {
    let shown = format!("{:?} {:?}", builder(json!({})), builder(json!({})).build().unwrap());
    assert!(shown.contains("cloud-platform") && !shown.contains("PRIVATE"), "{shown}");
}
