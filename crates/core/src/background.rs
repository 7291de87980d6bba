//! The background threads of the process: a caller's own runtime may be dropped, blocked or absent.
//!
//! Flights run on one of them. Clocks run on the other, which runs no code but this crate's: a source that blocks its thread holds up neither
//! those who wait with a time limit nor other managers, whose flights then go to another thread.

use crate::BoxFuture;
use arc_swap::ArcSwapOption;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Runs a flight.
///
/// # Errors
///
/// No thread can be started. The future is dropped.
pub(crate) fn spawn(flight: BoxFuture<'static, ()>) -> io::Result<()> {
    let thread = FLIGHTS.running()?;
    let parcel = Arc::new(Mutex::new(Some(flight)));
    let taken = parcel.clone();
    let take = |parcel: &Mutex<Option<_>>| parcel.lock().unwrap_or_else(PoisonError::into_inner).take();
    thread.handle.spawn(async move {
        let flight = take(&taken);
        if let Some(flight) = flight {
            flight.await;
        }
    });
    // The thread has not even begun with it: it is blocked.
    watch(Box::pin(async move {
        tokio::time::sleep(PATIENCE).await;
        let Some(flight) = take(&parcel) else { return };
        tracing::warn!(target: "unexpired", "a source blocks the thread that it runs on; others continue on another thread");
        FLIGHTS.forget(&thread);
        if let Ok(another) = FLIGHTS.running() {
            drop(another.handle.spawn(flight));
        }
    }))
}

/// Runs a task of this crate's own, which blocks nowhere and calls no foreign code.
pub(crate) fn watch(task: BoxFuture<'static, ()>) -> io::Result<()> {
    drop(CLOCKS.running()?.handle.spawn(task));
    Ok(())
}

/// Done after `duration`, from whatever executor it is polled.
pub(crate) fn sleep(duration: Duration) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let (mut done, wait) = oneshot::channel::<()>();
        // Without a thread there is no time to wait for; the caller reads the clock and comes back.
        let Ok(thread) = CLOCKS.running() else { return std::thread::yield_now() };
        thread.handle.spawn(async move {
            {
                let mut timer = pin!(tokio::time::sleep(duration));
                let mut abandoned = pin!(done.closed());
                std::future::poll_fn(|context| match timer.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(()),
                    Poll::Pending => abandoned.as_mut().poll(context),
                })
                .await;
            }
            let _ = done.send(());
        });
        let _ = wait.await;
    })
}

/// A thread that is started by the first use, and started anew in a forked child, where threads do not follow.
struct Background {
    name: &'static str,
    thread: ArcSwapOption<Thread>,
}

struct Thread {
    pid: u32,
    handle: Handle,
    /// Dropping it ends the thread.
    _stop: oneshot::Sender<()>,
}

impl Background {
    const fn new(name: &'static str) -> Self {
        Self { name, thread: ArcSwapOption::const_empty() }
    }

    fn running(&self) -> io::Result<Arc<Thread>> {
        let pid = std::process::id();
        loop {
            let found = self.thread.load_full();
            if let Some(thread) = found.as_ref().filter(|thread| thread.pid == pid) {
                return Ok(thread.clone());
            }
            if let Some(inherited) = &found {
                // The parent's: dropping it would touch a runtime whose thread is not here.
                std::mem::forget(inherited.clone());
            }
            // If somebody else was quicker, theirs is used and this one ends.
            let started = Arc::new(start(self.name, pid)?);
            self.thread.compare_and_swap(&found, Some(started));
        }
    }

    /// Lets go of a thread that is blocked: what comes next starts another. It ends once what was begun on it has ended.
    fn forget(&self, thread: &Arc<Thread>) {
        self.thread.compare_and_swap(thread, None);
    }
}

fn start(name: &str, pid: u32) -> io::Result<Thread> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().thread_name(name).build()?;
    let handle = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel();
    std::thread::Builder::new().name(name.into()).spawn(move || {
        runtime.block_on(async {
            let _ = stopped.await;
            // What was begun here is brought to its end.
            while runtime.metrics().num_alive_tasks() > 0 {
                tokio::time::sleep(PATIENCE).await;
            }
        });
    })?;
    Ok(Thread { pid, handle, _stop: stop })
}

static FLIGHTS: Background = Background::new("unexpired");
static CLOCKS: Background = Background::new("unexpired-clock");

/// How long a flight may wait for its thread.
const PATIENCE: Duration = Duration::from_millis(500);
