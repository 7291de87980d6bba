//! A route: whose requests, with which token, to which upstream.

use crate::credential::KeySource;
use crate::dial::Dialer;
use crate::headers::is_reserved;
use crate::metrics::{RouteCounts, TokenCounts};
use crate::pool::Pool;
use crate::{Listen, path};
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use unexpired_core::{Digest, ErrorKind, MintError, Token, TokenManager};
use unexpired_http::{Endpoint, Tls};
use url::Url;
use zeroize::Zeroizing;

/// One upstream behind the proxy, with the token that its requests are sent on with. Cheap to clone.
///
/// ```
/// use unexpired_proxy::{LocalKey, Route};
/// # use unexpired_core::{BoxFuture, MintError, MintRequest, Token, TokenManager, TokenSource};
/// # struct Fixed;
/// # impl TokenSource for Fixed {
/// #     fn name(&self) -> &str { "fixed" }
/// #     fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
/// #         Box::pin(async move { Token::builder("at-1", request.now()).build() })
/// #     }
/// # }
/// # let manager = TokenManager::builder("corp", Fixed).build();
/// let route = Route::builder("gov", manager, "https://contoso.openai.azure.us/openai/v1", LocalKey::new(LocalKey::random()?))
///     .set_header("x-team", "search")
///     .build()?;
/// assert_eq!(route.name(), "gov");
/// # Ok::<(), MintError>(())
/// ```
#[derive(Clone)]
pub struct Route(Arc<Inner>);

struct Inner {
    name: String,
    manager: TokenManager,
    keys: Box<dyn KeySource>,
    url: Url,
    /// The upstream's path, without a slash at the end.
    base: String,
    host: String,
    header: HeaderName,
    scheme: Before,
    /// The credential that was made last, for tokens whose ready-made header does not fit.
    made: Mutex<Option<(Digest, HeaderValue)>>,
    set_headers: Vec<(HeaderName, HeaderValue)>,
    expired_statuses: Vec<u16>,
    pool: Arc<Pool>,
    listen: Option<Listen>,
    counts: RouteCounts,
    token_counts: Arc<TokenCounts>,
    used: AtomicBool,
}

/// What stands before the token.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Before {
    /// The token's own scheme, in `Authorization`: the ready-made value.
    Own,
    /// This one.
    Named(String),
    /// Nothing.
    None,
}

impl Route {
    /// Starts a route. `upstream` is an `https://` URL, or an `http://` URL of this machine; its path is put before every request's. `keys` open
    /// this route and nothing else.
    pub fn builder(
        name: impl Into<String>,
        manager: TokenManager,
        upstream: impl Into<String>,
        keys: impl KeySource,
    ) -> RouteBuilder {
        RouteBuilder {
            name: name.into(),
            manager,
            keys: Box::new(keys),
            upstream: upstream.into(),
            header: None,
            scheme: None,
            set_headers: Vec::new(),
            expired_statuses: Vec::new(),
            tls: Tls::new(),
            listen: None,
            token_counts: Arc::default(),
        }
    }

    /// Its name: the first segment of its paths.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whose token it uses.
    pub fn manager(&self) -> &TokenManager {
        &self.0.manager
    }

    /// Where its requests go.
    pub fn upstream(&self) -> &str {
        self.0.url.as_str()
    }

    pub(crate) fn keys(&self) -> &dyn KeySource {
        &*self.0.keys
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0.url
    }

    /// The upstream's host as rejections name it.
    pub(crate) fn host(&self) -> &str {
        &self.0.host
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.0.pool
    }

    pub(crate) fn listen(&self) -> Option<&Listen> {
        self.0.listen.as_ref()
    }

    pub(crate) fn counts(&self) -> &RouteCounts {
        &self.0.counts
    }

    pub(crate) fn token_counts(&self) -> &TokenCounts {
        &self.0.token_counts
    }

    pub(crate) fn expired_statuses(&self) -> &[u16] {
        &self.0.expired_statuses
    }

    pub(crate) fn path(&self, rest: &str, query: Option<&str>) -> Result<PathAndQuery, path::BadPath> {
        path::join(&self.0.base, rest, query)
    }

    /// From the first request on the token is kept fresh without further requests.
    pub(crate) fn used(&self) {
        if !self.0.used.load(Ordering::Relaxed) && !self.0.used.swap(true, Ordering::Relaxed) {
            self.0.manager.keep_fresh();
        }
    }

    /// What the configuration wants in every request, in place of what the client sent.
    pub(crate) fn set_headers(&self, headers: &mut http::HeaderMap) {
        // Whatever else the upstream takes for a credential was taken out already.
        if self.0.header != AUTHORIZATION {
            headers.remove(&self.0.header);
        }
        for (name, value) in &self.0.set_headers {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// The one right credential.
    pub(crate) fn credential(&self, token: &Token) -> (HeaderName, HeaderValue) {
        let inner = &*self.0;
        let scheme = match &inner.scheme {
            Before::Own => return (inner.header.clone(), token.authorization().clone()),
            Before::Named(scheme) => Some(scheme.as_str()),
            Before::None => None,
        };
        let mut made = inner.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = made.as_ref().filter(|(digest, _)| *digest == token.digest()) {
            return (inner.header.clone(), value.clone());
        }
        let value = credential(scheme, token.secret());
        *made = Some((token.digest(), value.clone()));
        (inner.header.clone(), value)
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("name", &self.0.name)
            .field("upstream", &self.0.host)
            .field("token", &self.0.manager.name())
            .finish_non_exhaustive()
    }
}

/// `SCHEME TOKEN` in a buffer that is wiped, marked sensitive.
fn credential(scheme: Option<&str>, secret: &str) -> HeaderValue {
    let mut buffer = Zeroizing::new(Vec::with_capacity(scheme.map_or(0, |scheme| scheme.len() + 1) + secret.len()));
    if let Some(scheme) = scheme {
        buffer.extend_from_slice(scheme.as_bytes());
        buffer.push(b' ');
    }
    buffer.extend_from_slice(secret.as_bytes());
    // A token is a `b64token` and a scheme is checked: both may stand in a header.
    let mut value =
        HeaderValue::from_maybe_shared(Bytes::from_owner(buffer)).unwrap_or_else(|_| HeaderValue::from_static("-"));
    value.set_sensitive(true);
    value
}

/// Makes a [`Route`].
pub struct RouteBuilder {
    name: String,
    manager: TokenManager,
    keys: Box<dyn KeySource>,
    upstream: String,
    header: Option<String>,
    scheme: Option<String>,
    set_headers: Vec<(String, String)>,
    expired_statuses: Vec<u16>,
    tls: Tls,
    listen: Option<Listen>,
    token_counts: Arc<TokenCounts>,
}

impl RouteBuilder {
    /// The header in which the upstream wants the token. Default: `Authorization`.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>) -> Self {
        self.header = Some(name.into());
        self
    }

    /// What stands before the token; `none` for nothing. Default: the token's own scheme (`Bearer`) in `Authorization`, nothing in any other
    /// header.
    #[must_use]
    pub fn scheme(mut self, scheme: impl Into<String>) -> Self {
        self.scheme = Some(scheme.into());
        self
    }

    /// A header that every request has, in place of the client's own.
    #[must_use]
    pub fn set_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set_headers.push((name.into(), value.into()));
        self
    }

    /// A status other than 401 with which this upstream says that the token has expired.
    #[must_use]
    pub fn expired_status(mut self, status: u16) -> Self {
        self.expired_statuses.push(status);
        self
    }

    /// A PEM file of certificate authorities that are trusted beside the system's.
    #[must_use]
    pub fn ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.tls = self.tls.ca_file(file);
        self
    }

    /// The certificate with its chain, and its key, that the upstream asks for: two PEM files.
    #[must_use]
    pub fn client_certificate(mut self, chain: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.tls = self.tls.client_certificate(chain, key);
        self
    }

    /// A place where this route alone is served, without its name in the path. Default: with the others, under `/NAME`.
    #[must_use]
    pub fn listen(mut self, listen: Listen) -> Self {
        self.listen = Some(listen);
        self
    }

    /// The counts that the manager's events are fed to, for the metrics.
    #[must_use]
    pub fn token_counts(mut self, counts: Arc<TokenCounts>) -> Self {
        self.token_counts = counts;
        self
    }

    /// The route. Connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](ErrorKind::Misconfigured): a name, URL, header or status that cannot be.
    pub fn build(self) -> Result<Route, MintError> {
        let wrong = |what: String| MintError::new(ErrorKind::Misconfigured, format!("route {}: {what}", self.name));
        let is_name = self.name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !is_name || self.name.len() > 64 {
            return Err(wrong("the name holds something else than letters, digits and -_.".to_owned()));
        }
        let endpoint = Endpoint::parse(&self.upstream)?;
        if endpoint.as_str().starts_with("http:") && !endpoint.is_loopback() {
            return Err(wrong("plain HTTP is for loopback only".to_owned()).remedy("write https://"));
        }
        let url = Url::parse(endpoint.as_str()).map_err(|error| wrong(format!("the upstream is no URL: {error}")))?;
        if url.query().is_some() {
            return Err(wrong("the upstream holds a query".to_owned()).remedy("remove the ? and what follows"));
        }
        let header = header_name(self.header.as_deref().unwrap_or("authorization")).map_err(&wrong)?;
        if is_reserved(&header) {
            return Err(wrong(format!("the token cannot be sent in {header}")));
        }
        let scheme = match self.scheme.as_deref() {
            None if header == AUTHORIZATION => Before::Own,
            None => Before::None,
            Some(scheme) if scheme.eq_ignore_ascii_case("none") => Before::None,
            Some(scheme) if is_scheme(scheme) => Before::Named(scheme.to_owned()),
            Some(_) => return Err(wrong("the scheme is no word, such as Bearer".to_owned())),
        };
        let mut set_headers = Vec::new();
        for (name, value) in &self.set_headers {
            let name = header_name(name).map_err(&wrong)?;
            if is_reserved(&name) || name == header || name == AUTHORIZATION {
                return Err(wrong(format!("{name} is the proxy's own affair")).remedy("remove it from set_headers"));
            }
            let value = HeaderValue::from_str(value)
                .map_err(|_| wrong(format!("the value of {name} holds what no header may hold")))?;
            set_headers.push((name, value));
        }
        if let Some(status) = self.expired_statuses.iter().find(|status| !(400..500).contains(*status)) {
            return Err(wrong(format!("{status} is no status of a refusal")).remedy("name statuses from 400 to 499"));
        }

        let authority = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        let broken = |_| wrong("the upstream's host and port cannot be".to_owned());
        let authority_bytes: Authority = authority.parse().map_err(broken)?;
        let scheme_of_url = if url.scheme() == "https" { Scheme::HTTPS } else { Scheme::HTTP };
        let origin = http::Uri::builder()
            .scheme(scheme_of_url.clone())
            .authority(authority_bytes.clone())
            .path_and_query("/")
            .build()
            .map_err(|_| wrong("the upstream's host and port cannot be".to_owned()))?;
        let host = HeaderValue::from_str(&authority).map_err(|_| wrong("the upstream's host cannot be".to_owned()))?;
        let dialer = Dialer::new(&endpoint, origin, self.tls);
        Ok(Route(Arc::new(Inner {
            base: url.path().trim_end_matches('/').to_owned(),
            name: self.name,
            manager: self.manager,
            keys: self.keys,
            url,
            host: authority,
            header,
            scheme,
            made: Mutex::new(None),
            set_headers,
            expired_statuses: self.expired_statuses,
            pool: Arc::new(Pool::new(dialer, scheme_of_url, authority_bytes, host)),
            listen: self.listen,
            counts: RouteCounts::default(),
            token_counts: self.token_counts,
            used: AtomicBool::new(false),
        })))
    }
}

impl fmt::Debug for RouteBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|_| "a header's name is none".to_owned())
}

fn is_scheme(scheme: &str) -> bool {
    !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
