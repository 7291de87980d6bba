//! A layer for every HTTP client that is a `tower` service over [`http::Request`]: `hyper-util`'s, say.
//!
//! ```
//! # use unexpired::{BoxFuture, HostPattern, HostToken, MintError, MintRequest, Token, TokenManager, TokenSource};
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use hyper_util::client::legacy::Client;
//! use hyper_util::rt::TokioExecutor;
//! use tower_layer::Layer as _;
//! use unexpired::tower::TokenLayer;
//!
//! # fn example(corp: TokenManager) -> Result<(), Box<dyn std::error::Error>> {
//! let token = HostToken::new(corp, [HostPattern::parse("api.example.com")?]);
//! let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>(); // with TLS in earnest
//! let client = TokenLayer::new(token).layer(client);
//! # let _ = client;
//! # Ok(())
//! # }
//! ```
//!
//! - **Where the token goes**: to the hosts that the [`HostToken`] names, by the request's URI, over `https`, or plain `http` on this machine. A
//!   request to another host passes untouched, or is refused, as the [`HostToken`] says. Where URIs name no host, since the service below
//!   sends everything to one place, say to which: [`TokenLayer::origin`].
//! - **After a 401**, or a 403 that says `invalid_token` or brings a claims challenge, the token is rejected, its replacement awaited (minted
//!   with the claims, if there are any), and the request sent once more. A hundred of them at the same time cost one mint.
//! - **The body** must be had twice for that. By default it is cloned, which is free for `Full<Bytes>`. Bodies that cannot be cloned are
//!   recorded while they are sent, up to a limit: [`TokenLayer::replaying`]. Or requests are sent once and a 401 passes through:
//!   [`TokenLayer::without_retry`].
//! - **No token, no request**: the call fails with an [`Error`](crate::Error), to be found by `downcast_ref`. Errors of the service below are
//!   boxed as they are.
//! - **Redirects**: put a layer that follows them *around* this one. Then every hop is judged by itself, and the token, in whatever header, is
//!   seen by no host but the named ones.

mod replay;

pub use replay::{CloneBody, RecordBody, Recording, Replay, ReplayBody, SendOnce};

use crate::host_token::{Host, HostToken, accepts, challenge};
use crate::{BoxFuture, Challenge, Token};
use ::http::{Request, Response, Uri};
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};
use tower_layer::Layer;
use tower_service::Service;

/// What a call fails with: an [`Error`](crate::Error) where no token could be had, else what the service below says.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Gives requests a good token, and sends them once more after a 401. `R` says how a body is had twice.
#[derive(Clone)]
pub struct TokenLayer<R = CloneBody> {
    token: HostToken,
    replay: R,
    origin: Option<Uri>,
}

impl TokenLayer {
    /// A layer for requests whose body can be cloned.
    pub fn new(token: HostToken) -> Self {
        Self { token, replay: CloneBody, origin: None }
    }
}

impl<R> TokenLayer<R> {
    /// For bodies that cannot be cloned: they are recorded while they are sent, up to `limit` bytes. A request with a longer body is
    /// not sent again: its 401 passes through. The service below must take a [`ReplayBody`].
    #[must_use]
    pub fn replaying(self, limit: usize) -> TokenLayer<RecordBody> {
        TokenLayer { token: self.token, replay: RecordBody::new(limit), origin: self.origin }
    }

    /// For bodies of any kind: a request is sent once, a 401 passes through, and the next request has a new token.
    #[must_use]
    pub fn without_retry(self) -> TokenLayer<SendOnce> {
        TokenLayer { token: self.token, replay: SendOnce, origin: self.origin }
    }

    /// Where the service below sends everything, whatever a request's URI says: scheme, host and port.
    #[must_use]
    pub fn origin(mut self, origin: Uri) -> Self {
        self.origin = Some(origin);
        self
    }
}

impl<S, R: Clone> Layer<S> for TokenLayer<R> {
    type Service = TokenService<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        TokenService { inner, layer: self.clone() }
    }
}

impl<R> fmt::Debug for TokenLayer<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenLayer").field("token", &self.token).field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// The service that [`TokenLayer`] makes.
#[derive(Clone)]
pub struct TokenService<S, R = CloneBody> {
    inner: S,
    layer: TokenLayer<R>,
}

impl<S, R, B, O> Service<Request<B>> for TokenService<S, R>
where
    S: Service<Request<R::Body>, Response = Response<O>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    R: Replay<B>,
    B: Send + 'static,
    O: Send + 'static,
{
    type Response = Response<O>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Response<O>, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was polled ready is the one to call; the clone takes its place.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        Box::pin(async move {
            let uri = layer.origin.as_ref().unwrap_or(request.uri());
            match layer.token.judge_uri(uri)? {
                Some(host) => {
                    let (response, _) = send(&layer.token, &layer.replay, inner, request, &host, read).await?;
                    Ok(response)
                }
                None => {
                    let mut inner = inner;
                    inner.call(request.map(|body| layer.replay.prepare(body).0)).await.map_err(Into::into)
                }
            }
        })
    }
}

/// Sends a request to a named host: with the token, and once more if that is refused and another can be had.
/// The answer, and the token that it was given to. `inner` is ready.
pub(crate) async fn send<S, R, B, O>(
    token: &HostToken,
    replay: &R,
    mut inner: S,
    request: Request<B>,
    host: &Host,
    read: fn(&Response<O>) -> Verdict,
) -> Result<(Response<O>, Token), BoxError>
where
    S: Service<Request<R::Body>, Response = Response<O>>,
    S::Error: Into<BoxError>,
    R: Replay<B>,
{
    let used = token.manager().token().await?;
    let (mut parts, body) = request.into_parts();
    token.apply(&used, &mut parts.headers)?;
    let (body, copy) = replay.prepare(body);
    let response = inner.call(Request::from_parts(parts.clone(), body)).await.map_err(Into::into)?;
    let (refusal, accepted) = match read(&response) {
        Verdict::Refused(challenge) => (Some(challenge), false),
        Verdict::Accepted => (None, true),
        Verdict::Unknown => (None, false),
    };
    if refusal.is_none() {
        token.settle(&used, host, None, accepted);
        return Ok((response, used));
    }
    let body = R::again(copy);
    let Some(replacement) = token.after(&used, host, refusal, body.is_some()).await? else {
        return Ok((response, used));
    };
    let Some(body) = body else { return Ok((response, used)) };
    drop(response);
    token.apply(&replacement, &mut parts.headers)?;
    poll_fn(|context| inner.poll_ready(context)).await.map_err(Into::into)?;
    let response = inner.call(Request::from_parts(parts, body)).await.map_err(Into::into)?;
    match read(&response) {
        Verdict::Refused(challenge) => token.settle(&replacement, host, Some(challenge), false),
        Verdict::Accepted => token.settle(&replacement, host, None, true),
        Verdict::Unknown => {}
    }
    Ok((response, replacement))
}

/// What an answer says of the token.
pub(crate) enum Verdict {
    Refused(Challenge),
    Accepted,
    Unknown,
}

fn read<O>(response: &Response<O>) -> Verdict {
    match challenge(response.status(), response.headers()) {
        Some(challenge) => Verdict::Refused(challenge),
        None if accepts(response.status()) => Verdict::Accepted,
        None => Verdict::Unknown,
    }
}
