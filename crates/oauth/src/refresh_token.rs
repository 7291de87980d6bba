//! The refresh token grant (RFC 6749 section 6), with rotation (RFC 9700 section 4.14).

use crate::builder::{Builder, RefreshTokenGrant, misconfigured};
use crate::error::{SIGN_IN, is_invalid_grant};
use crate::exchange::{Exchange, Grant, trimmed};
use crate::rotation::{Turn, Unwritten, seed};
use crate::sign_ins::SignIns;
use crate::{NAME, Server};
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use unexpired_core::{
    BoxFuture, Digest, ErrorKind, MemoryStore, MintError, MintRequest, Secret, SecretSource, StoreKey, Token,
    TokenSource, TokenStore,
};
use unexpired_http::{Failure, Response};

/// Somebody signed in, and this keeps them signed in.
///
/// Many servers *rotate*: each answer holds a new refresh token, and whoever presents a used one again, thief or not, ends the whole grant.
/// So with one [`TokenStore`] for all who have the same refresh token:
///
/// - One at a time redeems it: lock, load, send, store. Over all tasks, threads and processes.
/// - The new refresh token is in the store before its access token is handed out. If the store fails, the access token is handed out with a
///   warning in the log, the refresh token is kept in memory, and writing is tried again at the next mint.
/// - That a token is sent is noted before it is sent. If its answer is lost (the connection breaks, the process ends), the same token is sent
///   once more. If that answer is lost too, or is `invalid_grant`, the error is `Denied`: sign in again. It is never sent a third time.
/// - At a server whose last answer let the token stand (it does not rotate) nothing is lost with an answer, and the token is sent as often as
///   need be.
/// - An answer with an error status is an answer: the token is not used up by it, and may be sent again later. 502, 504 and what else a
///   gateway says for a server that did not answer it (5xx without OAuth's `error`) is a lost answer. 429 and 503 are not: whoever says so has
///   not passed the request on. (Envoy may have, if its 503 is a line of plain text.)
/// - After `invalid_grant` the store and the configured refresh token are read once more before it counts: somebody may just have
///   rotated it, or signed in again.
/// - A refresh token that is configured anew (somebody signed in again) begins a record of its own. Once it has worked, what was stored for the
///   old one is wiped, if the [`place`](Builder::place) of both is known.
/// - Without time enough to connect and to wait for the answer, nothing is sent. It is the boot clock that counts: a machine that was suspended
///   while it waited for its turn sends nothing late.
///
/// Sources with the same server, client and refresh token share a record, whatever else they ask for: a narrowed scope does not narrow the
/// refresh token.
///
/// ```
/// use std::sync::Arc;
/// use unexpired_core::{MemoryStore, Secret};
/// use unexpired_oauth::{RefreshToken, Server};
///
/// # fn main() -> Result<(), unexpired_core::MintError> {
/// let source = RefreshToken::builder(Server::issuer("https://as.example.com")?, "native-app")
///     .refresh_token(Arc::new(Secret::new("rt-1")))
///     .store(Arc::new(MemoryStore::new()))
///     .scope("read")
///     .build()?;
/// # let _ = source;
/// # Ok(())
/// # }
/// ```
pub struct RefreshToken {
    exchange: Exchange,
    refresh_token: Arc<dyn SecretSource>,
    store: Arc<dyn TokenStore>,
    unwritten: Unwritten,
    sign_ins: SignIns,
}

impl RefreshToken {
    /// Starts with the server and the client's id there.
    pub fn builder(server: Server, client_id: &str) -> Builder<RefreshTokenGrant> {
        Builder::new(server, client_id, RefreshTokenGrant::default())
    }

    async fn request(&self, request: &MintRequest) -> Result<Token, MintError> {
        let mut configured = self.configured().await?;
        let mut outcome = Box::pin(self.redeem(&configured, None, request)).await;
        if let Err(Refusal::Grant(refused)) = outcome {
            configured = self.configured().await?;
            outcome = Box::pin(self.redeem(&configured, Some(refused), request)).await;
        }
        if outcome.is_ok() {
            let (seed, record_of) = (seed(&configured), |seed: &str| self.key(seed));
            let wiping = self.sign_ins.worked(&*self.store, &seed, &record_of);
            // Not at the cost of the token.
            request.limited_to(NOTING).within_deadline(Box::pin(wiping)).await;
        }
        outcome.map_err(Refusal::into_error)
    }

    /// Redeems the token whose turn it is, unless it is the one that was just refused.
    async fn redeem(
        &self,
        configured: &Secret,
        refused: Option<RefusedGrant>,
        request: &MintRequest,
    ) -> Result<Token, Refusal> {
        // What else may fail, before the lock.
        let prepared = self.exchange.prepare(request).await?;
        let mut turn =
            Turn::begin(&*self.store, self.key(&seed(configured)), configured, &self.unwritten, request).await?;
        let token = turn.token().clone();
        let sent = Digest::of(token.expose());
        if let Some(refused) = refused.filter(|refused| refused.sent == sent) {
            return Err(Refusal::Grant(refused));
        }
        let host = prepared.host().to_owned();
        let again = turn.unanswered() > 0;
        if turn.unanswered() >= MOST_UNANSWERED {
            return Err(Refusal::Other(lost_for_good(&host, "")));
        }
        let Some(limited) = enough_time(request) else {
            let message = if again {
                "the server has not answered, and too little time is left to send the refresh token once more"
            } else {
                "too little time is left to redeem a refresh token"
            };
            return Err(Refusal::Other(MintError::new(ErrorKind::TimedOut, message).host(&host)));
        };

        let grant = Grant::RefreshToken(&token);
        turn.sending().await;
        let response = match self.exchange.send(grant, &prepared, &limited).await {
            Ok(response) => response,
            Err(error) if !error.maybe_received() => {
                turn.not_redeemed().await;
                return Err(Refusal::Other(error.into()));
            }
            Err(error) => {
                let error = MintError::from(error);
                return Err(Refusal::Other(if again { lost_for_good(&host, error.message()) } else { error }));
            }
        };
        match self.exchange.read(grant, &prepared, &response) {
            Ok(mut answer) => {
                turn.redeemed(answer.refresh_token.take().filter(is_usable)).await;
                Ok(self.exchange.token(answer, &response)?)
            }
            Err(error) => match Rotated::of(&response) {
                // A used-up token and a lost answer cannot be told apart: it stays noted as sent twice.
                Rotated::No if is_invalid_grant(&response) && again => {
                    Err(Refusal::Grant(RefusedGrant { sent, error: lost_for_good(&host, error.message()) }))
                }
                Rotated::No => {
                    turn.not_redeemed().await;
                    if is_invalid_grant(&response) {
                        return Err(Refusal::Grant(RefusedGrant { sent, error }));
                    }
                    Err(Refusal::Other(error))
                }
                Rotated::Yes(new) => {
                    turn.redeemed(new).await;
                    Err(Refusal::Other(error))
                }
                Rotated::Unknown if again => Err(Refusal::Other(lost_for_good(&host, error.message()))),
                Rotated::Unknown if turn.may_rotate() && !response.is_success() => {
                    let wait = error.wait().unwrap_or_default().max(PAUSE);
                    Err(Refusal::Other(error.retry_after(Some(wait))))
                }
                Rotated::Unknown => Err(Refusal::Other(error)),
            },
        }
    }

    async fn configured(&self) -> Result<Secret, MintError> {
        let token = trimmed(&self.refresh_token.secret().await?, "refresh_token")?;
        if !is_usable(&token) {
            return Err(misconfigured("the refresh_token is none", "sign in again and store what the server answers"));
        }
        Ok(token)
    }

    /// The seed is part of the key: two people who signed in with one client have a record each.
    fn key(&self, seed: &str) -> StoreKey {
        StoreKey::of(&[NAME, "refresh_token", self.exchange.server.identity(), &self.exchange.client_id, seed])
    }
}

impl Builder<RefreshTokenGrant> {
    /// The refresh token that the sign-in gave, read anew at every mint. It is not written to: what the server answers in its place is in the
    /// [`store`](Self::store).
    pub fn refresh_token(mut self, refresh_token: Arc<dyn SecretSource>) -> Self {
        self.grant.refresh_token = Some(refresh_token);
        self
    }

    /// Where new refresh tokens are kept. Default: a [`MemoryStore`] of this source's own, which is right only for servers that do not rotate: with
    /// others the sign-in is lost when the process ends.
    pub fn store(mut self, store: Arc<dyn TokenStore>) -> Self {
        self.grant.store = Some(store);
        self
    }

    /// What names the place of the [`refresh_token`](Self::refresh_token), such as the path of its file: the same for the token of the next
    /// sign-in. With it, what the store holds of the former sign-in is wiped when the new one has worked. Default: none, and it stays there.
    pub fn place(mut self, place: &str) -> Self {
        self.grant.place = Some(place.to_owned());
        self
    }

    /// The source. Nothing is read or asked yet.
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](ErrorKind::Misconfigured): no refresh token, a client id, scope, audience or resource that cannot be one, an extra
    /// parameter that is the protocol's, a client authentication that does not fit the secret.
    pub fn build(self) -> Result<RefreshToken, MintError> {
        let (exchange, grant) = self.into_exchange()?;
        let Some(refresh_token) = grant.refresh_token else {
            return Err(misconfigured("there is no refresh_token", "sign in, and set refresh_token"));
        };
        let store = grant.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let note = grant
            .place
            .map(|place| StoreKey::of(&[NAME, "sign_in", exchange.server.identity(), &exchange.client_id, &place]));
        let sign_ins = SignIns::noted_at(note);
        Ok(RefreshToken { exchange, refresh_token, store, unwritten: Unwritten::default(), sign_ins })
    }
}

impl TokenSource for RefreshToken {
    fn name(&self) -> &str {
        NAME
    }

    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        Box::pin(async move { self.request(&request).await.map_err(|error| error.from_source(NAME)) })
    }

    fn revision(&self) -> u64 {
        // Odd and not one, so that changes of both do not cancel each other.
        self.refresh_token.revision().wrapping_mul(31).wrapping_add(self.exchange.revision())
    }
}

impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshToken").field("exchange", &self.exchange).finish_non_exhaustive()
    }
}

/// Why there is no token.
enum Refusal {
    Grant(RefusedGrant),
    Other(MintError),
}

/// The server refuses this refresh token.
struct RefusedGrant {
    sent: Digest,
    error: MintError,
}

impl Refusal {
    fn into_error(self) -> MintError {
        match self {
            Self::Grant(refused) => refused.error,
            Self::Other(error) => error,
        }
    }
}

impl From<MintError> for Refusal {
    fn from(error: MintError) -> Self {
        Self::Other(error)
    }
}

/// What an answer without a token did to the refresh token.
enum Rotated {
    /// Nothing.
    No,
    /// It was redeemed: the answer is good but for the access token.
    Yes(Option<Secret>),
    /// It may have been redeemed, and what takes its place is lost: the answer cannot be read, or is a gateway's.
    Unknown,
}

impl Rotated {
    fn of(response: &Response) -> Self {
        #[derive(Deserialize)]
        struct Answer {
            refresh_token: Option<String>,
        }

        let failure = response.failure();
        if is_lost(response, &failure) {
            return Self::Unknown;
        }
        // A page with status 200 is a portal's or a proxy's, not the token endpoint's.
        let is_object = response.body().trim_ascii_start().starts_with(b"{");
        if !response.is_success() || failure.error.is_some() || failure.error_code.is_some() || !is_object {
            return Self::No;
        }
        match response.json::<Answer>() {
            Ok(answer) => Self::Yes(answer.refresh_token.map(Secret::from).filter(is_usable)),
            Err(_) => Self::Unknown,
        }
    }
}

/// Whether this is what a gateway says that has passed the request on and got no answer.
fn is_lost(response: &Response, failure: &Failure) -> bool {
    let is_oauth = failure.error.as_deref().is_some_and(|e| e.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    match response.status() {
        502 | 504 => true,
        503 => {
            let is_json = response.body().trim_ascii_start().starts_with(b"{");
            !(failure.is_empty || failure.is_html || is_json)
        }
        500..=599 => !is_oauth,
        _ => false,
    }
}

/// Whether this can be a refresh token. `not_supported` is what IBM Cloud answers in the place of one.
fn is_usable(token: &Secret) -> bool {
    let token = token.expose();
    !token.is_empty() && token != "not_supported" && !token.chars().any(char::is_control)
}

/// `why` is what came of the last attempt, if this process made it.
fn lost_for_good(host: &str, why: &str) -> MintError {
    let mut message = "the server's answer, and with it the new refresh token, was lost".to_owned();
    if !why.is_empty() {
        message = format!("{message} ({why})");
    }
    MintError::new(ErrorKind::Denied, message).host(host).remedy(SIGN_IN)
}

/// The request with its end moved forward, so that what came of it can be noted; `None` if it is too late to begin. The boot clock counts: the
/// machine may have been suspended while this waited for its turn.
fn enough_time(request: &MintRequest) -> Option<MintRequest> {
    let time = request.remaining().checked_sub(NOTING)?;
    (time >= LEAST_TIME).then(|| request.limited_to(time))
}

/// How often one token may go without an answer.
const MOST_UNANSWERED: u32 = 2;

/// Before the one other attempt where a gateway gave up: it is likely to do so again at once.
const PAUSE: Duration = Duration::from_secs(10);

/// For the store, after the answer.
const NOTING: Duration = Duration::from_secs(1);

/// More than connecting may take by default (5 s): else a network that is down looks like a lost answer.
const LEAST_TIME: Duration = Duration::from_secs(6);
