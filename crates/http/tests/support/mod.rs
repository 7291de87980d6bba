//! Servers on loopback that do one thing, right or wrong, and write down what they were sent.
#![allow(dead_code, missing_docs, unreachable_pub, reason = "shared by several tests, each of which uses a part")]

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use unexpired_http::Endpoint;

pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}
pub type Stream = Box<dyn Io>;

pub const TOKEN: &str = r#"{"access_token":"at-1","token_type":"Bearer","expires_in":3600}"#;

/// A server that is gone when its runtime is.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// Reads a request, gives it and the connection to `handler`, and starts again if the handler gives the connection back.
    pub async fn start<F, R>(tls: Option<ServerConfig>, handler: F) -> Self
    where
        F: Fn(Stream, String) -> R + Send + Sync + 'static,
        R: Future<Output = Option<Stream>> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server =
            Self { address: listener.local_addr().unwrap(), connections: Arc::default(), requests: Arc::default() };
        let acceptor = tls.map(|config| tokio_rustls::TlsAcceptor::from(Arc::new(config)));
        let (handler, started) = (Arc::new(handler), server.clone());
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                server.connections.fetch_add(1, Ordering::SeqCst);
                let (acceptor, handler, server) = (acceptor.clone(), handler.clone(), server.clone());
                tokio::spawn(async move {
                    let mut stream: Stream = match acceptor {
                        None => Box::new(socket),
                        Some(acceptor) => match acceptor.accept(socket).await {
                            Ok(stream) => Box::new(stream),
                            Err(_) => return,
                        },
                    };
                    while let Some(request) = read_request(&mut stream).await {
                        server.requests.lock().unwrap().push(request.clone());
                        match handler(stream, request).await {
                            Some(again) => stream = again,
                            None => return,
                        }
                    }
                });
            }
        });
        started
    }

    /// Answers every request with these bytes and closes.
    pub async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Arc::new(answer.into());
        Self::start(None, move |mut stream, _| {
            let answer = answer.clone();
            async move {
                let _ = stream.write_all(&answer).await;
                let _ = stream.shutdown().await;
                None
            }
        })
        .await
    }

    /// Answers every request with a token, over TLS.
    pub async fn secure(config: ServerConfig) -> Self {
        Self::start(Some(config), |mut stream, _| async move {
            let _ = stream.write_all(&ok(TOKEN)).await;
            Some(stream)
        })
        .await
    }

    pub fn http(&self) -> Endpoint {
        Endpoint::parse(&format!("http://{}/token", self.address)).unwrap()
    }

    pub fn https(&self, host: &str) -> Endpoint {
        Endpoint::parse(&format!("https://{host}:{}/token", self.address.port())).unwrap()
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// A whole answer with a length.
pub fn answer(status: &str, headers: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

pub fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    answer("200 OK", "content-type: application/json\r\n", body)
}

/// One request, head and body; `None` when the client has gone.
pub async fn read_request(stream: &mut Stream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let text = String::from_utf8_lossy(&bytes);
        if let Some(head_end) = text.find("\r\n\r\n") {
            let length = text
                .lines()
                .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned))
                .map_or(0, |length| length.trim().parse::<usize>().unwrap());
            if bytes.len() >= head_end + 4 + length {
                return Some(text.into_owned());
            }
        }
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}

/// A certificate authority, with a folder for its files.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

pub struct Certificate {
    pub chain: PathBuf,
    pub key: PathBuf,
    key_pair: KeyPair,
    certificate: rcgen::Certificate,
}

impl Authority {
    #[allow(clippy::new_without_default, reason = "a test's tool")]
    pub fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let name = format!("test authority {}", MADE.fetch_add(1, Ordering::SeqCst));
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let authority = Self { issuer, folder: tempfile::tempdir().unwrap() };
        std::fs::write(authority.file(), authority.pem()).unwrap();
        authority
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn certificate(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key_pair = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key_pair, &self.issuer).unwrap();
        self.write(name, key_pair, certificate)
    }

    /// A certificate that nobody but itself vouches for.
    pub fn self_signed(&self, name: &str) -> Certificate {
        let key_pair = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key_pair).unwrap();
        self.write("self-signed", key_pair, certificate)
    }

    fn write(&self, name: &str, key_pair: KeyPair, certificate: rcgen::Certificate) -> Certificate {
        let (chain, key) = (self.folder().join(format!("{name}.pem")), self.folder().join(format!("{name}.key")));
        std::fs::write(&chain, certificate.pem()).unwrap();
        std::fs::write(&key, key_pair.serialize_pem()).unwrap();
        Certificate { chain, key, key_pair, certificate }
    }

    /// A configuration for a server that presents `certificate`.
    pub fn server(&self, certificate: &Certificate) -> ServerConfig {
        let builder = server_builder().with_no_client_auth();
        builder.with_single_cert(vec![certificate.certificate.der().clone()], certificate.private_key()).unwrap()
    }

    /// As `server`, and it wants a certificate of this authority from its client.
    pub fn demanding_server(&self, certificate: &Certificate) -> ServerConfig {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), unexpired_crypto::tls_provider())
            .build()
            .unwrap();
        let builder = server_builder().with_client_cert_verifier(verifier);
        builder.with_single_cert(vec![certificate.certificate.der().clone()], certificate.private_key()).unwrap()
    }
}

impl Certificate {
    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key_pair.serialize_der()).unwrap()
    }
}

fn server_builder() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(unexpired_crypto::tls_provider()).with_safe_default_protocol_versions().unwrap()
}
