//! What the tests of the proxy share: a proxy that runs, upstreams that answer as a test wants, and a client that writes bytes.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod authority;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use unexpired_core::{TokenManager, TokenSource};
use unexpired_proxy::{Listen, LocalKey, Proxy, ProxyBuilder, Route, RouteBuilder};
use unexpired_testkit::ScriptedSource;

pub(crate) type Body = BoxBody<Bytes, Infallible>;

/// The key of every route under test.
pub(crate) const KEY: &str = "unx-test-key";

/// A proxy that serves until it is dropped.
pub(crate) struct Running {
    pub(crate) port: u16,
    stop: Option<oneshot::Sender<()>>,
    pub(crate) task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub(crate) fn start(builder: ProxyBuilder) -> Self {
        let proxy = builder.bind().unwrap();
        let port = match proxy.places().first() {
            Some(unexpired_proxy::Place::Tcp(address)) => address.port(),
            _ => 0,
        };
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(proxy.serve(async {
            let _ = stopped.await;
        }));
        Self { port, stop: Some(stop), task }
    }

    /// One route `r` on a free port.
    pub(crate) fn of(route: Route) -> Self {
        Self::start(Proxy::builder().route(route).listen(Listen::Port(0)).grace(Duration::from_secs(2)))
    }

    pub(crate) fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Sends a request for `/r` + `path` with the key, and reads the whole answer.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", b"").await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let head = format!(
            "{method} /r{path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nconnection: close\r\nauthorization: Bearer {KEY}\r\n{length}{headers}\r\n",
            self.port
        );
        self.raw(&[head.as_bytes(), body].concat()).await
    }

    /// Writes these bytes and reads until the proxy closes.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        let write = async {
            // A refusal may come, and the connection go, before all of it is read.
            let _ = writer.write_all(bytes).await;
        };
        let mut answer = Vec::new();
        let read = async {
            let _ = tokio::time::timeout(LIMIT, reader.read_to_end(&mut answer)).await.expect("an answer in time");
        };
        tokio::join!(write, read);
        Answer::parse(&answer)
    }
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The head, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Everything, as it came.
    pub(crate) all: String,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let all = String::from_utf8_lossy(bytes).into_owned();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let rest = bytes.get(end + 4..).unwrap_or_default();
        let body = if head.contains("transfer-encoding: chunked") { unchunk(rest) } else { rest.to_vec() };
        Self { status, head, body, all }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.all))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(&String::from_utf8_lossy(&rest[..end]), 16).unwrap_or(0);
        if length == 0 {
            break;
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + length).unwrap_or_default());
        rest = rest.get(end + 4 + length..).unwrap_or_default();
    }
    body
}

/// A request as the upstream saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) version: http::Version,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// An upstream that keeps what it saw and answers as it is told.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Upstream {
    /// Answers each request, whole, with what `answer` makes of it. It is told how many came before.
    pub(crate) async fn start(answer: impl Fn(usize, &Seen) -> Response<Body> + Send + Sync + 'static) -> Self {
        Self::start_with(answer, |stream| async { Some(stream) }).await
    }

    pub(crate) async fn start_with<S, F>(
        answer: impl Fn(usize, &Seen) -> Response<Body> + Send + Sync + 'static,
        accept: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Option<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let upstream = Self { address, seen: seen.clone() };
        let answer = Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer, accepted) = (seen.clone(), answer.clone(), accept(stream));
                tokio::spawn(async move {
                    let Some(stream) = accepted.await else { return };
                    let service = service_fn(move |request: Request<Incoming>| {
                        let (seen, answer) = (seen.clone(), answer.clone());
                        async move { Ok::<_, Infallible>(see(request, &seen, &*answer).await) }
                    });
                    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        upstream
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen().pop().expect("a request")
    }
}

async fn see(
    request: Request<Incoming>,
    seen: &Mutex<Vec<Seen>>,
    answer: &(dyn Fn(usize, &Seen) -> Response<Body> + Send + Sync),
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    let path = head.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let mut headers = head.headers;
    if let Some(authority) = head.uri.authority() {
        headers.insert("host", authority.as_str().parse().unwrap());
    }
    let one = Seen { method: head.method.to_string(), path, version: head.version, headers, body };
    let before = {
        let mut seen = seen.lock().unwrap();
        seen.push(one.clone());
        seen.len() - 1
    };
    answer(before, &one)
}

/// A server that handles each connection as bytes.
pub(crate) async fn raw_upstream<F>(handle: impl Fn(usize, TcpStream) -> F + Send + Sync + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut count = 0;
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(handle(count, stream));
            count += 1;
        }
    });
    address
}

/// Reads up to the end of a head.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            break;
        }
        head.push(byte[0]);
    }
    String::from_utf8_lossy(&head).into_owned()
}

pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Full::new(body.into()).boxed()).unwrap()
}

pub(crate) fn ok() -> Response<Body> {
    reply(200, &[("content-type", "application/json")], "{\"ok\":true}")
}

/// Tokens `scripted-1`, `scripted-2`, … that live for an hour.
pub(crate) fn scripted() -> (ScriptedSource, TokenManager) {
    let source = ScriptedSource::new(Duration::from_secs(3600));
    (source.clone(), manager(source))
}

pub(crate) fn manager(source: impl TokenSource) -> TokenManager {
    TokenManager::builder("corp", source).build()
}

/// A route `r` with the key of the tests.
pub(crate) fn route(manager: TokenManager, upstream: &str) -> RouteBuilder {
    Route::builder("r", manager, upstream, LocalKey::new(KEY))
}

/// A proxy before an upstream, with scripted tokens.
pub(crate) fn before(upstream: &Upstream) -> (Running, ScriptedSource) {
    let (source, manager) = scripted();
    (Running::of(route(manager, &upstream.url("/base")).build().unwrap()), source)
}

pub(crate) const LIMIT: Duration = Duration::from_secs(20);
