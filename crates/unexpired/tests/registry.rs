//! A gateway: it hands the tokens of a registry on to others, who use what they were given last. The resource server refuses expired tokens.
#![cfg(all(feature = "oauth", feature = "reqwest-middleware"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod support;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::LIFE;
use unexpired::oauth::{ClientCredentials, Server};
use unexpired::registry::{Registry, Revision, Revisions, What};
use unexpired::{Challenge, Clock as _, ErrorKind, Secret, TestClock, Token, TokenManager};
use unexpired_testkit::{Client, IdentityProvider, ResourceServer};

const TENANTS: usize = 12;
const STEPS: u32 = 30;

#[tokio::test]
async fn whoever_uses_what_was_published_last_is_refused_by_nobody() {
    let mut gateway = Gateway::new();
    let (mut outage, mut revoked) = (false, false);
    for step in 0..10 * STEPS {
        gateway.hand_on();
        assert_eq!(gateway.holders.len(), TENANTS);
        for n in 0..TENANTS {
            let name = format!("tenant-{n}");
            let token = gateway.holders[&name].clone();
            if gateway.call(&token).await == 200 {
                continue;
            }
            // The gateway reports it; the new token is published without anybody asking.
            assert!(revoked, "{name} at step {step}");
            gateway.registry.manager(&name).unwrap().reject(&token, "api", &Challenge::Plain);
            while gateway.holders[&name].fingerprint() == token.fingerprint() {
                let revision = gateway.revisions.changed().await.unwrap();
                gateway.take(revision);
            }
            assert_eq!(gateway.call(&gateway.holders[&name]).await, 200, "{name} at step {step}");
        }
        let oldest = gateway.holders.values().map(|token| token.moments().minted_at).min_by_key(|at| at.boot_nanos());
        let age = gateway.clock.now().since(oldest.unwrap()).as_secs_f64() / LIFE.as_secs_f64();
        if step > 3 * STEPS && !outage && age < 0.2 {
            outage = true;
            // It begins before any token is due, and ends shortly before the oldest does.
            gateway.idp.outage(LIFE.mul_f64(0.88 - age));
        }
        if step == 7 * STEPS {
            revoked = true;
            assert!(gateway.idp.revoke_all() >= TENANTS);
        }
        gateway.clock.advance(LIFE / STEPS);
        gateway.settle();
    }
    let failures: u64 = gateway.registry.statuses().iter().map(|status| status.failures).sum();
    assert!(outage && failures >= TENANTS as u64, "the outage was met: {failures}");
    let counts = gateway.api.counts();
    // Those that were due anyway had another one already.
    assert!((1..=TENANTS).contains(&counts.revoked), "each revoked token at most once: {counts:?}");
    assert_eq!(counts.unauthorized(), counts.revoked, "{counts:?}");
    let mints = gateway.idp.mints();
    assert!((10 * TENANTS..=17 * TENANTS).contains(&mints), "{mints} mints for {TENANTS} tenants in ten lifetimes");
}

#[tokio::test]
async fn a_tenant_whose_secret_is_wrong_harms_nobody_and_heals() {
    let gateway = Gateway::new();
    gateway.idp.unregister("client-3");
    for _ in 0..3 * STEPS {
        gateway.clock.advance(LIFE / STEPS);
        gateway.settle();
    }
    for status in gateway.registry.statuses() {
        let sick = &*status.name == "tenant-3";
        assert_eq!(gateway.registry.cached(&status.name).is_none(), sick, "{status:?}");
        assert_eq!(status.last_error.map(|error| error.kind()), sick.then_some(ErrorKind::Denied));
    }
    gateway.idp.register(Client::confidential("client-3", "secret-of-3"));
    gateway.clock.advance(Duration::from_secs(15 * 60));
    gateway.settle();
    assert!(gateway.registry.cached("tenant-3").is_some());
    gateway.idp.assert_not_shown(&format!("{:?}", gateway.registry.statuses()));
}

struct Gateway {
    clock: TestClock,
    idp: IdentityProvider,
    api: ResourceServer,
    registry: Registry,
    revisions: Revisions,
    http: reqwest::Client,
    /// What was published last.
    holders: HashMap<String, Token>,
}

impl Gateway {
    fn new() -> Self {
        let clock = TestClock::new();
        let mut idp = IdentityProvider::builder().lifetime(LIFE).clock(Arc::new(clock.clone()));
        for n in 0..TENANTS {
            idp = idp.client(Client::confidential(format!("client-{n}"), format!("secret-of-{n}")));
        }
        let idp = idp.blocking_start().unwrap();
        let registry = Registry::builder().clock(Arc::new(clock.clone())).max_mints(4).build();
        for n in 0..TENANTS {
            let server = Server::token_url(&idp.oauth_token_url()).unwrap();
            let source = ClientCredentials::builder(server, &format!("client-{n}"))
                .client_secret(Arc::new(Secret::new(format!("secret-of-{n}"))))
                .build()
                .unwrap();
            registry.insert(TokenManager::builder(format!("tenant-{n}"), source));
        }
        let _ = rustls::crypto::ring::default_provider().install_default();
        let gateway = Self {
            clock,
            api: idp.resource_server(),
            idp,
            revisions: registry.subscribe_from(0),
            registry,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            holders: HashMap::new(),
        };
        gateway.settle();
        gateway
    }

    /// Until nothing is under way that does not wait for time to pass.
    fn settle(&self) {
        let end = Instant::now() + Duration::from_secs(30);
        let now = self.clock.now().system_time();
        let quiet = || {
            let statuses = self.registry.statuses();
            statuses
                .iter()
                .all(|status| !status.refreshing && !status.waiting && status.next_refresh.is_some_and(|at| at > now))
        };
        // Then nothing sleeps but the registry itself.
        while !quiet() || self.clock.sleepers() != 1 {
            assert!(Instant::now() < end, "{:?}", self.registry.statuses());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn hand_on(&mut self) {
        if let Some(revision) = self.revisions.latest() {
            self.take(revision);
        }
    }

    fn take(&mut self, revision: Revision) {
        for change in revision.changes {
            if change.what == What::Refreshed {
                self.holders.insert(change.name.to_string(), self.registry.cached(&change.name).unwrap());
            }
        }
    }

    async fn call(&self, token: &Token) -> u16 {
        let request = self.http.get(self.api.url()).header("authorization", token.authorization());
        request.send().await.unwrap().status().as_u16()
    }
}
