//! Rotating refresh tokens: none is lost, none is used twice.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod support;

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Changing, Faulty, Idp, Reply, Request, Wrong, json, mint, mint_at, secret, token};
use unexpired_core::{
    BoxFuture, ErrorKind, MemoryStore, MintError, MintRequest, Record, SecretSource, StoreError, StoreGuard, StoreKey,
    TestClock, TokenSource, TokenStore,
};
use unexpired_oauth::{RefreshToken, Server};

/// A server that rotates at every use, and ends the grant when a used token is presented.
#[derive(Clone)]
struct Rotating(Arc<Mutex<Grants>>);

struct Grants {
    /// `rt-1`, `rt-2`, …: the one that counts.
    current: u32,
    revoked: bool,
    /// What happens to the next requests, before and after redemption.
    faults: VecDeque<Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// The request never reaches the server proper.
    LostRequest,
    /// The server redeems, and its answer is lost.
    LostAnswer,
    /// The server redeems, and its answer is lost half-way.
    CutAnswer,
    /// The server redeems, and its answer is complete but broken.
    BrokenJson,
    /// The server redeems, and its answer has an access token that cannot stand in a header.
    BadAccessToken,
    /// A gateway answers, and has not passed the request on.
    Busy,
    /// The server itself has had enough.
    Throttled,
    /// The server itself is in trouble.
    ServerError,
    /// A gateway has passed the request on, to a server that is down.
    BadGateway,
    /// A gateway has passed the request on, the server redeems, and the gateway does not wait for the answer.
    GatewayTimeout,
    /// The same, as Envoy puts it.
    Envoy,
    /// The server redeems and gives no new refresh token.
    Keeps,
    /// The server redeems, and gives IBM's placeholder.
    NotSupported,
}

impl Rotating {
    fn new(faults: &[Fault]) -> Self {
        Self(Arc::new(Mutex::new(Grants { current: 1, revoked: false, faults: faults.iter().copied().collect() })))
    }

    async fn start(&self) -> Idp {
        let server = self.clone();
        Idp::start(move |request| server.answer(request)).await
    }

    fn answer(&self, request: &Request) -> Reply {
        let mut grants = self.0.lock().unwrap();
        let fault = grants.faults.pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::LostRequest => return Reply::Break,
            Fault::Busy => return json(503, "<html>busy</html>"),
            Fault::Throttled => return json(429, ""),
            Fault::ServerError => return json(500, r#"{"error":"server_error"}"#),
            Fault::BadGateway => return json(502, "<html>bad gateway</html>"),
            _ => {}
        }
        let presented = request.form("refresh_token").unwrap();
        if grants.revoked || presented != format!("rt-{}", grants.current) {
            grants.revoked = true;
            return json(400, r#"{"error":"invalid_grant","error_description":"refresh token already used"}"#);
        }
        if fault == Fault::Keeps {
            return token("at-kept");
        }
        if fault == Fault::NotSupported {
            return json(200, r#"{"access_token":"at-ibm","expires_in":60,"refresh_token":"not_supported"}"#);
        }
        grants.current += 1;
        let number = grants.current;
        let body = format!(
            r#"{{"access_token":"at-{number}","token_type":"Bearer","expires_in":600,"refresh_token":"rt-{number}"}}"#
        );
        match fault {
            Fault::LostAnswer => Reply::Break,
            Fault::CutAnswer => Reply::Cut(body),
            Fault::BrokenJson => json(200, body.trim_end_matches('}')),
            Fault::BadAccessToken => json(200, body.replace("at-", "at ")),
            Fault::GatewayTimeout => json(504, r#"{"message":"Endpoint request timed out"}"#),
            Fault::Envoy => json(503, "upstream connect error or disconnect/reset before headers"),
            _ => json(200, body),
        }
    }

    fn is_revoked(&self) -> bool {
        self.0.lock().unwrap().revoked
    }
}

fn person(server: Server, store: impl TokenStore) -> RefreshToken {
    with_seed(server, store, secret("rt-1"))
}

fn with_seed(server: Server, store: impl TokenStore, seed: Arc<dyn SecretSource>) -> RefreshToken {
    RefreshToken::builder(server, "client-123").refresh_token(seed).store(Arc::new(store)).build().unwrap()
}

fn denied(error: &MintError) {
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("sign in again"), "{error}");
}

#[tokio::test]
async fn each_new_refresh_token_takes_the_place_of_the_last() {
    let idp = Rotating::new(&[]).start().await;
    let source = person(idp.server(), MemoryStore::new());
    for number in 2..6 {
        assert_eq!(mint(&source).await.unwrap().secret(), format!("at-{number}"));
    }
    assert_eq!(idp.presented(), ["rt-1", "rt-2", "rt-3", "rt-4"]);
}

#[tokio::test]
async fn without_a_new_one_the_old_one_stays() {
    for fault in [Fault::Keeps, Fault::NotSupported] {
        let idp = Rotating::new(&[Fault::None, fault, fault]).start().await;
        let source = person(idp.server(), MemoryStore::new());
        for _ in 0..4 {
            mint(&source).await.unwrap();
        }
        assert_eq!(idp.presented(), ["rt-1", "rt-2", "rt-2", "rt-2"], "{fault:?}");
    }
}

#[tokio::test]
async fn the_new_refresh_token_is_stored_before_the_access_token_is_handed_out() {
    let server = Rotating::new(&[]);
    let idp = server.start().await;
    let store = Faulty::new(MemoryStore::new());
    store.on_commit(|record| match record {
        Record::RefreshToken(record) if record.token.expose() == "rt-2" => Wrong::Hangs,
        _ => Wrong::Nothing,
    });
    let source = person(idp.server(), store.clone());
    let handed_out = tokio::select! {
        _ = mint(&source) => true,
        () = store.hung.notified() => false,
    };
    assert!(!handed_out, "the disk was not done");
    assert_eq!(store.written(), [("rt-1".to_owned(), 1)], "that it is about to be sent was noted first");
    // The mint was dropped in the middle of writing. The token that arrived is not lost.
    store.on_commit(|_| Wrong::Nothing);
    assert_eq!(mint(&source).await.unwrap().secret(), "at-3");
    assert_eq!(idp.presented(), ["rt-1", "rt-2"]);
    assert!(!server.is_revoked());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fifty_sources_with_one_store_redeem_one_after_another() {
    let server = Rotating::new(&[]);
    let idp = server.start().await;
    let store = MemoryStore::new();
    let tasks: Vec<_> = (0..50)
        .map(|number| {
            // Also when they ask for different things.
            let source = RefreshToken::builder(idp.server(), "client-123")
                .refresh_token(secret("rt-1"))
                .store(Arc::new(store.clone()))
                .scope(if number % 2 == 0 { "read" } else { "write" })
                .build()
                .unwrap();
            tokio::spawn(async move { mint(&source).await.unwrap().secret().to_owned() })
        })
        .collect();
    let mut tokens = Vec::new();
    for task in tasks {
        tokens.push(task.await.unwrap());
    }
    tokens.sort_unstable();
    tokens.dedup();
    assert_eq!(tokens.len(), 50);
    let expected: Vec<String> = (1..=50).map(|number| format!("rt-{number}")).collect();
    assert_eq!(idp.presented(), expected);
    assert!(!server.is_revoked());
}

#[tokio::test]
async fn two_people_with_one_client_have_a_record_each() {
    let idp = Idp::start(|request| {
        let presented = request.form("refresh_token").unwrap();
        json(200, format!(r#"{{"access_token":"at","expires_in":60,"refresh_token":"{presented}+"}}"#))
    })
    .await;
    let store = MemoryStore::new();
    let (ann, bob) =
        (with_seed(idp.server(), store.clone(), secret("ann")), with_seed(idp.server(), store, secret("bob")));
    for source in [&ann, &bob, &ann, &bob] {
        mint(source).await.unwrap();
    }
    assert_eq!(idp.presented(), ["ann", "bob", "ann+", "bob+"]);
}

#[tokio::test]
async fn a_full_disk_costs_no_token() {
    let server = Rotating::new(&[]);
    let idp = server.start().await;
    let store = Faulty::new(MemoryStore::new());
    let source = person(idp.server(), store.clone());
    mint(&source).await.unwrap();

    store.on_commit(|_| Wrong::Fails);
    assert_eq!(mint(&source).await.unwrap().secret(), "at-3", "handed out all the same");
    assert_eq!(mint(&source).await.unwrap().secret(), "at-4", "from memory");
    *store.load_fails.lock().unwrap() = true;
    assert_eq!(mint(&source).await.unwrap().secret(), "at-5", "also when it cannot be read");
    *store.load_fails.lock().unwrap() = false;
    store.on_commit(|_| Wrong::Nothing);
    assert_eq!(mint(&source).await.unwrap().secret(), "at-6");
    assert_eq!(store.written().pop().unwrap(), ("rt-6".to_owned(), 0), "written as soon as there is room");

    let other_process = person(idp.server(), store);
    assert_eq!(mint(&other_process).await.unwrap().secret(), "at-7");
    assert!(!server.is_revoked());
}

#[tokio::test]
async fn what_another_process_wrote_meanwhile_counts_more_than_what_could_not_be_written() {
    let idp = Idp::start(|request| {
        let presented = request.form("refresh_token").unwrap();
        json(200, format!(r#"{{"access_token":"at","expires_in":60,"refresh_token":"{presented}+"}}"#))
    })
    .await;
    let disk = MemoryStore::new();
    let failing = Faulty::new(disk.clone());
    failing.on_commit(|_| Wrong::Fails);
    let here = person(idp.server(), failing.clone());
    mint(&here).await.unwrap();
    let there = person(idp.server(), disk);
    mint(&there).await.unwrap();
    mint(&there).await.unwrap();
    failing.on_commit(|_| Wrong::Nothing);
    mint(&here).await.unwrap();
    assert_eq!(idp.presented(), ["rt-1", "rt-1", "rt-1+", "rt-1++"]);
}

#[tokio::test]
async fn without_the_record_nothing_is_sent() {
    let idp = Rotating::new(&[]).start().await;
    let store = Faulty::new(MemoryStore::new());
    mint(&person(idp.server(), store.clone())).await.unwrap();
    *store.load_fails.lock().unwrap() = true;
    // The configured token has been used: sending it would end the grant.
    let error = mint(&person(idp.server(), store)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains("the disk cannot be read"), "{error}");
    assert_eq!(idp.presented(), ["rt-1"]);
}

#[tokio::test]
async fn a_process_that_dies_between_the_answer_and_the_disk() {
    // A server that forgives: the answer to a repeated request is the same.
    let forgiving =
        Idp::start(|_| json(200, r#"{"access_token":"at-2","expires_in":60,"refresh_token":"rt-2"}"#)).await;
    // One that does not.
    let server = Rotating::new(&[]);
    let strict = server.start().await;
    for (idp, forgives) in [(forgiving, true), (strict, false)] {
        let disk = MemoryStore::new();
        let dying = Faulty::new(disk.clone());
        dying.on_commit(|record| match record {
            Record::RefreshToken(record) if record.token.expose() == "rt-2" => Wrong::Hangs,
            _ => Wrong::Nothing,
        });
        let first_life = person(idp.server(), dying.clone());
        tokio::select! {
            _ = mint(&first_life) => panic!("handed out before it was stored"),
            () = dying.hung.notified() => {}
        }
        drop(first_life);

        let second_life = person(idp.server(), disk.clone());
        let outcome = mint(&second_life).await;
        assert_eq!(idp.presented(), ["rt-1", "rt-1"], "tried once more");
        if forgives {
            assert_eq!(outcome.unwrap().secret(), "at-2");
        } else {
            denied(&outcome.unwrap_err());
            denied(&mint(&second_life).await.unwrap_err());
            denied(&mint(&person(idp.server(), disk)).await.unwrap_err());
            assert_eq!(idp.presented().len(), 2, "never a third time, by any process");
        }
    }
}

#[tokio::test]
async fn lost_answers() {
    use Fault::{
        BadAccessToken, BadGateway, BrokenJson, Busy, CutAnswer, Envoy, GatewayTimeout, Keeps, LostAnswer, LostRequest,
        None, ServerError, Throttled,
    };
    const TRY_LATER: Option<&str> = Option::None;
    /// Faults, then what each mint gives ("" for "sign in again"), then what was presented.
    type Row = (&'static [Fault], &'static [Option<&'static str>], &'static [&'static str]);
    let rows: &[Row] = &[
        // The request was lost: the second attempt heals it, and the count begins anew.
        (&[LostRequest], &[TRY_LATER, Some("at-2"), Some("at-3")], &["rt-1", "rt-1", "rt-2"]),
        (
            &[LostRequest, None, LostRequest],
            &[TRY_LATER, Some("at-2"), TRY_LATER, Some("at-3")],
            &["rt-1", "rt-1", "rt-2", "rt-2"],
        ),
        // Twice: nobody knows, so never again.
        (&[LostRequest, LostRequest], &[TRY_LATER, Some(""), Some(""), Some("")], &["rt-1", "rt-1"]),
        // The answer was lost, and the server does not forgive.
        (&[LostAnswer], &[TRY_LATER, Some(""), Some("")], &["rt-1", "rt-1"]),
        (&[CutAnswer], &[TRY_LATER, Some(""), Some("")], &["rt-1", "rt-1"]),
        (&[BrokenJson], &[TRY_LATER, Some(""), Some("")], &["rt-1", "rt-1"]),
        // An answer that says nothing was redeemed uses nothing up.
        (
            &[Busy, Busy, Busy, Busy],
            &[TRY_LATER, TRY_LATER, TRY_LATER, TRY_LATER, Some("at-2")],
            &["rt-1", "rt-1", "rt-1", "rt-1", "rt-1"],
        ),
        (&[LostRequest, Busy], &[TRY_LATER, TRY_LATER, Some("at-2")], &["rt-1", "rt-1", "rt-1"]),
        (
            &[Throttled, ServerError, Throttled, ServerError],
            &[TRY_LATER, TRY_LATER, TRY_LATER, TRY_LATER, Some("at-2")],
            &["rt-1", "rt-1", "rt-1", "rt-1", "rt-1"],
        ),
        // A gateway that gave up waiting: the server may have redeemed.
        (&[BadGateway], &[TRY_LATER, Some("at-2"), Some("at-3")], &["rt-1", "rt-1", "rt-2"]),
        (&[BadGateway, BadGateway], &[TRY_LATER, Some(""), Some("")], &["rt-1", "rt-1"]),
        (&[GatewayTimeout], &[TRY_LATER, Some(""), Some("")], &["rt-1", "rt-1"]),
        (&[Envoy], &[TRY_LATER, Some(""), Some("")], &["rt-1", "rt-1"]),
        (&[BadGateway, LostRequest], &[TRY_LATER, Some(""), Some("")], &["rt-1", "rt-1"]),
        // A server that is known to let the token stand: nothing is lost with an answer, however many are.
        (
            &[Keeps, LostRequest, LostRequest, LostRequest],
            &[Some("at-kept"), TRY_LATER, TRY_LATER, TRY_LATER, Some("at-2")],
            &["rt-1", "rt-1", "rt-1", "rt-1", "rt-1"],
        ),
        (
            &[Keeps, BadGateway, LostRequest, BadGateway, Keeps],
            &[Some("at-kept"), TRY_LATER, TRY_LATER, TRY_LATER, Some("at-kept")],
            &["rt-1", "rt-1", "rt-1", "rt-1", "rt-1"],
        ),
        // Until it rotates after all.
        (
            &[Keeps, None, LostRequest, LostRequest],
            &[Some("at-kept"), Some("at-2"), TRY_LATER, Some(""), Some("")],
            &["rt-1", "rt-1", "rt-2", "rt-2"],
        ),
        // The access token is no use, but the refresh token beside it is.
        (&[BadAccessToken], &[TRY_LATER, Some("at-3")], &["rt-1", "rt-2"]),
    ];
    for (faults, outcomes, presented) in rows {
        let idp = Rotating::new(faults).start().await;
        let store = MemoryStore::new();
        for (at, expected) in outcomes.iter().enumerate() {
            // A process of its own each time: what counts is in the store.
            let outcome = mint(&person(idp.server(), store.clone())).await;
            match expected {
                Some("") => denied(&outcome.unwrap_err()),
                Some(token) => assert_eq!(outcome.unwrap().secret(), *token, "{faults:?}, mint {at}"),
                Option::None => {
                    let error = outcome.unwrap_err();
                    assert!(error.kind().is_transient(), "{faults:?}, mint {at}: {error}");
                }
            }
        }
        assert_eq!(idp.presented(), *presented, "{faults:?}");
    }
}

#[tokio::test]
async fn the_error_tells_what_became_of_the_answer() {
    let idp = Rotating::new(&[Fault::LostRequest, Fault::LostRequest]).start().await;
    let source = person(idp.server(), MemoryStore::new());
    mint(&source).await.unwrap_err();
    let error = mint(&source).await.unwrap_err();
    assert!(error.to_string().contains("was lost (the connection broke before the answer was complete)"), "{error}");

    // One attempt was made, and for another there is no time.
    let idp = Rotating::new(&[Fault::LostRequest]).start().await;
    let source = person(idp.server(), MemoryStore::new());
    mint(&source).await.unwrap_err();
    let hurried = MintRequest::standalone().limited_to(Duration::from_secs(3));
    let error = source.mint(hurried).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("the server has not answered"), "{error}");
    assert_eq!(idp.presented(), ["rt-1"]);
}

#[tokio::test]
async fn after_a_gateway_gave_up_the_other_attempt_waits_a_moment() {
    for (faults, wait) in [
        (&[Fault::BadGateway][..], Some(10)),
        (&[Fault::GatewayTimeout], Some(10)),
        // Who waits for the answer of a server that may forgive, waits too long.
        (&[Fault::LostAnswer], None),
        (&[Fault::Busy], None),
        (&[Fault::Keeps, Fault::BadGateway], None),
    ] {
        let idp = Rotating::new(faults).start().await;
        let source = person(idp.server(), MemoryStore::new());
        for _ in 1..faults.len() {
            mint(&source).await.unwrap();
        }
        let error = mint(&source).await.unwrap_err();
        assert_eq!(error.wait(), wait.map(Duration::from_secs), "{faults:?}: {error}");
    }
}

#[tokio::test]
async fn at_a_server_that_does_not_rotate_the_disk_is_left_alone() {
    let idp = Rotating::new(&[Fault::Keeps, Fault::Keeps, Fault::LostRequest, Fault::Keeps]).start().await;
    let store = Faulty::new(MemoryStore::new());
    let source = person(idp.server(), store.clone());
    for _ in 0..2 {
        mint(&source).await.unwrap();
    }
    mint(&source).await.unwrap_err();
    mint(&source).await.unwrap();
    assert_eq!(store.written(), [("rt-1".to_owned(), 1), ("rt-1".to_owned(), 0)], "the first time, and then no more");
    mint(&source).await.unwrap();
    assert_eq!(store.written()[2..], [("rt-2".to_owned(), 0)]);
}

#[tokio::test]
async fn what_could_not_be_written_is_written_though_the_server_lets_the_token_stand() {
    let idp = Rotating::new(&[Fault::None, Fault::Keeps, Fault::Keeps, Fault::Keeps]).start().await;
    let store = Faulty::new(MemoryStore::new());
    let source = person(idp.server(), store.clone());
    store.on_commit(|_| Wrong::Fails);
    for _ in 0..2 {
        mint(&source).await.unwrap();
    }
    assert_eq!(store.written(), []);
    store.on_commit(|_| Wrong::Nothing);
    mint(&source).await.unwrap();
    assert_eq!(store.written().pop().unwrap(), ("rt-2".to_owned(), 0));
    mint(&person(idp.server(), store)).await.unwrap();
    assert_eq!(idp.presented(), ["rt-1", "rt-2", "rt-2", "rt-2"]);
}

#[tokio::test]
async fn a_lost_answer_is_written_down() {
    let idp = Rotating::new(&[Fault::LostRequest]).start().await;
    let store = Faulty::new(MemoryStore::new());
    let source = person(idp.server(), store.clone());
    mint(&source).await.unwrap_err();
    assert_eq!(store.written(), [("rt-1".to_owned(), 1)]);
    mint(&source).await.unwrap();
    let rest = [("rt-1".to_owned(), 2), ("rt-2".to_owned(), 0)];
    assert_eq!(store.written()[1..], rest);
}

#[tokio::test]
async fn what_never_left_is_not_counted() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::token_url(&format!("http://127.0.0.1:{port}/token")).unwrap();
    let store = Faulty::new(MemoryStore::new());
    let source = person(server, store.clone());
    for _ in 0..5 {
        assert_eq!(mint(&source).await.unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(store.written().pop().unwrap(), ("rt-1".to_owned(), 0));
    }
}

#[tokio::test]
async fn who_signs_in_again_starts_anew() {
    let idp = Idp::start(|request| match request.form("refresh_token").unwrap().as_str() {
        "rt-1" => json(400, r#"{"error":"invalid_grant"}"#),
        presented => json(200, format!(r#"{{"access_token":"at","expires_in":60,"refresh_token":"{presented}+"}}"#)),
    })
    .await;
    let seed = Changing::new("rt-1");
    let source = with_seed(idp.server(), MemoryStore::new(), Arc::new(seed.clone()));
    denied(&mint(&source).await.unwrap_err());
    let before = source.revision();
    seed.set("new");
    assert_ne!(source.revision(), before, "the engine forgets the refusal");
    for _ in 0..2 {
        mint(&source).await.unwrap();
    }
    seed.set("newer");
    mint(&source).await.unwrap();
    assert_eq!(idp.presented(), ["rt-1", "new", "new+", "newer"]);
}

/// A store that tells what it holds.
#[derive(Clone, Default)]
struct Open(MemoryStore, Arc<Mutex<HashSet<StoreKey>>>);

impl Open {
    async fn tokens(&self) -> Vec<String> {
        let keys = self.1.lock().unwrap().clone();
        let mut tokens = Vec::new();
        for key in keys {
            if let Some(Record::RefreshToken(record)) = self.0.load(&key).await.unwrap() {
                tokens.push(record.token.expose().to_owned());
            }
        }
        tokens.retain(|token| !token.is_empty());
        tokens
    }
}

impl TokenStore for Open {
    fn load(&self, key: &StoreKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        self.0.load(key)
    }

    fn lock(&self, key: &StoreKey) -> BoxFuture<'_, Result<Box<dyn StoreGuard>, StoreError>> {
        self.1.lock().unwrap().insert(key.clone());
        self.0.lock(key)
    }
}

#[tokio::test]
async fn what_a_former_sign_in_has_stored_is_wiped_when_the_new_one_has_worked() {
    let idp = Idp::start(|request| match request.form("refresh_token").unwrap().as_str() {
        "wrong" => json(400, r#"{"error":"invalid_grant"}"#),
        presented => json(200, format!(r#"{{"access_token":"at","expires_in":60,"refresh_token":"{presented}+"}}"#)),
    })
    .await;
    let store = Open::default();
    // A process of its own each time.
    let configured = async |text: &str, place: Option<&str>| {
        let builder = RefreshToken::builder(idp.server(), "client-123").refresh_token(secret(text));
        let builder = builder.store(Arc::new(store.clone()));
        let builder = if let Some(place) = place { builder.place(place) } else { builder };
        mint(&builder.build().unwrap()).await
    };
    let here = Some("/etc/rt");
    configured("ann", here).await.unwrap();
    configured("ann", here).await.unwrap();
    assert_eq!(store.tokens().await, ["ann++"]);
    denied(&configured("wrong", here).await.unwrap_err());
    assert!(store.tokens().await.contains(&"ann++".to_owned()), "a new one that does not work takes nothing away");
    configured("bob", Some("/elsewhere")).await.unwrap();
    assert!(store.tokens().await.contains(&"ann++".to_owned()), "neither does one at another place");
    configured("new", here).await.unwrap();
    let mut left = store.tokens().await;
    left.sort_unstable();
    assert_eq!(left, ["bob+", "new+", "wrong"]);
    configured("new", here).await.unwrap();

    // Who comes back to a token that was used up does not send it.
    denied(&configured("ann", here).await.unwrap_err());
    // Without a place nothing is wiped.
    configured("carl", None).await.unwrap();
    configured("dora", None).await.unwrap();
    assert_eq!(idp.presented(), ["ann", "ann+", "wrong", "bob", "new", "new+", "carl", "dora"]);
    assert!(store.tokens().await.contains(&"carl+".to_owned()));
}

#[tokio::test]
async fn who_comes_back_to_a_token_that_stands_may_use_it() {
    let idp = Idp::start(|_| token("at-1")).await;
    let seed = Changing::new("old");
    let source = RefreshToken::builder(idp.server(), "client-123")
        .refresh_token(Arc::new(seed.clone()))
        .place("/etc/rt")
        .store(Arc::new(MemoryStore::new()))
        .build()
        .unwrap();
    for text in ["old", "new", "old"] {
        seed.set(text);
        mint(&source).await.unwrap();
    }
    assert_eq!(idp.presented(), ["old", "new", "old"]);
}

#[tokio::test]
async fn who_signs_in_again_after_lost_answers_starts_anew() {
    let idp = Rotating::new(&[Fault::LostRequest, Fault::LostRequest]).start().await;
    let seed = Changing::new("rt-0");
    let source = with_seed(idp.server(), MemoryStore::new(), Arc::new(seed.clone()));
    mint(&source).await.unwrap_err();
    denied(&mint(&source).await.unwrap_err());
    seed.set("rt-1");
    mint(&source).await.unwrap();
}

#[tokio::test]
async fn a_sign_in_while_the_old_token_is_refused_counts_at_once() {
    let seed = Changing::new("old");
    let signs_in = seed.clone();
    let idp = Idp::start(move |request| match request.form("refresh_token").unwrap().as_str() {
        "old" => {
            signs_in.set("new");
            json(400, "")
        }
        _ => token("at-1"),
    })
    .await;
    let source = with_seed(idp.server(), MemoryStore::new(), Arc::new(seed));
    assert_eq!(mint(&source).await.unwrap().secret(), "at-1");
    assert_eq!(idp.presented(), ["old", "new"]);
}

#[tokio::test]
async fn a_rotation_while_the_old_token_is_refused_counts_at_once() {
    // A store whose lock does not reach another process (a network file system): it rotates in the middle.
    let disk = LooseStore::default();
    let elsewhere = disk.clone();
    let idp = Idp::start(move |request| match request.form("refresh_token").unwrap().as_str() {
        "rt-1" => {
            if let Some(Record::RefreshToken(record)) = elsewhere.0.lock().unwrap().as_mut() {
                record.token = "rt-2".into();
                record.unanswered = 0;
            }
            json(400, r#"{"error":"invalid_grant"}"#)
        }
        presented => json(200, format!(r#"{{"access_token":"at-of-{presented}","expires_in":60}}"#)),
    })
    .await;
    // The first attempt does not write over what the other process wrote.
    let source = person(idp.server(), disk);
    assert_eq!(mint(&source).await.unwrap().secret(), "at-of-rt-2");
    assert_eq!(idp.presented(), ["rt-1", "rt-2"]);
}

#[tokio::test]
async fn a_refused_token_is_asked_for_once_a_mint() {
    let idp = Idp::start(|_| json(400, r#"{"error":"invalid_grant"}"#)).await;
    let source = person(idp.server(), MemoryStore::new());
    denied(&mint(&source).await.unwrap_err());
    assert_eq!(idp.presented(), ["rt-1"]);
}

#[tokio::test]
async fn a_token_of_no_use_does_not_take_the_refresh_token_with_it() {
    let idp = Idp::start(|request| {
        let presented = request.form("refresh_token").unwrap();
        let kind = if presented == "rt-1" { "N_A" } else { "Bearer" };
        json(
            200,
            format!(r#"{{"access_token":"at","token_type":"{kind}","expires_in":60,"refresh_token":"{presented}+"}}"#),
        )
    })
    .await;
    let source = person(idp.server(), MemoryStore::new());
    mint(&source).await.unwrap_err();
    mint(&source).await.unwrap();
    assert_eq!(idp.presented(), ["rt-1", "rt-1+"]);
}

#[tokio::test]
async fn a_machine_that_was_suspended_while_it_waited_sends_nothing_late() {
    let idp = Rotating::new(&[]).start().await;
    for (asleep, sent) in [(0, 1), (5, 1), (15, 0), (28 * 60, 0)] {
        let clock = TestClock::new();
        let store =
            SleepyStore { clock: clock.clone(), asleep: Duration::from_secs(asleep), inner: MemoryStore::new() };
        let before = idp.presented().len();
        let outcome = mint_at(&person(idp.server(), store), &clock).await;
        assert_eq!(idp.presented().len() - before, sent, "{asleep} s");
        if sent == 0 {
            assert_eq!(outcome.unwrap_err().kind(), ErrorKind::TimedOut, "{asleep} s");
        }
    }
}

#[tokio::test]
async fn who_waits_for_the_lock_waits_no_longer_than_its_time() {
    let idp = Rotating::new(&[]).start().await;
    let (store, clock) = (Faulty::new(MemoryStore::new()), TestClock::new());
    store.on_commit(|_| Wrong::Hangs);
    let holder = person(idp.server(), store.clone());
    let holds = tokio::spawn(async move { mint(&holder).await.map(|_| ()) });
    store.hung.notified().await;

    let waiter = person(idp.server(), store);
    let waiting = {
        let clock = clock.clone();
        tokio::spawn(async move { mint_at(&waiter, &clock).await.unwrap_err() })
    };
    while clock.sleepers() == 0 {
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(20));
    let error = waiting.await.unwrap();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("refresh token"), "{error}");
    assert!(idp.requests().is_empty());
    holds.abort();
}

#[test]
fn debug_shows_no_secret() {
    let server = Server::token_url("https://as.example.com/token").unwrap();
    let shown = format!("{:?}", person(server, MemoryStore::new()));
    assert!(!shown.contains("rt-1"), "{shown}");
}

#[tokio::test]
async fn no_error_shows_the_refresh_token() {
    let seed = "fake-refresh-token-0001";
    for reply in [
        (400, format!(r#"{{"error":"invalid_grant","error_description":"'{seed}' is used"}}"#)),
        (400, format!(r#"{{"error":"{seed}"}}"#)),
        (200, format!("<html>{seed}")),
    ] {
        let idp = Idp::start(move |_| json(reply.0, reply.1.clone())).await;
        let error = mint(&with_seed(idp.server(), MemoryStore::new(), secret(seed))).await.unwrap_err();
        assert!(!error.to_string().contains(seed) && !format!("{error:?}").contains(seed), "{error}");
    }
}

/// A store without a lock, whose record others may change.
#[derive(Clone, Default)]
struct LooseStore(Arc<Mutex<Option<Record>>>);

impl TokenStore for LooseStore {
    fn load(&self, _: &StoreKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        Box::pin(std::future::ready(Ok(self.0.lock().unwrap().clone())))
    }

    fn lock(&self, _: &StoreKey) -> BoxFuture<'_, Result<Box<dyn StoreGuard>, StoreError>> {
        Box::pin(std::future::ready(Ok(Box::new(self.clone()) as Box<dyn StoreGuard>)))
    }
}

impl StoreGuard for LooseStore {
    fn load(&mut self) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        Box::pin(std::future::ready(Ok(self.0.lock().unwrap().clone())))
    }

    fn commit(&mut self, record: Record) -> BoxFuture<'_, Result<(), StoreError>> {
        *self.0.lock().unwrap() = Some(record);
        Box::pin(std::future::ready(Ok(())))
    }
}

/// A store whose lock takes a sleep of the whole machine.
struct SleepyStore {
    clock: TestClock,
    asleep: Duration,
    inner: MemoryStore,
}

impl TokenStore for SleepyStore {
    fn load(&self, key: &StoreKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        self.inner.load(key)
    }

    fn lock(&self, key: &StoreKey) -> BoxFuture<'_, Result<Box<dyn StoreGuard>, StoreError>> {
        self.clock.suspend(self.asleep);
        self.inner.lock(key)
    }
}
