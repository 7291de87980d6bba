//! A service account's key: what the user sets, the two ways to a token, the response.

use crate::assertion::{self, Claims};
use crate::error;
use crate::key_file::KeyFile;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use unexpired_core::{BoxFuture, ErrorKind, MintError, MintRequest, SecretSource, Token, TokenSource};
use unexpired_http::{Client, Endpoint, Form, Skew};

/// A service account, by its JSON key.
///
/// The key file is read anew at every mint.
///
/// ```
/// use std::sync::Arc;
/// use unexpired_core::{Secret, TokenSource};
/// use unexpired_google::ServiceAccount;
///
/// # fn main() -> Result<(), unexpired_core::MintError> {
/// # let key_file = Arc::new(Secret::new("{}"));
/// // As a user of the Workspace, in whose name the account may read the drive.
/// let drive = ServiceAccount::builder(key_file.clone())
///     .scope("https://www.googleapis.com/auth/drive.readonly")
///     .subject("user@example.com")
///     .build()?;
/// let calendar = drive.for_scope("https://www.googleapis.com/auth/calendar.readonly");
/// assert!(calendar.is_some());
///
/// // Without a request, for one API.
/// let pubsub = ServiceAccount::builder(key_file).audience("https://pubsub.googleapis.com/").build()?;
/// # let _ = pubsub;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ServiceAccount {
    key_file: Arc<dyn SecretSource>,
    /// Separated by blanks; empty if an audience is asked for.
    scope: String,
    audience: Option<String>,
    subject: Option<String>,
    self_signed: bool,
    universe_domain: Option<String>,
    token_url: Option<TokenUrl>,
    client: Client,
    /// How far the token endpoint's clock is from ours. Siblings for other scopes share it.
    skew: Arc<Skew>,
}

impl ServiceAccount {
    /// Starts with the key file's content. Everything else has a default.
    pub fn builder(key_file: Arc<dyn SecretSource>) -> ServiceAccountBuilder {
        ServiceAccountBuilder {
            key_file,
            scopes: Vec::new(),
            audience: None,
            subject: None,
            self_signed: None,
            universe_domain: None,
            token_url: None,
            client: None,
        }
    }

    async fn token(&self, request: &MintRequest) -> Result<Token, MintError> {
        let key = KeyFile::parse(&self.key_file.secret().await?)?;
        let universe = self.universe(&key)?;
        if !self.self_signed && universe == GOOGLEAPIS {
            return self.jwt_bearer_grant(&key, request).await;
        }
        if self.subject.is_some() {
            let message = format!("a subject is set, and universe {universe} has no domain-wide delegation");
            return Err(misconfigured(&message, "remove subject"));
        }
        if self.token_url.is_some() {
            let message = format!("token_url is set, and keys of universe {universe} sign their tokens themselves");
            return Err(misconfigured(&message, "remove token_url"));
        }
        self.self_signed_jwt(&key, request)
    }

    /// The universe of the key, which must be the one that was asked for. A file that names none is of Google's own.
    fn universe<'a>(&'a self, key: &'a KeyFile) -> Result<&'a str, MintError> {
        match (self.universe_domain.as_deref(), key.universe_domain.as_deref()) {
            (Some(wanted), Some(file)) if wanted != file => {
                let message = format!("universe_domain is {wanted}, and the key is of {file}");
                Err(misconfigured(&message, "use a key of that universe, or correct universe_domain"))
            }
            (wanted, file) => Ok(wanted.or(file).unwrap_or(GOOGLEAPIS)),
        }
    }

    /// `POST /token` with an assertion (RFC 7523 section 2.1).
    async fn jwt_bearer_grant(&self, key: &KeyFile, request: &MintRequest) -> Result<Token, MintError> {
        let from_file;
        let token_url = match &self.token_url {
            Some(url) => url,
            None => {
                from_file =
                    TokenUrl::parse(key.token_uri.as_deref().unwrap_or(GOOGLE_TOKEN_URL), "the key file's token_uri")?;
                &from_file
            }
        };
        let known_skew = self.skew.millis();
        let claims = Claims {
            sub: self.subject.as_deref(),
            scope: Some(&self.scope),
            aud: Some(token_url.audience()),
            ..Claims::new(&key.client_email, self.skew.unix(request))
        };
        let form = Form::new()
            .pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
            .secret("assertion", &claims.sign(key)?);

        let response = self.client.post_form(&token_url.endpoint, &form, None, &[], request).await?;
        self.skew.learn(&response);
        match response.token() {
            Ok(token) => token
                .into_builder(&response)
                .source(NAME)
                .default_life(DEFAULT_LIFE)
                .build()
                .map_err(|error| error.host(response.host())),
            Err(error) => {
                let asked = error::Asked {
                    subject: self.subject.as_deref(),
                    client_id: key.client_id.as_deref(),
                    assumed_skew: known_skew,
                    skew: self.skew.millis(),
                };
                Err(error::refusal(&response, error, &asked))
            }
        }
    }

    /// The JWT that is the token (AIP-4111). No request.
    fn self_signed_jwt(&self, key: &KeyFile, request: &MintRequest) -> Result<Token, MintError> {
        let now = request.now();
        let claims = Claims {
            sub: Some(&key.client_email),
            // Exactly one of them.
            scope: self.audience.is_none().then_some(&self.scope),
            aud: self.audience.as_deref(),
            ..Claims::new(&key.client_email, self.skew.unix(request))
        };
        let life = Duration::from_secs(assertion::LIFE.saturating_sub(assertion::SLACK).unsigned_abs());
        Token::builder(claims.sign(key)?, now).source(NAME).expires_in(life).build()
    }
}

impl TokenSource for ServiceAccount {
    fn name(&self) -> &str {
        NAME
    }

    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        Box::pin(async move { self.token(&request).await.map_err(|error| error.from_source(NAME)) })
    }

    fn revision(&self) -> u64 {
        self.key_file.revision()
    }

    fn for_scope(&self, scope: &str) -> Option<Arc<dyn TokenSource>> {
        let scope = checked_scopes(&[scope.to_owned()]).ok()?;
        Some(Arc::new(Self { scope, audience: None, ..self.clone() }))
    }
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccount")
            .field("scope", &self.scope)
            .field("audience", &self.audience)
            .field("subject", &self.subject)
            .field("self_signed", &self.self_signed)
            .field("token_url", &self.token_url.as_ref().map(|url| &url.endpoint))
            .finish_non_exhaustive()
    }
}

/// Makes a [`ServiceAccount`].
#[must_use]
pub struct ServiceAccountBuilder {
    key_file: Arc<dyn SecretSource>,
    scopes: Vec<String>,
    audience: Option<String>,
    subject: Option<String>,
    self_signed: Option<bool>,
    universe_domain: Option<String>,
    token_url: Option<String>,
    client: Option<Client>,
}

impl ServiceAccountBuilder {
    /// A scope, or several separated by blanks. Each call adds to the former. Default: `https://www.googleapis.com/auth/cloud-platform`.
    pub fn scope(mut self, scope: &str) -> Self {
        self.scopes.push(scope.to_owned());
        self
    }

    /// The API that a self-signed JWT is for, in place of a scope: `https://pubsub.googleapis.com/`, with the final slash. Implies
    /// [`self_signed`](Self::self_signed).
    pub fn audience(mut self, audience: &str) -> Self {
        self.audience = Some(audience.to_owned());
        self
    }

    /// The e-mail address of the Workspace user as whom to act (domain-wide delegation). Default: the service account itself.
    pub fn subject(mut self, subject: &str) -> Self {
        self.subject = Some(subject.to_owned());
        self
    }

    /// Whether the key signs the token itself, with no request. Google's APIs accept that; other servers do not. Default: false, and true with
    /// an audience. Keys of other universes than `googleapis.com` always do.
    pub fn self_signed(mut self, self_signed: bool) -> Self {
        self.self_signed = Some(self_signed);
        self
    }

    /// The universe that the key must be of. Default: what the key file says, or `googleapis.com`.
    pub fn universe_domain(mut self, domain: &str) -> Self {
        self.universe_domain = Some(domain.to_owned());
        self
    }

    /// The token endpoint in place of the key file's `token_uri`: `https`, or loopback.
    pub fn token_url(mut self, url: &str) -> Self {
        self.token_url = Some(url.to_owned());
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
    /// [`Misconfigured`](ErrorKind::Misconfigured): settings that exclude each other (audience and scope; a subject, a token URL or
    /// `self_signed(false)` with a self-signed JWT), scopes that cannot be one, a token URL that is neither HTTPS nor loopback.
    pub fn build(self) -> Result<ServiceAccount, MintError> {
        let self_signed = self.self_signed.unwrap_or(self.audience.is_some());
        let refuse = |message: &str, remedy: &str| Err(misconfigured(message, remedy));
        for (name, value) in
            [("audience", &self.audience), ("subject", &self.subject), ("universe_domain", &self.universe_domain)]
        {
            if value.as_ref().is_some_and(|value| value.trim().is_empty()) {
                return refuse(&format!("{name} is empty"), "set it or leave it out");
            }
        }
        if self.audience.is_some() && !self.scopes.is_empty() {
            return refuse(
                "audience and scope are both set, and a self-signed JWT has exactly one",
                "remove one of them",
            );
        }
        if self.audience.is_some() && !self_signed {
            return refuse(
                "an audience needs a self-signed JWT",
                "set self_signed to true, or scope in place of audience",
            );
        }
        if self.subject.is_some() && self_signed {
            return refuse(
                "a self-signed JWT cannot act as another subject",
                "remove subject, or self_signed and audience",
            );
        }
        if self.token_url.is_some() && self_signed {
            return refuse(
                "a self-signed JWT is not asked for anywhere",
                "remove token_url, or self_signed and audience",
            );
        }
        let scope = match (&self.audience, self.scopes.as_slice()) {
            (Some(_), _) => String::new(),
            (None, []) => CLOUD_PLATFORM.to_owned(),
            (None, scopes) => checked_scopes(scopes)?,
        };
        let token_url = self.token_url.as_deref().map(|url| TokenUrl::parse(url, "token_url")).transpose();
        let token_url = token_url.map_err(|error| error.from_source(NAME))?;
        Ok(ServiceAccount {
            key_file: self.key_file,
            scope,
            audience: self.audience,
            subject: self.subject,
            self_signed,
            universe_domain: self.universe_domain,
            token_url,
            client: self.client.unwrap_or_default(),
            skew: Arc::default(),
        })
    }
}

impl fmt::Debug for ServiceAccountBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccountBuilder")
            .field("scopes", &self.scopes)
            .field("audience", &self.audience)
            .field("subject", &self.subject)
            .finish_non_exhaustive()
    }
}

/// Where assertions go, as it was written.
#[derive(Clone)]
struct TokenUrl {
    endpoint: Endpoint,
    text: String,
}

impl TokenUrl {
    /// `what` is the setting's name, for the error.
    fn parse(text: &str, what: &str) -> Result<Self, MintError> {
        let endpoint = Endpoint::parse(text)?;
        if !endpoint.as_str().starts_with("https:") && !endpoint.is_loopback() {
            let message = format!("{what} is plain HTTP, which would show the assertion to the network");
            return Err(misconfigured(&message, "use https://").host(endpoint.host()));
        }
        Ok(Self { endpoint, text: text.trim().to_owned() })
    }

    /// The assertion's `aud`. Google's is the same at all its hosts. Another server's is its own address: it must not be able to redeem at
    /// Google what it was sent.
    fn audience(&self) -> &str {
        let host = self.endpoint.host();
        let google = host == "accounts.google.com" || host == GOOGLEAPIS || host.ends_with(".googleapis.com");
        if google { GOOGLE_TOKEN_URL } else { &self.text }
    }
}

/// RFC 6749 section 3.3: visible ASCII but `"` and `\`, separated by single blanks.
fn checked_scopes(scopes: &[String]) -> Result<String, MintError> {
    let words: Vec<&str> = scopes.iter().flat_map(|scope| scope.split_ascii_whitespace()).collect();
    let word = |word: &&str| word.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e) && b != b',');
    if words.is_empty() || !words.iter().all(word) {
        let message = "the scope is empty or holds characters that no scope has";
        return Err(misconfigured(message, "separate scopes by blanks, not commas"));
    }
    Ok(words.join(" "))
}

pub(crate) fn misconfigured(message: &str, remedy: &str) -> MintError {
    MintError::new(ErrorKind::Misconfigured, message).remedy(remedy).from_source(NAME)
}

/// What errors and tokens call this source.
pub(crate) const NAME: &str = "google";

const GOOGLEAPIS: &str = "googleapis.com";
const GOOGLE_TOKEN_URL: &str = "https://oauth2.googleapis.com/token";
const CLOUD_PLATFORM: &str = "https://www.googleapis.com/auth/cloud-platform";
/// What Google documents for tokens whose answer says nothing.
const DEFAULT_LIFE: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;
    use unexpired_core::Secret;

    fn builder() -> ServiceAccountBuilder {
        ServiceAccount::builder(Arc::new(Secret::new("{}")))
    }

    #[test]
    fn settings_that_exclude_each_other_are_refused() {
        const AUDIENCE: &str = "https://pubsub.googleapis.com/";
        for (built, says) in [
            (builder().audience(AUDIENCE).scope("a").build(), "exactly one"),
            (builder().audience(AUDIENCE).self_signed(false).build(), "needs a self-signed JWT"),
            (builder().audience(AUDIENCE).subject("u@example.com").build(), "remove subject"),
            (builder().self_signed(true).subject("u@example.com").build(), "remove subject"),
            (builder().self_signed(true).token_url("https://as.example.com/token").build(), "remove token_url"),
            (builder().audience(" ").build(), "audience is empty"),
            (builder().subject("").build(), "subject is empty"),
            (builder().scope("").build(), "separate scopes by blanks"),
            (builder().scope("https://a,https://b").build(), "separate scopes by blanks"),
            (builder().token_url("http://as.example.com/token").build(), "https://"),
            (builder().token_url("http://169.254.169.254/token").build(), "https://"),
        ] {
            let error = built.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured);
            assert_eq!(error.source_name(), Some("google"));
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    #[test]
    fn scopes_add_up_and_are_separated_by_one_blank() {
        assert_eq!(builder().scope("a  b").scope("c").build().unwrap().scope, "a b c");
        assert_eq!(builder().build().unwrap().scope, CLOUD_PLATFORM);
    }

    #[test]
    fn only_google_gets_an_assertion_that_google_takes() {
        for (url, audience) in [
            ("https://oauth2.googleapis.com/token", GOOGLE_TOKEN_URL),
            ("https://oauth2.mtls.googleapis.com/token", GOOGLE_TOKEN_URL),
            ("https://oauth2-psc.p.googleapis.com/token", GOOGLE_TOKEN_URL),
            ("https://accounts.google.com/o/oauth2/token", GOOGLE_TOKEN_URL),
            ("https://as.example.com", "https://as.example.com"),
            ("https://oauth2.googleapis.com.example.com/token", "https://oauth2.googleapis.com.example.com/token"),
            ("https://evilgoogleapis.com/token", "https://evilgoogleapis.com/token"),
            ("http://127.0.0.1:9/token", "http://127.0.0.1:9/token"),
        ] {
            assert_eq!(TokenUrl::parse(url, "token_url").unwrap().audience(), audience);
        }
    }
}
