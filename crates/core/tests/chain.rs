//! Chains: who is asked, and when the next one steps in.

mod world;

use std::sync::Arc;
use std::time::Duration;
use unexpired_core::ErrorKind::*;
use unexpired_core::*;
use world::{Issuer, Source};

struct Named(&'static str, Source);

impl TokenSource for Named {
    fn name(&self) -> &str {
        self.0
    }
    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        self.1.mint(request)
    }
    fn revision(&self) -> u64 {
        self.1.revision()
    }
}

fn pair(first: Issuer, second: Issuer) -> (Named, Named, Source, Source) {
    let (a, b) = (Source::new(first), Source::new(second));
    (Named("a", a.clone()), Named("b", b.clone()), a, b)
}

#[tokio::test]
async fn which_errors_let_the_fallback_step_in() {
    let rows = [
        (NotConfigured, true),
        (Unavailable, true),
        (TimedOut, true),
        (Malformed, true),
        (Denied, false),
        (Misconfigured, false),
        (Forbidden, false),
        (Rejected, false),
    ];
    for (kind, steps_in) in rows {
        let (a, b, _, second) = pair(Issuer::Fails(kind), Issuer::Gives(60.0));
        let result = Chain::fallback(a, b).mint(MintRequest::standalone()).await;
        match result {
            Ok(token) => assert!(steps_in && token.source() == "b", "{kind}"),
            Err(error) => assert!(!steps_in && error.kind() == kind && second.requests() == 0, "{kind}"),
        }
    }
}

#[tokio::test]
async fn a_default_chain_goes_on_only_where_nothing_is_configured() {
    for (kind, steps_in) in
        [(NotConfigured, true), (Unavailable, false), (TimedOut, false), (Malformed, false), (Denied, false)]
    {
        let (a, b, ..) = pair(Issuer::Fails(kind), Issuer::Gives(60.0));
        let sources: [Arc<dyn TokenSource>; 2] = [Arc::new(a), Arc::new(b)];
        assert_eq!(Chain::new(sources).mint(MintRequest::standalone()).await.is_ok(), steps_in, "{kind}");
    }
    let error = Chain::new([]).mint(MintRequest::standalone()).await.expect_err("nothing to ask");
    assert_eq!(error.kind(), NotConfigured);
}

#[tokio::test]
async fn a_denial_lets_the_fallback_step_in_only_when_told_so() {
    let (a, b, ..) = pair(Issuer::Fails(Denied), Issuer::Gives(60.0));
    assert!(Chain::fallback(a, b).fallback_on([Denied]).mint(MintRequest::standalone()).await.is_ok());
}

#[tokio::test]
async fn when_all_fail_the_first_configured_ones_error_is_shown_with_the_rest() {
    let (a, b, ..) = pair(Issuer::Fails(Unavailable), Issuer::Fails(Denied));
    let error = Chain::fallback(a, b).mint(MintRequest::standalone()).await.expect_err("both fail");
    assert_eq!(error.kind(), Unavailable);
    assert_eq!(error.to_string(), "a at issuer.test: scripted failure; then b at issuer.test: scripted failure");
    let (a, b, ..) = pair(Issuer::Fails(NotConfigured), Issuer::Fails(Denied));
    let error = Chain::fallback(a, b).mint(MintRequest::standalone()).await.expect_err("both fail");
    assert_eq!((error.kind(), error.source_name()), (Denied, Some("b")));
}

#[tokio::test(flavor = "current_thread")]
async fn while_a_token_is_held_only_its_source_is_asked() {
    let (a, b, first, second) = pair(Issuer::Gives(1000.0), Issuer::Gives(1000.0));
    let clock = TestClock::new();
    let manager = TokenManager::builder("chain", Chain::fallback(a, b))
        .clock(Arc::new(clock.clone()))
        .spawner(|f| drop(tokio::spawn(f)))
        .build();
    assert_eq!(manager.token().await.unwrap().source(), "a");
    clock.advance(Duration::from_secs(800));
    first.set(Issuer::Fails(Unavailable));
    for _ in 0..5 {
        assert_eq!(manager.token().await.unwrap().source(), "a");
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_secs(20));
    }
    assert_eq!(second.requests(), 0, "a blip never changes the identity");
    clock.advance(Duration::from_secs(100));
    let token = manager.token().await.unwrap();
    assert_eq!(token.source(), "b", "without a token the fallback steps in");
    // Now the fallback's token is held, and the fallback is asked although the first source is back.
    first.set(Issuer::Gives(1000.0));
    let before = first.requests();
    clock.advance(Duration::from_secs(800));
    manager.token().await.unwrap();
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    assert_eq!(manager.token().await.unwrap().source(), "b");
    assert_eq!(first.requests(), before);
}

#[tokio::test(flavor = "current_thread")]
async fn each_source_but_the_last_gets_half_of_the_time_that_remains() {
    let (a, b, ..) = pair(Issuer::NeverAnswers, Issuer::Gives(1000.0));
    let clock = TestClock::new();
    let chain = Chain::fallback(a, b);
    let request = MintRequest::standalone_on(Arc::new(clock.clone()));
    let mut mint = chain.mint(request);
    for second in 0..10 {
        assert!(futures_now(&mut mint).await.is_none(), "at {second} s");
        clock.advance(Duration::from_secs(1));
    }
    assert_eq!(futures_now(&mut mint).await.expect("the fallback's turn").unwrap().source(), "b");
}

#[tokio::test]
async fn sources_of_one_name_are_told_apart_and_chains_nest() {
    let (a, b, ..) = pair(Issuer::Fails(Unavailable), Issuer::Gives(60.0));
    let c = Named("b", Source::new(Issuer::Gives(60.0)));
    let inner = Chain::fallback(a, b);
    assert_eq!(inner.name(), "a|b");
    let outer = Chain::fallback(inner, c);
    assert_eq!(outer.mint(MintRequest::standalone()).await.unwrap().source(), "a|b/b");
    let sources: [Arc<dyn TokenSource>; 2] = [
        Arc::new(Named("x", Source::new(Issuer::Fails(NotConfigured)))),
        Arc::new(Named("x", Source::new(Issuer::Gives(60.0)))),
    ];
    assert_eq!(Chain::new(sources).mint(MintRequest::standalone()).await.unwrap().source(), "x#2");
}

/// The future's output if it is ready now.
async fn futures_now<T>(future: &mut BoxFuture<'_, T>) -> Option<T> {
    let mut polled = None;
    std::future::poll_fn(|context| {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(context) {
            polled = Some(output);
        }
        std::task::Poll::Ready(())
    })
    .await;
    polled
}
