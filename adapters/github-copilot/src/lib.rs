//! Tokens kept fresh by `unexpired`, for the providers of a GitHub Copilot SDK session ("bring your own key").
//!
//! The SDK asks before each request to the model and keeps nothing: with a [`TokenManager`] behind it that is a load and a compare, and the
//! mint of a new token is over before the old one ends.
//!
//! ```
//! use github_copilot_sdk::types::ProviderConfig;
//! use std::sync::Arc;
//! use unexpired_core::TokenManager;
//! use unexpired_github_copilot::TokenProvider;
//!
//! # fn example(corp: TokenManager) {
//! let provider = ProviderConfig::new("https://contoso.openai.azure.us/openai/v1")
//!     .with_bearer_token_provider(Arc::new(TokenProvider::new(corp)));
//! # let _ = provider;
//! # }
//! ```
//!
//! The SDK does not tell its provider that a token was refused, so a token that was revoked is used until it is due. Where that matters, point
//! the session at `unexpired`'s loopback proxy, which sees the 401.

use async_trait::async_trait;
use github_copilot_sdk::{BearerTokenError, BearerTokenProvider, ProviderTokenArgs};
use unexpired_core::TokenManager;

/// A provider of bearer tokens, to be given to `ProviderConfig::with_bearer_token_provider`.
#[derive(Clone, Debug)]
pub struct TokenProvider {
    manager: TokenManager,
}

impl TokenProvider {
    /// The manager's token, for every provider and session that asks.
    pub fn new(manager: TokenManager) -> Self {
        Self { manager }
    }
}

#[async_trait]
impl BearerTokenProvider for TokenProvider {
    async fn get_token(&self, _: ProviderTokenArgs) -> Result<String, BearerTokenError> {
        let token = self.manager.token().await.map_err(|error| BearerTokenError::message(error.to_string()))?;
        if token.scheme() != "Bearer" {
            let name = self.manager.name();
            return Err(BearerTokenError::message(format!("{name}: the token is none of the scheme Bearer")));
        }
        // The SDK wants a text of its own.
        Ok(token.secret().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;
    use unexpired_core::{BoxFuture, ErrorKind, MintError, MintRequest, TestClock, Token, TokenSource};

    /// Tokens of a minute, until it is told to refuse.
    struct Source(Arc<AtomicU64>, &'static str);

    impl TokenSource for Source {
        fn name(&self) -> &str {
            "scripted"
        }

        fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
            Box::pin(async move {
                let n = self.0.fetch_add(1, Ordering::SeqCst) + 1;
                if n > 3 {
                    return Err(MintError::new(ErrorKind::Denied, "the secret was rotated").remedy("sign in again"));
                }
                let token = Token::builder(format!("t{n}"), request.now()).expires_in(Duration::from_secs(60));
                token.scheme(self.1).build()
            })
        }
    }

    async fn ask(provider: &dyn BearerTokenProvider) -> Result<String, String> {
        let args = ProviderTokenArgs { provider_name: "default".into(), session_id: "s1".into() };
        provider.get_token(args).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn each_request_gets_a_token_that_lives_and_a_clear_word_where_there_is_none() {
        let (mints, clock) = (Arc::new(AtomicU64::new(0)), TestClock::new());
        let manager =
            TokenManager::builder("corp", Source(mints.clone(), "Bearer")).clock(Arc::new(clock.clone())).build();
        let provider: Arc<dyn BearerTokenProvider> = Arc::new(TokenProvider::new(manager));
        for n in 1..=3 {
            for _ in 0..100 {
                assert_eq!(ask(&*provider).await, Ok(format!("t{n}")));
            }
            clock.advance(Duration::from_secs(61));
        }
        assert_eq!(mints.load(Ordering::SeqCst), 3);
        let error = ask(&*provider).await.unwrap_err();
        assert!(error.contains("corp: scripted: the secret was rotated") && error.contains("sign in again"), "{error}");
    }

    #[tokio::test]
    async fn a_token_of_another_scheme_is_not_passed_off_as_one() {
        let manager = TokenManager::builder("corp", Source(Arc::default(), "MAC")).build();
        assert!(ask(&TokenProvider::new(manager)).await.unwrap_err().contains("Bearer"));
    }
}
