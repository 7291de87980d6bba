//! Several managers, as in several processes, that share a store: one mint, one failure, one rejection for all of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use unexpired_core::*;
use world::{Got, Issuer, Source, got};

/// What processes on one machine have in common.
struct Machine {
    clock: TestClock,
    source: Source,
    store: Arc<MemoryStore>,
}

impl Machine {
    fn new(issuer: Issuer) -> Self {
        Self { clock: TestClock::new(), source: Source::new(issuer), store: Arc::new(MemoryStore::new()) }
    }

    fn stored(&self) -> StoredSource {
        StoredSource::new(self.source.clone(), self.store.clone(), ["scripted", "client"])
    }

    /// A process that has just been started.
    fn process(&self) -> TokenManager {
        self.process_with(self.stored())
    }

    fn process_with(&self, source: StoredSource) -> TokenManager {
        TokenManager::builder("corp", source)
            .clock(Arc::new(self.clock.clone()))
            .spawner(|flight| drop(tokio::spawn(flight)))
            .build()
    }

    async fn settle(&self) {
        for _ in 0..300 {
            tokio::task::yield_now().await;
        }
    }

    async fn pass(&self, seconds: f64) {
        for _ in 0..50 {
            self.clock.advance(Duration::from_secs_f64(seconds / 50.0));
            self.settle().await;
        }
    }

    async fn record(&self) -> TokenRecord {
        match self.store.load(&self.stored().key()).await.unwrap() {
            Some(Record::Token(record)) => *record,
            other => panic!("{other:?}"),
        }
    }

    /// What `unexpired reject` does.
    async fn reject(&self, token: &Token) -> Refusal {
        let mut guard = self.store.lock(&self.stored().key()).await.unwrap();
        let Some(Record::Token(mut record)) = guard.load().await.unwrap() else { panic!("no record") };
        let refusal = record.reject(token.digest(), self.clock.now());
        guard.commit(Record::Token(record)).await.unwrap();
        refusal
    }
}

async fn ask(process: &TokenManager) -> Got {
    got(process.token_with(TokenOptions::new()).await)
}

fn token(n: u64) -> Got {
    Got::Token(format!("t{n}"))
}

#[tokio::test(flavor = "current_thread")]
async fn two_hundred_processes_at_once_cost_one_mint() {
    let machine = Machine::new(Issuer::GivesSlowly(1000.0));
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let process = machine.process();
            tokio::spawn(async move { ask(&process).await })
        })
        .collect();
    machine.settle().await;
    machine.source.0.release.notify_one();
    for call in calls {
        assert_eq!(call.await.unwrap(), token(1));
    }
    assert_eq!(machine.source.requests(), 1);
}

#[tokio::test(flavor = "current_thread")]
async fn moments_are_shared_and_one_process_refreshes_for_all() {
    let machine = Machine::new(Issuer::Gives(1000.0));
    let (one, two) = (machine.process(), machine.process());
    assert_eq!((ask(&one).await, ask(&two).await), (token(1), token(1)));
    let moments = |process: &TokenManager| *process.cached().unwrap().moments();
    assert_eq!(moments(&one), moments(&two));
    machine.pass(780.0).await;
    // Both are due. One mints, the other finds what it minted.
    assert_eq!((ask(&one).await, ask(&two).await), (token(1), token(1)));
    machine.settle().await;
    assert_eq!((ask(&one).await, ask(&two).await), (token(2), token(2)));
    assert_eq!(machine.source.requests(), 2);
    // A process that starts while the token is due has it at once, and asks nobody.
    machine.pass(780.0).await;
    let late = machine.process();
    machine.source.set(Issuer::NeverAnswers);
    assert_eq!(ask(&late).await, token(2));
    assert_eq!(machine.source.requests(), 2);
}

#[tokio::test(flavor = "current_thread")]
async fn a_failing_source_is_asked_as_rarely_as_by_one_process() {
    let machine = Machine::new(Issuer::Fails(ErrorKind::Denied));
    for _ in 0..50 {
        assert_eq!(ask(&machine.process()).await, Got::Error(ErrorKind::Denied));
    }
    assert_eq!(machine.source.requests(), 1, "remembered for 5 s");
    machine.pass(5.1).await;
    for _ in 0..50 {
        assert_eq!(ask(&machine.process()).await, Got::Error(ErrorKind::Denied));
    }
    assert_eq!(machine.source.requests(), 2);
    machine.pass(9.0).await;
    ask(&machine.process()).await;
    assert_eq!(machine.source.requests(), 2, "then for 10 s");
    // A replaced credential clears it at once.
    machine.source.set(Issuer::Gives(1000.0));
    machine.source.0.revision.fetch_add(1, Ordering::SeqCst);
    assert_eq!(ask(&machine.process()).await, token(1));
}

#[tokio::test(flavor = "current_thread")]
async fn the_remembered_error_tells_when_the_source_is_asked_again() {
    let machine = Machine::new(Issuer::FailsRetryAfter(100));
    let first = machine.process().token().await.unwrap_err();
    assert_eq!(first.kind(), ErrorKind::Unavailable);
    machine.pass(60.0).await;
    let later = machine.process().token().await.unwrap_err();
    let wait = later.cause().wait().unwrap();
    assert!((39..=40).contains(&wait.as_secs()), "{wait:?}");
    assert_eq!(machine.source.requests(), 1);
}

#[tokio::test(flavor = "current_thread")]
async fn an_outage_while_the_token_lives_is_seen_by_no_process() {
    let machine = Machine::new(Issuer::Gives(1000.0));
    ask(&machine.process()).await;
    machine.pass(760.0).await;
    machine.source.set(Issuer::Fails(ErrorKind::Unavailable));
    for _ in 0..22 {
        machine.pass(10.0).await;
        // One that lives on and refreshes, and one that has just been started.
        let process = machine.process();
        assert_eq!(ask(&process).await, token(1));
        assert_eq!(ask(&process).await, token(1));
        machine.settle().await;
    }
    let requests = machine.source.requests() - 1;
    assert!((5..=14).contains(&requests), "{requests} requests in 220 s: waits double to a minute, over all processes");
}

#[tokio::test(flavor = "current_thread")]
async fn a_rejection_reaches_every_process_and_costs_one_mint() {
    let machine = Machine::new(Issuer::Gives(1000.0));
    let processes: Vec<_> = (0..20).map(|_| machine.process()).collect();
    for process in &processes {
        assert_eq!(ask(process).await, token(1));
    }
    for process in &processes {
        let first = process.cached().unwrap();
        let second = process.replacement(&first, "api.test", &Challenge::Plain).await;
        assert_eq!(second.map(|token| token.secret().to_owned()).unwrap_or_default(), "t2");
    }
    assert_eq!(machine.source.requests(), 2);
    assert_eq!(ask(&machine.process()).await, token(2));
}

#[tokio::test(flavor = "current_thread")]
async fn a_rejection_that_a_script_reports() {
    let machine = Machine::new(Issuer::Gives(1000.0));
    let process = machine.process();
    ask(&process).await;
    let first = process.cached().unwrap();
    assert_eq!(machine.reject(&first).await, Refusal::Retired);
    assert_eq!(machine.reject(&first).await, Refusal::Stale, "a hundred reports cost one mint");
    let next = machine.process();
    assert_eq!(ask(&next).await, token(2));
    assert_eq!(machine.reject(&first).await, Refusal::Stale, "a late report does nothing");
    // The replacement is refused at once: then the token is not the problem.
    let second = next.cached().unwrap();
    assert!(matches!(machine.reject(&second).await, Refusal::Blocked(_)));
    assert_eq!(ask(&machine.process()).await, token(2));
    machine.pass(61.0).await;
    assert_eq!(machine.reject(&second).await, Refusal::Retired);
    assert_eq!(ask(&machine.process()).await, token(3));
    assert_eq!(machine.source.requests(), 3);
}

#[tokio::test(flavor = "current_thread")]
async fn an_issuer_that_repeats_the_rejected_token() {
    let machine = Machine::new(Issuer::Gives(1000.0));
    let process = machine.process();
    ask(&process).await;
    machine.source.set(Issuer::Repeats(1000.0));
    assert_eq!(machine.reject(&process.cached().unwrap()).await, Refusal::Retired);
    assert_eq!(ask(&machine.process()).await, token(1));
    assert_eq!(ask(&machine.process()).await, token(1));
    assert_eq!(machine.source.requests(), 2, "it is current again");
}

#[tokio::test(flavor = "current_thread")]
async fn min_ttl_across_processes() {
    let machine = Machine::new(Issuer::Gives(1000.0));
    ask(&machine.process()).await;
    machine.pass(400.0).await;
    let long = TokenOptions::new().min_ttl(Duration::from_secs(700));
    assert_eq!(got(machine.process().token_with(long).await), token(2));
    let too_long = TokenOptions::new().min_ttl(Duration::from_secs(5000));
    for _ in 0..20 {
        assert!(matches!(got(machine.process().token_with(too_long).await), Got::Short(_)));
    }
    assert_eq!(machine.source.requests(), 3, "the first who asks for too much, and nobody after it");
    machine.pass(200.0).await;
    machine.process().token_with(too_long).await.unwrap();
    assert_eq!(machine.source.requests(), 3);
    machine.pass(60.0).await;
    machine.process().token_with(too_long).await.unwrap();
    assert_eq!(machine.source.requests(), 4, "a quarter of the life later");
}

#[tokio::test(flavor = "current_thread")]
async fn claims_are_never_answered_by_a_token_without_them() {
    let machine = Machine::new(Issuer::Gives(1000.0));
    let (one, two) = (machine.process(), machine.process());
    ask(&one).await;
    ask(&two).await;
    let claims = Challenge::Claims(Secret::new("{\"access_token\":{}}"));
    for process in [&one, &two] {
        let first = process.cached().unwrap();
        assert_eq!(process.replacement(&first, "graph", &claims).await.unwrap().secret(), "t2");
    }
    assert_eq!(machine.source.requests(), 2, "the same claims of the same token are one mint");
    assert_eq!(machine.record().await.claims, Some(Digest::of("{\"access_token\":{}}")));
}

#[tokio::test(flavor = "current_thread")]
async fn a_fresh_one_is_minted_once_for_all_who_ask_at_the_same_time() {
    let machine = Machine::new(Issuer::Gives(1000.0));
    ask(&machine.process()).await;
    machine.pass(10.0).await;
    let asked = machine.clock.now();
    machine.pass(1.0).await;
    for _ in 0..25 {
        assert_eq!(ask(&machine.process_with(machine.stored().newer_than(asked))).await, token(2));
    }
    assert_eq!(machine.source.requests(), 2);
}

#[tokio::test(flavor = "current_thread")]
async fn another_identity_is_another_token() {
    let machine = Machine::new(Issuer::Gives(1000.0));
    ask(&machine.process()).await;
    let other = StoredSource::new(machine.source.clone(), machine.store.clone(), ["scripted", "another client"]);
    assert_eq!(ask(&machine.process_with(other)).await, token(2));
    assert_eq!(ask(&machine.process()).await, token(1));
}

#[tokio::test(flavor = "current_thread")]
async fn a_source_that_never_answers_is_remembered_for_the_next_process() {
    let machine = Machine::new(Issuer::NeverAnswers);
    let process = machine.process();
    let call = tokio::spawn(async move { ask(&process).await });
    machine.pass(21.0).await;
    assert_eq!(call.await.unwrap(), Got::Error(ErrorKind::TimedOut));
    assert_eq!(machine.record().await.failure.map(|failure| failure.streak), Some(1));
}

/// A store that cannot be used.
struct Broken;

impl TokenStore for Broken {
    fn load(&self, _: &StoreKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        Box::pin(std::future::ready(Err(StoreError::new("the disk is gone"))))
    }
    fn lock(&self, _: &StoreKey) -> BoxFuture<'_, Result<Box<dyn StoreGuard>, StoreError>> {
        Box::pin(std::future::ready(Err(StoreError::new("the disk is gone"))))
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_broken_store_costs_nobody_a_token() {
    let machine = Machine::new(Issuer::Gives(1000.0));
    let source = StoredSource::new(machine.source.clone(), Arc::new(Broken), ["scripted"]);
    assert_eq!(ask(&machine.process_with(source)).await, token(1));
}
