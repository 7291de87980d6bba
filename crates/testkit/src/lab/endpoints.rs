use std::path::Path;

use serde::Serialize;

use super::control::PATHS;
use crate::defaults;

/// Where everything is, and which credentials it takes. As JSON it is what `GET /lab` answers.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Endpoints {
    /// The base URL.
    pub url: String,
    /// The base URL with TLS, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https_url: Option<String>,
    /// The CA certificate for it, a PEM file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// The control interface.
    pub lab: String,
    /// What the control interface can be asked for, below `url`. What it means stands in `docs/lab.md`.
    pub control: Vec<ControlPath>,
    /// A resource server that takes every good token.
    pub check: String,
    /// The key set.
    pub jwks_uri: String,
    /// Microsoft Entra ID.
    pub entra: EntraEndpoint,
    /// Google.
    pub google: GoogleEndpoint,
    /// IBM Cloud.
    pub ibm: IbmEndpoint,
    /// OAuth 2.0.
    pub oauth: OAuthEndpoint,
}

/// One path of the control interface.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ControlPath {
    /// Such as `/lab/faults`.
    pub path: String,
    /// Such as `GET` and `POST`.
    pub methods: Vec<String>,
}

/// Entra's.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct EntraEndpoint {
    /// What clients call the authority.
    pub authority: String,
    /// The token endpoint.
    pub token_url: String,
    /// The tenant.
    pub tenant: String,
    /// The application's id.
    pub client_id: String,
    /// Its secret, which is no secret.
    pub client_secret: String,
    /// A scope.
    pub scope: String,
}

/// Google's.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct GoogleEndpoint {
    /// The token endpoint.
    pub token_url: String,
    /// The service account.
    pub client_email: String,
    /// Its key file, whose `token_uri` is the token endpoint: what `GOOGLE_APPLICATION_CREDENTIALS` wants.
    pub credentials_file: String,
    /// A scope.
    pub scope: String,
}

/// IBM's.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct IbmEndpoint {
    /// What clients add `/identity/token` to.
    pub endpoint: String,
    /// The token endpoint.
    pub token_url: String,
    /// The API key, which is no secret.
    pub api_key: String,
}

/// OAuth's.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct OAuthEndpoint {
    /// The issuer, for discovery.
    pub issuer: String,
    /// The token endpoint.
    pub token_url: String,
    /// A confidential client.
    pub client_id: String,
    /// Its secret, which is no secret.
    pub client_secret: String,
    /// A client without a secret, for refresh tokens.
    pub public_client_id: String,
}

impl Endpoints {
    pub(crate) fn new(url: &str, https_url: Option<&str>, ca_file: Option<&Path>, google_credentials: &Path) -> Self {
        let below = |path: &str| format!("{url}{path}");
        Self {
            url: url.into(),
            https_url: https_url.map(str::to_owned),
            ca_file: ca_file.map(|path| path.to_string_lossy().into_owned()),
            lab: below("/lab"),
            control: PATHS
                .iter()
                .map(|(path, methods)| ControlPath {
                    path: (*path).into(),
                    methods: methods.split(", ").map(str::to_owned).collect(),
                })
                .collect(),
            check: below("/lab/check"),
            jwks_uri: below("/oauth2/jwks"),
            entra: EntraEndpoint {
                authority: url.into(),
                token_url: format!("{url}/{}/oauth2/v2.0/token", defaults::TENANT),
                tenant: defaults::TENANT.into(),
                client_id: defaults::CLIENT_ID.into(),
                client_secret: defaults::CLIENT_SECRET.into(),
                scope: defaults::ENTRA_SCOPE.into(),
            },
            google: GoogleEndpoint {
                token_url: below("/google/token"),
                client_email: defaults::SERVICE_ACCOUNT.into(),
                credentials_file: google_credentials.to_string_lossy().into_owned(),
                scope: defaults::GOOGLE_SCOPE.into(),
            },
            ibm: IbmEndpoint {
                endpoint: url.into(),
                token_url: below("/identity/token"),
                api_key: defaults::API_KEY.into(),
            },
            oauth: OAuthEndpoint {
                issuer: below("/oauth2"),
                token_url: below("/oauth2/token"),
                client_id: defaults::CLIENT_ID.into(),
                client_secret: defaults::CLIENT_SECRET.into(),
                public_client_id: defaults::PUBLIC_CLIENT_ID.into(),
            },
        }
    }
}
