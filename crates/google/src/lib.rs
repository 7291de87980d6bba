//! Tokens from Google Cloud, by the JSON key of a service account.
//!
//! ```
//! use std::sync::Arc;
//! use unexpired_core::Secret;
//! use unexpired_google::ServiceAccount;
//!
//! # fn main() -> Result<(), unexpired_core::MintError> {
//! let key_file = Arc::new(Secret::new(r#"{"type":"service_account","client_email":"…","private_key":"…"}"#));
//! let source = ServiceAccount::builder(key_file).scope("https://www.googleapis.com/auth/cloud-platform").build()?;
//! # let _ = source;
//! # Ok(())
//! # }
//! ```
//!
//! # Two ways from a key to a token
//!
//! | | JWT-bearer grant (RFC 7523, AIP-4112) | self-signed JWT (AIP-4111) |
//! |---|---|---|
//! | request | `POST` of an assertion to the file's `token_uri` | none: the JWT is the token |
//! | for | one or more `scope`s | one or more `scope`s, or the `audience` of one API |
//! | `subject` (domain-wide delegation) | yes | no |
//! | lives | what the server says, an hour as a rule | an hour |
//! | chosen | by default | by [`self_signed`](ServiceAccountBuilder::self_signed), by an [`audience`](ServiceAccountBuilder::audience), and always where the key's `universe_domain` is not `googleapis.com` |
//!
//! # What to know
//!
//! - The key file is read at every mint, so a rotated key takes effect without a restart.
//! - **The assertion's `aud`.** Google's own token hosts get `https://oauth2.googleapis.com/token`, whatever name they are asked by: that is what
//!   Google's Python library signs, and Google accepts. Any other `token_uri` gets itself as `aud`, as RFC 7523 section 3 has it. So an assertion
//!   that was sent to another server cannot be redeemed at Google.
//! - **Clocks.** Google refuses assertions from the future and those older than an hour. `iat` is ten seconds in the past, and the distance of the
//!   server's clock is learnt from its `Date`: a machine whose clock is wrong gets its token at the second attempt.
//! - Keys are the last resort among Google's credentials. Where the program runs on Google Cloud or on a federated platform, nothing needs to be
//!   kept.

mod assertion;
mod error;
mod key_file;
mod service_account;

pub use service_account::{ServiceAccount, ServiceAccountBuilder};
