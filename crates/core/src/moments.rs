//! The moments of a token's life, computed once when it arrives.

use crate::{Lifetime, Timestamp, WindowCap};
use std::time::Duration;

/// When a token is due, urgent, unusable and expired. All on both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Moments {
    /// When it was asked for; lives are counted from here.
    pub minted_at: Timestamp,
    /// From here on a call starts a refresh, and gets the token at once.
    pub refresh_at: Timestamp,
    /// From here on the caller that starts a refresh waits for it a little.
    pub urgent_at: Timestamp,
    /// From here on nobody gets it.
    pub usable_until: Timestamp,
    /// When the server stops accepting it.
    pub expires_at: Timestamp,
}

impl Moments {
    /// The moments of a life.
    ///
    /// The refresh window (how long before expiry `refresh_at` lies) is the server's hint if that lies inside the life, else a quarter of the
    /// life and at most 60 minutes; never more than half the life, nor than the source's cap. `min_ttl` widens it, up to half the life.
    /// `jitter` (0 to 1) shortens the result by up to a tenth, so that many processes do not refresh in the same second.
    pub fn of(lifetime: &Lifetime, min_ttl: Duration, jitter: f64) -> Self {
        let start = lifetime.counted_from;
        let Some(life) = lifetime.life else {
            let never = Timestamp::NEVER;
            return Self {
                minted_at: start,
                refresh_at: never,
                urgent_at: never,
                usable_until: never,
                expires_at: never,
            };
        };
        let half = life / 2;
        let advised =
            lifetime.refresh_in.filter(|hint| !hint.is_zero() && *hint < life).map(|hint| life.saturating_sub(hint));
        let window = advised.unwrap_or_else(|| (life / 4).min(LONGEST_WINDOW)).min(half);
        let window = match lifetime.cap {
            WindowCap::None => window,
            WindowCap::AtMost(cap) => window.min(cap),
            WindowCap::OneIn(parts) => window.min(life / parts.max(1)),
        };
        let window = window.max(min_ttl.min(half));
        let window = window.mul_f64(1.0 - JITTER * jitter.clamp(0.0, 1.0));
        let expires_at = start + life;
        let urgent_at = expires_at - (life / 10).min(URGENT);
        let refresh_at = expires_at - window;
        Self {
            minted_at: start,
            // A hint close to the end must not make a token urgent before it is due.
            refresh_at: if refresh_at.boot_nanos() > urgent_at.boot_nanos() { urgent_at } else { refresh_at },
            urgent_at,
            usable_until: expires_at - (life / 20).min(MARGIN),
            expires_at,
        }
    }

    /// Moments that were kept elsewhere, in the order of a life.
    pub fn restore(
        minted_at: Timestamp,
        refresh_at: Timestamp,
        urgent_at: Timestamp,
        usable_until: Timestamp,
        expires_at: Timestamp,
    ) -> Self {
        Self { minted_at, refresh_at, urgent_at, usable_until, expires_at }
    }

    /// The token's whole life; zero if it never expires.
    pub fn life(&self) -> Duration {
        if self.expires_at.is_never() { Duration::ZERO } else { self.expires_at.since(self.minted_at) }
    }

    /// Where in its life the token is at `now`.
    pub fn phase(&self, now: Timestamp) -> Phase {
        if self.usable_until.reached(now) {
            Phase::Expired
        } else if self.urgent_at.reached(now) {
            Phase::Urgent
        } else if self.refresh_at.reached(now) {
            Phase::Due
        } else {
            Phase::Fresh
        }
    }
}

/// A part of a token's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Nothing to do.
    Fresh,
    /// To be refreshed; nobody waits.
    Due,
    /// Close to its end: whoever starts the refresh waits for it a little.
    Urgent,
    /// Handed to nobody.
    Expired,
}

const LONGEST_WINDOW: Duration = Duration::from_secs(60 * 60);
const URGENT: Duration = Duration::from_secs(60);
const MARGIN: Duration = Duration::from_secs(10);
const JITTER: f64 = 0.1;

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_nanos(1_000_000_000_000, 1_767_225_600_000_000_000);

    fn lifetime(life: u64) -> Lifetime {
        Lifetime { counted_from: START, life: Some(Duration::from_secs(life)), refresh_in: None, cap: WindowCap::None }
    }

    /// Seconds before expiry of (refresh, urgent, unusable).
    fn before(lifetime: &Lifetime, min_ttl: u64, jitter: f64) -> (f64, f64, f64) {
        let m = Moments::of(lifetime, Duration::from_secs(min_ttl), jitter);
        let distance = |t: Timestamp| m.expires_at.since(t).as_secs_f64();
        (distance(m.refresh_at), distance(m.urgent_at), distance(m.usable_until))
    }

    #[test]
    fn the_table_of_the_design() {
        let hint = |after| Lifetime { refresh_in: Some(Duration::from_secs(after)), ..lifetime(86_400) };
        let capped = |cap| Lifetime { cap, ..lifetime(3600) };
        let rows = [
            ("an hour", lifetime(3600), 0, (900.0, 60.0, 10.0)),
            ("a day", lifetime(86_400), 0, (3600.0, 60.0, 10.0)),
            ("a hint of half a day", hint(43_200), 0, (43_200.0, 60.0, 10.0)),
            ("a hint too early is held at half", hint(600), 0, (43_200.0, 60.0, 10.0)),
            ("a hint past the end is none", hint(86_400), 0, (3600.0, 60.0, 10.0)),
            ("a hint of zero is none", hint(0), 0, (3600.0, 60.0, 10.0)),
            ("a hint after urgency is urgency", hint(86_390), 0, (60.0, 60.0, 10.0)),
            ("Google's cap", capped(WindowCap::AtMost(Duration::from_secs(225))), 0, (225.0, 60.0, 10.0)),
            ("IBM's cap", capped(WindowCap::OneIn(5)), 0, (720.0, 60.0, 10.0)),
            ("min_ttl widens", lifetime(3600), 1200, (1200.0, 60.0, 10.0)),
            ("min_ttl stops at half", lifetime(3600), 7200, (1800.0, 60.0, 10.0)),
            ("three seconds", lifetime(3), 0, (0.75, 0.3, 0.15)),
            ("one second", lifetime(1), 0, (0.25, 0.1, 0.05)),
        ];
        for (what, lifetime, min_ttl, expected) in rows {
            assert_eq!(before(&lifetime, min_ttl, 0.0), expected, "{what}");
        }
    }

    #[test]
    fn jitter_only_shortens() {
        assert_eq!(before(&lifetime(3600), 0, 1.0).0, 810.0);
        assert_eq!(before(&lifetime(3600), 0, 0.5).0, 855.0);
        assert_eq!(before(&lifetime(3600), 1200, 1.0).0, 1080.0);
    }

    #[test]
    fn what_never_expires_never_refreshes() {
        let moments = Moments::of(&Lifetime { life: None, ..lifetime(0) }, Duration::from_secs(60), 0.5);
        assert_eq!(moments.phase(START + Duration::from_secs(100 * 365 * 86_400)), Phase::Fresh);
    }
}
