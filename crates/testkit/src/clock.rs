//! The server's clock: the system's or a given one, and a shift.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use unexpired_core::Clock;

/// Moments are durations since the Unix epoch: nothing here is older.
#[derive(Default)]
pub(crate) struct ServerClock {
    given: Option<Arc<dyn Clock>>,
    /// Nanoseconds.
    shift: AtomicI64,
}

impl ServerClock {
    pub(crate) fn new(given: Option<Arc<dyn Clock>>) -> Self {
        Self { given, shift: AtomicI64::new(0) }
    }

    pub(crate) fn now(&self) -> Duration {
        let now = match &self.given {
            Some(clock) => clock.now().system_time(),
            None => SystemTime::now(),
        };
        shifted(now.duration_since(UNIX_EPOCH).unwrap_or_default(), self.shift())
    }

    /// Nanoseconds.
    pub(crate) fn shift(&self) -> i64 {
        self.shift.load(Ordering::SeqCst)
    }

    pub(crate) fn shift_by(&self, nanos: i64) {
        let add = |shift: i64| Some(shift.saturating_add(nanos));
        // The closure never refuses.
        let _ = self.shift.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add);
    }

    pub(crate) fn reset(&self) {
        self.shift.store(0, Ordering::SeqCst);
    }
}

/// `moment` moved by `nanos`, not before the epoch.
pub(crate) fn shifted(moment: Duration, nanos: i64) -> Duration {
    let by = Duration::from_nanos(nanos.unsigned_abs());
    if nanos >= 0 { moment.saturating_add(by) } else { moment.saturating_sub(by) }
}

pub(crate) fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

pub(crate) fn system_time(moment: Duration) -> SystemTime {
    UNIX_EPOCH.checked_add(moment).unwrap_or(UNIX_EPOCH)
}

/// A moment in UTC, for the places on the wire that want a date as text.
pub(crate) struct Civil {
    year: u64,
    month: u64,
    day: u64,
    weekday: u64,
    second_of_day: u64,
    millis: u32,
}

impl Civil {
    /// Years from 1970 to 9999; what is later stays in the last.
    pub(crate) fn of(moment: Duration) -> Self {
        let seconds = moment.as_secs().min(LAST_SECOND);
        let days = seconds / 86_400;
        // Days are counted from 0000-03-01, so that the leap day is a year's last, in eras of 400 years (146,097 days).
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: era * 400 + year_of_era + u64::from(month <= 2),
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            weekday: (days + 4) % 7,
            second_of_day: seconds % 86_400,
            millis: moment.subsec_millis(),
        }
    }

    /// `Thu, 01 Jan 2026 00:00:00 GMT` (RFC 9110 §5.6.7).
    pub(crate) fn http_date(&self) -> String {
        let (hour, minute, second) = self.time();
        let name = |names: &'static str, index: u64| {
            let start = usize::try_from(index).unwrap_or(0).saturating_mul(3);
            names.get(start..start.saturating_add(3)).unwrap_or("???")
        };
        format!(
            "{}, {:02} {} {:04} {hour:02}:{minute:02}:{second:02} GMT",
            name("SunMonTueWedThuFriSat", self.weekday),
            self.day,
            name("JanFebMarAprMayJunJulAugSepOctNovDec", self.month.saturating_sub(1)),
            self.year,
        )
    }

    /// `2026-01-01 00:00:00Z`, as Entra writes it.
    pub(crate) fn entra(&self) -> String {
        let (hour, minute, second) = self.time();
        format!("{:04}-{:02}-{:02} {hour:02}:{minute:02}:{second:02}Z", self.year, self.month, self.day)
    }

    /// `01.01.2026 00:00:00:205 UTC`, as IBM writes it.
    pub(crate) fn ibm(&self) -> String {
        let (hour, minute, second) = self.time();
        let Self { year, month, day, millis, .. } = self;
        format!("{day:02}.{month:02}.{year:04} {hour:02}:{minute:02}:{second:02}:{millis:03} UTC")
    }

    /// `2026-01-01T00:00:00Z` (RFC 3339).
    pub(crate) fn rfc3339(&self) -> String {
        let (hour, minute, second) = self.time();
        format!("{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z", self.year, self.month, self.day)
    }

    fn time(&self) -> (u64, u64, u64) {
        (self.second_of_day / 3_600, self.second_of_day / 60 % 60, self.second_of_day % 60)
    }
}

/// 9999-12-31T23:59:59Z.
const LAST_SECOND: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, http) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), // RFC 9110
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_767_225_599, "Wed, 31 Dec 2025 23:59:59 GMT"),
            (1_767_225_600, "Thu, 01 Jan 2026 00:00:00 GMT"),
            (LAST_SECOND + 5, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(Civil::of(Duration::from_secs(seconds)).http_date(), http);
        }
        let moment = Civil::of(Duration::from_millis(1_767_225_600_205));
        assert_eq!(moment.entra(), "2026-01-01 00:00:00Z");
        assert_eq!(moment.ibm(), "01.01.2026 00:00:00:205 UTC");
        assert_eq!(moment.rfc3339(), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn a_shift_goes_both_ways_and_saturates() {
        let clock = ServerClock::new(None);
        clock.shift_by(i64::MAX);
        clock.shift_by(i64::MAX);
        assert_eq!(clock.shift(), i64::MAX);
        clock.shift_by(i64::MIN);
        clock.shift_by(i64::MIN);
        assert_eq!(clock.now(), Duration::ZERO);
    }
}
