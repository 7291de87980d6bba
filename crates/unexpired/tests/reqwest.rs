//! The middleware for `reqwest`.
#![cfg(all(feature = "reqwest-middleware", feature = "oauth"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod support;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use reqwest_middleware::ClientWithMiddleware;
use std::sync::Arc;
use support::{Call, World, everything_that_holds};
use unexpired::reqwest::{TokenMiddleware, client};
use unexpired::{Error, ErrorKind, HostToken};
use unexpired_testkit::{Endpoint, Fault, ResourceServer};

#[tokio::test(flavor = "multi_thread")]
async fn the_client_holds_what_every_middleware_does() {
    everything_that_holds(|token| call(client(builder(), token).unwrap())).await;
}

#[tokio::test]
async fn a_client_that_exists_already_takes_the_middleware_for_authorization_alone() {
    let world = World::new();
    let existing = builder().build().unwrap();
    let middleware = TokenMiddleware::new(world.token()).unwrap();
    let existing = reqwest_middleware::ClientBuilder::new(existing).with(middleware).build();
    assert_eq!(call(existing)(world.url()).await.unwrap(), 200);
    let key = world.token().header(http::HeaderName::from_static("api-key"));
    assert_eq!(TokenMiddleware::new(key).unwrap_err().kind(), ErrorKind::Misconfigured);
}

#[tokio::test]
async fn the_body_and_everything_else_is_sent_again() {
    let world = World::new();
    let client = client(builder(), world.token()).unwrap();
    world.api.refuse_next(1);
    let request = client.put(format!("{}?a=b", world.url())).header("x-mine", "1").body("the body");
    assert_eq!(request.send().await.unwrap().status(), 200);
    let requests = world.idp.requests_at(Endpoint::Resource);
    assert_eq!(requests.len(), 2);
    for request in &requests {
        let parts = (request.method(), request.query(), request.header("x-mine"), request.body());
        assert_eq!(parts, ("PUT", "a=b", Some("1"), &b"the body"[..]));
    }
    assert_ne!(requests[0].header("authorization"), requests[1].header("authorization"));
}

#[tokio::test]
async fn the_401_of_a_stream_passes_through_and_the_next_request_has_a_new_token() {
    let world = World::new();
    let client = client(builder(), world.token()).unwrap();
    let stream = || {
        let body: BoxBody<Bytes, std::convert::Infallible> = Full::new(Bytes::from_static(b"a stream")).boxed();
        let body = reqwest::Body::wrap(body);
        assert!(body.as_bytes().is_none(), "it cannot be cloned");
        client.post(world.url()).body(body).send()
    };
    assert_eq!(stream().await.unwrap().status(), 200);
    world.idp.revoke_all();
    assert_eq!(stream().await.unwrap().status(), 401);
    world.idp.assert_mints(1);
    assert_eq!(stream().await.unwrap().status(), 200);
    world.idp.assert_mints(2);
}

/// Both ports are named; the token stays at the one that it was sent to all the same.
#[tokio::test]
async fn a_redirect_carries_no_token_to_another_host() {
    for header in ["authorization", "api-key"] {
        let world = World::new();
        let other = ResourceServer::builder(&world.idp, "other").own_port().start().unwrap();
        let token = match header {
            "api-key" => world.token().header(http::HeaderName::from_static("api-key")).without_scheme(),
            _ => world.token(),
        };
        let client = client(builder(), token).unwrap();
        let redirect = |to: String| world.idp.fault_at(Endpoint::Resource, Fault::redirect(to).times(1));

        redirect(format!("{}/stolen", other.url()));
        let response = client.post(world.url()).body("x").send().await.unwrap();
        let seen = world.seen(header);
        assert!(seen[0].is_some(), "{header}: the named host gets it");
        if header == "authorization" {
            assert_eq!((response.status().as_u16(), seen.len()), (401, 2), "followed");
            assert_eq!(seen[1], None);
        } else {
            assert_eq!((response.status().as_u16(), seen.len()), (307, 1), "handed to the caller");
            assert_eq!(response.headers()["location"], format!("{}/stolen", other.url()));
        }
        // The other host's 401 says nothing of the token.
        assert!(world.manager.cached().is_some());
        world.idp.assert_mints(1);

        // On the same host it goes along.
        let before = world.seen(header).len();
        redirect(format!("{}/elsewhere", world.api.url()));
        client.get(world.url()).send().await.unwrap();
        let seen = world.seen(header);
        assert!(seen.len() >= before + 2 && seen[before..before + 2].iter().all(Option::is_some), "{header}");
    }
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let world = World::new();
    let client = client(builder(), world.token()).unwrap();
    world.idp.fault_at(Endpoint::Resource, Fault::redirect(world.url()).times(50));
    let error = client.get(world.url()).send().await.unwrap_err();
    assert!(error.is_redirect(), "{error:?}");
    assert_eq!(world.seen("authorization").len(), 11);
}

/// The crypto provider is the program's choice; only the first call makes one.
fn builder() -> reqwest::ClientBuilder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy()
}

fn call(client: ClientWithMiddleware) -> Call {
    Arc::new(move |url| {
        let client = client.clone();
        Box::pin(async move {
            match client.post(url).body("a little body").send().await {
                Ok(response) => Ok(response.status().as_u16()),
                Err(reqwest_middleware::Error::Middleware(error)) => {
                    Err(error.downcast_ref::<Error>().unwrap().clone())
                }
                Err(error) => panic!("{error:?}"),
            }
        })
    })
}

/// What a middleware must be.
#[allow(dead_code, reason = "checked by the compiler, never called")]
fn it_crosses_threads(token: HostToken) {
    fn check(_: impl Send + Sync + Clone + 'static) {}
    check(token);
}
