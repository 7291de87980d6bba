//! The proxy: listeners, connections, the end.

use crate::body::OutBody;
use crate::credential::KeySource;
use crate::door::{Door, House};
use crate::forward::Shared;
use crate::line::{Line, Patience, Times, Watched};
use crate::listen::Bound;
use crate::replay::Budget;
use crate::upgrade::Tunnels;
use crate::{Listen, Place, Route};
use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use unexpired_core::{ErrorKind, MintError};

/// A proxy whose listeners are bound. Nothing is accepted before [`serve`](Self::serve).
pub struct Proxy {
    house: Arc<House>,
    bound: Vec<(Bound, Option<Route>)>,
    limits: Limits,
    peers: Arc<Peers>,
}

#[derive(Clone, Copy)]
struct Limits {
    connections: usize,
    times: Times,
    grace: Duration,
}

impl Proxy {
    /// Starts a proxy.
    pub fn builder() -> ProxyBuilder {
        ProxyBuilder {
            routes: Vec::new(),
            listen: Vec::new(),
            admin: None,
            replay_each: 16 << 20,
            replay_all: 64 << 20,
            limits: Limits {
                connections: 1024,
                times: Times { head: HEAD_TIME, idle: IDLE_TIME },
                grace: Duration::from_secs(30),
            },
            peers: Peers { users: None, told: None, leaving: Arc::new(Semaphore::new(16)) },
        }
    }

    /// Where the routes are that share a place, each under its name.
    pub fn places(&self) -> Vec<Place> {
        self.bound.iter().filter(|(_, only)| only.is_none()).map(|(bound, _)| bound.place()).collect()
    }

    /// Where a route is that has a place of its own; empty if it shares one.
    pub fn places_of(&self, route: &str) -> Vec<Place> {
        let own = |only: &Option<Route>| only.as_ref().is_some_and(|only| only.name() == route);
        self.bound.iter().filter(|(_, only)| own(only)).map(|(bound, _)| bound.place()).collect()
    }

    /// Serves until `shutdown` is done; then accepts nothing more, lets requests end, and after the time of grace ends them.
    ///
    /// # Errors
    ///
    /// A listener cannot be used in this runtime.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        // Whatever is made for a listener is dropped after it: a Unix socket is removed at the end.
        #[cfg(unix)]
        let mut cleanups = Vec::new();
        for (bound, only) in self.bound {
            let (house, limits, stopped) = (self.house.clone(), self.limits, stopped.clone());
            match bound {
                Bound::Tcp(listener, address) => {
                    listener.set_nonblocking(true)?;
                    let listener = TcpListener::from_std(listener)?;
                    let door = Arc::new(Door::new(house, only, Some(address.port())));
                    let peers = self.peers.clone();
                    tasks.spawn(async move { accept(Listener::Tcp(listener), door, limits, peers, stopped).await });
                }
                #[cfg(unix)]
                Bound::Unix(listener, cleanup) => {
                    listener.set_nonblocking(true)?;
                    let listener = tokio::net::UnixListener::from_std(listener)?;
                    let door = Arc::new(Door::new(house, only, None));
                    cleanups.push(cleanup);
                    let peers = self.peers.clone();
                    tasks.spawn(async move { accept(Listener::Unix(listener), door, limits, peers, stopped).await });
                }
            }
        }
        {
            let mut shutdown = pin!(shutdown);
            let mut sweep = tokio::time::interval(SWEEP_EVERY);
            loop {
                tokio::select! {
                    () = &mut shutdown => break,
                    _ = sweep.tick() => self.house.routes.iter().for_each(|route| route.pool().sweep()),
                }
            }
        }
        self.house.stopping.store(true, Ordering::Release);
        let _ = stop.send(true);
        let grace = self.limits.grace;
        let connections = async { while tasks.join_next().await.is_some() {} };
        tokio::join!(connections, self.house.shared.tunnels.end(grace));
        #[cfg(unix)]
        drop(cleanups);
        Ok(())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("routes", &self.house.routes)
            .field("places", &self.places())
            .finish_non_exhaustive()
    }
}

enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(tokio::net::UnixListener),
}

/// Accepts connections until it is told to stop, and then sees them to their ends.
async fn accept(
    listener: Listener,
    door: Arc<Door>,
    limits: Limits,
    peers: Arc<Peers>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            match &listener {
                Listener::Tcp(listener) => {
                    let (stream, _) = listener.accept().await?;
                    stream.set_nodelay(true)?;
                    Ok(Accepted::Tcp(stream))
                }
                #[cfg(unix)]
                Listener::Unix(listener) => Ok(Accepted::Unix(listener.accept().await?.0)),
            }
        };
        let accepted: io::Result<Accepted> = tokio::select! {
            _ = stopped.changed() => break,
            accepted = accepted => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
        };
        match accepted {
            // Before anything is looked at, so that a stranger costs little, and takes nobody's seat.
            Ok(accepted) if !peers.admit(&accepted) => {
                door.house.strangers.fetch_add(1, Ordering::Relaxed);
                if let Ok(place) = peers.leaving.clone().try_acquire_owned() {
                    connections.spawn(async move {
                        accepted.see_out(STRANGER).await;
                        drop(place);
                    });
                }
            }
            Ok(accepted) => match Seat::take(&door.house, limits.connections) {
                Some(seat) => {
                    let (door, stopped) = (door.clone(), stopped.clone());
                    match accepted {
                        Accepted::Tcp(stream) => connections.spawn(serve(stream, door, limits, stopped, seat)),
                        #[cfg(unix)]
                        Accepted::Unix(stream) => connections.spawn(serve(stream, door, limits, stopped, seat)),
                    };
                }
                None => accepted.say(FULL),
            },
            // Out of file descriptors, or a client that went away: both pass.
            Err(error) => {
                tracing::debug!(target: "unexpired", %error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(limits.grace, all).await;
    connections.abort_all();
}

enum Accepted {
    Tcp(tokio::net::TcpStream),
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

impl Accepted {
    /// Says why it goes no further, if that can be said without waiting.
    fn say(self, answer: &[u8]) {
        match self {
            Self::Tcp(stream) => drop(stream.try_write(answer)),
            #[cfg(unix)]
            Self::Unix(stream) => drop(stream.try_write(answer)),
        }
    }
}

impl Accepted {
    /// Says why it goes no further, and takes what the client was about to send: one that finds the connection closed before it has sent its request
    /// may not look for the answer.
    async fn see_out(self, answer: &[u8]) {
        let seen_out = async {
            match self {
                Self::Tcp(stream) => discard(stream, answer).await,
                #[cfg(unix)]
                Self::Unix(stream) => discard(stream, answer).await,
            }
        };
        // Either way it is closed now.
        let _ = tokio::time::timeout(LEAVING, seen_out).await;
    }
}

async fn discard(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) -> io::Result<()> {
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(MOST_HEAD as u64), &mut tokio::io::sink()).await.map(drop)
}

/// Who may connect, by the user that the system vouches for.
struct Peers {
    /// Everybody who can reach the socket, if none.
    users: Option<Vec<u32>>,
    told: Option<Box<dyn Fn(Option<u32>) + Send + Sync>>,
    /// Places for those who are told no; beyond them connections are just closed.
    leaving: Arc<Semaphore>,
}

impl Peers {
    fn admit(&self, accepted: &Accepted) -> bool {
        let Some(users) = &self.users else { return true };
        let user = match accepted {
            // Never bound beside a list of users.
            Accepted::Tcp(_) => None,
            #[cfg(unix)]
            Accepted::Unix(stream) => stream.peer_cred().ok().map(|peer| peer.uid()),
        };
        let admitted = user.is_some_and(|user| users.contains(&user));
        if !admitted && let Some(told) = &self.told {
            told(user);
        }
        admitted
    }
}

/// One of so many connections.
struct Seat(Arc<House>);

impl Seat {
    fn take(house: &Arc<House>, most: usize) -> Option<Self> {
        let taken = house.connections.fetch_add(1, Ordering::Relaxed);
        let seat = Self(house.clone());
        (taken < most).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One connection.
async fn serve<S>(stream: S, door: Arc<Door>, limits: Limits, mut stopped: watch::Receiver<bool>, _seat: Seat)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let visit = Arc::new(Visit { door, line: Line::new() });
    let serving = visit.clone();
    let service = service_fn(move |request| {
        let visit = serving.clone();
        async move {
            visit.line.begin();
            let answer = visit.door.answer(request, &visit.line).await;
            if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
                visit.line.become_raw();
            }
            Ok::<_, Infallible>(answer.map(|body| Answer { body, visit }))
        }
    });
    let connection = http1::Builder::new()
        // Ours costs no timer for each request.
        .header_read_timeout(None)
        .max_buf_size(MOST_HEAD)
        .max_header_size(MOST_HEAD)
        .serve_connection(TokioIo::new(Watched::new(stream, visit.clone())), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    let mut stop = pin!(stopped.wait_for(|stop| *stop));
    let mut patience = Patience::new(limits.times);
    let (mut listening, mut stopping) = (false, false);
    let ended = std::future::poll_fn(|context| {
        // The task's waker stays the same, so it is left with the watch once; afterwards a look at a flag is enough.
        if !stopping && (!listening || visit.door.house.stopping.load(Ordering::Acquire)) {
            listening = true;
            if stop.as_mut().poll(context).is_ready() {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
        if let Poll::Ready(ended) = connection.as_mut().poll(context) {
            return Poll::Ready(ended);
        }
        patience.poll(context, &visit.line).map(Ok)
    });
    if let Err(error) = ended.await {
        tracing::debug!(target: "unexpired", error = %crate::dial::deepest(&error), "a client's connection ended");
    }
}

/// A client's connection, and the door that it came in by.
struct Visit {
    door: Arc<Door>,
    line: Line,
}

impl AsRef<Line> for Visit {
    fn as_ref(&self) -> &Line {
        &self.line
    }
}

/// An answer on its way out. When it is dropped it is over, one way or the other.
struct Answer {
    body: OutBody,
    visit: Arc<Visit>,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.visit.line.end();
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Makes a [`Proxy`].
pub struct ProxyBuilder {
    routes: Vec<Route>,
    listen: Vec<Listen>,
    admin: Option<Box<dyn KeySource>>,
    replay_each: usize,
    replay_all: usize,
    limits: Limits,
    peers: Peers,
}

impl ProxyBuilder {
    /// A route. One without a place of its own is served under `/NAME`.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// A place where the routes are that have none of their own.
    #[must_use]
    pub fn listen(mut self, listen: Listen) -> Self {
        self.listen.push(listen);
        self
    }

    /// The key of `/-/metrics`. Without one the page is closed.
    #[must_use]
    pub fn admin_key(mut self, key: impl KeySource) -> Self {
        self.admin = Some(Box::new(key));
        self
    }

    /// How many bytes of bodies are held in memory for second attempts: by each request (default 16 MiB), and by all (64 MiB).
    #[must_use]
    pub fn replay_limits(mut self, each: usize, all: usize) -> Self {
        (self.replay_each, self.replay_all) = (each, all);
        self
    }

    /// How many connections of clients there may be. Default 1024; one more is answered 503.
    #[must_use]
    pub fn max_connections(mut self, most: usize) -> Self {
        self.limits.connections = most;
        self
    }

    /// How long a client may take to send a request's head, counted from its first byte; for the first request from the connection's beginning, and where
    /// no right key was shown from the last answer. Default 30 s.
    #[must_use]
    pub fn head_timeout(mut self, time: Duration) -> Self {
        self.limits.times.head = time;
        self
    }

    /// How long a connection is kept for its next request, at least; it may be twice as long. Default 10 min, which is longer than clients keep one that they
    /// do not use: so it is them who close it, and none sends a request while we do.
    #[must_use]
    pub fn idle_timeout(mut self, time: Duration) -> Self {
        self.limits.times.idle = time;
        self
    }

    /// How long requests may take to end after the shutdown. Default 30 s.
    #[must_use]
    pub fn grace(mut self, time: Duration) -> Self {
        self.limits.grace = time;
        self
    }

    /// Only these users, by number, may connect; may be given more than once. The system says who connects, and only on Unix sockets, so there may be no
    /// other places. Anybody else is answered 403 before anything of theirs is read, and counted in `unexpired_proxy_strangers_total`.
    /// Default: everybody who can reach the socket.
    #[cfg(unix)]
    #[must_use]
    pub fn allow_uids(mut self, users: impl IntoIterator<Item = u32>) -> Self {
        self.peers.users.get_or_insert_default().extend(users);
        self
    }

    /// Is told of each connection that [`allow_uids`](Self::allow_uids) turned away, with the user's number if the system knew it. Must not block.
    #[cfg(unix)]
    #[must_use]
    pub fn on_stranger(mut self, told: impl Fn(Option<u32>) + Send + Sync + 'static) -> Self {
        self.peers.told = Some(Box::new(told));
        self
    }

    /// Binds the listeners.
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](ErrorKind::Misconfigured): a place is taken, two routes have one name, a route has no place, or users are listed and a
    /// place is no Unix socket.
    pub fn bind(self) -> Result<Proxy, MintError> {
        let wrong = |what: String| MintError::new(ErrorKind::Misconfigured, what);
        for (at, route) in self.routes.iter().enumerate() {
            if self.routes.iter().take(at).any(|other| other.name() == route.name()) {
                return Err(wrong(format!("there are two routes {}", route.name())));
            }
            if route.listen().is_none() && self.listen.is_empty() {
                return Err(wrong(format!("route {} is served nowhere", route.name())).remedy("give it a place"));
            }
        }
        let mut bound = Vec::new();
        for listen in &self.listen {
            bound.extend(listen.bind()?.into_iter().map(|bound| (bound, None)));
        }
        for route in &self.routes {
            if let Some(listen) = route.listen() {
                bound.extend(listen.bind()?.into_iter().map(|bound| (bound, Some(route.clone()))));
            }
        }
        if self.peers.users.is_some()
            && let Some(open) =
                bound.iter().map(|(bound, _)| bound.place()).find(|place| matches!(place, Place::Tcp(_)))
        {
            return Err(wrong(format!("only certain users may connect, and at {open} nobody can tell who does"))
                .remedy("serve Unix sockets alone, or list no users"));
        }
        let shared = Shared { budget: Budget::new(self.replay_each, self.replay_all), tunnels: Tunnels::default() };
        let house = Arc::new(House {
            routes: self.routes,
            admin: self.admin,
            shared,
            connections: AtomicUsize::new(0),
            strangers: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        });
        Ok(Proxy { house, bound, limits: self.limits, peers: Arc::new(self.peers) })
    }
}

impl fmt::Debug for ProxyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyBuilder")
            .field("routes", &self.routes)
            .field("listen", &self.listen)
            .finish_non_exhaustive()
    }
}

/// What is said to one connection too many.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: 111\r\nconnection: close\r\nretry-after: 1\r\n\r\n{\"error\":{\"message\":\"unexpired: too many connections\",\"type\":\"server_error\",\"param\":null,\"code\":\"overloaded\"}}\n";
/// What is said to a user who may not connect.
const STRANGER: &[u8] = b"HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: 124\r\nconnection: close\r\n\r\n{\"error\":{\"message\":\"unexpired: this user may not connect\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"forbidden\"}}\n";
const MOST_HEAD: usize = 64 << 10;
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How long one who is told no may take to hear it.
const LEAVING: Duration = Duration::from_secs(1);
const HEAD_TIME: Duration = Duration::from_secs(30);
const IDLE_TIME: Duration = Duration::from_secs(600);
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);
