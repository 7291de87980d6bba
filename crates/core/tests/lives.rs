//! Whole lives, from one second to a day: callers never see an error, never wait after the first call, never get an expired token, and the
//! source is asked about once a life.

mod world;

use std::time::Duration;
use unexpired_core::*;
use world::{Got, Issuer, World};

const LIVES: [f64; 9] = [1.0, 2.0, 3.0, 10.0, 60.0, 300.0, 3600.0, 5400.0, 86_400.0];

#[tokio::test(flavor = "current_thread")]
async fn callers_through_ten_lives() {
    for life in LIVES {
        let mut world = World::new(Issuer::Gives(life), 0);
        assert_eq!(world.call(TokenOptions::new()).await, Some(Got::Token("t1".into())));
        for _ in 0..400 {
            world.clock.advance(Duration::from_secs_f64(life / 40.0));
            let got = world.call(TokenOptions::new()).await;
            assert!(matches!(got, Some(Got::Token(_))), "life {life}: {got:?}");
            let Some(Got::Token(text)) = got else { continue };
            let token = world.token(&text);
            assert!(token.moments().usable_until.until(world.clock.now()) > Duration::ZERO, "life {life}");
        }
        // Ten lives, each refreshed after three quarters to half of it.
        let requests = world.source.requests();
        assert!((11..=21).contains(&requests), "life {life}: {requests} requests");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn an_outage_from_the_first_refresh_on_is_seen_by_nobody_until_the_end() {
    for life in LIVES {
        let mut world = World::new(Issuer::Gives(life), 0);
        world.call(TokenOptions::new()).await;
        world.source.set(Issuer::Fails(ErrorKind::Unavailable));
        let first = world.token("t1").moments().to_owned();
        // From the moment it is due until nobody gets it any more, twenty calls a second at most and two hundred in all.
        world.clock.advance(first.refresh_at.until(world.clock.now()));
        let window = first.usable_until.since(first.refresh_at);
        let step = (window / 200).max(Duration::from_millis(1));
        let mut calls = 0;
        while first.usable_until.until(world.clock.now()) > step {
            assert_eq!(
                world.call(TokenOptions::new()).await,
                Some(Got::Token("t1".into())),
                "life {life}, call {calls}"
            );
            world.clock.advance(step);
            calls += 1;
        }
        assert!(calls >= 100, "life {life}: {calls} calls in the window");
        // Waits of at least 0.5 s, 1 s, 2 s … 30 s, and one attempt more when it is urgent.
        let mut most = 1;
        let mut wait = 0.5;
        let mut left = window.as_secs_f64();
        while left > wait {
            left -= wait;
            wait = f64::min(wait * 2.0, 30.0);
            most += 1;
        }
        let requests = world.source.requests() - 1;
        assert!((1..=most + 1).contains(&requests), "life {life}: {requests} requests, at most {most} and one");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn kept_fresh_without_callers() {
    for life in LIVES {
        let world = World::new(Issuer::Gives(life), 0);
        world.manager.keep_fresh();
        world.manager.keep_fresh();
        world.settle().await;
        for _ in 0..400 {
            world.clock.advance(Duration::from_secs_f64(life / 40.0));
            world.settle().await;
            assert!(world.manager.cached().is_some(), "life {life}: no token");
        }
        let requests = world.source.requests();
        assert!((11..=21).contains(&requests), "life {life}: {requests} requests");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn keeping_fresh_backs_off_to_a_quarter_of_an_hour_after_refusals_and_heals() {
    let world = World::new(Issuer::Fails(ErrorKind::Denied), 0);
    world.manager.keep_fresh();
    for _ in 0..24 * 60 {
        world.clock.advance(Duration::from_secs(60));
        world.settle().await;
    }
    // 5 s doubling to 15 min: 8 attempts in the first half hour, then four an hour.
    let requests = world.source.requests();
    assert!((90..=106).contains(&requests), "{requests} requests in a day");
    world.source.set(Issuer::Gives(3600.0));
    for _ in 0..16 {
        world.clock.advance(Duration::from_secs(60));
        world.settle().await;
    }
    assert!(world.manager.cached().is_some());
}

#[tokio::test(flavor = "current_thread")]
async fn keeping_fresh_ends_with_the_last_handle() {
    let world = World::new(Issuer::Gives(60.0), 0);
    world.manager.keep_fresh();
    world.settle().await;
    let (clock, source) = (world.clock.clone(), world.source.clone());
    drop(world);
    for _ in 0..100 {
        clock.advance(Duration::from_secs(10));
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(source.requests(), 1);
    assert_eq!(clock.sleepers(), 0, "nothing is left behind");
}

#[tokio::test(flavor = "current_thread")]
async fn an_idle_manager_does_nothing() {
    let mut world = World::new(Issuer::Gives(60.0), 0);
    world.call(TokenOptions::new()).await;
    world.pass(86_400.0).await;
    assert_eq!(world.source.requests(), 1);
    assert_eq!(world.clock.sleepers(), 0);
}

#[tokio::test(flavor = "current_thread")]
async fn a_configured_min_ttl_moves_the_refresh_earlier() {
    let mut world = World::new(Issuer::Gives(1000.0), 450);
    world.call(TokenOptions::new()).await;
    world.pass(540.0).await;
    world.call(TokenOptions::new()).await;
    assert_eq!(world.source.requests(), 1);
    world.pass(60.0).await;
    world.call(TokenOptions::new()).await;
    assert_eq!(world.source.requests(), 2);
}

#[tokio::test(flavor = "current_thread")]
async fn what_happens_is_told() {
    let mut world = World::new(Issuer::Gives(1000.0), 0);
    let mut follower = world.manager.subscribe();
    world.call(TokenOptions::new()).await;
    assert_eq!(follower.changed().await.expect("a token").secret(), "t1");
    world.pass(800.0).await;
    world.source.set(Issuer::Fails(ErrorKind::Unavailable));
    world.call(TokenOptions::new()).await;
    world.call(TokenOptions::new()).await;
    world.call(TokenOptions::new()).await;
    let status = world.manager.status();
    assert_eq!((status.phase, status.failures_in_a_row, status.mints, status.failures), (Phase::Due, 1, 1, 1));
    assert!(status.next_attempt.is_some());
    assert!(
        status
            .last_error
            .expect("an error")
            .to_string()
            .starts_with("corp: scripted at issuer.test: scripted failure (next attempt in ")
    );
    let events: Vec<String> = world
        .events
        .lock()
        .unwrap()
        .iter()
        .map(|e| format!("{e:?}").split([' ', '(']).next().unwrap().to_owned())
        .collect();
    // That a token is served while its source fails is said once, by the first slow call.
    assert_eq!(events, ["Minted", "Failed", "ServedWhileFailing"]);
    assert!(
        world.events.lock().unwrap().iter().all(|event| !format!("{event:?}").contains("t1")),
        "fingerprints, never tokens"
    );
}

#[tokio::test(flavor = "current_thread")]
async fn a_replacement_is_one_call() {
    let mut world = World::new(Issuer::Gives(1000.0), 0);
    world.call(TokenOptions::new()).await;
    let first = world.token("t1");
    let second = world.manager.replacement(&first, "api.test", &Challenge::Plain).await.expect("a replacement");
    assert_eq!(second.secret(), "t2");
    assert_eq!(
        world.manager.replacement(&first, "api.test", &Challenge::Plain).await.expect("the same").secret(),
        "t2"
    );
    let error =
        world.manager.replacement(&second, "api.test", &Challenge::Plain).await.expect_err("the host is the problem");
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert!(world.manager.host_refused_until("api.test").is_some());
    let error = world.manager.replacement(&second, "b.test", &Challenge::Permission).await.expect_err("no permission");
    assert_eq!(error.kind(), ErrorKind::Rejected);
    let claims = Challenge::Claims(Secret::new("{\"access_token\":{}}"));
    let third = world.manager.replacement(&second, "c.test", &claims).await.expect("with claims");
    assert_eq!(third.secret(), "t3");
    assert_eq!(world.source.0.claims.lock().unwrap().last().unwrap().as_deref(), Some("{\"access_token\":{}}"));
}

#[tokio::test(flavor = "current_thread")]
async fn whoever_demands_claims_waits_for_the_mint_that_carries_them() {
    let mut world = World::new(Issuer::Gives(1000.0), 0);
    world.call(TokenOptions::new()).await;
    world.pass(800.0).await;
    world.source.set(Issuer::GivesSlowly(1000.0));
    world.call(TokenOptions::new()).await;
    let first = world.token("t1");
    let manager = world.manager.clone();
    let claims = Challenge::Claims(Secret::new("{\"access_token\":{}}"));
    let demanding = tokio::spawn(async move { manager.replacement(&first, "graph", &claims).await });
    world.settle().await;
    // The plain flight lands first: plain callers have it, the one with the claims waits on.
    world.source.0.release.notify_one();
    world.settle().await;
    assert_eq!(world.call(TokenOptions::new()).await, Some(Got::Token("t2".into())));
    assert!(!demanding.is_finished());
    world.source.0.release.notify_one();
    assert_eq!(demanding.await.unwrap().expect("with claims").secret(), "t3");
    assert_eq!(*world.source.0.claims.lock().unwrap(), [None, None, Some("{\"access_token\":{}}".into())]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_credential_that_is_replaced_is_noticed_while_keeping_fresh() {
    let world = World::new(Issuer::Fails(ErrorKind::Denied), 0);
    world.manager.keep_fresh();
    for _ in 0..60 {
        world.clock.advance(Duration::from_secs(60));
        world.settle().await;
    }
    world.source.set(Issuer::Gives(3600.0));
    world.source.0.revision.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
    // The pause was at 15 minutes; the clock is looked at every 30 s.
    world.clock.advance(Duration::from_secs(31));
    world.settle().await;
    assert!(world.manager.cached().is_some());
}

#[tokio::test(flavor = "current_thread")]
async fn an_issuer_that_never_answers_is_noticed_by_nobody_while_the_token_lives() {
    for life in [300.0, 3600.0, 86_400.0] {
        let mut world = World::new(Issuer::Gives(life), 0);
        world.call(TokenOptions::new()).await;
        let first = world.token("t1").moments().to_owned();
        world.source.set(Issuer::NeverAnswers);
        world.clock.advance(first.refresh_at.until(world.clock.now()));
        while first.urgent_at.until(world.clock.now()) > Duration::ZERO {
            assert_eq!(world.call(TokenOptions::new()).await, Some(Got::Token("t1".into())), "life {life}");
            world.clock.advance(Duration::from_secs(1));
        }
        let window = first.urgent_at.since(first.refresh_at).as_secs();
        let requests = world.source.requests() - 1;
        assert!((1..=window / 20 + 1).contains(&requests), "life {life}: {requests} requests in {window} s");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn keeping_fresh_makes_the_one_attempt_at_urgency_too() {
    let world = World::new(Issuer::Gives(1000.0), 0);
    world.manager.keep_fresh();
    world.settle().await;
    world.source.set(Issuer::FailsRetryAfter(3600));
    for _ in 0..900 {
        world.clock.advance(Duration::from_secs(1));
        world.settle().await;
    }
    assert_eq!(world.source.requests(), 2, "the refresh that was told to wait an hour");
    world.source.set(Issuer::Gives(1000.0));
    for _ in 0..60 {
        world.clock.advance(Duration::from_secs(1));
        world.settle().await;
    }
    assert_eq!(world.source.requests(), 3);
    assert!(world.manager.cached().is_some_and(|token| token.secret() == "t2"));
}

#[tokio::test(flavor = "current_thread")]
async fn keeping_fresh_forgets_its_pause_when_a_caller_brings_a_token() {
    let mut world = World::new(Issuer::Fails(ErrorKind::Denied), 0);
    world.manager.keep_fresh();
    for _ in 0..120 {
        world.clock.advance(Duration::from_secs(60));
        world.settle().await;
    }
    // The pause is at 15 minutes. A caller comes after the engine's own minute, and has a token of 10 minutes.
    world.source.set(Issuer::Gives(600.0));
    world.clock.advance(Duration::from_secs(61));
    assert!(matches!(world.call(TokenOptions::new()).await, Some(Got::Token(_))));
    for _ in 0..120 {
        world.clock.advance(Duration::from_secs(10));
        world.settle().await;
        assert!(world.manager.cached().is_some(), "kept fresh from then on");
    }
}
