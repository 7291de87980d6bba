use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use unexpired_core::{Clock, Secret};
use unexpired_crypto::{Algorithm, SigningKey, generate_es256};

use crate::clock::ServerClock;
use crate::folder::Folder;
#[cfg(feature = "https")]
use crate::idp::CA_FILE;
use crate::idp::Inner;
use crate::registry::{self, Registry, defaults};
use crate::server::{Listening, Server, bind};
use crate::shared::{Settings, Shared};
use crate::token::Keys;
use crate::{Client, IdentityProvider, ServiceAccount, StartError};

/// Which key signs the tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SigningAlgorithm {
    /// EC P-256, a new key for every server: quick.
    #[default]
    Es256,
    /// RSA with 2048 bits, the same key for every server, as the vendors sign.
    Rs256,
}

/// Builds an [`IdentityProvider`].
#[derive(Default)]
pub struct IdentityProviderBuilder {
    lifetime: Option<Duration>,
    algorithm: SigningAlgorithm,
    clock: Option<Arc<dyn Clock>>,
    port: u16,
    no_http: bool,
    #[cfg(feature = "https")]
    https: Option<Https>,
    lab: bool,
    keep_refresh_tokens: bool,
    refresh_lifetime: Option<Duration>,
    issuer: Option<String>,
    tenants: Vec<String>,
    clients: Vec<Client>,
    accounts: Vec<ServiceAccount>,
    api_keys: Vec<Secret>,
}

#[cfg(feature = "https")]
struct Https {
    port: u16,
    /// Certificate chain and key in PEM, if they are not to be made.
    given: Option<(String, Secret)>,
}

impl IdentityProviderBuilder {
    /// How long tokens live. Default: one hour.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Which key signs. Default: ES256.
    #[must_use]
    pub fn algorithm(mut self, algorithm: SigningAlgorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    /// The clock for issuing and checking: the test clock that drives a manager, say. Default: the system's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// The port for plain http. Default: any that is free.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// No plain http: [`url`](IdentityProvider::url) is the https one.
    #[must_use]
    pub fn https_only(mut self) -> Self {
        self.no_http = true;
        #[cfg(feature = "https")]
        return self.https();
        #[cfg(not(feature = "https"))]
        self
    }

    /// A second listener with TLS on a free port, beside plain http. Its certificate is for `localhost`, `127.0.0.1` and
    /// `::1`, signed by a CA that is made at the start ([`ca_pem`](IdentityProvider::ca_pem)).
    #[cfg(feature = "https")]
    #[must_use]
    pub fn https(self) -> Self {
        self.https_port(0)
    }

    /// As [`https`](Self::https), on this port.
    #[cfg(feature = "https")]
    #[must_use]
    pub fn https_port(mut self, port: u16) -> Self {
        let given = self.https.take().and_then(|https| https.given);
        self.https = Some(Https { port, given });
        self
    }

    /// As [`https`](Self::https), with this certificate (the chain, in PEM) and its private key (in PEM).
    /// [`ca_pem`](IdentityProvider::ca_pem) is then the chain's last certificate.
    #[cfg(feature = "https")]
    #[must_use]
    pub fn https_certificate(mut self, chain: impl Into<String>, key: impl Into<Secret>) -> Self {
        let port = self.https.take().map_or(0, |https| https.port);
        self.https = Some(Https { port, given: Some((chain.into(), key.into())) });
        self
    }

    /// Refresh tokens stay as they are, instead of being replaced at every use.
    #[must_use]
    pub fn keep_refresh_tokens(mut self) -> Self {
        self.keep_refresh_tokens = true;
        self
    }

    /// How long a family of refresh tokens lives. Default: for ever.
    #[must_use]
    pub fn refresh_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.refresh_lifetime = Some(lifetime);
        self
    }

    /// `iss` of all tokens and documents, in the place of the server's own URLs: for resource servers that want a name.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// One more tenant for Entra.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenants.push(tenant.into());
        self
    }

    /// One more client; one with the same id is replaced.
    #[must_use]
    pub fn client(mut self, client: Client) -> Self {
        self.clients.push(client);
        self
    }

    /// One more service account.
    #[must_use]
    pub fn service_account(mut self, account: ServiceAccount) -> Self {
        self.accounts.push(account);
        self
    }

    /// One more IBM API key.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<Secret>) -> Self {
        self.api_keys.push(key.into());
        self
    }

    pub(crate) fn lab(mut self) -> Self {
        self.lab = true;
        self
    }

    /// Starts it. It is ready when this returns.
    ///
    /// # Errors
    ///
    /// [`StartError`] if a port is taken, a key cannot be read, or `unexpired-crypto` was built without a backend.
    #[expect(clippy::unused_async, reason = "reads as what it is in an async test")]
    pub async fn start(self) -> Result<IdentityProvider, StartError> {
        self.blocking_start()
    }

    /// As [`start`](Self::start), for synchronous tests.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn blocking_start(self) -> Result<IdentityProvider, StartError> {
        let folder = Folder::new()?;
        let keys = match self.algorithm {
            SigningAlgorithm::Es256 => generate_es256().and_then(|(key, _)| Keys::new(key, Algorithm::Es256)),
            SigningAlgorithm::Rs256 => {
                SigningKey::from_pem(SIGNING_PEM).and_then(|key| Keys::new(key, Algorithm::Rs256))
            }
        }
        .map_err(|error| StartError::new(format!("no signing key: {error}")))?;

        let mut bases = Vec::new();
        let http = if self.no_http { None } else { Some(bind(self.port)?) };
        if let Some((_, address)) = &http {
            bases.push(format!("http://{address}"));
        }
        #[cfg(feature = "https")]
        let https = match &self.https {
            Some(https) => Some((bind(https.port)?, crate::tls::Tls::new(https.given.as_ref())?)),
            None => None,
        };
        #[cfg(feature = "https")]
        if let Some(((_, address), tls)) = &https {
            bases.push(format!("https://localhost:{}", address.port()));
            folder.write(CA_FILE, tls.ca_pem.as_bytes())?;
        }
        let Some(url) = bases.first().cloned() else {
            return Err(StartError::new("neither http nor https is on: the feature `https` is off"));
        };
        let https_url = bases.iter().find(|base| base.starts_with("https:")).cloned();

        let mut registry = Registry {
            tenants: vec![defaults::TENANT.into(), defaults::TENANT_DOMAIN.into()],
            clients: vec![
                Client::confidential(defaults::CLIENT_ID, defaults::CLIENT_SECRET),
                Client::public(defaults::PUBLIC_CLIENT_ID),
            ],
            accounts: Vec::new(),
            api_keys: vec![defaults::API_KEY.into()],
        };
        let default_account = ServiceAccount::new(
            defaults::SERVICE_ACCOUNT,
            defaults::SERVICE_ACCOUNT_KEY_ID,
            registry::SERVICE_ACCOUNT_PEM,
        );
        for account in self.accounts.into_iter().chain([default_account]) {
            registry.accounts.push(account.load()?);
        }
        for client in self.clients {
            registry.register(client);
        }
        registry.tenants.extend(self.tenants);
        registry.api_keys.extend(self.api_keys);

        let settings = Settings {
            bases,
            lab: self.lab,
            rotate: !self.keep_refresh_tokens,
            refresh_lifetime: self.refresh_lifetime,
            issuer: self.issuer,
            lifetime: self.lifetime.unwrap_or(HOUR),
        };
        let shared = Arc::new(Shared::new(ServerClock::new(self.clock), keys, settings, registry));
        let server = Server::start()?;
        let listening = |base: &str, port| Listening {
            shared: shared.clone(),
            base: base.to_owned(),
            port,
            mount: None,
            #[cfg(feature = "https")]
            tls: None,
        };
        if let Some((listener, address)) = http {
            server.listen(listener, listening(&url, address.port()))?;
        }
        #[cfg(feature = "https")]
        let ca_pem = match https {
            None => None,
            Some(((listener, address), tls)) => {
                let base = https_url.as_deref().unwrap_or(&url);
                let listening = Listening { tls: Some(tls.acceptor), ..listening(base, address.port()) };
                server.listen(listener, listening)?;
                Some(tls.ca_pem)
            }
        };
        #[cfg(not(feature = "https"))]
        let ca_pem = None;
        Ok(IdentityProvider::of(Inner { shared, server, url, https_url, ca_pem, folder }))
    }
}

impl fmt::Debug for IdentityProviderBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentityProviderBuilder")
            .field("lifetime", &self.lifetime)
            .field("algorithm", &self.algorithm)
            .field("clients", &self.clients)
            .finish_non_exhaustive()
    }
}

/// Signs where RS256 was chosen. It is public: never trust it.
const SIGNING_PEM: &str = include_str!("../keys/test-signing.pem");

const HOUR: Duration = Duration::from_secs(3_600);
