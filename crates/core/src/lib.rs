//! The engine of `unexpired`: tokens that are never stale, minted once for everyone who needs them.

pub mod jwt;
pub mod text;

#[cfg(feature = "thread")]
mod background;
mod block;
mod cell;
mod chain;
mod challenge;
mod crowd;
mod error;
mod event;
mod flight;
mod manager;
#[cfg(all(test, unexpired_model))]
mod model;
mod moments;
mod pace;
#[cfg(all(test, not(unexpired_model)))]
mod properties;
#[cfg(feature = "thread")]
pub mod registry;
mod secret;
mod slot;
mod source;
mod store;
mod stored;
#[cfg(feature = "thread")]
mod sys;
#[cfg(feature = "test-clock")]
mod test_clock;
mod time;
mod token;

pub use chain::Chain;
pub use challenge::{AuthChallenge, Challenge, parse_www_authenticate};
pub use error::{Error, ErrorKind, MintError};
pub use event::{Change, Event};
pub use manager::{Answer, Status, Subscription, TokenManager, TokenManagerBuilder, TokenOptions};
pub use moments::{Moments, Phase};
pub use secret::{Secret, SecretSource};
pub use slot::Rejection;
pub use source::{MintRequest, TokenSource};
pub use store::{
    FailureRecord, MemoryStore, Record, RefreshTokenRecord, RejectionRecord, StoreError, StoreGuard, StoreKey,
    SuspicionRecord, TokenRecord, TokenStore,
};
pub use stored::{Refusal, StoredSource};
#[cfg(feature = "test-clock")]
pub use test_clock::TestClock;
#[cfg(feature = "thread")]
pub use time::SystemClock;
pub use time::{Clock, Timestamp};
pub use token::{Digest, Lifetime, Token, TokenBuilder, WindowCap};

/// A boxed future that can cross threads.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;
