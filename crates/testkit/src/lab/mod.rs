//! The test servers for programs in any language: everything in this crate behind a small HTTP interface.
//!
//! `unexpired lab` serves it; [`Lab`] is the same in Rust. It listens on loopback only and refuses requests whose `Host`
//! is not this machine at its port, and control requests that a web page sent (they have an `Origin`).
//!
//! # The interface
//!
//! Bodies are JSON (`content-type: application/json`; `curl --json` sends that). Durations are `"250ms"`, `"3s"`,
//! `"1h30m"`, or a number of seconds. Whatever cannot be understood is answered with status 400 and
//! `{"error": "invalid_request", "error_description": …}`, and changes nothing.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET /lab` | | the endpoints, and the credentials that they take ([`Endpoints`]) |
//! | `POST /lab/mint` | `lifetime`, `audience` (a text or a list), `scope`, `subject`; all optional | `access_token`, `token_type`, `expires_in`, `expires_at` |
//! | `POST /lab/refresh_token` | `client_id`, `scope`, `audience`; all optional | `refresh_token`, `client_id`: the first of a new family |
//! | `POST /lab/lifetime` | `lifetime` | tokens live so long from now on |
//! | `POST /lab/faults` | see below | `{"active": N}` |
//! | `GET /lab/faults` | | `{"active": N}`: how many are set and not used up |
//! | `DELETE /lab/faults` | | all are taken back |
//! | `POST /lab/revoke` | `token` (access or refresh), or `"all": true` | `{"revoked": N}`, the number of tokens |
//! | `POST /lab/clock` | `shift`: `"1h"`, `"-90s"` | `now`, and `shift_seconds` in all: the clock for issuing and checking |
//! | `GET /lab/clock` | | the same, without a shift |
//! | `POST /lab/resource` | `refuse` (a boolean), `claims` and `scope` (a text, or null for none) | what `/lab/check` wants from now on |
//! | `GET /lab/check` | `Authorization: Bearer …` | 200, or 401 with `WWW-Authenticate` and `reason` |
//! | `GET /lab/requests` | | the recorded requests, secrets as `…`; with `?secrets=true` as they came |
//! | `GET /lab/stats` | | `mints` and `requests` by endpoint, `resource` by what became of the request |
//! | `POST /lab/reset` | | tokens, faults, counts, requests, clock, lifetime: as at the start. Refresh tokens are forgotten, too |
//!
//! # Faults
//!
//! A fault has `fault` (its name), `endpoint` (`entra`, `google`, `ibm`, `oauth`, `discovery`, `jwks`, `resource`; all
//! token endpoints if it is left out), and how often it happens: `times` (default 1), `lasting` (a duration of the
//! server's clock), or `"always": true`. How faults queue up is said at [`Fault`](crate::Fault).
//!
//! | `fault` | with | what happens |
//! |---|---|---|
//! | `status` | `status`, optional `retry_after` and `body` | this status |
//! | `delay` | `delay` | the answer comes later |
//! | `never_answer` | | none comes |
//! | `cut_before`, `cut_after`, `cut_body` | | the connection ends before or after the work, or in the middle of the answer |
//! | `html`, `error_with_200`, `garbage`, `not_http` | | an answer that is none |
//! | `redirect` | `location` | 307 |
//! | `lifetime` | `lifetime` | tokens live so long |
//! | `expires_in` | `expires_in`: `text`, `float`, `negative`, `missing`, `absurd`, `duplicate` | how it is written |
//! | `same_token` | | the last token once more |
//! | `date` | `skew_seconds` | the `Date` header is off by so much |
//! | `content_type` | `content_type` | another one |
//! | `drip` | `delay` | one byte at a time, with this pause |
//!
//! ```text
//! curl --json '{"fault": "status", "status": 503, "retry_after": "5", "times": 2}' http://127.0.0.1:PORT/lab/faults
//! ```

mod control;
mod duration;
mod endpoints;

use std::path::Path;
use std::time::Duration;

pub use endpoints::{ControlPath, Endpoints, EntraEndpoint, GoogleEndpoint, IbmEndpoint, OAuthEndpoint};

pub(crate) use control::{control, is_control};

use crate::{IdentityProvider, SigningAlgorithm, StartError, defaults};

/// How a [`Lab`] is to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct LabOptions {
    port: u16,
    https: bool,
    lifetime: Option<Duration>,
    algorithm: SigningAlgorithm,
}

impl LabOptions {
    /// Plain http on any free port, tokens of one hour.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The port for plain http. Default: any that is free.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Also serves https, on a free port (feature `https`).
    #[must_use]
    pub fn https(mut self, https: bool) -> Self {
        self.https = https;
        self
    }

    /// How long tokens live.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Which key signs.
    #[must_use]
    pub fn algorithm(mut self, algorithm: SigningAlgorithm) -> Self {
        self.algorithm = algorithm;
        self
    }
}

/// A running lab. It ends when this (and every handle that came from it) is dropped.
///
/// ```
/// use unexpired_testkit::lab::{Lab, LabOptions};
///
/// # fn main() -> Result<(), unexpired_testkit::StartError> {
/// let lab = Lab::start(LabOptions::new())?;
/// assert!(lab.endpoints().lab.starts_with("http://127.0.0.1:"));
/// assert!(lab.config_toml().contains("[token.lab-entra]"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Lab {
    idp: IdentityProvider,
    endpoints: Endpoints,
    config: String,
}

impl Lab {
    /// Starts it. It is ready when this returns.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the port is taken, the temporary folder cannot be written, or https is wanted without its feature.
    pub fn start(options: LabOptions) -> Result<Self, StartError> {
        let mut builder = IdentityProvider::builder().port(options.port).algorithm(options.algorithm).lab();
        if let Some(lifetime) = options.lifetime {
            builder = builder.lifetime(lifetime);
        }
        if options.https {
            #[cfg(feature = "https")]
            {
                builder = builder.https();
            }
            #[cfg(not(feature = "https"))]
            return Err(StartError::new("https needs the feature `https` of unexpired-testkit"));
        }
        let idp = builder.blocking_start()?;
        let shared = idp.shared();
        let credentials = idp.write_file("google-service-account.json", idp.service_account_json().expose())?;
        let endpoints = Endpoints::new(idp.url(), idp.https_url(), idp.ca_file().as_deref(), &credentials);
        let config = config(&idp, &credentials)?;
        // The interface answers with the same.
        let _ = shared.endpoints.set(endpoints.clone());
        Ok(Self { idp, endpoints, config })
    }

    /// Where everything is, and which credentials it takes.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Configuration for the `unexpired` command, ready made: the tokens `lab-entra`, `lab-google`, `lab-ibm`, `lab-oauth`
    /// and `lab-oauth-refresh`. The secrets lie in files of a private temporary folder, which goes away with the lab.
    #[must_use]
    pub fn config_toml(&self) -> &str {
        &self.config
    }

    /// The identity provider inside, to be scripted from Rust.
    #[must_use]
    pub fn identity_provider(&self) -> &IdentityProvider {
        &self.idp
    }
}

fn config(idp: &IdentityProvider, credentials: &Path) -> Result<String, StartError> {
    let client_secret = idp.write_file("client-secret", defaults::CLIENT_SECRET)?;
    let api_key = idp.write_file("ibm-api-key", defaults::API_KEY)?;
    let refresh = idp.refresh_token(defaults::PUBLIC_CLIENT_ID, "read write")?;
    let refresh_token = idp.write_file("refresh-token", refresh.expose())?;
    let path = |path: &Path| text(&path.to_string_lossy());

    Ok(format!(
        r#"[token.lab-entra]
provider      = "entra"
authority     = {authority}
tenant        = {tenant}
client_id     = {client_id}
client_secret = {{ file = {client_secret} }}
scope         = {entra_scope}
hosts         = ["127.0.0.1"]

[token.lab-google]
provider    = "google"
credentials = {credentials}
token_url   = {google}
scope       = {google_scope}
hosts       = ["127.0.0.1"]

[token.lab-ibm]
provider = "ibm"
api_key  = {{ file = {api_key} }}
endpoint = {ibm}
hosts    = ["127.0.0.1"]

[token.lab-oauth]
provider      = "oauth"
issuer        = {issuer}
client_id     = {client_id}
client_secret = {{ file = {client_secret} }}
scope         = "read"
hosts         = ["127.0.0.1"]

[token.lab-oauth-refresh]
provider           = "oauth"
token_url          = {oauth}
grant              = "refresh_token"
client_id          = {public_client_id}
refresh_token_file = {refresh_token}
hosts              = ["127.0.0.1"]
"#,
        authority = text(idp.entra_authority()),
        tenant = text(defaults::TENANT),
        client_id = text(defaults::CLIENT_ID),
        client_secret = path(&client_secret),
        entra_scope = text(defaults::ENTRA_SCOPE),
        credentials = path(credentials),
        google = text(&idp.google_token_url()),
        google_scope = text(defaults::GOOGLE_SCOPE),
        api_key = path(&api_key),
        ibm = text(idp.ibm_endpoint()),
        issuer = text(&idp.oauth_issuer()),
        oauth = text(&idp.oauth_token_url()),
        public_client_id = text(defaults::PUBLIC_CLIENT_ID),
        refresh_token = path(&refresh_token),
    ))
}

/// A basic string of TOML, which a JSON string is.
fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
