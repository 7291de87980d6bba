//! The system's clocks: all that is particular to one operating system in this crate.

use crate::Timestamp;

/// Both clocks, exactly.
pub(crate) fn now() -> Timestamp {
    Timestamp::from_nanos(boot(), wall())
}

/// Both clocks, the wall clock as of the last tick (a few milliseconds ago): `CLOCK_REALTIME_COARSE` costs a tenth of an exact reading.
#[inline]
pub(crate) fn coarse() -> Timestamp {
    Timestamp::from_nanos(boot(), coarse_wall())
}

#[cfg(unix)]
#[inline]
fn read(id: rustix::time::ClockId) -> i64 {
    let time = rustix::time::clock_gettime(id);
    #[allow(clippy::useless_conversion, reason = "the fields are narrower on some systems")]
    i64::from(time.tv_sec).saturating_mul(1_000_000_000).saturating_add(i64::from(time.tv_nsec))
}

#[cfg(unix)]
fn wall() -> i64 {
    read(rustix::time::ClockId::Realtime)
}

/// `CLOCK_BOOTTIME` counts suspend; `CLOCK_MONOTONIC`, and so `Instant`, does not.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
fn boot() -> i64 {
    read(rustix::time::ClockId::Boottime)
}

/// On Apple's systems `CLOCK_MONOTONIC` goes on while the system sleeps; the BSDs have nothing better.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
#[inline]
fn boot() -> i64 {
    read(rustix::time::ClockId::Monotonic)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
#[inline]
fn coarse_wall() -> i64 {
    read(rustix::time::ClockId::RealtimeCoarse)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn coarse_wall() -> i64 {
    wall()
}

/// Windows: `Instant` reads the performance counter, which goes on during sleep and hibernation.
#[cfg(not(unix))]
fn boot() -> i64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    crate::time::to_nanos(START.get_or_init(Instant::now).elapsed())
}

#[cfg(not(unix))]
fn wall() -> i64 {
    use std::time::{SystemTime, UNIX_EPOCH};
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => crate::time::to_nanos(since),
        Err(before) => crate::time::to_nanos(before.duration()).saturating_neg(),
    }
}
