//! Durations as people write them.

use std::time::Duration;

/// Reads `10m`, `90s`, `1h30m`, `250ms`, `1d`: whole numbers, each with its unit. `None` for anything else, a bare number too.
///
/// At most a hundred years come out: enough for any token, and safe to add to any clock.
///
/// ```
/// use std::time::Duration;
/// use unexpired::config::parse_duration;
///
/// assert_eq!(parse_duration("1h30m"), Some(Duration::from_secs(5400)));
/// assert_eq!(parse_duration("90"), None);
/// ```
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut total = Duration::ZERO;
    let mut largest_left = u64::MAX;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let millis = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        // Units go down: `30m1h` is more likely a slip than a wish.
        if millis >= largest_left {
            return None;
        }
        largest_left = millis;
        let part = number.parse::<u64>().ok()?.saturating_mul(millis);
        total = total.saturating_add(Duration::from_millis(part));
        rest = after;
        if rest.is_empty() {
            return Some(total.min(LONGEST));
        }
    }
}

/// In milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What [`parse_duration`] reads, as a regular expression for the schema.
pub(super) const PATTERN: &str = "^([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        for (text, millis) in [
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("4s", 4000),
            ("250ms", 250),
            ("0s", 0),
            ("1d", 86_400_000),
            ("1m30s", 90_000),
            ("1s500ms", 1500),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "90",
            "m",
            "10x",
            "-1s",
            "+1s",
            "1.5h",
            "10 m",
            " 10m",
            "ten",
            "1h-",
            "30m1h",
            "1s1s",
            "99999999999999999999s",
            "１s",
        ] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        assert_eq!(parse_duration("18446744073709551615d"), Some(LONGEST));
    }
}
