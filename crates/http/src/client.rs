//! The client: one call, one request, one answer or one error.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tokio::sync::oneshot;
use unexpired_core::{ErrorKind, MintError, MintRequest, Secret};
use zeroize::Zeroizing;

use crate::endpoint::Reach;
use crate::resolve::Resolver;
use crate::send_error::Way;
use crate::tls::{self, Roots, Trust, TrustKey};
use crate::{BasicAuth, Endpoint, Form, Response, SendError};

/// The client for token endpoints. Cheap to clone; clones share connections.
///
/// Making one touches nothing outside the process; the first request does. The crate's page states what every request keeps to.
///
/// ```
/// use std::time::Duration;
/// use unexpired_http::{Client, Roots};
///
/// # fn main() -> Result<(), unexpired_core::MintError> {
/// let client = Client::builder().ca_file("/etc/corp/ca.pem").timeout(Duration::from_secs(10)).build()?;
/// # let _ = (client, Client::new(), Roots::Bundled);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    trust: Trust,
    proxy: Option<reqwest::Proxy>,
    connect_timeout: Duration,
    timeout: Duration,
    plain: Mutex<Option<(TrustKey, reqwest::Client)>>,
    direct: Mutex<Option<(TrustKey, reqwest::Client)>>,
    network: Mutex<Option<(TrustKey, reqwest::Client)>>,
    /// Held by who reads certificate files.
    reading: Arc<tokio::sync::Mutex<()>>,
}

/// The three ways a request can go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    /// HTTP to this machine or link: no proxy, no certificates.
    Plain,
    /// HTTPS to this machine or link: no proxy.
    Direct,
    /// HTTPS to anywhere else.
    Network,
}

impl Lane {
    fn to(endpoint: &Endpoint) -> Self {
        match (endpoint.is_https(), endpoint.reach()) {
            // Endpoints are checked: plain HTTP is near.
            (false, _) => Self::Plain,
            (true, Reach::Loopback | Reach::Metadata) => Self::Direct,
            (true, Reach::Network) => Self::Network,
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client with the defaults: system roots, the environment's proxy, 5 s to connect, 20 s in all.
    pub fn new() -> Self {
        Self::with(Trust::default(), None, CONNECT_TIMEOUT, TIMEOUT)
    }

    /// Starts a client with something else than the defaults.
    pub fn builder() -> ClientBuilder {
        ClientBuilder { trust: Trust::default(), proxy: None, connect_timeout: CONNECT_TIMEOUT, timeout: TIMEOUT }
    }

    fn with(trust: Trust, proxy: Option<reqwest::Proxy>, connect_timeout: Duration, timeout: Duration) -> Self {
        let (plain, direct, network, reading) = Default::default();
        Self(Arc::new(Inner { trust, proxy, connect_timeout, timeout, plain, direct, network, reading }))
    }

    /// Whether this client shows a certificate to servers that ask for one.
    pub fn shows_certificate(&self) -> bool {
        self.0.trust.client_certificate.is_some()
    }

    /// Sends a form (`POST`, `application/x-www-form-urlencoded`), as OAuth's token endpoints want it (RFC 6749 section 3.2). `headers` are
    /// added to, or replace, `Accept: application/json`.
    ///
    /// # Errors
    ///
    /// A [`SendError`] if no whole answer came. An answer of any status is no error here: see [`Response::token`].
    pub async fn post_form(
        &self,
        endpoint: &Endpoint,
        form: &Form,
        auth: Option<&BasicAuth>,
        headers: &[(&str, &str)],
        request: &MintRequest,
    ) -> Result<Response, SendError> {
        let content = Content { kind: "application/x-www-form-urlencoded", bytes: owned(form.encode()) };
        let mut secrets: Vec<Secret> = form.secrets().cloned().collect();
        secrets.extend(auth.iter().flat_map(|auth| auth.secrets()));
        let auth = auth.map(BasicAuth::header_value);
        let response = self.send(Method::POST, endpoint, auth, headers, Some(content), request).await?;
        Ok(response.asked_with(secrets))
    }

    /// Sends JSON (`POST`, `application/json`), with a bearer token if there is one.
    ///
    /// # Errors
    ///
    /// As [`post_form`](Client::post_form).
    pub async fn post_json(
        &self,
        endpoint: &Endpoint,
        json: &str,
        bearer: Option<&Secret>,
        headers: &[(&str, &str)],
        request: &MintRequest,
    ) -> Result<Response, SendError> {
        let content = Content { kind: "application/json", bytes: owned(Zeroizing::new(json.to_owned())) };
        let auth = bearer.map(bearer_value);
        let value = auth.as_ref().map(|auth| auth.as_str());
        let response = self.send(Method::POST, endpoint, value, headers, Some(content), request).await?;
        Ok(response.asked_with(bearer.cloned()))
    }

    /// Asks (`GET`), with a bearer token if there is one: discovery, metadata services.
    ///
    /// # Errors
    ///
    /// As [`post_form`](Client::post_form).
    pub async fn get(
        &self,
        endpoint: &Endpoint,
        headers: &[(&str, &str)],
        bearer: Option<&Secret>,
        request: &MintRequest,
    ) -> Result<Response, SendError> {
        let auth = bearer.map(bearer_value);
        let value = auth.as_ref().map(|auth| auth.as_str());
        let response = self.send(Method::GET, endpoint, value, headers, None, request).await?;
        Ok(response.asked_with(bearer.cloned()))
    }

    async fn send(
        &self,
        method: Method,
        endpoint: &Endpoint,
        authorization: Option<&str>,
        headers: &[(&str, &str)],
        content: Option<Content>,
        request: &MintRequest,
    ) -> Result<Response, SendError> {
        let host = endpoint.host();
        let headers = header_map(authorization, headers, content.as_ref())
            .map_err(|error| SendError::before(error.host(host)))?;
        let limit = self.0.timeout.min(request.remaining());
        if limit.is_zero() {
            let error = MintError::new(ErrorKind::TimedOut, "no time was left for the request").host(host);
            return Err(SendError::before(error));
        }
        let end = tokio::time::Instant::now() + limit;
        let client = match tokio::time::timeout_at(end, self.client(endpoint)).await {
            Ok(client) => client.map_err(|error| SendError::before(error.host(host)))?,
            Err(_) => return Err(SendError::files_too_slow(host, limit)),
        };
        let mut outgoing = client.request(method, endpoint.url().clone()).headers(headers);
        if let Some(content) = content {
            outgoing = outgoing.body(content.bytes);
        }
        let requested_at = request.now();
        let exchange = async {
            let way =
                Way { connect_timeout: self.0.connect_timeout, maybe_proxied: endpoint.reach() == Reach::Network };
            let answer = outgoing.send().await.map_err(|error| SendError::of(&error, host, &way))?;
            let received_at = request.now();
            let (status, headers) = (answer.status(), answer.headers().clone());
            let body = match read(answer, host, &way).await {
                Ok(body) => body,
                // The status of a failure says more than a body that cannot be read.
                Err(Unread::Refused(_)) if !status.is_success() => Zeroizing::default(),
                Err(Unread::Refused(error) | Unread::Broken(error)) => return Err(error),
            };
            let (status, secrets) = (status.as_u16(), Vec::new());
            Ok(Response { status, host: host.into(), headers, body, secrets, requested_at, received_at })
        };
        // Boxed: the callers' futures hold it, and it is large.
        match tokio::time::timeout_at(end, Box::pin(exchange)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(SendError::too_slow(host, limit)),
        }
    }

    /// The client below for this endpoint, made at the first request and again when a certificate file has changed.
    ///
    /// Files that somebody has named may lie on a disk that does not answer: the thread that waits for them must not be the one that all mints
    /// share. One waits at a time, so that attempts after attempts leave one thread behind and no more.
    async fn client(&self, endpoint: &Endpoint) -> Result<reqwest::Client, MintError> {
        let lane = Lane::to(endpoint);
        if lane == Lane::Plain || !self.0.trust.names_files() {
            return self.0.client(lane);
        }
        let turn = self.0.reading.clone().lock_owned().await;
        let inner = self.0.clone();
        let (send, made) = oneshot::channel();
        // Not a thread of the runtime's pool: a runtime waits for those when it ends.
        let started = std::thread::Builder::new().name("unexpired-certs".to_owned()).spawn(move || {
            let _ = send.send(inner.client(lane));
            drop(turn);
        });
        let given_up =
            || MintError::new(ErrorKind::Unavailable, "no thread can be started to read the certificate files");
        started.map_err(|_| given_up())?;
        made.await.unwrap_or_else(|_| Err(given_up()))
    }
}

impl Inner {
    /// Reads files. Nothing is locked meanwhile.
    fn client(&self, lane: Lane) -> Result<reqwest::Client, MintError> {
        let slot = match lane {
            Lane::Plain => &self.plain,
            Lane::Direct => &self.direct,
            Lane::Network => &self.network,
        };
        let slot = || slot.lock().unwrap_or_else(PoisonError::into_inner);
        let key = if lane == Lane::Plain { TrustKey::nobody() } else { self.trust.key() };
        if let Some((_, client)) = slot().as_ref().filter(|(made_with, _)| *made_with == key) {
            return Ok(client.clone());
        }
        let client = self.build(lane, &key)?;
        *slot() = Some((key, client.clone()));
        Ok(client)
    }

    fn build(&self, lane: Lane, key: &TrustKey) -> Result<reqwest::Client, MintError> {
        let config = if lane == Lane::Plain { tls::none()? } else { key.config()? };
        let builder = reqwest::Client::builder()
            .tls_backend_preconfigured(Arc::unwrap_or_clone(config))
            .dns_resolver(Arc::new(Resolver))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            // A mint is never repeated below the engine.
            .retry(reqwest::retry::never())
            .connect_timeout(self.connect_timeout)
            // Enough for a flow of two requests; an idle connection that the server closes meanwhile must not cost a refresh token.
            .pool_max_idle_per_host(1)
            .pool_idle_timeout(POOL_IDLE)
            .user_agent(USER_AGENT);
        let builder = match (lane, &self.proxy) {
            (Lane::Plain | Lane::Direct, _) => builder.no_proxy(),
            (Lane::Network, Some(proxy)) => builder.no_proxy().proxy(proxy.clone()),
            // The environment's.
            (Lane::Network, None) => builder,
        };
        builder.build().map_err(|_| MintError::new(ErrorKind::Misconfigured, "the HTTP client cannot be set up"))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("roots", &self.0.trust.roots)
            .field("ca_file", &self.0.trust.ca_file)
            .field("client_certificate", &self.0.trust.client_certificate.as_ref().map(|(chain, _)| chain))
            .field("proxy", &self.0.proxy.as_ref().map(|_| "…"))
            .field("connect_timeout", &self.0.connect_timeout)
            .field("timeout", &self.0.timeout)
            .finish()
    }
}

/// What a [`Client`] is made with.
#[derive(Clone)]
pub struct ClientBuilder {
    trust: Trust,
    proxy: Option<String>,
    connect_timeout: Duration,
    timeout: Duration,
}

impl ClientBuilder {
    /// A PEM file of certificate authorities to be trusted too. It is read at the first request, and again when it has changed.
    #[must_use]
    pub fn ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.trust.ca_file = Some(file.into());
        self
    }

    /// Which certificate authorities are trusted. Default: [`Roots::System`].
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.trust.roots = roots;
        self
    }

    /// An HTTP proxy for everything but loopback and metadata hosts, in place of the one that the environment names. `NO_PROXY` is then not
    /// read. User name and password may stand in the URL.
    #[must_use]
    pub fn proxy(mut self, url: &str) -> Self {
        self.proxy = Some(url.to_owned());
        self
    }

    /// A certificate chain and its key, both PEM files, for servers that ask for one (RFC 8705). Read as `ca_file` is.
    #[must_use]
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.trust.client_certificate = Some((certificate.into(), key.into()));
        self
    }

    /// The longest time for resolving, connecting and the TLS handshake together. Default: 5 s.
    #[must_use]
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = limit;
        self
    }

    /// The longest time for the whole exchange. Default: 20 s. The mint's own deadline may end it earlier.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// The client. No file is read yet.
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](ErrorKind::Misconfigured) if the proxy is no HTTP URL, or if nothing at all would be trusted.
    pub fn build(self) -> Result<Client, MintError> {
        if self.trust.roots == Roots::OnlyCaFile && self.trust.ca_file.is_none() {
            return Err(MintError::new(ErrorKind::Misconfigured, "only ca_file is to be trusted, but there is none")
                .remedy("set ca_file"));
        }
        let proxy = self.proxy.as_deref().map(proxy).transpose()?;
        Ok(Client::with(self.trust, proxy, self.connect_timeout, self.timeout))
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("trust", &self.trust)
            .field("proxy", &self.proxy.as_ref().map(|_| "…"))
            .finish_non_exhaustive()
    }
}

struct Content {
    kind: &'static str,
    bytes: Bytes,
}

/// The text as a body whose memory is wiped when the last part of it has been sent.
fn owned(text: Zeroizing<String>) -> Bytes {
    struct Wiped(Zeroizing<String>);

    impl AsRef<[u8]> for Wiped {
        fn as_ref(&self) -> &[u8] {
            self.0.as_bytes()
        }
    }

    Bytes::from_owner(Wiped(text))
}

fn bearer_value(token: &Secret) -> Zeroizing<String> {
    let mut value = Zeroizing::new(String::with_capacity(7 + token.expose().len()));
    value.push_str("Bearer ");
    value.push_str(token.expose());
    value
}

fn header_map(
    authorization: Option<&str>,
    headers: &[(&str, &str)],
    content: Option<&Content>,
) -> Result<HeaderMap, MintError> {
    let mut map = HeaderMap::new();
    map.insert(ACCEPT, HeaderValue::from_static("application/json"));
    // Tokens do not compress, and an answer that is not compressed cannot blow up.
    map.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(content) = content {
        map.insert(CONTENT_TYPE, HeaderValue::from_static(content.kind));
    }
    let given = headers.iter().map(|(name, value)| (*name, *value));
    for (name, value) in authorization.map(|value| (AUTHORIZATION.as_str(), value)).into_iter().chain(given) {
        let wrong = || {
            MintError::new(
                ErrorKind::Misconfigured,
                format!("the value of the header {name} may not stand in a header"),
            )
        };
        let header = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| MintError::new(ErrorKind::Misconfigured, "a header's name is no token"))?;
        let mut value = HeaderValue::from_str(value).map_err(|_| wrong())?;
        value.set_sensitive(true);
        map.insert(header, value);
    }
    Ok(map)
}

fn proxy(url: &str) -> Result<reqwest::Proxy, MintError> {
    let wrong = || {
        MintError::new(ErrorKind::Misconfigured, "the proxy is no HTTP URL")
            .remedy("write it as http://proxy.example.com:3128")
    };
    let parsed = url::Url::parse(url).map_err(|_| wrong())?;
    if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
        return Err(wrong());
    }
    reqwest::Proxy::all(parsed.as_str()).map_err(|_| wrong())
}

/// Why a body was not read to its end.
enum Unread {
    /// It is too long, or compressed.
    Refused(SendError),
    /// The connection ended it.
    Broken(SendError),
}

/// Reads the body, at most [`MAX_BODY`].
async fn read(mut answer: reqwest::Response, host: &str, way: &Way) -> Result<Zeroizing<Vec<u8>>, Unread> {
    let refused =
        |message: &str| Unread::Refused(SendError::after(MintError::new(ErrorKind::Malformed, message).host(host)));
    let encoded = |value: &HeaderValue| !value.is_empty() && !value.as_bytes().eq_ignore_ascii_case(b"identity");
    if answer.headers().get_all(CONTENT_ENCODING).iter().any(encoded) {
        return Err(refused("the answer is compressed, which it was asked not to be"));
    }
    let announced = answer.content_length().unwrap_or_default();
    if announced > MAX_BODY as u64 {
        return Err(refused("the answer is longer than 1 MiB"));
    }
    let mut body = Zeroizing::new(Vec::with_capacity(usize::try_from(announced).unwrap_or_default().max(FIRST_BUFFER)));
    loop {
        let chunk = answer.chunk().await.map_err(|error| Unread::Broken(SendError::of(&error, host, way)))?;
        let Some(chunk) = chunk else {
            return Ok(body);
        };
        let length = body.len().saturating_add(chunk.len());
        if length > MAX_BODY {
            return Err(refused("the answer is longer than 1 MiB"));
        }
        if length > body.capacity() {
            // Moved by hand, so that the old buffer is wiped.
            let mut larger = Zeroizing::new(Vec::with_capacity(length.saturating_mul(2)));
            larger.extend_from_slice(&body);
            body = larger;
        }
        body.extend_from_slice(&chunk);
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(20);
const POOL_IDLE: Duration = Duration::from_secs(2);
const MAX_BODY: usize = 1 << 20;
const FIRST_BUFFER: usize = 16 << 10;
const USER_AGENT: &str = concat!("unexpired/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    /// That `Plain` and `Direct` use no proxy is shown with real ones in `tests/environment.rs`; metadata hosts are not asked in tests.
    #[test]
    fn this_machine_and_link_are_reached_directly() {
        for (address, lane) in [
            ("http://127.0.0.1:8080/t", Lane::Plain),
            ("http://169.254.169.254/t", Lane::Plain),
            ("http://metadata.google.internal/t", Lane::Plain),
            ("https://localhost/t", Lane::Direct),
            ("https://169.254.169.254/t", Lane::Direct),
            ("https://[fd00:ec2::254]/t", Lane::Direct),
            ("https://api.metadata.cloud.ibm.com/t", Lane::Direct),
            ("https://as.example.com/t", Lane::Network),
            ("https://10.0.0.1/t", Lane::Network),
        ] {
            assert_eq!(Lane::to(&Endpoint::parse(address).unwrap()), lane, "{address}");
        }
    }

    #[test]
    fn a_proxy_is_an_http_url() {
        for url in ["http://proxy.example.com:3128", "https://user:hunter2@proxy.example.com"] {
            let client = Client::builder().proxy(url).build().unwrap();
            assert!(!format!("{client:?} {:?}", Client::builder().proxy(url)).contains("hunter2"));
        }
        for url in ["", "proxy.example.com:3128", "socks5://hunter2@127.0.0.1:1080", "file:///hunter2", "http://"] {
            let error = Client::builder().proxy(url).build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{url}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
