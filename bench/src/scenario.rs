//! Crowds, slow refreshes and outages. Each runs in a runtime of its own, with an endpoint of its own.

use crate::endpoint::Endpoint;
use crate::peers::{Life, Peer};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, sleep, timeout_at};

/// How a thousand callers at once fared.
#[derive(Debug)]
pub struct Herd {
    pub requests: u64,
    /// From the first call to the last answer.
    pub last: Duration,
    pub errors: usize,
    pub waiting: usize,
}

/// Calls while a refresh takes 250 ms.
#[derive(Debug)]
pub struct Slow {
    pub calls: usize,
    pub stalled: usize,
    pub errors: usize,
    pub p50: Duration,
    pub p99: Duration,
    pub max: Duration,
}

/// Calls while the endpoint answers 503 for 8 s and the token is valid.
#[derive(Debug)]
pub struct Outage {
    pub calls: usize,
    pub errors: usize,
    pub blocked: usize,
    pub requests: u64,
}

/// Nobody has a token.
pub fn cold<P: Peer>() -> Herd {
    run(async {
        let endpoint = Endpoint::start();
        endpoint.latency(LATENCY);
        herd(&Arc::new(P::new(&endpoint)), &endpoint, Duration::from_secs(20)).await
    })
}

/// Nobody has a token, and the endpoint answers 503.
pub fn refused<P: Peer>() -> Herd {
    run(async {
        let endpoint = Endpoint::start();
        endpoint.latency(LATENCY);
        endpoint.status(503);
        herd(&Arc::new(P::new(&endpoint)), &endpoint, Duration::from_secs(5)).await
    })
}

/// The token is due for refresh, and valid.
pub fn at_refresh<P: Peer>() -> Herd {
    run(async {
        let life = P::TIMING.refresh;
        let (endpoint, peer, minted) = warm::<P>(life.seconds).await;
        endpoint.latency(LATENCY);
        sleep_until(minted, life.due_by + 0.1).await;
        herd(&peer, &endpoint, Duration::from_secs(20)).await
    })
}

/// The token has expired.
pub fn at_expiry<P: Peer>() -> Herd {
    run(async {
        let seconds = P::TIMING.expiry;
        let (endpoint, peer, minted) = warm::<P>(seconds).await;
        endpoint.latency(LATENCY);
        sleep_until(minted, seconds as f64 + 0.3).await;
        herd(&peer, &endpoint, Duration::from_secs(20)).await
    })
}

/// 2,000 calls, one each millisecond, from half a second before the refresh begins.
pub fn slow_refresh<P: Peer>() -> Slow {
    run(async {
        let life = P::TIMING.refresh;
        let (endpoint, peer, minted) = warm::<P>(life.seconds).await;
        endpoint.latency(Duration::from_millis(250));
        sleep_until(minted, life.due_from - 0.7).await;
        let (calls, began) =
            load(&peer, &endpoint, minted, life, Duration::from_millis(1), Duration::from_millis(1500)).await;
        sleep(Duration::from_secs(1)).await;
        let mut times = Vec::new();
        let mut errors = 0;
        for call in between(&calls, began - Duration::from_millis(500), began + Duration::from_millis(1500)) {
            let start = *call.start.get().unwrap();
            let (end, good) = call.end.get().copied().unwrap_or((Instant::now(), true));
            errors += usize::from(!good);
            times.push(end - start);
        }
        times.sort();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        Slow {
            calls: times.len(),
            stalled: times.iter().filter(|time| **time > Duration::from_millis(5)).count(),
            errors,
            p50: at(0.5),
            p99: at(0.99),
            max: at(1.0),
        }
    })
}

/// 800 calls, one each 10 ms, from the first request that the endpoint refuses.
pub fn outage<P: Peer>() -> Outage {
    run(async {
        let life = P::TIMING.outage;
        let (endpoint, peer, minted) = warm::<P>(life.seconds).await;
        endpoint.status(503);
        sleep_until(minted, life.due_from - 0.3).await;
        let length = Duration::from_secs(8);
        let (calls, began) = load(&peer, &endpoint, minted, life, Duration::from_millis(10), length).await;
        let requests = endpoint.requests();
        sleep(Duration::from_millis(50)).await;
        let edge = Duration::from_millis(10);
        let ends: Vec<_> =
            between(&calls, began - edge, began + length - edge).map(|call| call.end.get().copied()).collect();
        Outage {
            calls: ends.len(),
            errors: ends.iter().flatten().filter(|(_, good)| !good).count(),
            blocked: ends.iter().filter(|end| end.is_none()).count(),
            requests,
        }
    })
}

/// The output of a future that does not wait.
pub fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nothing to wait for"),
    }
}

fn run<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    output
}

/// A peer that holds a token of this life; the next will live an hour. The endpoint has counted nothing yet.
async fn warm<P: Peer>(seconds: u64) -> (Endpoint, Arc<P>, Instant) {
    let endpoint = Endpoint::start();
    endpoint.lifetime(seconds);
    let peer = Arc::new(P::new(&endpoint));
    peer.header().await.unwrap();
    let minted = Instant::now();
    endpoint.lifetime(3600);
    endpoint.mark();
    (endpoint, peer, minted)
}

async fn sleep_until(from: Instant, seconds: f64) {
    tokio::time::sleep_until((from + Duration::from_secs_f64(seconds)).into()).await;
}

async fn herd<P: Peer>(peer: &Arc<P>, endpoint: &Endpoint, limit: Duration) -> Herd {
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let peer = peer.clone();
        callers.spawn(async move {
            let result = timeout_at((start + limit).into(), peer.header()).await;
            result.ok().map(|result| (Instant::now(), result.is_ok()))
        });
    }
    let mut outcome = Herd { requests: 0, last: Duration::ZERO, errors: 0, waiting: 0 };
    while let Some(caller) = callers.join_next().await {
        match caller.unwrap() {
            Some((end, good)) => {
                outcome.last = outcome.last.max(end - start);
                outcome.errors += usize::from(!good);
            }
            None => outcome.waiting += 1,
        }
    }
    // What runs in the background shall arrive too.
    if start.elapsed() < limit {
        sleep(Duration::from_millis(300)).await;
    }
    outcome.requests = endpoint.requests();
    outcome
}

/// When a call began, and when and how it ended.
#[derive(Default)]
struct Call {
    start: OnceLock<Instant>,
    end: OnceLock<(Instant, bool)>,
}

/// One call a `period`, each a task of its own, none waiting for another; until `length` after the first request reached the endpoint.
/// Gives the time of that request; of the last moment at which it was due, if there was none.
async fn load<P: Peer>(
    peer: &Arc<P>,
    endpoint: &Endpoint,
    minted: Instant,
    life: Life,
    period: Duration,
    length: Duration,
) -> (Arc<Vec<Call>>, Instant) {
    let due_by = minted + Duration::from_secs_f64(life.due_by);
    let latest = due_by + Duration::from_millis(500);
    let most = ((latest + length).saturating_duration_since(Instant::now()).as_micros() / period.as_micros()) as usize;
    let calls: Arc<Vec<Call>> = Arc::new(std::iter::repeat_with(Call::default).take(most + 100).collect());
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for index in 0..calls.len() {
        ticks.tick().await;
        let began = endpoint.first_request();
        let end = began.unwrap_or(latest) + length;
        if Instant::now() >= end {
            break;
        }
        let (peer, calls) = (peer.clone(), calls.clone());
        tokio::spawn(async move {
            let call = &calls[index];
            let _ = call.start.set(Instant::now());
            let result = peer.header().await;
            let _ = call.end.set((Instant::now(), result.is_ok()));
        });
    }
    (calls, endpoint.first_request().unwrap_or(due_by))
}

fn between(calls: &[Call], from: Instant, to: Instant) -> impl Iterator<Item = &Call> {
    calls.iter().filter(move |call| call.start.get().is_some_and(|start| (from..to).contains(start)))
}

const CALLERS: usize = 1000;
/// Of the endpoint, while crowds wait.
pub const LATENCY: Duration = Duration::from_millis(50);
