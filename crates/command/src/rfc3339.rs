//! RFC 3339 times.

/// The seconds since 1970-01-01T00:00:00Z of `2026-01-02T03:04:05.678Z`, or with an offset such as `+01:00` (`+0100` passes too). A time
/// without a zone is none: whose time is it? A fraction is cut off, which is the safe side for an expiry.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let mut rest = Rest(text.as_bytes());
    let (year, month, day) = (rest.number(4)?, rest.after(b"-")?.number(2)?, rest.after(b"-")?.number(2)?);
    let (hour, minute, second) =
        (rest.after(b"Tt ")?.number(2)?, rest.after(b":")?.number(2)?, rest.after(b":")?.number(2)?);
    if rest.after(b".").is_some() {
        rest.number(1)?;
        while rest.number(1).is_some() {}
    }
    let offset = match rest.take()? {
        b'Z' | b'z' => 0,
        sign @ (b'+' | b'-') => {
            let hours = rest.number(2)?;
            let _ = rest.after(b":");
            let minutes = rest.number(2)?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 3_600 + minutes * 60;
            if sign == b'-' { -offset } else { offset }
        }
        _ => return None,
    };
    // 60 is a leap second.
    if !rest.0.is_empty() || hour > 23 || minute > 59 || second > 60 || !(1..=days_in(year, month)?).contains(&day) {
        return None;
    }
    Some(days_before(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - offset)
}

/// What has not been read yet.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// The rest after one of `these`; nothing is read otherwise.
    fn after(&mut self, these: &[u8]) -> Option<&mut Self> {
        let (first, rest) = self.0.split_first()?;
        these.contains(first).then_some(())?;
        self.0 = rest;
        Some(self)
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        let value = number
            .iter()
            .try_fold(0_i64, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(*digit - b'0')))?;
        self.0 = rest;
        Some(value)
    }
}

fn days_in(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(if leap { 29 } else { 28 }),
        _ => None,
    }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. The year is taken to begin in March, so that the leap day is its last.
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - EPOCH
}

/// 1970-01-01, counted from 0000-03-01.
const EPOCH: i64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_with_a_zone_are_read() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2026-01-01T00:00:00Z", 1_767_225_600),
            ("2026-01-01t00:00:00.999999999z", 1_767_225_600),
            ("2026-01-01 01:00:00+01:00", 1_767_225_600),
            ("2025-12-31T16:30:00-0730", 1_767_225_600),
            ("2000-02-29T12:00:00Z", 951_825_600),
            ("1999-12-31T23:59:60Z", 946_684_800),
            ("0001-01-01T00:00:00Z", -62_135_596_800),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(parse(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_with_a_zone_is_none() {
        for text in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01 01:59:59.000000",
            "2026-01-01T00:00:00UTC",
            "2026-1-1T00:00:00Z",
            "2026-02-29T00:00:00Z",
            "2100-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00Z ",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+1",
            "+026-01-01T00:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(text in "[0-9TZtz:. +-]{0,40}|\\PC{0,40}") {
            let _ = parse(&text);
        }

        /// Against a count that knows no formula: day after day from 1970.
        #[test]
        fn days_are_counted_rightly(day in 0_i64..80_000) {
            let (mut year, mut month, mut left) = (1970, 1, day);
            while let Some(days) = days_in(year, month).filter(|days| left >= *days) {
                left -= days;
                (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            }
            prop_assert_eq!(parse(&format!("{year:04}-{month:02}-{:02}T00:00:00Z", left + 1)), Some(day * 86_400));
        }
    }
}
