//! What happens in a demo, and the books that are kept of it. No clock and no output: the moments come with the happenings.

use std::collections::BTreeMap;
use std::time::Duration;

/// Something that happened, and when, counted from the start.
#[derive(Clone, Debug)]
pub(crate) struct Happening {
    pub(crate) at: Duration,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A token arrived at the manager.
    Token { fingerprint: String, life: Duration, took: Duration },
    /// A mint failed. Nobody waits for it while a token has life in it.
    MintFailed { error: String },
    /// The identity provider stops answering.
    OutageBegan,
    /// It answers again.
    OutageEnded,
    /// The resource server was told to refuse this token from now on.
    Revoked { fingerprint: String },
    /// A client's request was answered with 401. It reports the token and tries once more: nothing that its user sees.
    Refused { fingerprint: String },
    /// A client's request has ended, for its user to see.
    Request { fingerprint: Option<String>, took: Duration, outcome: Outcome },
}

#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// Accepted; perhaps at the second try.
    Accepted { retried: bool },
    /// The user is left with this status.
    Status(u16),
    /// The user is left with this error.
    Error(String),
}

/// The life of one token, as the demo saw it.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) fingerprint: String,
    pub(crate) born: Duration,
    pub(crate) expires: Duration,
    /// When the next token took its place.
    pub(crate) replaced: Option<Duration>,
    pub(crate) revoked: Option<Duration>,
    pub(crate) requests: u64,
    pub(crate) refused: u64,
    /// Mints that failed while it was handed out.
    pub(crate) failed_mints: u64,
}

impl Life {
    /// When nothing more happens to it.
    pub(crate) fn over(&self) -> Duration {
        match (self.replaced, self.revoked) {
            (Some(replaced), Some(_)) => replaced,
            _ => self.expires,
        }
    }
}

/// The books.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) lives: Vec<Life>,
    pub(crate) outages: Vec<(Duration, Option<Duration>)>,
    pub(crate) failed_mints: Vec<Duration>,
    pub(crate) requests: u64,
    pub(crate) accepted: u64,
    /// Answers of 401 that a retry with the replacement made good.
    pub(crate) retried: u64,
    /// Answers of 401 that the clients met, whether made good or not.
    pub(crate) met_401: u64,
    /// What users were left with: refusals.
    pub(crate) seen_rejected: u64,
    /// What users were left with: errors.
    pub(crate) seen_errors: u64,
    pub(crate) during_outage: u64,
    pub(crate) slowest_in_outage: Duration,
    pub(crate) slowest: Duration,
    pub(crate) first_trouble: Option<String>,
    troubles: BTreeMap<u64, Mark>,
}

/// What a moment of the session is remembered by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    Fine,
    Retried,
    Trouble,
}

impl Story {
    /// Writes a happening down.
    pub(crate) fn record(&mut self, happening: &Happening) {
        let at = happening.at;
        match &happening.what {
            What::Token { fingerprint, life, .. } => {
                if let Some(last) = self.lives.last_mut() {
                    last.replaced.get_or_insert(at);
                }
                self.lives.push(Life {
                    fingerprint: fingerprint.clone(),
                    born: at,
                    expires: at.saturating_add(*life),
                    replaced: None,
                    revoked: None,
                    requests: 0,
                    refused: 0,
                    failed_mints: 0,
                });
            }
            What::MintFailed { .. } => {
                self.failed_mints.push(at);
                if let Some(last) = self.lives.last_mut() {
                    last.failed_mints += 1;
                }
            }
            What::OutageBegan => self.outages.push((at, None)),
            What::OutageEnded => {
                if let Some((_, end)) = self.outages.last_mut() {
                    end.get_or_insert(at);
                }
            }
            What::Revoked { fingerprint } => {
                if let Some(life) = self.life(fingerprint) {
                    life.revoked.get_or_insert(at);
                }
            }
            What::Refused { fingerprint } => {
                self.met_401 += 1;
                if let Some(life) = self.life(fingerprint) {
                    life.refused += 1;
                }
            }
            What::Request { fingerprint, took, outcome } => self.request(at, fingerprint.as_deref(), *took, outcome),
        }
    }

    fn request(&mut self, at: Duration, fingerprint: Option<&str>, took: Duration, outcome: &Outcome) {
        self.requests += 1;
        if let Some(life) = fingerprint.and_then(|fingerprint| self.life(fingerprint)) {
            life.requests += 1;
        }
        self.slowest = self.slowest.max(took);
        if self.in_outage(at) {
            self.during_outage += 1;
            self.slowest_in_outage = self.slowest_in_outage.max(took);
        }
        let mark = match outcome {
            Outcome::Accepted { retried } => {
                self.accepted += 1;
                self.retried += u64::from(*retried);
                if *retried { Mark::Retried } else { Mark::Fine }
            }
            Outcome::Status(status) => {
                self.seen_rejected += 1;
                self.first_trouble.get_or_insert_with(|| format!("HTTP {status}"));
                Mark::Trouble
            }
            Outcome::Error(error) => {
                self.seen_errors += 1;
                self.first_trouble.get_or_insert_with(|| error.clone());
                Mark::Trouble
            }
        };
        let slot = self.troubles.entry(millis(at) / SLOT_MILLIS).or_insert(mark);
        *slot = (*slot).max(mark);
    }

    fn life(&mut self, fingerprint: &str) -> Option<&mut Life> {
        self.lives.iter_mut().rev().find(|life| life.fingerprint == fingerprint)
    }

    /// Whether the identity provider is down at this moment.
    pub(crate) fn in_outage(&self, at: Duration) -> bool {
        self.outages.iter().any(|(begin, end)| *begin <= at && end.is_none_or(|end| at < end))
    }

    /// Whether the identity provider is down at any moment from `from` to `to`.
    pub(crate) fn outage_within(&self, from: Duration, to: Duration) -> bool {
        self.outages.iter().any(|(begin, end)| *begin < to && end.is_none_or(|end| from < end))
    }

    /// The worst of the requests from `from` to `to`; `None` if there were none.
    pub(crate) fn mark_within(&self, from: Duration, to: Duration) -> Option<Mark> {
        let first = millis(from).div_ceil(SLOT_MILLIS);
        let last = millis(to).div_ceil(SLOT_MILLIS).max(first.saturating_add(1));
        self.troubles.range(first..last).map(|(_, mark)| *mark).max()
    }

    /// Whether the session kept its promise, and had something to keep it against.
    pub(crate) fn kept(&self) -> bool {
        self.requests > 0
            && self.accepted == self.requests
            && self.lives.len() > 1
            && !self.failed_mints.is_empty()
            && self.retried > 0
    }

    /// The time that the identity provider was down.
    pub(crate) fn outage_time(&self, now: Duration) -> Duration {
        self.outages.iter().map(|(begin, end)| end.unwrap_or(now).saturating_sub(*begin)).sum()
    }

    /// The sum of it, in a few sentences.
    pub(crate) fn summary(&self, life: Duration, ended: Duration) -> Vec<String> {
        let seen = self.seen_rejected.saturating_add(self.seen_errors);
        let mut lines = vec![
            format!(
                "{} in {}: {} accepted, {} rejected, {} without a token.",
                count(self.requests, "request"),
                seconds(ended),
                self.accepted,
                self.seen_rejected,
                self.seen_errors
            ),
            format!(
                "{} minted, each good for {}; the slowest request took {}.",
                count(self.lives.len() as u64, "token"),
                seconds(life),
                milliseconds(self.slowest)
            ),
            format!(
                "Outage of {}, {} failed: {} went on, the slowest took {}.",
                seconds(self.outage_time(ended)),
                count(self.failed_mints.len() as u64, "mint"),
                count(self.during_outage, "request"),
                milliseconds(self.slowest_in_outage)
            ),
            format!(
                "Revocation: {} met a 401; {} made good by a new token and one retry.",
                count(self.met_401, "request"),
                self.retried
            ),
        ];
        lines.push(if self.kept() {
            "Nobody who used a token saw a 401 or an error.".to_owned()
        } else if seen > 0 {
            let first = self.first_trouble.as_deref().unwrap_or("unknown");
            format!("Not kept: users were left with {} (the first: {first}).", count(seen, "failure"))
        } else {
            "Nothing proved: the session lacks a refresh, a failed mint or a revocation.".to_owned()
        });
        lines
    }
}

/// `1 request`, `2 requests`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

pub(crate) fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How finely the requests are remembered.
const SLOT_MILLIS: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64, what: What) -> Happening {
        Happening { at: Duration::from_millis(millis), what }
    }

    fn token(name: &str) -> What {
        What::Token { fingerprint: name.into(), life: Duration::from_secs(3), took: Duration::from_millis(2) }
    }

    fn request(name: &str, outcome: Outcome) -> What {
        What::Request { fingerprint: Some(name.into()), took: Duration::from_millis(1), outcome }
    }

    fn told(happenings: &[Happening]) -> Story {
        let mut story = Story::default();
        happenings.iter().for_each(|happening| story.record(happening));
        story
    }

    fn good() -> Vec<Happening> {
        vec![
            at(0, token("a")),
            at(10, request("a", Outcome::Accepted { retried: false })),
            at(100, What::OutageBegan),
            at(1500, What::MintFailed { error: "503".into() }),
            at(1600, request("a", Outcome::Accepted { retried: false })),
            at(1900, What::OutageEnded),
            at(2000, token("b")),
            at(2500, What::Revoked { fingerprint: "b".into() }),
            at(2550, What::Refused { fingerprint: "b".into() }),
            at(2560, token("c")),
            at(2570, request("c", Outcome::Accepted { retried: true })),
        ]
    }

    #[test]
    fn a_session_that_kept_its_promise() {
        let story = told(&good());
        assert!(story.kept());
        assert_eq!((story.requests, story.accepted, story.during_outage, story.retried), (3, 3, 1, 1));
        assert_eq!(story.outage_time(Duration::from_secs(9)), Duration::from_millis(1800));
        assert_eq!(story.lives[1].over(), Duration::from_millis(2560));
        assert_eq!(story.lives[0].over(), Duration::from_secs(3));
        assert_eq!(story.mark_within(Duration::from_millis(2500), Duration::from_millis(2600)), Some(Mark::Retried));
        assert_eq!(story.mark_within(Duration::from_millis(700), Duration::from_millis(800)), None);
    }

    #[test]
    fn what_a_user_saw_breaks_the_promise() {
        for (outcome, shown) in [
            (Outcome::Status(401), "HTTP 401"),
            (Outcome::Status(500), "HTTP 500"),
            (Outcome::Error("no token".into()), "no token"),
        ] {
            let mut happenings = good();
            happenings.push(at(2600, request("c", outcome)));
            let story = told(&happenings);
            assert!(!story.kept());
            let summary = story.summary(Duration::from_secs(3), Duration::from_secs(9)).join("\n");
            assert!(summary.contains(shown), "{summary}");
        }
    }

    #[test]
    fn a_session_without_trouble_proves_nothing() {
        let quiet = told(&[at(0, token("a")), at(1, request("a", Outcome::Accepted { retried: false }))]);
        assert!(!quiet.kept());
        for missing in ["MintFailed", "Request", "Token"] {
            let happenings: Vec<_> =
                good().into_iter().filter(|h| !format!("{:?}", h.what).starts_with(missing)).collect();
            assert!(!told(&happenings).kept(), "without {missing}");
        }
    }
}
