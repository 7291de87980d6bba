//! Tokens from any OAuth 2.0 server: client credentials and refresh tokens, from a server given or discovered.
//!
//! ```
//! use std::sync::Arc;
//! use unexpired_core::Secret;
//! use unexpired_oauth::{ClientAuth, ClientCredentials, Server};
//!
//! # fn main() -> Result<(), unexpired_core::MintError> {
//! let source = ClientCredentials::builder(Server::token_url("https://as.example.com/oauth/token")?, "client-123")
//!     .client_secret(Arc::new(Secret::new("fake-secret")))
//!     .client_auth(ClientAuth::Post)
//!     .scope("read:things")
//!     .audience("https://api.example.com/")
//!     .build()?;
//! # let _ = source;
//! # Ok(())
//! # }
//! ```
//!
//! A source asks once and keeps nothing. `unexpired_core::TokenManager` around it keeps its token fresh.
//!
//! # What is sent
//!
//! One `POST` to the token endpoint with a form, in this order. What is not set is not sent.
//!
//! | parameter | from |
//! |---|---|
//! | `grant_type` | `client_credentials` (RFC 6749 section 4.4) or `refresh_token` (section 6) |
//! | `client_id`, `client_secret` | [`ClientAuth`]; with `Basic` both are in the `Authorization` header instead |
//! | `refresh_token` | [`RefreshToken`] |
//! | `scope` | [`scope`](Builder::scope) |
//! | `audience` | [`audience`](Builder::audience): Auth0, Okta |
//! | `resource` | [`resource`](Builder::resource), any number of times (RFC 8707) |
//! | others | [`param`](Builder::param) |
//! | `claims` | a claims challenge of the resource, if there is one |
//!
//! # What to know
//!
//! - **Secrets are read at every mint**, so a file that is replaced takes effect without a restart. A line break at their end is dropped.
//! - **Rotating refresh tokens** are redeemed one after another over all processes that share a store, and the new one is durable before its
//!   access token is handed out: see [`RefreshToken`].
//! - **Discovery** compares issuers character by character and follows no redirect: see [`Server::issuer`].
//! - **A token that states no life** (`expires_in` is only recommended, RFC 6749 section 5.1) is taken to live for 5 min, or for what
//!   [`default_life`](Builder::default_life) says.
//! - **Refused are** tokens that are no bearer tokens: `token_type` `N_A` (RFC 8693), and `DPoP`, `PoP` and `mac`, which need a proof with each
//!   request. Other types are compared without regard to case and become the scheme.
//! - **A refusal without words** (400, 401 or 403 with an empty body) is `Denied`: some servers answer a wrong secret or a used refresh token so.

mod builder;
mod client_auth;
mod client_credentials;
mod discovery;
mod error;
mod exchange;
mod refresh_token;
mod rotation;
mod server;
mod sign_ins;

pub use builder::{Builder, ClientCredentialsGrant, RefreshTokenGrant};
pub use client_auth::ClientAuth;
pub use client_credentials::ClientCredentials;
pub use refresh_token::RefreshToken;
pub use server::Server;

/// What errors and tokens call the sources of this crate.
const NAME: &str = "oauth";
