//! Many tokens, one timer: on the test clock, through lifetimes, suspends, outages, and changes while it runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use unexpired_core::registry::{CredentialStatus, Registry, RegistryBuilder, Revision, What};
use unexpired_core::*;

/// What all issuers of a test share.
#[derive(Default)]
struct Watch {
    running: AtomicUsize,
    most_running: AtomicUsize,
    mints: AtomicU64,
}

/// One issuer, which does what it is told.
struct Issuer {
    clock: TestClock,
    watch: Arc<Watch>,
    life: Duration,
    /// How long an answer takes.
    takes: Mutex<Duration>,
    fails: Mutex<Option<ErrorKind>>,
    hangs: AtomicBool,
    requests: AtomicU64,
    revision: AtomicU64,
    /// How much longer the tokens are than they need be.
    padding: AtomicUsize,
}

impl Issuer {
    fn requests(&self) -> u64 {
        self.requests.load(Ordering::SeqCst)
    }

    fn fails(&self, kind: impl Into<Option<ErrorKind>>) {
        *self.fails.lock().unwrap() = kind.into();
    }

    fn takes(&self, time: Duration) {
        *self.takes.lock().unwrap() = time;
    }
}

#[derive(Clone)]
struct Source(Arc<Issuer>);

impl TokenSource for Source {
    fn name(&self) -> &str {
        "scripted"
    }

    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        struct Running<'a>(&'a Watch);
        impl Drop for Running<'_> {
            fn drop(&mut self) {
                self.0.running.fetch_sub(1, Ordering::SeqCst);
            }
        }
        let issuer = &*self.0;
        let n = issuer.requests.fetch_add(1, Ordering::SeqCst) + 1;
        Box::pin(async move {
            let watch = &*issuer.watch;
            watch.most_running.fetch_max(watch.running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let _running = Running(watch);
            let asked = request.now();
            if issuer.hangs.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            let takes = *issuer.takes.lock().unwrap();
            if !takes.is_zero() {
                issuer.clock.sleep(takes).await;
            }
            if let Some(kind) = *issuer.fails.lock().unwrap() {
                return Err(MintError::new(kind, "scripted failure").host("issuer.test"));
            }
            watch.mints.fetch_add(1, Ordering::SeqCst);
            Token::builder(format!("t{n}{}", "x".repeat(issuer.padding.load(Ordering::SeqCst))), asked)
                .expires_in(issuer.life)
                .build()
        })
    }

    fn revision(&self) -> u64 {
        self.0.revision.load(Ordering::SeqCst)
    }
}

struct World {
    clock: TestClock,
    watch: Arc<Watch>,
    registry: Registry,
    issuers: HashMap<String, Arc<Issuer>>,
}

const LIFE: Duration = Duration::from_secs(3600);

impl World {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(set: impl FnOnce(RegistryBuilder) -> RegistryBuilder) -> Self {
        let clock = TestClock::new();
        let builder = Registry::builder().clock(Arc::new(clock.clone())).spawner(|task| drop(tokio::spawn(task)));
        Self { clock, watch: Arc::default(), registry: set(builder).build(), issuers: HashMap::new() }
    }

    fn source(&mut self, name: &str) -> Source {
        let issuer = Arc::new(Issuer {
            clock: self.clock.clone(),
            watch: self.watch.clone(),
            life: LIFE,
            takes: Mutex::default(),
            fails: Mutex::default(),
            hangs: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            revision: AtomicU64::new(0),
            padding: AtomicUsize::new(0),
        });
        self.issuers.insert(name.to_owned(), issuer.clone());
        Source(issuer)
    }

    fn insert(&mut self, name: &str) -> TokenManager {
        let source = self.source(name);
        self.registry.insert(TokenManager::builder(name, source))
    }

    fn insert_many(&mut self, many: usize) {
        for n in 0..many {
            self.insert(&format!("n{n:05}"));
        }
    }

    fn issuer(&self, name: &str) -> &Issuer {
        &self.issuers[name]
    }

    fn status(&self, name: &str) -> CredentialStatus {
        self.registry.status(name).expect("it is there")
    }

    fn requests(&self) -> u64 {
        self.issuers.values().map(|issuer| issuer.requests()).sum()
    }

    /// Lets everything run that can run without time passing.
    async fn settle(&self) {
        let mut quiet = 0;
        while quiet < 30 {
            let before = self.watch.mints.load(Ordering::SeqCst);
            tokio::task::yield_now().await;
            quiet = if before == self.watch.mints.load(Ordering::SeqCst) { quiet + 1 } else { 0 };
        }
    }

    async fn pass(&self, time: Duration, step: Duration) {
        let mut left = time;
        while !left.is_zero() {
            let by = left.min(step);
            self.clock.advance(by);
            left -= by;
            self.settle().await;
        }
    }

    fn all_usable(&self) -> bool {
        self.registry.names().iter().all(|name| self.registry.cached(name).is_some())
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(flavor = "current_thread")]
async fn ten_thousand_through_ten_lifetimes_without_a_herd_and_a_night_of_suspend() {
    const MANY: usize = 10_000;
    let mut world = World::new();
    world.insert_many(MANY);
    world.settle().await;
    assert_eq!(world.requests(), MANY as u64);
    assert!(world.all_usable());
    // All were minted in the same instant: the first round is spread by the jitter of 90 s, and wider from then on.
    let mut most_in_ten_seconds = Vec::new();
    for round in 0..10 {
        let (mut most, mut before) = (0, world.requests());
        for step in 0..360 {
            world.clock.advance(seconds(10));
            world.settle().await;
            most = most.max(world.requests() - before);
            before = world.requests();
            if step % 90 == 0 {
                assert!(world.all_usable(), "round {round} step {step}");
            }
        }
        most_in_ten_seconds.push(most);
    }
    assert!(most_in_ten_seconds.iter().all(|most| *most < 1_400), "of 10,000 in ten seconds: {most_in_ten_seconds:?}");
    assert!(most_in_ten_seconds[9] < most_in_ten_seconds[0], "{most_in_ten_seconds:?}");
    for issuer in world.issuers.values() {
        assert!((13..=15).contains(&issuer.requests()), "{} requests in ten lifetimes", issuer.requests());
    }
    // One timer for all of them.
    assert_eq!(world.clock.sleepers(), 1);

    let before = world.requests();
    world.clock.suspend(seconds(8 * 3600));
    assert!(!world.all_usable());
    // The clock is looked at every 30 s.
    world.clock.advance(seconds(30));
    world.settle().await;
    assert_eq!(world.requests() - before, MANY as u64, "one round after the night");
    assert!(world.all_usable());
}

#[tokio::test(flavor = "current_thread")]
async fn so_many_mints_run_at_once_and_no_more() {
    for (set, most) in [(None, 64), (Some(5), 5), (Some(0), 1)] {
        let mut world = World::with(|builder| set.map_or(builder.clone(), |most| builder.max_mints(most)));
        world.insert_many(200);
        world.issuers.values().for_each(|issuer| issuer.takes(Duration::from_millis(200)));
        world.pass(seconds(60), Duration::from_millis(100)).await;
        assert_eq!(world.watch.most_running.load(Ordering::SeqCst), most);
        assert_eq!(world.requests(), 200, "each once");
        assert!(world.all_usable());
    }
}

/// The fault of a sequential worker: one endpoint that hangs, and everybody waits.
#[tokio::test(flavor = "current_thread")]
async fn endpoints_that_hang_delay_nobody() {
    let mut world = World::with(|builder| builder.max_mints(8));
    world.insert_many(300);
    let hanging = |name: &str| name < "n00100";
    world.settle().await;
    for (name, issuer) in &world.issuers {
        issuer.hangs.store(hanging(name), Ordering::SeqCst);
        issuer.takes(Duration::from_millis(200));
    }
    // From half of the life on everything is watched: nobody is late, although a hundred hang and only eight may run.
    world.pass(seconds(2600), seconds(30)).await;
    let mut latest = Duration::ZERO;
    for _ in 0..2 * 3600 {
        world.pass(Duration::from_secs(1), Duration::from_millis(200)).await;
        for name in world.registry.names().iter().filter(|name| !hanging(name)).step_by(10) {
            let token = world.registry.cached(name).expect("a usable token");
            latest = latest.max(world.clock.now().since(token.moments().refresh_at));
        }
    }
    assert!(latest < seconds(5), "{latest:?} late");
    // Eight that are quick, and as many slow ones as can pile up before the first of them ends after 20 s.
    let most = world.watch.most_running.load(Ordering::SeqCst);
    assert!((16..=8 + 80).contains(&most), "{most} at once");
    // Even when all are due in the same instant: 200 that are quick take 5 s in a row of eight, and those that hang are known by now.
    let before: HashMap<_, _> = world.issuers.iter().map(|(name, issuer)| (name.clone(), issuer.requests())).collect();
    world.clock.step_wall(3_500);
    // The clock is looked at every 30 s, and whenever something changes.
    world.insert("n99999");
    world.pass(seconds(7), Duration::from_millis(100)).await;
    let unasked = |name: &&String| world.issuers[*name].requests() == before[*name];
    assert_eq!(before.keys().filter(|name| !hanging(name)).filter(unasked).count(), 0, "asked within seven seconds");
}

#[tokio::test(flavor = "current_thread")]
async fn a_failing_source_backs_off_alone_and_its_status_says_so() {
    let mut world = World::new();
    world.insert_many(20);
    world.settle().await;
    let sick = world.issuer("n00007");
    sick.fails(ErrorKind::Unavailable);
    world.pass(LIFE, seconds(1)).await;
    let status = world.status("n00007");
    assert_eq!((status.phase, status.mints), (Phase::Expired, 1));
    assert!(status.failures_in_a_row > 10 && status.failures == u64::from(status.failures_in_a_row));
    let error = status.last_error.expect("an error");
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(status.next_refresh.is_some_and(|at| {
        at > world.clock.now().system_time() && at <= world.clock.now().system_time() + seconds(60)
    }));
    // 1 s doubling to 60 s, for a quarter of an hour.
    assert!((20..40).contains(&sick.requests()), "{} requests", sick.requests());
    for (name, issuer) in world.issuers.iter().filter(|(name, _)| *name != "n00007") {
        let status = world.status(name);
        assert_eq!((issuer.requests(), status.failures_in_a_row, status.phase), (2, 0, Phase::Fresh), "{name}");
        assert!(status.last_error.is_none());
    }
    sick.fails(None);
    world.pass(seconds(60), seconds(1)).await;
    let status = world.status("n00007");
    assert_eq!((status.phase, status.failures_in_a_row, status.last_error.is_some()), (Phase::Fresh, 0, false));
    assert_eq!(status.source.as_deref(), Some("scripted"));
    assert_eq!(status.expires_at, world.registry.cached("n00007").unwrap().expires_at());
}

#[tokio::test(flavor = "current_thread")]
async fn refusals_are_asked_less_and_less_often_and_a_replaced_credential_is_noticed() {
    for kind in [ErrorKind::Denied, ErrorKind::NotConfigured] {
        let mut world = World::new();
        world.insert("a");
        world.issuer("a").fails(kind);
        world.pass(seconds(24 * 3600), seconds(60)).await;
        let requests = world.issuer("a").requests();
        assert!((90..=106).contains(&requests), "{kind}: {requests} requests in a day");
        assert_eq!(world.status("a").last_error.map(|error| error.kind()), Some(kind));
        assert_eq!(u64::from(world.status("a").failures_in_a_row), requests);
        world.issuer("a").fails(None);
        world.issuer("a").revision.fetch_add(1, Ordering::SeqCst);
        world.pass(seconds(31), seconds(1)).await;
        assert!(world.all_usable(), "{kind}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn tokens_are_added_replaced_and_removed_while_it_runs_and_each_change_has_a_number() {
    let mut world = World::new();
    let mut revisions = world.registry.subscribe();
    assert!(world.registry.is_empty() && revisions.latest().is_none());
    let a = world.insert("a");
    let told = |revision: Option<Revision>| -> Vec<(u64, String, What)> {
        let changes = revision.map(|revision| {
            assert!(revision.complete);
            assert_eq!(revision.changes.last().map(|change| change.revision), Some(revision.number));
            revision.changes
        });
        changes.unwrap_or_default().into_iter().map(|c| (c.revision, c.name.to_string(), c.what)).collect()
    };
    assert_eq!(told(revisions.changed().await), [(1, "a".into(), What::Added)]);
    world.settle().await;
    assert_eq!(told(revisions.changed().await), [(2, "a".into(), What::Refreshed)]);
    assert_eq!(world.status("a").revision, 2);

    // Whoever is slow is told each name once.
    world.insert("b");
    world.settle().await;
    let second = world.insert("a");
    world.settle().await;
    assert_eq!(told(revisions.latest()), [(4, "b".into(), What::Refreshed), (6, "a".into(), What::Refreshed)]);
    assert_eq!(told(world.registry.subscribe_from(0).latest()).len(), 2);
    assert_eq!(world.registry.len(), 2);
    assert!(a.cached().is_some() && second.cached().is_some(), "whoever holds the old one may go on");

    // A rejection is told at once, and the next token without anybody asking.
    let token = second.token().await.unwrap();
    assert_eq!(second.reject(&token, "api.test", &Challenge::Plain), Rejection::Retired);
    assert_eq!(told(revisions.latest()), [(7, "a".into(), What::Rejected)]);
    assert!(world.registry.cached("a").is_none());
    world.settle().await;
    assert_eq!(told(revisions.latest()), [(8, "a".into(), What::Refreshed)]);

    assert!(world.registry.remove("a") && !world.registry.remove("a"));
    assert_eq!(told(revisions.latest()), [(9, "a".into(), What::Removed)]);
    assert_eq!(world.registry.token("a").await.unwrap_err().kind(), ErrorKind::NotConfigured);
    assert!(world.registry.status("a").is_none());
    // Nobody keeps it fresh any more, nor tells of it.
    let (requests, other) = (world.issuer("a").requests(), world.issuer("b").requests());
    world.pass(LIFE * 2, seconds(30)).await;
    assert_eq!(world.issuer("a").requests(), requests);
    assert!(world.issuer("b").requests() >= other + 2);
    assert_eq!(second.token().await.unwrap().secret(), "t3", "it still works for whoever holds it");
    assert!(told(revisions.latest()).iter().all(|(_, name, _)| name == "b"));

    // The follower learns when the registry is gone, and nothing is left behind.
    let clock = world.clock.clone();
    drop(world);
    assert!(revisions.changed().await.is_none());
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(clock.sleepers(), 0);
}

#[tokio::test(flavor = "current_thread")]
async fn a_token_that_is_removed_while_it_is_minted_is_told_of_no_more() {
    let mut world = World::with(|builder| builder.max_mints(1));
    world.insert("a");
    world.insert("b");
    for name in ["a", "b"] {
        world.issuer(name).takes(seconds(1));
    }
    world.settle().await;
    assert!(world.status("a").refreshing && world.status("b").waiting);
    assert_eq!(world.status("b").next_refresh, Some(world.clock.now().system_time()));
    let mut revisions = world.registry.subscribe();
    world.registry.remove("a");
    world.pass(seconds(5), Duration::from_millis(100)).await;
    let told = revisions.latest().unwrap().changes;
    assert_eq!(told.len(), 2);
    assert_eq!(
        (&*told[0].name, told[0].what, &*told[1].name, told[1].what),
        ("a", What::Removed, "b", What::Refreshed)
    );
}

#[tokio::test(flavor = "current_thread")]
async fn callers_are_not_held_back_by_what_the_registry_does() {
    let mut world = World::with(|builder| builder.max_mints(1));
    world.insert("slow");
    world.issuer("slow").hangs.store(true, Ordering::SeqCst);
    world.settle().await;
    world.insert("wanted");
    assert!(world.registry.token("wanted").await.is_ok());
    assert_eq!(world.issuer("wanted").requests(), 1);
    world.pass(seconds(3), seconds(1)).await;
    assert_eq!(world.issuer("wanted").requests(), 1, "there was nothing left to do");
}

#[tokio::test(flavor = "current_thread")]
async fn a_wall_clock_that_is_set_forward_is_noticed_by_all() {
    let mut world = World::new();
    world.insert_many(100);
    world.settle().await;
    // Ten minutes before they are due by the boot clock, and past it by the wall clock.
    world.pass(seconds(2100), seconds(30)).await;
    assert_eq!(world.requests(), 100);
    world.clock.step_wall(1_000);
    world.pass(seconds(30), seconds(30)).await;
    assert_eq!(world.requests(), 200);
    // Set back, it changes no wait.
    world.clock.step_wall(-5_000);
    world.pass(seconds(2500), seconds(30)).await;
    assert_eq!(world.requests(), 200);
    world.pass(seconds(300), seconds(30)).await;
    assert_eq!(world.requests(), 300);
}

#[tokio::test(flavor = "current_thread")]
async fn nothing_shows_a_secret() {
    let mut world = World::new();
    world.insert("a");
    world.insert("b");
    world.issuer("a").padding.store(40, Ordering::SeqCst);
    world.issuer("b").fails(ErrorKind::Denied);
    world.settle().await;
    let secret = world.registry.cached("a").unwrap().secret().to_owned();
    assert_eq!(secret.len(), 42);
    let mut revisions = world.registry.subscribe_from(0);
    let shown = format!("{:?} {:?} {:?}", world.registry, world.registry.statuses(), revisions.latest());
    assert!(!shown.contains(&secret), "{shown}");
    let shown: Vec<_> = world.registry.statuses().iter().map(|status| status.name.to_string()).collect();
    assert_eq!(shown, ["a", "b"]);
}

/// On the background thread and the system's clock: nothing is started before the first token, and a runtime that ends is replaced.
#[test]
fn a_runtime_that_is_shut_down_is_replaced_by_the_background_thread() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
    let registry = Registry::builder().runtime(runtime.handle().clone()).build();
    let events: Arc<AtomicU64> = Arc::default();
    let registry_events = {
        let events = events.clone();
        Registry::builder()
            .on_event(move |_| {
                events.fetch_add(1, Ordering::SeqCst);
            })
            .build()
    };
    let wait = |registry: &Registry, name: &str| {
        for _ in 0..500 {
            if registry.cached(name).is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{name} is not minted: {:?}", registry.status(name));
    };
    registry.insert(TokenManager::builder("a", Fixed));
    wait(&registry, "a");
    drop(runtime);
    registry.insert(TokenManager::builder("b", Fixed));
    wait(&registry, "b");
    registry_events.insert(TokenManager::builder("c", Fixed));
    wait(&registry_events, "c");
    assert!(events.load(Ordering::SeqCst) >= 1);
}

struct Fixed;

impl TokenSource for Fixed {
    fn name(&self) -> &str {
        "fixed"
    }
    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        Box::pin(async move { Token::builder("a-token", request.now()).expires_in(LIFE).build() })
    }
}
