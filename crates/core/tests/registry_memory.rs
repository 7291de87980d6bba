//! How much memory a registry takes: its own process, since the allocator counts for all.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests may fail loudly")]

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;
use unexpired_core::registry::Registry;
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
            let text = format!("{:020}{}", request.now().boot_nanos(), "a".repeat(1480));
            Token::builder(text, request.now()).expires_in(Duration::from_secs(3600)).build()
        })
    }
}

/// In use per token of 1,500 characters: after the first round of mints, and after ten more.
#[test]
fn ten_thousand_tokens_in_one_registry() {
    const TOKENS: usize = 10_000;
    let clock = TestClock::new();
    let region = Region::new(ALLOCATOR);
    let each = || {
        let change = region.change();
        change.bytes_allocated.saturating_sub(change.bytes_deallocated) / TOKENS
    };
    let registry = Registry::builder().clock(Arc::new(clock.clone())).build();
    for n in 0..TOKENS {
        registry.insert(TokenManager::builder(format!("n{n}"), Fixed));
    }
    let round = |round: usize| {
        for _ in 0..6_000 {
            // Added and refreshed in the first round, refreshed in the others.
            if registry.revision() >= ((round + 2) * TOKENS) as u64 {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("round {round}: revision {}", registry.revision());
    };
    round(0);
    let first = each();
    for n in 1..=10 {
        clock.advance(Duration::from_secs(3_000));
        round(n);
    }
    let later = each();
    eprintln!("bytes per token of 1,500 characters in a registry: {first} at first, {later} after ten rounds");
    assert!(
        registry.names().iter().all(|name| registry.cached(name).is_some_and(|token| token.secret().len() == 1500))
    );
    assert!(first <= 10 * 1024 && later <= 10 * 1024, "{first} and {later} bytes");
    assert!(later <= first + first / 5, "{first} bytes became {later}");
}
