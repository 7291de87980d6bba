//! Where tokens come from.

use crate::slot::Order;
use crate::time::SharedClock;
use crate::{BoxFuture, Clock, Digest, MintError, Secret, Timestamp, Token};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Something that mints tokens: one implementation a kind of credential.
///
/// A source has no cache, makes no retry and keeps no state beyond what its protocol needs: it builds a request and reads a response. The
/// engine ([`TokenManager`](crate::TokenManager)) does the rest, and never calls `mint` twice at the same time for one manager.
///
/// ```
/// use std::time::Duration;
/// use unexpired_core::{BoxFuture, MintError, MintRequest, Token, TokenSource};
///
/// struct Fixed;
///
/// impl TokenSource for Fixed {
///     fn name(&self) -> &str {
///         "fixed"
///     }
///
///     fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
///         Box::pin(async move {
///             Token::builder("at-1", request.now()).source("fixed").expires_in(Duration::from_secs(60)).build()
///         })
///     }
/// }
/// ```
pub trait TokenSource: Send + Sync + 'static {
    /// A short name for errors, events and `Token::source`: `entra`, `google`, …
    fn name(&self) -> &str;

    /// Asks for one token, once. Dropping the future gives up.
    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>>;

    /// Changes when the credential may have changed (a file was replaced, somebody signed in again). Must be cheap. A change makes the
    /// engine forget a refusal. The default says "never".
    fn revision(&self) -> u64 {
        0
    }

    /// A sibling with the same credential for another scope, if the credential can do that.
    fn for_scope(&self, scope: &str) -> Option<Arc<dyn TokenSource>> {
        let _ = scope;
        None
    }
}

impl<S: TokenSource + ?Sized> TokenSource for Arc<S> {
    fn name(&self) -> &str {
        (**self).name()
    }

    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        (**self).mint(request)
    }

    fn revision(&self) -> u64 {
        (**self).revision()
    }

    fn for_scope(&self, scope: &str) -> Option<Arc<dyn TokenSource>> {
        (**self).for_scope(scope)
    }
}

/// What the engine tells a source about the token it wants.
#[derive(Clone, Debug)]
pub struct MintRequest {
    claims: Option<Secret>,
    held: Option<Arc<str>>,
    replaces: Option<Digest>,
    rejected: Option<Digest>,
    min_ttl: Duration,
    deadline: Timestamp,
    clock: SharedClock,
}

impl MintRequest {
    pub(crate) fn new(clock: SharedClock, deadline: Timestamp) -> Self {
        let (claims, held, replaces, rejected) = Default::default();
        Self { claims, held, replaces, rejected, min_ttl: Duration::ZERO, deadline, clock }
    }

    /// The request of a flight that was ordered.
    pub(crate) fn ordered<F>(clock: SharedClock, order: &Order<F>) -> Self {
        Self {
            claims: order.claims.clone(),
            held: order.held.as_ref().map(Token::source_name),
            replaces: order.held.as_ref().map(Token::digest),
            rejected: order.rejected,
            min_ttl: order.wanted,
            ..Self::new(clock, order.deadline)
        }
    }

    /// A request on the system's clock with 20 s of time, for calling a source without a manager: in tests, or for a probe.
    #[cfg(feature = "thread")]
    pub fn standalone() -> Self {
        Self::standalone_on(Arc::new(crate::SystemClock))
    }

    /// As `standalone`, on another clock.
    pub fn standalone_on(clock: Arc<dyn Clock>) -> Self {
        let deadline = clock.now() + Duration::from_secs(20);
        Self::new(SharedClock::Given(clock), deadline)
    }

    /// The same request with a claims challenge.
    #[must_use]
    pub fn with_claims(mut self, claims: impl Into<Secret>) -> Self {
        self.claims = Some(claims.into());
        self
    }

    /// The same request by somebody who waits for a token with so much life left.
    #[must_use]
    pub fn with_min_ttl(mut self, min_ttl: Duration) -> Self {
        self.min_ttl = min_ttl;
        self
    }

    /// The claims (a JSON object as text) that a resource demanded in a challenge.
    pub fn claims(&self) -> Option<&str> {
        self.claims.as_ref().map(Secret::expose)
    }

    /// The name of the source whose token is held and still usable, if there is one.
    pub fn held_source(&self) -> Option<&str> {
        self.held.as_deref()
    }

    /// The token that is held and still usable, by its digest: the new one is to take its place.
    pub fn replaces(&self) -> Option<Digest> {
        self.replaces
    }

    /// The token that a resource refused last, by its digest. Whoever keeps tokens must not answer it again.
    pub fn rejected(&self) -> Option<Digest> {
        self.rejected
    }

    /// The least life that somebody waits for; zero if nobody asked for any.
    pub fn min_ttl(&self) -> Duration {
        self.min_ttl
    }

    /// Both clocks, now. To be read before a request is sent.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// When the engine gives up on this mint.
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// How much time is left.
    pub fn remaining(&self) -> Duration {
        self.deadline.since(self.clock.now())
    }

    /// The same request with at most `time` left.
    #[must_use]
    pub fn limited_to(&self, time: Duration) -> Self {
        let end = self.clock.now() + time;
        let deadline = if end.boot_nanos() < self.deadline.boot_nanos() { end } else { self.deadline };
        Self { deadline, ..self.clone() }
    }

    /// The same request, for the part of a source that gave the token which is held.
    #[must_use]
    pub(crate) fn held_by(mut self, source: impl Into<Arc<str>>) -> Self {
        self.held = Some(source.into());
        self
    }

    /// The same request, for a token that is to take the place of `token`.
    #[must_use]
    pub(crate) fn replacing(mut self, token: &Token) -> Self {
        self.held = Some(token.source_name());
        self.replaces = Some(token.digest());
        self
    }

    /// `future`'s output, or `None` once the deadline has passed.
    pub async fn within_deadline<F: Future>(&self, future: F) -> Option<F::Output> {
        within(&self.clock, self.deadline, future).await
    }
}

/// `future`'s output, or `None` once the boot clock has reached `deadline`.
pub(crate) async fn within<F: Future>(clock: &SharedClock, deadline: Timestamp, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut timer = pin!(clock.sleep_until(deadline));
    std::future::poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        timer.as_mut().poll(context).map(|()| None)
    })
    .await
}
