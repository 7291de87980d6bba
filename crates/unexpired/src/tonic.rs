//! For gRPC clients by `tonic`: a layer that awaits the token and tries once more, and an interceptor for where only that fits.
//!
//! ```
//! # use unexpired::{BoxFuture, HostPattern, HostToken, MintError, MintRequest, Token, TokenManager, TokenSource};
//! use tonic::transport::Endpoint;
//! use tower_layer::Layer as _;
//! use unexpired::tonic::TokenLayer;
//!
//! # fn example(corp: TokenManager) -> Result<(), Box<dyn std::error::Error>> {
//! let endpoint = Endpoint::from_static("https://pubsub.example.com");
//! let token = HostToken::new(corp, [HostPattern::parse("*.example.com")?]);
//! let channel = TokenLayer::new(token, endpoint.uri())?.layer(endpoint.connect_lazy());
//! // PublisherClient::new(channel)
//! # let _ = channel;
//! # Ok(())
//! # }
//! ```
//!
//! - **Where the token goes**: a channel sends everything to its endpoint, whatever a request's URI says. So layer and interceptor are
//!   told the endpoint, and refuse to be made for one that the [`HostToken`] does not name, or that is plain `http` and not on this machine.
//! - **After `UNAUTHENTICATED`** (or 401 from a gateway before it) [`TokenLayer`] rejects the token, awaits its replacement, and makes the call once
//!   more. A hundred of them at the same time cost one mint. Requests stream meanwhile: they are recorded while they are sent, until the
//!   server answers, up to [`replay_limit`](TokenLayer::replay_limit). A call that has had more than that, or whose status comes after
//!   messages, fails with `UNAUTHENTICATED`, and the next one has a new token. `PERMISSION_DENIED` never retires a token.
//! - **No token, no call**: it fails with `UNAVAILABLE` where waiting may help, else with `UNAUTHENTICATED`; the status' source is an
//!   [`Error`].
//! - **[`TokenInterceptor`]** is not asynchronous and does not see answers: it takes the token that is held, and fails with `UNAVAILABLE`
//!   while there is none. Where you can choose, take the layer.

use crate::host_token::{Host, HostToken, challenge};
use crate::tower::{BoxError, RecordBody, ReplayBody, Verdict, send};
use crate::{BoxFuture, Challenge, Error, ErrorKind, MintError};
use ::http::header::{HeaderMap, WWW_AUTHENTICATE};
use ::http::{Request, Response, StatusCode, Uri};
use ::tonic::body::Body;
use ::tonic::service::Interceptor;
use ::tonic::{Code, Status};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// Gives calls a good token, and makes them once more after `UNAUTHENTICATED`. For a `tonic::transport::Channel` or what is like it.
#[derive(Clone)]
pub struct TokenLayer {
    token: HostToken,
    host: Host,
    record: RecordBody,
}

impl TokenLayer {
    /// A layer for a channel to `endpoint`: `Endpoint::uri()`.
    ///
    /// # Errors
    ///
    /// [`Forbidden`](ErrorKind::Forbidden) if the token is not for the endpoint's host, or would be sent to it over plain `http`.
    pub fn new(token: HostToken, endpoint: &Uri) -> Result<Self, Error> {
        let host = host_of(&token, endpoint)?;
        Ok(Self { token, host, record: RecordBody::new(REPLAY_LIMIT) })
    }

    /// How many bytes of a call are kept until the server answers, to make it once more; 1 MiB by default. 0: no call is made again.
    #[must_use]
    pub fn replay_limit(mut self, bytes: usize) -> Self {
        self.record = RecordBody::new(bytes);
        self
    }
}

impl<S> Layer<S> for TokenLayer {
    type Service = TokenService<S>;

    fn layer(&self, inner: S) -> TokenService<S> {
        TokenService { inner, layer: self.clone() }
    }
}

impl fmt::Debug for TokenLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenLayer").field("token", &self.token).field("host", &self.host).finish_non_exhaustive()
    }
}

/// The channel that [`TokenLayer`] makes. Generated clients take it.
#[derive(Clone, Debug)]
pub struct TokenService<S> {
    inner: S,
    layer: TokenLayer,
}

impl<S, O> Service<Request<Body>> for TokenService<S>
where
    S: Service<Request<Body>, Response = Response<O>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    O: http_body::Body<Data = Bytes> + Send + 'static,
    O::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<Body>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        // The service that was polled ready is the one to call; the clone takes its place.
        let clone = self.inner.clone();
        let inner = Rebody(std::mem::replace(&mut self.inner, clone));
        let TokenLayer { token, host, record } = self.layer.clone();
        Box::pin(async move {
            let (response, used) = match send(&token, &record, inner, request, &host, read).await {
                Ok(sent) => sent,
                Err(error) => {
                    return Err(error.downcast::<Error>().map_or_else(|error| error, |error| status(*error).into()));
                }
            };
            if response.headers().contains_key(GRPC_STATUS) {
                return Ok(response.map(Body::new));
            }
            let watch = move |trailers: &HeaderMap| match of_status(trailers) {
                Verdict::Refused(challenge) => token.settle(&used, &host, Some(challenge), false),
                Verdict::Accepted => token.settle(&used, &host, None, true),
                Verdict::Unknown => {}
            };
            Ok(response.map(|body| Body::new(Watched { body: Box::pin(body), watch })))
        })
    }
}

/// Sets the token that is held as a call's metadata. See the [module's page](self) for what it cannot do.
///
/// It keeps the token fresh from the first call on.
///
/// ```
/// # use unexpired::{BoxFuture, HostPattern, HostToken, MintError, MintRequest, Token, TokenManager, TokenSource};
/// use tonic::transport::Endpoint;
/// use unexpired::tonic::TokenInterceptor;
///
/// # async fn example(corp: TokenManager) -> Result<(), Box<dyn std::error::Error>> {
/// corp.token().await?; // so that the first call finds one
/// let endpoint = Endpoint::from_static("https://pubsub.example.com");
/// let token = HostToken::new(corp, [HostPattern::parse("*.example.com")?]);
/// let interceptor = TokenInterceptor::new(token, endpoint.uri())?;
/// // PublisherClient::with_interceptor(endpoint.connect_lazy(), interceptor)
/// # let _ = interceptor;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TokenInterceptor {
    token: HostToken,
    kept_fresh: bool,
}

impl TokenInterceptor {
    /// An interceptor for a channel to `endpoint`: `Endpoint::uri()`.
    ///
    /// # Errors
    ///
    /// As [`TokenLayer::new`].
    pub fn new(token: HostToken, endpoint: &Uri) -> Result<Self, Error> {
        host_of(&token, endpoint)?;
        Ok(Self { token, kept_fresh: false })
    }
}

impl Interceptor for TokenInterceptor {
    fn call(&mut self, mut request: ::tonic::Request<()>) -> Result<::tonic::Request<()>, Status> {
        let manager = self.token.manager();
        if !self.kept_fresh {
            self.kept_fresh = true;
            manager.keep_fresh();
        }
        let Some(token) = manager.cached() else {
            let none = || {
                let error = MintError::new(ErrorKind::Unavailable, "there is no token yet");
                self.token
                    .error(error.remedy("await the manager's token() once before the first call, or use the layer"))
            };
            return Err(status(manager.status().last_error.unwrap_or_else(none)));
        };
        self.token.apply(&token, request.metadata_mut().as_mut()).map_err(status)?;
        Ok(request)
    }
}

fn host_of(token: &HostToken, endpoint: &Uri) -> Result<Host, Error> {
    let host = token.judge_uri(endpoint)?;
    host.ok_or_else(|| {
        let error = MintError::new(ErrorKind::Forbidden, "the token is not for this endpoint");
        token.error(error.host(endpoint.host().unwrap_or_default()).remedy("name its host among the token's hosts"))
    })
}

/// What a call fails with where no token can be had.
fn status(error: Error) -> Status {
    let code = match error.kind() {
        ErrorKind::Unavailable | ErrorKind::TimedOut | ErrorKind::Malformed => Code::Unavailable,
        ErrorKind::Forbidden => Code::PermissionDenied,
        _ => Code::Unauthenticated,
    };
    let mut status = Status::new(code, error.to_string());
    status.set_source(Arc::new(error));
    status
}

fn read<O>(response: &Response<O>) -> Verdict {
    match challenge(response.status(), response.headers()) {
        Some(challenge) => Verdict::Refused(challenge),
        // A call that ends before its first message says so in its headers.
        None => of_status(response.headers()),
    }
}

/// What the status of a call, in its headers or trailers, says of the token.
fn of_status(headers: &HeaderMap) -> Verdict {
    let Some(status) = headers.get(GRPC_STATUS) else { return Verdict::Unknown };
    match Code::from_bytes(status.as_bytes()) {
        Code::Ok => Verdict::Accepted,
        Code::Unauthenticated => {
            let lines = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|line| line.to_str().ok());
            Verdict::Refused(Challenge::of(StatusCode::UNAUTHORIZED.as_u16(), lines))
        }
        _ => Verdict::Unknown,
    }
}

/// A service for `tonic`'s bodies, as one for recorded ones.
struct Rebody<S>(S);

impl<S: Service<Request<Body>>> Service<Request<ReplayBody<Body>>> for Rebody<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<ReplayBody<Body>>) -> S::Future {
        self.0.call(request.map(Body::new))
    }
}

/// A body that shows its trailers to somebody.
struct Watched<B, F> {
    body: Pin<Box<B>>,
    watch: F,
}

impl<B, F> http_body::Body for Watched<B, F>
where
    B: http_body::Body<Data = Bytes>,
    F: Fn(&HeaderMap) + Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = self.body.as_mut().poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(trailers) = frame.trailers_ref()
        {
            (self.watch)(trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

const GRPC_STATUS: &str = "grpc-status";
const REPLAY_LIMIT: usize = 1 << 20;
