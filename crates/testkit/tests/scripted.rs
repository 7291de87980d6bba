//! The source without a server, under the engine.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::sync::Arc;
use std::time::Duration;

use unexpired_core::{ErrorKind, MintError, MintRequest, Secret, TestClock, TokenManager, TokenSource};
use unexpired_testkit::{ScriptedSource, Step};

const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn steps_come_in_their_order_and_then_fresh_tokens() {
    let source = ScriptedSource::new(HOUR);
    source.then(Step::Token(Duration::from_secs(5)));
    source.then(Step::SameToken);
    source.then_times(Step::Fail(MintError::new(ErrorKind::Unavailable, "down")), 2);
    source.then(Step::TokenText(Secret::new("own"), HOUR));
    let mut texts = Vec::new();
    for _ in 0..7 {
        let minted = source.mint(MintRequest::standalone()).await;
        texts.push(minted.map_or_else(|error| error.kind().to_string(), |token| token.secret().to_owned()));
    }
    assert_eq!(texts, ["scripted-1", "scripted-1", "unavailable", "unavailable", "own", "scripted-3", "scripted-4"]);
    source.assert_calls(7);
    assert_eq!(source.requests().len(), 7);
    let before = source.revision();
    source.credential_changed();
    assert_ne!(source.revision(), before);
}

#[tokio::test]
async fn a_held_source_shows_that_callers_share_one_mint() {
    let clock = TestClock::new();
    let source = ScriptedSource::new(HOUR);
    let manager = TokenManager::builder("test", source.clone()).clock(Arc::new(clock)).build();
    source.hold();
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let manager = manager.clone();
            tokio::spawn(async move { manager.token().await.unwrap().secret().to_owned() })
        })
        .collect();
    source.wait_for_calls(1).await;
    source.release();
    for caller in callers {
        assert_eq!(caller.await.unwrap(), "scripted-1");
    }
    source.assert_calls(1);
}
