//! `unexpired-core` with a source that posts by the same client as the others.

use super::{Life, Peer, Timing, client, post};
use crate::endpoint::Endpoint;
use http::HeaderValue;
use unexpired_core::{BoxFuture, ErrorKind, MintError, MintRequest, Token, TokenManager, TokenSource};

pub struct Unexpired(TokenManager);

struct Source {
    client: reqwest::Client,
    url: String,
}

impl TokenSource for Source {
    fn name(&self) -> &str {
        "bench"
    }

    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        Box::pin(async move {
            let requested_at = request.now();
            let (token, life) =
                post(&self.client, &self.url).await.map_err(|error| MintError::new(ErrorKind::Unavailable, error))?;
            Token::builder(token, requested_at).expires_in(life).build()
        })
    }
}

impl Peer for Unexpired {
    const NAME: &'static str = "unexpired-core";
    const CRATE: &'static str = "unexpired-core";
    /// Due a quarter of the life before expiry, up to a tenth of that later by jitter.
    const TIMING: Timing = Timing {
        refresh: Life { seconds: 12, due_from: 9.0, due_by: 9.4 },
        outage: Life { seconds: 80, due_from: 60.0, due_by: 62.1 },
        expiry: 2,
    };

    fn new(endpoint: &Endpoint) -> Self {
        Self(TokenManager::builder("bench", Source { client: client(), url: endpoint.url() }).build())
    }

    async fn header(&self) -> Result<HeaderValue, String> {
        self.0.authorization().await.map_err(|error| error.to_string())
    }
}
