//! The one way out of `unexpired`: a hardened client for token endpoints.
//!
//! Every request that mints a token goes through [`Client`]. Its contract, in plain sentences:
//!
//! - One call is one request. Nothing is retried and no redirect is followed; a secret reaches the host it was addressed to, or none.
//! - HTTPS only. Plain HTTP is spoken to loopback and to link-local metadata addresses, where there is no network in between
//!   ([`Endpoint::parse`] lists them).
//! - A connection takes at most 5 s, a whole exchange at most 20 s, and never longer than
//!   [`MintRequest::remaining`](unexpired_core::MintRequest::remaining). An answer that drips is ended by the same limit.
//! - A body is at most 1 MiB. The request asks for no compression (`Accept-Encoding: identity`), and a compressed answer is refused
//!   unread: so the limit holds before and after decompression.
//! - TLS uses its own configuration with an explicit crypto provider; the process-wide default of `rustls` is neither read nor installed.
//!   Whom to trust: see [`Roots`].
//! - Loopback and metadata hosts are reached directly. Everything else honours `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, or the proxy that
//!   was configured.
//! - Constructors touch no file, socket or environment variable. The first request does, and a request to plain HTTP loads no certificates.
//!   Certificate files that were named (all but the system's own) are read on a thread of their own, within the exchange's time: a disk that
//!   does not answer holds up nobody else.
//! - Success bodies are parsed strictly ([`Response::token`]), error bodies reduced to the fields that providers document
//!   ([`Failure`]). No error holds a body, a query or a header; what could be a token is masked. If an answer repeats a secret of its request,
//!   in whatever form, nothing of its text is shown.
//!
//! A provider is a request and a reading of the response:
//!
//! ```
//! use unexpired_core::{MintError, MintRequest, Secret, Token};
//! use unexpired_http::{BasicAuth, Client, Endpoint, Form};
//!
//! async fn client_credentials(
//!     client: &Client,
//!     endpoint: &Endpoint,
//!     client_secret: &Secret,
//!     request: &MintRequest,
//! ) -> Result<Token, MintError> {
//!     let form = Form::new().pair("grant_type", "client_credentials").pair("scope", "read");
//!     let auth = BasicAuth::new("client-123", client_secret);
//!     let response = client.post_form(endpoint, &form, Some(&auth), &[], request).await?;
//!     response.token()?.into_builder(&response).source("example").build()
//! }
//!
//! # fn main() -> Result<(), MintError> {
//! let endpoint = Endpoint::parse("https://as.example.com/token")?;
//! assert_eq!(endpoint.host(), "as.example.com");
//! # let _ = client_credentials;
//! # Ok(())
//! # }
//! ```

mod client;
mod date;
mod echo;
mod endpoint;
mod failure;
mod form;
mod resolve;
mod response;
mod send_error;
mod skew;
mod tls;
mod token_response;

pub use client::{Client, ClientBuilder};
pub use endpoint::Endpoint;
pub use failure::Failure;
pub use form::{BasicAuth, Form, form_encode, percent_encode};
pub use response::Response;
pub use send_error::SendError;
pub use skew::Skew;
pub use tls::Roots;
pub use token_response::TokenResponse;
