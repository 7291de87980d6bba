//! A scripted identity provider and resource server: test what your program does when a token dies.

mod answer;
mod clock;
mod endpoint;
mod error;
mod fault;
mod folder;
mod idp;
pub mod lab;
mod refresh;
mod registry;
mod request;
mod resource;
mod server;
mod shared;
#[cfg(feature = "https")]
mod tls;
mod token;
mod wire;

pub use endpoint::Endpoint;
pub use error::StartError;
pub use fault::{DateFault, ExpiresIn, Fault};
pub use idp::{IdentityProvider, IdentityProviderBuilder, MintedToken, SigningAlgorithm};
pub use registry::{Client, ServiceAccount, defaults};
pub use request::RecordedRequest;
pub use resource::{ResourceCounts, ResourceServer, ResourceServerBuilder};
