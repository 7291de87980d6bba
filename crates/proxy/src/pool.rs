//! Connections to one upstream that are used again: HTTP/1.1 one request at a time, HTTP/2 many at once.

use crate::dial::{self, DialError, Dialed, Dialer, deepest};
use crate::nudge::Nudge;
use crate::replay::{Progress, SendBody};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::future::Future as _;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use unexpired_core::{Clock as _, SystemClock};

pub(crate) struct Pool {
    dialer: Dialer,
    scheme: Scheme,
    authority: Authority,
    host: HeaderValue,
    idle: Mutex<Vec<Idle>>,
    shared: Mutex<Vec<Arc<Shared>>>,
    /// Held while the first connection is made: it tells whether HTTP/2 is spoken, and then one connection serves everyone who waited.
    first: tokio::sync::Mutex<()>,
    speaks_h2: AtomicBool,
    speaks_h1: AtomicBool,
}

/// An HTTP/1.1 connection that waits for its next request. Nobody drives it meanwhile.
struct Idle {
    connection: Box<H1>,
    since: i64,
}

impl Idle {
    fn is_young(&self, now: i64) -> bool {
        self.since >= now.saturating_sub(self.connection.idle_nanos)
    }
}

/// An HTTP/1.1 connection. It is driven by whoever waits for its answer, and not by a task of its own: that would cost two changes of task for each
/// piece that passes.
pub(crate) struct H1 {
    sender: http1::SendRequest<SendBody>,
    driver: Option<http1::Connection<TokioIo<dial::Stream>, SendBody>>,
    nudge: Nudge,
    /// The beginning of a body may have come with the head, so that there is something without driving the connection on.
    fed: bool,
    /// How long it may wait for its next request.
    idle_nanos: i64,
}

impl H1 {
    fn new(sender: http1::SendRequest<SendBody>, driver: http1::Connection<TokioIo<dial::Stream>, SendBody>) -> Self {
        Self { sender, driver: Some(driver), nudge: Nudge::new(), fed: false, idle_nanos: IDLE_NANOS }
    }

    /// Polls something that waits for this connection, and the connection with it.
    fn poll_with<T>(
        &mut self,
        context: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let Self { driver, nudge, fed, .. } = self;
        if driver.is_none() {
            return poll(context);
        }
        nudge.poll(context, |inside| {
            if std::mem::take(fed)
                && let Poll::Ready(ready) = poll(inside)
            {
                return Poll::Ready(ready);
            }
            if let Some(running) = driver
                && let Poll::Ready(ended) = Pin::new(running).poll(inside)
            {
                *driver = None;
                tell(ended);
            }
            poll(inside)
        })
    }

    /// Whether it can carry a request.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        let Self { sender, driver, nudge, .. } = self;
        nudge.poll(context, |inside| {
            // What was sent to us in the meantime, such as the end, is read first.
            let Some(running) = driver else { return Poll::Ready(false) };
            if let Poll::Ready(ended) = Pin::new(running).poll(inside) {
                *driver = None;
                tell(ended);
                return Poll::Ready(false);
            }
            sender.poll_ready(inside).map(|ready| ready.is_ok())
        })
    }

    async fn send(
        &mut self,
        request: Request<SendBody>,
    ) -> Result<Response<Incoming>, hyper::client::conn::TrySendError<Request<SendBody>>> {
        let Self { sender, nudge, .. } = self;
        let mut answer = pin!(nudge.quietly(|| sender.try_send_request(request)));
        let outcome =
            std::future::poll_fn(|context| self.poll_with(context, |inside| answer.as_mut().poll(inside))).await;
        self.fed = true;
        outcome
    }

    /// Gives the connection a task of its own.
    fn spawn(&mut self) {
        if let Some(driver) = self.driver.take() {
            tokio::spawn(async move { tell(driver.await) });
        }
    }
}

fn tell(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(target: "unexpired", error = %deepest(&error), "a connection to an upstream ended");
    }
}

/// An HTTP/2 connection.
struct Shared {
    sender: http2::SendRequest<SendBody>,
    streams: AtomicUsize,
}

/// What a response body holds on to: the connection that it comes on.
pub(crate) enum Lease {
    H1 {
        pool: Arc<Pool>,
        connection: Box<H1>,
        request: Progress,
    },
    H2 {
        _stream: Stream,
    },
    /// A connection that is used for nothing else.
    Own,
}

impl Lease {
    /// The answer was read to its end.
    pub(crate) fn give_back(self) {
        // An answer that came before the request had been sent leaves a connection on which nobody knows where the next request begins.
        if let Self::H1 { pool, connection, request } = self
            && connection.driver.is_some()
            && request.is_done()
        {
            // The end of the answer's body is told to the connection, which would wake a task that has nothing more to do with it.
            connection.nudge.rest();
            let mut idle = lock(&pool.idle);
            if idle.len() < MOST_IDLE {
                idle.push(Idle { connection, since: now() });
            }
        }
    }

    /// The upstream says how long it keeps a connection that waits: `Keep-Alive: timeout=5`. What is sent when that is nearly over may meet its end.
    pub(crate) fn keep_alive(&mut self, value: &HeaderValue) {
        let Self::H1 { connection, .. } = self else { return };
        let given = value.to_str().unwrap_or_default().split(',').filter_map(|part| part.split_once('='));
        let seconds = given
            .filter(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))
            .find_map(|(_, value)| value.trim().parse::<u32>().ok());
        if let Some(seconds) = seconds {
            let nanos = i64::from(seconds).saturating_mul(SECOND);
            connection.idle_nanos = IDLE_NANOS.min(nanos.saturating_sub(SECOND.min(nanos / 2)));
        }
    }

    /// Polls a body that comes on this connection.
    pub(crate) fn poll_body<T>(
        &mut self,
        context: &mut Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        match self {
            Self::H1 { connection, .. } => connection.poll_with(context, poll),
            Self::H2 { .. } | Self::Own => poll(context),
        }
    }
}

/// One stream of an HTTP/2 connection.
pub(crate) struct Stream(Arc<Shared>);

impl Stream {
    fn new(connection: Arc<Shared>) -> Self {
        connection.streams.fetch_add(1, Ordering::Relaxed);
        Self(connection)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

enum Connection {
    H1(Box<H1>),
    H2(Stream),
}

/// Why there is no answer.
pub(crate) struct SendError {
    pub(crate) why: String,
    pub(crate) kind: unexpired_core::ErrorKind,
    pub(crate) again: Again,
    /// It was the client's body that ended badly.
    pub(crate) body_failed: bool,
}

/// Whether the request may be sent again on a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// No: it failed on a new one.
    Never,
    /// If doing it twice does what doing it once does: the connection had been used before, and the upstream may have closed it at this very moment,
    /// without having seen the request. Or after it.
    IfRepeatable,
    /// Whatever it is: the upstream says that it did not look at it.
    Always,
}

impl Pool {
    pub(crate) fn new(dialer: Dialer, scheme: Scheme, authority: Authority, host: HeaderValue) -> Self {
        Self {
            dialer,
            scheme,
            authority,
            host,
            idle: Mutex::default(),
            shared: Mutex::default(),
            first: tokio::sync::Mutex::new(()),
            speaks_h2: AtomicBool::new(false),
            speaks_h1: AtomicBool::new(false),
        }
    }

    /// The upstream's `Host`.
    pub(crate) const fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Sends a request whose URI is the path alone, with the upstream's host among its headers, on a connection that is free or on a new one.
    pub(crate) async fn send(
        self: &Arc<Self>,
        mut request: Request<SendBody>,
        progress: Progress,
        fresh: bool,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        loop {
            let reused = if fresh { None } else { self.reuse().await };
            let was_reused = reused.is_some();
            let connection = match reused {
                Some(connection) => connection,
                None => Box::pin(self.connect(fresh)).await.map_err(SendError::dial)?,
            };
            let failed = match connection {
                Connection::H1(mut connection) => {
                    self.dress_h1(&mut request);
                    match connection.send(request).await {
                        Ok(response) => {
                            // The rest of the request must not depend on how fast the client reads the answer.
                            if !progress.is_done() {
                                connection.spawn();
                            }
                            return Ok((response, Lease::H1 { pool: self.clone(), connection, request: progress }));
                        }
                        Err(failed) => failed,
                    }
                }
                Connection::H2(stream) => {
                    self.dress_h2(&mut request);
                    match stream.0.sender.clone().try_send_request(request).await {
                        Ok(response) => return Ok((response, Lease::H2 { _stream: stream })),
                        Err(failed) => {
                            if was_refused(failed.error()) {
                                // It takes no more requests, or not so many.
                                lock(&self.shared).retain(|connection| !Arc::ptr_eq(connection, &stream.0));
                            }
                            failed
                        }
                    }
                }
            };
            let mut failed = failed;
            match failed.take_message() {
                // It never left: the next connection gets it.
                Some(unsent) if was_reused => request = unsent,
                _ => return Err(SendError::of(&failed.into_error(), was_reused)),
            }
        }
    }

    /// Sends a request that wants to be more than a request, on an HTTP/1.1 connection of its own.
    pub(crate) async fn send_upgrade(
        &self,
        mut request: Request<SendBody>,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        let dialed = self.dialer.dial(false).await.map_err(SendError::dial)?;
        let H1 { mut sender, driver, .. } = handshake_h1(dialed).await.map_err(SendError::dial)?;
        if let Some(driver) = driver {
            tokio::spawn(async move { tell(driver.with_upgrades().await) });
        }
        self.dress_h1(&mut request);
        let response = sender.send_request(request).await.map_err(|error| SendError::of(&error, false))?;
        Ok((response, Lease::Own))
    }

    /// Closes what nobody has used for a while.
    pub(crate) fn sweep(&self) {
        let now = now();
        // What the upstream has closed is seen by looking.
        let mut looking = Context::from_waker(Waker::noop());
        lock(&self.idle).retain_mut(|idle| {
            idle.is_young(now) && !matches!(idle.connection.poll_ready(&mut looking), Poll::Ready(false))
        });
        lock(&self.shared).retain(|connection| !connection.sender.is_closed());
    }

    /// A connection that is there.
    async fn reuse(&self) -> Option<Connection> {
        if self.speaks_h2.load(Ordering::Relaxed)
            && let Some(stream) = self.free_stream()
        {
            return Some(Connection::H2(stream));
        }
        loop {
            // The last one that was used is the one that most likely still lives.
            let mut idle = lock(&self.idle).pop()?;
            let is_young = idle.is_young(now());
            let Idle { connection, .. } = &mut idle;
            if is_young && std::future::poll_fn(|context| connection.poll_ready(context)).await {
                return Some(Connection::H1(idle.connection));
            }
        }
    }

    fn free_stream(&self) -> Option<Stream> {
        let mut shared = lock(&self.shared);
        shared.retain(|connection| !connection.sender.is_closed());
        let free = shared.iter().find(|connection| connection.streams.load(Ordering::Relaxed) < MOST_STREAMS)?;
        Some(Stream::new(free.clone()))
    }

    async fn connect(&self, fresh: bool) -> Result<Connection, DialError> {
        if fresh || !self.dialer.is_https() || self.speaks_h1.load(Ordering::Relaxed) {
            return self.open().await;
        }
        let _first = self.first.lock().await;
        // Another has just made one.
        if let Some(stream) = self.free_stream() {
            return Ok(Connection::H2(stream));
        }
        if self.speaks_h1.load(Ordering::Relaxed) {
            drop(_first);
            return self.open().await;
        }
        self.open().await
    }

    async fn open(&self) -> Result<Connection, DialError> {
        let dialed = self.dialer.dial(true).await?;
        self.speaks_h2.store(dialed.is_h2, Ordering::Relaxed);
        self.speaks_h1.store(!dialed.is_h2, Ordering::Relaxed);
        if !dialed.is_h2 {
            return handshake_h1(dialed).await.map(|connection| Connection::H1(Box::new(connection)));
        }
        let connection = Arc::new(Shared { sender: handshake_h2(dialed).await?, streams: AtomicUsize::new(0) });
        let stream = Stream::new(connection.clone());
        lock(&self.shared).push(connection);
        Ok(Connection::H2(stream))
    }

    /// HTTP/1.1: the path in the request line, the host in a header.
    fn dress_h1(&self, request: &mut Request<SendBody>) {
        *request.version_mut() = http::Version::HTTP_11;
        if request.uri().scheme().is_some() {
            // It was made ready for HTTP/2 before.
            request.headers_mut().insert(header::HOST, self.host.clone());
            let path = request.uri().path_and_query().cloned();
            *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
        }
    }

    /// HTTP/2: all of it in the URI.
    fn dress_h2(&self, request: &mut Request<SendBody>) {
        *request.version_mut() = http::Version::HTTP_2;
        request.headers_mut().remove(header::HOST);
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query =
            Some(request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
        // Scheme, authority and path are all there.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    }
}

impl SendError {
    fn dial(error: DialError) -> Self {
        Self { kind: error.kind, why: error.why, again: Again::Never, body_failed: false }
    }

    fn of(error: &hyper::Error, was_reused: bool) -> Self {
        let why = if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            "closed the connection before it answered".to_owned()
        } else if error.is_parse() {
            "answered something that is not HTTP".to_owned()
        } else {
            format!("gave no answer: {}", deepest(error))
        };
        let again = match was_reused {
            _ if was_refused(error) => Again::Always,
            true => Again::IfRepeatable,
            false => Again::Never,
        };
        Self { why, kind: unexpired_core::ErrorKind::Unavailable, again, body_failed: error.is_user() }
    }
}

/// RFC 9113 section 8.7: a stream that is refused, or that comes after the last one that the upstream's farewell names, was not processed.
fn was_refused(error: &hyper::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            let refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
            let farewell = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
            return error.is_remote() && (refused || farewell);
        }
        cause = error.source();
    }
    false
}

async fn handshake_h1(dialed: Dialed) -> Result<H1, DialError> {
    let io = TokioIo::new(dialed.stream);
    let made = http1::Builder::new().max_buf_size(MOST_HEAD).max_header_size(MOST_HEAD).handshake(io).await;
    let (sender, connection) = made.map_err(|error| handshake_failed(&error))?;
    Ok(H1::new(sender, connection))
}

async fn handshake_h2(dialed: Dialed) -> Result<http2::SendRequest<SendBody>, DialError> {
    let made = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        // As large as all streams together, so that clients that do not read hold up no others.
        .initial_connection_window_size(STREAM_WINDOW.saturating_mul(MOST_STREAMS as u32))
        .max_header_list_size(MOST_HEAD as u32)
        // A machine that slept, or a network that forgot us: noticed while somebody waits.
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT)
        .handshake(TokioIo::new(dialed.stream))
        .await;
    let (sender, connection) = made.map_err(|error| handshake_failed(&error))?;
    tokio::spawn(async move { tell(connection.await) });
    Ok(sender)
}

fn handshake_failed(error: &hyper::Error) -> DialError {
    DialError { kind: unexpired_core::ErrorKind::Unavailable, why: format!("HTTP failed: {}", deepest(error)) }
}

/// The boot clock, which goes on while a machine sleeps: a connection from before is too old.
fn now() -> i64 {
    SystemClock.coarse().boot_nanos()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shorter than the usual keep-alive of load balancers (60 s and more); servers that keep less mostly say so.
const IDLE_NANOS: i64 = 50 * SECOND;
const SECOND: i64 = 1_000_000_000;
const MOST_IDLE: usize = 64;
/// What most servers allow at once.
const MOST_STREAMS: usize = 100;
const STREAM_WINDOW: u32 = 256 << 10;
const MOST_HEAD: usize = 64 << 10;
const PING_EVERY: Duration = Duration::from_secs(15);
const PING_WAIT: Duration = Duration::from_secs(10);
