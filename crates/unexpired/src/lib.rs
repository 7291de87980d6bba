//! Cloud bearer tokens that are never stale: minted natively, kept fresh, handed out.
//!
//! ```
//! # #[cfg(feature = "entra")] {
//! use std::sync::Arc;
//! use unexpired::{SecretRef, TokenManager, entra};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let secret = Arc::new(SecretRef::file("/run/secrets/corp"));
//! let source = entra::ClientSecret::builder("contoso.onmicrosoft.us", "aaaaaaaa-0000-4000-8000-000000000001", secret)
//!     .cloud(entra::Cloud::UsGovernment)
//!     .scope("https://cognitiveservices.azure.us/.default")
//!     .build()?;
//! let corp = TokenManager::builder("corp", source).build();
//!
//! let authorization = corp.authorization().await?; // before every request: a load and a compare
//! # let _ = authorization;
//! # Ok(())
//! # }
//! # }
//! ```
//!
//! # How to use it
//!
//! 1. **Make a source**: one kind of credential, such as [`entra::ClientSecret`], [`google::ServiceAccount`], [`ibm::ApiKey`],
//!    [`oauth::ClientCredentials`], [`oauth::RefreshToken`], or a program that prints tokens (`command::Command`). A [`Chain`] makes one source of
//!    several. [`env::source`] makes one of a vendor's own environment variables, and `config::Config` of a configuration file. Anything else is an
//!    implementation of [`TokenSource`]: one method.
//! 2. **Give it to a [`TokenManager`]**, once, and keep that. It is cheap to clone and needs no runtime of yours.
//! 3. **Ask before every request**: [`authorization()`](TokenManager::authorization) for the header's value, [`token()`](TokenManager::token) for the
//!    token, [`blocking_token()`](TokenManager::blocking_token) without asynchronous code. Do not keep what you get.
//! 4. **After a 401** ask for a [`replacement()`](TokenManager::replacement) with the response's [`Challenge`], and repeat the request once.
//!
//! Middleware does the last two for a client of yours: see [`HostPattern`] and the features `reqwest-middleware`, `tower` and `tonic`. For thousands of
//! tokens at once there is a [`registry`].
//!
//! # The contract
//!
//! - **Never expired.** Nobody is handed a token past its use, or one that was reported rejected. Whichever of the wall clock and the boot clock
//!   says that it is over is believed, so a laptop that slept hands out no token of yesterday.
//! - **Never waiting.** While a token has life in it nobody waits for the network and nobody sees an error: not while a refresh runs, not while
//!   it fails, not during an outage. Two exceptions, both bounded: who starts a refresh in the last tenth of the life waits for it at most 2 s, and
//!   who asks for a `min_ttl` waits for a token that has it.
//! - **Never twice.** One mint serves every task and thread that needs it, and one failure too. A caller that is dropped cancels its wait, never
//!   the mint.
//! - **Never without.** Where no token can be had there is an error that says what failed, at which host, and what to do. An empty header is
//!   never handed out. Nothing is dead for ever: the next attempt has a time, and a replaced secret file is noticed.
//! - **Never shown.** A secret is in no log, no error and no `Debug`; it is sent to the host that it is for, and its memory is wiped.
//!
//! # Defaults, and why
//!
//! | what | default | why |
//! |---|---|---|
//! | refresh | at a quarter of the life before the end, at most 60 min; when the server says so (`refresh_in`), if it does | an outage has that long to pass unnoticed |
//! | last use | min(10 s, 1/20 of the life) before the end | the request must arrive while the token is good |
//! | failures | tried again after 1 s, doubling to 60 s; refusals after 5 s, doubling to 60 s; `Retry-After` is obeyed | an endpoint in trouble is not pressed |
//! | fallbacks | step in when the first is not configured, unreachable, late or makes no sense; not when it refuses | a wrong secret should be noticed |
//! | certificate authorities | the system's, and `SSL_CERT_FILE` | companies inspect TLS |
//! | time | 5 s to connect, 20 s for a mint | no caller hangs for ever |
//! | redirects | not followed | a secret goes where it was addressed to, or nowhere |
//! | cryptography | `ring`, as the features say; never the process-wide default of `rustls` | two libraries in one program do not quarrel |
//!
//! # Features
//!
//! A feature adds API and changes nothing that is there.
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `ring` | yes | signatures, digests and TLS by `ring` |
//! | `aws-lc-rs` | | the same by `aws-lc-rs`; where both are on, `ring` is used |
//! | `fips` | | the same by the FIPS 140-3 validated build of `aws-lc-rs`; it wins over both |
//! | `entra` | yes | [`entra`]: Microsoft Entra ID in all its national clouds |
//! | `google` | yes | [`google`]: the key of a Google service account |
//! | `ibm` | yes | [`ibm`]: IBM Cloud IAM by an API key |
//! | `oauth` | yes | [`oauth`]: any OAuth 2.0 server, by client credentials or by a refresh token |
//! | `command` | | `command`: tokens and secrets that another program prints |
//! | `store` | | `store`: crash-safe files for refresh tokens |
//! | `keyring` | | the operating system's keyring: `store::FileStore::open_keyring`, `SecretRef::Keyring`; brings `store` |
//! | `config` | | `config`: the configuration file; brings all of the above but the backends and the keyring |
//! | `reqwest-middleware` | | `reqwest`: a middleware for `reqwest` 0.13, by `reqwest-middleware` 0.5 |
//! | `tower` | | `tower`: a layer for every HTTP client that is a `tower` service |
//! | `tonic` | | `tonic`: a layer and an interceptor for gRPC clients, by `tonic` 0.14; brings `tower` |
//!
//! Exactly one backend is needed; without `ring`, `aws-lc-rs` and `fips` nothing can be signed and no TLS connection made.

/// The Rust of the README and of the providers' guides is compiled, and what can run runs.
#[cfg(all(doctest, feature = "config"))]
mod guides {
    #[doc = include_str!("../../../README.md")]
    struct Readme;
    #[doc = include_str!("../../../docs/providers/command.md")]
    struct Command;
    #[doc = include_str!("../../../docs/providers/entra.md")]
    struct Entra;
    #[doc = include_str!("../../../docs/providers/google.md")]
    struct Google;
    #[doc = include_str!("../../../docs/providers/ibm.md")]
    struct Ibm;
    #[doc = include_str!("../../../docs/providers/oauth.md")]
    struct OAuth;
    #[doc = include_str!("../../../docs/providers/testkit.md")]
    struct Testkit;
}

/// The examples of the guide.
#[cfg(all(doctest, feature = "entra", feature = "reqwest-middleware", feature = "tonic"))]
#[doc = include_str!("../../../docs/library.md")]
struct Guide;

mod hosts;
mod secret_ref;
mod sys;

#[cfg(feature = "config")]
pub mod config;
#[cfg(any(feature = "entra", feature = "google", feature = "ibm", feature = "oauth"))]
pub mod env;
#[cfg(any(feature = "reqwest-middleware", feature = "tower"))]
mod host_token;
#[cfg(feature = "reqwest-middleware")]
pub mod reqwest;
#[cfg(feature = "tonic")]
pub mod tonic;
#[cfg(feature = "tower")]
pub mod tower;

#[cfg(any(feature = "reqwest-middleware", feature = "tower"))]
pub use host_token::HostToken;
pub use hosts::{HostPattern, hosts_allow};
pub use secret_ref::SecretRef;
pub use unexpired_core::*;
/// The cryptography that was compiled in: `ring`, `aws-lc-rs`, `aws-lc-rs (fips)` or `none`.
pub use unexpired_crypto::backend as crypto_backend;

#[cfg(feature = "command")]
#[doc(inline)]
pub use unexpired_command as command;
#[cfg(feature = "entra")]
#[doc(inline)]
pub use unexpired_entra as entra;
#[cfg(feature = "google")]
#[doc(inline)]
pub use unexpired_google as google;
#[cfg(any(feature = "entra", feature = "google", feature = "ibm", feature = "oauth"))]
#[doc(inline)]
pub use unexpired_http as http;
#[cfg(feature = "ibm")]
#[doc(inline)]
pub use unexpired_ibm as ibm;
#[cfg(feature = "oauth")]
#[doc(inline)]
pub use unexpired_oauth as oauth;
#[cfg(feature = "store")]
#[doc(inline)]
pub use unexpired_store as store;
