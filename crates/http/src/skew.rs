//! How far this machine's clock is from the server's.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use unexpired_core::{MintRequest, Timestamp};

use crate::Response;

/// The distance of the server's clock from ours, learnt from `Date` headers and used for the `iat` and `exp` of assertions.
///
/// A source keeps one for the host that it talks to. It starts at zero.
///
/// ```
/// use std::time::SystemTime;
/// use unexpired_core::MintRequest;
/// use unexpired_http::Skew;
///
/// let skew = Skew::new();
/// let iat = skew.unix(&MintRequest::standalone());
/// assert!(iat >= 1_700_000_000);
/// ```
#[derive(Debug, Default)]
pub struct Skew(AtomicI64);

impl Skew {
    /// None known yet.
    pub const fn new() -> Self {
        Self(AtomicI64::new(0))
    }

    /// Learns from an answer. `Date` has whole seconds and was written somewhere between request and answer: what these explain is no skew.
    /// An answer without a readable `Date`, or from a cache (`Age`), teaches nothing.
    pub fn learn(&self, response: &Response) {
        if response.header("age").is_some_and(|age| age.trim() != "0") {
            return;
        }
        if let Some(date) = response.date() {
            self.0.store(skew(date, response.requested_at(), response.received_at()), Ordering::Relaxed);
        }
    }

    /// The server's clock minus ours, in milliseconds.
    pub fn millis(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// The server's time, as far as it is known.
    pub fn now(&self, request: &MintRequest) -> SystemTime {
        let ours = request.now().system_time();
        let by = Duration::from_millis(self.millis().unsigned_abs());
        let theirs = if self.millis() >= 0 { ours.checked_add(by) } else { ours.checked_sub(by) };
        theirs.unwrap_or(ours)
    }

    /// The server's time as a NumericDate: whole seconds since the Unix epoch.
    pub fn unix(&self, request: &MintRequest) -> i64 {
        let seconds = self.now(request).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        i64::try_from(seconds).unwrap_or(i64::MAX)
    }
}

fn skew(date: SystemTime, requested_at: Timestamp, received_at: Timestamp) -> i64 {
    let millis = |time: SystemTime| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    };
    let date = millis(date);
    let earliest = millis(requested_at.system_time());
    let latest = millis(received_at.system_time()).max(earliest);
    // The server's clock read something in [date, date + 1 s) at a moment of ours in [earliest, latest].
    if date.saturating_add(999) < earliest {
        date.saturating_add(999).saturating_sub(earliest)
    } else if date > latest {
        date.saturating_sub(latest)
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::response::tests::response;

    const SECOND: i64 = 1_000_000_000;
    const NOON: i64 = 1_767_268_800;

    fn answered(date: &str, from: i64, to: i64) -> Response {
        let mut response = response(200, &[("date", date)], "");
        response.requested_at = Timestamp::from_nanos(0, from);
        response.received_at = Timestamp::from_nanos(0, to);
        response
    }

    #[test]
    fn what_the_exchange_explains_is_no_skew() {
        let date = "Thu, 01 Jan 2026 12:00:00 GMT";
        for (from, to, millis) in [
            (NOON * SECOND, NOON * SECOND + 1, 0),
            (NOON * SECOND + 900_000_000, (NOON + 1) * SECOND, 0),
            ((NOON - 15) * SECOND, (NOON + 2) * SECOND, 0),
            ((NOON - 60) * SECOND, (NOON - 59) * SECOND, 59_000),
            ((NOON + 60) * SECOND, (NOON + 61) * SECOND, -59_001),
            // The wall clock was set back during the exchange.
            ((NOON + 60) * SECOND, NOON * SECOND, -59_001),
        ] {
            let skew = Skew::new();
            skew.learn(&answered(date, from, to));
            assert_eq!(skew.millis(), millis, "{from} {to}");
        }
    }

    #[test]
    fn the_servers_time_is_ours_and_the_skew() {
        let skew = Skew::new();
        let request = MintRequest::standalone();
        let ours = request.now().system_time();
        skew.0.store(3_600_000, Ordering::Relaxed);
        assert!(skew.now(&request) >= ours + Duration::from_secs(3600));
        skew.0.store(-3_600_000, Ordering::Relaxed);
        assert!(skew.now(&request) < ours);
        skew.0.store(i64::MIN, Ordering::Relaxed);
        assert!(skew.unix(&request) >= 0);
    }

    #[test]
    fn a_cached_or_dateless_answer_teaches_nothing() {
        let skew = Skew::new();
        skew.0.store(5, Ordering::Relaxed);
        skew.learn(&response(200, &[], ""));
        skew.learn(&response(200, &[("date", "yesterday")], ""));
        skew.learn(&response(200, &[("date", "Thu, 01 Jan 2015 00:00:00 GMT"), ("age", "9")], ""));
        assert_eq!(skew.millis(), 5);
    }
}
