//! A crowd without a token: `cargo bench -p unexpired-core --bench crowd`.
//!
//! Ten thousand tasks ask at once for a token that takes the source 50 ms. How long after the source has answered has the last of them its answer?
//! The floor of the same run is the least that ten thousand tasks can do: wait for one `tokio::sync::watch`. Each figure is the median of many
//! rounds that take turns.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark may fail loudly"
)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use unexpired_core::*;

const LATENCY: Duration = Duration::from_millis(50);
const ROUNDS: usize = 21;

/// Answers after [`LATENCY`], or fails then.
#[derive(Clone, Default)]
struct Slow {
    mints: Arc<AtomicU64>,
    answered: Arc<OnceLock<Instant>>,
    fails: bool,
}

impl TokenSource for Slow {
    fn name(&self) -> &str {
        "slow"
    }

    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        Box::pin(async move {
            let sent = request.now();
            tokio::time::sleep(LATENCY).await;
            self.mints.fetch_add(1, Ordering::Relaxed);
            let token = if self.fails {
                Err(MintError::new(ErrorKind::Denied, "no"))
            } else {
                Token::builder("a".repeat(1500), sent).read_jwt(false).expires_in(Duration::from_secs(3600)).build()
            };
            let _ = self.answered.set(Instant::now());
            token
        })
    }
}

/// How long after the source's answer, and how long after the first call, the last caller had its own.
#[derive(Clone, Copy)]
struct Last {
    after_answer: Duration,
    after_call: Duration,
    mints: u64,
}

/// `callers` tasks that wait for a bare watch channel.
async fn floor(callers: usize) -> Last {
    let (sender, receiver) = watch::channel(false);
    let answered = Arc::new(OnceLock::new());
    let first = Instant::now();
    let told = answered.clone();
    std::thread::spawn(move || {
        std::thread::sleep(LATENCY);
        let _ = told.set(Instant::now());
        sender.send_replace(true);
        // Closing it would wake everybody a second time.
        std::thread::sleep(LATENCY);
    });
    let ends = crowd(callers, || {
        let mut receiver = receiver.clone();
        async move { receiver.wait_for(|done| *done).await.is_ok() }
    })
    .await;
    last(first, *answered.get().unwrap(), &ends, 1)
}

async fn manager(callers: usize, fails: bool) -> Last {
    let source = Slow { fails, ..Slow::default() };
    let manager = TokenManager::builder("crowd", source.clone()).build();
    let first = Instant::now();
    let ends = crowd(callers, || {
        let manager = manager.clone();
        async move { manager.token().await.is_err() == fails }
    })
    .await;
    last(first, *source.answered.get().unwrap(), &ends, source.mints.load(Ordering::Relaxed))
}

/// When each of the callers had its answer.
async fn crowd<F: Future<Output = bool> + Send + 'static>(callers: usize, caller: impl Fn() -> F) -> Vec<Instant> {
    let tasks: Vec<_> = (0..callers)
        .map(|_| {
            let call = caller();
            tokio::spawn(async move {
                assert!(call.await);
                Instant::now()
            })
        })
        .collect();
    let mut ends = Vec::with_capacity(callers);
    for task in tasks {
        ends.push(task.await.unwrap());
    }
    ends
}

fn last(first: Instant, answered: Instant, ends: &[Instant], mints: u64) -> Last {
    let end = *ends.iter().max().unwrap();
    Last { after_answer: end.saturating_duration_since(answered), after_call: end - first, mints }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!(
        "{:<10}{:<22}{:>8}{:>26}{:>34}",
        "callers", "", "mints", "last after the answer", "last after the call, less 50 ms"
    );
    for callers in [1_000, 10_000] {
        let mut rounds: [Vec<Last>; 3] = Default::default();
        for _ in 0..ROUNDS {
            rounds[0].push(runtime.block_on(floor(callers)));
            rounds[1].push(runtime.block_on(manager(callers, false)));
            rounds[2].push(runtime.block_on(manager(callers, true)));
        }
        for (name, rounds) in ["floor: a watch channel", "token()", "token(), refused"].iter().zip(&rounds) {
            assert!(rounds.iter().all(|last| last.mints == 1), "one mint for everyone");
            let median = |of: fn(&Last) -> Duration| {
                let mut times: Vec<Duration> = rounds.iter().map(of).collect();
                times.sort();
                times[times.len() / 2].as_secs_f64() * 1e3
            };
            let (answer, call) =
                (median(|last| last.after_answer), median(|last| last.after_call) - LATENCY.as_secs_f64() * 1e3);
            println!("{callers:<10}{name:<22}{:>8}{:>23.1} ms{:>31.1} ms", rounds[0].mints, answer, call);
        }
    }
}
