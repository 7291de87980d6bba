//! The credential provider of an Azure store with a client secret; `authority_host` is the endpoint.

use super::{Peer, Timing, bearer};
use crate::endpoint::Endpoint;
use http::HeaderValue;
use object_store::ClientOptions;
use object_store::azure::{AzureCredential, AzureCredentialProvider, MicrosoftAzureBuilder};

pub struct ObjectStore(AzureCredentialProvider);

impl Peer for ObjectStore {
    const NAME: &'static str = "object_store";
    const CRATE: &'static str = "object_store";
    const TIMING: Timing = Timing::window(300);

    fn new(endpoint: &Endpoint) -> Self {
        let store = MicrosoftAzureBuilder::new()
            .with_account("example")
            .with_container_name("example")
            .with_client_id("example")
            .with_client_secret("not-a-secret")
            .with_tenant_id("00000000-0000-0000-0000-000000000001")
            .with_authority_host(format!("http://{}", endpoint.host()))
            .with_client_options(ClientOptions::new().with_allow_http(true))
            .build()
            .unwrap();
        Self(store.credentials().clone())
    }

    async fn header(&self) -> Result<HeaderValue, String> {
        match &*self.0.get_credential().await.map_err(|error| error.to_string())? {
            AzureCredential::BearerToken(token) => bearer(token),
            _ => Err("not a bearer token".to_owned()),
        }
    }
}
