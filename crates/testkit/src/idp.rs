use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, json};
use unexpired_core::Secret;

use crate::builder::IdentityProviderBuilder;
use crate::clock::{nanos, system_time};
use crate::folder::Folder;
use crate::registry::{self, defaults};
use crate::resource::ResourceServer;
use crate::server::{Listening, Server, bind};
use crate::shared::Shared;
use crate::token::Grant;
use crate::{Client, Endpoint, Fault, RecordedRequest, StartError};

/// An identity provider in this process, on loopback, that speaks as Entra, Google, IBM Cloud and any OAuth 2.0 server do.
///
/// It runs on a thread of its own and works from tests of any kind: synchronous ones, and any runtime. It stops when the
/// last handle (clones, and [`ResourceServer`]s) is dropped.
///
/// | what | where |
/// |---|---|
/// | Entra | `POST /{tenant}/oauth2/v2.0/token`, `GET /{tenant}/v2.0/.well-known/openid-configuration`, `GET /{tenant}/discovery/v2.0/keys`, `GET /common/discovery/instance` |
/// | Google | `POST /google/token`, `GET /google/certs` |
/// | IBM | `POST /identity/token`, `GET /identity/keys` |
/// | OAuth | `POST /oauth2/token`, `GET /oauth2/jwks`, `GET /oauth2/.well-known/openid-configuration`, `GET /.well-known/oauth-authorization-server/oauth2` |
/// | resource servers | anything below `/resource` |
///
/// What is known without being registered stands in [`defaults`].
///
/// # Time
///
/// Lives may be as short as a millisecond. A life of whole seconds is written as real servers do it, with whole seconds in
/// `exp` (rounded up) and `expires_in`; any other life has a fraction in both. The server keeps the exact moment for
/// itself: its resource servers refuse a token from that moment on, without leeway.
///
/// ```
/// use std::time::Duration;
/// use unexpired_testkit::{Endpoint, Fault, IdentityProvider};
///
/// # fn main() -> Result<(), unexpired_testkit::StartError> {
/// let idp = IdentityProvider::builder().lifetime(Duration::from_secs(3)).blocking_start()?;
/// idp.fault_at(Endpoint::OAuth, Fault::status(503).retry_after("1").times(2));
/// assert!(idp.oauth_token_url().starts_with("http://127.0.0.1:"));
/// assert_eq!(idp.mints(), 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct IdentityProvider(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) server: Server,
    /// The first base, which is the plain one if there is one.
    pub(crate) url: String,
    pub(crate) https_url: Option<String>,
    pub(crate) ca_pem: Option<String>,
    pub(crate) folder: Folder,
}

impl IdentityProvider {
    /// Starts one with everything at its default: plain http on a free port, tokens of one hour.
    ///
    /// # Errors
    ///
    /// [`StartError`] if no port or no thread can be had.
    #[expect(clippy::unused_async, reason = "reads as what it is in an async test")]
    pub async fn start() -> Result<Self, StartError> {
        Self::blocking_start()
    }

    /// As [`start`](Self::start), for synchronous tests.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn blocking_start() -> Result<Self, StartError> {
        Self::builder().blocking_start()
    }

    /// To set more.
    #[must_use]
    pub fn builder() -> IdentityProviderBuilder {
        IdentityProviderBuilder::default()
    }

    // Where things are.

    /// The base URL: `http://127.0.0.1:PORT`, or the https one if plain http is off.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The base URL with TLS, `https://localhost:PORT`, if [`https`](IdentityProviderBuilder::https) is on.
    #[must_use]
    pub fn https_url(&self) -> Option<&str> {
        self.0.https_url.as_deref()
    }

    /// The certificate of the CA that signed the server's, in PEM.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&str> {
        self.0.ca_pem.as_deref()
    }

    /// The same as a file, in a private temporary folder that goes away with the server.
    #[must_use]
    pub fn ca_file(&self) -> Option<std::path::PathBuf> {
        self.0.ca_pem.as_ref().map(|_| self.0.folder.path().join(CA_FILE))
    }

    /// The private temporary folder of this server, for files that should go away with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.0.folder.path()
    }

    /// The authority to give to Entra clients: the base URL.
    #[must_use]
    pub fn entra_authority(&self) -> &str {
        self.url()
    }

    /// Entra's token endpoint of the default tenant.
    #[must_use]
    pub fn entra_token_url(&self) -> String {
        format!("{}/{}/oauth2/v2.0/token", self.url(), defaults::TENANT)
    }

    /// Google's token endpoint.
    #[must_use]
    pub fn google_token_url(&self) -> String {
        format!("{}/google/token", self.url())
    }

    /// The endpoint to give to IBM clients, which add `/identity/token` to it.
    #[must_use]
    pub fn ibm_endpoint(&self) -> &str {
        self.url()
    }

    /// IBM's token endpoint.
    #[must_use]
    pub fn ibm_token_url(&self) -> String {
        format!("{}/identity/token", self.url())
    }

    /// OAuth's token endpoint.
    #[must_use]
    pub fn oauth_token_url(&self) -> String {
        format!("{}/oauth2/token", self.url())
    }

    /// OAuth's issuer, whose discovery documents name the token endpoint.
    #[must_use]
    pub fn oauth_issuer(&self) -> String {
        format!("{}/oauth2", self.url())
    }

    /// OAuth's key set. All endpoints sign with the same key.
    #[must_use]
    pub fn jwks_url(&self) -> String {
        format!("{}/oauth2/jwks", self.url())
    }

    /// A key file of the default service account whose `token_uri` points here: what `GOOGLE_APPLICATION_CREDENTIALS` names.
    #[must_use]
    pub fn service_account_json(&self) -> Secret {
        let key = json!({
            "type": "service_account",
            "project_id": "demo-project",
            "private_key_id": defaults::SERVICE_ACCOUNT_KEY_ID,
            "private_key": registry::SERVICE_ACCOUNT_PEM,
            "client_email": defaults::SERVICE_ACCOUNT,
            "client_id": "100000000000000000001",
            "token_uri": self.google_token_url(),
            "universe_domain": "googleapis.com",
        });
        Secret::new(key.to_string())
    }

    /// The resource server at `/resource`, which takes every token of this identity provider.
    #[must_use]
    pub fn resource_server(&self) -> ResourceServer {
        ResourceServer::default_of(self)
    }

    // What happened.

    /// The requests to all endpoints, oldest first: the last 10,000.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared().lock().requests.iter().cloned().collect()
    }

    /// The requests to one endpoint, oldest first.
    #[must_use]
    pub fn requests_at(&self, endpoint: Endpoint) -> Vec<RecordedRequest> {
        self.shared().lock().requests.iter().filter(|request| request.endpoint == endpoint).cloned().collect()
    }

    /// How many tokens were minted at all endpoints. Refusals, and tokens given again, do not count.
    #[must_use]
    pub fn mints(&self) -> usize {
        *self.shared().mints.borrow()
    }

    /// How many tokens were minted at one endpoint.
    #[must_use]
    pub fn mints_at(&self, endpoint: Endpoint) -> usize {
        self.shared().lock().minted_at(endpoint)
    }

    /// Waits until `n` tokens were minted in all, at most 10 s (of real time). Whether it came to that.
    #[must_use = "false says that it did not happen"]
    pub async fn wait_for_mints(&self, n: usize) -> bool {
        let mut mints = self.shared().mints.subscribe();
        // On the server's runtime, since the caller's may have no timer.
        let waiting = self.0.server.handle().spawn(async move {
            tokio::time::timeout(PATIENCE, mints.wait_for(|mints| *mints >= n)).await.is_ok_and(|waited| waited.is_ok())
        });
        waiting.await.unwrap_or(false)
    }

    /// As [`wait_for_mints`](Self::wait_for_mints), blocking the thread.
    #[must_use = "false says that it did not happen"]
    pub fn blocking_wait_for_mints(&self, n: usize) -> bool {
        let end = std::time::Instant::now() + PATIENCE;
        while self.mints() < n {
            if std::time::Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }

    // What goes wrong.

    /// Sets a fault for all four token endpoints together: of a fault that happens twice, each request takes one.
    pub fn fault(&self, fault: Fault) {
        self.set_fault(None, fault);
    }

    /// Sets a fault for one endpoint.
    pub fn fault_at(&self, endpoint: Endpoint, fault: Fault) {
        self.set_fault(Some(endpoint), fault);
    }

    /// All token endpoints answer 503 until the server's clock has moved on by `time`.
    pub fn outage(&self, time: Duration) {
        self.fault(Fault::status(503).lasting(time));
    }

    /// Takes back all faults that are not used up.
    pub fn clear_faults(&self) {
        self.shared().lock().faults.clear(None);
    }

    /// How many faults are set and not used up.
    #[must_use]
    pub fn faults(&self) -> usize {
        let now = self.shared().clock.now();
        self.shared().lock().faults.active(now)
    }

    /// Takes a token back: an access token, or a refresh token with its family and their access tokens. Whether it was
    /// known.
    pub fn revoke(&self, token: &str) -> bool {
        self.shared().revoke(token)
    }

    /// Takes every access token back that was issued so far. Refresh tokens stay good. How many it were.
    pub fn revoke_all(&self) -> usize {
        self.shared().lock().tokens.revoke_all()
    }

    /// Takes every refresh token back: users must sign in again.
    pub fn revoke_all_refresh_tokens(&self) {
        self.shared().lock().refresh.revoke_all();
    }

    /// Sets the server's clock forward: tokens get older at once. It is used for issuing, checking and `Date`.
    pub fn shift_clock(&self, forward: Duration) {
        self.shared().clock.shift_by(nanos(forward));
    }

    /// Sets the server's clock back.
    pub fn shift_clock_back(&self, back: Duration) {
        self.shared().clock.shift_by(nanos(back).saturating_neg());
    }

    /// What time it is for the server.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        system_time(self.shared().clock.now())
    }

    /// From now on tokens live so long.
    pub fn set_lifetime(&self, lifetime: Duration) {
        self.shared().lock().lifetime = lifetime;
    }

    /// Registers a client, or replaces the one with its id: a secret was rotated, a scope granted.
    pub fn register(&self, client: Client) {
        self.shared().lock().registry.register(client);
    }

    /// Removes a client.
    pub fn unregister(&self, client_id: &str) {
        self.shared().lock().registry.clients.retain(|client| client.id != client_id);
    }

    /// Replaces all IBM API keys by this one.
    pub fn set_api_key(&self, key: impl Into<Secret>) {
        self.shared().lock().registry.api_keys = vec![key.into()];
    }

    // What can be had without asking over the wire.

    /// A token that nobody asked for.
    #[must_use]
    pub fn token(&self) -> MintedToken<'_> {
        MintedToken {
            idp: self,
            lifetime: None,
            audience: Vec::new(),
            scope: String::new(),
            subject: defaults::CLIENT_ID.into(),
        }
    }

    /// The first refresh token of a user who signed in to this client, for the OAuth (and IBM) endpoint.
    ///
    /// # Errors
    ///
    /// [`StartError`] if there is no random number to be had.
    pub fn refresh_token(&self, client_id: &str, scope: &str) -> Result<Secret, StartError> {
        let token = self.shared().refresh_token(client_id, scope, Vec::new());
        token.map(Secret::new).map_err(|error| StartError::new(error.to_string()))
    }

    // Assertions.

    /// Panics, and lists the requests, unless exactly `n` tokens were minted.
    #[track_caller]
    #[expect(clippy::panic, reason = "it is an assertion")]
    pub fn assert_mints(&self, n: usize) {
        let mints = self.mints();
        if mints != n {
            let mut list = String::new();
            for request in self.requests().iter().filter(|request| request.endpoint.is_token()) {
                list.push_str(&format!("\n  {request:?}"));
            }
            panic!("{mints} tokens were minted instead of {n}; the requests to token endpoints:{list}");
        }
    }

    /// Panics if `text` (a log, an error, the output of a program) shows any token that was issued, any refresh token, or
    /// any registered secret. The panic does not repeat the text.
    #[track_caller]
    #[expect(clippy::panic, reason = "it is an assertion")]
    pub fn assert_not_shown(&self, text: &str) {
        let state = self.shared().lock();
        let registered = state.registry.clients.iter().filter_map(|client| client.secret.as_ref());
        let shown = if state.tokens.texts().any(|token| text.contains(token)) {
            "an access token"
        } else if state.refresh.texts().any(|token| text.contains(token)) {
            "a refresh token"
        } else if registered.chain(&state.registry.api_keys).any(|secret| text.contains(secret.expose())) {
            "a client secret or API key"
        } else {
            return;
        };
        drop(state);
        panic!("the text shows {shown}");
    }

    /// Forgets tokens, refresh tokens, faults, requests and counts, and sets clock and lifetime as they were at the start.
    /// Clients, keys and resource servers stay registered.
    pub fn reset(&self) {
        self.shared().reset();
    }

    /// A file in [`folder`](Self::folder) that only its owner can read.
    pub(crate) fn write_file(&self, name: &str, content: &str) -> Result<std::path::PathBuf, StartError> {
        self.0.folder.write(name, content.as_bytes())
    }

    fn set_fault(&self, endpoint: Option<Endpoint>, fault: Fault) {
        let now = self.shared().clock.now();
        self.shared().lock().faults.set(endpoint, fault, now);
    }

    pub(crate) fn of(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    /// Another port, for one resource server.
    pub(crate) fn listen_for(&self, name: &str) -> Result<SocketAddr, StartError> {
        let (listener, address) = bind(0)?;
        let listening = Listening {
            shared: self.0.shared.clone(),
            base: self.url().to_owned(),
            port: address.port(),
            mount: Some(name.to_owned()),
            #[cfg(feature = "https")]
            tls: None,
        };
        self.0.server.listen(listener, listening)?;
        Ok(address)
    }
}

impl fmt::Debug for IdentityProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityProvider")
            .field("url", &self.url())
            .field("mints", &self.mints())
            .finish_non_exhaustive()
    }
}

/// A token to be minted without a request. Made by [`IdentityProvider::token`].
#[derive(Debug)]
pub struct MintedToken<'a> {
    idp: &'a IdentityProvider,
    lifetime: Option<Duration>,
    audience: Vec<String>,
    scope: String,
    subject: String,
}

impl MintedToken<'_> {
    /// How long it lives. Default: the identity provider's.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Who it is for; may be said several times.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience.push(audience.into());
        self
    }

    /// What it allows, separated by blanks.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = scope.into();
        self
    }

    /// `sub`. Default: the default client's id.
    #[must_use]
    pub fn subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }

    /// Mints it. It counts as one of the OAuth endpoint's.
    ///
    /// # Errors
    ///
    /// [`StartError`] if signing fails.
    pub fn mint(self) -> Result<Secret, StartError> {
        let shared = self.idp.shared();
        let issued = mint(shared, self.idp.oauth_issuer(), self.subject, self.audience, self.scope, self.lifetime);
        issued.map(|issued| Secret::new(issued.token)).map_err(|error| StartError::new(error.to_string()))
    }
}

pub(crate) fn mint(
    shared: &Shared,
    issuer: String,
    subject: String,
    audience: Vec<String>,
    scope: String,
    lifetime: Option<Duration>,
) -> Result<crate::token::Issued, unexpired_crypto::CryptoError> {
    let issuer = shared.settings.issuer.clone().unwrap_or(issuer);
    let client_id = subject.clone();
    let audience = if audience.is_empty() { vec!["urn:testkit:default".to_owned()] } else { audience };
    let (claims, extra) = (None, Map::new());
    let grant =
        Grant { endpoint: Endpoint::OAuth, issuer, subject, client_id, audience, scope, claims, extra, family: None };
    let script = crate::fault::Script { lifetime, ..Default::default() };
    shared.mint(&mut shared.lock(), &grant, &script)
}

pub(crate) const CA_FILE: &str = "ca.pem";

/// How long to wait for what should have happened long ago.
const PATIENCE: Duration = Duration::from_secs(10);
