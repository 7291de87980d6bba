//! Why no answer came.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use rustls::{AlertDescription, CertificateError};
use unexpired_core::{ErrorKind, MintError};

/// Why a request got no answer that could be read to its end.
///
/// Becomes a [`MintError`] by `?`. Whoever sends what can be used only once (a rotating refresh token) asks
/// [`maybe_received`](SendError::maybe_received) first.
#[derive(Clone, Debug)]
pub struct SendError {
    error: MintError,
    maybe_received: bool,
}

impl SendError {
    /// Whether the server may have received the request. `false` only where it surely has not: it was never sent, the name was not resolved,
    /// or no connection came about.
    pub fn maybe_received(&self) -> bool {
        self.maybe_received
    }

    /// What the error means.
    pub fn kind(&self) -> ErrorKind {
        self.error.kind()
    }

    /// Nothing was sent.
    pub(crate) fn before(error: MintError) -> Self {
        Self { error, maybe_received: false }
    }

    /// The request had gone out, or may have.
    pub(crate) fn after(error: MintError) -> Self {
        let error = if error.remedy_text().is_some() {
            error
        } else {
            error.remedy("try again; if it lasts, check the address of the endpoint")
        };
        Self { error, maybe_received: true }
    }

    /// The whole exchange took too long.
    pub(crate) fn too_slow(host: &str, limit: Duration) -> Self {
        let message = format!("no complete answer within {}", seconds(limit));
        Self::after(MintError::new(ErrorKind::TimedOut, message).host(host).remedy(AGAIN))
    }

    /// The certificate files took all the time.
    pub(crate) fn files_too_slow(host: &str, limit: Duration) -> Self {
        let message = format!("the certificate files were not read within {}", seconds(limit));
        let remedy = "check the disk that ca_file, the client certificate or SSL_CERT_FILE lies on";
        Self::before(MintError::new(ErrorKind::TimedOut, message).host(host).remedy(remedy))
    }

    /// Puts the client's error into our words. Its own text may hold the URL and is not used.
    pub(crate) fn of(error: &reqwest::Error, host: &str, way: &Way) -> Self {
        let connecting = error.is_connect();
        let tls = find::<rustls::Error>(error);
        let (kind, message, remedy) = if let Some(tls) = tls {
            let unsent = connecting || is_handshake_alert(tls);
            let (kind, message, remedy) = tls_words(tls);
            return Self::new(kind, &message, remedy, host, !unsent);
        } else if error.is_builder() {
            (
                ErrorKind::Misconfigured,
                "the request cannot be built".to_owned(),
                Some("check the address, and what is configured to be sent"),
            )
        } else if error.is_dns() {
            (
                ErrorKind::Unavailable,
                "the host name cannot be resolved".to_owned(),
                Some("check the name and the network"),
            )
        } else if error.is_timeout() && connecting {
            (ErrorKind::TimedOut, format!("no connection within {}", seconds(way.connect_timeout)), Some(network(way)))
        } else if error.is_timeout() {
            (ErrorKind::TimedOut, "the connection timed out".to_owned(), Some(AGAIN))
        } else if connecting {
            connect_words(error, way)
        } else if says(error, |text| NO_HTTP.iter().any(|start| text.starts_with(start))) {
            (ErrorKind::Malformed, "the answer is no HTTP".to_owned(), Some("check the endpoint's scheme and port"))
        } else {
            (ErrorKind::Unavailable, "the connection broke before the answer was complete".to_owned(), Some(AGAIN))
        };
        Self::new(kind, &message, remedy, host, !(connecting || error.is_builder()))
    }

    fn new(kind: ErrorKind, message: &str, remedy: Option<&str>, host: &str, maybe_received: bool) -> Self {
        let error = MintError::new(kind, message).host(host);
        let error = match remedy {
            Some(remedy) => error.remedy(remedy),
            None => error,
        };
        Self { error, maybe_received }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl Error for SendError {}

impl From<SendError> for MintError {
    fn from(error: SendError) -> Self {
        error.error
    }
}

/// How the request went out, for the words.
pub(crate) struct Way {
    pub(crate) connect_timeout: Duration,
    pub(crate) maybe_proxied: bool,
}

type Words = (ErrorKind, String, Option<&'static str>);

fn connect_words(error: &reqwest::Error, way: &Way) -> Words {
    let unavailable = |message: &str, remedy| (ErrorKind::Unavailable, message.to_owned(), Some(remedy));
    if says(error, |text| text.contains("proxy authorization required")) {
        return (
            ErrorKind::Misconfigured,
            "the proxy asks for a user name and a password".to_owned(),
            Some("put them into the proxy's URL"),
        );
    }
    if says(error, |text| text.starts_with("tunnel error: failed to create")) {
        return unavailable("no connection to the proxy", "check HTTPS_PROXY or the configured proxy");
    }
    if says(error, |text| text.starts_with("tunnel error")) {
        let remedy = "check the proxy, or name the host in NO_PROXY";
        return unavailable("the proxy opens no connection to this host", remedy);
    }
    let network = network(way);
    match cause(error) {
        Some(io::ErrorKind::ConnectionRefused) if way.maybe_proxied => unavailable("connection refused", network),
        Some(io::ErrorKind::ConnectionRefused) => {
            // The port alone is taken of the address: the rest of it may be for nobody's eyes.
            let port = error.url().and_then(url::Url::port_or_known_default);
            let message = port
                .map_or_else(|| "connection refused".to_owned(), |port| format!("connection refused at port {port}"));
            unavailable(&message, "check that the server runs, and its address")
        }
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe) => {
            unavailable("the connection was reset before the request was sent", AGAIN)
        }
        Some(io::ErrorKind::UnexpectedEof) => unavailable("the connection was closed during the TLS handshake", AGAIN),
        Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => {
            unavailable("the network does not reach this host", network)
        }
        Some(io::ErrorKind::TimedOut) => (ErrorKind::TimedOut, "no connection".to_owned(), Some(network)),
        Some(kind) => unavailable(&format!("no connection ({kind})"), network),
        None => unavailable("no connection", network),
    }
}

/// What to look at where there is no way to the host.
fn network(way: &Way) -> &'static str {
    if way.maybe_proxied { "check the network, and HTTPS_PROXY if it is set" } else { "check the network" }
}

/// A certificate that is not trusted is `Unavailable`: a portal or an inspecting proxy in between goes away again.
fn tls_words(error: &rustls::Error) -> Words {
    let unavailable = |message: &str, remedy| (ErrorKind::Unavailable, message.to_owned(), Some(remedy));
    match error {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => unavailable(
                "the server's certificate has expired",
                "check this machine's clock; else the server must renew it",
            ),
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                unavailable("the server's certificate is not valid yet", "check this machine's clock")
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => unavailable(
                "the server's certificate is for another host",
                "check the host's name and the address it resolves to",
            ),
            // A bad signature is an issuer of the same name with another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                unavailable("the server's certificate is signed by an unknown issuer", CA_FILE)
            }
            CertificateError::Revoked => {
                unavailable("the server's certificate is revoked", "its operator must replace it")
            }
            other => unavailable(&format!("the server's certificate is not accepted ({other:?})"), CA_FILE),
        },
        rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => (
            ErrorKind::Misconfigured,
            "the server wants a client certificate".to_owned(),
            Some("set the client certificate and its key"),
        ),
        rustls::Error::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied),
        ) => (
            ErrorKind::Misconfigured,
            format!("the server refuses the client certificate ({alert:?})"),
            Some("check the client certificate and who issued it"),
        ),
        rustls::Error::AlertReceived(alert) => {
            unavailable(&format!("the server ended the TLS handshake ({alert:?})"), "the server's TLS may be too old")
        }
        rustls::Error::InvalidMessage(_) => {
            unavailable("the server speaks no TLS on this port", "check the endpoint's port")
        }
        rustls::Error::PeerIncompatible(why) => {
            unavailable(&format!("no common TLS version or cipher ({why:?})"), "the server's TLS may be too old")
        }
        other => (ErrorKind::Unavailable, format!("TLS failed: {other}"), Some(AGAIN)),
    }
}

/// Alerts that a server sends instead of finishing the handshake. In TLS 1.3 the client has finished by then and the request is on its way,
/// but a server that has refused the handshake hands it to nobody (RFC 8446 section 6.2).
fn is_handshake_alert(error: &rustls::Error) -> bool {
    matches!(
        error,
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
                | AlertDescription::DecryptError
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::HandshakeFailure
                | AlertDescription::ProtocolVersion
        )
    )
}

/// The errors of the chain, outermost first. An `io::Error` hides what it wraps from `source`, so it is opened.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        }
    })
}

fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    chain(error).find_map(|error| error.downcast_ref())
}

/// What the operating system said: the innermost kind, since the layers wrap it in "other".
fn cause(error: &reqwest::Error) -> Option<io::ErrorKind> {
    chain(error).filter_map(|error| error.downcast_ref::<io::Error>()).last().map(io::Error::kind)
}

/// Whether the text of an error in the chain is such a text. For what the layers below have no public type for.
fn says(error: &reqwest::Error, matches: impl Fn(&str) -> bool) -> bool {
    chain(error).skip(1).any(|error| matches(&error.to_string()))
}

/// `5 s`, `1.5 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let tenths = (duration.as_secs_f64() * 10.0).round() / 10.0;
    format!("{tenths} s")
}

const AGAIN: &str = "try again; if it lasts, check the network";
const CA_FILE: &str = "if TLS is inspected here, set ca_file to the company's CA certificate";
/// How the texts of the layer below begin where an answer cannot be parsed.
const NO_HTTP: [&str; 3] = ["invalid HTTP", "invalid content-length", "message head is too large"];
