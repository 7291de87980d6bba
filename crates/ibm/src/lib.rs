//! Tokens from IBM Cloud IAM: an API key is exchanged for an access token.
//!
//! ```
//! use std::sync::Arc;
//! use unexpired_core::Secret;
//! use unexpired_ibm::ApiKey;
//!
//! # fn main() -> Result<(), unexpired_core::MintError> {
//! let source = ApiKey::builder(Arc::new(Secret::new("FAKE_ibmcloud_api_key_0001"))).build()?;
//! assert_eq!(source.endpoint(), "https://iam.cloud.ibm.com/identity/token");
//! # Ok(())
//! # }
//! ```
//!
//! # What to know
//!
//! - The tokens live for an hour, or less if the account's owner says so. They are refreshed when at most a fifth of the life is left, as
//!   IBM's own libraries do.
//! - There is no refresh token to keep: the key is asked again. (`"refresh_token":"not_supported"` in an answer says just that.)
//! - The test environment (`iam.test.cloud.ibm.com`) does not know production's keys, and the other way round.
//! - A wrong key is a 400 with `BXNIM0415E`, not a 401. What each code asks for is in the error's remedy.
//!
//! IBM documents the exchange under "Generating an IBM Cloud IAM token by using an API key" and in the IAM Identity Services API.

mod api_key;
mod error;

pub use api_key::{ApiKey, ApiKeyBuilder};
