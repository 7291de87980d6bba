//! A request's body on its way upstream, and the copy of it that a second attempt is made from.

use crate::body::BodyError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

/// How much may be held in memory for second attempts: by each request, and by all.
#[derive(Debug)]
pub(crate) struct Budget {
    each: usize,
    left: AtomicUsize,
}

impl Budget {
    pub(crate) fn new(each: usize, all: usize) -> Arc<Self> {
        Arc::new(Self { each, left: AtomicUsize::new(all) })
    }

    fn take(&self, bytes: usize) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What nobody holds.
    #[cfg(test)]
    fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }
}

/// The body of one request. What streams through is copied, so that the request can be sent again: the copy first, and then whatever the
/// client has not sent yet.
pub(crate) struct Replay(Arc<Mutex<Shared>>);

struct Shared {
    live: Incoming,
    /// The attempt that may read. An earlier one that is still asked for more, since its connection takes no notice of the answer, gets an error.
    attempt: u32,
    /// `None` once it cannot be sent again: too large, or nobody will want it.
    kept: Option<Kept>,
    /// The client's last byte went upstream.
    done: bool,
    /// The client broke off: what it sent until then is no request.
    broken: bool,
    /// An attempt has a copy that is not sent yet.
    copying: bool,
}

impl Replay {
    pub(crate) fn new(live: Incoming, budget: &Arc<Budget>) -> Self {
        // What says beforehand that it is too large is not even begun.
        let size = live.size_hint().lower();
        let fits = usize::try_from(size).is_ok_and(|size| size <= budget.each);
        let kept = fits.then(|| Kept { segments: Vec::new(), length: 0, taken: 0, budget: budget.clone() });
        Self(Arc::new(Mutex::new(Shared { live, attempt: 0, kept, done: false, broken: false, copying: false })))
    }

    /// The first attempt's body.
    pub(crate) fn first(&self) -> SendBody {
        SendBody(Some(Box::new(Sending { shared: self.0.clone(), attempt: 0, again: VecDeque::new(), _kept: None })))
    }

    /// The body of another attempt. `None` if the request cannot be sent again.
    pub(crate) fn again(&self) -> Option<SendBody> {
        let mut shared = lock(&self.0);
        let mut kept = shared.kept.take()?;
        shared.attempt = shared.attempt.saturating_add(1);
        let again: VecDeque<_> = std::mem::take(&mut kept.segments).into_iter().map(Bytes::from).collect();
        shared.copying = !again.is_empty();
        let attempt = shared.attempt;
        Some(SendBody(Some(Box::new(Sending { shared: self.0.clone(), attempt, again, _kept: Some(kept) }))))
    }

    /// No second attempt will be made: the copy is given up.
    pub(crate) fn settle(&self) {
        lock(&self.0).kept = None;
    }

    /// Whether a second attempt could be made.
    pub(crate) fn is_possible(&self) -> bool {
        lock(&self.0).kept.is_some()
    }

    /// Tells, later, whether the whole body went upstream.
    pub(crate) fn progress(&self) -> Progress {
        Progress(Some(self.0.clone()))
    }
}

/// Whether a request's body was sent to its end.
pub(crate) struct Progress(Option<Arc<Mutex<Shared>>>);

impl Progress {
    /// Of a request without a body.
    pub(crate) const fn done() -> Self {
        Self(None)
    }

    pub(crate) fn is_done(&self) -> bool {
        self.0.as_ref().is_none_or(|shared| {
            let shared = lock(shared);
            !shared.copying && !shared.broken && (shared.done || shared.live.is_end_stream())
        })
    }
}

/// A copy in pieces, each paid for out of the budget when it is made. Copied and not shared: a byte of a shared buffer may pin kilobytes.
struct Kept {
    segments: Vec<Vec<u8>>,
    length: usize,
    taken: usize,
    budget: Arc<Budget>,
}

impl Kept {
    /// `false` if it does not fit.
    fn push(&mut self, mut data: &[u8]) -> bool {
        self.length = self.length.saturating_add(data.len());
        if self.length > self.budget.each {
            return false;
        }
        while !data.is_empty() {
            let room = self.segments.last().map_or(0, |segment| segment.capacity().saturating_sub(segment.len()));
            if room == 0 {
                // As large as what there is so far: few pieces, and at most twice what is needed.
                let size = self.taken.max(data.len()).clamp(SMALLEST, LARGEST);
                if !self.budget.take(size) {
                    return false;
                }
                self.taken = self.taken.saturating_add(size);
                self.segments.push(Vec::with_capacity(size));
                continue;
            }
            let (head, tail) = data.split_at(room.min(data.len()));
            if let Some(segment) = self.segments.last_mut() {
                segment.extend_from_slice(head);
            }
            data = tail;
        }
        true
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.budget.give_back(self.taken);
    }
}

/// A body that goes upstream; mostly there is none. Small, since a request is handed on many times.
pub(crate) struct SendBody(Option<Box<Sending>>);

struct Sending {
    shared: Arc<Mutex<Shared>>,
    attempt: u32,
    again: VecDeque<Bytes>,
    /// Holds its part of the budget until the copy was sent.
    _kept: Option<Kept>,
}

impl SendBody {
    pub(crate) const fn empty() -> Self {
        Self(None)
    }
}

impl Body for SendBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(this) = &mut self.get_mut().0 else { return Poll::Ready(None) };
        if let Some(bytes) = this.again.pop_front() {
            if this.again.is_empty() {
                lock(&this.shared).copying = false;
            }
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let mut shared = lock(&this.shared);
        if shared.attempt != this.attempt {
            return Poll::Ready(Some(Err("the request was begun anew".into())));
        }
        if shared.broken {
            return Poll::Ready(Some(Err("the client broke off".into())));
        }
        match std::task::ready!(Pin::new(&mut shared.live).poll_frame(context)) {
            Some(Ok(frame)) => {
                // Trailers cannot be told from the end of a copy, so there is none of what has them.
                let fits = match (frame.data_ref(), &mut shared.kept) {
                    (Some(data), Some(kept)) => kept.push(data),
                    (None, _) => false,
                    (_, None) => true,
                };
                if !fits {
                    shared.kept = None;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                // After its error a body ends as a whole one does. A copy of what came before would be taken for all there was.
                shared.broken = true;
                shared.kept = None;
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                shared.done = true;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|body| body.again.is_empty() && lock(&body.shared).live.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let Some(body) = &self.0 else { return SizeHint::with_exact(0) };
        let copied = body.again.iter().fold(0_u64, |sum, bytes| sum.saturating_add(bytes.len() as u64));
        let live = lock(&body.shared).live.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(live.lower().saturating_add(copied));
        if let Some(upper) = live.upper() {
            hint.set_upper(upper.saturating_add(copied));
        }
        hint
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

const SMALLEST: usize = 512;
const LARGEST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(budget: &Arc<Budget>) -> Kept {
        Kept { segments: Vec::new(), length: 0, taken: 0, budget: budget.clone() }
    }

    #[test]
    fn a_copy_is_what_was_sent_and_is_paid_for() {
        let budget = Budget::new(1 << 20, 2 << 20);
        let mut copy = kept(&budget);
        let mut sent = Vec::new();
        for length in [0, 1, 511, 7, 70_000, 3, 300_000] {
            let data: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            assert!(copy.push(&data));
            sent.extend_from_slice(&data);
        }
        assert_eq!(copy.segments.concat(), sent);
        let capacity: usize = copy.segments.iter().map(Vec::capacity).sum();
        assert_eq!(budget.left(), (2 << 20) - capacity);
        assert!(capacity <= 2 * sent.len());
        drop(copy);
        assert_eq!(budget.left(), 2 << 20);
    }

    #[test]
    fn neither_one_nor_all_are_larger_than_allowed() {
        let budget = Budget::new(1000, 2500);
        let (mut first, mut second, mut third) = (kept(&budget), kept(&budget), kept(&budget));
        assert!(first.push(&[1; 1000]) && second.push(&[2; 1000]));
        assert!(!first.push(&[1]), "more than each may have");
        assert!(!third.push(&[3; 600]), "more than all may have");
        drop(second);
        assert!(third.push(&[3; 300]));
    }

    #[test]
    fn a_byte_at_a_time_costs_what_it_weighs() {
        let budget = Budget::new(1 << 20, 1 << 20);
        let mut copy = kept(&budget);
        for _ in 0..10_000 {
            assert!(copy.push(&[0]));
        }
        assert!((1 << 20) - budget.left() <= 32 << 10);
    }
}
