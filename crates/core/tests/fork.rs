//! A process that forks: threads do not follow into the child, the manager does. Its own process, since a test runner has threads.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "tests may fail loudly"
)]

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
fn main() {
    unix::a_forked_child_has_the_token_and_mints_the_next();
    unix::a_child_forked_in_the_middle_of_a_flight_starts_its_own();
    unix::keeping_fresh_goes_on_in_a_child_that_asks();
    unix::a_child_does_not_use_the_runtime_that_was_given_to_its_parent();
    println!("test result: ok. 4 passed; 0 failed");
}

#[cfg(unix)]
mod unix {
    use fork::{Fork, fork, waitpid};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;
    use unexpired_core::*;

    struct Slow(AtomicU64, Duration);

    impl TokenSource for Slow {
        fn name(&self) -> &str {
            "slow"
        }
        fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
            Box::pin(async move {
                let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
                tokio::time::sleep(self.1).await;
                Token::builder(format!("t{number}"), request.now()).expires_in(Duration::from_secs(1000)).build()
            })
        }
    }

    /// Runs `child` in a forked child and says whether it came to its end in good order.
    fn in_child(child: impl FnOnce() -> bool) -> bool {
        match fork().expect("fork") {
            Fork::Child => {
                let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(false);
                std::process::exit(if good { 0 } else { 1 });
            }
            Fork::Parent(pid) => waitpid(pid).expect("waitpid") == 0,
        }
    }

    pub(crate) fn a_forked_child_has_the_token_and_mints_the_next() {
        let clock = TestClock::new();
        let source = Slow(AtomicU64::new(0), Duration::from_millis(1));
        let manager = TokenManager::builder("forked", source).clock(Arc::new(clock.clone())).build();
        assert_eq!(manager.blocking_token().unwrap().secret(), "t1");
        assert!(in_child(|| {
            let same = manager.blocking_token().unwrap().secret() == "t1";
            clock.advance(Duration::from_secs(995));
            same && manager.blocking_token().unwrap().secret() == "t2"
        }));
        // The parent knows nothing of it and goes on as it was.
        assert_eq!(manager.blocking_token().unwrap().secret(), "t1");
        clock.advance(Duration::from_secs(995));
        assert_eq!(manager.blocking_token().unwrap().secret(), "t2");
    }

    pub(crate) fn a_child_forked_in_the_middle_of_a_flight_starts_its_own() {
        let manager = TokenManager::builder("flying", Slow(AtomicU64::new(0), Duration::from_millis(200))).build();
        let waiting = std::thread::spawn({
            let manager = manager.clone();
            move || manager.blocking_token()
        });
        while !manager.status().refreshing {
            std::thread::yield_now();
        }
        assert!(in_child(|| manager.blocking_token().is_ok()));
        assert!(waiting.join().unwrap().is_ok());
    }

    /// The task that kept the token fresh did not follow; the child's first flight starts another.
    pub(crate) fn keeping_fresh_goes_on_in_a_child_that_asks() {
        let clock = TestClock::new();
        let source = Arc::new(Slow(AtomicU64::new(0), Duration::from_millis(1)));
        let manager = TokenManager::builder("kept", source.clone()).clock(Arc::new(clock.clone())).build();
        manager.keep_fresh();
        while manager.cached().is_none() {
            std::thread::yield_now();
        }
        assert!(in_child(|| {
            clock.advance(Duration::from_secs(995));
            let minted = manager.blocking_token().unwrap();
            // Without a caller from here on.
            for _ in 0..3_000 {
                clock.advance(Duration::from_secs(1));
                std::thread::sleep(Duration::from_millis(1));
                if source.0.load(Ordering::SeqCst) >= 4 {
                    return manager.cached().is_some_and(|token| token.secret() != minted.secret());
                }
            }
            false
        }));
    }

    pub(crate) fn a_child_does_not_use_the_runtime_that_was_given_to_its_parent() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let clock = TestClock::new();
        let source = Slow(AtomicU64::new(0), Duration::from_millis(1));
        let manager = TokenManager::builder("given", source)
            .clock(Arc::new(clock.clone()))
            .runtime(runtime.handle().clone())
            .build();
        assert_eq!(manager.blocking_token().unwrap().secret(), "t1");
        assert!(in_child(|| {
            clock.advance(Duration::from_secs(995));
            let start = std::time::Instant::now();
            // A flight that is handed to threads which are not there is lost after 21 s.
            manager.blocking_token().unwrap().secret() == "t2" && start.elapsed() < Duration::from_secs(10)
        }));
    }
}
