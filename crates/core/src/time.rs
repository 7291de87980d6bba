//! Two clocks at once: the wall clock, which people and servers agree on, and the boot clock, which never steps and counts suspend.

use crate::BoxFuture;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One reading of both clocks, in nanoseconds. All arithmetic saturates.
///
/// ```
/// use std::time::Duration;
/// use unexpired_core::Timestamp;
///
/// let start = Timestamp::from_nanos(0, 0);
/// let later = start + Duration::from_secs(5);
/// assert_eq!(later.since(start), Duration::from_secs(5));
/// assert_eq!(start.since(later), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp {
    /// Nanoseconds since the machine booted, suspend included.
    boot: i64,
    /// Nanoseconds since 1970-01-01T00:00:00Z.
    wall: i64,
}

impl Timestamp {
    /// Later than everything: the expiry of a token that has none.
    pub const NEVER: Self = Self { boot: i64::MAX, wall: i64::MAX };

    /// A reading from nanoseconds since boot and nanoseconds since the Unix epoch.
    #[inline]
    pub const fn from_nanos(boot: i64, wall: i64) -> Self {
        Self { boot, wall }
    }

    /// The boot clock's part, in nanoseconds since boot.
    pub const fn boot_nanos(self) -> i64 {
        self.boot
    }

    /// The wall clock's part, in nanoseconds since the Unix epoch.
    pub const fn wall_nanos(self) -> i64 {
        self.wall
    }

    /// The wall clock's part.
    pub fn system_time(self) -> SystemTime {
        let nanos = Duration::from_nanos(self.wall.unsigned_abs());
        let time = if self.wall >= 0 { UNIX_EPOCH.checked_add(nanos) } else { UNIX_EPOCH.checked_sub(nanos) };
        time.unwrap_or(UNIX_EPOCH)
    }

    /// Whether this moment is [`NEVER`](Self::NEVER).
    pub const fn is_never(self) -> bool {
        self.boot == i64::MAX
    }

    /// Whether, at `now`, either clock says that this moment has come. What ends a token's life: laptops sleep, virtual machines are
    /// paused, clocks step; whichever clock says "over" is believed.
    #[inline]
    pub const fn reached(self, now: Self) -> bool {
        (now.boot >= self.boot) | (now.wall >= self.wall)
    }

    /// Whether, at `now`, the boot clock says that this moment has come. What ends a wait: a stepped wall clock changes no waiting time.
    pub const fn waited(self, now: Self) -> bool {
        now.boot >= self.boot
    }

    /// How long until the first of the two clocks says that this moment has come; zero if it has.
    pub const fn until(self, now: Self) -> Duration {
        let boot = self.boot.saturating_sub(now.boot);
        let wall = self.wall.saturating_sub(now.wall);
        let least = if boot < wall { boot } else { wall };
        nanos(least)
    }

    /// The boot clock's distance from `earlier` to here; zero if `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        nanos(self.boot.saturating_sub(earlier.boot))
    }

    /// The earlier of two by the boot clock.
    pub const fn earlier(self, other: Self) -> Self {
        if other.boot < self.boot { other } else { self }
    }

    /// The later of two by the boot clock.
    pub const fn later(self, other: Self) -> Self {
        if other.boot > self.boot { other } else { self }
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let by = to_nanos(duration);
        Self { boot: self.boot.saturating_add(by), wall: self.wall.saturating_add(by) }
    }
}

impl std::ops::Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        if self.is_never() {
            return self;
        }
        let by = to_nanos(duration);
        Self { boot: self.boot.saturating_sub(by), wall: self.wall.saturating_sub(by) }
    }
}

/// Where the engine reads the time and how it waits.
///
/// [`SystemClock`] is the real one. Tests use `TestClock` (feature `test-clock`), which moves only when told to.
pub trait Clock: Send + Sync + 'static {
    /// Both clocks, as exact as the system has them.
    fn now(&self) -> Timestamp;

    /// Both clocks for the hit path, where a wall clock that is a few milliseconds old is good enough.
    fn coarse(&self) -> Timestamp {
        self.now()
    }

    /// Done after about `duration`. It may end early or late (a suspended machine): whoever waits reads the clock again.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// A clock, shared. The system's clock is called without indirection, for the hit path's sake.
#[derive(Clone)]
pub(crate) enum SharedClock {
    #[cfg(feature = "thread")]
    System,
    Given(Arc<dyn Clock>),
}

impl SharedClock {
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            #[cfg(feature = "thread")]
            Self::System => crate::sys::now(),
            Self::Given(clock) => clock.now(),
        }
    }

    #[inline]
    pub(crate) fn coarse(&self) -> Timestamp {
        match self {
            #[cfg(feature = "thread")]
            Self::System => crate::sys::coarse(),
            Self::Given(clock) => clock.coarse(),
        }
    }

    pub(crate) fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        match self {
            #[cfg(feature = "thread")]
            Self::System => crate::background::sleep(duration),
            Self::Given(clock) => clock.sleep(duration),
        }
    }

    /// Waits until the boot clock has reached `until`, in slices of at most 30 s with the clock read anew after each: a timer that was
    /// set before a suspend may fire hours late.
    pub(crate) async fn sleep_until(&self, until: Timestamp) {
        loop {
            let now = self.now();
            if until.waited(now) {
                return;
            }
            self.sleep(until.since(now).min(SLICE)).await;
        }
    }
}

impl fmt::Debug for SharedClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            #[cfg(feature = "thread")]
            Self::System => f.write_str("SystemClock"),
            Self::Given(_) => f.write_str("Clock"),
        }
    }
}

/// The system's clocks: `CLOCK_BOOTTIME` where there is one, and the wall clock.
///
/// ```
/// use unexpired_core::{Clock, SystemClock};
///
/// let first = SystemClock.now();
/// assert!(SystemClock.now().boot_nanos() >= first.boot_nanos());
/// ```
#[cfg(feature = "thread")]
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[cfg(feature = "thread")]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        crate::sys::now()
    }

    fn coarse(&self) -> Timestamp {
        crate::sys::coarse()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        crate::background::sleep(duration)
    }
}

/// A duration as saturated nanoseconds.
pub(crate) const fn to_nanos(duration: Duration) -> i64 {
    let nanos = duration.as_nanos();
    if nanos > i64::MAX as u128 { i64::MAX } else { nanos as i64 }
}

/// Nanoseconds as a duration; negative is zero.
const fn nanos(nanos: i64) -> Duration {
    if nanos <= 0 { Duration::ZERO } else { Duration::from_nanos(nanos as u64) }
}

/// No sleep is longer, so that the clock is looked at again soon after a suspend.
pub(crate) const SLICE: Duration = Duration::from_secs(30);
