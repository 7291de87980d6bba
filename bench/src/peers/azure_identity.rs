//! `ClientSecretCredential`. It insists on an `https` authority, so its own `Transport` takes the request to the loopback endpoint.

use super::{Peer, Timing, bearer, client};
use crate::endpoint::Endpoint;
use async_trait::async_trait;
use azure_core::credentials::TokenCredential;
use azure_core::error::{Error, ErrorKind};
use azure_core::http::headers::Headers;
use azure_core::http::request::Body;
use azure_core::http::{AsyncRawResponse, ClientOptions, HttpClient, Request, Transport};
use azure_identity::{ClientSecretCredential, ClientSecretCredentialOptions};
use http::HeaderValue;
use std::sync::Arc;

pub struct AzureIdentity(Arc<ClientSecretCredential>);

#[derive(Debug)]
struct ToLoopback {
    client: reqwest::Client,
    url: String,
}

#[async_trait]
impl HttpClient for ToLoopback {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let io = |error: reqwest::Error| Error::with_error(ErrorKind::Io, error, "loopback");
        let mut post = self.client.post(&self.url);
        for (name, value) in request.headers().iter() {
            post = post.header(name.as_str(), value.as_str());
        }
        if let Body::Bytes(bytes) = request.body() {
            post = post.body(bytes.clone());
        }
        let response = post.send().await.map_err(io)?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(io)?;
        Ok(AsyncRawResponse::from_bytes(status.into(), Headers::new(), body))
    }
}

impl Peer for AzureIdentity {
    const NAME: &'static str = "azure_identity";
    const CRATE: &'static str = "azure_identity";
    const TIMING: Timing = Timing::window(300);

    fn new(endpoint: &Endpoint) -> Self {
        let transport = Transport::new(Arc::new(ToLoopback { client: client(), url: endpoint.url() }));
        let options = ClientSecretCredentialOptions {
            client_options: ClientOptions { transport: Some(transport), ..ClientOptions::default() },
        };
        let tenant = "00000000-0000-0000-0000-000000000001";
        Self(ClientSecretCredential::new(tenant, "example".into(), "not-a-secret".into(), Some(options)).unwrap())
    }

    async fn header(&self) -> Result<HeaderValue, String> {
        let token = self.0.get_token(&["https://example.com/.default"], None).await.map_err(|e| e.to_string())?;
        bearer(token.token.secret())
    }
}
