//! What the user sets, checked before anything is sent.

use crate::exchange::Exchange;
use crate::{ClientAuth, Server};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use unexpired_core::{ErrorKind, MintError, SecretSource, TokenStore};
use unexpired_http::Client;

/// Makes a [`ClientCredentials`](crate::ClientCredentials) or a [`RefreshToken`](crate::RefreshToken): most options are the same.
#[must_use]
pub struct Builder<G> {
    server: Server,
    client_id: String,
    client_secret: Option<Arc<dyn SecretSource>>,
    client_auth: Option<ClientAuth>,
    scope: Option<String>,
    audience: Option<String>,
    resources: Vec<String>,
    params: Vec<(String, String)>,
    default_life: Duration,
    client: Client,
    pub(crate) grant: G,
}

/// Marks the [`Builder`] of [`ClientCredentials`](crate::ClientCredentials).
#[derive(Debug)]
pub struct ClientCredentialsGrant(pub(crate) ());

/// Marks the [`Builder`] of [`RefreshToken`](crate::RefreshToken), and holds its own options.
#[derive(Default)]
pub struct RefreshTokenGrant {
    pub(crate) refresh_token: Option<Arc<dyn SecretSource>>,
    pub(crate) store: Option<Arc<dyn TokenStore>>,
    pub(crate) place: Option<String>,
}

impl<G> Builder<G> {
    pub(crate) fn new(server: Server, client_id: &str, grant: G) -> Self {
        Self {
            server,
            client_id: client_id.to_owned(),
            client_secret: None,
            client_auth: None,
            scope: None,
            audience: None,
            resources: Vec::new(),
            params: Vec::new(),
            default_life: DEFAULT_LIFE,
            client: Client::new(),
            grant,
        }
    }

    /// The client's secret. Default: none, a public client.
    pub fn client_secret(mut self, client_secret: Arc<dyn SecretSource>) -> Self {
        self.client_secret = Some(client_secret);
        self
    }

    /// How the client authenticates itself. Default: see [`ClientAuth`].
    pub fn client_auth(mut self, client_auth: ClientAuth) -> Self {
        self.client_auth = Some(client_auth);
        self
    }

    /// `scope`: names separated by single blanks (RFC 6749 section 3.3). Default: none, and the server decides.
    pub fn scope(mut self, scope: &str) -> Self {
        self.scope = Some(scope.to_owned());
        self
    }

    /// `audience`: the API's identifier at Auth0, and at Okta's custom servers. Default: none.
    pub fn audience(mut self, audience: &str) -> Self {
        self.audience = Some(audience.to_owned());
        self
    }

    /// `resource`: an absolute URI without a fragment (RFC 8707 section 2). May be set several times; each is sent. Default: none.
    pub fn resource(mut self, resource: &str) -> Self {
        self.resources.push(resource.to_owned());
        self
    }

    /// One more parameter of the form, as a server's own documentation demands it. Not for secrets. The parameters that have an option of their
    /// own, or are the protocol's, are refused by `build`, and so is one that is set twice.
    pub fn param(mut self, name: &str, value: &str) -> Self {
        self.params.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The life of a token whose life neither the answer nor the token itself states (`expires_in` is only recommended, RFC 6749 section
    /// 5.1), or states so that it cannot be believed. Default: 5 min.
    pub fn default_life(mut self, life: Duration) -> Self {
        self.default_life = life;
        self
    }

    /// The HTTP client. Default: [`Client::new`].
    pub fn client(mut self, client: Client) -> Self {
        self.client = client;
        self
    }

    /// All that both grants share, checked.
    pub(crate) fn into_exchange(self) -> Result<(Exchange, G), MintError> {
        if self.client_id.is_empty() {
            return Err(misconfigured("client_id is empty", "set client_id"));
        }
        match (self.client_auth, &self.client_secret) {
            (Some(ClientAuth::Basic | ClientAuth::Post), None) => {
                return Err(misconfigured("client_auth wants a secret, but there is none", "set client_secret"));
            }
            (Some(ClientAuth::None), Some(_)) => {
                return Err(misconfigured(
                    "client_secret is set, but client_auth is none",
                    "remove one of the two: exactly one method authenticates a client",
                ));
            }
            _ => {}
        }
        let scope = self.scope.as_deref().map(checked_scope).transpose()?;
        if self.audience.as_deref() == Some("") {
            return Err(misconfigured("audience is empty", "set it, or leave it out"));
        }
        for resource in &self.resources {
            check_resource(resource)?;
        }
        check_params(&self.params)?;
        if self.default_life.is_zero() {
            return Err(misconfigured("default_life is zero", "leave it out for 5 min"));
        }
        let exchange = Exchange {
            server: self.server,
            client_id: self.client_id,
            client_secret: self.client_secret,
            client_auth: self.client_auth,
            scope,
            audience: self.audience,
            resources: self.resources,
            params: self.params,
            default_life: self.default_life,
            client: self.client,
        };
        Ok((exchange, self.grant))
    }

    pub(crate) fn is_public(&self) -> bool {
        self.client_secret.is_none() && self.client_auth.is_none()
    }
}

impl<G> fmt::Debug for Builder<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("server", &self.server)
            .field("client_id", &self.client_id)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for RefreshTokenGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefreshTokenGrant").finish_non_exhaustive()
    }
}

/// RFC 6749 section 3.3: visible ASCII but `"` and `\`, separated by single blanks.
pub(crate) fn checked_scope(scope: &str) -> Result<String, MintError> {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
    if scope.split(' ').all(word) {
        return Ok(scope.to_owned());
    }
    Err(misconfigured(
        "the scope is empty or holds characters that no scope has",
        "separate scopes by one blank, or set none",
    ))
}

fn check_resource(resource: &str) -> Result<(), MintError> {
    match url::Url::parse(resource) {
        Ok(uri) if uri.fragment().is_none() => Ok(()),
        Ok(_) => Err(misconfigured("a resource holds a fragment", "remove the # and what follows")),
        Err(_) => Err(misconfigured(
            "a resource is no absolute URI",
            "write it in full, such as https://api.example.com; for an API's plain name use audience",
        )),
    }
}

fn check_params(params: &[(String, String)]) -> Result<(), MintError> {
    for (at, (name, _)) in params.iter().enumerate() {
        if name.is_empty() {
            return Err(misconfigured("an extra parameter has no name", "name it, or remove it"));
        }
        if OWN.contains(&name.as_str()) {
            return Err(misconfigured(
                &format!("{name} may not be set as an extra parameter"),
                &format!("use the option {name}"),
            ));
        }
        if PROTOCOL.contains(&name.as_str()) {
            return Err(misconfigured(
                &format!("{name} may not be set as an extra parameter"),
                "remove it: the protocol sets it",
            ));
        }
        if params.iter().take(at).any(|(other, _)| other == name) {
            return Err(misconfigured(
                &format!("the extra parameter {name} is set twice"),
                "set it once: RFC 6749 section 3.2 forbids to repeat one",
            ));
        }
    }
    Ok(())
}

pub(crate) fn misconfigured(message: &str, remedy: &str) -> MintError {
    MintError::new(ErrorKind::Misconfigured, message).remedy(remedy).from_source(crate::NAME)
}

const DEFAULT_LIFE: Duration = Duration::from_secs(5 * 60);

/// Parameters with an option of their own.
const OWN: [&str; 6] = ["client_id", "client_secret", "refresh_token", "scope", "audience", "resource"];

/// Parameters that the grants and the ways of client authentication define.
const PROTOCOL: [&str; 8] = [
    "grant_type",
    "client_assertion",
    "client_assertion_type",
    "assertion",
    "claims",
    "code",
    "subject_token",
    "actor_token",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClientCredentials;
    use unexpired_core::Secret;

    fn builder() -> Builder<ClientCredentialsGrant> {
        ClientCredentials::builder(Server::token_url("https://as.example.com/token").unwrap(), "client-123")
            .client_secret(Arc::new(Secret::new("fake-secret")))
    }

    #[test]
    fn what_cannot_work_is_refused_before_anything_is_sent() {
        let public = || ClientCredentials::builder(Server::token_url("https://as.example.com/token").unwrap(), "c");
        for (what, builder, says) in [
            ("a parameter of the protocol", builder().param("grant_type", "password"), "grant_type"),
            ("one that has an option", builder().param("scope", "admin"), "use the option scope"),
            ("a secret by the back door", builder().param("client_secret", "x"), "use the option client_secret"),
            ("an assertion", builder().param("client_assertion", "x"), "client_assertion"),
            ("claims", builder().param("claims", "{}"), "claims"),
            ("one twice", builder().param("a", "1").param("a", "2"), "twice"),
            ("one without a name", builder().param("", "1"), "no name"),
            ("an empty scope", builder().scope(""), "scope"),
            ("two blanks", builder().scope("a  b"), "scope"),
            ("a line break", builder().scope("a\nb"), "scope"),
            ("an empty audience", builder().audience(""), "audience"),
            ("a relative resource", builder().resource("api"), "absolute"),
            ("a fragment", builder().resource("https://api.example.com/#x"), "fragment"),
            ("no life at all", builder().default_life(Duration::ZERO), "default_life"),
            ("a secret and none", builder().client_auth(ClientAuth::None), "exactly one"),
            ("basic without a secret", public().client_auth(ClientAuth::Basic), "client_secret"),
            ("a public client", public(), "client_secret"),
        ] {
            let error = builder.build().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{what}");
            assert!(error.to_string().contains(says), "{what}: {error}");
        }
        assert!(builder().resource("urn:example:api").resource("api://x").param("a", "1").build().is_ok());
        assert!(public().client_auth(ClientAuth::None).build().is_ok(), "a client with a certificate");
    }

    #[test]
    fn debug_shows_no_secret() {
        let shown = format!("{:?} {:?}", builder(), builder().build().unwrap());
        assert!(!shown.contains("fake-secret"), "{shown}");
    }
}
