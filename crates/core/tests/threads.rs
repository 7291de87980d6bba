//! Real threads, runtimes and the background thread. What is waited for is always an event, never an expiry.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests may fail loudly")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use unexpired_core::*;

/// Mints after a pause, counts, and fails when told to.
struct Counting {
    requests: Arc<AtomicU64>,
    pause: Duration,
    fails: Option<ErrorKind>,
}

impl Counting {
    fn new(pause_ms: u64) -> (Self, Arc<AtomicU64>) {
        let requests = Arc::new(AtomicU64::new(0));
        (Self { requests: requests.clone(), pause: Duration::from_millis(pause_ms), fails: None }, requests)
    }
}

impl TokenSource for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
        Box::pin(async move {
            tokio::time::sleep(self.pause).await;
            match self.fails {
                Some(kind) => Err(MintError::new(kind, "told to fail")),
                None => {
                    Token::builder(format!("t{number}"), request.now()).expires_in(Duration::from_secs(1000)).build()
                }
            }
        })
    }
}

const CROWD: usize = 10_000;

async fn crowd(manager: &TokenManager) -> Vec<Result<Token, Error>> {
    let calls: Vec<_> = (0..CROWD)
        .map(|_| {
            tokio::spawn({
                let manager = manager.clone();
                async move { manager.token().await }
            })
        })
        .collect();
    let mut results = Vec::with_capacity(CROWD);
    for call in calls {
        results.push(call.await.unwrap());
    }
    results
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_callers_cold_and_at_expiry_cost_one_mint_each() {
    let (source, requests) = Counting::new(30);
    let clock = TestClock::new();
    let manager = TokenManager::builder("crowd", source).clock(Arc::new(clock.clone())).build();
    assert!(crowd(&manager).await.iter().all(|result| result.as_ref().is_ok_and(|token| token.secret() == "t1")));
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    clock.advance(Duration::from_secs(995));
    assert!(crowd(&manager).await.iter().all(|result| result.as_ref().is_ok_and(|token| token.secret() == "t2")));
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_callers_share_one_failure() {
    let (mut source, requests) = Counting::new(30);
    source.fails = Some(ErrorKind::Denied);
    let manager = TokenManager::builder("crowd", source).build();
    assert!(
        crowd(&manager)
            .await
            .iter()
            .all(|result| result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Denied))
    );
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_thousand_rejections_cost_one_mint() {
    let (source, requests) = Counting::new(5);
    let manager = TokenManager::builder("crowd", source).build();
    let first = manager.token().await.unwrap();
    let calls: Vec<_> = (0..CROWD)
        .map(|_| {
            let (manager, first) = (manager.clone(), first.clone());
            tokio::spawn(async move { manager.replacement(&first, "api.test", &Challenge::Plain).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().secret(), "t2");
    }
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[test]
fn a_manager_is_built_and_used_without_a_runtime() {
    let (source, requests) = Counting::new(5);
    let manager = TokenManager::builder("bare", source).build();
    let threads: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn({
                let manager = manager.clone();
                move || manager.blocking_token()
            })
        })
        .collect();
    for thread in threads {
        assert_eq!(thread.join().unwrap().unwrap().secret(), "t1");
    }
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[test]
fn the_callers_runtime_is_dropped_and_the_mint_goes_on() {
    let (source, requests) = Counting::new(50);
    let manager = TokenManager::builder("dropped", source).build();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = manager.clone();
    runtime.block_on(async move {
        let call = tokio::spawn(async move { first.token().await });
        tokio::task::yield_now().await;
        drop(call);
    });
    drop(runtime);
    assert_eq!(manager.blocking_token().unwrap().secret(), "t1");
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[test]
fn the_callers_runtime_is_blocked_and_others_are_served() {
    let (source, requests) = Counting::new(20);
    let manager = TokenManager::builder("blocked", source).build();
    let (unblock, blocked) = std::sync::mpsc::channel::<()>();
    let (started, start) = std::sync::mpsc::channel::<()>();
    let first = manager.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let call = tokio::spawn(async move { first.token().await });
            tokio::task::yield_now().await;
            started.send(()).unwrap();
            // The whole runtime stands still here while the flight is under way.
            blocked.recv().unwrap();
            call.await.unwrap().unwrap().secret().to_owned()
        })
    });
    start.recv().unwrap();
    assert_eq!(manager.blocking_token().unwrap().secret(), "t1");
    unblock.send(()).unwrap();
    assert_eq!(thread.join().unwrap(), "t1");
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[test]
fn a_given_runtime_that_is_shut_down_is_replaced_by_the_background_thread() {
    let (source, requests) = Counting::new(5);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let manager = TokenManager::builder("given", source).runtime(runtime.handle().clone()).build();
    runtime.shutdown_background();
    assert!(manager.blocking_token().is_ok());
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[test]
fn a_given_runtime_that_is_shut_down_in_the_middle_of_a_flight_costs_one_more_mint() {
    let (source, requests) = Counting::new(200);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let manager = TokenManager::builder("given", source).runtime(runtime.handle().clone()).build();
    let waiting = std::thread::spawn({
        let manager = manager.clone();
        move || manager.blocking_token()
    });
    while requests.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    runtime.shutdown_background();
    assert_eq!(waiting.join().unwrap().unwrap().secret(), "t2");
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}

#[test]
fn managers_never_wait_for_each_other() {
    struct Silent;
    impl TokenSource for Silent {
        fn name(&self) -> &str {
            "silent"
        }
        fn mint(&self, _: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
            Box::pin(std::future::pending())
        }
    }
    let silent = TokenManager::builder("silent", Silent).build();
    let stuck = std::thread::spawn({
        let silent = silent.clone();
        move || silent.blocking_token_with(TokenOptions::new().timeout(Duration::from_millis(300)))
    });
    while !silent.status().refreshing {
        std::thread::yield_now();
    }
    let (source, _) = Counting::new(1);
    assert!(TokenManager::builder("other", source).build().blocking_token().is_ok());
    assert_eq!(stuck.join().unwrap().unwrap_err().kind(), ErrorKind::TimedOut);
}

/// Blocks the very thread that it is called on, for a time or until it is let go.
struct Blocking(Arc<std::sync::Mutex<std::sync::mpsc::Receiver<()>>>);

impl TokenSource for Blocking {
    fn name(&self) -> &str {
        "blocking"
    }
    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        Box::pin(async move {
            let _ = self.0.lock().unwrap().recv();
            Token::builder("late", request.now()).expires_in(Duration::from_secs(1000)).build()
        })
    }
}

#[test]
fn a_source_that_blocks_its_thread_holds_up_nobody_else_and_no_time_limit() {
    let (release, released) = std::sync::mpsc::channel();
    let blocking = TokenManager::builder("blocking", Blocking(Arc::new(std::sync::Mutex::new(released)))).build();
    let waiting = std::thread::spawn({
        let blocking = blocking.clone();
        move || blocking.blocking_token()
    });
    while !blocking.status().refreshing {
        std::thread::yield_now();
    }
    // A time limit, though the thread on which mints run stands still.
    let limited = blocking.blocking_token_with(TokenOptions::new().timeout(Duration::from_millis(200)));
    assert_eq!(limited.unwrap_err().kind(), ErrorKind::TimedOut);
    // Other managers.
    for _ in 0..3 {
        let (source, _) = Counting::new(1);
        assert!(TokenManager::builder("other", source).build().blocking_token().is_ok());
    }
    // What was blocked comes to its end where it was.
    release.send(()).unwrap();
    assert_eq!(waiting.join().unwrap().unwrap().secret(), "late");
}

#[test]
fn keeping_fresh_outlives_the_runtime_that_was_given() {
    let (source, requests) = Counting::new(1);
    let clock = TestClock::new();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let manager =
        TokenManager::builder("kept", source).clock(Arc::new(clock.clone())).runtime(runtime.handle().clone()).build();
    manager.keep_fresh();
    let until = |count: u64| {
        while requests.load(Ordering::SeqCst) < count {
            clock.advance(Duration::from_secs(1));
            std::thread::sleep(Duration::from_micros(200));
        }
    };
    until(1);
    runtime.shutdown_background();
    until(3);
}

#[test]
fn an_observer_that_panics_costs_nobody_a_token() {
    let (source, _) = Counting::new(1);
    let manager = TokenManager::builder("observed", source).on_event(|_| panic!("observer")).build();
    assert!(manager.blocking_token().is_ok());
}

#[test]
fn refreshes_under_load_stall_nobody_and_never_mint_twice_at_once() {
    struct Exclusive {
        running: AtomicU64,
        most: Arc<AtomicU64>,
        number: AtomicU64,
    }
    impl TokenSource for Exclusive {
        fn name(&self) -> &str {
            "exclusive"
        }
        fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
            Box::pin(async move {
                self.most.fetch_max(self.running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                // As long as a round trip takes; the callers below must not notice.
                tokio::time::sleep(Duration::from_millis(50)).await;
                self.running.fetch_sub(1, Ordering::SeqCst);
                let number = self.number.fetch_add(1, Ordering::SeqCst);
                Token::builder(format!("x{number}"), request.now()).expires_in(Duration::from_secs(100)).build()
            })
        }
    }
    let most = Arc::new(AtomicU64::new(0));
    let clock = TestClock::new();
    let source = Exclusive { running: AtomicU64::new(0), most: most.clone(), number: AtomicU64::new(0) };
    let manager = TokenManager::builder("load", source).clock(Arc::new(clock.clone())).build();
    manager.blocking_token().unwrap();
    let slow = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (manager, clock, slow) = (manager.clone(), clock.clone(), &slow);
            scope.spawn(move || {
                for _ in 0..2_000 {
                    let start = std::time::Instant::now();
                    manager.blocking_token().unwrap();
                    if start.elapsed() > Duration::from_millis(40) {
                        slow.fetch_add(1, Ordering::SeqCst);
                    }
                    // Not past `urgent_at`, where the starter waits: a second at a time, and none while a flight runs.
                    if n == 0 && !manager.status().refreshing {
                        clock.advance(Duration::from_secs(1));
                    }
                }
            });
        }
    });
    assert_eq!(most.load(Ordering::SeqCst), 1, "two mints at once");
    // A machine that is busy may hold a thread up; a caller that waits for a mint would be held up by every one of them.
    assert!(slow.load(Ordering::SeqCst) <= 8, "{slow:?} calls of 16,000 took as long as a mint");
}
