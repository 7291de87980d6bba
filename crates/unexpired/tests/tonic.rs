//! The layer and the interceptor for `tonic`, against a gRPC server that lets the resource server judge each token.
#![cfg(all(feature = "tonic", feature = "oauth"))]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod support;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::{HeaderMap, Request, Response, Uri};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use support::{LIFE, World};
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tower_layer::Layer as _;
use unexpired::tonic::{TokenInterceptor, TokenLayer, TokenService};
use unexpired::{Error, ErrorKind, HostPattern, HostToken, Phase};
use unexpired_testkit::{Endpoint as At, Fault, defaults};

#[tokio::test(flavor = "multi_thread")]
async fn no_refusal_is_seen_through_lifetimes_an_outage_and_a_revocation() {
    const STEPS: u32 = 40;
    let world = World::new();
    let server = Server::start(&world).await;
    let client = server.client(&world);
    let (mut outage, mut revoked) = (false, false);
    for step in 0..15 * STEPS {
        if step >= 5 * STEPS && !outage && world.age() < 0.05 {
            outage = true;
            world.idp.outage(LIFE.mul_f64(0.88 - world.age()));
        }
        if step == 10 * STEPS {
            revoked = true;
            world.idp.revoke_all();
        }
        assert_eq!(call(client.clone(), UNARY, "hello").await.unwrap(), "hello", "step {step}");
        world.step(LIFE / STEPS);
    }
    assert!(outage && revoked && world.manager.status().failures >= 3);
    let counts = world.api.counts();
    assert_eq!((counts.revoked, counts.unauthorized()), (1, 1), "only the revocation was met, once: {counts:?}");
    assert!((15..=30).contains(&world.idp.mints()), "{} mints in 15 lifetimes", world.idp.mints());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_refusals_cost_one_mint() {
    let world = World::new();
    let server = Server::start(&world).await;
    let client = server.client(&world);
    call(client.clone(), UNARY, "warm").await.unwrap();
    world.idp.revoke_all();
    world.idp.fault_at(At::OAuth, Fault::delay(Duration::from_millis(500)).times(1));
    let calls: Vec<_> = (0..100).map(|_| tokio::spawn(call(client.clone(), UNARY, "hello"))).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "hello");
    }
    world.idp.assert_mints(2);
}

#[tokio::test]
async fn claims_reach_the_mint_and_permission_retires_nothing() {
    const CLAIMS: &str = r#"{"access_token":{"nbf":{"essential":true,"value":"1767225600"}}}"#;
    let world = World::new();
    let server = Server::start(&world).await;
    let client = server.client(&world);
    world.api.demand_claims(Some(CLAIMS));
    assert_eq!(call(client.clone(), UNARY, "hello").await.unwrap(), "hello");
    assert_eq!(world.idp.requests_at(At::OAuth).last().unwrap().field("claims"), Some(CLAIMS));
    world.idp.assert_mints(2);
    world.api.demand_scope(Some("write"));
    assert_eq!(call(client, UNARY, "hello").await.unwrap_err().code(), Code::PermissionDenied);
    world.idp.assert_mints(2);
}

#[tokio::test]
async fn what_comes_too_late_to_be_made_again_has_a_new_token_the_next_time() {
    let world = World::new();
    let server = Server::start(&world).await;
    // More than is kept; and a server that says so only after it has begun to answer.
    let small = TokenLayer::new(world.token(), &server.uri).unwrap().replay_limit(8).layer(server.channel());
    for (client, path, text) in [(small, UNARY, "more than eight"), (server.client(&world), LATE, "hello")] {
        assert!(call(client.clone(), path, text).await.is_ok(), "{path}");
        let mints = world.idp.mints();
        world.idp.revoke_all();
        assert_eq!(call(client.clone(), path, text).await.unwrap_err().code(), Code::Unauthenticated, "{path}");
        world.idp.assert_mints(mints);
        assert!(call(client, path, text).await.is_ok(), "{path}");
        world.idp.assert_mints(mints + 1);
    }
}

/// Nothing is held back while it is recorded: the server has the first message before the client has sent the second.
#[tokio::test]
async fn streams_stream() {
    let world = World::new();
    let server = Server::start(&world).await;
    let (send, messages) = tokio::sync::mpsc::unbounded_channel();
    let mut grpc = Grpc::new(server.client(&world));
    grpc.ready().await.unwrap();
    send.send(text("one")).unwrap();
    let request = tonic::Request::new(Messages(messages));
    let answer = grpc.streaming(request, http::uri::PathAndQuery::from_static(ECHO), Text).await.unwrap();
    let mut answer = answer.into_inner();
    for n in 0..5 {
        assert_eq!(answer.message().await.unwrap().unwrap(), if n == 0 { text("one") } else { text(&n.to_string()) });
        send.send(text(&(n + 1).to_string())).unwrap();
    }
    drop(send);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    let world = World::new();
    let server = Server::start(&world).await;
    world.idp.unregister(defaults::CLIENT_ID);
    let status = call(server.client(&world), UNARY, "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let error = std::error::Error::source(&status).unwrap().downcast_ref::<Error>().unwrap();
    assert_eq!(error.kind(), ErrorKind::Denied);
    let world = World::new();
    world.idp.fault_at(At::OAuth, Fault::status(503).retry_after("3600"));
    assert_eq!(call(server.client(&world), UNARY, "hello").await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(server.calls.load(Ordering::SeqCst), 0);
}

#[test]
fn a_layer_is_not_made_for_an_endpoint_that_is_not_named() {
    let world = World::new();
    let example = || HostToken::new(world.manager.clone(), [HostPattern::parse("api.example.com").unwrap()]);
    for (token, endpoint, fine) in [
        (example(), "https://api.example.com", true),
        (example(), "https://example.com", false),
        (example(), "http://api.example.com", false),
        (example(), "/", false),
        (world.token(), "http://127.0.0.1:1", true),
    ] {
        let endpoint: Uri = endpoint.parse().unwrap();
        for made in
            [TokenLayer::new(token.clone(), &endpoint).err(), TokenInterceptor::new(token.clone(), &endpoint).err()]
        {
            assert_eq!(made.map(|error| error.kind()), (!fine).then_some(ErrorKind::Forbidden), "{endpoint}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_interceptor_takes_what_is_held_and_keeps_it_fresh() {
    let world = World::new();
    let server = Server::start(&world).await;
    let interceptor = TokenInterceptor::new(world.token(), &server.uri).unwrap();
    let client = InterceptedService::new(server.channel(), interceptor);
    world.idp.fault_at(At::OAuth, Fault::delay(Duration::from_millis(500)).times(1));
    let status = intercepted(client.clone(), "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("no token yet"), "{status}");
    world.manager.token().await.unwrap();
    for step in 0..200 {
        assert_eq!(intercepted(client.clone(), "hello").await.unwrap(), "hello", "step {step}");
        world.step(Duration::from_millis(1_500));
        // Nobody but the task that keeps it fresh asks for another one.
        until(|| world.manager.status().phase == Phase::Fresh).await;
    }
    world.api.assert_no_rejections();
    assert!(world.idp.mints() >= 5);
    world.idp.unregister(defaults::CLIENT_ID);
    world.step(LIFE);
    until(|| world.manager.status().last_error.is_some()).await;
    let status = intercepted(client, "hello").await.unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated, "{status}");
}

async fn until(done: impl Fn() -> bool) {
    for _ in 0..5_000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("it does not come to that");
}

/// Echoes what it is sent by who has a good token.
struct Server {
    uri: Uri,
    calls: Arc<AtomicUsize>,
}

impl Server {
    async fn start(world: &World) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let calls: Arc<AtomicUsize> = Arc::default();
        let (judge, count) = (world.api.url().to_owned(), calls.clone());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (judge, count) = (judge.clone(), count.clone());
                let service = hyper::service::service_fn(move |request| {
                    count.fetch_add(1, Ordering::SeqCst);
                    serve(judge.clone(), request)
                });
                let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { uri, calls }
    }

    fn channel(&self) -> Channel {
        Endpoint::from(self.uri.clone()).connect_lazy()
    }

    fn client(&self, world: &World) -> TokenService<Channel> {
        TokenLayer::new(world.token(), &self.uri).unwrap().layer(self.channel())
    }
}

async fn serve(judge: String, request: Request<Incoming>) -> Result<Response<tonic::body::Body>, Infallible> {
    let mut question = Request::get(judge);
    if let Some(token) = request.headers().get("authorization") {
        question = question.header("authorization", token);
    }
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let judged = client.request(question.body(Full::default()).unwrap()).await.unwrap();
    let code = match judged.status().as_u16() {
        200 => Code::Ok,
        403 => Code::PermissionDenied,
        _ => Code::Unauthenticated,
    };
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", (code as i32).into());
    if let Some(challenge) = judged.headers().get("www-authenticate") {
        trailers.insert("www-authenticate", challenge.clone());
    }
    let answer = Response::builder().header("content-type", "application/grpc");
    let late = request.uri().path() == LATE;
    if code != Code::Ok && !late {
        let mut answer = answer.body(tonic::body::Body::empty()).unwrap();
        answer.headers_mut().extend(trailers);
        return Ok(answer);
    }
    if request.uri().path() == ECHO {
        return Ok(answer.body(tonic::body::Body::new(Echo(request.into_body(), Some(trailers)))).unwrap());
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let frames = [Some(Frame::data(body)).filter(|_| code == Code::Ok), Some(Frame::trailers(trailers))];
    let frames = Frames(frames.into_iter().flatten().rev().collect());
    Ok(answer.body(tonic::body::Body::new(StreamBody::new(frames))).unwrap())
}

struct Frames(Vec<Frame<Bytes>>);

impl futures_core::Stream for Frames {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.pop().map(Ok))
    }
}

struct Echo(Incoming, Option<HeaderMap>);

impl http_body::Body for Echo {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match Pin::new(&mut self.0).poll_frame(context) {
            Poll::Ready(None) => Poll::Ready(self.1.take().map(|trailers| Ok(Frame::trailers(trailers)))),
            polled => polled,
        }
    }
}

struct Messages(tokio::sync::mpsc::UnboundedReceiver<Vec<u8>>);

impl futures_core::Stream for Messages {
    type Item = Vec<u8>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Vec<u8>>> {
        self.0.poll_recv(context)
    }
}

async fn call(client: TokenService<Channel>, path: &'static str, message: &str) -> Result<String, Status> {
    unary(Grpc::new(client), path, message).await
}

async fn intercepted(client: InterceptedService<Channel, TokenInterceptor>, message: &str) -> Result<String, Status> {
    unary(Grpc::new(client), UNARY, message).await
}

async fn unary<T>(mut grpc: Grpc<T>, path: &'static str, message: &str) -> Result<String, Status>
where
    T: tonic::client::GrpcService<tonic::body::Body>,
    T::ResponseBody: http_body::Body + Send + 'static,
    <T::ResponseBody as http_body::Body>::Error: Into<unexpired::tower::BoxError>,
{
    grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let request = tonic::Request::new(text(message));
    let answer = grpc.unary(request, http::uri::PathAndQuery::from_static(path), Text).await?;
    Ok(String::from_utf8(answer.into_inner()).unwrap())
}

fn text(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

/// Messages that are what they are.
#[derive(Clone, Copy)]
struct Text;

impl Codec for Text {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Text {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Text {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}

const UNARY: &str = "/test.Test/Unary";
const LATE: &str = "/test.Test/Late";
const ECHO: &str = "/test.Test/Echo";
