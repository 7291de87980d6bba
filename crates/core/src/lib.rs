//! The engine of `unexpired`: tokens that are never stale, minted once for everyone who needs them.

pub mod jwt;
pub mod text;

#[cfg(feature = "thread")]
mod background;
mod error;
mod moments;
mod secret;
mod source;
mod store;
#[cfg(feature = "thread")]
mod sys;
mod time;
mod token;

pub use error::{Error, ErrorKind, MintError};
pub use moments::{Moments, Phase};
pub use secret::{Secret, SecretSource};
pub use source::{MintRequest, TokenSource};
pub use store::{MemoryStore, Record, RefreshTokenRecord, StoreError, StoreGuard, StoreKey, TokenStore};
#[cfg(feature = "thread")]
pub use time::SystemClock;
pub use time::{Clock, Timestamp};
pub use token::{Digest, Lifetime, Token, TokenBuilder, WindowCap};

/// A boxed future that can cross threads.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;
