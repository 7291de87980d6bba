//! The server: its thread, its listeners, and one request from the socket to the answer.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::answer::Answer;
use crate::clock::{Civil, nanos, shifted, system_time};
use crate::fault::{DateFault, Kind, Script};
use crate::shared::Shared;
use crate::{Endpoint, RecordedRequest, StartError, lab, wire};

/// The thread and its runtime. Everything ends when this is dropped.
pub(crate) struct Server {
    handle: Handle,
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start() -> Result<Self, StartError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| StartError::new(format!("no runtime: {error}")))?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("unexpired-testkit".into())
            .spawn(move || {
                // Ends by the sender's being dropped; connections end with the runtime.
                let _ = runtime.block_on(stopped);
                runtime.shutdown_background();
            })
            .map_err(|error| StartError::new(format!("no thread: {error}")))?;
        Ok(Self { handle, stop: Some(stop), thread: Some(thread) })
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Accepts connections until the end.
    pub(crate) fn listen(&self, listener: TcpListener, listening: Listening) -> Result<(), StartError> {
        let failed = |error: io::Error| StartError::new(format!("cannot listen: {error}"));
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = {
            let _runtime = self.handle.enter();
            tokio::net::TcpListener::from_std(listener).map_err(failed)?
        };
        let listening = Arc::new(listening);
        self.handle.spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((socket, _)) => {
                        let _ = socket.set_nodelay(true);
                        tokio::spawn(connection(socket, listening.clone()));
                    }
                    // Out of file descriptors, most likely: others will be closed.
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        });
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

/// A socket on loopback; port 0 for any that is free.
pub(crate) fn bind(port: u16) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| {
        let address = listener.local_addr()?;
        Ok((listener, address))
    });
    bound.map_err(|error| StartError::new(format!("cannot listen on 127.0.0.1:{port}: {error}")))
}

/// What a listener serves.
pub(crate) struct Listening {
    pub(crate) shared: Arc<Shared>,
    /// What URLs start with if the request names no host of ours.
    pub(crate) base: String,
    pub(crate) port: u16,
    /// The resource server that has this port to itself.
    pub(crate) mount: Option<String>,
    #[cfg(feature = "https")]
    pub(crate) tls: Option<tokio_rustls::TlsAcceptor>,
}

async fn connection(socket: tokio::net::TcpStream, listening: Arc<Listening>) {
    #[cfg(feature = "https")]
    if let Some(tls) = &listening.tls {
        if let Ok(stream) = tls.accept(socket).await {
            speak(stream, listening.clone()).await;
        }
        return;
    }
    speak(socket, listening).await;
}

async fn speak<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(stream: S, listening: Arc<Listening>) {
    let garble = Arc::new(AtomicBool::new(false));
    let stream = Garbling { stream, garble: garble.clone(), sent: Mutex::new(0) };
    let service = service_fn(move |request| serve(listening.clone(), garble.clone(), request));
    // The error is the fault that a test asked for, or the client's going away.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// hyper closes the connection without an answer.
#[derive(Debug)]
pub(crate) struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is cut, as a test asked for")
    }
}

impl std::error::Error for Cut {}

async fn serve(
    listening: Arc<Listening>,
    garble: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> Result<Response<Scripted>, Cut> {
    let shared = &listening.shared;
    let (parts, body) = request.into_parts();
    let host = parts
        .uri
        .authority()
        .map(|authority| authority.as_str().to_owned())
        .or_else(|| parts.headers.get("host").and_then(|host| host.to_str().ok()).map(str::to_owned));
    let is_here = host.as_deref().is_some_and(|host| is_loopback(host, listening.port));
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return Ok(finish(
            shared,
            Answer::oauth_error(413, "invalid_request", "the body is too large"),
            &Script::default(),
        ));
    };
    // A page in a browser whose host name was pointed at this machine must not reach the lab.
    if shared.settings.lab && !is_here {
        let answer =
            Answer::oauth_error(403, "invalid_request", "the Host header must be localhost or 127.0.0.1 with the port");
        return Ok(finish(shared, answer, &Script::default()));
    }
    let path = parts.uri.path().to_owned();
    let is_check = shared.settings.lab && path == "/lab/check";
    let endpoint = if listening.mount.is_some() || is_check { Endpoint::Resource } else { wire::endpoint(&path) };
    let base = match (is_here, host, listening.base.split_once("//"), &listening.mount) {
        (true, Some(host), Some((scheme, _)), None) => format!("{scheme}//{host}"),
        _ => listening.base.clone(),
    };
    let mut recorded = RecordedRequest {
        endpoint,
        method: parts.method.as_str().to_owned(),
        path,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
            .collect(),
        form: Vec::new(),
        body: body.to_bytes().to_vec(),
        received_at: system_time(shared.clock.now()),
        status: None,
        base,
    };
    recorded.parse_form();
    if shared.settings.lab && endpoint == Endpoint::Other && lab::is_control(&recorded.path) {
        return Ok(finish(shared, lab::control(shared, &recorded), &Script::default()));
    }
    respond(shared, recorded, listening.mount.as_deref(), &garble).await
}

/// Answers a request as the faults want it.
async fn respond(
    shared: &Shared,
    request: RecordedRequest,
    mount: Option<&str>,
    garble: &AtomicBool,
) -> Result<Response<Scripted>, Cut> {
    let (number, script) = {
        let mut state = shared.lock();
        let script = state.faults.take(request.endpoint, shared.clock.now());
        (state.record(request.clone()), script)
    };
    if let Some(delay) = script.delay {
        tokio::time::sleep(delay).await;
    }
    let mut cut_body = false;
    let answer = match &script.answer {
        None => wire::answer(shared, &request, &script, mount),
        Some(Kind::NeverAnswer) => pending().await,
        Some(Kind::CutBefore) => return Err(Cut),
        Some(Kind::CutAfter) => {
            wire::answer(shared, &request, &script, mount);
            return Err(Cut);
        }
        Some(Kind::CutBody) => {
            cut_body = true;
            wire::answer(shared, &request, &script, mount)
        }
        Some(Kind::Status { status, retry_after, body }) => {
            let answer = match body {
                Some(body) => Answer::json(*status, body.as_str()),
                None => wire::trouble(shared, &request, *status),
            };
            match retry_after {
                Some(value) => answer.header("retry-after", value.as_str()),
                None => answer,
            }
        }
        Some(Kind::ErrorWith200) => Answer::oauth_error(200, "temporarily_unavailable", "the server is overloaded"),
        Some(Kind::Garbage) => Answer { body: b"\x00\xff{\"access_token\":\x01".to_vec(), ..Answer::json(200, "") },
        Some(Kind::NotHttp) => {
            garble.store(true, Ordering::SeqCst);
            Answer::empty(200)
        }
        Some(Kind::Redirect(location)) => Answer::empty(307).header("location", location.as_str()),
        // Html; the others are no answers and never stand here.
        Some(_) => Answer::html(200),
    };
    shared.lock().answered(number, answer.status);
    let mut response = finish(shared, answer, &script);
    let body = response.body_mut();
    body.pause = script.drip;
    body.cut_at = cut_body.then_some(body.bytes.len() / 2);
    Ok(response)
}

fn finish(shared: &Shared, answer: Answer, script: &Script) -> Response<Scripted> {
    let mut response = Response::new(Scripted::new(answer.body));
    *response.status_mut() =
        http::StatusCode::from_u16(answer.status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let date = match script.date {
        None => Civil::of(shared.clock.now()).http_date(),
        Some(DateFault::Skewed(by)) => {
            let by = by.saturating_mul(nanos(Duration::from_secs(1)));
            Civil::of(shifted(shared.clock.now(), by)).http_date()
        }
        Some(DateFault::Garbage) => "yesterday".into(),
    };
    let kind = script.content_type.as_deref().unwrap_or(answer.content_type);
    let mut set = |name: &'static str, value: &str| {
        // A value that is no header value was asked for by a test in vain.
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    };
    set("date", &date);
    if !kind.is_empty() {
        set("content-type", kind);
    }
    for (name, value) in &answer.headers {
        set(name, value);
    }
    response
}

/// Whether a `Host` is this machine at this port.
fn is_loopback(host: &str, port: u16) -> bool {
    let Some(name) = host.strip_suffix(&format!(":{port}")) else { return false };
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// A body that may come slowly, and may end too early.
pub(crate) struct Scripted {
    bytes: Bytes,
    pause: Option<Duration>,
    waiting: Option<Pin<Box<tokio::time::Sleep>>>,
    cut_at: Option<usize>,
    flushed: bool,
}

impl Scripted {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into(), pause: None, waiting: None, cut_at: None, flushed: false }
    }
}

impl Body for Scripted {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let this = &mut *self;
        match this.cut_at {
            Some(0) if this.flushed => return Poll::Ready(Some(Err(Cut))),
            Some(0) => {
                // hyper sends what it has when a body makes it wait, and forgets it when a body fails.
                this.flushed = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(at) => {
                this.cut_at = Some(0);
                return Poll::Ready(Some(Ok(Frame::data(this.bytes.split_to(at.min(this.bytes.len()))))));
            }
            None if this.bytes.is_empty() => return Poll::Ready(None),
            None => {}
        }
        let Some(pause) = this.pause else {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.bytes)))));
        };
        let waiting = this.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(pause)));
        ready!(waiting.as_mut().poll(context));
        this.waiting = None;
        Poll::Ready(Some(Ok(Frame::data(this.bytes.split_to(1)))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty() && self.cut_at.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.bytes.len()).unwrap_or(u64::MAX))
    }
}

/// A stream that writes something else than it is told, once a test wants that.
struct Garbling<S> {
    stream: S,
    garble: Arc<AtomicBool>,
    /// How much of the garbage is out.
    sent: Mutex<usize>,
}

impl<S: AsyncWrite + Unpin> Garbling<S> {
    fn poll_garbage(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(rest) = NOT_HTTP.get(*sent..).filter(|rest| !rest.is_empty()) {
            let wrote = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            *sent = sent.saturating_add(wrote.max(1));
        }
        ready!(Pin::new(&mut self.stream).poll_flush(context))?;
        // hyper closes the connection.
        Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Garbling<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Garbling<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if self.garble.load(Ordering::SeqCst) {
            ready!(self.poll_garbage(context))?;
        }
        Pin::new(&mut self.stream).poll_write(context, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

const MAX_BODY: usize = 1024 * 1024;

const NOT_HTTP: &[u8] = b"SSH-2.0-not-what-you-wanted\r\n\x00\x01\x02\xff\r\n\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_at_this_port_is_here() {
        for host in ["127.0.0.1:80", "localhost:80", "LOCALHOST:80", "[::1]:80"] {
            assert!(is_loopback(host, 80), "{host}");
        }
        for host in
            ["127.0.0.1", "127.0.0.1:81", "evil.example:80", "localhost.evil.example:80", "", ":80", "x127.0.0.1:80"]
        {
            assert!(!is_loopback(host, 80), "{host}");
        }
    }
}
