//! A token endpoint on loopback that does what it is told, and writes down what it was sent.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "shared by several tests, each of which uses a part")]

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use unexpired_core::{
    BoxFuture, MintError, MintRequest, Record, Secret, SecretSource, StoreError, StoreGuard, StoreKey, TestClock,
    Token, TokenSource, TokenStore,
};
use unexpired_oauth::Server;

/// A request as it came over the wire.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub headers: HashMap<String, String>,
    pub body: String,
}

impl Request {
    pub fn path(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }

    pub fn form(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.body.as_bytes())
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.into_owned())
    }
}

pub enum Reply {
    Answer(u16, String),
    /// With further header lines, each ended by CRLF.
    With(u16, String, String),
    /// These bytes.
    Raw(String),
    /// The connection ends without an answer.
    Break,
    /// The connection ends in the middle of the answer.
    Cut(String),
}

pub fn json(status: u16, body: impl Into<String>) -> Reply {
    Reply::Answer(status, body.into())
}

pub fn token(name: &str) -> Reply {
    json(200, format!(r#"{{"access_token":"{name}","token_type":"Bearer","expires_in":3600}}"#))
}

type Handler = dyn Fn(Request) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync;

#[derive(Clone)]
pub struct Idp {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Idp {
    pub async fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_async(move |request| {
            let reply = handler(&request);
            Box::pin(async move { reply })
        })
        .await
    }

    pub async fn start_async(
        handler: impl Fn(Request) -> Pin<Box<dyn Future<Output = Reply> + Send>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let idp = Self { address: listener.local_addr().unwrap(), requests: Arc::default() };
        let (started, handler): (_, Arc<Handler>) = (idp.clone(), Arc::new(handler));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(idp.clone().serve(socket, handler.clone()));
            }
        });
        started
    }

    async fn serve(self, mut socket: TcpStream, handler: Arc<Handler>) {
        let Some(request) = read(&mut socket).await else { return };
        self.requests.lock().unwrap().push(request.clone());
        let (status, headers, body, length) = match handler(request).await {
            Reply::Answer(status, body) => (status, String::new(), body.clone(), body.len()),
            Reply::With(status, headers, body) => (status, headers, body.clone(), body.len()),
            Reply::Cut(body) => (200, String::new(), body.clone(), body.len() + 10),
            Reply::Raw(text) => {
                let _ = socket.write_all(text.as_bytes()).await;
                return;
            }
            Reply::Break => return,
        };
        let answer =
            format!("HTTP/1.1 {status} Status\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}");
        let _ = socket.write_all(answer.as_bytes()).await;
        let _ = socket.shutdown().await;
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn server(&self) -> Server {
        Server::token_url(&self.url("/token")).unwrap()
    }

    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn paths(&self) -> Vec<String> {
        self.requests().iter().map(|request| request.path().to_owned()).collect()
    }

    /// The refresh tokens that were presented, in order.
    pub fn presented(&self) -> Vec<String> {
        self.requests().iter().filter_map(|request| request.form("refresh_token")).collect()
    }
}

async fn read(socket: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let line = lines.next().unwrap().to_owned();
            let headers: HashMap<String, String> = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
            if body.len() >= length {
                return Some(Request { line, headers, body: body.to_owned() });
            }
        }
        let mut buffer = [0; 4096];
        match socket.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

pub async fn mint(source: &dyn TokenSource) -> Result<Token, MintError> {
    source.mint(MintRequest::standalone()).await
}

pub async fn mint_at(source: &dyn TokenSource, clock: &TestClock) -> Result<Token, MintError> {
    source.mint(MintRequest::standalone_on(Arc::new(clock.clone()))).await
}

pub fn secret(text: &str) -> Arc<Secret> {
    Arc::new(Secret::new(text))
}

/// A secret that is replaced while the program runs.
#[derive(Clone)]
pub struct Changing(Arc<Mutex<(String, u64)>>);

impl Changing {
    pub fn new(text: &str) -> Self {
        Self(Arc::new(Mutex::new((text.to_owned(), 1))))
    }

    pub fn set(&self, text: &str) {
        let mut inner = self.0.lock().unwrap();
        *inner = (text.to_owned(), inner.1 + 1);
    }
}

impl SecretSource for Changing {
    fn secret(&self) -> BoxFuture<'_, Result<Secret, MintError>> {
        let text = self.0.lock().unwrap().0.clone();
        Box::pin(std::future::ready(Ok(Secret::new(text))))
    }

    fn revision(&self) -> u64 {
        self.0.lock().unwrap().1
    }
}

/// What a store is told to do wrong. Given the record that is to be written.
pub type Fault = dyn Fn(&Record) -> Wrong + Send + Sync;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    Nothing,
    /// The disk is full.
    Fails,
    /// The disk hangs: never done.
    Hangs,
}

/// A store before another one, with faults, and with the history of what was written.
#[derive(Clone)]
pub struct Faulty<S> {
    pub inner: S,
    pub fault: Arc<Mutex<Arc<Fault>>>,
    pub load_fails: Arc<Mutex<bool>>,
    pub written: Arc<Mutex<Vec<(String, u32)>>>,
    pub hung: Arc<tokio::sync::Notify>,
}

impl<S: TokenStore + Clone> Faulty<S> {
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            fault: Arc::new(Mutex::new(Arc::new(|_: &Record| Wrong::Nothing))),
            load_fails: Arc::default(),
            written: Arc::default(),
            hung: Arc::default(),
        }
    }

    pub fn on_commit(&self, fault: impl Fn(&Record) -> Wrong + Send + Sync + 'static) {
        *self.fault.lock().unwrap() = Arc::new(fault);
    }

    pub fn written(&self) -> Vec<(String, u32)> {
        self.written.lock().unwrap().clone()
    }
}

impl<S: TokenStore + Clone> TokenStore for Faulty<S> {
    fn load(&self, key: &StoreKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        self.inner.load(key)
    }

    fn lock(&self, key: &StoreKey) -> BoxFuture<'_, Result<Box<dyn StoreGuard>, StoreError>> {
        let key = key.clone();
        Box::pin(async move {
            let inner = self.inner.lock(&key).await?;
            Ok(Box::new(FaultyGuard { inner, store: self.clone() }) as Box<dyn StoreGuard>)
        })
    }
}

struct FaultyGuard<S> {
    inner: Box<dyn StoreGuard>,
    store: Faulty<S>,
}

impl<S: TokenStore + Clone> StoreGuard for FaultyGuard<S> {
    fn load(&mut self) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        if *self.store.load_fails.lock().unwrap() {
            return Box::pin(std::future::ready(Err(StoreError::new("the disk cannot be read"))));
        }
        self.inner.load()
    }

    fn commit(&mut self, record: Record) -> BoxFuture<'_, Result<(), StoreError>> {
        let fault = self.store.fault.lock().unwrap().clone();
        match fault(&record) {
            Wrong::Fails => Box::pin(std::future::ready(Err(StoreError::new("no space left on the disk")))),
            Wrong::Hangs => {
                self.store.hung.notify_one();
                Box::pin(std::future::pending())
            }
            Wrong::Nothing => {
                let Record::RefreshToken(token) = &record else { unreachable!() };
                let entry = (token.token.expose().to_owned(), token.unanswered);
                self.store.written.lock().unwrap().push(entry);
                self.inner.commit(record)
            }
        }
    }
}
