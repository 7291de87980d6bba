//! A client of the demo: what any program does that uses a token manager.

use super::Teller;
use super::script::Scene;
use super::story::{Outcome, What};
use crate::failure::Failure;
use std::time::Duration;
use unexpired::http::{Client, Endpoint, Response};
use unexpired::{Challenge, MintError, MintRequest, Token, TokenManager};

pub(crate) struct Session {
    manager: TokenManager,
    client: Client,
    resource: Endpoint,
    teller: Teller,
}

impl Session {
    pub(crate) fn new(manager: TokenManager, scene: &Scene, teller: Teller) -> Result<Self, Failure> {
        Ok(Self { manager, client: Client::new(), resource: scene.resource()?, teller })
    }

    /// Makes requests for ever.
    pub(crate) async fn run(self, first: Duration, every: Duration) {
        let mut beats = tokio::time::interval_at(tokio::time::Instant::now() + first, every);
        beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beats.tick().await;
            let begun = self.teller.now();
            let (fingerprint, outcome) = self.request().await;
            let took = self.teller.now().saturating_sub(begun);
            self.teller.tell(What::Request { fingerprint, took, outcome });
        }
    }

    /// One request as its user sees it: a token, the request, and after a 401 one retry with the token that takes its place.
    async fn request(&self) -> (Option<String>, Outcome) {
        let token = match self.manager.token().await {
            Ok(token) => token,
            Err(error) => return (None, Outcome::Error(error.to_string())),
        };
        let host = self.resource.host();
        let response = match self.send(&token).await {
            Ok(response) => response,
            Err(error) => return (Some(token.fingerprint()), Outcome::Error(error.to_string())),
        };
        if response.status() != 401 {
            return (Some(token.fingerprint()), self.outcome(&token, &response, false));
        }
        self.teller.tell(What::Refused { fingerprint: token.fingerprint() });
        let challenge = Challenge::of(401, response.header("www-authenticate"));
        let token = match self.manager.replacement(&token, host, &challenge).await {
            Ok(token) => token,
            Err(_) => return (Some(token.fingerprint()), Outcome::Status(401)),
        };
        match self.send(&token).await {
            Ok(response) => (Some(token.fingerprint()), self.outcome(&token, &response, true)),
            Err(error) => (Some(token.fingerprint()), Outcome::Error(error.to_string())),
        }
    }

    fn outcome(&self, token: &Token, response: &Response, retried: bool) -> Outcome {
        if !response.is_success() {
            return Outcome::Status(response.status());
        }
        self.manager.accepted(token, self.resource.host());
        Outcome::Accepted { retried }
    }

    async fn send(&self, token: &Token) -> Result<Response, MintError> {
        // A token is a b64token, and so is text.
        let authorization = token.authorization().to_str().unwrap_or_default();
        let headers = [("authorization", authorization)];
        self.client.get(&self.resource, &headers, None, &MintRequest::standalone()).await.map_err(MintError::from)
    }
}
