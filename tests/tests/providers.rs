//! Each provider through ten lifetimes, with an outage and a revocation, on a clock that is driven: the resource server refuses no token but the
//! revoked one, and that one once.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unexpired_core::*;
use unexpired_entra::ClientSecret;
use unexpired_google::ServiceAccount;
use unexpired_ibm::ApiKey;
use unexpired_oauth::{ClientCredentials, Server};
use unexpired_testkit::{Endpoint, Fault, IdentityProvider, ResourceServer, defaults};
use unexpired_tests::http::{Answer, Request};

#[tokio::test]
async fn entra() {
    every_request_is_accepted(Endpoint::Entra, |idp| {
        ClientSecret::builder(defaults::TENANT, defaults::CLIENT_ID, secret(defaults::CLIENT_SECRET))
            .authority(idp.entra_authority())
            .scope(defaults::ENTRA_SCOPE)
            .build()
            .unwrap()
    })
    .await;
}

#[tokio::test]
async fn google() {
    every_request_is_accepted(Endpoint::Google, |idp| {
        ServiceAccount::builder(Arc::new(idp.service_account_json())).scope(defaults::GOOGLE_SCOPE).build().unwrap()
    })
    .await;
}

#[tokio::test]
async fn ibm() {
    every_request_is_accepted(Endpoint::Ibm, |idp| {
        ApiKey::builder(secret(defaults::API_KEY)).endpoint(idp.ibm_endpoint()).build().unwrap()
    })
    .await;
}

#[tokio::test]
async fn oauth() {
    every_request_is_accepted(Endpoint::OAuth, |idp| {
        ClientCredentials::builder(Server::token_url(&idp.oauth_token_url()).unwrap(), defaults::CLIENT_ID)
            .client_secret(secret(defaults::CLIENT_SECRET))
            .scope("read")
            .build()
            .unwrap()
    })
    .await;
}

/// Nobody is asked, so the outage is seen by nobody. Nobody can take such a token back, so the resource server refuses one.
#[tokio::test]
async fn google_self_signed() {
    let world = World::new(Duration::from_secs(3_600));
    world.idp.outage(world.life * 20);
    let key = Arc::new(world.idp.service_account_json());
    let manager = world.manager(ServiceAccount::builder(key).self_signed(true).build().unwrap());
    let mut tokens = HashSet::new();
    for step in 0..10 * STEPS {
        if step == 7 * STEPS {
            world.api.refuse_next(1);
        }
        tokens.insert(world.request(&manager).await);
        world.step(&manager);
    }
    assert!((11..=16).contains(&tokens.len()), "{} tokens in ten lifetimes and after a refusal", tokens.len());
    let counts = world.api.counts();
    assert_eq!((counts.refused, counts.unauthorized()), (1, 1), "{counts:?}");
    assert_eq!(counts.ok, usize::try_from(10 * STEPS).unwrap());
    assert_eq!(world.token_requests(Endpoint::Google), (0, 0));
}

/// Ten lifetimes of a token as servers give it, and of one that lives for three seconds.
async fn every_request_is_accepted<S: TokenSource>(endpoint: Endpoint, source: impl Fn(&IdentityProvider) -> S) {
    for life in [Duration::from_secs(3_600), Duration::from_secs(3)] {
        let world = World::new(life);
        let manager = world.manager(source(&world.idp));
        let mut tokens = HashSet::new();
        let (mut outage, mut revoked) = (false, false);
        for _ in 0..10 * STEPS {
            let token = world.request(&manager).await;
            tokens.insert(token);
            let age = world.age(&manager);
            if tokens.len() == 4 && age > 0.7 && !outage {
                // It begins before the token is due and ends before the token does.
                outage = true;
                world.idp.fault_at(endpoint, Fault::status(503).lasting(life.mul_f64(0.88 - age)));
            }
            if tokens.len() == 8 && age > 0.3 && !revoked {
                revoked = true;
                assert!(world.idp.revoke_all() >= 8);
            }
            world.step(&manager);
        }
        assert!(outage && revoked);
        assert!((11..=16).contains(&tokens.len()), "{} tokens in ten lifetimes and after a revocation", tokens.len());
        let counts = world.api.counts();
        assert_eq!((counts.revoked, counts.unauthorized()), (1, 1), "{life:?}: {counts:?}");
        assert_eq!(counts.ok, usize::try_from(10 * STEPS).unwrap(), "{life:?}: {counts:?}");
        let (good, failed) = world.token_requests(endpoint);
        assert!((1..=10).contains(&failed), "{life:?}: {failed} requests in the outage");
        // Each mint was worth it: its token was used.
        let status = manager.status();
        assert_eq!((status.mints, world.idp.mints_at(endpoint)), (good, tokens.len()), "{life:?}");
        assert_eq!(status.failures, failed, "{life:?}");
    }
}

/// A clock, and a server and a manager that live by it.
struct World {
    clock: TestClock,
    idp: IdentityProvider,
    api: ResourceServer,
    life: Duration,
}

impl World {
    fn new(life: Duration) -> Self {
        let clock = TestClock::new();
        let idp = IdentityProvider::builder().lifetime(life).clock(Arc::new(clock.clone())).blocking_start().unwrap();
        Self { api: idp.resource_server(), clock, idp, life }
    }

    fn manager(&self, source: impl TokenSource) -> TokenManager {
        TokenManager::builder("driven", source).clock(Arc::new(self.clock.clone())).build()
    }

    /// One request, and the one more that a client sends after a refusal, which must be accepted. The token that was, by its fingerprint.
    async fn request(&self, manager: &TokenManager) -> String {
        let token = manager.token().await.unwrap();
        let answer = self.send(&token);
        if answer.status == 200 {
            manager.accepted(&token, HOST);
            return token.fingerprint();
        }
        let challenge = Challenge::of(answer.status, answer.header("www-authenticate"));
        let replacement = manager.replacement(&token, HOST, &challenge).await.unwrap();
        assert_ne!(replacement.secret(), token.secret());
        assert_eq!(self.send(&replacement).status, 200, "the replacement is refused");
        manager.accepted(&replacement, HOST);
        replacement.fingerprint()
    }

    fn send(&self, token: &Token) -> Answer {
        let expires_at = jwt::Times::of(token.secret()).exp.unwrap();
        let now = self.clock.now().system_time().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!(expires_at > now, "an expired token was handed out");
        Request::get(self.api.url()).header("authorization", token.authorization().to_str().unwrap()).send().unwrap()
    }

    /// How much of the current token's life is over, from 0 to 1.
    fn age(&self, manager: &TokenManager) -> f64 {
        let moments = *manager.status().token.unwrap().moments();
        self.clock.now().since(moments.minted_at).as_secs_f64() / self.life.as_secs_f64()
    }

    /// Lets time pass, but none while a refresh is under way: real requests take no time on this clock.
    fn step(&self, manager: &TokenManager) {
        let end = Instant::now() + Duration::from_secs(30);
        while manager.status().refreshing {
            assert!(Instant::now() < end, "the refresh does not end");
            std::thread::yield_now();
        }
        self.clock.advance(self.life / STEPS);
    }

    /// How many requests to the endpoint were answered with 200, and how many were not.
    fn token_requests(&self, endpoint: Endpoint) -> (u64, u64) {
        let requests = self.idp.requests_at(endpoint);
        let good = requests.iter().filter(|request| request.status() == Some(200)).count() as u64;
        (good, requests.len() as u64 - good)
    }
}

fn secret(text: &str) -> Arc<Secret> {
    Arc::new(Secret::new(text))
}

/// Of a lifetime.
const STEPS: u32 = 60;

const HOST: &str = "api.example";
