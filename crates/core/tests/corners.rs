//! Statistics, sizes and loops: what one row of a table cannot say.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

mod world;

use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use unexpired_core::*;
use world::{Got, Issuer, Source, World};

#[tokio::test(flavor = "current_thread")]
async fn jitter_spreads_refreshes_over_a_tenth_of_the_window_and_never_widens_it() {
    let mut windows = Vec::new();
    for _ in 0..200 {
        let mut world = World::new(Issuer::Gives(1000.0), 0);
        world.call(TokenOptions::new()).await;
        let moments = *world.token("t1").moments();
        windows.push(moments.expires_at.since(moments.refresh_at).as_secs_f64());
    }
    let (least, most) = extremes(&windows);
    assert!(least >= 225.0 && most <= 250.0, "{least} to {most}");
    // 200 draws that all miss a fifth of the range at one end: less than one in 10^19.
    assert!(least < 230.0 && most > 245.0, "{least} to {most}");
}

#[tokio::test(flavor = "current_thread")]
async fn backoff_is_half_fixed_and_half_random() {
    let mut waits = Vec::new();
    for _ in 0..200 {
        let mut world = World::new(Issuer::Gives(1000.0), 0);
        world.call(TokenOptions::new()).await;
        world.clock.advance(Duration::from_secs(800));
        world.source.set(Issuer::Fails(ErrorKind::Unavailable));
        world.call(TokenOptions::new()).await;
        waits.push(next_attempt(&world));
    }
    let (least, most) = extremes(&waits);
    assert!(least >= 0.5 && most <= 1.0, "{least} to {most}");
    assert!(least < 0.6 && most > 0.9, "{least} to {most}");
}

#[tokio::test(flavor = "current_thread")]
async fn a_transient_failure_after_refusals_starts_its_own_row_of_waits() {
    let mut world = World::new(Issuer::Fails(ErrorKind::Denied), 0);
    for expected in [5.0, 10.0, 20.0, 40.0, 60.0, 60.0] {
        assert_eq!(world.call(TokenOptions::new()).await, Some(Got::Error(ErrorKind::Denied)));
        assert_eq!(next_attempt(&world), expected);
        world.clock.advance(Duration::from_secs(61));
    }
    world.source.set(Issuer::FailsRetryAfter(2));
    // The flight makes its first attempt and then sleeps; its failure is known by then.
    world.call(TokenOptions::new()).await;
    assert_eq!(next_attempt(&world), 2.0, "1 s, since it is the first of its kind, or what the server asks for");
}

#[tokio::test(flavor = "current_thread")]
async fn a_host_that_kept_still_for_half_an_hour_starts_anew() {
    let mut world = World::new(Issuer::Gives(100_000.0), 0);
    world.call(TokenOptions::new()).await;
    assert_eq!(world.reject("t1", "bad"), Rejection::Retired);
    world.call(TokenOptions::new()).await;
    assert_eq!(world.reject("t2", "bad"), Rejection::HostRefused);
    world.clock.advance(Duration::from_secs(2000));
    assert_eq!(world.reject("t2", "bad"), Rejection::Retired);
    world.call(TokenOptions::new()).await;
    assert_eq!(world.reject("t3", "bad"), Rejection::HostRefused);
    let until = world.manager.host_refused_until("bad").expect("blocked");
    assert_eq!(until.since(world.clock.now()), Duration::from_secs(60));
}

#[tokio::test(flavor = "current_thread")]
async fn only_so_many_hosts_are_remembered() {
    let mut world = World::new(Issuer::Gives(100_000.0), 0);
    for n in 1..=300 {
        world.call(TokenOptions::new()).await;
        world.clock.advance(Duration::from_millis(1));
        assert_eq!(world.reject(&format!("t{n}"), &format!("host{n}")), Rejection::Retired, "host {n}");
    }
    world.call(TokenOptions::new()).await;
    assert_eq!(world.reject("t301", "host300"), Rejection::HostRefused, "the latest are remembered");
    assert_eq!(world.reject("t301", "host1"), Rejection::Retired, "the first is forgotten");
}

#[tokio::test(flavor = "current_thread")]
async fn keeping_fresh_makes_no_loop_of_any_error() {
    use ErrorKind::*;
    for kind in [NotConfigured, Misconfigured, Denied, Rejected, Unavailable, TimedOut, Malformed, Forbidden] {
        let world = World::new(Issuer::Fails(kind), 0);
        world.manager.keep_fresh();
        world.pass(3600.0).await;
        let requests = world.source.requests();
        assert!((4..=80).contains(&requests), "{kind}: {requests} requests in an hour");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn keeping_fresh_forgets_its_refusals_after_a_success() {
    let world = World::new(Issuer::Fails(ErrorKind::Denied), 0);
    world.manager.keep_fresh();
    world.pass(3600.0).await;
    world.source.set(Issuer::Gives(1000.0));
    world.pass(910.0).await;
    assert!(world.manager.cached().is_some());
    world.source.set(Issuer::Fails(ErrorKind::Denied));
    let before = world.source.requests();
    for _ in 0..1000 {
        world.clock.advance(Duration::from_secs(1));
        world.settle().await;
        if world.source.requests() > before {
            break;
        }
    }
    world.pass(40.0).await;
    let requests = world.source.requests() - before;
    assert_eq!(requests, 4, "at once, after 5, 10 and 20 s");
}

#[tokio::test(flavor = "current_thread")]
async fn a_flight_that_nobody_drives_is_given_up_after_its_20_seconds() {
    let clock = TestClock::new();
    let source = Source::new(Issuer::Gives(1000.0));
    let (stuck, parked) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let (hold, lot) = (stuck.clone(), parked.clone());
    let manager = TokenManager::builder("stuck", source.clone())
        .clock(Arc::new(clock.clone()))
        .spawner(move |flight| {
            if hold.load(Ordering::SeqCst) { lot.lock().unwrap().push(flight) } else { drop(tokio::spawn(flight)) }
        })
        .build();
    assert_eq!(manager.token().await.unwrap().secret(), "t1");
    clock.advance(Duration::from_secs(800));
    stuck.store(true, Ordering::SeqCst);
    manager.token().await.unwrap();
    assert_eq!(parked.lock().unwrap().len(), 1);
    stuck.store(false, Ordering::SeqCst);
    clock.advance(Duration::from_secs(20));
    manager.token().await.unwrap();
    assert_eq!(source.requests(), 1, "the flight still has its second of grace");
    clock.advance(Duration::from_secs(2));
    manager.token().await.unwrap();
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(manager.token().await.unwrap().secret(), "t2");
    // The lost one is driven after all, and fails: that says nothing about the token that is there.
    source.set(Issuer::Fails(ErrorKind::Denied));
    let flights = std::mem::take(&mut *parked.lock().unwrap());
    for flight in flights {
        flight.await;
    }
    assert_eq!(manager.token().await.unwrap().secret(), "t2");
    assert!(manager.status().last_error.is_none());
}

#[test]
fn a_given_runtime_that_nobody_drives_leaves_no_caller_waiting_for_ever() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let clock = TestClock::new();
    let source = Source::new(Issuer::Gives(1000.0));
    let manager =
        TokenManager::builder("idle", source).clock(Arc::new(clock.clone())).runtime(runtime.handle().clone()).build();
    let waiting = std::thread::spawn({
        let manager = manager.clone();
        move || manager.blocking_token()
    });
    while !waiting.is_finished() {
        clock.advance(Duration::from_secs(1));
        std::thread::sleep(Duration::from_millis(1));
        if clock.now().boot_nanos() > 10_000_000_000_000 {
            panic!("still waiting after 9,000 s");
        }
    }
    assert_eq!(waiting.join().unwrap().unwrap().secret(), "t1");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_error_is_one_line_whatever_it_is_made_of(
        name in ".{0,80}", source in ".{0,400}", message in "(?s).{0,400}", code in proptest::option::of("(?s).{0,100}"),
        host in proptest::option::of("(?s).{0,100}"), remedy in proptest::option::of("(?s).{0,300}"), bidi in "[\u{202a}-\u{202e}\u{2066}-\u{2069}\r\n\u{0}\u{1b}]{0,9}",
    ) {
        let mut cause = MintError::new(ErrorKind::Denied, format!("{message}{bidi}"));
        cause = cause.from_source(format!("{source}{bidi}"));
        if let Some(code) = code { cause = cause.code(code + &bidi) }
        if let Some(host) = host { cause = cause.host(host + &bidi) }
        if let Some(remedy) = remedy { cause = cause.remedy(remedy + &bidi) }
        let error = Error::new(format!("{name}{bidi}"), cause.clone());
        for line in [error.to_string(), format!("{error:?}").replace("Error(denied: ", ""), cause.to_string()] {
            prop_assert!(line.chars().count() <= 301, "{} characters: {line}", line.chars().count());
            prop_assert!(!line.chars().any(|c| c.is_control() || "\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{2028}\u{2029}".contains(c)), "{line:?}");
        }
        prop_assert!(error.to_string().chars().count() <= 300);
    }
}

fn next_attempt(world: &World) -> f64 {
    let at = world.manager.status().next_attempt.expect("a failure");
    at.duration_since(world.clock.now().system_time()).unwrap().as_secs_f64()
}

fn extremes(values: &[f64]) -> (f64, f64) {
    values.iter().fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(*value), most.max(*value)))
}
