//! The loopback proxy of `unexpired`: takes a client's local key, and sends its request on with a token that is fresh.
//!
//! A client is given a URL of this machine and a key that opens one route. It never holds the token, so it cannot hold an expired one:
//!
//! - **Each request gets the token of the moment**, in the one header that the upstream wants. Whatever credential the client sent is taken out.
//! - **A refusal is not the client's affair.** After a 401 the token is replaced and the request is sent again, once, before the client has seen
//!   a byte. Claims challenges reach the mint.
//! - **Never bare.** Without a token there is a clear error in the shape of the API, and no request.
//! - **Streams are streams.** Bodies pass in both directions as they come, without a limit on their time; WebSockets and other upgrades pass too.
//! - **One way in, one way out.** Only loopback or a private socket is listened at, `Host` is checked, a path is appended to the upstream's byte by
//!   byte or refused, and the upstream is the one that was configured.
//!
//! ```no_run
//! use unexpired_proxy::{Listen, LocalKey, Proxy, Route};
//! # async fn run(manager: unexpired_core::TokenManager) -> Result<(), Box<dyn std::error::Error>> {
//! let key = LocalKey::random()?;
//! let route = Route::builder("gov", manager, "https://contoso.openai.azure.us/openai/v1", LocalKey::new(key.clone())).build()?;
//! let proxy = Proxy::builder().route(route).listen(Listen::Port(8639)).bind()?;
//! // OPENAI_BASE_URL=http://127.0.0.1:8639/gov OPENAI_API_KEY=unx-…
//! proxy.serve(async { tokio::signal::ctrl_c().await.unwrap_or_default() }).await?;
//! # Ok(())
//! # }
//! ```

mod admin;
mod answer;
mod body;
mod credential;
mod decode;
mod dial;
mod door;
mod forward;
mod framing;
mod headers;
mod key_file;
mod line;
mod listen;
mod location;
mod metrics;
mod nudge;
mod path;
mod pool;
mod proxy;
mod refusal;
mod replay;
mod route;
mod sys;
mod upgrade;

pub use credential::{KeySource, LocalKey};
pub use key_file::{Door, KeyFile};
pub use listen::{Listen, Place};
pub use metrics::TokenCounts;
pub use proxy::{Proxy, ProxyBuilder};
pub use route::{Route, RouteBuilder};
pub use sys::protect_memory;
