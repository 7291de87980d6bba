//! A client's connection between its requests: what it is doing, how long it may, and the look at its bytes before the server has them.

use crate::framing::{Bad, Framing};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What one connection is doing. Only its own task writes and reads here; atomic for its compiler's sake, and as cheap as plain fields.
#[derive(Debug)]
pub(crate) struct Line {
    /// A head is awaited that began to come, or the first.
    in_head: AtomicBool,
    /// Requests that were begun, and that were answered to the end.
    begun: AtomicU32,
    ended: AtomicU32,
    /// The client does not take what is there for it.
    stuck: AtomicBool,
    /// A right key was shown here.
    known: AtomicBool,
    /// No requests any more: a WebSocket.
    raw: AtomicBool,
}

impl Line {
    pub(crate) const fn new() -> Self {
        Self {
            in_head: AtomicBool::new(true),
            begun: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            stuck: AtomicBool::new(false),
            known: AtomicBool::new(false),
            raw: AtomicBool::new(false),
        }
    }

    pub(crate) fn begin(&self) {
        add(&self.begun);
    }

    pub(crate) fn end(&self) {
        add(&self.ended);
    }

    pub(crate) fn know(&self) {
        self.known.store(true, Ordering::Relaxed);
    }

    pub(crate) fn become_raw(&self) {
        self.raw.store(true, Ordering::Relaxed);
    }

    fn is_busy(&self) -> bool {
        let requests = self.begun.load(Ordering::Relaxed) != self.ended.load(Ordering::Relaxed);
        requests || self.stuck.load(Ordering::Relaxed) || self.raw.load(Ordering::Relaxed)
    }
}

/// One task writes, so that it needs no locked instruction.
fn add(count: &AtomicU32) {
    count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// To send a head, once it has begun or if it is the first; and to send another, if no right key was shown.
    pub(crate) head: Duration,
    /// From one request to the next, at least.
    pub(crate) idle: Duration,
}

/// One deadline for each connection: it is looked at when it comes, and not set anew with every request.
pub(crate) struct Patience {
    times: Times,
    sleep: Pin<Box<Sleep>>,
    /// The task is called when the deadline comes.
    armed: bool,
    /// Since when a head is awaited.
    in_head: Option<Instant>,
    /// At the last look nothing was going on, after so many requests.
    idle: Option<u32>,
}

impl Patience {
    pub(crate) fn new(times: Times) -> Self {
        let now = Instant::now();
        let sleep = Box::pin(tokio::time::sleep_until(now + times.head));
        Self { times, sleep, armed: false, in_head: Some(now), idle: None }
    }

    /// Ready: enough. To be asked after everything that the connection could do was done.
    pub(crate) fn poll(&mut self, context: &mut Context<'_>, line: &Line) -> Poll<()> {
        // What comes while an answer is still on its way out waits for its turn, and no clock runs for it.
        let in_head = line.in_head.load(Ordering::Relaxed) && !line.is_busy();
        if in_head != self.in_head.is_some() {
            // Seldom: nearly all heads come whole.
            self.in_head = if self.in_head.is_some() { None } else { Some(Instant::now()) };
            if let Some(until) = self.in_head.map(|since| since + self.times.head)
                && until < self.sleep.deadline()
            {
                self.sleep.as_mut().reset(until);
                self.armed = false;
            }
        }
        // The task's waker stays the same.
        while !self.armed || self.sleep.is_elapsed() {
            if self.sleep.as_mut().poll(context).is_pending() {
                self.armed = true;
                return Poll::Pending;
            }
            let Some(next) = self.look(line, Instant::now()) else { return Poll::Ready(()) };
            self.sleep.as_mut().reset(next);
            self.armed = false;
        }
        Poll::Pending
    }

    /// When to look again; `None`: it ends.
    fn look(&mut self, line: &Line, now: Instant) -> Option<Instant> {
        if let Some(since) = self.in_head {
            return Some(since + self.times.head).filter(|until| *until > now);
        }
        if line.is_busy() {
            self.idle = None;
            return Some(now + self.times.idle);
        }
        let begun = line.begun.load(Ordering::Relaxed);
        if self.idle.replace(begun) == Some(begun) {
            return None;
        }
        Some(now + if line.known.load(Ordering::Relaxed) { self.times.idle } else { self.times.head })
    }
}

/// A client's connection, whose requests are read along with the server.
pub(crate) struct Watched<S, L> {
    stream: S,
    line: Arc<L>,
    framing: Framing,
    /// What the server still gets of a head that is refused.
    refused: Option<&'static [u8]>,
}

impl<S, L: AsRef<Line>> Watched<S, L> {
    pub(crate) const fn new(stream: S, line: Arc<L>) -> Self {
        Self { stream, line, framing: Framing::new(), refused: None }
    }
}

impl<S: AsyncRead + Unpin, L: AsRef<Line>> AsyncRead for Watched<S, L> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.line.as_ref().as_ref().raw.load(Ordering::Relaxed) {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        if let Some(rest) = &mut this.refused {
            let (now, later) = rest.split_at(rest.len().min(buffer.remaining()));
            buffer.put_slice(now);
            *rest = later;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        let read = buffer.filled_mut().get_mut(before..).unwrap_or_default();
        match this.framing.read(read) {
            Ok(()) => this.line.as_ref().as_ref().in_head.store(this.framing.is_in_head(), Ordering::Relaxed),
            Err(Bad(end)) => {
                // A line that ends in a NUL, and nothing behind it: the server says 400 and closes. It looks at no head without an end.
                if let Some(byte) = read.get_mut(end) {
                    *byte = 0;
                }
                buffer.set_filled(before.saturating_add(end).saturating_add(1));
                this.refused = Some(if this.framing.is_at_head() { b"\r\n\r\n" } else { b"" });
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin, L: AsRef<Line>> Watched<S, L> {
    fn written<T>(&self, outcome: Poll<T>) -> Poll<T> {
        self.line.as_ref().as_ref().stuck.store(outcome.is_pending(), Ordering::Relaxed);
        outcome
    }
}

impl<S: AsyncWrite + Unpin, L: AsRef<Line>> AsyncWrite for Watched<S, L> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, data);
        self.written(outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, data);
        self.written(outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
