//! One request on its way: with a token that is good, sent again once if it was refused all the same.

use crate::answer::{Api, Fault, error};
use crate::body::{OutBody, UpstreamBody};
use crate::decode::decode;
use crate::location::{self, Places};
use crate::pool::{Again, Lease, SendError};
use crate::refusal::{Verdict, body_says_expired, judge};
use crate::replay::{Budget, Progress, Replay, SendBody};
use crate::upgrade::Tunnels;
use crate::{Route, headers};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unexpired_core::{Challenge, Token};

/// A request whose key was right, without its credentials.
pub(crate) struct Outgoing {
    pub(crate) method: Method,
    /// The upstream's path and query.
    pub(crate) path: PathAndQuery,
    /// As the client sent them, without what is for one hop.
    pub(crate) headers: HeaderMap,
    /// What the connection is to become, and the client's side of it.
    pub(crate) upgrade: Option<(HeaderValue, OnUpgrade)>,
    /// The proxy as the client names it; `None` where that says nothing.
    pub(crate) host: Option<HeaderValue>,
    /// Whether the route's name stands in the path.
    pub(crate) in_path: bool,
    /// Whose client it is, if its headers say so.
    pub(crate) api: Option<Api>,
    pub(crate) since: Instant,
}

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) budget: Arc<Budget>,
    pub(crate) tunnels: Tunnels,
}

/// Sends the request on and gives the answer, or says why there is none.
pub(crate) async fn forward(
    route: &Route,
    shared: &Shared,
    outgoing: &mut Outgoing,
    body: Incoming,
) -> Response<OutBody> {
    let mut trip = Trip { route, outgoing, replay: None, upstream_time: Duration::ZERO, answered: None };
    trip.outgoing.headers.insert(header::HOST, route.pool().host().clone());
    route.set_headers(&mut trip.outgoing.headers);
    if !http_body::Body::is_end_stream(&body) {
        trip.replay = Some(Replay::new(body, &shared.budget));
    }
    let response = trip.answer(shared).await;
    let until = trip.answered.unwrap_or_else(Instant::now);
    let added = until.saturating_duration_since(trip.outgoing.since).saturating_sub(trip.upstream_time);
    route.counts().answered(response.status().as_u16(), added);
    response
}

struct Trip<'r> {
    route: &'r Route,
    outgoing: &'r mut Outgoing,
    /// `None`: the request has no body.
    replay: Option<Replay>,
    upstream_time: Duration,
    /// When the upstream's last answer came.
    answered: Option<Instant>,
}

impl Trip<'_> {
    async fn answer(&mut self, shared: &Shared) -> Response<OutBody> {
        let manager = self.route.manager();
        let token = match manager.token().await {
            Ok(token) => token,
            Err(no_token) => return self.error(Fault::Token, &no_token.to_string()),
        };
        self.route.used();
        let first = self.replay.as_ref().map_or_else(SendBody::empty, Replay::first);
        let (response, lease) = match self.exchange(&token, first).await {
            Ok(answer) => answer,
            Err(failed) => return self.unreachable(&failed),
        };
        let mut response = response.map(|body| UpstreamBody::new(body, lease));
        let Some(challenge) = self.refusal(&mut response, &token).await else {
            self.settle();
            return self.deliver(response, shared);
        };

        // What seldom happens lies elsewhere, so that every request's state stays small.
        Box::pin(self.answer_refused(response, &token, challenge, shared)).await
    }

    /// The token was refused: once more, with another.
    async fn answer_refused(
        &mut self,
        response: Response<UpstreamBody>,
        token: &Token,
        challenge: Challenge,
        shared: &Shared,
    ) -> Response<OutBody> {
        let manager = self.route.manager();
        if !self.replay.as_ref().is_none_or(Replay::is_possible) {
            // Too large to be held: the client hears of the refusal, and the next request gets a new token.
            manager.reject(token, self.route.host(), &challenge);
            return self.refused(response);
        }
        let Ok(token) = manager.replacement(token, self.route.host(), &challenge).await else {
            return self.refused(response);
        };
        let again = match &self.replay {
            None => SendBody::empty(),
            Some(replay) => match replay.again() {
                Some(body) => body,
                None => return self.refused(response),
            },
        };
        tokio::spawn(response.into_body().drain());
        let (response, lease) = match self.exchange(&token, again).await {
            Ok(answer) => answer,
            Err(failed) => return self.unreachable(&failed),
        };
        let mut response = response.map(|body| UpstreamBody::new(body, lease));
        match self.refusal(&mut response, &token).await {
            None => {
                self.route.counts().recovered();
                self.deliver(response, shared)
            }
            Some(challenge) => {
                manager.reject(&token, self.route.host(), &challenge);
                self.refused(response)
            }
        }
    }

    /// One request, one answer. A connection that was used before may be closed by the upstream just when it is used again; what may be
    /// repeated is then repeated on a new one, and so is what the upstream says it did not look at.
    async fn exchange(&mut self, token: &Token, body: SendBody) -> Result<(Response<Incoming>, Lease), SendError> {
        let began = Instant::now();
        let outcome = match self.send(token, body, false).await {
            Err(failed) if self.may_be_repeated(&failed) => {
                let again = self.replay.as_ref().map_or_else(|| Some(SendBody::empty()), Replay::again);
                match again {
                    Some(body) => Box::pin(self.send(token, body, true)).await,
                    None => Err(failed),
                }
            }
            outcome => outcome,
        };
        let now = Instant::now();
        self.upstream_time = self.upstream_time.saturating_add(now.saturating_duration_since(began));
        self.answered = Some(now);
        outcome
    }

    /// RFC 9110 section 9.2.2: what is not known to be repeatable or unseen is not repeated. A client that names its request says that it is repeatable, as
    /// Go's `net/http` has it.
    fn may_be_repeated(&self, failed: &SendError) -> bool {
        let named = |name: &HeaderName| matches!(name.as_str(), "idempotency-key" | "x-idempotency-key");
        match failed.again {
            Again::Never => false,
            Again::IfRepeatable => self.outgoing.method.is_idempotent() || self.outgoing.headers.keys().any(named),
            Again::Always => true,
        }
    }

    async fn send(
        &mut self,
        token: &Token,
        body: SendBody,
        fresh: bool,
    ) -> Result<(Response<Incoming>, Lease), SendError> {
        let mut request = Request::new(body);
        *request.method_mut() = self.outgoing.method.clone();
        *request.uri_mut() = Uri::from(self.outgoing.path.clone());
        // First in, then copied: the copy has no room to spare.
        let (name, value) = self.route.credential(token);
        self.outgoing.headers.insert(name, value);
        *request.headers_mut() = self.outgoing.headers.clone();
        let pool = self.route.pool();
        if let Some((protocol, _)) = &self.outgoing.upgrade {
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
            request.headers_mut().insert(header::UPGRADE, protocol.clone());
            return Box::pin(pool.send_upgrade(request)).await;
        }
        let progress = self.replay.as_ref().map_or_else(Progress::done, Replay::progress);
        pool.send(request, progress, fresh).await
    }

    /// Whether the answer refuses the token.
    async fn refusal(&self, response: &mut Response<UpstreamBody>, token: &Token) -> Option<Challenge> {
        let status = response.status().as_u16();
        match judge(status, response.headers(), self.route.expired_statuses()) {
            Verdict::Fine => {
                if status < 400 {
                    self.route.manager().accepted(token, self.route.host());
                }
                None
            }
            Verdict::Refused(challenge) => Some(challenge),
            Verdict::AskBody => {
                let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
                if !kind.windows(4).any(|word| word.eq_ignore_ascii_case(b"json")) {
                    return None;
                }
                let coding = response.headers().get(header::CONTENT_ENCODING).cloned();
                let body = response.body_mut();
                let _ = Box::pin(tokio::time::timeout(PEEK_WAIT, body.peek(PEEK_MOST))).await;
                let coding = coding.as_ref().map(HeaderValue::as_bytes).unwrap_or_default();
                let text = decode(coding, body.peeked(), PEEK_MOST)?;
                body_says_expired(&text).then_some(Challenge::Plain)
            }
        }
    }

    /// The upstream's refusal, passed on.
    fn refused(&self, response: Response<UpstreamBody>) -> Response<OutBody> {
        self.settle();
        self.route.counts().refused();
        self.pass(response)
    }

    /// Nothing will be sent again.
    fn settle(&self) {
        if let Some(replay) = &self.replay {
            replay.settle();
        }
    }

    fn deliver(&mut self, mut response: Response<UpstreamBody>, shared: &Shared) -> Response<OutBody> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return self.pass(response);
        }
        let Some((_, client)) = self.outgoing.upgrade.take() else {
            return self.error(Fault::Upstream, &format!("{} switches protocols unasked", self.route.host()));
        };
        let protocol = response.headers().get(header::UPGRADE).cloned();
        shared.tunnels.join(client, hyper::upgrade::on(&mut response));
        let mut head = std::mem::take(response.headers_mut());
        headers::remove_hop_by_hop(&mut head);
        head.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(protocol) = protocol {
            head.insert(header::UPGRADE, protocol);
        }
        let mut answer = Response::new(OutBody::Own(None));
        *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *answer.headers_mut() = head;
        answer
    }

    fn pass(&self, response: Response<UpstreamBody>) -> Response<OutBody> {
        let (mut head, mut body) = response.into_parts();
        head.version = http::Version::HTTP_11;
        let cleaned = headers::clean_answer(&mut head.headers);
        if let Some(value) = &cleaned.keep_alive {
            body.keep_alive(value);
        }
        if cleaned.has_places {
            let origin = &self.route.url()[..url::Position::BeforePath];
            let asked = format!("{origin}{}", self.outgoing.path);
            let places = Places { upstream: self.route.url(), asked: &asked, proxy: &self.base() };
            location::rewrite(&mut head.headers, &places);
        }
        Response::from_parts(head, OutBody::Upstream(body))
    }

    /// Where the client finds this route: `http://127.0.0.1:8639/ROUTE`.
    fn base(&self) -> String {
        let host = self.outgoing.host.as_ref().and_then(|host| host.to_str().ok());
        let front = host.map_or_else(String::new, |host| format!("http://{host}"));
        if self.outgoing.in_path { format!("{front}/{}", self.route.name()) } else { front }
    }

    fn unreachable(&self, failed: &SendError) -> Response<OutBody> {
        if failed.body_failed {
            return self.error(Fault::BadRequest, "the request's body broke off, or is not framed as HTTP says");
        }
        tracing::warn!(target: "unexpired", route = self.route.name(), host = self.route.host(), kind = %failed.kind, why = failed.why, "no answer");
        self.error(Fault::Upstream, &format!("{}: {} {}", self.route.name(), self.route.host(), failed.why))
    }

    fn error(&self, fault: Fault, message: &str) -> Response<OutBody> {
        let api = self.outgoing.api.unwrap_or_else(|| Api::of_path(self.outgoing.path.path(), None));
        error(api, fault, message)
    }
}

/// Whether a connection may become this. A protocol of further requests would carry them past every check.
pub(crate) fn may_upgrade(protocol: &HeaderValue) -> bool {
    let protocol = protocol.as_bytes().to_ascii_lowercase();
    !protocol
        .split(|byte| *byte == b',')
        .map(<[u8]>::trim_ascii)
        .any(|one| one.starts_with(b"h2") || one.starts_with(b"http") || one.starts_with(b"tls"))
}

/// As much of a refusal's body is read before it is judged, and as much it may be without its compression.
const PEEK_MOST: usize = 64 << 10;
const PEEK_WAIT: Duration = Duration::from_secs(2);
