//! The scene of the demo, and what is done to it while the session runs.

use super::Teller;
use super::story::What;
use crate::failure::{Failure, OTHER};
use std::sync::Arc;
use std::time::Duration;
use unexpired::http::Endpoint;
use unexpired::oauth::{ClientCredentials, Server};
use unexpired::{Secret, Token, TokenManager};
use unexpired_testkit::{Fault, IdentityProvider, defaults};

/// An identity provider and a resource server, both on loopback.
pub(crate) struct Scene {
    provider: IdentityProvider,
}

impl Scene {
    /// Starts it. Tokens live so long.
    pub(crate) async fn set(life: Duration) -> Result<Self, Failure> {
        let provider = IdentityProvider::builder().lifetime(life).start().await;
        let provider = provider.map_err(|error| Failure::new(OTHER, format!("the identity provider: {error}")))?;
        Ok(Self { provider })
    }

    /// What the manager mints from: client credentials of RFC 6749 over HTTP.
    pub(crate) fn source(&self) -> Result<ClientCredentials, Failure> {
        let server = Server::token_url(&self.provider.oauth_token_url())?;
        Ok(ClientCredentials::builder(server, defaults::CLIENT_ID)
            .client_secret(Arc::new(Secret::new(defaults::CLIENT_SECRET)))
            .scope("demo")
            .build()?)
    }

    /// What the clients ask for.
    pub(crate) fn resource(&self) -> Result<Endpoint, Failure> {
        Ok(Endpoint::parse(self.provider.resource_server().url())?)
    }

    pub(crate) fn address(&self) -> String {
        self.provider.url().to_owned()
    }
}

/// Plays the outage and the revocation, each once, each in the middle of a token's life.
pub(crate) async fn direct(scene: Scene, manager: TokenManager, span: Duration, teller: Teller) {
    wait_until(&teller, span.mul_f64(OUTAGE_AT)).await;
    next_token(&manager).await;
    // The outage swallows the moment of the next refresh, and ends while the token has life in it.
    let born = teller.now();
    wait_until(&teller, born + OUTAGE_BEGINS).await;
    scene.provider.fault(Fault::status(503).always());
    teller.tell(What::OutageBegan);
    wait_until(&teller, born + OUTAGE_ENDS).await;
    scene.provider.clear_faults();
    teller.tell(What::OutageEnded);

    wait_until(&teller, span.mul_f64(REVOCATION_AT)).await;
    let token = next_token(&manager).await;
    tokio::time::sleep(REVOKED_AFTER).await;
    revoke(&scene, &token, &teller);
    // The scene stays until the end.
    std::future::pending::<()>().await;
}

/// The next token that arrives: a new subscription has seen the present one.
async fn next_token(manager: &TokenManager) -> Token {
    match manager.subscribe().changed().await {
        Some(token) => token,
        // The manager is held here, so its tokens never end.
        None => std::future::pending().await,
    }
}

fn revoke(scene: &Scene, token: &Token, teller: &Teller) {
    scene.provider.revoke(token.secret());
    teller.tell(What::Revoked { fingerprint: token.fingerprint() });
}

async fn wait_until(teller: &Teller, moment: Duration) {
    tokio::time::sleep(moment.saturating_sub(teller.now())).await;
}

/// When things happen, as parts of the session.
const OUTAGE_AT: f64 = 0.3;
const REVOCATION_AT: f64 = 0.65;
/// And as moments in the life of a token, which lives 3 s and is due at half of that.
const OUTAGE_BEGINS: Duration = Duration::from_millis(200);
const OUTAGE_ENDS: Duration = Duration::from_millis(1900);
const REVOKED_AFTER: Duration = Duration::from_millis(700);
