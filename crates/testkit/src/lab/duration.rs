//! Durations as people write them.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use crate::clock::nanos;

/// `250ms`, `3s`, `10m`, `1h30m`, or a number of seconds; not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Length(pub(crate) Duration);

/// As [`Length`], or with a minus: nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shift(pub(crate) i64);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)?.read() {
            Some((false, duration)) => Ok(Self(duration)),
            _ => Err(de::Error::custom(LENGTH)),
        }
    }
}

impl<'de> Deserialize<'de> for Shift {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)?.read() {
            Some((negative, duration)) if negative => Ok(Self(nanos(duration).saturating_neg())),
            Some((_, duration)) => Ok(Self(nanos(duration))),
            None => Err(de::Error::custom(SHIFT)),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Seconds(f64),
    Text(String),
}

impl Written {
    /// Whether it is negative, and how long it is.
    fn read(&self) -> Option<(bool, Duration)> {
        match self {
            Self::Seconds(seconds) => {
                let duration = Duration::try_from_secs_f64(seconds.abs()).ok()?;
                Some((seconds.is_sign_negative() && *seconds != 0.0, duration))
            }
            Self::Text(text) => match text.strip_prefix('-') {
                Some(text) => Some((true, parse(text)?)),
                None => Some((false, parse(text.strip_prefix('+').unwrap_or(text))?)),
            },
        }
    }
}

/// Whole numbers, each with its unit, the larger units first or not.
fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let number: u64 = number.parse().ok()?;
        let part = match unit {
            "ms" => Duration::from_millis(number),
            "s" => Duration::from_secs(number),
            "m" => Duration::from_secs(number.checked_mul(60)?),
            "h" => Duration::from_secs(number.checked_mul(3_600)?),
            "d" => Duration::from_secs(number.checked_mul(86_400)?),
            _ => return None,
        };
        total = total.checked_add(part)?;
        rest = after;
    }
    Some(total)
}

const LENGTH: &str = "a duration is written as \"250ms\", \"3s\", \"10m\", \"1h30m\", or as a number of seconds";
const SHIFT: &str = "a shift is written as \"1h\", \"-90s\", or as a number of seconds";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_shifts() {
        let length = |json: &str| serde_json::from_str::<Length>(json).ok().map(|length| length.0);
        for (json, millis) in [
            (r#""250ms""#, 250),
            (r#""3s""#, 3_000),
            (r#""1h30m""#, 5_400_000),
            (r#""2d""#, 172_800_000),
            ("3", 3_000),
            ("0.25", 250),
            ("0", 0),
        ] {
            assert_eq!(length(json), Some(Duration::from_millis(millis)), "{json}");
        }
        for bad in [
            r#""""#,
            r#""3""#,
            r#""s""#,
            r#""3 s""#,
            r#""-3s""#,
            "-3",
            "1e300",
            r#""99999999999999999999s""#,
            "null",
            "[]",
        ] {
            assert_eq!(length(bad), None, "{bad}");
        }
        let shift = |json: &str| serde_json::from_str::<Shift>(json).ok().map(|shift| shift.0);
        assert_eq!(shift(r#""-90s""#), Some(-90_000_000_000));
        assert_eq!(shift("-1.5"), Some(-1_500_000_000));
        assert_eq!(shift(r#""99999999999d""#), Some(i64::MAX));
        assert_eq!(shift(r#""soon""#), None);
    }
}
