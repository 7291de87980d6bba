//! How a request's body is had twice.

use super::BoxError;
use ::http::HeaderMap;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};

/// How a body of type `B` is had a second time, for the one retry. Implemented by [`CloneBody`], [`RecordBody`] and [`SendOnce`].
pub trait Replay<B>: sealed::Sealed + Clone + Send + Sync + 'static {
    /// What the service below is given.
    type Body: Send;
    /// What is kept for the retry.
    type Copy: Send;

    /// The body to send, and what is kept.
    fn prepare(&self, body: B) -> (Self::Body, Self::Copy);

    /// The body to send again; `None` if it cannot be had.
    fn again(copy: Self::Copy) -> Option<Self::Body>;
}

/// Clones the body: for bodies such as `Full<Bytes>`, whose clones are whole bodies.
#[derive(Clone, Copy, Debug, Default)]
pub struct CloneBody;

impl<B: Clone + Send + 'static> Replay<B> for CloneBody {
    type Body = B;
    type Copy = B;

    fn prepare(&self, body: B) -> (B, B) {
        (body.clone(), body)
    }

    fn again(copy: B) -> Option<B> {
        Some(copy)
    }
}

/// Has the body once: there is no retry.
#[derive(Clone, Copy, Debug, Default)]
pub struct SendOnce;

impl<B: Send + 'static> Replay<B> for SendOnce {
    type Body = B;
    type Copy = ();

    fn prepare(&self, body: B) -> (B, ()) {
        (body, ())
    }

    fn again((): ()) -> Option<B> {
        None
    }
}

/// Records the body while it is sent, up to a limit. Nothing is held back meanwhile: streams stream.
#[derive(Clone, Copy, Debug)]
pub struct RecordBody {
    limit: usize,
}

impl RecordBody {
    /// Up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit }
    }
}

impl<B> Replay<B> for RecordBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Body = ReplayBody<B>;
    type Copy = Recording<B>;

    fn prepare(&self, body: B) -> (ReplayBody<B>, Recording<B>) {
        let tape = Tape {
            rest: Some(Box::pin(body)),
            frames: Vec::new(),
            trailers: None,
            size: 0,
            limit: self.limit,
            reading: 1,
            lost: false,
        };
        let tape = Arc::new(Mutex::new(tape));
        let recording = Recording { tape: tape.clone(), wanted: Arc::new(()) };
        let body =
            ReplayBody { tape, at: 0, reading: 1, trailers_sent: false, wanted: Arc::downgrade(&recording.wanted) };
        (body, recording)
    }

    fn again(copy: Recording<B>) -> Option<ReplayBody<B>> {
        let mut tape = lock(&copy.tape);
        if tape.lost {
            return None;
        }
        // Whoever still sends the first one is not read from any more.
        tape.reading = 2;
        drop(tape);
        Some(ReplayBody { tape: copy.tape, at: 0, reading: 2, trailers_sent: false, wanted: Weak::new() })
    }
}

/// What was recorded of a body, and what is left of it.
pub struct Recording<B> {
    tape: Arc<Mutex<Tape<B>>>,
    /// While this lives somebody may want to send the body again.
    wanted: Arc<()>,
}

struct Tape<B> {
    rest: Option<Pin<Box<B>>>,
    frames: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    size: usize,
    limit: usize,
    /// Which of the two bodies is sent now: the first or the second.
    reading: u8,
    /// More was sent than may be kept.
    lost: bool,
}

/// A body that is recorded while it is sent, and may be sent once more. If the first answer comes before the body was sent whole, the
/// second request goes on where the first stood.
pub struct ReplayBody<B> {
    tape: Arc<Mutex<Tape<B>>>,
    at: usize,
    reading: u8,
    trailers_sent: bool,
    wanted: Weak<()>,
}

impl<B> Body for ReplayBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let mut tape = lock(&this.tape);
        if tape.reading != this.reading {
            return Poll::Ready(Some(Err("the request is being sent again".into())));
        }
        if let Some(data) = tape.frames.get(this.at) {
            this.at = this.at.saturating_add(1);
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        let keep = this.reading == 1 && this.wanted.strong_count() > 0;
        if let Some(rest) = &mut tape.rest {
            match rest.as_mut().poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => tape.rest = None,
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        if tape.keep(keep, &data) {
                            this.at = tape.frames.len();
                        }
                        return Poll::Ready(Some(Ok(Frame::data(data))));
                    }
                    // Trailers are the last thing.
                    Err(frame) => {
                        tape.trailers = frame.into_trailers().ok();
                        tape.rest = None;
                    }
                },
            }
        }
        match &tape.trailers {
            Some(trailers) if !this.trailers_sent => {
                this.trailers_sent = true;
                Poll::Ready(Some(Ok(Frame::trailers(trailers.clone()))))
            }
            _ => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        let tape = lock(&self.tape);
        let trailers = tape.trailers.is_some() && !self.trailers_sent;
        self.at >= tape.frames.len() && !trailers && tape.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let tape = lock(&self.tape);
        let recorded: u64 = tape.frames.iter().skip(self.at).map(|data| data.len() as u64).fold(0, u64::saturating_add);
        let rest = tape.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), |rest| rest.size_hint());
        let mut hint = SizeHint::new();
        // The upper bound first: a lower one above it would be refused.
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(recorded));
        }
        hint.set_lower(rest.lower().saturating_add(recorded));
        hint
    }
}

impl<B> Tape<B> {
    /// Keeps a frame, if somebody may want it again and there is room.
    fn keep(&mut self, wanted: bool, data: &Bytes) -> bool {
        self.size = self.size.saturating_add(data.len());
        if wanted && !self.lost && self.size <= self.limit {
            self.frames.push(data.clone());
            return true;
        }
        if self.reading == 1 {
            self.lost = true;
            self.frames = Vec::new();
        }
        false
    }
}

fn lock<B>(tape: &Mutex<Tape<B>>) -> MutexGuard<'_, Tape<B>> {
    tape.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayBody").finish_non_exhaustive()
    }
}

impl<B> fmt::Debug for Recording<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recording").finish_non_exhaustive()
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::CloneBody {}
    impl Sealed for super::RecordBody {}
    impl Sealed for super::SendOnce {}
}
