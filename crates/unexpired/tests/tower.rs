//! The layer for `tower`.
#![cfg(all(feature = "tower", feature = "oauth"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod support;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use support::{Call, World, everything_that_holds};
use tower_layer::Layer as _;
use tower_service::Service;
use unexpired::tower::{BoxError, ReplayBody, TokenLayer};
use unexpired::{Error, ErrorKind, HostPattern, HostToken};
use unexpired_testkit::{Endpoint, Fault, ResourceServer};

#[tokio::test(flavor = "multi_thread")]
async fn with_a_cloned_body_everything_holds() {
    everything_that_holds(|token| {
        call(TokenLayer::new(token).layer(hyper::<Full<Bytes>>()), || Full::new(Bytes::from_static(b"a little body")))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_recorded_body_everything_holds() {
    everything_that_holds(|token| {
        call(TokenLayer::new(token).replaying(1024).layer(hyper::<ReplayBody<Stream>>()), || {
            stream(["a ", "later little ", "body"])
        })
    })
    .await;
}

#[tokio::test]
async fn what_is_sent_again_is_what_was_sent() {
    let world = World::new();
    let client = TokenLayer::new(world.token()).replaying(12).layer(hyper::<ReplayBody<Stream>>());
    world.api.refuse_next(1);
    assert_eq!(send(client.clone(), &world.url(), stream(["one", "two", "three!"])).await.unwrap(), 200);
    let requests = world.idp.requests_at(Endpoint::Resource);
    assert_eq!(requests.len(), 2);
    assert!(requests.iter().all(|request| request.body() == b"onetwothree!" && request.header("x-mine") == Some("1")));
    assert_ne!(requests[0].header("authorization"), requests[1].header("authorization"));

    // One byte more than may be held: the 401 passes, and the next request has a new token.
    world.idp.revoke_all();
    assert_eq!(send(client.clone(), &world.url(), stream(["one", "two", "three!!"])).await.unwrap(), 401);
    world.idp.assert_mints(2);
    assert_eq!(send(client, &world.url(), stream(["one", "two", "three!!"])).await.unwrap(), 200);
    world.idp.assert_mints(3);
    assert_eq!(world.idp.requests_at(Endpoint::Resource).last().unwrap().body(), b"onetwothree!!");
}

#[tokio::test]
async fn the_401_of_a_body_that_is_sent_once_passes_through() {
    let world = World::new();
    let client = TokenLayer::new(world.token()).without_retry().layer(hyper::<Stream>());
    for (status, mints) in [(200, 1), (401, 1), (200, 2)] {
        if status == 401 {
            world.idp.revoke_all();
        }
        assert_eq!(send(client.clone(), &world.url(), stream(["a stream"])).await.unwrap(), status);
        world.idp.assert_mints(mints);
    }
}

/// A server that answers 401 at once, before it was sent the body; the second time it reads.
#[tokio::test]
async fn a_body_that_was_half_sent_goes_on_where_it_stood() {
    #[derive(Clone, Default)]
    struct Impatient(Arc<std::sync::atomic::AtomicUsize>);
    impl Service<Request<ReplayBody<Stream>>> for Impatient {
        type Response = Response<String>;
        type Error = BoxError;
        type Future = unexpired::BoxFuture<'static, Result<Self::Response, BoxError>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }
        fn call(&mut self, request: Request<ReplayBody<Stream>>) -> Self::Future {
            let first = self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            Box::pin(async move {
                let mut body = request.into_body();
                if first {
                    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "one");
                    // The client goes on sending the first one while the second is on its way.
                    tokio::spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
                    return Ok(Response::builder().status(401).body(String::new()).unwrap());
                }
                let all = body.collect().await?.to_bytes();
                Ok(Response::new(String::from_utf8(all.to_vec()).unwrap()))
            })
        }
    }
    let world = World::new();
    let mut client = TokenLayer::new(world.token()).replaying(1024).layer(Impatient::default());
    let request = Request::post(world.url()).body(stream(["one", "two", "three"])).unwrap();
    let response = client.call(request).await.unwrap();
    assert_eq!(response.into_body(), "onetwothree");
}

#[test]
fn a_replayed_body_knows_its_length() {
    use unexpired::tower::{RecordBody, Replay as _};
    let layer: RecordBody = RecordBody::new(1024);
    let (mut body, copy) = layer.prepare(Full::new(Bytes::from_static(b"four")));
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(4), false));
    let mut context = Context::from_waker(std::task::Waker::noop());
    assert!(matches!(Pin::new(&mut body).poll_frame(&mut context), Poll::Ready(Some(Ok(_)))));
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
    let again = <RecordBody as unexpired::tower::Replay<Full<Bytes>>>::again(copy).unwrap();
    assert_eq!((again.size_hint().exact(), again.is_end_stream()), (Some(4), false));
    // The first one is over.
    assert!(matches!(Pin::new(&mut body).poll_frame(&mut context), Poll::Ready(Some(Err(_)))));
}

#[tokio::test]
async fn followed_redirects_are_judged_hop_by_hop() {
    for header in ["authorization", "api-key"] {
        let world = World::new();
        let other = ResourceServer::builder(&world.idp, "other").own_port().start().unwrap();
        let port = other.url().rsplit(':').next().unwrap();
        let token = match header {
            "api-key" => world.token().header(http::HeaderName::from_static("api-key")).without_scheme(),
            _ => world.token(),
        };
        let client = tower_http::follow_redirect::FollowRedirectLayer::new()
            .layer(TokenLayer::new(token).layer(hyper::<Full<Bytes>>()));
        // The same machine by a name that is not the token's, and by the one that is.
        for (host, expected) in [("localhost", false), ("127.0.0.1", true)] {
            let before = world.seen(header).len();
            world.idp.fault_at(Endpoint::Resource, Fault::redirect(format!("http://{host}:{port}/x")).times(1));
            send(client.clone(), &world.url(), Full::default()).await.unwrap();
            let seen = world.seen(header);
            assert!(seen[before].is_some());
            assert_eq!(seen[before + 1].is_some(), expected, "{header} at {host}");
        }
    }
}

#[tokio::test]
async fn a_request_without_a_host_needs_an_origin() {
    let world = World::new();
    let client = hyper::<Full<Bytes>>();
    let base = world.api.url().to_owned();
    // It sends everything to the one place, as a connection does.
    let to_base = service(move |request: Request<Full<Bytes>>| {
        let mut client = client.clone();
        let (mut parts, body) = request.into_parts();
        parts.uri = format!("{base}{}", parts.uri.path()).parse().unwrap();
        async move { client.call(Request::from_parts(parts, body)).await }
    });
    let body = || Full::new(Bytes::new());
    let error = send(TokenLayer::new(world.token()).layer(to_base.clone()), "/items", body()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden, "{error}");
    let origin: Uri = world.api.url().parse().unwrap();
    let named = TokenLayer::new(world.token()).origin(origin).layer(to_base.clone());
    assert_eq!(send(named.clone(), "/items", body()).await.unwrap(), 200);
    // What the URI says does not count then.
    assert_eq!(send(named, "https://api.example.com/items", body()).await.unwrap(), 200);
    let other = HostToken::new(world.manager.clone(), [HostPattern::parse("api.example.com").unwrap()]);
    let elsewhere = TokenLayer::new(other).origin("https://example.com".parse().unwrap()).layer(to_base);
    assert_eq!(send(elsewhere, "https://api.example.com/items", body()).await.unwrap(), 401);
}

#[tokio::test]
async fn the_service_below_is_called_when_it_is_ready_and_its_errors_are_handed_on() {
    let world = World::new();
    let mut client = TokenLayer::new(world.token()).layer(hyper::<Full<Bytes>>());
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    poll_fn(|context| client.poll_ready(context)).await.unwrap();
    let request = Request::get(format!("http://{closed}/")).body(Full::new(Bytes::new())).unwrap();
    let error = client.call(request).await.unwrap_err();
    assert!(error.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect()));
}

type Stream = StreamBody<Pieces>;

fn stream<const N: usize>(pieces: [&'static str; N]) -> Stream {
    StreamBody::new(Pieces(pieces.into_iter().rev().collect()))
}

/// A stream that is not to be cloned and does not come at once.
struct Pieces(Vec<&'static str>);

impl futures_core::Stream for Pieces {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let Some(piece) = self.0.pop() else { return Poll::Ready(None) };
        if let Some(rest) = piece.strip_prefix("later ") {
            self.0.push(rest);
            let waker = context.waker().clone();
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(5));
                waker.wake();
            });
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
    }
}

fn hyper<B>() -> Client<HttpConnector, B>
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

async fn send<S, B, O>(mut service: S, url: &str, body: B) -> Result<u16, Error>
where
    S: Service<Request<B>, Response = Response<O>>,
    S::Error: Into<BoxError>,
{
    let request = Request::post(url).header("x-mine", "1").body(body).unwrap();
    poll_fn(|context| service.poll_ready(context)).await.map_err(Into::into).unwrap();
    match service.call(request).await.map_err(Into::into) {
        Ok(response) => Ok(response.status().as_u16()),
        Err(error) => Err(error.downcast_ref::<Error>().unwrap_or_else(|| panic!("{error:?}")).clone()),
    }
}

fn call<S, B, O>(service: S, body: impl Fn() -> B + Send + Sync + 'static) -> Call
where
    S: Service<Request<B>, Response = Response<O>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Send + 'static,
    O: Send + 'static,
{
    Arc::new(move |url| {
        let (service, body) = (service.clone(), body());
        Box::pin(async move { send(service, &url, body).await })
    })
}

#[derive(Clone)]
struct FromFn<F>(F);

fn service<F>(f: F) -> FromFn<F> {
    FromFn(f)
}

impl<F, R, B, O, E> Service<Request<B>> for FromFn<F>
where
    F: Fn(Request<B>) -> R,
    R: Future<Output = Result<Response<O>, E>>,
{
    type Response = Response<O>;
    type Error = E;
    type Future = R;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> R {
        (self.0)(request)
    }
}
