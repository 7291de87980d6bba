//! The one background thread of the process, on which flights run: a caller's own runtime may be dropped, blocked or absent.

use crate::BoxFuture;
use arc_swap::ArcSwapOption;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The thread's runtime, started by the first use and started anew in a forked child, where threads do not follow.
pub(crate) fn handle() -> io::Result<Handle> {
    let pid = std::process::id();
    let running = THREAD.load();
    if let Some(thread) = running.as_deref().filter(|thread| thread.pid == pid) {
        return Ok(thread.handle.clone());
    }
    let (thread, stop) = start(pid)?;
    let handle = thread.handle.clone();
    let before = THREAD.compare_and_swap(&running, Some(Arc::new(thread)));
    let lost = match (running.as_ref(), before.as_ref()) {
        (None, None) => false,
        (Some(expected), Some(found)) => !Arc::ptr_eq(expected, found),
        _ => true,
    };
    if lost {
        // Somebody else was quicker: theirs is used, ours ends.
        let _ = stop.send(());
        return before.as_deref().map_or(Ok(handle), |thread| Ok(thread.handle.clone()));
    }
    // Dropping the sender would end the thread.
    std::mem::forget(stop);
    Ok(handle)
}

/// Done after `duration`, from whatever executor it is polled.
pub(crate) fn sleep(duration: Duration) -> BoxFuture<'static, ()> {
    Box::pin(async move {
        let (mut done, wait) = oneshot::channel::<()>();
        // Without a thread there is no time to wait for; the caller reads the clock and comes back.
        let Ok(handle) = handle() else { return std::thread::yield_now() };
        handle.spawn(async move {
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

struct Thread {
    pid: u32,
    handle: Handle,
}

fn start(pid: u32) -> io::Result<(Thread, oneshot::Sender<()>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().thread_name("unexpired").build()?;
    let handle = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel();
    std::thread::Builder::new().name("unexpired".into()).spawn(move || {
        let _ = runtime.block_on(stopped);
    })?;
    Ok((Thread { pid, handle }, stop))
}

static THREAD: ArcSwapOption<Thread> = ArcSwapOption::const_empty();
