//! The shared slot under the model checker: every interleaving of a few threads, with the real state machine and the real publishing of the
//! token that is handed out without the lock. Run with `RUSTFLAGS="--cfg unexpired_model" cargo test -p unexpired-core --lib model --release`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]

use crate::cell::SlotCell;
use crate::slot::{Ask, Decision, Landed, Order, Rejection};
use crate::{Error, ErrorKind, MintError, Moments, Timestamp, Token};
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::sync::{Condvar, Mutex};
use loom::thread;
use std::sync::Arc;
use std::time::Duration;

/// What those who wait hold on to: as the real one, on the checker's primitives.
struct Flight {
    done: Mutex<Option<Option<Result<String, ErrorKind>>>>,
    landed: Condvar,
}

type Cell = Arc<SlotCell<Arc<Flight>>>;

fn flight() -> Arc<Flight> {
    Arc::new(Flight { done: Mutex::new(None), landed: Condvar::new() })
}

impl Flight {
    /// The result, or `None` if the flight was lost.
    fn wait(&self) -> Option<Result<String, ErrorKind>> {
        let mut done = self.done.lock().unwrap();
        loop {
            if let Some(result) = &*done {
                return result.clone();
            }
            done = self.landed.wait(done).unwrap();
        }
    }

    fn end(&self, result: Option<Result<String, ErrorKind>>) {
        *self.done.lock().unwrap() = Some(result);
        self.landed.notify_all();
    }
}

/// An issuer that counts how many mints run at once and in all.
struct Issuer {
    running: AtomicUsize,
    requests: AtomicUsize,
    fails: bool,
    /// The first flight is aborted in place of landing.
    loses_first: bool,
    /// The claims of each request.
    carried: Mutex<Vec<Option<String>>>,
}

impl Issuer {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            running: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            fails: false,
            loses_first: false,
            carried: Mutex::new(Vec::new()),
        })
    }

    fn fly(&self, cell: &Cell, order: &Order<Arc<Flight>>) {
        assert_eq!(self.running.fetch_add(1, Ordering::SeqCst), 0, "two mints at the same time");
        let number = self.requests.fetch_add(1, Ordering::SeqCst) + 1;
        self.running.fetch_sub(1, Ordering::SeqCst);
        if self.loses_first && number == 1 {
            cell.lost(order.id, now());
            order.handle.end(None);
            return;
        }
        let result = if self.fails { Err((error(), false)) } else { Ok(token(&format!("new{number}"), now())) };
        let carried = order.claims.as_ref().map(|claims| claims.expose().to_owned());
        self.carried.lock().unwrap().push(carried);
        let (landed, next) = cell.land(order.id, now(), result, 0.0, 0, flight);
        order.handle.end(Some(match landed {
            Landed::Token(served, _) => Ok(served.token.secret().to_owned()),
            Landed::Failed(error) => Err(error.kind()),
        }));
        // Claims that were demanded meanwhile: their mint follows at once.
        if let Some(next) = next {
            self.fly(cell, &next);
        }
    }
}

/// A caller, as `TokenManager` does it.
fn call(cell: &Cell, issuer: &Issuer) -> Result<String, ErrorKind> {
    call_at(cell, issuer, now(), false)
}

/// A caller at a moment of its own; who brings claims waits for a mint that carries them.
fn call_at(cell: &Cell, issuer: &Issuer, now: Timestamp, claims: bool) -> Result<String, ErrorKind> {
    if !claims && let Some(text) = cell.hit(now, |token| token.secret().to_owned()) {
        return Ok(text);
    }
    let mut ask = Ask { claims, ..Ask::default() };
    for _ in 0..4 {
        let ended = match cell.ask(now, ask, flight) {
            Decision::Serve(served) => return Ok(served.token.secret().to_owned()),
            Decision::ServeAndFly(served, order) => {
                issuer.fly(cell, &order);
                return Ok(served.token.secret().to_owned());
            }
            Decision::Fail(error) => return Err(error.kind()),
            Decision::Revision => unreachable!("only refusals ask for it"),
            Decision::Join(flight) => flight.wait(),
            // The starter of an urgent flight, and its limit, which has passed when the flight lands: what it gets, the slot says.
            Decision::Fly(order, Some(_)) => {
                issuer.fly(cell, &order);
                None
            }
            Decision::Fly(order, None) => {
                issuer.fly(cell, &order);
                order.handle.wait()
            }
        };
        match ended {
            Some(Ok(text)) if !claims && cell.hit(now, |token| token.secret() == text) == Some(true) => {
                return Ok(text);
            }
            Some(Err(kind)) => return Err(kind),
            _ => ask.joined = true,
        }
    }
    unreachable!("lost four times")
}

#[test]
fn cold_callers_share_one_mint() {
    // Three threads have too many interleavings for a test run; those with up to three preemptions show what there is to see.
    let mut checker = loom::model::Builder::new();
    checker.preemption_bound = Some(3);
    checker.check(|| {
        let (cell, issuer) = (Arc::new(SlotCell::new()), Issuer::new());
        let others: Vec<_> = (0..2).map(|_| spawn_caller(&cell, &issuer)).collect();
        assert_eq!(call(&cell, &issuer), Ok("new1".into()));
        for other in others {
            assert_eq!(other.join().unwrap(), Ok("new1".into()));
        }
        assert_eq!(issuer.requests.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn cold_callers_share_one_failure() {
    loom::model(|| {
        let cell = Arc::new(SlotCell::new());
        let issuer = Arc::new(Issuer { fails: true, ..unwrapped(Issuer::new()) });
        let other = spawn_caller(&cell, &issuer);
        assert_eq!(call(&cell, &issuer), Err(ErrorKind::Unavailable));
        assert_eq!(other.join().unwrap(), Err(ErrorKind::Unavailable));
        assert_eq!(issuer.requests.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn callers_of_a_due_token_never_wait_and_mint_once() {
    loom::model(|| {
        let (cell, issuer) = (with_due_token(), Issuer::new());
        let others: Vec<_> = (0..2).map(|_| spawn_caller(&cell, &issuer)).collect();
        let mut got = vec![call(&cell, &issuer).unwrap()];
        got.extend(others.into_iter().map(|other| other.join().unwrap().unwrap()));
        assert!(got.iter().all(|text| text == "old" || text == "new1"), "{got:?}");
        assert_eq!(issuer.requests.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_rejected_token_is_never_handed_out_again() {
    loom::model(|| {
        let (cell, issuer) = (with_due_token(), Issuer::new());
        let refresher = spawn_caller(&cell, &issuer);
        let rejecting = {
            let (cell, issuer) = (cell.clone(), issuer.clone());
            thread::spawn(move || {
                let old = token("old", now());
                let rejection = cell.reject(old.digest(), "api.test", None, now());
                assert!(matches!(rejection, Rejection::Retired | Rejection::Stale));
                assert_ne!(call(&cell, &issuer), Ok("old".into()), "after {rejection:?}");
            })
        };
        refresher.join().unwrap().unwrap();
        rejecting.join().unwrap();
        assert_eq!(cell.read(|slot| slot.current().map(|(token, _)| token.secret().to_owned())), Some("new1".into()));
        assert_eq!(issuer.requests.load(Ordering::SeqCst), 1, "the rejection joined the refresh");
    });
}

#[test]
fn the_starter_of_an_urgent_flight_does_not_get_a_token_that_fell_meanwhile() {
    loom::model(|| {
        let (cell, issuer) = (with_due_token(), Issuer::new());
        let late = Timestamp::from_nanos(1_150_000_000_000, 1_150_000_000_000);
        let fell = Arc::new(AtomicUsize::new(0));
        let rejecting = {
            let (cell, fell) = (cell.clone(), fell.clone());
            thread::spawn(move || {
                cell.reject(token("old", now()).digest(), "api.test", None, late);
                fell.store(1, Ordering::SeqCst);
            })
        };
        let before = fell.load(Ordering::SeqCst);
        let got = call_at(&cell, &issuer, late, false).unwrap();
        assert!(before == 0 || got != "old", "{got} after it fell");
        rejecting.join().unwrap();
        assert!(issuer.requests.load(Ordering::SeqCst) <= 2);
    });
}

#[test]
fn claims_that_are_demanded_during_a_plain_flight_are_carried_by_the_next() {
    loom::model(|| {
        let (cell, issuer) = (with_due_token(), Issuer::new());
        let refresher = spawn_caller(&cell, &issuer);
        let demanding = {
            let (cell, issuer) = (cell.clone(), issuer.clone());
            thread::spawn(move || {
                let claims = crate::Secret::new("c");
                match cell.reject(token("old", now()).digest(), "api.test", Some(claims), now()) {
                    Rejection::Retired => {
                        call_at(&cell, &issuer, now(), true).unwrap();
                        let carried = issuer.carried.lock().unwrap().clone();
                        assert!(carried.contains(&Some("c".into())), "{carried:?}");
                    }
                    // The refresh came first, and the token is another by now.
                    Rejection::Stale => {}
                    other => panic!("{other:?}"),
                }
            })
        };
        refresher.join().unwrap().unwrap();
        demanding.join().unwrap();
        assert!(issuer.requests.load(Ordering::SeqCst) <= 2);
    });
}

#[test]
fn a_lost_flight_is_started_anew_by_those_who_wait() {
    loom::model(|| {
        let cell = Arc::new(SlotCell::new());
        let issuer = Arc::new(Issuer { loses_first: true, ..unwrapped(Issuer::new()) });
        let other = spawn_caller(&cell, &issuer);
        assert_eq!(call(&cell, &issuer), Ok("new2".into()));
        assert_eq!(other.join().unwrap(), Ok("new2".into()));
        assert_eq!(issuer.requests.load(Ordering::SeqCst), 2);
    });
}

fn spawn_caller(cell: &Cell, issuer: &Arc<Issuer>) -> thread::JoinHandle<Result<String, ErrorKind>> {
    let (cell, issuer) = (cell.clone(), issuer.clone());
    thread::spawn(move || call(&cell, &issuer))
}

fn unwrapped(issuer: Arc<Issuer>) -> Issuer {
    Arc::into_inner(issuer).unwrap()
}

/// A slot whose token is due.
fn with_due_token() -> Cell {
    let cell = Arc::new(SlotCell::new());
    let before = Timestamp::from_nanos(200_000_000_000, 200_000_000_000);
    let Decision::Fly(order, _) = cell.ask(before, Ask::default(), flight) else { unreachable!() };
    cell.land(order.id, before, Ok(token("old", before)), 0.0, 0, flight);
    cell
}

/// A token of 1,000 s.
fn token(text: &str, asked: Timestamp) -> Token {
    let token = Token::builder(text, asked).expires_in(Duration::from_secs(1000)).build().unwrap();
    token.with_moments(Moments::of(token.lifetime(), Duration::ZERO, 0.0))
}

fn error() -> Error {
    Error::new("model", MintError::new(ErrorKind::Unavailable, "down"))
}

fn now() -> Timestamp {
    Timestamp::from_nanos(1_000_000_000_000, 1_000_000_000_000)
}
