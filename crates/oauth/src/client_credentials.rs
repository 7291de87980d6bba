//! The client credentials grant (RFC 6749 section 4.4).

use crate::builder::{Builder, ClientCredentialsGrant, checked_scope, misconfigured};
use crate::exchange::{Exchange, Grant};
use crate::{NAME, Server};
use std::sync::Arc;
use unexpired_core::{BoxFuture, MintError, MintRequest, Token, TokenSource};

/// A client that gets tokens for itself, with its own secret.
///
/// A refresh token in the answer is ignored: the same request serves again (section 4.4.3).
#[derive(Clone, Debug)]
pub struct ClientCredentials {
    exchange: Exchange,
}

impl ClientCredentials {
    /// Starts with the server and the client's id there.
    pub fn builder(server: Server, client_id: &str) -> Builder<ClientCredentialsGrant> {
        Builder::new(server, client_id, ClientCredentialsGrant(()))
    }

    async fn request(&self, request: &MintRequest) -> Result<Token, MintError> {
        let prepared = self.exchange.prepare(request).await?;
        let response = self.exchange.send(Grant::ClientCredentials, &prepared, request).await?;
        let answer = self.exchange.read(Grant::ClientCredentials, &prepared, &response)?;
        self.exchange.token(answer, &response)
    }
}

impl Builder<ClientCredentialsGrant> {
    /// The source. Nothing is read or asked yet.
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](unexpired_core::ErrorKind::Misconfigured): no client secret (unless [`client_auth`](Builder::client_auth) says that there
    /// is none), a client id, scope, audience or resource that cannot be one, an extra parameter that is the protocol's.
    pub fn build(self) -> Result<ClientCredentials, MintError> {
        if self.is_public() {
            return Err(misconfigured(
                "only a client with a secret gets tokens for itself",
                "set client_secret; if a TLS certificate stands for it, set client_auth to none",
            ));
        }
        let (exchange, _) = self.into_exchange()?;
        Ok(ClientCredentials { exchange })
    }
}

impl TokenSource for ClientCredentials {
    fn name(&self) -> &str {
        NAME
    }

    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        Box::pin(async move { self.request(&request).await.map_err(|error| error.from_source(NAME)) })
    }

    fn revision(&self) -> u64 {
        self.exchange.revision()
    }

    fn for_scope(&self, scope: &str) -> Option<Arc<dyn TokenSource>> {
        let scope = Some(checked_scope(scope).ok()?);
        Some(Arc::new(Self { exchange: Exchange { scope, ..self.exchange.clone() } }))
    }
}
