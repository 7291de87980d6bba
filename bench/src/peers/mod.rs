//! What is compared: one file each, all behind one trait.

pub mod aws_smithy;
pub mod azure_identity;
pub mod fixed;
pub mod gcp_auth;
pub mod google_cloud_auth;
pub mod object_store;
pub mod reqsign;
pub mod unexpired;
pub mod unexpired_oauth;
pub mod yup_oauth2;

use crate::endpoint::Endpoint;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use http::HeaderValue;
use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

/// A token cache with its own way to the endpoint.
pub trait Peer: Send + Sync + 'static {
    const NAME: &'static str;
    /// The crate whose version is printed.
    const CRATE: &'static str;
    const TIMING: Timing;

    /// Called inside a runtime.
    fn new(endpoint: &Endpoint) -> Self;

    /// The value of the `Authorization` header, as cheaply as the public interface gives it. Not boxed here: whoever boxes, boxes itself.
    fn header(&self) -> impl Future<Output = Result<HeaderValue, String>> + Send;
}

/// Lifetimes that bring a peer into each situation soon, and leave it life enough there. All in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A token of this life is due for refresh between `due_from` and `due_by`, and lives for another second at least.
    pub refresh: Life,
    /// As `refresh`, with more than 8 s of life left at `due_by`.
    pub outage: Life,
    /// A token of this life expires, once it has been accepted by the cache.
    pub expiry: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Life {
    pub seconds: u64,
    pub due_from: f64,
    pub due_by: f64,
}

impl Timing {
    /// For a window of fixed length before expiry: due 2 s after the mint.
    pub const fn window(seconds: u64) -> Self {
        let life = Life { seconds: seconds + 2, due_from: 2.0, due_by: 2.1 };
        Self { refresh: life, outage: life, expiry: 2 }
    }
}

pub fn bearer(token: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|error| error.to_string())?;
    value.set_sensitive(true);
    Ok(value)
}

/// The client of those that come without one.
pub fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap()
}

/// One `client_credentials` request: what peers without a request of their own send. Gives the token and its life, or the status.
pub async fn post(client: &reqwest::Client, url: &str) -> Result<(String, Duration), String> {
    let response = client
        .post(url)
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials&client_id=example&client_secret=not-a-secret&scope=example")
        .send()
        .await
        .map_err(|error| error.to_string())?;
    let status = response.status();
    let body = response.bytes().await.map_err(|error| error.to_string())?;
    if !status.is_success() {
        return Err(format!("status {status}"));
    }
    let body: serde_json::Value = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
    match (body["access_token"].as_str(), body["expires_in"].as_u64()) {
        (Some(token), Some(life)) => Ok((token.to_owned(), Duration::from_secs(life))),
        _ => Err("not a token".to_owned()),
    }
}

/// A Google service-account key whose `token_uri` is the endpoint; its RSA key is made once a process.
pub fn service_account_key(endpoint: &Endpoint) -> serde_json::Value {
    static PEM: OnceLock<String> = OnceLock::new();
    let pem = PEM.get_or_init(|| {
        let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der = key.as_der().unwrap();
        let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        // The label in two parts, so that no scanner takes this line for a key.
        let label = ["PRIVATE", "KEY"].join(" ");
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
    });
    serde_json::json!({
        "type": "service_account",
        "project_id": "example",
        "private_key_id": "1",
        "private_key": pem,
        "client_email": "robot@example.iam.gserviceaccount.com",
        "client_id": "1",
        "auth_uri": endpoint.url(),
        "token_uri": endpoint.url(),
    })
}
