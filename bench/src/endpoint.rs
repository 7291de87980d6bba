//! The token endpoint that all of them ask: plain HTTP on loopback, on a thread of its own, with latency, status and lifetime set from outside.

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A running endpoint. Clones are handles on the same one; its thread ends with the process.
#[derive(Clone, Debug)]
pub struct Endpoint {
    state: Arc<State>,
    address: SocketAddr,
}

#[derive(Debug)]
struct State {
    epoch: Instant,
    latency_micros: AtomicU64,
    status: AtomicU16,
    lifetime: AtomicU64,
    requests: AtomicU64,
    /// Of tokens, so that no two are the same.
    serial: AtomicU64,
    /// Microseconds after `epoch` of the first request since the last `mark`, plus one; 0 before it.
    first: AtomicU64,
}

impl Endpoint {
    /// Answers at once with 200 and tokens of an hour until told otherwise.
    pub fn start() -> Self {
        let state = Arc::new(State {
            epoch: Instant::now(),
            latency_micros: AtomicU64::new(0),
            status: AtomicU16::new(200),
            lifetime: AtomicU64::new(3600),
            requests: AtomicU64::new(0),
            serial: AtomicU64::new(0),
            first: AtomicU64::new(0),
        });
        let (sender, receiver) = std::sync::mpsc::channel();
        let shared = state.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
                sender.send(listener.local_addr().unwrap()).unwrap();
                loop {
                    let Ok((stream, _)) = listener.accept().await else { continue };
                    let _ = stream.set_nodelay(true);
                    let state = shared.clone();
                    tokio::spawn(async move {
                        let service = hyper::service::service_fn(|request| answer(state.clone(), request));
                        let _ = hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await;
                    });
                }
            });
        });
        Self { state, address: receiver.recv().unwrap() }
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    pub fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    pub fn latency(&self, latency: Duration) {
        self.state.latency_micros.store(latency.as_micros() as u64, Ordering::SeqCst);
    }

    pub fn status(&self, status: u16) {
        self.state.status.store(status, Ordering::SeqCst);
    }

    pub fn lifetime(&self, seconds: u64) {
        self.state.lifetime.store(seconds, Ordering::SeqCst);
    }

    /// Starts counting anew.
    pub fn mark(&self) {
        self.state.requests.store(0, Ordering::SeqCst);
        self.state.first.store(0, Ordering::SeqCst);
    }

    /// Requests since the last mark.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::SeqCst)
    }

    /// When the first request since the last mark arrived.
    pub fn first_request(&self) -> Option<Instant> {
        let micros = self.state.first.load(Ordering::SeqCst).checked_sub(1)?;
        Some(self.state.epoch + Duration::from_micros(micros))
    }
}

/// One body that every client under test can read: each takes the fields it knows.
async fn answer(state: Arc<State>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    state.requests.fetch_add(1, Ordering::SeqCst);
    let number = state.serial.fetch_add(1, Ordering::SeqCst);
    let now = state.epoch.elapsed().as_micros() as u64 + 1;
    let _ = state.first.compare_exchange(0, now, Ordering::SeqCst, Ordering::SeqCst);
    let latency = Duration::from_micros(state.latency_micros.load(Ordering::SeqCst));
    let status = state.status.load(Ordering::SeqCst);
    let lifetime = state.lifetime.load(Ordering::SeqCst);
    let _ = request.into_body().collect().await;
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let body = if status == 200 {
        let mut token = format!("at-{number}-");
        token.extend(std::iter::repeat_n('a', TOKEN_CHARACTERS - token.len()));
        format!(
            r#"{{"token_type":"Bearer","expires_in":{lifetime},"ext_expires_in":{lifetime},"access_token":"{token}"}}"#
        )
    } else {
        r#"{"error":"temporarily_unavailable","error_description":"try later","error_codes":[]}"#.to_owned()
    };
    let response = Response::builder().status(status).header(header::CONTENT_TYPE, "application/json");
    Ok(response.body(Full::new(Bytes::from(body))).unwrap())
}

/// As long as cloud tokens are.
const TOKEN_CHARACTERS: usize = 1500;
