//! HTTP dates (RFC 9110 section 5.6.7): one form that servers send, two old ones that clients must understand.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The moment that `text` names: `Thu, 01 Jan 2026 00:00:00 GMT`, `Thursday, 01-Jan-26 00:00:00 GMT` or `Thu Jan  1 00:00:00 2026`.
pub(crate) fn parse(text: &str) -> Option<SystemTime> {
    let mut parts = text.trim().split([' ', '-']).filter(|part| !part.is_empty());
    let weekday = parts.next()?;
    let (day, month, year, time) = if weekday.ends_with(',') {
        let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if !parts.next()?.eq_ignore_ascii_case("GMT") {
            return None;
        }
        (day, month, year, time)
    } else {
        let (month, day, time, year) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        (day, month, year, time)
    };
    if parts.next().is_some() {
        return None;
    }
    let month =
        MONTHS.iter().position(|name| name.eq_ignore_ascii_case(month)).and_then(|at| i64::try_from(at + 1).ok())?;
    let year = match (year.len(), number(year)?) {
        (4, year) => year,
        // Two digits are of the old form, which no server wrote before 1970.
        (2, year) => year + if year < 70 { 2000 } else { 1900 },
        _ => return None,
    };
    let day = number(day).filter(|day| (1..=31).contains(day))?;
    let mut clock = time.split(':').map(number);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    // 60 is a leap second.
    if clock.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let seconds = days_from_epoch(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// At most four digits, so that no arithmetic on it can overflow.
fn number(digits: &str) -> Option<i64> {
    let fine = (1..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if fine { digits.parse().ok() } else { None }
}

/// Days since 1970-01-01 in the Gregorian calendar. Years are counted from March, so that the leap day is a year's last.
fn days_from_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * month + 2) / 5 + day - 1 - DAYS_TO_1970
}

/// From 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

#[cfg(test)]
mod tests {
    use super::*;

    fn unix(text: &str) -> Option<u64> {
        parse(text).map(|time| time.duration_since(UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn all_three_forms_are_read() {
        // The example of RFC 9110 section 5.6.7, and moments computed with date(1).
        for (text, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Thu, 29 Feb 2024 23:59:59 GMT", 1_709_251_199),
            ("Thu, 01 Jan 2026 00:00:00 GMT", 1_767_225_600),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
            ("Wed, 01 Mar 2000 00:00:00 GMT", 951_868_800),
        ] {
            assert_eq!(unix(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "120",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sun, 06 Now 1994 08:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1960 08:49:37 GMT",
            "Sun, 06 Nov 99999999999999999999 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT GMT",
            "2026-01-01T00:00:00Z",
            "Sun, +6 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_date_or_none(text in ".{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn days_follow_each_other(day in 0_i64..2_900_000) {
            // Walks the calendar by the rule people know, and compares.
            let (mut year, mut rest) = (1970, day);
            let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            while rest >= 365 + i64::from(leap(year)) {
                rest -= 365 + i64::from(leap(year));
                year += 1;
            }
            let lengths = [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
            let mut month = 1;
            for length in lengths {
                if rest < length {
                    break;
                }
                rest -= length;
                month += 1;
            }
            proptest::prop_assert_eq!(days_from_epoch(year, month, rest + 1), day);
        }
    }
}
