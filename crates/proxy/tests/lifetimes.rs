//! Through many lives of real tokens: a revocation, an outage, many clients. None of them sees a refusal.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::*;
use unexpired_core::{Secret, TokenManager};
use unexpired_oauth::{ClientCredentials, Server};
use unexpired_testkit::{Endpoint, Fault, IdentityProvider, defaults};

fn oauth(idp: &IdentityProvider) -> TokenManager {
    let source = ClientCredentials::builder(Server::token_url(&idp.oauth_token_url()).unwrap(), defaults::CLIENT_ID)
        .client_secret(Arc::new(Secret::new(defaults::CLIENT_SECRET)))
        .build()
        .unwrap();
    manager(source)
}

/// Tokens of 3 s, for 14 s; in between all are revoked twice, and the identity provider is down for most of a life.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_sees_a_refusal() {
    let idp = IdentityProvider::builder().lifetime(Duration::from_secs(3)).start().await.unwrap();
    let api = idp.resource_server();
    let proxy = Arc::new(Running::of(route(oauth(&idp), api.url()).build().unwrap()));
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (proxy, stop, sent) = (proxy.clone(), stop.clone(), sent.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let body = if number % 2 == 0 { &b""[..] } else { b"{\"prompt\":\"x\"}" };
                    let answer = proxy.send(if body.is_empty() { "GET" } else { "POST" }, "/v1/x", "", body).await;
                    assert_eq!(answer.status, 200, "{}", answer.all);
                    sent.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        })
        .collect();
    let began = Instant::now();
    let until = |seconds: f64| tokio::time::sleep(Duration::from_secs_f64(seconds).saturating_sub(began.elapsed()));
    until(4.0).await;
    idp.revoke_all();
    until(7.0).await;
    // Begins after a refresh at most 2.25 s ago or so, and ends before its token does.
    idp.fault_at(Endpoint::OAuth, Fault::status(503).lasting(Duration::from_millis(600)));
    until(10.0).await;
    idp.revoke_all();
    until(14.0).await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    let counts = api.counts();
    assert_eq!((counts.expired, counts.missing, counts.malformed), (0, 0, 0), "{counts:?}");
    assert!(counts.revoked > 0, "the revocations were met: {counts:?}");
    assert_eq!(counts.ok, sent.load(Ordering::Relaxed));
    assert!(idp.mints() >= 6 && idp.mints() <= 20, "{} mints", idp.mints());
}

/// A route that was used once is kept fresh: after a pause of several lives the first request waits for no mint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_pause_nobody_waits() {
    let idp = IdentityProvider::builder().lifetime(Duration::from_secs(2)).start().await.unwrap();
    let proxy = Running::of(route(oauth(&idp), idp.resource_server().url()).build().unwrap());
    assert_eq!(proxy.get("/").await.status, 200);
    tokio::time::sleep(Duration::from_secs(5)).await;
    // Whoever had to mint now would meet this.
    idp.fault_at(Endpoint::OAuth, Fault::delay(Duration::from_secs(10)).always());
    let asked = Instant::now();
    assert_eq!(proxy.get("/").await.status, 200);
    assert!(asked.elapsed() < Duration::from_secs(1));
}
