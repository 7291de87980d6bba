//! A response's body on its way to the client.

use crate::pool::Lease;
use bytes::{Bytes, BytesMut};
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
    /// The end was seen.
    ended: bool,
    /// What went wrong while reading ahead; the client meets it where it was met.
    failed: Option<hyper::Error>,
    lease: Option<Lease>,
}

impl UpstreamBody {
    pub(crate) fn new(rest: Incoming, lease: Lease) -> Self {
        Self { read: BytesMut::new(), rest, ended: false, failed: None, lease: Some(lease) }
    }

    /// Reads ahead until `most` bytes are there or no more come. Can be given up in the middle: the client gets everything all the same.
    pub(crate) async fn peek(&mut self, most: usize) {
        while self.read.len() < most && !self.ended && self.failed.is_none() {
            match std::future::poll_fn(|context| Pin::new(&mut self.rest).poll_frame(context)).await {
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
                if let Some(error) = body.failed.take() {
                    return Poll::Ready(Some(Err(error)));
                }
                if body.ended {
                    return Poll::Ready(None);
                }
                let frame = std::task::ready!(Pin::new(&mut body.rest).poll_frame(context));
                body.ended = frame.is_none();
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes) => bytes.is_none(),
            Self::Upstream(body) => {
                body.read.is_empty() && body.failed.is_none() && (body.ended || body.rest.is_end_stream())
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

const DRAIN_MOST: usize = 64 << 10;
const DRAIN_WAIT: Duration = Duration::from_millis(200);
