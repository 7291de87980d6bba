//! The state machine of one manager: what a caller gets, and when the source is asked. No clock, no lock, no I/O: every method is told the
//! time, so that tests can drive it through years.

use crate::{Digest, Error, ErrorKind, MintError, Phase, Secret, Timestamp, Token};
use std::collections::HashMap;
use std::time::Duration;

/// What is known of one token name: the token, the flight that is to replace it, the last failure, the hosts that refused.
///
/// `F` is whatever the caller needs to wait for a flight.
pub(crate) struct Slot<F> {
    held: Option<Held>,
    /// The token that was refused last: when the issuer gives it again, it is said to be reissued.
    rejected: Option<Digest>,
    flight: Option<Flight<F>>,
    failure: Option<Failure>,
    /// Claims that a resource demanded and no mint has carried with success yet.
    claims: Option<Secret>,
    hosts: HashMap<String, Host>,
    /// Somebody tells us what hosts accept: then a host that was not named since is one that has not accepted.
    hears_acceptance: bool,
    flights: u64,
}

struct Held {
    token: Token,
    reissued: bool,
    /// The one attempt at `urgent_at` that ignores `Retry-After` was made.
    urgent_spent: bool,
    /// Until then nothing is minted for the sake of a `min_ttl` of more than this.
    short: Option<(Timestamp, Duration)>,
    /// Until then nothing is minted because the issuer gave the same token again.
    same_until: Option<Timestamp>,
}

impl Held {
    fn new(token: Token, reissued: bool) -> Self {
        Self { token, reissued, urgent_spent: false, short: None, same_until: None }
    }

    fn left_alone(&self, now: Timestamp) -> bool {
        self.same_until.is_some_and(|until| !until.waited(now))
    }

    fn cannot_last(&self, min_ttl: Duration, now: Timestamp) -> bool {
        self.short.is_some_and(|(until, longest)| min_ttl > longest && !until.waited(now))
    }
}

struct Flight<F> {
    id: u64,
    deadline: Timestamp,
    /// The claims that it was started with.
    claims: Option<Digest>,
    /// The longest `min_ttl` that somebody waits for.
    wanted: Duration,
    handle: F,
}

struct Failure {
    error: Error,
    not_before: Timestamp,
    streak: u32,
    /// The source's revision when it refused; a transient failure has none.
    refused_at: Option<u64>,
}

#[derive(Default)]
struct Host {
    /// When it last made a token fall.
    retired_at: Option<Timestamp>,
    blocked_until: Option<Timestamp>,
    strikes: u32,
    claims: Option<Digest>,
    /// New claims made a replacement fall: within one block they do so once.
    news_spent: bool,
}

/// What a caller asks for.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ask {
    pub(crate) min_ttl: Duration,
    /// The caller has waited for a flight already: it takes what there is.
    pub(crate) joined: bool,
    /// The source's revision, once the slot has asked for it.
    pub(crate) revision: Option<u64>,
    /// Wants a token minted with the pending claims.
    pub(crate) claims: bool,
}

/// What the caller is to do.
pub(crate) enum Decision<F> {
    /// Hand out the token.
    Serve(Served),
    /// Hand out the token, and start this flight.
    ServeAndFly(Served, Order<F>),
    /// Wait for the running flight.
    Join(F),
    /// Start this flight and wait for it; with a limit, the token is handed out when the limit has passed.
    Fly(Order<F>, Option<(Duration, Served)>),
    /// Call [`Slot::ask`] again with the source's revision.
    Revision,
    /// Hand out the error.
    Fail(Error),
}

/// A token and what goes with this answer.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) token: Token,
    pub(crate) short: bool,
    pub(crate) reissued: bool,
    /// The source is failing while this token lives on.
    pub(crate) failing: bool,
}

/// A flight to be started.
pub(crate) struct Order<F> {
    pub(crate) id: u64,
    pub(crate) handle: F,
    pub(crate) claims: Option<Secret>,
    pub(crate) deadline: Timestamp,
    /// A token that is held and usable.
    pub(crate) held: Option<Token>,
    /// The token that was refused last.
    pub(crate) rejected: Option<Digest>,
    /// The longest `min_ttl` that whoever started it waits for.
    pub(crate) wanted: Duration,
}

/// What became of a rejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// The token was the current one and is handed out no more. The next call mints.
    Retired,
    /// The token was not the current one: a newer one is there, or on its way.
    Stale,
    /// This host refuses every token; the rejection changes nothing until the time that `Status` tells. Pass the 401 on.
    HostRefused,
    /// The refusal is about permission, not about the token.
    Kept,
}

/// What a landing brought.
pub(crate) enum Landed {
    /// The token of this flight, as it is kept, and whether it replaced another.
    Token(Served, bool),
    Failed(Error),
}

impl<F: Clone> Slot<F> {
    pub(crate) fn new(token: Option<Token>) -> Self {
        Self {
            held: token.map(|token| Held::new(token, false)),
            rejected: None,
            flight: None,
            failure: None,
            claims: None,
            hosts: HashMap::new(),
            hears_acceptance: false,
            flights: 0,
        }
    }

    /// What a caller gets: the table of the design. `handle` makes the handle of a flight, should one start.
    pub(crate) fn ask(&mut self, now: Timestamp, ask: Ask, handle: impl FnOnce() -> F) -> Decision<F> {
        self.drop_lost_flight(now);
        let Some(served) = self.usable(now, ask.min_ttl) else { return self.ask_without_token(now, ask, handle) };
        if ask.claims && self.claims.is_some() {
            return self.ask_without_token(now, ask, handle);
        }
        let phase = served.token.moments().phase(now);
        if phase == Phase::Fresh && !served.short {
            return Decision::Serve(served);
        }
        if served.short && !ask.joined {
            if let Some(flight) = &mut self.flight {
                flight.wanted = flight.wanted.max(ask.min_ttl);
                return Decision::Join(flight.handle.clone());
            }
            if self.refused(now) && !self.forgives(ask.revision) {
                return ask.revision.map_or(Decision::Revision, |_| Decision::Serve(served));
            }
            if !self.held.as_ref().is_some_and(|held| held.cannot_last(ask.min_ttl, now)) && !self.backing_off(now) {
                return Decision::Fly(self.start(now, ask.min_ttl, handle), None);
            }
        }
        let left_alone = self.held.as_ref().is_some_and(|held| held.left_alone(now));
        if phase == Phase::Fresh || self.flight.is_some() || left_alone {
            return Decision::Serve(served);
        }
        if self.refused(now) && !self.forgives(ask.revision) {
            return ask.revision.map_or(Decision::Revision, |_| Decision::Serve(served));
        }
        // Whoever has waited already has seen an attempt; the one that ignores the wait is for somebody else.
        if self.backing_off(now) && (ask.joined || phase != Phase::Urgent || !self.spend_urgent_attempt()) {
            return Decision::Serve(served);
        }
        let order = self.start(now, Duration::ZERO, handle);
        // Whoever has waited already waits no more.
        if phase == Phase::Due || ask.joined {
            return Decision::ServeAndFly(served, order);
        }
        let half = served.token.moments().usable_until.until(now) / 2;
        Decision::Fly(order, Some((half.min(URGENT_WAIT), served)))
    }

    fn ask_without_token(&mut self, now: Timestamp, ask: Ask, handle: impl FnOnce() -> F) -> Decision<F> {
        if let Some(flight) = &mut self.flight {
            flight.wanted = flight.wanted.max(ask.min_ttl);
            return Decision::Join(flight.handle.clone());
        }
        if self.refused(now) && !self.forgives(ask.revision) && ask.revision.is_none() {
            return Decision::Revision;
        }
        if let Some(failure) = self.failure.as_ref().filter(|failure| !failure.not_before.waited(now)) {
            return Decision::Fail(failure.error.until(failure.not_before, now));
        }
        Decision::Fly(self.start(now, ask.min_ttl, handle), None)
    }

    /// Starts the flight that keeping fresh without callers needs, if one is needed and allowed now.
    pub(crate) fn refresh(&mut self, now: Timestamp, handle: impl FnOnce() -> F) -> Option<Order<F>> {
        self.drop_lost_flight(now);
        let phase = self.usable(now, Duration::ZERO).map(|served| served.token.moments().phase(now));
        let same = self.held.as_ref().is_some_and(|held| held.left_alone(now));
        if self.flight.is_some() || same || phase == Some(Phase::Fresh) {
            return None;
        }
        if self.backing_off(now) && !(phase == Some(Phase::Urgent) && self.spend_urgent_attempt()) {
            return None;
        }
        Some(self.start(now, Duration::ZERO, handle))
    }

    /// Takes the result of a flight; an error may have been recorded by [`fail`](Self::fail) already. `jitter` in 0..1 spreads the backoff. Returns what everyone who waited gets, and whether the next
    /// flight must start at once (claims wait for it).
    pub(crate) fn land(
        &mut self,
        id: u64,
        now: Timestamp,
        result: Result<Token, (Error, bool)>,
        jitter: f64,
        revision: u64,
    ) -> (Landed, bool) {
        let flight = if self.flight.as_ref().is_some_and(|flight| flight.id == id) { self.flight.take() } else { None };
        // Claims that were demanded after it had started are not the ones it carried.
        let pending = self.claims.as_ref().map(|claims| Digest::of(claims.expose()));
        let carried = pending.is_some() && flight.as_ref().is_some_and(|flight| flight.claims == pending);
        let wanted = flight.as_ref().map_or(Duration::ZERO, |flight| flight.wanted);
        let landed = match result {
            // It had been given up as lost, and what has taken its place brought a token that lasts longer.
            Ok(token) if flight.is_none() && self.outlives(&token, now) => self.keep(now, token),
            Ok(token) => self.install(token, now, carried, wanted),
            Err((error, recorded)) => {
                if carried && error.kind().is_refusal() {
                    self.give_up_claims(now);
                }
                // A flight that was given up as lost says nothing about the one that has taken its place.
                if flight.is_some() && !recorded {
                    self.fail(now, error.clone(), jitter, revision);
                }
                if let Some(held) = &mut self.held {
                    if !wanted.is_zero() {
                        held.short = Some((now + quiet(&held.token), Duration::ZERO));
                    }
                    if self.failure.is_none() {
                        // Nothing is remembered of this kind of error, but it must not be asked for in a loop either.
                        held.same_until = Some(now + ONE_SECOND);
                    }
                }
                Landed::Failed(error)
            }
        };
        let next = self.claims.is_some() && !carried && self.flight.is_none() && matches!(landed, Landed::Token(..));
        (landed, next)
    }

    fn install(&mut self, token: Token, now: Timestamp, carried_claims: bool, wanted: Duration) -> Landed {
        self.failure = None;
        if carried_claims {
            self.claims = None;
        }
        let replaced = self.held.is_some();
        let reissued = self.rejected == Some(token.digest());
        match self.held.as_mut().filter(|held| held.token.digest() == token.digest()) {
            // The issuer gave the same token again, but grants it a longer life: that is what counts from now on.
            Some(held) if lives_longer(&token, &held.token, now) => {
                let reissued = held.reissued || reissued;
                self.held = Some(Held::new(token, reissued));
            }
            // Its moments stay what they were, and it is left alone for a while.
            Some(held) => {
                held.same_until = Some(now + (held.token.moments().expires_at.until(now) / 4).max(ONE_SECOND))
            }
            None => self.held = Some(Held::new(token, reissued)),
        }
        // The slot holds a token: it was set on either branch.
        let Some(held) = self.held.as_mut() else { unreachable!("a token was installed") };
        let left = held.token.moments().expires_at.until(now);
        let short = left < wanted;
        if short {
            held.short = Some((now + quiet(&held.token), left));
        }
        let served = Served { token: held.token.clone(), short, reissued: held.reissued, failing: false };
        Landed::Token(served, replaced)
    }

    /// Whether the token that is held is usable, another one, and expires no earlier than `token`.
    fn outlives(&self, token: &Token, now: Timestamp) -> bool {
        self.usable(now, Duration::ZERO).is_some_and(|held| {
            let (held, new) = (held.token.moments().expires_at, token.moments().expires_at);
            held.boot_nanos() >= new.boot_nanos()
        })
    }

    /// The token that is held, in place of `late`.
    fn keep(&self, now: Timestamp, late: Token) -> Landed {
        let late = Served { token: late, short: false, reissued: false, failing: false };
        Landed::Token(self.usable(now, Duration::ZERO).unwrap_or(late), true)
    }

    /// The issuer refuses the claims. A mint without them may succeed, and the hosts that demanded them are left to their refusals for a while.
    fn give_up_claims(&mut self, now: Timestamp) {
        let Some(claims) = self.claims.take() else { return };
        let digest = Some(Digest::of(claims.expose()));
        for host in self.hosts.values_mut().filter(|host| host.claims == digest) {
            host.blocked_until = Some(now + doubled(FIRST_BLOCK, host.strikes, LONGEST_BLOCK));
            host.strikes = host.strikes.saturating_add(1);
        }
    }

    /// The credential was replaced.
    pub(crate) fn forget_refusal(&mut self) {
        if self.failure.as_ref().is_some_and(|failure| failure.refused_at.is_some()) {
            self.failure = None;
        }
    }

    /// A flight was aborted.
    pub(crate) fn lost(&mut self, id: u64) {
        if self.flight.as_ref().is_some_and(|flight| flight.id == id) {
            self.flight = None;
        }
    }

    /// Starts the flight for which claims wait, if none has started meanwhile.
    pub(crate) fn start_next(&mut self, now: Timestamp, handle: impl FnOnce() -> F) -> Option<Order<F>> {
        if self.flight.is_some() { None } else { Some(self.start(now, Duration::ZERO, handle)) }
    }

    /// Records a failure between two attempts of one flight; the answer is how long to wait before the next.
    pub(crate) fn fail(&mut self, now: Timestamp, error: Error, jitter: f64, revision: u64) -> Duration {
        let kind = error.kind();
        if !kind.is_transient() && !kind.is_refusal() {
            self.failure = None;
            return Duration::ZERO;
        }
        let refusal = kind.is_refusal();
        let before =
            self.failure.as_ref().filter(|failure| failure.refused_at.is_some() == refusal).map_or(0, |f| f.streak);
        let wait = backoff(error.cause(), before, jitter);
        let streak = before.saturating_add(1);
        self.failure = Some(Failure { error, not_before: now + wait, streak, refused_at: refusal.then_some(revision) });
        wait
    }

    /// A resource refused a token.
    pub(crate) fn reject(&mut self, digest: Digest, host: &str, claims: Option<Secret>, now: Timestamp) -> Rejection {
        let current = self.held.as_ref().is_some_and(|held| held.token.digest() == digest);
        // Another host made it fall a moment ago; what this one demands is news all the same.
        let fallen = self.rejected == Some(digest) && claims.is_some();
        if !current && !fallen {
            return Rejection::Stale;
        }
        if self.hosts.len() >= MOST_HOSTS && !self.hosts.contains_key(host) {
            let oldest = self
                .hosts
                .iter()
                .min_by_key(|(_, host)| host.retired_at.map(Timestamp::boot_nanos))
                .map(|(name, _)| name.clone());
            if let Some(oldest) = oldest {
                self.hosts.remove(&oldest);
            }
        }
        let record = self.hosts.entry(host.to_owned()).or_default();
        if record.blocked_until.is_some_and(|until| !until.waited(now)) {
            return Rejection::HostRefused;
        }
        if record.retired_at.is_some_and(|at| (at + LONGEST_BLOCK * 2).waited(now)) {
            record.strikes = 0;
        }
        let demanded = claims.as_ref().map(|claims| Digest::of(claims.expose()));
        let news = demanded.is_some() && demanded != record.claims;
        if !current {
            if news {
                record.claims = demanded;
                record.retired_at = Some(now);
                self.claims = claims;
            }
            return Rejection::Stale;
        }
        let block = doubled(FIRST_BLOCK, record.strikes, LONGEST_BLOCK);
        let memory = if self.hears_acceptance { LONGEST_BLOCK * 2 } else { block };
        // The token it refuses now came after the one that it made fall, and nobody said that it accepted one since. Once a block is over
        // it may make one token fall again.
        let replacement =
            record.blocked_until.is_none() && record.retired_at.is_some_and(|at| !(at + memory).waited(now));
        if replacement && (!news || record.news_spent) {
            record.blocked_until = Some(now + block);
            record.strikes = record.strikes.saturating_add(1);
            return Rejection::HostRefused;
        }
        record.news_spent = replacement;
        record.retired_at = Some(now);
        record.blocked_until = None;
        record.claims = demanded;
        if claims.is_some() {
            self.claims = claims;
        }
        self.rejected = Some(digest);
        self.held = None;
        Rejection::Retired
    }

    /// A host accepted the token: it is no problem.
    pub(crate) fn accepted(&mut self, digest: Digest, host: &str) {
        self.hears_acceptance = true;
        if self.held.as_ref().is_some_and(|held| held.token.digest() == digest) {
            self.hosts.remove(host);
        }
    }

    /// Until when `host`'s refusals are passed through.
    pub(crate) fn blocked_until(&self, host: &str) -> Option<Timestamp> {
        self.hosts.get(host).and_then(|host| host.blocked_until)
    }

    /// Whether any host is remembered: the answer that spares the hit path a lock.
    pub(crate) fn remembers_hosts(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// The token, and until when it may be handed out without asking this machine.
    pub(crate) fn hot(&self, now: Timestamp) -> Option<(Token, Timestamp)> {
        let held = self.held.as_ref()?;
        let moments = held.token.moments();
        let end = moments.usable_until;
        // A wait is over by the boot clock alone; the wall clock still ends the life.
        let until = |wait: Timestamp| Timestamp::from_nanos(wait.boot_nanos().min(end.boot_nanos()), end.wall_nanos());
        let quiet = if let Some(flight) = &self.flight {
            until(flight.deadline)
        } else if let Some(failure) = self.failure.as_ref().filter(|failure| !failure.not_before.waited(now)) {
            if failure.refused_at.is_some() {
                // A replaced credential is noticed soon, though nobody waits for it.
                until(failure.not_before.earlier(now + LOOK_AGAIN))
            } else if self.may_try_when_urgent() {
                moments.urgent_at
            } else {
                until(failure.not_before)
            }
        } else if let Some(same) = held.same_until {
            until(same)
        } else {
            moments.refresh_at
        };
        let until = if quiet.boot_nanos() < moments.refresh_at.boot_nanos() { moments.refresh_at } else { quiet };
        Some((held.token.clone(), until))
    }

    /// When [`refresh`](Self::refresh) is worth calling again.
    pub(crate) fn next_refresh(&self, now: Timestamp) -> Timestamp {
        if let Some(flight) = &self.flight {
            return flight.deadline;
        }
        let due = self.held.as_ref().map_or(now, |held| held.token.moments().refresh_at);
        let due = self.held.as_ref().and_then(|held| held.same_until).map_or(due, |same| due.later(same));
        let Some(failure) = &self.failure else { return due };
        let tried = due.later(failure.not_before);
        match &self.held {
            Some(held) if self.may_try_when_urgent() => tried.earlier(due.later(held.token.moments().urgent_at)),
            _ => tried,
        }
    }

    pub(crate) fn last_failure(&self) -> Option<(&Error, Timestamp, u32, bool)> {
        self.failure.as_ref().map(|f| (&f.error, f.not_before, f.streak, f.refused_at.is_some()))
    }

    pub(crate) fn current(&self) -> Option<(&Token, bool)> {
        self.held.as_ref().map(|held| (&held.token, held.reissued))
    }

    pub(crate) fn flying(&self) -> bool {
        self.flight.is_some()
    }

    fn usable(&self, now: Timestamp, min_ttl: Duration) -> Option<Served> {
        let held = self.held.as_ref()?;
        let moments = held.token.moments();
        if moments.phase(now) == Phase::Expired {
            return None;
        }
        let short = !min_ttl.is_zero() && moments.expires_at.until(now) < min_ttl;
        let failing = self.failure.is_some();
        Some(Served { token: held.token.clone(), short, reissued: held.reissued, failing })
    }

    fn backing_off(&self, now: Timestamp) -> bool {
        self.failure.as_ref().is_some_and(|failure| !failure.not_before.waited(now))
    }

    /// The source refused, and is to be left alone for now.
    fn refused(&self, now: Timestamp) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.refused_at.is_some() && !failure.not_before.waited(now))
    }

    /// Forgets a refusal if the credential is another by now.
    fn forgives(&mut self, revision: Option<u64>) -> bool {
        let refused_at = self.failure.as_ref().and_then(|failure| failure.refused_at);
        let another = revision.is_some() && refused_at.is_some() && revision != refused_at;
        if another {
            self.failure = None;
        }
        another
    }

    /// One attempt at `urgent_at` may ignore a wait that would outlast the token.
    fn may_try_when_urgent(&self) -> bool {
        let (Some(failure), Some(held)) = (&self.failure, &self.held) else { return false };
        let outlasts = failure.not_before.boot_nanos() >= held.token.moments().usable_until.boot_nanos();
        failure.refused_at.is_none() && outlasts && !held.urgent_spent
    }

    fn spend_urgent_attempt(&mut self) -> bool {
        let spend = self.may_try_when_urgent();
        if let Some(held) = &mut self.held {
            held.urgent_spent |= spend;
        }
        spend
    }

    fn start(&mut self, now: Timestamp, wanted: Duration, handle: impl FnOnce() -> F) -> Order<F> {
        self.flights = self.flights.wrapping_add(1);
        let handle = handle();
        let deadline = now + FLIGHT;
        let claims = self.claims.clone();
        self.flight = Some(Flight {
            id: self.flights,
            deadline: deadline + GRACE,
            claims: claims.as_ref().map(|claims| Digest::of(claims.expose())),
            wanted,
            handle: handle.clone(),
        });
        let held = self.usable(now, Duration::ZERO).map(|served| served.token);
        Order { id: self.flights, handle, claims, deadline, held, rejected: self.rejected, wanted }
    }

    /// A flight that is past its deadline and has not said so is lost: its thread was blocked or is gone.
    fn drop_lost_flight(&mut self, now: Timestamp) {
        if self.flight.as_ref().is_some_and(|flight| flight.deadline.waited(now)) {
            self.flight = None;
        }
    }
}

/// How long a source is left alone after its failure number `before` + 1 in a row of this sort. `jitter` in 0..1 spreads the wait.
pub(crate) fn backoff(error: &MintError, before: u32, jitter: f64) -> Duration {
    if error.kind().is_refusal() {
        return doubled(REFUSAL_FIRST, before, LONGEST_BACKOFF);
    }
    let whole = doubled(ONE_SECOND, before, LONGEST_BACKOFF);
    let own = whole / 2 + (whole / 2).mul_f64(jitter.clamp(0.0, 1.0));
    own.max(error.wait().unwrap_or_default().min(LONGEST_RETRY_AFTER))
}

pub(crate) fn doubled(first: Duration, times: u32, most: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(times.min(16))).min(most)
}

/// Whether what the issuer says of `again` outlasts what it said when it gave the same token before. A second more is rounding.
fn lives_longer(again: &Token, before: &Token, now: Timestamp) -> bool {
    let (new, old) = (again.moments(), before.moments());
    old.phase(now) == Phase::Expired || new.expires_at.since(old.expires_at) > ONE_SECOND
}

/// How long nothing is minted for a `min_ttl`'s sake after it could not be met.
pub(crate) fn quiet(token: &Token) -> Duration {
    (token.moments().life() / 4).max(ONE_SECOND)
}

/// Whether an error lets a flight try again.
pub(crate) fn worth_another(kind: ErrorKind) -> bool {
    kind.is_transient()
}

/// How long a flight may take on our clock.
pub(crate) const FLIGHT: Duration = Duration::from_secs(20);
/// How much later a flight that did not land is given up.
const GRACE: Duration = Duration::from_secs(1);
const ONE_SECOND: Duration = Duration::from_secs(1);
/// How often the credential of a refusing source is looked at while a token is held.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
const URGENT_WAIT: Duration = Duration::from_secs(2);
const REFUSAL_FIRST: Duration = Duration::from_secs(5);
const LONGEST_BACKOFF: Duration = Duration::from_secs(60);
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);
pub(crate) const FIRST_BLOCK: Duration = Duration::from_secs(60);
pub(crate) const LONGEST_BLOCK: Duration = Duration::from_secs(15 * 60);
const MOST_HOSTS: usize = 256;
