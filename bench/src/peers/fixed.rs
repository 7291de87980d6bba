//! No cache at all, the same header for ever: what the machine and the load themselves do to the times.

use super::{Life, Peer, Timing};
use crate::endpoint::Endpoint;
use http::HeaderValue;

pub struct Fixed(HeaderValue);

impl Peer for Fixed {
    const NAME: &'static str = "*a constant: the machine's own noise*";
    const CRATE: &'static str = "";
    const TIMING: Timing = {
        let life = Life { seconds: 3600, due_from: 1.0, due_by: 1.1 };
        Timing { refresh: life, outage: life, expiry: 2 }
    };

    fn new(_: &Endpoint) -> Self {
        Self(HeaderValue::from_static("Bearer constant"))
    }

    async fn header(&self) -> Result<HeaderValue, String> {
        Ok(self.0.clone())
    }
}
