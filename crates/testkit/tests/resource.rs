//! The resource server says why it refuses, in the header that clients read, and counts it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::time::Duration;

use support::{ask, get, post, request};
use unexpired_core::Secret;
use unexpired_crypto::b64;
use unexpired_testkit::{IdentityProvider, ResourceServer, defaults};

fn start() -> IdentityProvider {
    IdentityProvider::blocking_start().unwrap()
}

fn token(idp: &IdentityProvider) -> Secret {
    idp.token().lifetime(Duration::from_secs(60)).audience("https://api.example").scope("read").mint().unwrap()
}

#[test]
fn expiry_revocation_absence_and_nonsense() {
    let idp = start();
    let api = idp.resource_server();
    let good = token(&idp);
    assert_eq!(ask(&format!("{}/any/path?x=1", api.url()), good.expose()).status, 200);
    api.assert_no_rejections();

    let missing = get(api.url());
    assert_eq!((missing.status, missing.header("www-authenticate")), (401, Some(r#"Bearer realm="testkit""#)));
    let basic = request("GET", api.url(), &[("authorization", "Basic eDp5")], "");
    assert_eq!(basic.text("reason"), "missing");

    let (head, signature) = good.expose().rsplit_once('.').unwrap();
    let forged = format!("{head}.{}", signature.chars().rev().collect::<String>());
    let (header, _) = head.split_once('.').unwrap();
    let other = format!("{header}.{}.{signature}", b64::url_encode(br#"{"exp":99999999999}"#));
    let none = format!("{}.{}.", b64::url_encode(br#"{"alg":"none"}"#), head.split_once('.').unwrap().1);
    let stranger = token(&start());
    for bad in ["opaque", "", "a.b.c", &forged, &other, &none, stranger.expose()] {
        assert_eq!(ask(api.url(), bad).status, 401, "{bad}");
    }

    idp.shift_clock(Duration::from_secs(60));
    let expired = ask(api.url(), good.expose());
    let challenge = expired.header("www-authenticate").unwrap();
    assert!(challenge.contains(r#"error="invalid_token""#) && challenge.contains("expired"), "{challenge}");

    let fresh = token(&idp);
    assert!(idp.revoke(fresh.expose()));
    assert!(!idp.revoke("unknown"));
    assert_eq!(ask(api.url(), fresh.expose()).text("reason"), "revoked");
    token(&idp);
    assert_eq!(idp.revoke_all(), 2, "the expired one is still on record");

    let counts = api.counts();
    // An empty token is none.
    assert_eq!((counts.ok, counts.missing, counts.expired, counts.revoked), (1, 3, 1, 1));
    assert_eq!(counts.malformed, 6);
    assert_eq!(api.unauthorized(), 11);
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| api.assert_no_rejections()));
    assert!(failed.is_err());
}

#[test]
fn each_resource_server_has_its_own_wishes_and_counts() {
    let idp = start();
    let good = token(&idp);
    let api = ResourceServer::builder(&idp, "api").audience("https://api.example").start().unwrap();
    let other = ResourceServer::builder(&idp, "other").audience("https://other.example").own_port().start().unwrap();
    assert_eq!(ask(api.url(), good.expose()).status, 200);
    assert_ne!(other.url().rsplit(':').next(), idp.url().rsplit(':').next());
    assert_eq!(ask(&format!("{}/oauth2/token", other.url()), good.expose()).text("reason"), "wrong_audience");
    assert_eq!((api.accepted(), api.unauthorized()), (1, 0));
    assert_eq!((other.accepted(), other.unauthorized()), (0, 1));
    assert!(ResourceServer::builder(&idp, "a/b").start().is_err());
    assert!(ResourceServer::builder(&idp, "").start().is_err());
}

#[test]
fn a_host_that_refuses_everything_and_then_the_next_two() {
    let idp = start();
    let good = token(&idp);
    let stubborn = ResourceServer::builder(&idp, "stubborn").start().unwrap();
    stubborn.refuse_everything(true);
    let answer = ask(stubborn.url(), good.expose());
    assert!(answer.header("www-authenticate").unwrap().contains(r#"error="invalid_token""#));
    assert_eq!(ask(idp.resource_server().url(), good.expose()).status, 200, "others accept it");
    stubborn.refuse_everything(false);
    stubborn.refuse_next(2);
    let statuses: Vec<u16> = (0..3).map(|_| ask(stubborn.url(), good.expose()).status).collect();
    assert_eq!(statuses, [401, 401, 200]);
    assert_eq!(stubborn.counts().refused, 3);
}

#[test]
fn scopes_and_claims() {
    let idp = start();
    let api = idp.resource_server();
    let good = token(&idp);
    api.demand_scope(Some("write"));
    let answer = ask(api.url(), good.expose());
    assert_eq!(answer.status, 403);
    let expected = r#"Bearer realm="testkit", error="insufficient_scope", scope="write""#;
    assert_eq!(answer.header("www-authenticate"), Some(expected));
    api.demand_scope(None);

    let claims = r#"{"access_token":{"nbf":{"essential":true,"value":"1767225600"}}}"#;
    api.demand_claims(Some(claims));
    let answer = ask(api.url(), good.expose());
    let challenge = answer.header("www-authenticate").unwrap();
    assert_eq!((answer.status, challenge.contains(r#"error="insufficient_claims""#)), (401, true));
    // The engine's own parser reads it.
    let parsed = unexpired_core::Challenge::of(401, [challenge]);
    assert!(matches!(&parsed, unexpired_core::Challenge::Claims(text) if text.expose() == claims), "{parsed:?}");
    let sent = challenge.split(r#"claims=""#).nth(1).unwrap().trim_end_matches('"');
    assert_eq!(b64::std_decode(sent).unwrap(), claims.as_bytes());

    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", defaults::CLIENT_ID),
        ("client_secret", defaults::CLIENT_SECRET),
        ("scope", defaults::ENTRA_SCOPE),
        ("claims", claims),
    ];
    let satisfied = post(&idp.entra_token_url(), &form).text("access_token");
    assert_eq!(ask(api.url(), &satisfied).status, 200);
    assert_eq!(api.counts().insufficient_claims, 1);
}
