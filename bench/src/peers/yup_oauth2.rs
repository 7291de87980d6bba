//! `ServiceAccountAuthenticator`, whose key file names the endpoint as `token_uri`.

use super::{Peer, Timing, bearer, service_account_key};
use crate::endpoint::Endpoint;
use http::HeaderValue;
use hyper_util::client::legacy::connect::HttpConnector;
use yup_oauth2::authenticator::Authenticator;
use yup_oauth2::hyper_rustls::HttpsConnector;

pub struct YupOauth2(Authenticator<HttpsConnector<HttpConnector>>);

impl Peer for YupOauth2 {
    const NAME: &'static str = "yup-oauth2";
    const CRATE: &'static str = "yup-oauth2";
    const TIMING: Timing = Timing::window(60);

    fn new(endpoint: &Endpoint) -> Self {
        let key = serde_json::from_value(service_account_key(endpoint)).unwrap();
        let build = yup_oauth2::ServiceAccountAuthenticator::builder(key).build();
        Self(crate::scenario::now(build).unwrap())
    }

    async fn header(&self) -> Result<HeaderValue, String> {
        let token = self.0.token(&["https://www.googleapis.com/auth/cloud-platform"]).await;
        let token = token.map_err(|error| error.to_string())?;
        bearer(token.token().ok_or("no token")?)
    }
}
