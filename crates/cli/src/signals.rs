//! The signals that end a command which serves.

use crate::failure::Failure;

/// An interrupt, the order to end, or the end of the terminal.
#[cfg(unix)]
pub(crate) struct End {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    /// The terminal was closed.
    hang_up: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl End {
    /// Listens from now on; within a runtime.
    pub(crate) fn listen() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let on = |kind| signal(kind).map_err(|error| Failure::new(crate::failure::OTHER, format!("signals: {error}")));
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hang_up: if hang_up_is_ignored() { None } else { Some(on(SignalKind::hangup())?) },
        })
    }

    /// Waits for the next.
    pub(crate) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = async {
                match &mut self.hang_up {
                    Some(signal) => drop(signal.recv().await),
                    None => std::future::pending().await,
                }
            } => {}
        }
    }
}

/// Whether it was started to outlive its terminal, by `nohup`. Linux tells; elsewhere it ends with the terminal.
#[cfg(unix)]
fn hang_up_is_ignored() -> bool {
    is_ignored(1)
}

/// Whether whoever started this process had it ignore this signal. Linux tells.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    // The first bit is signal 1.
    u32::try_from(signal)
        .ok()
        .and_then(|signal| mask.checked_shr(signal.saturating_sub(1)))
        .is_some_and(|mask| mask & 1 == 1)
}

/// The signals that are passed on to a program instead of ending this one.
#[cfg(unix)]
pub(crate) struct Passed(Vec<(i32, tokio::signal::unix::Signal)>);

#[cfg(unix)]
impl Passed {
    /// Listens from now on; within a runtime. What is ignored stays so, for the program too.
    pub(crate) fn listen() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [
            SignalKind::hangup(),
            SignalKind::interrupt(),
            SignalKind::quit(),
            SignalKind::terminate(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
        ];
        let heard = kinds.into_iter().filter(|kind| !is_ignored(kind.as_raw_value()));
        let on = |kind: SignalKind| signal(kind).map(|signal| (kind.as_raw_value(), signal));
        let signals: std::io::Result<_> = heard.map(on).collect();
        signals.map(Self).map_err(|error| Failure::new(crate::failure::OTHER, format!("signals: {error}")))
    }

    /// Waits for the next.
    pub(crate) async fn next(&mut self) -> Caught {
        std::future::poll_fn(|context| {
            let ready =
                self.0.iter_mut().find_map(|(number, signal)| signal.poll_recv(context).is_ready().then_some(*number));
            ready.map_or(std::task::Poll::Pending, |number| std::task::Poll::Ready(Caught(number)))
        })
        .await
    }
}

/// A signal that this process got.
#[cfg(unix)]
pub(crate) struct Caught(i32);

#[cfg(unix)]
impl Caught {
    /// Sends it to the program, unless the terminal has done so: it interrupts the whole group, and agents take two interrupts for an order to end.
    pub(crate) fn pass_on(&self, process: Option<u32>) {
        use tokio::signal::unix::SignalKind;
        let of_terminal =
            [SignalKind::interrupt(), SignalKind::quit()].iter().any(|kind| kind.as_raw_value() == self.0);
        if let Some(process) = process
            && !(of_terminal && crate::sys::is_in_foreground())
        {
            crate::sys::send(process, self.0);
        }
    }
}

/// The console interrupts all its programs by itself; this one is only not to end by that.
#[cfg(not(unix))]
pub(crate) struct Passed;

#[cfg(not(unix))]
impl Passed {
    pub(crate) fn listen() -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(crate) async fn next(&mut self) -> Caught {
        let _ = tokio::signal::ctrl_c().await;
        Caught
    }
}

#[cfg(not(unix))]
pub(crate) struct Caught;

#[cfg(not(unix))]
impl Caught {
    pub(crate) fn pass_on(&self, _: Option<u32>) {}
}

#[cfg(not(unix))]
pub(crate) struct End;

#[cfg(not(unix))]
impl End {
    pub(crate) fn listen() -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(crate) async fn wait(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
