//! User-account credentials: of the credentials of this crate that ask an endpoint, the one whose `token_uri` can be set.

use super::{Life, Peer, Timing};
use crate::endpoint::Endpoint;
use google_cloud_auth::credentials::{CacheableResource, Credentials, user_account};
use http::{Extensions, HeaderValue, header};

pub struct GoogleCloudAuth(Credentials);

impl Peer for GoogleCloudAuth {
    const NAME: &'static str = "google-cloud-auth";
    const CRATE: &'static str = "google-cloud-auth";
    /// Its task refreshes 240 s before expiry, and every 10 s if the token lives no longer than that.
    const TIMING: Timing = {
        let life = Life { seconds: 242, due_from: 2.0, due_by: 2.1 };
        Timing { refresh: life, outage: life, expiry: 12 }
    };

    fn new(endpoint: &Endpoint) -> Self {
        let user = serde_json::json!({
            "type": "authorized_user",
            "client_id": "example",
            "client_secret": "not-a-secret",
            "refresh_token": "not-a-token",
        });
        Self(user_account::Builder::new(user).with_token_uri(endpoint.url()).build().unwrap())
    }

    async fn header(&self) -> Result<HeaderValue, String> {
        match self.0.headers(Extensions::new()).await.map_err(|error| error.to_string())? {
            CacheableResource::New { mut data, .. } => {
                data.remove(header::AUTHORIZATION).ok_or_else(|| "no header".to_owned())
            }
            CacheableResource::NotModified => Err("not modified".to_owned()),
        }
    }
}
