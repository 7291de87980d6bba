//! Tokens from Microsoft Entra ID in all its national clouds.
//!
//! Here is the client credentials grant with a client secret, on the v2.0 endpoint:
//!
//! ```
//! use std::sync::Arc;
//! use unexpired_core::Secret;
//! use unexpired_entra::{ClientSecret, Cloud};
//!
//! # fn main() -> Result<(), unexpired_core::MintError> {
//! let secret = Arc::new(Secret::new("fAkE~s3cr3t"));
//! let source = ClientSecret::builder("contoso.onmicrosoft.us", "aaaaaaaa-0000-4000-8000-000000000001", secret)
//!     .cloud(Cloud::UsGovernment)
//!     .scope("https://cognitiveservices.azure.us/.default")
//!     .build()?;
//! assert_eq!(source.endpoint(), "https://login.microsoftonline.us/contoso.onmicrosoft.us/oauth2/v2.0/token");
//! # Ok(())
//! # }
//! ```
//!
//! # What to know
//!
//! - **One resource per token.** The scope is the resource's App ID URI followed by `/.default`. Of a resource that ends in `/` the slash stays:
//!   `https://management.azure.com/` becomes `https://management.azure.com//.default`, and its tokens are others than those of
//!   `https://management.azure.com/.default`.
//! - **Clouds do not mix.** A tenant lives in one cloud, and a secret must not be shown to another. A tenant or scope of one cloud with the
//!   authority of another is refused by `build`, before any request: see [`Cloud`].
//! - **No refresh token.** The secret is used again for each token, and is read anew each time.
//! - **Codes are for people.** `AADSTS…` codes decide what an error advises; Microsoft may add more at any time, and an unknown one is judged by
//!   its OAuth `error`.
//! - **Claims challenges** (continuous access evaluation) come in with [`MintRequest::claims`](unexpired_core::MintRequest::claims) and go out as
//!   the `claims` parameter. [`cae`](ClientSecretBuilder::cae) announces that the client handles them, which makes tokens live up to 28 hours.
//!
//! The protocol is Microsoft's page "OAuth 2.0 client credentials flow on the Microsoft identity platform".

mod authority;
mod claims;
mod client_secret;
mod cloud;
mod error;
mod identifiers;

pub use client_secret::{ClientSecret, ClientSecretBuilder};
pub use cloud::Cloud;
