//! How long a token lives, by what the server, the token and the clocks say; and which texts are no token.
#![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use unexpired_core::*;

/// Our clock says 1,000,000.6 s.
const ASKED: Timestamp = Timestamp::from_nanos(5_000_000_000, 1_000_000_600_000_000);

fn at(seconds: f64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs_f64(seconds)
}

fn jwt(payload: &str) -> String {
    format!("eyJhbGciOiJub25lIn0.{}.c2ln", unexpired_crypto::b64::url_encode(payload.as_bytes()))
}

fn life(builder: TokenBuilder) -> Option<f64> {
    builder.build().unwrap().lifetime().life.map(|life| (life.as_secs_f64() * 1000.0).round() / 1000.0)
}

#[test]
fn of_several_witnesses_the_shortest_counts() {
    let now = 1_000_000;
    let until = |exp: u64| {
        Token::builder(jwt(&format!("{{\"exp\":{exp}}}")), Timestamp::from_nanos(5, now * 1_000_000_000 + 600_000_000))
    };
    let seconds = Duration::from_secs;
    let now = now as f64;
    let rows = [
        ("the server's word", Token::builder("t", ASKED).expires_in(seconds(60)), Some(60.0)),
        ("the token's word by our clock", until(1_000_100), Some(99.4)),
        ("both: the shorter", until(1_000_100).expires_in(seconds(60)), Some(60.0)),
        ("both: the shorter", until(1_000_030).expires_in(seconds(60)), Some(29.4)),
        ("our clock within the server's second: our clock", until(1_000_100).date(at(now)), Some(99.4)),
        (
            "our clock an hour ahead: the end of the server's second",
            until(1_000_100).date(at(now - 3600.0)),
            Some(3699.0),
        ),
        ("our clock an hour behind: the server's second", until(1_003_700).date(at(now + 3600.0)), Some(100.0)),
        ("a token not to be read", until(1_000_030).read_jwt(false).expires_in(seconds(60)), Some(60.0)),
        (
            "an absolute time",
            Token::builder("t", ASKED).expires_at(at(1_000_100.6)).default_life(seconds(5)),
            Some(100.0),
        ),
        ("nothing: the default", Token::builder("t", ASKED).default_life(seconds(300)), Some(300.0)),
        ("nothing and no default: for ever", Token::builder("t", ASKED), None),
        ("a float", Token::builder(jwt("{\"exp\":1000100.85}"), ASKED), Some(100.25)),
    ];
    for (what, builder, expected) in rows {
        assert_eq!(life(builder), expected, "{what}");
    }
    let issued = Token::builder(jwt("{\"iat\":1000,\"exp\":1100}"), Timestamp::from_nanos(5, 0));
    assert_eq!(life(issued), Some(100.0), "our clock is at 1970: the token's own life counts");
}

#[test]
fn what_has_expired_on_arrival_is_no_token() {
    for builder in [
        Token::builder("t", ASKED).expires_in(Duration::ZERO),
        Token::builder(jwt("{\"exp\":999}"), ASKED),
        Token::builder("t", ASKED).expires_at(at(0.0)),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed);
        assert!(error.to_string().contains("expired on arrival"), "{error}");
    }
}

#[test]
fn what_may_not_stand_in_a_header_is_no_token_and_is_not_shown() {
    for text in ["", " ", "a b", "canary\r\nX: y", "canary\0", "canary\u{7f}", "cän", "\"canary\"", "canary,", "=="] {
        let error = Token::builder(text, ASKED).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Malformed, "{text:?}");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
    for scheme in ["", "Bea rer", "Bearer\r\n", "N/A"] {
        assert!(Token::builder("t", ASKED).scheme(scheme).build().is_err(), "{scheme:?}");
    }
}

#[test]
fn the_header_is_ready_made_and_nothing_of_it_is_shown() {
    let token = Token::builder("canary-1", ASKED).scheme("bEARER").source("here").build().unwrap();
    assert_eq!(
        (token.scheme(), token.secret(), token.authorization().as_bytes()),
        ("Bearer", "canary-1", &b"Bearer canary-1"[..])
    );
    assert!(token.authorization().is_sensitive());
    assert!(token.authorization().clone().is_sensitive());
    assert!(!format!("{token:?} {:?}", token.authorization()).contains("canary"));
    assert_eq!(Token::builder("p", ASKED).scheme("DPoP").build().unwrap().authorization().as_bytes(), b"DPoP p");
    assert_eq!(Secret::new("canary").expose(), "canary");
    assert!(!format!("{:?}", Secret::new("canary")).contains("canary"));
    let builder = Token::builder("canary", ASKED);
    assert!(!format!("{builder:?}").contains("canary"));
}
