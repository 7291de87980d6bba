//! What a caller gets and what reaches the source, in every state: one row a promise. Time is the test clock's.
//!
//! Unless a row says otherwise tokens live 1,000 s: due from 750 to 775 s (jitter), urgent from 940 s, handed to nobody from 990 s.
#![allow(
    clippy::unwrap_used,
    clippy::enum_variant_names,
    reason = "tests may fail loudly; steps are named for what they do"
)]

mod world;

use Step::*;
use std::sync::atomic::Ordering;
use std::time::Duration;
use unexpired_core::ErrorKind::*;
use unexpired_core::*;
use world::{Got, Issuer, World};

enum Step {
    /// From now on the issuer does this.
    Now(Issuer),
    /// So many seconds pass.
    Pass(f64),
    /// The machine sleeps so many seconds.
    Suspend(u64),
    /// The wall clock is set by so many seconds.
    StepWall(i64),
    /// A call gets this at once.
    Call(Get),
    /// A call that wants so many seconds of life gets this at once.
    CallTtl(u64, Get),
    /// A call that can wait so many seconds.
    CallFor(u64, Get),
    /// Those who waited have now got this, and nobody still waits.
    Waited(&'static [Get]),
    /// Those who wait give up.
    GiveUp,
    /// A slow answer goes out.
    Release,
    /// The source has been asked so often in all.
    Requests(u64),
    /// A host refuses a token: what comes of it.
    Refused(&'static str, &'static str, Rejection),
    /// A host refuses a token and demands claims.
    Demands(&'static str, &'static str, &'static str, Rejection),
    /// A host refuses for lack of permission.
    LacksPermission(&'static str, &'static str),
    /// A host accepts a token.
    Accepted(&'static str, &'static str),
    /// The credential is replaced.
    NewCredential,
    /// The claims that the last request carried.
    Claims(Option<&'static str>),
    /// What is held is marked as reissued.
    Reissued(bool),
}

#[derive(Clone, Copy)]
enum Get {
    /// Token `t1`, `t2`, …
    T(u64),
    Short(u64),
    Again(u64),
    E(ErrorKind),
    Waits,
}
use Get::*;

struct Row {
    what: &'static str,
    steps: Vec<Step>,
}

fn row(what: &'static str, steps: Vec<Step>) -> Row {
    Row { what, steps }
}

fn rows() -> Vec<Row> {
    let gives = || Now(Issuer::Gives(1000.0));
    let slow = || Now(Issuer::GivesSlowly(1000.0));
    let fails = |kind| Now(Issuer::Fails(kind));
    vec![
        // What a caller gets: each cell of the design's table.
        row("fresh, idle: the token", vec![Call(T(1)), Pass(700.0), Call(T(1)), Requests(1)]),
        row(
            "fresh, a flight runs: the token",
            vec![Call(T(1)), slow(), CallTtl(2000, Waits), Call(T(1)), Requests(2), Release, Waited(&[Short(2)])],
        ),
        row(
            "fresh, backing off or refused: the token",
            vec![
                Call(T(1)),
                fails(Unavailable),
                CallTtl(2000, Short(1)),
                Call(T(1)),
                fails(Denied),
                Pass(300.0),
                CallTtl(2000, Short(1)),
                Call(T(1)),
                Requests(3),
            ],
        ),
        row(
            "due, idle: the token, and a flight starts",
            vec![Call(T(1)), Pass(800.0), Call(T(1)), Requests(2), Call(T(2)), Requests(2)],
        ),
        row(
            "due, a flight runs: the token",
            vec![Call(T(1)), Pass(800.0), slow(), Call(T(1)), Call(T(1)), Call(T(1)), Requests(2), Release, Call(T(2))],
        ),
        row(
            "due, backing off: the token, and half a second to a second later another attempt",
            vec![
                Call(T(1)),
                Pass(800.0),
                fails(Unavailable),
                Call(T(1)),
                Call(T(1)),
                Requests(2),
                Pass(0.4),
                Call(T(1)),
                Requests(2),
                Pass(0.7),
                Call(T(1)),
                Requests(3),
            ],
        ),
        row(
            "due, refused: the token",
            vec![
                Call(T(1)),
                Pass(800.0),
                fails(Denied),
                Call(T(1)),
                Pass(4.9),
                Call(T(1)),
                Requests(2),
                Pass(0.2),
                Call(T(1)),
                Requests(3),
            ],
        ),
        row(
            "urgent, idle: the starter gets the new token if it comes in time",
            vec![Call(T(1)), Pass(950.0), Call(T(2)), Requests(2)],
        ),
        row(
            "urgent, idle: the starter waits 2 s at most, others not at all",
            vec![
                Call(T(1)),
                Pass(950.0),
                slow(),
                Call(Waits),
                Call(T(1)),
                Pass(1.9),
                Waited(&[]),
                Pass(0.2),
                Waited(&[T(1)]),
                Requests(2),
                Release,
                Call(T(2)),
            ],
        ),
        row(
            "urgent, idle: half the remaining life is the limit",
            vec![Call(T(1)), Pass(988.0), slow(), Call(Waits), Pass(0.9), Waited(&[]), Pass(0.2), Waited(&[T(1)])],
        ),
        row(
            "urgent, idle: the starter's own deadline is the limit",
            vec![Call(T(1)), Pass(950.0), slow(), CallFor(1, Waits), Pass(1.1), Waited(&[T(1)])],
        ),
        row(
            "urgent, idle: the flight fails: the old token",
            vec![Call(T(1)), Pass(950.0), fails(Unavailable), Call(T(1)), Requests(2)],
        ),
        row(
            "urgent, backing off: the token",
            vec![Call(T(1)), Pass(950.0), fails(Unavailable), Call(T(1)), Call(T(1)), Requests(2)],
        ),
        row(
            "urgent, refused: the token",
            vec![Call(T(1)), Pass(950.0), fails(Denied), Call(T(1)), Call(T(1)), Requests(2)],
        ),
        row(
            "min_ttl unmet, idle: starts and waits",
            vec![Call(T(1)), Pass(500.0), slow(), CallTtl(700, Waits), Release, Waited(&[T(2)]), Requests(2)],
        ),
        row(
            "min_ttl unmet, a flight runs: joins",
            vec![
                Call(T(1)),
                Pass(800.0),
                slow(),
                Call(T(1)),
                CallTtl(700, Waits),
                Release,
                Waited(&[T(2)]),
                Requests(2),
            ],
        ),
        row(
            "min_ttl unmet, backing off: the token, marked short",
            vec![Call(T(1)), Pass(800.0), fails(Unavailable), Call(T(1)), CallTtl(700, Short(1)), Requests(2)],
        ),
        row("absent, idle: starts and waits", vec![slow(), Call(Waits), Release, Waited(&[T(1)]), Requests(1)]),
        row(
            "absent, a flight runs: joins",
            vec![slow(), Call(Waits), Call(Waits), Call(Waits), Release, Waited(&[T(1), T(1), T(1)]), Requests(1)],
        ),
        row(
            "absent, backing off: the remembered error at once",
            vec![
                fails(Unavailable),
                Call(Waits),
                // The third attempt is at 1.5 to 3 s, and the wait after it ends at 3.5 s or later.
                Pass(3.3),
                Waited(&[E(Unavailable)]),
                Requests(3),
                Call(E(Unavailable)),
                Requests(3),
            ],
        ),
        row(
            "absent, refused: the remembered error at once",
            vec![fails(Denied), Call(E(Denied)), Call(E(Denied)), Requests(1)],
        ),
        row(
            "expired, idle: starts and waits",
            vec![Call(T(1)), Pass(991.0), slow(), Call(Waits), Release, Waited(&[T(2)])],
        ),
        row(
            "expired, a flight runs: joins",
            vec![
                Call(T(1)),
                Pass(991.0),
                slow(),
                Call(Waits),
                Call(Waits),
                Release,
                Waited(&[T(2), T(2)]),
                Requests(2),
            ],
        ),
        row(
            "rejected, idle: starts and waits",
            vec![Call(T(1)), Refused("t1", "a", Rejection::Retired), slow(), Call(Waits), Release, Waited(&[T(2)])],
        ),
        row(
            "rejected, a flight runs: joins",
            vec![
                Call(T(1)),
                Pass(800.0),
                slow(),
                Call(T(1)),
                Refused("t1", "a", Rejection::Retired),
                Call(Waits),
                Release,
                Waited(&[T(2)]),
                Requests(2),
            ],
        ),
        row(
            "rejected, backing off: the error at once",
            vec![
                Call(T(1)),
                Pass(800.0),
                fails(Unavailable),
                Call(T(1)),
                Refused("t1", "a", Rejection::Retired),
                Call(E(Unavailable)),
                Requests(2),
            ],
        ),
        // Failure.
        row(
            "the source fails for as long as the token lives: nobody sees it; then the error is shared, backed off, and healed",
            vec![
                Call(T(1)),
                Pass(760.0),
                fails(Unavailable),
                Pass(20.0),
                Call(T(1)),
                Pass(100.0),
                Call(T(1)),
                Pass(60.0),
                Call(T(1)),
                Pass(45.0),
                Call(T(1)),
                Pass(10.0),
                Call(Waits),
                Pass(21.0),
                Waited(&[E(Unavailable)]),
                Call(E(Unavailable)),
                gives(),
                Pass(61.0),
                Call(T(2)),
            ],
        ),
        row(
            "a failed refresh does not evict the token",
            vec![Call(T(1)), Pass(800.0), fails(Malformed), Call(T(1)), Pass(100.0), Call(T(1))],
        ),
        row(
            "Retry-After is obeyed",
            vec![
                Call(T(1)),
                Pass(800.0),
                Now(Issuer::FailsRetryAfter(100)),
                Call(T(1)),
                Pass(99.0),
                Call(T(1)),
                Requests(2),
                Pass(2.0),
                Call(T(1)),
                Requests(3),
            ],
        ),
        row(
            "Retry-After is obeyed, save one attempt when the token is urgent",
            vec![
                Call(T(1)),
                Pass(800.0),
                Now(Issuer::FailsRetryAfter(3600)),
                Call(T(1)),
                Pass(130.0),
                Call(T(1)),
                Requests(2),
                Pass(11.0),
                Call(T(1)),
                Requests(3),
                Pass(20.0),
                Call(T(1)),
                Pass(20.0),
                Call(T(1)),
                Requests(3),
                Pass(15.0),
                Call(E(Unavailable)),
                Requests(3),
            ],
        ),
        row(
            "Retry-After of a day counts as an hour",
            vec![
                Now(Issuer::FailsRetryAfter(86_400)),
                Call(E(Unavailable)),
                Requests(1),
                gives(),
                Pass(3599.0),
                Call(E(Unavailable)),
                Pass(2.0),
                Call(T(1)),
            ],
        ),
        row(
            "a short Retry-After does not shorten the backoff",
            vec![Now(Issuer::FailsRetryAfter(0)), Call(Waits), Pass(4.0), Waited(&[E(Unavailable)]), Requests(3)],
        ),
        row(
            "with nobody waiting a flight makes one attempt",
            vec![fails(Unavailable), Call(Waits), GiveUp, Pass(10.0), Requests(2)],
        ),
        row("a refusal is not tried again in the same flight", vec![fails(Denied), Call(E(Denied)), Requests(1)]),
        row(
            "a wrong configuration is a refusal",
            vec![fails(Misconfigured), Call(E(Misconfigured)), Call(E(Misconfigured)), Requests(1)],
        ),
        row(
            "refusals are remembered 5 s, 10 s, 20 s",
            vec![
                fails(Denied),
                Call(E(Denied)),
                Pass(4.9),
                Call(E(Denied)),
                Requests(1),
                Pass(0.2),
                Call(E(Denied)),
                Requests(2),
                Pass(9.8),
                Call(E(Denied)),
                Requests(2),
                Pass(0.3),
                Call(E(Denied)),
                Requests(3),
                Pass(19.8),
                Call(E(Denied)),
                Requests(3),
                Pass(0.3),
                Call(E(Denied)),
                Requests(4),
            ],
        ),
        row(
            "a refusal is forgotten at once when the credential changes",
            vec![fails(Denied), Call(E(Denied)), gives(), Call(E(Denied)), NewCredential, Call(T(1)), Requests(2)],
        ),
        row(
            "nothing is dead for ever",
            vec![
                fails(Denied),
                Call(E(Denied)),
                Pass(100.0),
                Call(E(Denied)),
                Pass(100.0),
                Call(E(Denied)),
                gives(),
                Pass(61.0),
                Call(T(1)),
            ],
        ),
        row(
            "what is not configured is not remembered",
            vec![fails(NotConfigured), Call(E(NotConfigured)), gives(), Call(T(1))],
        ),
        row("what is forbidden is not remembered", vec![fails(Forbidden), Call(E(Forbidden)), gives(), Call(T(1))]),
        row(
            "an error that is not remembered does not make a loop of a due token",
            vec![
                Call(T(1)),
                Pass(800.0),
                fails(Forbidden),
                Call(T(1)),
                Call(T(1)),
                Call(T(1)),
                Requests(2),
                Pass(1.1),
                Call(T(1)),
                Requests(3),
            ],
        ),
        row(
            "a success ends the backoff",
            vec![
                Call(T(1)),
                Pass(800.0),
                fails(Unavailable),
                Call(T(1)),
                Pass(1.1),
                Call(T(1)),
                Pass(2.1),
                gives(),
                Call(T(1)),
                Call(T(2)),
                Pass(800.0),
                fails(Unavailable),
                Call(T(2)),
                Pass(1.1),
                Call(T(2)),
                Requests(6),
            ],
        ),
        // The flight.
        row(
            "the caller that started a mint is dropped, and the mint goes on",
            vec![slow(), Call(Waits), GiveUp, Release, Call(T(1)), Requests(1)],
        ),
        row(
            "the source panics: an error, and the next attempt works",
            vec![
                Now(Issuer::Panics),
                Call(Waits),
                Pass(4.0),
                Waited(&[E(Unavailable)]),
                gives(),
                Pass(5.0),
                Call(T(1)),
            ],
        ),
        row(
            "the source panics while the token lives: nobody sees it",
            vec![Call(T(1)), Pass(800.0), Now(Issuer::Panics), Call(T(1)), Call(T(1))],
        ),
        row(
            "the source never answers: 20 s, an error, and the next attempt works",
            vec![
                Now(Issuer::NeverAnswers),
                Call(Waits),
                Pass(19.0),
                Waited(&[]),
                Pass(1.5),
                Waited(&[E(TimedOut)]),
                gives(),
                Pass(2.0),
                Call(T(1)),
                Requests(2),
            ],
        ),
        row(
            "the source never answers while the token lives: nobody waits, one request in 20 s",
            vec![
                Call(T(1)),
                Pass(800.0),
                Now(Issuer::NeverAnswers),
                Call(T(1)),
                Pass(19.0),
                Call(T(1)),
                Requests(2),
                gives(),
                Pass(3.0),
                Call(T(1)),
                Call(T(2)),
                Requests(3),
            ],
        ),
        row(
            "a caller's own deadline ends its wait, not the mint",
            vec![slow(), CallFor(3, Waits), Pass(3.1), Waited(&[E(TimedOut)]), Release, Call(T(1)), Requests(1)],
        ),
        // Rejection.
        row("a hundred rejections cost one mint", {
            let mut steps = vec![Call(T(1)), Refused("t1", "a", Rejection::Retired)];
            steps.extend((0..99).map(|_| Refused("t1", "a", Rejection::Stale)));
            steps.extend([Call(T(2)), Call(T(2)), Requests(2)]);
            steps
        }),
        row(
            "a late rejection of an old token does nothing",
            vec![
                Call(T(1)),
                Refused("t1", "a", Rejection::Retired),
                Call(T(2)),
                Refused("t1", "a", Rejection::Stale),
                Call(T(2)),
                Requests(2),
            ],
        ),
        row(
            "an issuer that repeats the rejected token: current again, marked reissued",
            vec![
                Call(T(1)),
                Now(Issuer::Repeats(1000.0)),
                Refused("t1", "a", Rejection::Retired),
                Call(Again(1)),
                Reissued(true),
                Call(Again(1)),
                Requests(2),
                Refused("t1", "a", Rejection::HostRefused),
                Call(Again(1)),
                Requests(2),
            ],
        ),
        row(
            "an issuer that repeats a token which is due is left alone for a quarter of what remains",
            vec![
                Call(T(1)),
                Pass(800.0),
                Now(Issuer::Repeats(200.0)),
                Call(T(1)),
                Call(T(1)),
                Requests(2),
                Pass(40.0),
                Call(T(1)),
                Requests(2),
                Pass(15.0),
                Call(T(1)),
                Requests(3),
            ],
        ),
        row(
            "a host that refuses every token is the problem; other hosts keep theirs",
            vec![
                Call(T(1)),
                Refused("t1", "bad", Rejection::Retired),
                Call(T(2)),
                Refused("t2", "bad", Rejection::HostRefused),
                Call(T(2)),
                Refused("t2", "bad", Rejection::HostRefused),
                Pass(59.0),
                Refused("t2", "bad", Rejection::HostRefused),
                Call(T(2)),
                Requests(2),
                Pass(2.0),
                Refused("t2", "bad", Rejection::Retired),
                Call(T(3)),
                Refused("t3", "bad", Rejection::HostRefused),
                Pass(118.0),
                Refused("t3", "bad", Rejection::HostRefused),
                Call(T(3)),
                Requests(3),
                Pass(3.0),
                Refused("t3", "bad", Rejection::Retired),
                Call(T(4)),
                Requests(4),
            ],
        ),
        row(
            "a host that accepted the replacement may refuse it later",
            vec![
                Call(T(1)),
                Refused("t1", "a", Rejection::Retired),
                Call(T(2)),
                Accepted("t2", "a"),
                Refused("t2", "a", Rejection::Retired),
                Call(T(3)),
                Requests(3),
            ],
        ),
        row(
            "two hosts that each refuse once cost a mint each",
            vec![
                Call(T(1)),
                Refused("t1", "a", Rejection::Retired),
                Call(T(2)),
                Refused("t2", "b", Rejection::Retired),
                Call(T(3)),
                Refused("t3", "a", Rejection::HostRefused),
                Requests(3),
            ],
        ),
        row(
            "a revocation an hour after the first is a new one",
            vec![
                Call(T(1)),
                Refused("t1", "a", Rejection::Retired),
                Call(T(2)),
                Pass(700.0),
                Refused("t2", "a", Rejection::Retired),
                Call(T(3)),
                Requests(3),
            ],
        ),
        row(
            "lack of permission never retires a token",
            vec![Call(T(1)), LacksPermission("t1", "a"), LacksPermission("t1", "a"), Call(T(1)), Requests(1)],
        ),
        row(
            "a rejection during an outage is an error, not the rejected token",
            vec![
                Call(T(1)),
                fails(Unavailable),
                Refused("t1", "a", Rejection::Retired),
                Call(Waits),
                Pass(4.0),
                Waited(&[E(Unavailable)]),
                Requests(4),
            ],
        ),
        // Claims.
        row(
            "a claims challenge among plain callers",
            vec![
                Call(T(1)),
                Pass(800.0),
                slow(),
                Call(T(1)),
                Claims(None),
                Demands("t1", "graph", "{\"access_token\":{}}", Rejection::Retired),
                Call(Waits),
                Requests(2),
                gives(),
                Release,
                // What is current by the time that the waiter looks.
                Waited(&[T(3)]),
                Requests(3),
                Claims(Some("{\"access_token\":{}}")),
                Call(T(3)),
            ],
        ),
        row(
            "claims stay until a mint that carries them succeeds",
            vec![
                Call(T(1)),
                fails(Unavailable),
                Demands("t1", "graph", "{\"access_token\":{}}", Rejection::Retired),
                Call(Waits),
                Pass(4.0),
                Waited(&[E(Unavailable)]),
                gives(),
                Pass(10.0),
                Call(T(2)),
                Claims(Some("{\"access_token\":{}}")),
                Pass(800.0),
                Call(T(2)),
                Claims(None),
            ],
        ),
        row(
            "a host that demands the same claims again and again is the problem",
            vec![
                Call(T(1)),
                Demands("t1", "graph", "{\"access_token\":{}}", Rejection::Retired),
                Call(T(2)),
                Demands("t2", "graph", "{\"access_token\":{}}", Rejection::HostRefused),
                Demands("t2", "graph", "{\"access_token\":{\"nbf\":1}}", Rejection::HostRefused),
                Call(T(2)),
                Requests(2),
            ],
        ),
        row(
            "new claims from the same host are a new demand",
            vec![
                Call(T(1)),
                Demands("t1", "graph", "{\"access_token\":{}}", Rejection::Retired),
                Call(T(2)),
                Demands("t2", "graph", "{\"access_token\":{\"nbf\":1}}", Rejection::Retired),
                Call(T(3)),
                Claims(Some("{\"access_token\":{\"nbf\":1}}")),
                Requests(3),
            ],
        ),
        // Time.
        row("a night's suspend ends a token's life", vec![Call(T(1)), Suspend(8 * 3600), Call(T(2)), Requests(2)]),
        row(
            "a short suspend into the due part starts a refresh",
            vec![Call(T(1)), Suspend(800), Call(T(1)), Call(T(2))],
        ),
        row(
            "a flight that was suspended is given up",
            vec![
                Now(Issuer::NeverAnswers),
                Call(Waits),
                Suspend(3600),
                gives(),
                Pass(31.0),
                Waited(&[E(TimedOut)]),
                Pass(2.0),
                Call(T(1)),
            ],
        ),
        row(
            "the wall clock stepped forward ends a life, once",
            vec![Call(T(1)), StepWall(7200), Call(T(2)), Call(T(2)), Pass(100.0), Call(T(2)), Requests(2)],
        ),
        row(
            "the wall clock stepped back does not lengthen a life",
            vec![
                Call(T(1)),
                StepWall(-7200),
                Call(T(1)),
                Pass(800.0),
                Call(T(1)),
                Call(T(2)),
                Pass(991.0),
                Call(T(3)),
                Requests(3),
            ],
        ),
        row("the wall clock stepped back and forth makes no storm", {
            let mut steps = vec![Call(T(1))];
            for _ in 0..10 {
                steps.extend([StepWall(7200), Pass(0.1), Call(T(2)), StepWall(-7200), Pass(0.1), Call(T(2))]);
            }
            steps.push(Requests(2));
            steps
        }),
        row(
            "a wall clock step does not shorten a backoff",
            vec![
                fails(Denied),
                Call(E(Denied)),
                StepWall(7200),
                Call(E(Denied)),
                StepWall(-14_400),
                Call(E(Denied)),
                Requests(1),
            ],
        ),
        // Lives.
        row(
            "no expiry: one mint for ever",
            vec![Now(Issuer::GivesForever), Call(T(1)), Pass(1e6), Suspend(86_400 * 365), Call(T(1)), Requests(1)],
        ),
        row(
            "expired on arrival is a failure, with a floor between attempts",
            vec![
                Now(Issuer::Gives(0.0)),
                Call(Waits),
                // The third attempt is at 1.5 to 3 s, and the wait after it ends at 3.5 s or later.
                Pass(3.3),
                Waited(&[E(Malformed)]),
                Requests(3),
                Call(E(Malformed)),
                Requests(3),
            ],
        ),
        row(
            "the issuer's hint is used",
            vec![
                Now(Issuer::GivesHint(86_400.0, 43_200.0)),
                Call(T(1)),
                Pass(43_000.0),
                Call(T(1)),
                Requests(1),
                Pass(5000.0),
                Call(T(1)),
                Requests(2),
            ],
        ),
        row(
            "min_ttl beyond what the issuer gives: marked short, and quiet for a quarter of the life",
            vec![
                CallTtl(5000, Short(1)),
                CallTtl(5000, Short(1)),
                CallTtl(5000, Short(1)),
                Requests(1),
                Pass(240.0),
                CallTtl(5000, Short(1)),
                Requests(1),
                Pass(20.0),
                CallTtl(5000, Short(2)),
                Requests(2),
                Call(T(2)),
            ],
        ),
        row(
            "min_ttl after a failure: quiet as well",
            vec![
                Call(T(1)),
                fails(Unavailable),
                CallTtl(1500, Short(1)),
                Pass(200.0),
                CallTtl(1500, Short(1)),
                Requests(2),
                Pass(60.0),
                CallTtl(1500, Short(1)),
                Requests(3),
            ],
        ),
        row("min_ttl that is met costs nothing", vec![Call(T(1)), CallTtl(900, T(1)), Requests(1)]),
        row(
            "whoever joins a refresh for its min_ttl's sake and gets too little keeps others quiet",
            vec![
                Call(T(1)),
                Pass(800.0),
                slow(),
                Call(T(1)),
                CallTtl(5000, Waits),
                Release,
                Waited(&[Short(2)]),
                CallTtl(5000, Short(2)),
                Requests(2),
            ],
        ),
        row(
            "the same where there was no token",
            vec![
                slow(),
                Call(Waits),
                CallTtl(5000, Waits),
                Release,
                Waited(&[T(1), Short(1)]),
                CallTtl(5000, Short(1)),
                Requests(1),
            ],
        ),
        row(
            "short is said to whom it is short only",
            vec![slow(), CallTtl(5000, Waits), Call(Waits), Release, Waited(&[Short(1), T(1)]), Requests(1)],
        ),
        // Corners where two rules meet.
        row(
            "a source that gives one text for ever, good for so long each time: the new life counts",
            vec![
                Call(T(1)),
                Now(Issuer::Repeats(1000.0)),
                Pass(800.0),
                Call(T(1)),
                Requests(2),
                Pass(700.0),
                Call(T(1)),
                Requests(2),
                Pass(2000.0),
                Call(T(1)),
                Requests(3),
                Call(T(1)),
                Requests(3),
            ],
        ),
        row(
            "a repeated token that only the wall clock had ended is good again",
            vec![
                Call(T(1)),
                Now(Issuer::Repeats(900.0)),
                Pass(100.0),
                StepWall(7200),
                Call(T(1)),
                Call(T(1)),
                Requests(2),
            ],
        ),
        row(
            "urgent, then suspended: the starter does not get what has expired meanwhile",
            vec![
                Call(T(1)),
                Pass(950.0),
                Now(Issuer::NeverAnswers),
                Call(Waits),
                Suspend(3600),
                gives(),
                Pass(31.0),
                Waited(&[T(2)]),
            ],
        ),
        row(
            "urgent and refused until past the end: no attempt is spent on it",
            vec![Call(T(1)), Pass(986.0), fails(Denied), Call(T(1)), Call(T(1)), Requests(2)],
        ),
        row(
            "urgent, Retry-After beyond the end, then rejected: the error, and no request",
            vec![
                Call(T(1)),
                Pass(950.0),
                Now(Issuer::FailsRetryAfter(3600)),
                Call(T(1)),
                Call(T(1)),
                Requests(3),
                Refused("t1", "a", Rejection::Retired),
                Call(E(Unavailable)),
                Call(E(Unavailable)),
                Requests(3),
            ],
        ),
        row(
            "claims demanded while a plain mint fails wait for the backoff as well",
            vec![
                Call(T(1)),
                Pass(800.0),
                Now(Issuer::NeverAnswers),
                Call(T(1)),
                Demands("t1", "graph", "{\"access_token\":{}}", Rejection::Retired),
                Pass(20.2),
                Requests(2),
                Call(E(TimedOut)),
                Requests(2),
            ],
        ),
        row(
            "new claims demanded while a mint with older ones runs are not forgotten when it lands",
            vec![
                Call(T(1)),
                Pass(800.0),
                slow(),
                Call(T(1)),
                Demands("t1", "graph", "{\"access_token\":{}}", Rejection::Retired),
                Release,
                Call(T(2)),
                Requests(3),
                Demands("t2", "graph", "{\"access_token\":{\"nbf\":1}}", Rejection::Retired),
                Release,
                Requests(4),
                Claims(Some("{\"access_token\":{\"nbf\":1}}")),
                Release,
                Call(T(4)),
                Requests(4),
            ],
        ),
        row(
            "that a host accepted an older token says nothing of the new one",
            vec![
                Call(T(1)),
                Refused("t1", "a", Rejection::Retired),
                Call(T(2)),
                Accepted("t1", "a"),
                Refused("t2", "a", Rejection::HostRefused),
                Requests(2),
            ],
        ),
        row(
            "a token without expiry falls when it is rejected, and wishes cost nothing",
            vec![
                Now(Issuer::GivesForever),
                CallTtl(1_000_000, T(1)),
                Refused("t1", "a", Rejection::Retired),
                Call(T(2)),
                CallTtl(u64::MAX, Short(3)),
                CallTtl(u64::MAX, Short(3)),
                Requests(3),
            ],
        ),
        row(
            "claims that the issuer refuses are given up: the next mint goes without them",
            vec![
                Call(T(1)),
                fails(Denied),
                Demands("t1", "graph", "{\"access_token\":{}}", Rejection::Retired),
                Call(E(Denied)),
                Claims(Some("{\"access_token\":{}}")),
                gives(),
                Pass(5.1),
                Call(T(2)),
                Claims(None),
                Demands("t2", "graph", "{\"access_token\":{}}", Rejection::HostRefused),
                Refused("t2", "other", Rejection::Retired),
                Call(T(3)),
                Requests(4),
            ],
        ),
        row(
            "claims demanded of a token that another host made fall are carried by the next mint",
            vec![
                Call(T(1)),
                slow(),
                Refused("t1", "a", Rejection::Retired),
                Call(Waits),
                Demands("t1", "graph", "{\"access_token\":{}}", Rejection::Stale),
                gives(),
                Release,
                Waited(&[T(3)]),
                Claims(Some("{\"access_token\":{}}")),
                Demands("t1", "graph", "{\"access_token\":{}}", Rejection::Stale),
                Call(T(3)),
                Requests(3),
            ],
        ),
        row("a host that thinks of new claims every time is the problem", {
            let mut steps = vec![Call(T(1)), Demands("t1", "graph", "{\"n\":0}", Rejection::Retired), Call(T(2))];
            steps.extend([Demands("t2", "graph", "{\"n\":1}", Rejection::Retired), Call(T(3))]);
            for claims in ["{\"n\":2}", "{\"n\":3}", "{\"n\":4}"] {
                steps.extend([Demands("t3", "graph", claims, Rejection::HostRefused), Call(T(3))]);
            }
            steps.push(Requests(3));
            steps
        }),
        row(
            "where acceptance is told, a host that never accepts is found out however slowly it is asked",
            vec![
                Call(T(1)),
                Refused("t1", "good", Rejection::Retired),
                Call(T(2)),
                Accepted("t2", "good"),
                Refused("t2", "bad", Rejection::Retired),
                Call(T(3)),
                Pass(70.0),
                Refused("t3", "bad", Rejection::HostRefused),
                Call(T(3)),
                Requests(3),
            ],
        ),
        row("a host's block doubles to 15 min and no further", {
            let mut steps = vec![Call(T(1)), Refused("t1", "bad", Rejection::Retired)];
            let blocks = [("t2", 60.0), ("t3", 120.0), ("t4", 240.0), ("t5", 480.0), ("t6", 900.0), ("t7", 900.0)];
            for (at, (name, block)) in blocks.into_iter().enumerate() {
                steps.extend([
                    Now(Issuer::Gives(86_400.0)),
                    Call(T(at as u64 + 2)),
                    Refused(name, "bad", Rejection::HostRefused),
                    Pass(block - 2.0),
                    Refused(name, "bad", Rejection::HostRefused),
                    Pass(3.0),
                    Refused(name, "bad", Rejection::Retired),
                ]);
            }
            steps
        }),
        row(
            "urgent: the starter does not get a token that fell while it waited",
            vec![
                Call(T(1)),
                Pass(950.0),
                slow(),
                Call(Waits),
                Refused("t1", "a", Rejection::Retired),
                Pass(2.1),
                Waited(&[]),
                Release,
                Waited(&[T(2)]),
                Requests(2),
            ],
        ),
        row(
            "a min_ttl that cannot be met does not keep a due token from being refreshed",
            vec![
                Call(T(1)),
                Pass(740.0),
                fails(Unavailable),
                CallTtl(900, Short(1)),
                Requests(2),
                Pass(60.0),
                gives(),
                CallTtl(900, Short(1)),
                Requests(3),
                CallTtl(900, T(2)),
                Requests(3),
            ],
        ),
        row(
            "a min_ttl that no token has does not silence one that a new token has",
            vec![
                CallTtl(5000, Short(1)),
                Pass(200.0),
                CallTtl(5000, Short(1)),
                Requests(1),
                CallTtl(900, T(2)),
                Requests(2),
            ],
        ),
        row(
            "rejected, refused: the error at once",
            vec![
                Call(T(1)),
                Pass(800.0),
                fails(Denied),
                Call(T(1)),
                Refused("t1", "a", Rejection::Retired),
                Call(E(Denied)),
                Requests(2),
            ],
        ),
        row(
            "min_ttl unmet, refused: the token, marked short",
            vec![Call(T(1)), Pass(800.0), fails(Denied), Call(T(1)), CallTtl(700, Short(1)), Requests(2)],
        ),
        row(
            "a refusal is forgotten soon after the credential changes, though a token is held",
            vec![
                Call(T(1)),
                Pass(800.0),
                fails(Denied),
                Call(T(1)),
                Pass(6.0),
                Call(T(1)),
                Requests(3),
                gives(),
                NewCredential,
                Pass(5.1),
                Call(T(1)),
                Call(T(2)),
                Requests(4),
            ],
        ),
        row(
            "a caller's time limit of more than a slice holds across a suspend",
            vec![Now(Issuer::NeverAnswers), CallFor(45, Waits), Suspend(3600), Pass(31.0), Waited(&[E(TimedOut)])],
        ),
        row(
            "min_ttl with no token at all and a failing source is an error",
            vec![fails(Denied), CallTtl(900, E(Denied))],
        ),
    ]
}

#[tokio::test(flavor = "current_thread")]
async fn every_row_of_the_table() {
    for row in rows() {
        play(&row, false).await;
    }
}

/// The same promises for callers who take the hit path: what is handed out without asking the slot must change nothing.
#[tokio::test(flavor = "current_thread")]
async fn every_row_of_the_table_by_the_hit_path() {
    for row in rows() {
        play(&row, true).await;
    }
}

async fn play(row: &Row, hit: bool) {
    let mut world = World::new(Issuer::Gives(1000.0), 0);
    for (index, step) in row.steps.iter().enumerate() {
        let at = format!("{}, step {}", row.what, index + 1);
        match step {
            Now(issuer) => world.source.set(issuer.clone()),
            Pass(seconds) => world.pass(*seconds).await,
            Suspend(seconds) => {
                world.clock.suspend(Duration::from_secs(*seconds));
                world.settle().await;
            }
            StepWall(seconds) => world.clock.step_wall(*seconds),
            Call(get) if hit => {
                // Only an answer says that its token was reissued.
                let get = if let Again(n) = get { T(*n) } else { *get };
                check(&at, world.plain_call().await, get);
            }
            Call(get) => check(&at, world.call(TokenOptions::new()).await, *get),
            CallTtl(ttl, get) => {
                check(&at, world.call(TokenOptions::new().min_ttl(Duration::from_secs(*ttl))).await, *get)
            }
            CallFor(limit, get) => {
                check(&at, world.call(TokenOptions::new().timeout(Duration::from_secs(*limit))).await, *get)
            }
            Waited(gets) => {
                let got = world.waited().await;
                assert_eq!(got.len(), gets.len(), "{at}: {got:?}");
                for (got, get) in got.into_iter().zip(*gets) {
                    check(&at, Some(got), *get);
                }
            }
            GiveUp => world.drop_waiting().await,
            Release => {
                world.source.0.release.notify_one();
                world.settle().await;
            }
            Requests(count) => assert_eq!(world.source.requests(), *count, "{at}: requests to the source"),
            Refused(token, host, rejection) => assert_eq!(world.reject(token, host), *rejection, "{at}"),
            Demands(token, host, claims, rejection) => {
                let token = world.token(token);
                let challenge = Challenge::Claims(Secret::new(*claims));
                assert_eq!(world.manager.reject(&token, host, &challenge), *rejection, "{at}");
            }
            LacksPermission(token, host) => {
                let token = world.token(token);
                assert_eq!(world.manager.reject(&token, host, &Challenge::Permission), Rejection::Kept, "{at}");
            }
            Accepted(token, host) => {
                let token = world.token(token);
                world.manager.accepted(&token, host);
            }
            NewCredential => drop(world.source.0.revision.fetch_add(1, Ordering::SeqCst)),
            Claims(claims) => {
                let last = world.source.0.claims.lock().unwrap().last().cloned().flatten();
                assert_eq!(last.as_deref(), *claims, "{at}: claims of the last request");
            }
            Reissued(reissued) => assert_eq!(world.manager.status().reissued, *reissued, "{at}"),
        }
    }
}

fn check(at: &str, got: Option<Got>, expected: Get) {
    let expected = match expected {
        T(n) => Some(Got::Token(format!("t{n}"))),
        Short(n) => Some(Got::Short(format!("t{n}"))),
        Again(n) => Some(Got::Reissued(format!("t{n}"))),
        E(kind) => Some(Got::Error(kind)),
        Waits => None,
    };
    assert_eq!(got, expected, "{at}");
}
