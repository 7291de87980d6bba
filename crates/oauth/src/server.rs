//! Which server: its token endpoint, given or discovered.

use crate::discovery::{self, Metadata};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use unexpired_core::{ErrorKind, MintError, MintRequest, Timestamp};
use unexpired_http::{Client, Endpoint};

/// An authorization server. Clones share what was discovered.
#[derive(Clone)]
pub struct Server(Arc<Kind>);

enum Kind {
    TokenUrl(Endpoint),
    Issuer { issuer: String, base: Endpoint, known: Mutex<Option<Box<Known>>> },
}

/// What was discovered, and until when it is believed.
#[derive(Clone)]
struct Known {
    metadata: Metadata,
    until: Timestamp,
}

/// Where a request goes.
pub(crate) struct Place {
    pub(crate) endpoint: Endpoint,
    /// `token_endpoint_auth_methods_supported`; `None` where nothing was discovered.
    pub(crate) auth_methods: Option<Vec<String>>,
    /// Whether this was discovered at an earlier mint, and may be out of date.
    pub(crate) remembered: bool,
}

impl Server {
    /// A server whose token endpoint is known.
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](ErrorKind::Misconfigured) unless the address is an HTTPS URL, or an HTTP URL of this machine.
    pub fn token_url(url: &str) -> Result<Self, MintError> {
        let endpoint = safe(url).map_err(|error| error.from_source(crate::NAME))?;
        Ok(Self(Arc::new(Kind::TokenUrl(endpoint))))
    }

    /// A server that says itself where its token endpoint is.
    ///
    /// At the first mint its metadata is looked for at `/.well-known/oauth-authorization-server` *before* the issuer's path (RFC 8414 section
    /// 3), then at `/.well-known/openid-configuration` *after* it (OpenID Connect Discovery 1.0 section 4) and, since some servers have it
    /// there, before it. What is found must name the very same issuer, character by character: a slash at the end counts. It is
    /// believed for 24 hours; it is fetched again when the token endpoint answers 404, and believed for longer while it cannot be fetched.
    /// Redirects are not followed. A client with a [certificate](unexpired_http::ClientBuilder::client_certificate) is sent to the endpoint that
    /// the server has for those, if it names one (`mtls_endpoint_aliases`, RFC 8705 section 5).
    ///
    /// A server that names no plain HTTP endpoint may be anywhere; one that does must be on this machine, issuer and endpoint.
    ///
    /// ```
    /// use unexpired_oauth::Server;
    ///
    /// assert!(Server::issuer("https://as.example.com/tenant1").is_ok());
    /// assert!(Server::issuer("http://as.example.com/tenant1").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](ErrorKind::Misconfigured) unless the issuer is an HTTPS URL (or an HTTP URL of this machine) without query and
    /// fragment.
    pub fn issuer(issuer: &str) -> Result<Self, MintError> {
        let issuer = issuer.trim();
        let wrong = |message: &str, remedy: &str| {
            Err(MintError::new(ErrorKind::Misconfigured, message).remedy(remedy).from_source(crate::NAME))
        };
        let base = safe(issuer).map_err(|error| error.from_source(crate::NAME))?;
        if issuer.contains('?') {
            return wrong("the issuer has a query", "remove the ? and what follows");
        }
        if issuer.contains("/.well-known/") {
            return wrong("this is the address of the metadata, not the issuer", "remove the part with .well-known");
        }
        Ok(Self(Arc::new(Kind::Issuer { issuer: issuer.to_owned(), base, known: Mutex::new(None) })))
    }

    /// What tells this server from others in the key of a record.
    pub(crate) fn identity(&self) -> &str {
        match &*self.0 {
            Kind::TokenUrl(endpoint) => endpoint.as_str(),
            Kind::Issuer { issuer, .. } => issuer,
        }
    }

    /// The token endpoint, asked for if it is not known.
    pub(crate) async fn locate(&self, client: &Client, request: &MintRequest) -> Result<Place, MintError> {
        let (issuer, base, known) = match &*self.0 {
            Kind::TokenUrl(endpoint) => {
                return Ok(Place { endpoint: endpoint.clone(), auth_methods: None, remembered: false });
            }
            Kind::Issuer { issuer, base, known } => (issuer, base, known),
        };
        let held = lock(known).clone();
        if let Some(held) = held.as_ref().filter(|held| !held.until.reached(request.now())) {
            return Ok(held.metadata.place(client, true));
        }
        // Half of the time is for the token itself.
        let limited = request.limited_to(request.remaining() / 2);
        match (discovery::discover(issuer, base, client, &limited).await, held) {
            (Ok(metadata), _) => {
                let until = request.now() + BELIEVED;
                let place = metadata.place(client, false);
                *lock(known) = Some(Box::new(Known { metadata, until }));
                Ok(place)
            }
            (Err(error), Some(held)) if error.kind().is_transient() => {
                tracing::warn!(%error, "the server's metadata cannot be read again; what was read before is used on");
                Ok(held.metadata.place(client, true))
            }
            (Err(error), _) => Err(error),
        }
    }

    /// Forgets what was discovered: the token endpoint is not where it was.
    pub(crate) fn forget(&self) {
        if let Kind::Issuer { known, .. } = &*self.0 {
            *lock(known) = None;
        }
    }
}

impl Metadata {
    fn place(&self, client: &Client, remembered: bool) -> Place {
        let mtls = self.mtls_token_endpoint.as_ref().filter(|_| client.shows_certificate());
        let endpoint = mtls.unwrap_or(&self.token_endpoint).clone();
        Place { endpoint, auth_methods: Some(self.auth_methods.clone()), remembered }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::TokenUrl(endpoint) => f.debug_tuple("Server").field(endpoint).finish(),
            Kind::Issuer { base, .. } => f.debug_struct("Server").field("issuer", base).finish_non_exhaustive(),
        }
    }
}

/// An endpoint over HTTPS or on this machine. Metadata addresses, to which plain HTTP is allowed elsewhere, get no client secret.
pub(crate) fn safe(address: &str) -> Result<Endpoint, MintError> {
    let endpoint = Endpoint::parse(address)?;
    if is_https(&endpoint) || endpoint.is_loopback() {
        return Ok(endpoint);
    }
    Err(MintError::new(ErrorKind::Misconfigured, "plain HTTP would show the credential to the network")
        .host(endpoint.host())
        .remedy("use https://"))
}

pub(crate) fn is_https(endpoint: &Endpoint) -> bool {
    endpoint.as_str().starts_with("https:")
}

fn lock(known: &Mutex<Option<Box<Known>>>) -> std::sync::MutexGuard<'_, Option<Box<Known>>> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How long metadata is believed.
const BELIEVED: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_would_show_a_secret_are_refused() {
        for url in [
            "http://as.example.com/token",
            "http://169.254.169.254/token",
            "http://metadata.google.internal/token",
            "https://user@as.example.com/token",
            "https://as.example.com/token#f",
            "as.example.com/token",
            "",
        ] {
            assert_eq!(Server::token_url(url).unwrap_err().kind(), ErrorKind::Misconfigured, "{url}");
            assert_eq!(Server::issuer(url).unwrap_err().kind(), ErrorKind::Misconfigured, "{url}");
        }
        for issuer in ["https://as.example.com/?tenant=1", "https://as.example.com/.well-known/openid-configuration"] {
            assert_eq!(Server::issuer(issuer).unwrap_err().kind(), ErrorKind::Misconfigured, "{issuer}");
        }
        for url in ["https://as.example.com//token?tenant=1", "http://localhost:8080/token", "http://[::1]/token"] {
            assert!(Server::token_url(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn debug_shows_no_query() {
        let server = Server::token_url("https://as.example.com/token?code=hunter2").unwrap();
        assert!(!format!("{server:?}").contains("hunter2"));
    }
}
