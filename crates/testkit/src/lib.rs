//! A scripted identity provider and resource server: test what your program does when a token dies.
//!
//! | to test | there is |
//! |---|---|
//! | a program that gets tokens over HTTP, in Rust | [`IdentityProvider`], with [`Fault`]s, and [`ResourceServer`] |
//! | the same in another language | [`lab`], or `unexpired lab` on the command line |
//! | code that is given a `TokenManager` or `TokenSource` | [`ScriptedSource`], without a server |
//!
//! Nothing here leaves the machine: all servers listen on loopback. The keys in this crate are public, so its tokens must
//! be trusted nowhere.
//!
//! # Testing your own program
//!
//! Let `fetch` be a function of yours that sends a request with a token, and gets itself a new token when the old one is
//! refused. What does it do when its token is revoked while the identity provider is down?
//!
//! ```
//! use std::io::{Read, Write};
//! use std::time::Duration;
//! use unexpired_testkit::{Endpoint, Fault, IdentityProvider, defaults};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let idp = IdentityProvider::builder().lifetime(Duration::from_secs(60)).blocking_start()?;
//! let api = idp.resource_server();
//! let mut program = Program { token_url: idp.oauth_token_url(), api: format!("{}/items", api.url()), token: None };
//!
//! // The first request mints one token, and the second uses it.
//! assert_eq!((program.fetch(), program.fetch()), (200, 200));
//! idp.assert_mints(1);
//!
//! // The token is taken back, and the identity provider refuses the next request.
//! idp.revoke_all();
//! idp.fault_at(Endpoint::OAuth, Fault::status(503).retry_after("1"));
//! assert_eq!(program.fetch(), 401, "this program does not try again: that is what the test found out");
//! assert_eq!((api.counts().revoked, idp.mints()), (1, 1));
//!
//! // The next one works, and an hour later it needs a new token.
//! assert_eq!(program.fetch(), 200);
//! idp.shift_clock(Duration::from_secs(3600));
//! assert_eq!(program.fetch(), 200);
//! assert_eq!((api.counts().expired, idp.mints()), (1, 3));
//! assert!(idp.requests_at(Endpoint::OAuth).iter().all(|request| request.field("scope") == Some("read")));
//! # Ok(())
//! # }
//! # struct Program { token_url: String, api: String, token: Option<String> }
//! # impl Program {
//! #     fn fetch(&mut self) -> u16 {
//! #         if self.token.is_none() { self.mint(); }
//! #         let status = self.get();
//! #         if status != 401 { return status; }
//! #         self.token = None;
//! #         self.mint();
//! #         if self.token.is_some() { self.get() } else { status }
//! #     }
//! #     fn get(&self) -> u16 {
//! #         let token = self.token.as_deref().unwrap_or_default();
//! #         send(&self.api, "GET", &format!("authorization: Bearer {token}\r\n"), "").0
//! #     }
//! #     fn mint(&mut self) {
//! #         let (id, secret) = (defaults::CLIENT_ID, defaults::CLIENT_SECRET);
//! #         let form = format!("grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=read");
//! #         let header = "content-type: application/x-www-form-urlencoded\r\n";
//! #         let (status, body) = send(&self.token_url, "POST", header, &form);
//! #         let body: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
//! #         self.token = body["access_token"].as_str().filter(|_| status == 200).map(str::to_owned);
//! #     }
//! # }
//! # fn send(url: &str, method: &str, header: &str, body: &str) -> (u16, String) {
//! #     let (host, path) = url["http://".len()..].split_once('/').unwrap();
//! #     let mut stream = std::net::TcpStream::connect(host).unwrap();
//! #     let head = format!("{method} /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n{header}");
//! #     write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).unwrap();
//! #     let mut answer = String::new();
//! #     stream.read_to_string(&mut answer).unwrap();
//! #     let status = answer[9..12].parse().unwrap();
//! #     (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
//! # }
//! ```
//!
//! # Features
//!
//! `https` (default): a listener with TLS. `ring` (default): the crypto backend; without it the program must choose one of
//! `unexpired-crypto`.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod answer;
mod builder;
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
mod scripted;
mod server;
mod shared;
#[cfg(feature = "https")]
mod tls;
mod token;
mod wire;

pub use builder::{IdentityProviderBuilder, SigningAlgorithm};
pub use endpoint::Endpoint;
pub use error::StartError;
pub use fault::{DateFault, ExpiresIn, Fault};
pub use idp::{IdentityProvider, MintedToken};
pub use registry::{Client, ServiceAccount, defaults};
pub use request::RecordedRequest;
pub use resource::{ResourceCounts, ResourceServer, ResourceServerBuilder};
pub use scripted::{ScriptedSource, Step};
