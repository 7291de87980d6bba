//! The client credentials grant with a client secret: what the user sets, the request, the response.

use crate::authority::Authority;
use crate::{Cloud, claims, error, identifiers};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use unexpired_core::{BoxFuture, ErrorKind, MintError, MintRequest, Secret, SecretSource, Token, TokenSource};
use unexpired_http::{Client, Form};

/// An application with a client secret, as which app-only tokens are asked for.
///
/// The secret is read anew at every mint, so a replaced file takes effect without a restart.
///
/// ```
/// use std::sync::Arc;
/// use unexpired_core::{ErrorKind, Secret};
/// use unexpired_entra::ClientSecret;
///
/// let builder = || {
///     let secret = Arc::new(Secret::new("fAkE~s3cr3t"));
///     ClientSecret::builder("contoso.onmicrosoft.us", "aaaaaaaa-0000-4000-8000-000000000001", secret)
///         .scope("https://graph.microsoft.us/.default")
/// };
/// // Nothing was said of a cloud, so it would be the public one, and this tenant does not live there.
/// assert_eq!(builder().build().map(|_| ()).map_err(|error| error.kind()), Err(ErrorKind::Misconfigured));
/// assert!(builder().authority("https://login.microsoftonline.us").build().is_ok());
/// ```
#[derive(Clone)]
pub struct ClientSecret {
    authority: Authority,
    tenant: String,
    client_id: String,
    client_secret: Arc<dyn SecretSource>,
    scope: String,
    cae: bool,
    client: Client,
}

impl ClientSecret {
    /// Starts with the directory's id or one of its domains, the application's id, and the secret's *value* (the portal also shows its id).
    pub fn builder(tenant: &str, client_id: &str, client_secret: Arc<dyn SecretSource>) -> ClientSecretBuilder {
        ClientSecretBuilder {
            tenant: tenant.to_owned(),
            client_id: client_id.to_owned(),
            client_secret,
            scope: String::new(),
            cloud: None,
            authority: None,
            cae: false,
            client: None,
        }
    }

    /// The address that is asked.
    pub fn endpoint(&self) -> &str {
        self.authority.endpoint.as_str()
    }

    /// The cloud of the authority; `None` for a custom authority that is none's login host.
    pub fn cloud(&self) -> Option<Cloud> {
        self.authority.cloud
    }

    /// `POST /{tenant}/oauth2/v2.0/token`.
    async fn client_credentials(&self, request: &MintRequest) -> Result<Token, MintError> {
        let secret = checked_secret(&self.client_secret.secret().await?)?;

        let mut form = Form::new()
            .pair("client_id", &self.client_id)
            .pair("scope", &self.scope)
            .secret("client_secret", &secret)
            .pair("grant_type", "client_credentials");
        if let Some(claims) = claims::parameter(request.claims(), self.cae)? {
            form = form.pair("claims", &claims);
        }
        // Comes back as `correlation_id` and stands in the tenant's sign-in logs. A token is worth more than its id, so none is no error.
        let id = unexpired_crypto::uuid_v4().ok();
        let headers: Vec<_> = id.as_deref().map(|id| ("client-request-id", id)).into_iter().collect();

        let response = self.client.post_form(&self.authority.endpoint, &form, None, &headers, request).await?;
        match response.token() {
            // `ext_expires_in` is not read: it would stretch a token past its `exp`.
            Ok(token) => token
                .into_builder(&response)
                .source(NAME)
                .default_life(DEFAULT_LIFE)
                .build()
                .map_err(|error| error.host(response.host())),
            Err(error) => Err(error::refusal(&response, error, &secret)),
        }
    }
}

impl TokenSource for ClientSecret {
    fn name(&self) -> &str {
        NAME
    }

    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        Box::pin(async move { self.client_credentials(&request).await.map_err(|error| error.from_source(NAME)) })
    }

    fn revision(&self) -> u64 {
        self.client_secret.revision()
    }

    fn for_scope(&self, scope: &str) -> Option<Arc<dyn TokenSource>> {
        let scope = identifiers::scope(scope, self.authority.cloud).ok()?;
        self.authority.check(&self.tenant, &scope).ok()?;
        Some(Arc::new(Self { scope, ..self.clone() }))
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSecret")
            .field("endpoint", &self.authority.endpoint)
            .field("client_id", &self.client_id)
            .field("scope", &self.scope)
            .field("cae", &self.cae)
            .finish_non_exhaustive()
    }
}

/// Makes a [`ClientSecret`].
#[must_use]
pub struct ClientSecretBuilder {
    tenant: String,
    client_id: String,
    client_secret: Arc<dyn SecretSource>,
    scope: String,
    cloud: Option<Cloud>,
    authority: Option<String>,
    cae: bool,
    client: Option<Client>,
}

impl ClientSecretBuilder {
    /// One resource and `/.default`, used to the letter: `https://cognitiveservices.azure.us/.default`. Required.
    pub fn scope(mut self, scope: &str) -> Self {
        self.scope = scope.to_owned();
        self
    }

    /// The national cloud of the tenant. Default: [`Cloud::Public`], or that of the authority.
    pub fn cloud(mut self, cloud: Cloud) -> Self {
        self.cloud = Some(cloud);
        self
    }

    /// Another authority than the cloud's login host, as an `https` URL (or loopback): `https://login.sovcloud-identity.fr`.
    ///
    /// The secret is sent there. Which clouds go together is checked for known login hosts, their aliases and regions; for any other host only
    /// if [`cloud`](Self::cloud) is set beside it.
    pub fn authority(mut self, url: &str) -> Self {
        self.authority = Some(url.to_owned());
        self
    }

    /// Whether to announce the client capability `cp1`: this application repeats a refused request with the claims that the resource demands.
    /// Tokens then live up to 28 hours where the resource can revoke them. Default: false.
    pub fn cae(mut self, cae: bool) -> Self {
        self.cae = cae;
        self
    }

    /// The HTTP client. Default: [`Client::new`].
    pub fn client(mut self, client: Client) -> Self {
        self.client = Some(client);
        self
    }

    /// The source. Nothing is read or asked yet.
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](ErrorKind::Misconfigured), with what to set instead: a tenant, client id or scope that cannot be one; a tenant that is
    /// shared (`common`, `organizations`, `consumers`); an authority that is neither HTTPS nor loopback; a tenant or scope of one cloud with the
    /// authority of another.
    pub fn build(self) -> Result<ClientSecret, MintError> {
        let build = || {
            let tenant = identifiers::tenant(&self.tenant)?;
            let client_id = identifiers::client_id(&self.client_id)?;
            let authority = Authority::resolve(self.cloud, self.authority.as_deref(), &tenant)?;
            let scope = identifiers::scope(&self.scope, authority.cloud)?;
            authority.check(&tenant, &scope)?;
            Ok((authority, tenant, client_id, scope))
        };
        let (authority, tenant, client_id, scope) = build().map_err(|error: MintError| error.from_source(NAME))?;
        let client = self.client.unwrap_or_default();
        Ok(ClientSecret {
            authority,
            tenant,
            client_id,
            client_secret: self.client_secret,
            scope,
            cae: self.cae,
            client,
        })
    }
}

impl fmt::Debug for ClientSecretBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientSecretBuilder")
            .field("tenant", &self.tenant)
            .field("client_id", &self.client_id)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// The secret without the line break that files end with.
fn checked_secret(secret: &Secret) -> Result<Secret, MintError> {
    match secret.expose().trim_end_matches(['\r', '\n']) {
        "" => Err(misconfigured("the client secret is empty", "set client_secret to the secret's value")),
        text => Ok(Secret::new(text)),
    }
}

pub(crate) fn misconfigured(message: &str, remedy: &str) -> MintError {
    MintError::new(ErrorKind::Misconfigured, message).remedy(remedy)
}

/// What errors and tokens call this source.
pub(crate) const NAME: &str = "entra";

/// The life of a token that states none. Entra always states one; whatever answered in its place is not believed for long. A tenant's policy
/// can make lives as short as 10 min.
const DEFAULT_LIFE: Duration = Duration::from_secs(5 * 60);
