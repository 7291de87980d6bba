//! A clock, an identity provider and a resource server that live by it, and what must hold for every middleware.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "each test file uses its part; tests may fail loudly"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};
use unexpired::oauth::{ClientCredentials, Server};
use unexpired::{BoxFuture, Clock as _, ErrorKind, HostPattern, HostToken, Secret, TestClock, TokenManager};
use unexpired_testkit::{Endpoint, Fault, IdentityProvider, ResourceServer, defaults};

pub struct World {
    pub clock: TestClock,
    pub idp: IdentityProvider,
    pub api: ResourceServer,
    pub manager: TokenManager,
}

/// Sends a POST with a little body to a URL: the status that the caller sees, or why there is none.
pub type Call = Arc<dyn Fn(String) -> BoxFuture<'static, Result<u16, unexpired::Error>> + Send + Sync>;

pub const LIFE: Duration = Duration::from_secs(60);

impl World {
    pub fn new() -> Self {
        let clock = TestClock::new();
        let idp = IdentityProvider::builder().lifetime(LIFE).clock(Arc::new(clock.clone())).blocking_start().unwrap();
        let source =
            ClientCredentials::builder(Server::token_url(&idp.oauth_token_url()).unwrap(), defaults::CLIENT_ID)
                .client_secret(Arc::new(Secret::new(defaults::CLIENT_SECRET)))
                .scope("read")
                .build()
                .unwrap();
        let manager = TokenManager::builder("corp", source).clock(Arc::new(clock.clone())).build();
        Self { api: idp.resource_server(), clock, idp, manager }
    }

    /// The manager's token for this machine.
    pub fn token(&self) -> HostToken {
        HostToken::new(self.manager.clone(), [HostPattern::parse("127.0.0.1").unwrap()])
    }

    pub fn url(&self) -> String {
        format!("{}/items", self.api.url())
    }

    /// Lets time pass, but none while a refresh is under way: real requests take no time on this clock.
    pub fn step(&self, by: Duration) {
        let end = Instant::now() + Duration::from_secs(30);
        while self.manager.status().refreshing {
            assert!(Instant::now() < end, "the refresh does not end");
            std::thread::yield_now();
        }
        self.clock.advance(by);
    }

    /// How much of the token's life is over, from 0 to 1.
    pub fn age(&self) -> f64 {
        let minted_at = self.manager.status().token.unwrap().moments().minted_at;
        self.clock.now().since(minted_at).as_secs_f64() / LIFE.as_secs_f64()
    }

    /// The values of a header in the requests to all resource servers, oldest first; `None` where it was absent.
    pub fn seen(&self, header: &str) -> Vec<Option<String>> {
        let requests = self.idp.requests_at(Endpoint::Resource);
        requests.iter().map(|request| request.header(header).map(str::to_owned)).collect()
    }
}

/// All that must hold, whatever the client. `client` makes one of a token.
pub async fn everything_that_holds(client: impl Fn(HostToken) -> Call) {
    no_refusal_is_seen_through_lifetimes_an_outage_and_a_revocation(&client).await;
    a_hundred_refusals_cost_one_mint(&client).await;
    claims_reach_the_mint(&client).await;
    what_a_new_token_does_not_help_passes(&client).await;
    without_a_token_nothing_is_sent(&client).await;
    hosts_that_are_not_named_see_no_token(&client).await;
    the_header_has_the_shape_that_was_asked_for(&client).await;
}

async fn no_refusal_is_seen_through_lifetimes_an_outage_and_a_revocation(client: &impl Fn(HostToken) -> Call) {
    const STEPS: u32 = 40;
    let world = World::new();
    let call = client(world.token());
    let mut outage = false;
    for step in 0..20 * STEPS {
        if step >= 5 * STEPS && !outage && world.age() < 0.05 {
            // It begins before the token is due, and ends shortly before the token does.
            outage = true;
            world.idp.outage(LIFE.mul_f64(0.88 - world.age()));
        }
        if step == 10 * STEPS {
            assert!(world.idp.revoke_all() > 5);
        }
        assert_eq!(call(world.url()).await.unwrap(), 200, "step {step}");
        world.step(LIFE / STEPS);
    }
    assert!(outage && world.manager.status().failures >= 3, "the outage was met");
    let counts = world.api.counts();
    assert_eq!((counts.revoked, counts.unauthorized()), (1, 1), "only the revocation was met, once: {counts:?}");
    assert_eq!(counts.ok, 20 * STEPS as usize);
    assert!((21..=40).contains(&world.idp.mints()), "{} mints in 20 lifetimes", world.idp.mints());
}

async fn a_hundred_refusals_cost_one_mint(client: &impl Fn(HostToken) -> Call) {
    let world = World::new();
    let call = client(world.token());
    assert_eq!(call(world.url()).await.unwrap(), 200);
    world.idp.revoke_all();
    // The mint is slow enough for all of them to come back with their 401.
    world.idp.fault_at(Endpoint::OAuth, Fault::delay(Duration::from_millis(500)).times(1));
    let calls: Vec<_> = (0..100).map(|_| tokio::spawn(call(world.url()))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 200);
    }
    world.idp.assert_mints(2);
    assert!((1..=100).contains(&world.api.counts().revoked));
    // Nothing is held against the host: the next revocation is met in the same way.
    world.idp.revoke_all();
    assert_eq!(call(world.url()).await.unwrap(), 200);
    world.idp.assert_mints(3);
}

async fn claims_reach_the_mint(client: &impl Fn(HostToken) -> Call) {
    const CLAIMS: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1767225600"}}}"#;
    let world = World::new();
    let call = client(world.token());
    assert_eq!(call(world.url()).await.unwrap(), 200);
    world.api.demand_claims(Some(CLAIMS));
    assert_eq!(call(world.url()).await.unwrap(), 200);
    let requests = world.idp.requests_at(Endpoint::OAuth);
    assert_eq!(requests.last().unwrap().field("claims"), Some(CLAIMS));
    world.idp.assert_mints(2);
}

async fn what_a_new_token_does_not_help_passes(client: &impl Fn(HostToken) -> Call) {
    let world = World::new();
    let call = client(world.token());
    world.api.demand_scope(Some("write"));
    assert_eq!(call(world.url()).await.unwrap(), 403);
    world.idp.assert_mints(1);
    world.api.demand_scope(None);
    // A host that refuses everything is asked twice, and then it is the problem: no more mints.
    world.api.refuse_everything(true);
    for _ in 0..5 {
        assert_eq!(call(world.url()).await.unwrap(), 401);
    }
    world.idp.assert_mints(2);
    assert_eq!(world.api.counts().refused, 6);
    world.api.refuse_everything(false);
    assert_eq!(call(world.url()).await.unwrap(), 200);
}

async fn without_a_token_nothing_is_sent(client: &impl Fn(HostToken) -> Call) {
    let world = World::new();
    let call = client(world.token());
    world.idp.unregister(defaults::CLIENT_ID);
    assert_eq!(call(world.url()).await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(world.seen("authorization").len(), 0);
    // Where the replacement cannot be had, that is what the caller learns.
    let world = World::new();
    let call = client(world.token());
    assert_eq!(call(world.url()).await.unwrap(), 200);
    world.idp.revoke_all();
    world.idp.unregister(defaults::CLIENT_ID);
    assert_eq!(call(world.url()).await.unwrap_err().kind(), ErrorKind::Denied);
}

async fn hosts_that_are_not_named_see_no_token(client: &impl Fn(HostToken) -> Call) {
    let world = World::new();
    let elsewhere =
        |world: &World| HostToken::new(world.manager.clone(), [HostPattern::parse("api.example.com").unwrap()]);
    assert_eq!(client(elsewhere(&world))(world.url()).await.unwrap(), 401);
    assert_eq!(world.seen("authorization"), [None]);
    let error = client(elsewhere(&world).forbid_other_hosts())(world.url()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    // A named host is not sent the token in the clear, and is not sent anything without it.
    let error = client(elsewhere(&world))("http://api.example.com/items".into()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert!(error.to_string().contains("https"), "{error}");
    assert_eq!(world.seen("authorization").len(), 1);
    world.idp.assert_mints(0);
}

async fn the_header_has_the_shape_that_was_asked_for(client: &impl Fn(HostToken) -> Call) {
    let world = World::new();
    let name = http::HeaderName::from_static;
    for (host_token, header, before) in [
        (world.token(), "authorization", "Bearer "),
        (world.token().scheme("Token").unwrap(), "authorization", "Token "),
        (world.token().header(name("api-key")).without_scheme(), "api-key", ""),
        (world.token().header(name("x-token")), "x-token", "Bearer "),
    ] {
        let value = format!("{before}{}", world.manager.token().await.unwrap().secret());
        let other = if header == "authorization" { "api-key" } else { "authorization" };
        // The server looks for `Authorization: Bearer` alone; whatever it says, this is what it saw first.
        let first = world.seen(header).len();
        let _status = client(host_token)(world.url()).await;
        assert_eq!(world.seen(header)[first].as_deref(), Some(value.as_str()));
        assert_eq!(world.seen(other)[first], None);
    }
    assert!(world.token().scheme("Two words").is_err());
}
