//! `CustomServiceAccount`, whose key file names the endpoint as `token_uri`.

use super::{Peer, Timing, bearer, service_account_key};
use crate::endpoint::Endpoint;
use gcp_auth::{CustomServiceAccount, TokenProvider};
use http::HeaderValue;

pub struct GcpAuth(CustomServiceAccount);

impl Peer for GcpAuth {
    const NAME: &'static str = "gcp_auth";
    const CRATE: &'static str = "gcp_auth";
    const TIMING: Timing = Timing::window(20);

    fn new(endpoint: &Endpoint) -> Self {
        Self(CustomServiceAccount::from_json(&service_account_key(endpoint).to_string()).unwrap())
    }

    async fn header(&self) -> Result<HeaderValue, String> {
        let token = self.0.token(&["https://www.googleapis.com/auth/cloud-platform"]).await;
        bearer(token.map_err(|error| error.to_string())?.as_str())
    }
}
