//! A server that clients talk to: HTTP/1.1 on loopback, with or without TLS, which takes good tokens and refuses all others.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::tls::TestCa;

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// `GET`, `POST`, …
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Header names in lower case, with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Incoming {
    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The token in `Authorization`, as Bearer or as the password of Basic, and which of the two.
    pub fn token(&self) -> Option<(String, Scheme)> {
        let value = self.header("authorization")?;
        if let Some(token) = value.strip_prefix("Bearer ") {
            return Some((token.to_owned(), Scheme::Bearer));
        }
        let decoded = BASE64_STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
        let (_, password) =
            String::from_utf8(decoded).ok()?.split_once(':').map(|(u, p)| (u.to_owned(), p.to_owned()))?;
        // pip says who it is before it asks for the password.
        Some((password, Scheme::Basic)).filter(|(password, _)| !password.is_empty())
    }
}

/// How a token came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Bearer TOKEN`.
    Bearer,
    /// `Authorization: Basic`, the token as the password.
    Basic,
}

/// An answer: status, headers, body.
pub type Reply = (u16, Vec<(String, String)>, Vec<u8>);

/// An answer without more headers than the content type.
pub fn reply(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Reply {
    (status, vec![("content-type".to_owned(), content_type.to_owned())], body.into())
}

/// A running server. It ends with the test's process.
#[derive(Debug)]
pub struct Resource {
    port: u16,
    tls: bool,
    seen: Arc<Mutex<Seen>>,
}

/// What came.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Tokens that were accepted, in the order in which they came first.
    pub accepted: Vec<String>,
    /// Requests with such a token.
    pub good: usize,
    /// Requests with a token that was refused.
    pub refused: usize,
    /// Requests without one, save `HEAD`.
    pub bare: usize,
    /// By which scheme the last one came.
    pub scheme: Option<Scheme>,
}

impl Resource {
    /// Starts one. A request with a token that `guard` accepts gets what `pages` answers; any other 401 with these challenges.
    ///
    /// # Panics
    /// If loopback cannot be listened on.
    pub fn start(
        ca: Option<&TestCa>,
        challenges: &[&str],
        guard: impl Fn(&str) -> bool + Send + Sync + 'static,
        pages: impl Fn(&Incoming) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let challenges: Vec<String> = challenges.iter().map(|text| (*text).to_owned()).collect();
        let noted = seen.clone();
        let answer = move |request: &Incoming| {
            let token = request.token();
            // Asked before it is noted: many requests may come at once.
            let good = token.as_ref().is_some_and(|(token, _)| guard(token));
            let mut seen = noted.lock().unwrap_or_else(PoisonError::into_inner);
            match token {
                Some((token, scheme)) if good => {
                    seen.good += 1;
                    seen.scheme = Some(scheme);
                    if !seen.accepted.contains(&token) {
                        seen.accepted.push(token);
                    }
                    drop(seen);
                    return pages(request);
                }
                Some(_) => seen.refused += 1,
                // A connection is opened for later.
                None if request.method == "HEAD" => {}
                None => seen.bare += 1,
            }
            let headers = challenges.iter().map(|value| ("www-authenticate".to_owned(), value.clone()));
            (401, headers.collect(), b"{}".to_vec())
        };
        Self { seen, ..Self::open(ca, answer) }
    }

    /// Starts one that leaves it to `answer` what it refuses.
    ///
    /// # Panics
    /// If loopback cannot be listened on.
    pub fn open(ca: Option<&TestCa>, answer: impl Fn(&Incoming) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a loopback port");
        let port = listener.local_addr().expect("a bound socket has an address").port();
        let tls = ca.map(server_config);
        let is_tls = tls.is_some();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, tls) = (answer.clone(), tls.clone());
                std::thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(PATIENCE));
                    let _ = match tls {
                        None => serve(&stream, &stream, &*answer),
                        Some(config) => serve_tls(stream, config, &*answer),
                    };
                });
            }
        });
        Self { port, tls: is_tls, seen: Arc::default() }
    }

    /// Scheme, host and port.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.tls { "https" } else { "http" }, self.port)
    }

    /// Host and port.
    pub fn authority(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What came so far.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn server_config(ca: &TestCa) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from_pem_file(ca.certificate_file()).expect("our own certificate");
    let key = PrivateKeyDer::from_pem_file(ca.key_file()).expect("our own key");
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks the default versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    Arc::new(config.expect("the key is the certificate's"))
}

fn serve_tls(stream: TcpStream, config: Arc<ServerConfig>, answer: &dyn Fn(&Incoming) -> Reply) -> std::io::Result<()> {
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    // One request a connection: what is read ahead need not be shared.
    let Some(request) = read(&mut BufReader::new(&mut stream))? else { return Ok(()) };
    write(&mut stream, &request, answer(&request))?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn serve(reader: impl Read, mut writer: impl Write, answer: &dyn Fn(&Incoming) -> Reply) -> std::io::Result<()> {
    let Some(request) = read(&mut BufReader::new(reader))? else { return Ok(()) };
    write(&mut writer, &request, answer(&request))
}

fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Incoming>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let mut request = Incoming { method, target, headers, body: Vec::new() };
    let length: usize = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    request.body = vec![0; length.min(1 << 20)];
    reader.read_exact(&mut request.body)?;
    Ok(Some(request))
}

fn write(writer: &mut impl Write, request: &Incoming, (status, headers, body): Reply) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    writer.write_all(head.as_bytes())?;
    if request.method != "HEAD" {
        writer.write_all(&body)?;
    }
    writer.flush()
}

const PATIENCE: Duration = Duration::from_secs(20);
