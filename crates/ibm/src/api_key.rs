//! The API-key grant: what the user sets, the request, the response.

use crate::error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use unexpired_core::{
    BoxFuture, ErrorKind, MintError, MintRequest, Secret, SecretSource, Token, TokenSource, WindowCap,
};
use unexpired_http::{BasicAuth, Client, Endpoint, Form};

/// An API key of a user or a service id, exchanged for IAM access tokens.
///
/// The key is read anew at every mint, so a replaced file takes effect without a restart.
///
/// ```
/// use std::sync::Arc;
/// use unexpired_core::Secret;
/// use unexpired_ibm::ApiKey;
///
/// # fn main() -> Result<(), unexpired_core::MintError> {
/// let key = Arc::new(Secret::new("FAKE_ibmcloud_api_key_0001"));
/// let source = ApiKey::builder(key).endpoint("https://private.eu-de.iam.cloud.ibm.com").build()?;
/// assert_eq!(source.endpoint(), "https://private.eu-de.iam.cloud.ibm.com/identity/token");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ApiKey {
    endpoint: Endpoint,
    api_key: Arc<dyn SecretSource>,
    basic: Option<(String, Arc<dyn SecretSource>)>,
    scope: Option<String>,
    client: Client,
}

impl ApiKey {
    /// Starts with the key. Everything else has a default.
    pub fn builder(api_key: Arc<dyn SecretSource>) -> ApiKeyBuilder {
        ApiKeyBuilder { api_key, endpoint: None, client_id: None, client_secret: None, scope: None, client: None }
    }

    /// The address that is asked, `/identity/token` included.
    pub fn endpoint(&self) -> &str {
        self.endpoint.as_str()
    }

    /// `POST /identity/token`.
    async fn exchange(&self, request: &MintRequest) -> Result<Token, MintError> {
        let api_key = self.api_key.secret().await?;
        let api_key = checked_key(&api_key)?;

        let mut form = Form::new()
            .pair("grant_type", "urn:ibm:params:oauth:grant-type:apikey")
            .secret("apikey", &api_key)
            .pair("response_type", "cloud_iam");
        if let Some(scope) = &self.scope {
            form = form.pair("scope", scope);
        }
        let basic = match &self.basic {
            Some((id, secret)) => Some(BasicAuth::new(id, &checked_client_secret(&secret.secret().await?)?)),
            None => None,
        };

        let response = self.client.post_form(&self.endpoint, &form, basic.as_ref(), &[], request).await?;
        match response.token() {
            // `expiration` is an absolute time and a second witness beside `expires_in`. A `refresh_token` is not read: without a client it
            // says "not_supported", and with one the key is still the simpler refresh.
            Ok(token) => token
                .into_builder(&response)
                .source(NAME)
                .window_cap(REFRESH_WINDOW)
                .default_life(DEFAULT_LIFE)
                .build()
                .map_err(|error| error.host(response.host())),
            Err(error) => Err(error::refusal(&response, error)),
        }
    }
}

impl TokenSource for ApiKey {
    fn name(&self) -> &str {
        NAME
    }

    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        Box::pin(async move { self.exchange(&request).await.map_err(|error| error.from_source(NAME)) })
    }

    fn revision(&self) -> u64 {
        let client = self.basic.as_ref().map_or(0, |(_, secret)| secret.revision());
        // Odd and not one, so that changes of both do not cancel each other.
        self.api_key.revision().wrapping_mul(31).wrapping_add(client)
    }

    fn for_scope(&self, scope: &str) -> Option<Arc<dyn TokenSource>> {
        let scope = checked_scope(scope).ok()?;
        Some(Arc::new(Self { scope: Some(scope), ..self.clone() }))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey")
            .field("endpoint", &self.endpoint)
            .field("client_id", &self.basic.as_ref().map(|(id, _)| id))
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// Makes an [`ApiKey`].
#[must_use]
pub struct ApiKeyBuilder {
    api_key: Arc<dyn SecretSource>,
    endpoint: Option<String>,
    client_id: Option<String>,
    client_secret: Option<Arc<dyn SecretSource>>,
    scope: Option<String>,
    client: Option<Client>,
}

impl ApiKeyBuilder {
    /// IAM's address, with or without `/identity/token`. Default `https://iam.cloud.ibm.com`.
    ///
    /// Private endpoints are `https://private.iam.cloud.ibm.com` (VPC) and `https://private.REGION.iam.cloud.ibm.com` (classic).
    pub fn endpoint(mut self, url: &str) -> Self {
        self.endpoint = Some(url.to_owned());
        self
    }

    /// The `scope` parameter. Default: none, and IAM answers `ibm openid`.
    pub fn scope(mut self, scope: &str) -> Self {
        self.scope = Some(scope.to_owned());
        self
    }

    /// The id of a client that authenticates itself by HTTP Basic, together with [`client_secret`](Self::client_secret). Default: none.
    pub fn client_id(mut self, client_id: &str) -> Self {
        self.client_id = Some(client_id.to_owned());
        self
    }

    /// That client's secret, read anew at every mint.
    pub fn client_secret(mut self, client_secret: Arc<dyn SecretSource>) -> Self {
        self.client_secret = Some(client_secret);
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
    /// [`Misconfigured`](ErrorKind::Misconfigured): the endpoint is neither HTTPS nor loopback, has a query, or is one that IBM has retired;
    /// only one of client id and secret is given; the scope holds characters that no scope has.
    pub fn build(self) -> Result<ApiKey, MintError> {
        let endpoint =
            token_endpoint(self.endpoint.as_deref().unwrap_or(PRODUCTION)).map_err(|error| error.from_source(NAME))?;
        let basic = match (self.client_id, self.client_secret) {
            (None, None) => None,
            (Some(id), Some(secret)) if !id.is_empty() => Some((id, secret)),
            (Some(_), Some(_)) => {
                return Err(misconfigured("client_id is empty", "set client_id, or leave out client_secret too"));
            }
            (Some(_), None) => {
                return Err(misconfigured("client_id is set without client_secret", "set both or neither"));
            }
            (None, Some(_)) => {
                return Err(misconfigured("client_secret is set without client_id", "set both or neither"));
            }
        };
        let scope = self.scope.as_deref().map(checked_scope).transpose()?;
        Ok(ApiKey { endpoint, api_key: self.api_key, basic, scope, client: self.client.unwrap_or_default() })
    }
}

impl fmt::Debug for ApiKeyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyBuilder")
            .field("client_id", &self.client_id)
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

/// The base address with `/identity/token`, of which it may hold any part already: the SDKs' configuration files have all spellings.
fn token_endpoint(address: &str) -> Result<Endpoint, MintError> {
    let endpoint = Endpoint::parse(address)?;
    let wrong = |message: &str, remedy: &str| Err(misconfigured(message, remedy).host(endpoint.host()));
    if !endpoint.as_str().starts_with("https:") && !endpoint.is_loopback() {
        return wrong("plain HTTP would show the API key to the network", "use https://");
    }
    let Some((_, path)) =
        endpoint.as_str().split_once("://").map(|(_, rest)| rest.split_once('/').unwrap_or((rest, "")))
    else {
        return wrong("the endpoint is no URL", "write it in full, such as https://iam.cloud.ibm.com");
    };
    if path.contains('?') {
        return wrong("the endpoint has a query", "remove the ? and what follows");
    }
    let host = endpoint.host().trim_end_matches('.').to_ascii_lowercase();
    if host.ends_with("bluemix.net") {
        return wrong("IBM has retired this endpoint", "use https://iam.cloud.ibm.com");
    }
    let base = path.trim_end_matches('/');
    let base = base.strip_suffix("identity/token").or_else(|| base.strip_suffix("identity")).unwrap_or(base);
    let base = base.trim_matches('/');
    let slash = if base.is_empty() { "" } else { "/" };
    Ok(endpoint.with_path(&format!("{slash}{base}/identity/token")))
}

/// The key without the line break that files end with, refused where it is obviously no key.
fn checked_key(key: &Secret) -> Result<Secret, MintError> {
    let text = key.expose().trim_end_matches(['\r', '\n']);
    let wrong = |message: &str| {
        Err(misconfigured(message, "give the key's value alone: in a downloaded apikey.json it is the member apikey"))
    };
    if text.is_empty() {
        return wrong("the API key is empty");
    }
    // The same three characters that IBM's SDKs refuse: a pasted JSON file, a quoted value, a placeholder.
    if text.starts_with(COPY_ERRORS) || text.ends_with(COPY_ERRORS) {
        return wrong("the API key begins or ends with {, } or \"");
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return wrong("the API key holds white space");
    }
    Ok(Secret::new(text))
}

fn checked_client_secret(secret: &Secret) -> Result<Secret, MintError> {
    match secret.expose().trim_end_matches(['\r', '\n']) {
        "" => Err(misconfigured("the client secret is empty", "set client_secret, or leave out client_id too")),
        text => Ok(Secret::new(text)),
    }
}

/// RFC 6749 section 3.3: visible ASCII but `"` and `\`, separated by single blanks.
fn checked_scope(scope: &str) -> Result<String, MintError> {
    let word = |word: &str| !word.is_empty() && word.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
    if scope.split(' ').all(word) {
        Ok(scope.to_owned())
    } else {
        Err(misconfigured(
            "the scope is empty or holds characters that no scope has",
            "separate scopes by one blank, or set none",
        ))
    }
}

fn misconfigured(message: &str, remedy: &str) -> MintError {
    MintError::new(ErrorKind::Misconfigured, message).remedy(remedy).from_source(NAME)
}

/// What errors and tokens call this source.
pub(crate) const NAME: &str = "ibm";

const PRODUCTION: &str = "https://iam.cloud.ibm.com";

/// IBM's libraries refresh when 80 % of the life is over. Earlier refreshes would only add load to an endpoint whose limits are not public.
const REFRESH_WINDOW: WindowCap = WindowCap::OneIn(5);

/// The life of a token that states none. IAM states it twice; whatever answered in its place is not believed for long.
const DEFAULT_LIFE: Duration = Duration::from_secs(5 * 60);

const COPY_ERRORS: [char; 3] = ['{', '}', '"'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_endpoint_may_be_written_in_any_of_the_usual_ways() {
        for (given, asked) in [
            ("https://iam.cloud.ibm.com", "https://iam.cloud.ibm.com/identity/token"),
            ("https://iam.cloud.ibm.com/", "https://iam.cloud.ibm.com/identity/token"),
            ("https://iam.cloud.ibm.com/identity", "https://iam.cloud.ibm.com/identity/token"),
            ("https://iam.cloud.ibm.com/identity/token", "https://iam.cloud.ibm.com/identity/token"),
            ("https://iam.cloud.ibm.com/identity/token/", "https://iam.cloud.ibm.com/identity/token"),
            ("https://private.eu-de.iam.cloud.ibm.com", "https://private.eu-de.iam.cloud.ibm.com/identity/token"),
            ("https://gateway.example.com/iam/", "https://gateway.example.com/iam/identity/token"),
            ("http://127.0.0.1:8080/identity/token", "http://127.0.0.1:8080/identity/token"),
        ] {
            assert_eq!(token_endpoint(given).unwrap().as_str(), asked, "{given}");
        }
    }

    #[test]
    fn endpoints_that_cannot_work_are_refused() {
        for given in [
            "",
            "iam.cloud.ibm.com",
            "http://iam.cloud.ibm.com",
            "http://169.254.169.254",
            "https://user@iam.cloud.ibm.com",
            "https://iam.cloud.ibm.com/?account=1",
            "https://iam.bluemix.net/oidc/token",
            "https://iam.ng.bluemix.net./identity/token",
        ] {
            assert_eq!(token_endpoint(given).unwrap_err().kind(), ErrorKind::Misconfigured, "{given}");
        }
    }

    #[test]
    fn copy_errors_are_told_from_keys() {
        assert_eq!(
            checked_key(&"FAKE_ibmcloud_api_key_0001\r\n".into()).unwrap().expose(),
            "FAKE_ibmcloud_api_key_0001"
        );
        for key in [
            "",
            "\n",
            "{FAKE_key",
            "FAKE_key}",
            "\"FAKE_key\"",
            "FAKE_key\"\n",
            " FAKE_key",
            "FAKE\nkey",
            "{\"apikey\":\"FAKE\"}",
        ] {
            let error = checked_key(&key.into()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{key:?}");
            assert!(!error.to_string().contains("FAKE"), "{error}");
        }
    }
}
