//! A response's body on its way to the client.

use crate::pool::Lease;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body that goes to the client: of our own making, or the upstream's, frame by frame as it comes.
pub(crate) enum OutBody {
    /// Nothing more, or one piece.
    Own(Option<Bytes>),
    /// The upstream's.
    Upstream(UpstreamBody),
}

/// The upstream's body, and the connection that it comes on.
pub(crate) struct UpstreamBody {
    /// What was read ahead, to see what a refusal says.
    read: BytesMut,
    rest: Incoming,
    /// What follows the piece that was given last. Seldom there, and large.
    trailers: Option<Box<HeaderMap>>,
    /// The end was seen.
    ended: bool,
    /// What went wrong while reading ahead; the client meets it where it was met.
    failed: Option<hyper::Error>,
    /// Time was left to write what came before it.
    flushed: bool,
    lease: Option<Lease>,
}

impl UpstreamBody {
    pub(crate) fn new(rest: Incoming, lease: Lease) -> Self {
        Self {
            read: BytesMut::new(),
            rest,
            trailers: None,
            ended: false,
            failed: None,
            flushed: false,
            lease: Some(lease),
        }
    }

    /// What the upstream says of the connection that this comes on.
    pub(crate) fn keep_alive(&mut self, value: &HeaderValue) {
        if let Some(lease) = &mut self.lease {
            lease.keep_alive(value);
        }
    }

    /// Reads ahead until `most` bytes are there or no more come. Can be given up in the middle: the client gets everything all the same.
    pub(crate) async fn peek(&mut self, most: usize) {
        while self.read.len() < most && !self.ended && self.failed.is_none() {
            match std::future::poll_fn(|context| self.poll_rest(context)).await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.read.extend_from_slice(&data),
                    // Trailers: nothing follows them.
                    Err(_) => self.ended = true,
                },
                Some(Err(error)) => self.failed = Some(error),
                None => self.ended = true,
            }
        }
    }

    /// The next frame from the upstream. The connection is driven from here.
    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { rest, lease, .. } = self;
        match lease {
            Some(lease) => lease.poll_body(context, |inside| Pin::new(&mut *rest).poll_frame(inside)),
            None => Pin::new(rest).poll_frame(context),
        }
    }

    /// As much as is there, in one piece: what an upstream wrote piece by piece costs a client's connection one write. Nothing waits for more.
    fn poll_pieces(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(trailers) = self.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(*trailers))));
        }
        let mut first = match std::task::ready!(self.poll_rest(context)) {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            },
            Some(Err(error)) => {
                self.failed = Some(error);
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            None => {
                self.ended = true;
                return Poll::Ready(None);
            }
        };
        let mut joined = BytesMut::new();
        while first.len().max(joined.len()) < ENOUGH && !self.rest.is_end_stream() {
            match self.poll_rest(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        if joined.is_empty() {
                            joined.reserve(ENOUGH.min(first.len().saturating_add(data.len()).saturating_mul(4)));
                            joined.extend_from_slice(&first);
                            first = Bytes::new();
                        }
                        joined.extend_from_slice(&data);
                    }
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok().map(Box::new);
                        break;
                    }
                },
                Poll::Ready(Some(Err(error))) => {
                    self.failed = Some(error);
                    break;
                }
                Poll::Ready(None) => {
                    self.ended = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        let data = if joined.is_empty() { first } else { joined.freeze() };
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    /// What was read ahead.
    pub(crate) fn peeked(&self) -> &[u8] {
        &self.read
    }

    /// Reads what is left of a small body that nobody wants, so that its connection can be used again.
    pub(crate) async fn drain(mut self) {
        if self.rest.size_hint().upper().is_none_or(|upper| upper <= DRAIN_MOST as u64) {
            let _ = tokio::time::timeout(DRAIN_WAIT, self.peek(DRAIN_MOST)).await;
        }
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        // A connection whose answer was read to its end can carry another request; any other is closed.
        if let Some(lease) = self.lease.take()
            && (self.ended || self.rest.is_end_stream())
        {
            lease.give_back();
        }
    }
}

impl Body for OutBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Own(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Upstream(body) => {
                if !body.read.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(body.read.split().freeze()))));
                }
                if body.failed.is_some() && !body.flushed {
                    // What came before the fault is written first: on an error the connection is given up with all that is not.
                    body.flushed = true;
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                if let Some(error) = body.failed.take() {
                    return Poll::Ready(Some(Err(error)));
                }
                if body.trailers.is_none() && body.ended {
                    return Poll::Ready(None);
                }
                body.poll_pieces(context)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Upstream(body) => {
                body.read.is_empty()
                    && body.trailers.is_none()
                    && body.failed.is_none()
                    && (body.ended || body.rest.is_end_stream())
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Upstream(body) => {
                let read = body.read.len() as u64;
                let rest = body.rest.size_hint();
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower().saturating_add(read));
                if let Some(upper) = rest.upper() {
                    hint.set_upper(upper.saturating_add(read));
                }
                hint
            }
        }
    }
}

/// No piece is made larger by joining.
const ENOUGH: usize = 16 << 10;
const DRAIN_MOST: usize = 64 << 10;
const DRAIN_WAIT: Duration = Duration::from_millis(200);
