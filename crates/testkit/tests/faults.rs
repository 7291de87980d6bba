//! Each fault, as a client sees it that hides nothing.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::json;
use support::{Answer, ask, encode, get, parse, post, raw, send};
use unexpired_testkit::{DateFault, Endpoint, ExpiresIn, Fault, IdentityProvider, defaults};

fn start() -> IdentityProvider {
    IdentityProvider::blocking_start().unwrap()
}

fn form<'a>() -> [(&'a str, &'a str); 3] {
    [
        ("grant_type", "client_credentials"),
        ("client_id", defaults::CLIENT_ID),
        ("client_secret", defaults::CLIENT_SECRET),
    ]
}

fn mint(idp: &IdentityProvider) -> Answer {
    post(&idp.oauth_token_url(), &form())
}

fn mint_raw(idp: &IdentityProvider) -> Vec<u8> {
    raw("POST", &idp.oauth_token_url(), &[], &encode(&form()))
}

/// One faulty answer, after which everything works again.
fn once(idp: &IdentityProvider, fault: Fault) -> Answer {
    idp.fault(fault);
    let answer = mint(idp);
    assert_eq!(idp.faults(), 0, "it is used up");
    assert_eq!(mint(idp).status, 200);
    answer
}

#[test]
fn status_with_retry_after_and_a_body_in_the_providers_form() {
    let idp = start();
    let answer = once(&idp, Fault::status(429).retry_after("7"));
    assert_eq!((answer.status, answer.header("retry-after")), (429, Some("7")));
    assert_eq!(answer.text("error"), "temporarily_unavailable");
    assert_eq!(once(&idp, Fault::status(502)).status, 502);
    assert_eq!(once(&idp, Fault::status(404)).body, b"");
    let own = once(&idp, Fault::status(400).body(r#"{"error":"invalid_grant"}"#));
    assert_eq!((own.status, own.text("error").as_str()), (400, "invalid_grant"));

    idp.fault_at(Endpoint::Entra, Fault::status(503));
    assert_eq!(post(&idp.entra_token_url(), &form()).json()["error_codes"], json!([90_033]));
    idp.fault_at(Endpoint::Ibm, Fault::status(503));
    assert!(post(&idp.ibm_token_url(), &form()).json()["errorMessage"].is_string());
}

#[test]
fn an_outage_ends_when_the_servers_clock_says_so() {
    let idp = start();
    idp.outage(Duration::from_secs(60));
    assert_eq!((mint(&idp).status, mint(&idp).status), (503, 503));
    assert_eq!(get(&idp.jwks_url()).status, 200);
    idp.shift_clock(Duration::from_secs(61));
    assert_eq!(mint(&idp).status, 200);
    idp.fault(Fault::status(500).always());
    assert_eq!(mint(&idp).status, 500);
    idp.clear_faults();
    assert_eq!(mint(&idp).status, 200);
}

#[test]
fn delays_and_drips_take_their_time() {
    let idp = start();
    let begin = Instant::now();
    assert_eq!(once(&idp, Fault::delay(Duration::from_millis(80))).status, 200);
    assert!(begin.elapsed() >= Duration::from_millis(80));

    idp.fault(Fault::drip(Duration::from_millis(1)));
    let mut stream = send("POST", &idp.oauth_token_url(), &[], &encode(&form()));
    let (mut bytes, mut piece, mut pieces) = (Vec::new(), [0; 65_536], 0);
    while let Ok(n @ 1..) = stream.read(&mut piece) {
        bytes.extend_from_slice(&piece[..n]);
        pieces += 1;
    }
    assert!(pieces > 10, "{pieces}");
    assert!(parse(&bytes).json()["access_token"].is_string());
}

#[test]
fn never_answering_leaves_the_connection_open() {
    let idp = start();
    idp.fault(Fault::never_answer());
    let mut stream = send("POST", &idp.oauth_token_url(), &[], &encode(&form()));
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let error = stream.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut), "{error}");
    assert_eq!(mint(&idp).status, 200, "others are served");
    assert_eq!(idp.requests()[0].status(), None);
}

#[test]
fn cuts_before_and_after_the_work_and_in_the_middle() {
    let idp = start();
    idp.fault(Fault::cut_before());
    assert_eq!(mint_raw(&idp), b"");
    assert_eq!(idp.mints(), 0);

    idp.fault(Fault::cut_after());
    assert_eq!(mint_raw(&idp), b"");
    assert_eq!(idp.mints(), 1);

    idp.fault(Fault::cut_body());
    let answer = parse(&mint_raw(&idp));
    let announced: usize = answer.header("content-length").unwrap().parse().unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, announced / 2));
    assert_eq!(idp.mints(), 2);
}

#[test]
fn a_lost_answer_has_used_up_the_refresh_token() {
    let idp = start();
    let token = idp.refresh_token(defaults::PUBLIC_CLIENT_ID, "read").unwrap();
    let form =
        [("grant_type", "refresh_token"), ("client_id", defaults::PUBLIC_CLIENT_ID), ("refresh_token", token.expose())];
    idp.fault(Fault::cut_before());
    assert_eq!(post(&idp.oauth_token_url(), &form).status, 0);
    idp.fault(Fault::cut_after());
    assert_eq!(post(&idp.oauth_token_url(), &form).status, 0);
    assert_eq!(post(&idp.oauth_token_url(), &form).text("error"), "invalid_grant");
}

#[test]
fn answers_that_are_none() {
    let idp = start();
    let html = once(&idp, Fault::html());
    assert_eq!((html.status, html.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(html.body.starts_with(b"<!DOCTYPE html>"));
    let error = once(&idp, Fault::error_with_200());
    assert_eq!((error.status, error.text("error").as_str()), (200, "temporarily_unavailable"));
    let garbage = once(&idp, Fault::garbage());
    assert_eq!(garbage.header("content-type"), Some("application/json"));
    assert!(serde_json::from_slice::<serde_json::Value>(&garbage.body).is_err());
    let redirect = once(&idp, Fault::redirect("http://127.0.0.1:9/elsewhere"));
    assert_eq!((redirect.status, redirect.header("location")), (307, Some("http://127.0.0.1:9/elsewhere")));

    idp.fault(Fault::not_http());
    assert!(mint_raw(&idp).starts_with(b"SSH-2.0"));
    let plain = once(&idp, Fault::content_type("text/plain"));
    assert_eq!(plain.header("content-type"), Some("text/plain"));
    assert!(plain.json()["access_token"].is_string());
}

#[test]
fn expires_in_in_every_way() {
    let idp = start();
    let body = |how| String::from_utf8(once(&idp, Fault::expires_in(how)).body).unwrap();
    assert!(body(ExpiresIn::Text).contains(r#""expires_in":"3600""#));
    assert!(body(ExpiresIn::Float).contains(r#""expires_in":3599.5"#));
    assert!(body(ExpiresIn::Negative).contains(r#""expires_in":-1"#));
    assert!(!body(ExpiresIn::Missing).contains("expires_in"));
    assert!(body(ExpiresIn::Absurd).contains(r#""expires_in":99999999999999999999"#));
    assert_eq!(body(ExpiresIn::Duplicate).matches(r#""expires_in":"#).count(), 2);
    assert!(body(ExpiresIn::Raw("\"soon\"".into())).contains(r#""expires_in":"soon""#));
}

#[test]
fn another_lifetime_and_the_same_token_again() {
    let idp = start();
    let api = idp.resource_server();
    assert_eq!(once(&idp, Fault::lifetime(Duration::from_secs(2))).json()["expires_in"], 2);
    let dead = once(&idp, Fault::lifetime(Duration::ZERO)).json();
    assert_eq!(dead["expires_in"], 0);
    assert_eq!(ask(api.url(), dead["access_token"].as_str().unwrap()).text("reason"), "expired");

    let token = mint(&idp).text("access_token");
    let mints = idp.mints();
    idp.shift_clock(Duration::from_secs(600));
    idp.revoke(&token);
    idp.fault(Fault::same_token());
    let again = mint(&idp).json();
    assert_eq!(again["access_token"], token);
    let left = again["expires_in"].as_u64().unwrap();
    assert!((2990..=3000).contains(&left), "{left}");
    assert_eq!(idp.mints(), mints, "it is no mint");
    idp.shift_clock(Duration::from_secs(3600));
    idp.fault(Fault::same_token());
    assert_ne!(mint(&idp).text("access_token"), token, "a dead token is not repeated");
}

#[test]
fn dates_follow_the_clock_and_can_be_wrong() {
    let idp = start();
    let date = |answer: &Answer| answer.header("date").unwrap().to_owned();
    let year = |date: &str| date.split(' ').nth(3).unwrap().parse::<i32>().unwrap();
    let now = year(&date(&mint(&idp)));
    let decade = 10 * 365 * 86_400;
    assert!(year(&date(&once(&idp, Fault::date(DateFault::Skewed(decade))))) >= now + 9);
    assert!(year(&date(&once(&idp, Fault::date(DateFault::Skewed(-decade))))) <= now - 9);
    assert_eq!(date(&once(&idp, Fault::date(DateFault::Garbage))), "yesterday");
    idp.shift_clock(Duration::from_secs(decade.unsigned_abs()));
    assert!(year(&date(&mint(&idp))) >= now + 9);
    idp.shift_clock_back(Duration::from_secs(2 * decade.unsigned_abs()));
    assert!(year(&date(&mint(&idp))) <= now - 9);
}
