//! Who is known to the identity provider.

use std::sync::Arc;

use unexpired_core::Secret;
use unexpired_crypto::{SigningKey, VerifyingKey};

use crate::StartError;

/// A client (an application) of the Entra and OAuth endpoints, and of IBM's where one is used.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) id: String,
    /// `None`: a public client.
    pub(crate) secret: Option<Secret>,
    /// `None`: any scope.
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) secret_expired: bool,
}

impl Client {
    /// A client that authenticates with a secret.
    #[must_use]
    pub fn confidential(id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        Self { id: id.into(), secret: Some(secret.into()), scopes: None, secret_expired: false }
    }

    /// A client without a secret: it can use refresh tokens and no client credentials.
    #[must_use]
    pub fn public(id: impl Into<String>) -> Self {
        Self { id: id.into(), secret: None, scopes: None, secret_expired: false }
    }

    /// The scopes that it may ask for at the OAuth endpoint; any, if this is not said. Others are answered with
    /// `invalid_scope`.
    #[must_use]
    pub fn scopes<S: Into<String>>(mut self, scopes: impl IntoIterator<Item = S>) -> Self {
        self.scopes = Some(scopes.into_iter().map(Into::into).collect());
        self
    }

    /// Its secret has expired: Entra answers AADSTS7000222, the others `invalid_client`.
    #[must_use]
    pub fn expired_secret(mut self) -> Self {
        self.secret_expired = true;
        self
    }
}

/// A service account of the Google endpoint: its name and its private key.
#[derive(Clone, Debug)]
pub struct ServiceAccount {
    pub(crate) email: String,
    pub(crate) key_id: String,
    pub(crate) pem: Secret,
    pub(crate) delegated: bool,
}

impl ServiceAccount {
    /// An account with its key: an RSA private key in PEM (PKCS#8), as in a key file's `private_key`.
    #[must_use]
    pub fn new(email: impl Into<String>, key_id: impl Into<String>, private_key: impl Into<Secret>) -> Self {
        Self { email: email.into(), key_id: key_id.into(), pem: private_key.into(), delegated: false }
    }

    /// It may act for users (`sub`), as domain-wide delegation allows.
    #[must_use]
    pub fn delegated(mut self) -> Self {
        self.delegated = true;
        self
    }

    pub(crate) fn load(self) -> Result<Account, StartError> {
        let key = SigningKey::from_pem(self.pem.expose())
            .and_then(|key| key.verifying_key())
            .map_err(|error| StartError::new(format!("the key of service account {}: {error}", self.email)))?;
        Ok(Account { public: Arc::new(key), account: self })
    }
}

/// A service account whose key was read.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) account: ServiceAccount,
    pub(crate) public: Arc<VerifyingKey>,
}

/// Who and what is registered.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(crate) tenants: Vec<String>,
    pub(crate) clients: Vec<Client>,
    pub(crate) accounts: Vec<Account>,
    pub(crate) api_keys: Vec<Secret>,
}

impl Registry {
    pub(crate) fn client(&self, id: &str) -> Option<&Client> {
        self.clients.iter().find(|client| client.id == id)
    }

    /// Adds the client, in the place of one with the same id.
    pub(crate) fn register(&mut self, client: Client) {
        self.clients.retain(|known| known.id != client.id);
        self.clients.push(client);
    }
}

/// What is registered without being asked for.
pub mod defaults {
    /// The Entra tenant.
    pub const TENANT: &str = "11111111-2222-4333-8444-555555555555";
    /// The same tenant by its domain.
    pub const TENANT_DOMAIN: &str = "contoso.onmicrosoft.com";
    /// The client of the Entra, OAuth and IBM endpoints.
    pub const CLIENT_ID: &str = "aaaaaaaa-0000-4000-8000-000000000001";
    /// Its secret.
    pub const CLIENT_SECRET: &str = "fake-client-secret";
    /// A client of the OAuth endpoint that has no secret.
    pub const PUBLIC_CLIENT_ID: &str = "fake-public-client";
    /// The API key of the IBM endpoint.
    pub const API_KEY: &str = "FAKE_ibmcloud_api_key_0001";
    /// The service account of the Google endpoint.
    pub const SERVICE_ACCOUNT: &str = "testkit@demo-project.iam.gserviceaccount.com";
    /// The `private_key_id` of its key.
    pub const SERVICE_ACCOUNT_KEY_ID: &str = "fakekey1";
    /// A scope that the Entra endpoint takes; it takes every other one that names one resource and ends in `/.default`.
    pub const ENTRA_SCOPE: &str = "https://management.azure.com/.default";
    /// A scope that the Google endpoint takes; it takes every other one, too.
    pub const GOOGLE_SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
}

/// The private key of the default service account. It is public: never trust it.
pub(crate) const SERVICE_ACCOUNT_PEM: &str = include_str!("../keys/test-service-account.pem");
