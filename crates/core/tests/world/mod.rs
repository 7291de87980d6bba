//! A world in which time and issuer do what the test says: flights run on the test's own single-threaded runtime.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "each test file uses its part; tests may fail loudly"
)]

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use unexpired_core::*;

/// What the issuer does from now on.
#[derive(Clone, Debug)]
pub enum Issuer {
    /// Tokens `t1`, `t2`, … of this life in seconds.
    Gives(f64),
    /// The same, but only once `Release` lets them through.
    GivesSlowly(f64),
    /// The last token again.
    Repeats(f64),
    Fails(ErrorKind),
    FailsRetryAfter(u64),
    NeverAnswers,
    Panics,
    /// A token without an expiry.
    GivesForever,
    /// A token that the issuer advises to refresh after so many seconds.
    GivesHint(f64, f64),
}

#[derive(Clone)]
pub struct Source(pub Arc<SourceState>);

pub struct SourceState {
    pub issuer: Mutex<Issuer>,
    pub requests: AtomicU64,
    pub tokens: AtomicU64,
    pub revision: AtomicU64,
    pub release: Notify,
    pub claims: Mutex<Vec<Option<String>>>,
    pub held: Mutex<Vec<Option<String>>>,
}

impl Source {
    pub fn new(issuer: Issuer) -> Self {
        Self(Arc::new(SourceState {
            issuer: Mutex::new(issuer),
            requests: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            revision: AtomicU64::new(0),
            release: Notify::new(),
            claims: Mutex::default(),
            held: Mutex::default(),
        }))
    }

    pub fn set(&self, issuer: Issuer) {
        *self.0.issuer.lock().unwrap() = issuer;
    }

    pub fn requests(&self) -> u64 {
        self.0.requests.load(Ordering::SeqCst)
    }

    fn token(&self, asked: Timestamp, life: f64, new: bool) -> Result<Token, MintError> {
        let n =
            if new { self.0.tokens.fetch_add(1, Ordering::SeqCst) + 1 } else { self.0.tokens.load(Ordering::SeqCst) };
        Token::builder(format!("t{n}"), asked).expires_in(Duration::from_secs_f64(life)).build()
    }
}

impl TokenSource for Source {
    fn name(&self) -> &str {
        "scripted"
    }

    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        self.0.requests.fetch_add(1, Ordering::SeqCst);
        self.0.claims.lock().unwrap().push(request.claims().map(str::to_owned));
        self.0.held.lock().unwrap().push(request.held_source().map(str::to_owned));
        let issuer = self.0.issuer.lock().unwrap().clone();
        if matches!(issuer, Issuer::Panics) {
            panic!("scripted panic");
        }
        Box::pin(async move {
            let asked = request.now();
            match issuer {
                Issuer::Gives(life) => self.token(asked, life, true),
                Issuer::GivesSlowly(life) => {
                    self.0.release.notified().await;
                    self.token(asked, life, true)
                }
                Issuer::Repeats(life) => self.token(asked, life, false),
                Issuer::Fails(kind) => Err(MintError::new(kind, "scripted failure").host("issuer.test")),
                Issuer::FailsRetryAfter(seconds) => {
                    Err(MintError::new(ErrorKind::Unavailable, "busy").retry_after(Some(Duration::from_secs(seconds))))
                }
                Issuer::GivesForever => {
                    let n = self.0.tokens.fetch_add(1, Ordering::SeqCst) + 1;
                    Token::builder(format!("t{n}"), asked).build()
                }
                Issuer::GivesHint(life, hint) => {
                    let n = self.0.tokens.fetch_add(1, Ordering::SeqCst) + 1;
                    let seconds = Duration::from_secs_f64;
                    Token::builder(format!("t{n}"), asked).expires_in(seconds(life)).refresh_in(seconds(hint)).build()
                }
                Issuer::NeverAnswers => std::future::pending().await,
                Issuer::Panics => unreachable!(),
            }
        })
    }

    fn revision(&self) -> u64 {
        self.0.revision.load(Ordering::SeqCst)
    }
}

pub struct World {
    pub clock: TestClock,
    pub source: Source,
    pub manager: TokenManager,
    pub events: Arc<Mutex<Vec<Event>>>,
    waiting: Vec<JoinHandle<Got>>,
    seen: HashMap<String, Token>,
}

/// What a caller got.
#[derive(Clone, Debug, PartialEq)]
pub enum Got {
    Token(String),
    /// A token whose life is shorter than asked.
    Short(String),
    Reissued(String),
    Error(ErrorKind),
}

impl World {
    pub fn new(issuer: Issuer, min_ttl: u64) -> Self {
        let clock = TestClock::new();
        let source = Source::new(issuer);
        let events: Arc<Mutex<Vec<Event>>> = Arc::default();
        let log = events.clone();
        let manager = TokenManager::builder("corp", source.clone())
            .clock(Arc::new(clock.clone()))
            .min_ttl(Duration::from_secs(min_ttl))
            .spawner(|flight| drop(tokio::spawn(flight)))
            .on_event(move |event| log.lock().unwrap().push(event.clone()))
            .build();
        Self { clock, source, manager, events, waiting: Vec::new(), seen: HashMap::new() }
    }

    /// Lets everything run that can run without time passing.
    pub async fn settle(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    }

    /// Time passes in small steps, so that timers fire in their order.
    pub async fn pass(&self, seconds: f64) {
        let mut left = Duration::from_secs_f64(seconds);
        while !left.is_zero() {
            let step = left.min(Duration::from_secs_f64((seconds / 50.0).max(0.05)));
            self.clock.advance(step);
            left -= step;
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
        self.settle().await;
    }

    fn ask(&self, options: TokenOptions) -> JoinHandle<Got> {
        let manager = self.manager.clone();
        tokio::spawn(async move { got(manager.token_with(options).await) })
    }

    /// A call: what it gets at once, or `None` if it waits. It goes on waiting; `waited` tells what it got.
    pub async fn call(&mut self, options: TokenOptions) -> Option<Got> {
        let call = self.ask(options);
        self.wait_for(call).await
    }

    /// A call without wishes, which takes the hit path where it can. It does not learn whether its token was reissued.
    pub async fn plain_call(&mut self) -> Option<Got> {
        let manager = self.manager.clone();
        let call = tokio::spawn(async move {
            match manager.token().await {
                Ok(token) => Got::Token(token.secret().to_owned()),
                Err(error) => Got::Error(error.kind()),
            }
        });
        self.wait_for(call).await
    }

    async fn wait_for(&mut self, call: JoinHandle<Got>) -> Option<Got> {
        self.settle().await;
        if call.is_finished() {
            let got = call.await.unwrap();
            self.note();
            return Some(got);
        }
        self.waiting.push(call);
        None
    }

    /// What those who waited have got by now; those who still wait go on.
    pub async fn waited(&mut self) -> Vec<Got> {
        self.settle().await;
        let mut results = Vec::new();
        for call in std::mem::take(&mut self.waiting) {
            if call.is_finished() {
                results.push(call.await.unwrap());
            } else {
                self.waiting.push(call);
            }
        }
        self.note();
        results
    }

    /// Those who wait give up.
    pub async fn drop_waiting(&mut self) {
        for call in std::mem::take(&mut self.waiting) {
            call.abort();
            let _ = call.await;
        }
    }

    fn note(&mut self) {
        if let Some(token) = self.manager.status().token {
            self.seen.insert(token.secret().to_owned(), token);
        }
    }

    pub fn token(&mut self, text: &str) -> Token {
        self.note();
        self.seen.get(text).unwrap_or_else(|| panic!("{text} was never held")).clone()
    }

    pub fn reject(&mut self, text: &str, host: &str) -> Rejection {
        let token = self.token(text);
        self.manager.reject(&token, host, &Challenge::Plain)
    }
}

pub fn got(result: Result<Answer, Error>) -> Got {
    match result {
        Ok(answer) if answer.short => Got::Short(answer.token.secret().to_owned()),
        Ok(answer) if answer.reissued => Got::Reissued(answer.token.secret().to_owned()),
        Ok(answer) => Got::Token(answer.token.secret().to_owned()),
        Err(error) => Got::Error(error.kind()),
    }
}
