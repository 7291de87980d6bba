//! `unexpired-oauth` as users have it: client credentials by its own hardened client.

use super::{Peer, Timing, unexpired::Unexpired};
use crate::endpoint::Endpoint;
use http::HeaderValue;
use std::sync::Arc;
use unexpired_core::{Secret, TokenManager};
use unexpired_oauth::{ClientAuth, ClientCredentials, Server};

pub struct UnexpiredOauth(TokenManager);

impl Peer for UnexpiredOauth {
    const NAME: &'static str = "unexpired-oauth";
    const CRATE: &'static str = "unexpired-oauth";
    const TIMING: Timing = Unexpired::TIMING;

    fn new(endpoint: &Endpoint) -> Self {
        let source = ClientCredentials::builder(Server::token_url(&endpoint.url()).unwrap(), "example")
            .client_secret(Arc::new(Secret::new("not-a-secret")))
            .client_auth(ClientAuth::Post)
            .scope("example")
            .build()
            .unwrap();
        Self(TokenManager::builder("bench", source).build())
    }

    async fn header(&self) -> Result<HeaderValue, String> {
        self.0.authorization().await.map_err(|error| error.to_string())
    }
}
