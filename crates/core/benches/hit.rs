//! The hit path against floors measured in the same run: `cargo bench -p unexpired-core --bench hit`.
//!
//! Times are noisy, so each figure is the best of many short rounds that take turns, and only ratios mean anything. Allocations are counted, and
//! instructions too where valgrind is installed (`--no-callgrind` leaves them out). `--json` prints one object.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark may fail loudly"
)]

use arc_swap::ArcSwap;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;
use std::process::Command;
use std::sync::{Arc, Barrier, RwLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use unexpired_core::*;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// 1,500 characters, as cloud tokens have.
fn text() -> String {
    "eyJ".chars().chain(std::iter::repeat_n('a', 1497)).collect()
}

struct Fixed;

impl TokenSource for Fixed {
    fn name(&self) -> &str {
        "fixed"
    }
    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        Box::pin(async move {
            Token::builder(text(), request.now()).read_jwt(false).expires_in(Duration::from_secs(86_400)).build()
        })
    }
}

#[derive(Clone)]
struct Subjects {
    swap: Arc<ArcSwap<Token>>,
    lock: Arc<RwLock<Arc<Token>>>,
    manager: TokenManager,
}

type Run = fn(&Subjects, u64);

/// Name, work, and the line that is its floor.
const SUBJECTS: [(&str, Run, usize); 6] = [
    (
        "ArcSwap load + clone",
        |s, n| {
            for _ in 0..n {
                black_box((**s.swap.load()).clone());
            }
        },
        0,
    ),
    (
        "ArcSwap load + clone + clock",
        |s, n| {
            for _ in 0..n {
                let now = boot_clock();
                let token = s.swap.load();
                if now < token.moments().refresh_at.boot_nanos() {
                    black_box((**token).clone());
                }
            }
        },
        1,
    ),
    (
        "RwLock<Arc> read + clone",
        |s, n| {
            for _ in 0..n {
                black_box(s.lock.read().unwrap().clone());
            }
        },
        1,
    ),
    (
        "ArcSwap header clone + clock",
        |s, n| {
            for _ in 0..n {
                let now = boot_clock();
                let token = s.swap.load();
                if now < token.moments().refresh_at.boot_nanos() {
                    black_box(token.authorization().clone());
                }
            }
        },
        3,
    ),
    (
        "token()",
        |s, n| {
            for _ in 0..n {
                black_box(ready(s.manager.token())).unwrap();
            }
        },
        1,
    ),
    (
        "authorization()",
        |s, n| {
            for _ in 0..n {
                black_box(ready(s.manager.authorization())).unwrap();
            }
        },
        3,
    ),
];

/// One reading of the clock that counts suspend.
fn boot_clock() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// The output of a future that does not wait.
fn ready<F: Future>(future: F) -> F::Output {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("the token is fresh"),
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let token = Token::builder(text(), SystemClock.now())
        .read_jwt(false)
        .expires_in(Duration::from_secs(86_400))
        .build()
        .unwrap();
    let manager = TokenManager::builder("bench", Fixed).build();
    manager.blocking_token().unwrap();
    let subjects = Subjects {
        swap: Arc::new(ArcSwap::from_pointee(token.clone())),
        lock: Arc::new(RwLock::new(Arc::new(token))),
        manager,
    };
    if let Some(at) = arguments.iter().position(|argument| argument == "--loop") {
        let index: usize = arguments[at + 1].parse().unwrap();
        let times: u64 = arguments[at + 2].parse().unwrap();
        (SUBJECTS[index].1)(&subjects, times);
        return;
    }
    let callgrind =
        !arguments.iter().any(|a| a == "--no-callgrind") && Command::new("valgrind").arg("--version").output().is_ok();
    let instructions: Vec<Option<f64>> =
        (0..SUBJECTS.len()).map(|i| if callgrind { instructions(i) } else { None }).collect();
    let allocations: Vec<f64> = SUBJECTS.iter().map(|(_, run, _)| allocations(&subjects, *run)).collect();
    let threads = [1_usize, 2, 4];
    let by_threads: Vec<Vec<f64>> = threads.iter().map(|&count| on_threads(&subjects, count)).collect();
    let tasks = on_tasks(&subjects, 64);
    println!(
        "{:<32}{:>8}{:>8}{:>9}{:>9}{:>9}{:>10}{:>16}",
        "", "instr.", "allocs", "1 thr ns", "2 thr ns", "4 thr ns", "64 tasks", "ratios"
    );
    for (index, (name, _, floor)) in SUBJECTS.iter().enumerate() {
        let counted = instructions[index].map_or("-".into(), |n| format!("{n:.0}"));
        let ratio = |column: &[f64]| column[index] / column[*floor];
        println!(
            "{name:<32}{counted:>8}{:>8.3}{:>9.1}{:>9.1}{:>9.1}{:>10.1}{:>16}",
            allocations[index],
            by_threads[0][index],
            by_threads[1][index],
            by_threads[2][index],
            tasks[index],
            format!("{:.2} {:.2} {:.2}", ratio(&by_threads[0]), ratio(&by_threads[2]), ratio(&tasks)),
        );
    }
    println!(
        "\nns an operation a thread, best of 60 rounds that take turns; ratios (1 thread, 4 threads, 64 tasks) to the line with the same clone and one clock read"
    );
    assert_eq!(allocations[4..], [0.0, 0.0], "the hit path allocates");
}

/// Instructions an operation: the difference between two runs of other lengths, so that start-up cancels out.
fn instructions(index: usize) -> Option<f64> {
    let count = |times: u64| -> Option<f64> {
        let me = std::env::current_exe().ok()?;
        let out = std::env::temp_dir().join(format!("callgrind.{}", std::process::id()));
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", &format!("--callgrind-out-file={}", out.display())])
            .arg(me)
            .args(["--loop", &index.to_string(), &times.to_string()])
            .output()
            .ok()?;
        let _ = std::fs::remove_file(out);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        text.lines().find_map(|line| line.split_once("Collected : ")).and_then(|(_, n)| n.trim().parse().ok())
    };
    Some((count(30_000)? - count(10_000)?) / 20_000.0)
}

fn allocations(subjects: &Subjects, run: Run) -> f64 {
    run(subjects, 100);
    let region = Region::new(ALLOCATOR);
    run(subjects, 10_000);
    let change = region.change();
    (change.allocations + change.reallocations) as f64 / 10_000.0
}

const ROUND: u64 = 20_000;
const ROUNDS: usize = 60;

fn on_threads(subjects: &Subjects, count: usize) -> Vec<f64> {
    best(|run| {
        let barrier = Barrier::new(count);
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..count)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        let start = Instant::now();
                        run(subjects, ROUND);
                        start.elapsed().as_nanos() as f64 / ROUND as f64
                    })
                })
                .collect();
            let times: Vec<f64> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            times.iter().sum::<f64>() / count as f64
        })
    })
}

/// Tasks on a runtime with as many workers as there are cores; per operation over all tasks.
fn on_tasks(subjects: &Subjects, count: u64) -> Vec<f64> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    best(|run| {
        let start = Instant::now();
        runtime.block_on(async {
            let tasks: Vec<_> = (0..count)
                .map(|_| {
                    let subjects = subjects.clone();
                    tokio::spawn(async move {
                        for _ in 0..10 {
                            run(&subjects, ROUND / count / 10 + 1);
                            tokio::task::yield_now().await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        start.elapsed().as_nanos() as f64 / ((ROUND / count / 10 + 1) * 10 * count) as f64
    })
}

/// The best of many rounds, in which the subjects take turns.
fn best(measure: impl Fn(Run) -> f64) -> Vec<f64> {
    let mut best = vec![f64::INFINITY; SUBJECTS.len()];
    for _ in 0..ROUNDS {
        for (index, (_, run, _)) in SUBJECTS.iter().enumerate() {
            best[index] = best[index].min(measure(*run));
        }
    }
    best
}
