//! What the cached header costs: time, allocations, instructions.

use crate::endpoint::Endpoint;
use crate::peers::Peer;
use crate::scenario::now;
use arc_swap::ArcSwap;
use http::HeaderValue;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// One way to the header, with a token of a day in its cache.
pub struct Subject {
    pub name: &'static str,
    run: Box<dyn Fn(u64)>,
}

pub struct Cost {
    pub name: &'static str,
    pub nanos: f64,
    pub allocations: f64,
    pub instructions: Option<f64>,
}

/// To be called inside a runtime.
pub async fn subject<P: Peer>(endpoint: &Endpoint) -> Subject {
    let peer = P::new(endpoint);
    peer.header().await.unwrap();
    Subject { name: P::NAME, run: Box::new(move |times| measured_loop(&peer, times)) }
}

/// What nobody can beat who looks at the clock and shares one header: an `ArcSwap`, one reading of the clock, a clone.
pub fn floor() -> Subject {
    let value = HeaderValue::try_from(format!("Bearer {}", "a".repeat(1500))).unwrap();
    let swap = ArcSwap::from_pointee((value, boot_clock() + 86_400_000_000_000));
    Subject { name: FLOOR, run: Box::new(move |times| floor_measured_loop(&swap, times)) }
}

/// Callgrind counts only what happens inside functions of this name.
#[inline(never)]
fn measured_loop<P: Peer>(peer: &P, times: u64) {
    for _ in 0..times {
        black_box(now(peer.header())).unwrap();
    }
}

#[inline(never)]
fn floor_measured_loop(swap: &ArcSwap<(HeaderValue, i64)>, times: u64) {
    for _ in 0..times {
        let now = boot_clock();
        let held = swap.load();
        if now < held.1 {
            black_box(held.0.clone());
        }
    }
}

/// Time and allocations of all of them, in rounds that take turns; instructions by running this program again under callgrind.
pub fn costs(subjects: &[Subject], callgrind: bool) -> Vec<Cost> {
    let mut best = vec![f64::INFINITY; subjects.len()];
    for _ in 0..ROUNDS {
        for (subject, best) in subjects.iter().zip(&mut best) {
            let start = Instant::now();
            (subject.run)(ROUND);
            *best = best.min(start.elapsed().as_nanos() as f64 / ROUND as f64);
        }
    }
    let cost = |(subject, nanos): (&Subject, f64)| {
        eprintln!("hit: {}", subject.name);
        Cost {
            name: subject.name,
            nanos,
            allocations: allocations(subject),
            instructions: if callgrind { instructions(subject.name) } else { None },
        }
    };
    subjects.iter().zip(best).map(cost).collect()
}

/// For the run under callgrind.
pub fn repeat(subject: &Subject, times: u64) {
    (subject.run)(times);
}

/// The least of some rounds: other threads of the process (timers, idle connections) allocate too.
fn allocations(subject: &Subject) -> f64 {
    let round = || {
        let region = Region::new(ALLOCATOR);
        (subject.run)(1000);
        let change = region.change();
        (change.allocations + change.reallocations) as f64 / 1000.0
    };
    (0..5).map(|_| round()).fold(f64::INFINITY, f64::min)
}

/// The difference between two loop counts, so that what comes before the loop cancels out.
fn instructions(name: &str) -> Option<f64> {
    let count = |times: u64| -> Option<f64> {
        let out = std::env::temp_dir().join(format!("callgrind.{}", std::process::id()));
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--toggle-collect=*measured_loop*"])
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(std::env::current_exe().ok()?)
            .args(["--loop", name, &times.to_string()])
            .output()
            .ok()?;
        let _ = std::fs::remove_file(out);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let collected = text.lines().find_map(|line| line.split_once("Collected : "));
        if collected.is_none() {
            eprintln!("callgrind of {name}: {text}");
        }
        collected.and_then(|(_, count)| count.trim().parse().ok())
    };
    Some((count(6_000)? - count(2_000)?) / 4_000.0)
}

fn boot_clock() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

pub const FLOOR: &str = "*floor: `ArcSwap`, clock, clone*";
const ROUND: u64 = 5_000;
const ROUNDS: usize = 60;
