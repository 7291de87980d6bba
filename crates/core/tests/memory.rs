//! How much memory managers take: its own process, since the allocator counts for all.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "tests may fail loudly")]

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use unexpired_core::*;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

struct Fixed;

impl TokenSource for Fixed {
    fn name(&self) -> &str {
        "fixed"
    }
    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        Box::pin(async move {
            Token::builder("a".repeat(1500), request.now()).expires_in(Duration::from_secs(3600)).build()
        })
    }
}

/// In use at the end per manager: before the first call, and with a token of 1,500 characters.
#[test]
fn ten_thousand_managers_in_one_process() {
    const MANAGERS: usize = 10_000;
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let clock: Arc<dyn Clock> = Arc::new(TestClock::new());
    let first = TokenManager::builder("warm", Fixed).clock(clock.clone()).build();
    first.blocking_token().unwrap();
    let region = Region::new(ALLOCATOR);
    let each = || {
        let change = region.change();
        change.bytes_allocated.saturating_sub(change.bytes_deallocated) / MANAGERS
    };
    let managers: Vec<_> =
        (0..MANAGERS).map(|n| TokenManager::builder(format!("m{n}"), Fixed).clock(clock.clone()).build()).collect();
    let idle = each();
    for manager in &managers {
        manager.blocking_token().unwrap();
    }
    let minted = each();
    eprintln!("bytes per manager: {idle} idle, {minted} with a token of 1,500 characters");
    assert!(idle <= 1600, "{idle} bytes for an idle manager");
    assert!(minted <= 1600 + 1500 + 1600, "{minted} bytes with a token of 1,500");
}

/// The hit path allocates nothing: `token()`, `authorization()` and the header's clone.
#[test]
fn a_fresh_token_is_handed_out_without_an_allocation() {
    // On the system's clock, as it runs; allocations of the other test's thread would count too.
    let alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let manager = TokenManager::builder("hit", Fixed).build();
    manager.blocking_token().unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut calls = |count: usize| {
        for _ in 0..count {
            let Poll::Ready(token) = pin!(manager.token()).as_mut().poll(&mut context) else { panic!("fresh") };
            let Poll::Ready(header) = pin!(manager.authorization()).as_mut().poll(&mut context) else {
                panic!("fresh")
            };
            assert_eq!(token.unwrap().authorization(), header.unwrap());
        }
    };
    calls(10);
    // The background thread may still be putting the flight away: the quietest of several rounds counts.
    let least = (0..20)
        .map(|_| {
            let region = Region::new(ALLOCATOR);
            calls(1_000);
            region.change().allocations + region.change().reallocations
        })
        .min();
    assert_eq!(least, Some(0));
    drop(alone);
}

static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
