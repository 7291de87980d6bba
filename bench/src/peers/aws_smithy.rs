//! The lazy identity cache of the AWS SDKs, with a resolver that posts by the same client as the others: the crate brings none.

use super::{Life, Peer, Timing, bearer, client, post};
use crate::endpoint::Endpoint;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_async::time::SystemTimeSource;
use aws_smithy_runtime::client::identity::IdentityCache;
use aws_smithy_runtime_api::client::identity::http::Token;
use aws_smithy_runtime_api::client::identity::{
    Identity, IdentityFuture, ResolveCachedIdentity, ResolveIdentity, SharedIdentityCache, SharedIdentityResolver,
};
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::config_bag::ConfigBag;
use http::HeaderValue;
use std::time::{Duration, SystemTime};

pub struct AwsSmithy {
    cache: SharedIdentityCache,
    resolver: SharedIdentityResolver,
    components: RuntimeComponents,
    config: ConfigBag,
}

#[derive(Debug)]
struct Resolver {
    client: reqwest::Client,
    url: String,
}

impl ResolveIdentity for Resolver {
    fn resolve_identity<'a>(&'a self, _: &'a RuntimeComponents, _: &'a ConfigBag) -> IdentityFuture<'a> {
        IdentityFuture::new(async {
            let now = SystemTime::now();
            let (token, life) = post(&self.client, &self.url).await?;
            Ok(Identity::new(Token::new(token, Some(now + life)), Some(now + life)))
        })
    }
}

impl Peer for AwsSmithy {
    const NAME: &'static str = "aws-smithy-runtime (lazy cache)";
    const CRATE: &'static str = "aws-smithy-runtime";
    /// The buffer, of which up to half is taken off at random: due between 20 and 10 s before expiry.
    const TIMING: Timing = {
        let life = Life { seconds: 22, due_from: 2.0, due_by: 12.1 };
        Timing { refresh: life, outage: life, expiry: 2 }
    };

    fn new(endpoint: &Endpoint) -> Self {
        // 10 s by default: an outage of 8 s would outlast the token.
        let cache = IdentityCache::lazy().buffer_time(Duration::from_secs(20)).build();
        let components = RuntimeComponentsBuilder::for_tests()
            .with_identity_cache(Some(cache.clone()))
            .with_time_source(Some(SystemTimeSource::new()))
            .with_sleep_impl(Some(TokioSleep::new()))
            .build()
            .unwrap();
        let resolver = SharedIdentityResolver::new(Resolver { client: client(), url: endpoint.url() });
        Self { cache, resolver, components, config: ConfigBag::base() }
    }

    async fn header(&self) -> Result<HeaderValue, String> {
        let identity = self.cache.resolve_cached_identity(self.resolver.clone(), &self.components, &self.config).await;
        let identity = identity.map_err(|error| error.to_string())?;
        bearer(identity.data::<Token>().ok_or("no token")?.token())
    }
}
