//! One connection to an upstream: through the environment's proxy where there is one, with TLS where it is spoken.

use crate::body::BodyError;
use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service as _;
use unexpired_core::{ErrorKind, MintError};
use unexpired_http::{Endpoint, Tls};

/// Opens connections to one upstream.
pub(crate) struct Dialer {
    /// `https://host:port/`, or `http://…` on loopback.
    origin: Uri,
    host: String,
    is_https: bool,
    is_loopback: bool,
    tls: Tls,
    connector: HttpConnector,
    /// The TLS configuration without HTTP/2 beside the one that it was made of.
    without_h2: Mutex<Option<(Arc<ClientConfig>, Arc<ClientConfig>)>>,
}

/// A connection, and whether HTTP/2 was agreed on.
pub(crate) struct Dialed {
    pub(crate) stream: Stream,
    pub(crate) is_h2: bool,
}

impl Dialer {
    pub(crate) fn new(endpoint: &Endpoint, origin: Uri, tls: Tls) -> Self {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        // Streams have no idle limit: this is what notices a peer that is gone.
        connector.set_keepalive(Some(KEEPALIVE));
        connector.set_keepalive_interval(Some(KEEPALIVE));
        let host = endpoint.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_https = endpoint.as_str().starts_with("https:");
        Self {
            origin,
            host,
            is_https,
            is_loopback: endpoint.is_loopback(),
            tls,
            connector,
            without_h2: Mutex::new(None),
        }
    }

    /// Whether HTTP/2 may be agreed on.
    pub(crate) const fn is_https(&self) -> bool {
        self.is_https
    }

    pub(crate) async fn dial(&self, allow_h2: bool) -> Result<Dialed, DialError> {
        match tokio::time::timeout(DIAL_TIMEOUT, self.open(allow_h2)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(DialError::new("no connection within 15 s")),
        }
    }

    async fn open(&self, allow_h2: bool) -> Result<Dialed, DialError> {
        let tcp = self.tcp().await?;
        if !self.is_https {
            // A name may resolve to anywhere; plain HTTP stays on this machine.
            if !tcp.peer_addr().is_ok_and(|address| address.ip().is_loopback()) {
                return Err(DialError::new("plain HTTP is for loopback only, and the name leads elsewhere"));
            }
            return Ok(Dialed { stream: Stream::Plain(tcp), is_h2: false });
        }
        let config = self.config(allow_h2).await?;
        let name = ServerName::try_from(self.host.clone()).map_err(|_| DialError::new("its name is no DNS name"))?;
        let stream = TlsConnector::from(config).connect(name, tcp).await.map_err(|error| DialError::tls(&error))?;
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Dialed { stream: Stream::Tls(Box::new(stream)), is_h2 })
    }

    async fn tcp(&self) -> Result<TcpStream, DialError> {
        let intercept = if self.is_loopback { None } else { environment().intercept(&self.origin) };
        let mut connector = self.connector.clone();
        let Some(intercept) = intercept else {
            let stream = connector.call(self.origin.clone()).await;
            return stream.map(TokioIo::into_inner).map_err(|error| DialError::connect(&error));
        };
        if intercept.uri().scheme_str() != Some("http") {
            return Err(DialError::new(
                "is beyond the environment's proxy, which is not one that is spoken to by plain HTTP",
            ));
        }
        let mut tunnel = Tunnel::new(intercept.uri().clone(), connector);
        if let Some(auth) = intercept.basic_auth() {
            tunnel = tunnel.with_auth(auth.clone());
        }
        let stream = tunnel.call(self.origin.clone()).await;
        stream.map(TokioIo::into_inner).map_err(|error| DialError::tunnel(&error))
    }

    /// The configuration as its files are now. Reading them is left to a thread that may block.
    async fn config(&self, allow_h2: bool) -> Result<Arc<ClientConfig>, DialError> {
        let tls = self.tls.clone();
        let config = tokio::task::spawn_blocking(move || tls.config()).await;
        let config = config.map_err(|_| DialError::new("TLS cannot be set up"))?.map_err(DialError::misconfigured)?;
        if allow_h2 {
            return Ok(config);
        }
        let mut known = self.without_h2.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, without)) = known.as_ref().filter(|(of, _)| Arc::ptr_eq(of, &config)) {
            return Ok(without.clone());
        }
        let mut without = (*config).clone();
        without.alpn_protocols = vec![b"http/1.1".to_vec()];
        let without = Arc::new(without);
        *known = Some((config, without.clone()));
        Ok(without)
    }
}

/// `HTTPS_PROXY` and its relatives, read once.
fn environment() -> &'static Matcher {
    static MATCHER: OnceLock<Matcher> = OnceLock::new();
    MATCHER.get_or_init(Matcher::from_env)
}

/// Why there is no connection, in a few words that hold no secret.
#[derive(Debug)]
pub(crate) struct DialError {
    pub(crate) kind: ErrorKind,
    pub(crate) why: String,
}

impl DialError {
    fn new(why: &str) -> Self {
        Self { kind: ErrorKind::Unavailable, why: why.to_owned() }
    }

    fn misconfigured(error: MintError) -> Self {
        Self { kind: error.kind(), why: error.to_string() }
    }

    fn connect(error: &dyn std::error::Error) -> Self {
        Self::new(&format!("cannot be connected to: {}", deepest(error)))
    }

    fn tunnel(error: &dyn std::error::Error) -> Self {
        let why = deepest(error);
        Self::new(&format!(
            "is beyond the environment's proxy, which gave no tunnel: {}",
            why.trim_start_matches("tunnel error: ")
        ))
    }

    fn tls(error: &io::Error) -> Self {
        Self::new(&format!("TLS failed: {}", deepest(error)))
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<DialError> for BodyError {
    fn from(error: DialError) -> Self {
        error.why.into()
    }
}

/// The cause of all causes: `Connection refused`, and not "client error".
pub(crate) fn deepest(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    unexpired_core::text::one_line(&error.to_string(), 120)
}

/// Plain or with TLS.
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, data),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, data),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, data),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);
const KEEPALIVE: Duration = Duration::from_secs(30);
