//! The Google signer with the metadata source, whose host can be set. It puts the header into a request; there is no way to ask for the
//! token alone, so the smallest request is signed.

use super::{Peer, Timing, client};
use crate::endpoint::Endpoint;
use http::request::Parts;
use http::{HeaderValue, Request, header};
use reqsign_core::{Context, Signer};
use reqsign_google::{Credential, RequestSigner, VmMetadataCredentialProvider};
use reqsign_http_send_reqwest::ReqwestHttpSend;

pub struct Reqsign {
    signer: Signer<Credential>,
    request: Parts,
}

impl Peer for Reqsign {
    const NAME: &'static str = "reqsign (Google)";
    const CRATE: &'static str = "reqsign-core";
    /// A token must live for more than 10 s to be accepted at all.
    const TIMING: Timing = Timing { expiry: 12, ..Timing::window(120) };

    fn new(endpoint: &Endpoint) -> Self {
        let context = Context::new().with_http_send(ReqwestHttpSend::new(client()));
        let source = VmMetadataCredentialProvider::new().with_endpoint(endpoint.host());
        let signer = Signer::new(context, source, RequestSigner::new("storage"));
        let request = Request::get("https://storage.googleapis.com/b").body(()).unwrap().into_parts().0;
        Self { signer, request }
    }

    async fn header(&self) -> Result<HeaderValue, String> {
        let mut request = self.request.clone();
        self.signer.sign(&mut request, None).await.map_err(|error| error.to_string())?;
        request.headers.remove(header::AUTHORIZATION).ok_or_else(|| "no header".to_owned())
    }
}
