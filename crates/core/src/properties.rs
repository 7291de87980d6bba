//! What holds for the slot after any sequence of events.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use crate::slot::{Ask, Decision, Landed, Order, Rejection, Slot};
use crate::{Digest, Error, ErrorKind, MintError, Moments, Phase, Secret, Timestamp, Token};
use proptest::prelude::*;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Event {
    Ask { min_ttl: u64, joined: bool, claims: bool, revision: Option<u64> },
    Refresh,
    Lands { life: u64, same: bool },
    Fails { kind: u8, retry_after: u64 },
    Lost,
    Reject { current: bool, host: u8, claims: Option<u8> },
    Accepted { host: u8 },
    Passes { millis: u64 },
    WallSteps { seconds: i64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (prop_oneof![Just(0), 0..5000_u64], any::<bool>(), prop::bool::weighted(0.1), prop::option::of(0..2_u64))
            .prop_map(|(min_ttl, joined, claims, revision)| Event::Ask { min_ttl, joined, claims, revision }),
        1 => Just(Event::Refresh),
        4 => (1..5000_u64, any::<bool>()).prop_map(|(life, same)| Event::Lands { life, same }),
        2 => (0..8_u8, 0..5000_u64).prop_map(|(kind, retry_after)| Event::Fails { kind, retry_after }),
        1 => Just(Event::Lost),
        2 => (any::<bool>(), 0..3_u8, prop::option::of(0..2_u8)).prop_map(|(current, host, claims)| Event::Reject { current, host, claims }),
        1 => (0..3_u8).prop_map(|host| Event::Accepted { host }),
        6 => prop_oneof![0..2_000_u64, 0..2_000_000_u64].prop_map(|millis| Event::Passes { millis }),
        1 => (-10_000..10_000_i64).prop_map(|seconds| Event::WallSteps { seconds }),
    ]
}

const KINDS: [ErrorKind; 8] = [
    ErrorKind::NotConfigured,
    ErrorKind::Misconfigured,
    ErrorKind::Denied,
    ErrorKind::Rejected,
    ErrorKind::Unavailable,
    ErrorKind::TimedOut,
    ErrorKind::Malformed,
    ErrorKind::Forbidden,
];

#[derive(Default)]
struct Seen {
    /// The flight that runs, and the second from which it counts as lost.
    flying: Option<(u64, i64)>,
    rejected: Option<Digest>,
    held: Option<Token>,
    minted: u64,
}

impl Seen {
    /// A flight starts: there was none.
    fn starts(&mut self, order: &Order<()>, slot: &Slot<()>, now: Timestamp) {
        let lost = self.flying.is_some_and(|(_, at)| now.boot_nanos() >= at);
        assert!(self.flying.is_none() || lost, "two flights at once");
        assert!(slot.flying());
        self.flying = Some((order.id, now.boot_nanos() + 21_000_000_000));
    }

    fn served(&self, token: &Token, now: Timestamp, by: &str) {
        assert_ne!(token.moments().phase(now), Phase::Expired, "an expired token by {by}");
        assert_ne!(self.rejected, Some(token.digest()), "a rejected token by {by}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_events_breaks_the_promises(events in prop::collection::vec(event(), 1..80)) {
        let mut slot: Slot<()> = Slot::new(None);
        let mut seen = Seen::default();
        let (mut boot, mut wall) = (1_000_000_000_000_i64, 1_767_225_600_000_000_000_i64);
        for event in events {
            let now = Timestamp::from_nanos(boot, wall);
            match event {
                Event::Ask { min_ttl, joined, claims, revision } => {
                    let ask = Ask { min_ttl: Duration::from_secs(min_ttl), joined, claims, revision };
                    match slot.ask(now, ask, || ()) {
                        Decision::Serve(served) => seen.served(&served.token, now, "serve"),
                        Decision::ServeAndFly(served, order) => {
                            seen.served(&served.token, now, "serve and fly");
                            seen.starts(&order, &slot, now);
                        }
                        Decision::Fly(order, limit) => {
                            if let Some((limit, served)) = limit {
                                seen.served(&served.token, now, "urgent");
                                assert!(limit <= Duration::from_secs(2));
                            }
                            seen.starts(&order, &slot, now);
                        }
                        Decision::Join(()) => assert!(slot.flying()),
                        Decision::Fail(error) => {
                            assert!(error.next_attempt().is_some_and(|at| !at.waited(now)), "an error without a time");
                            if !claims {
                                let usable = seen.held.as_ref().is_some_and(|token| token.moments().phase(now) != Phase::Expired);
                                assert!(!usable, "an error while the token has life in it");
                            }
                        }
                        Decision::Revision => assert!(revision.is_none()),
                    }
                }
                Event::Refresh => {
                    if let Some(order) = slot.refresh(now, || ()) {
                        seen.starts(&order, &slot, now);
                    }
                }
                Event::Lands { life, same } => {
                    let Some((id, lost_at)) = seen.flying.take() else { continue };
                    if !(same && seen.minted > 0) {
                        seen.minted += 1;
                    }
                    let token = token(seen.minted, life, now);
                    let (landed, next) = slot.land(id, now, Ok(token.clone()), 0.5, 0);
                    let Landed::Token(served, _) = landed else { panic!("a token landed") };
                    // A flight that was given up as lost may come too late: what is held by then may be better.
                    let late = boot >= lost_at;
                    assert!(late || served.token.digest() == token.digest());
                    if seen.rejected == Some(token.digest()) && served.token.digest() == token.digest() {
                        assert!(served.reissued || seen.held.is_some());
                        seen.rejected = None;
                    }
                    seen.held = slot.current().map(|(token, _)| token.clone());
                    if next {
                        let order = slot.start_next(now, || ()).expect("nothing flies");
                        seen.starts(&order, &slot, now);
                    }
                }
                Event::Fails { kind, retry_after } => {
                    let Some((id, _)) = seen.flying.take() else { continue };
                    let error = MintError::new(KINDS[usize::from(kind)], "down").retry_after(Some(Duration::from_secs(retry_after)));
                    let before = slot.current().map(|(token, _)| token.digest());
                    slot.land(id, now, Err((Error::new("p", error), false)), 0.5, 0);
                    assert_eq!(slot.current().map(|(token, _)| token.digest()), before, "a failure evicts nothing");
                }
                Event::Lost => {
                    if let Some((id, _)) = seen.flying.take() {
                        slot.lost(id);
                        assert!(!slot.flying());
                    }
                }
                Event::Reject { current, host, claims } => {
                    let digest = if current { seen.held.as_ref().map(Token::digest) } else { Some(Digest::of("long ago")) };
                    let Some(digest) = digest else { continue };
                    let claims = claims.map(|n| Secret::new(format!("{{\"access_token\":{{\"n\":{n}}}}}")));
                    let rejection = slot.reject(digest, &format!("host{host}"), claims, now);
                    assert!(current || rejection == Rejection::Stale);
                    if rejection == Rejection::Retired {
                        assert!(slot.current().is_none());
                        seen.held = None;
                        seen.rejected = Some(digest);
                    }
                }
                Event::Accepted { host } => {
                    if let Some(token) = &seen.held {
                        slot.accepted(token.digest(), &format!("host{host}"));
                    }
                }
                Event::Passes { millis } => {
                    let nanos = i64::try_from(millis).unwrap() * 1_000_000;
                    (boot, wall) = (boot + nanos, wall + nanos);
                }
                Event::WallSteps { seconds } => wall += seconds * 1_000_000_000,
            }
            if let Some((token, until)) = slot.hot(Timestamp::from_nanos(boot, wall)) {
                let now = Timestamp::from_nanos(boot, wall);
                if !until.reached(now) {
                    seen.served(&token, now, "hit path");
                }
                assert!(until.boot_nanos() <= token.moments().usable_until.boot_nanos());
                assert!(until.wall_nanos() <= token.moments().usable_until.wall_nanos());
            }
        }
    }
}

fn token(number: u64, life: u64, asked: Timestamp) -> Token {
    let token = Token::builder(format!("t{number}"), asked).expires_in(Duration::from_secs(life)).build().unwrap();
    token.with_moments(Moments::of(token.lifetime(), Duration::ZERO, 0.3))
}
