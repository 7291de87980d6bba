//! The harness of the tests across crates: it starts real identity servers and vendor SDKs that this project did not
//! write, on loopback, each in a home of its own.
//!
//! ```no_run
//! use unexpired_tests::servers::{CLIENT_BASIC, OidcProvider, SECRET};
//!
//! let Some(server) = OidcProvider::start() else { return }; // not installed: counted as skipped
//! println!("{} {CLIENT_BASIC} {SECRET}", server.token_endpoint());
//! ```
//!
//! `tests/servers/setup` installs them; `tests/README.md` tells the rest.

#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "only tests use this; a panic is how a test harness reports"
)]

#[cfg(target_os = "linux")]
pub mod agents;
mod anthropic;
pub mod cli;
pub mod clients;
mod gemini;
pub mod http;
pub mod model;
mod openai;
mod presence;
mod process;
pub mod resource;
pub mod sdk;
pub mod servers;
pub mod tls;

pub use presence::{Found, record};
