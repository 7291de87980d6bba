//! An access token's record as it stands in a file.
//!
//! Moments are pairs of nanoseconds: since boot and since 1970. The first count only under the boot id that stands beside them; after a reboot
//! they are counted anew from the second.

use crate::format::{TOKEN, Text, VERSION};
use crate::sys;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use unexpired_core::{
    Clock, Digest, ErrorKind, FailureRecord, MintError, Moments, RejectionRecord, Secret, SuspicionRecord, SystemClock,
    Timestamp, Token, TokenRecord,
};

#[derive(Serialize)]
pub(crate) struct TokenForm<'a> {
    v: u32,
    kind: &'static str,
    boot: &'a str,
    revision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<Written<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrived_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    short_until: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejection: Option<Rejection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    suspicion: Option<Suspicion>,
}

type Moment = (i64, i64);

#[derive(Serialize)]
struct Written<'a> {
    secret: &'a str,
    scheme: &'a str,
    source: &'a str,
    /// `minted_at`, `refresh_at`, `urgent_at`, `usable_until`, `expires_at`.
    moments: [Moment; 5],
}

#[derive(Deserialize)]
struct ReadToken {
    secret: Text,
    scheme: String,
    source: String,
    moments: [Moment; 5],
}

#[derive(Serialize, Deserialize)]
struct Failure {
    kind: String,
    message: String,
    code: Option<String>,
    host: Option<String>,
    remedy: Option<String>,
    source: Option<String>,
    not_before: Moment,
    streak: u32,
    #[serde(default)]
    urgent_spent: bool,
}

#[derive(Serialize, Deserialize)]
struct Rejection {
    digest: String,
    at: Moment,
    strikes: u32,
    blocked_until: Option<Moment>,
}

#[derive(Serialize, Deserialize)]
struct Suspicion {
    digest: String,
    at: Moment,
    not_before: Moment,
    strikes: u32,
}

#[derive(Deserialize)]
struct Read {
    boot: String,
    #[serde(default)]
    revision: u64,
    token: Option<ReadToken>,
    claims: Option<String>,
    took_ms: Option<u64>,
    arrived_at: Option<Moment>,
    short_until: Option<Moment>,
    failure: Option<Failure>,
    rejection: Option<Rejection>,
    suspicion: Option<Suspicion>,
}

impl<'a> TokenForm<'a> {
    pub(crate) fn of(record: &'a TokenRecord) -> Self {
        Self {
            v: VERSION,
            kind: TOKEN,
            boot: sys::boot_id(),
            revision: record.revision,
            token: record.token.as_ref().map(|token| {
                let moments = token.moments();
                Written {
                    secret: token.secret(),
                    scheme: token.scheme(),
                    source: token.source(),
                    moments: [
                        written(moments.minted_at),
                        written(moments.refresh_at),
                        written(moments.urgent_at),
                        written(moments.usable_until),
                        written(moments.expires_at),
                    ],
                }
            }),
            claims: record.claims.map(|claims| claims.to_hex()),
            took_ms: record.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            arrived_at: record.arrived_at.map(written),
            short_until: record.short_until.map(written),
            failure: record.failure.as_ref().map(|failure| {
                let error = &failure.error;
                let text = |text: Option<&str>| text.map(str::to_owned);
                Failure {
                    kind: error.kind().as_str().to_owned(),
                    message: error.message().to_owned(),
                    code: text(error.provider_code()),
                    host: text(error.endpoint_host()),
                    remedy: text(error.remedy_text()),
                    source: text(error.source_name()),
                    not_before: written(failure.not_before),
                    streak: failure.streak,
                    urgent_spent: failure.urgent_spent,
                }
            }),
            rejection: record.rejection.as_ref().map(|rejection| Rejection {
                digest: rejection.digest.to_hex(),
                at: written(rejection.at),
                strikes: rejection.strikes,
                blocked_until: rejection.blocked_until.map(written),
            }),
            suspicion: record.suspicion.as_ref().map(|suspicion| Suspicion {
                digest: suspicion.digest.to_hex(),
                at: written(suspicion.at),
                not_before: written(suspicion.not_before),
                strikes: suspicion.strikes,
            }),
        }
    }
}

impl TokenForm<'_> {
    /// The record, or nothing if the bytes are none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<TokenRecord> {
        let read: Read = serde_json::from_slice(bytes).ok()?;
        let clocks = (read.boot != sys::boot_id()).then(|| SystemClock.now());
        let moment = |(boot, wall): Moment| restored(boot, wall, clocks);
        let mut record = TokenRecord::default();
        record.revision = read.revision;
        if let Some(token) = read.token {
            let [minted_at, refresh_at, urgent_at, usable_until, expires_at] = token.moments.map(moment);
            let moments = Moments::restore(minted_at, refresh_at, urgent_at, usable_until, expires_at);
            record.token =
                Some(Token::restore(Secret::from(token.secret.0), &token.scheme, &token.source, moments).ok()?);
        }
        record.claims = read.claims.as_deref().and_then(Digest::from_hex);
        record.took = read.took_ms.map(Duration::from_millis);
        record.arrived_at = read.arrived_at.map(moment);
        record.short_until = read.short_until.map(moment);
        record.failure = match read.failure {
            Some(form) => Some(failure(&form, moment)?),
            None => None,
        };
        record.rejection = match read.rejection {
            Some(rejection) => {
                let mut restored = RejectionRecord::new(Digest::from_hex(&rejection.digest)?, moment(rejection.at));
                restored.strikes = rejection.strikes;
                restored.blocked_until = rejection.blocked_until.map(moment);
                Some(restored)
            }
            None => None,
        };
        record.suspicion = match read.suspicion {
            Some(suspicion) => {
                let (at, not_before) = (moment(suspicion.at), moment(suspicion.not_before));
                let mut restored = SuspicionRecord::new(Digest::from_hex(&suspicion.digest)?, at, not_before);
                restored.strikes = suspicion.strikes;
                Some(restored)
            }
            None => None,
        };
        Some(record)
    }
}

fn failure(form: &Failure, moment: impl Fn(Moment) -> Timestamp) -> Option<FailureRecord> {
    let kind = KINDS.into_iter().find(|kind| kind.as_str() == form.kind)?;
    let mut error = MintError::new(kind, &form.message);
    if let Some(code) = &form.code {
        error = error.code(code);
    }
    if let Some(host) = &form.host {
        error = error.host(host);
    }
    if let Some(remedy) = &form.remedy {
        error = error.remedy(remedy);
    }
    if let Some(source) = &form.source {
        error = error.from_source(source.as_str());
    }
    let mut restored = FailureRecord::new(error, moment(form.not_before), form.streak);
    restored.urgent_spent = form.urgent_spent;
    Some(restored)
}

fn written(moment: Timestamp) -> Moment {
    (moment.boot_nanos(), moment.wall_nanos())
}

/// A moment on this boot's clock. `clocks` is given if the boot time that was written is another's.
fn restored(boot: i64, wall: i64, clocks: Option<Timestamp>) -> Timestamp {
    let Some(now) = clocks.filter(|_| boot != i64::MAX) else { return Timestamp::from_nanos(boot, wall) };
    let ahead = wall.saturating_sub(now.wall_nanos());
    Timestamp::from_nanos(now.boot_nanos().saturating_add(ahead), wall)
}

const KINDS: [ErrorKind; 8] = [
    ErrorKind::NotConfigured,
    ErrorKind::Misconfigured,
    ErrorKind::Denied,
    ErrorKind::Rejected,
    ErrorKind::Unavailable,
    ErrorKind::TimedOut,
    ErrorKind::Malformed,
    ErrorKind::Forbidden,
];

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "tests may fail loudly")]
mod tests {
    use super::*;

    fn record() -> TokenRecord {
        let now = SystemClock.now();
        let mut record = TokenRecord::default();
        record.revision = u64::MAX;
        let token = Token::builder("at-1", now).scheme("Bearer").source("entra").expires_in(Duration::from_secs(3600));
        record.token = Some(token.build().unwrap());
        record.claims = Some(Digest::of("c"));
        record.took = Some(Duration::from_millis(120));
        record.arrived_at = Some(now);
        record.short_until = Some(now + Duration::from_secs(5));
        let error = MintError::new(ErrorKind::Denied, "no")
            .code("invalid_client")
            .host("as.test")
            .remedy("ask")
            .from_source("oauth");
        let mut failure = FailureRecord::new(error, now + Duration::from_secs(9), 3);
        failure.urgent_spent = true;
        record.failure = Some(failure);
        let mut rejection = RejectionRecord::new(Digest::of("old"), now);
        rejection.strikes = 2;
        rejection.blocked_until = Some(now + Duration::from_secs(60));
        record.rejection = Some(rejection);
        let mut suspicion = SuspicionRecord::new(Digest::of("at-1"), now, now + Duration::from_secs(60));
        suspicion.strikes = 4;
        record.suspicion = Some(suspicion);
        record
    }

    #[test]
    fn what_is_written_is_read() {
        for record in [record(), TokenRecord::default()] {
            let bytes = serde_json::to_vec(&TokenForm::of(&record)).unwrap();
            let read = TokenForm::parse(&bytes).unwrap();
            let shown = |record: &TokenRecord| {
                let moments = record.token.as_ref().map(|token| (*token.moments(), token.secret().to_owned()));
                format!("{record:?} {moments:?}")
            };
            assert_eq!(shown(&read), shown(&record));
        }
    }

    #[test]
    fn a_token_that_never_expires() {
        let mut record = TokenRecord::default();
        record.token = Some(Token::builder("at-1", SystemClock.now()).build().unwrap());
        let bytes = serde_json::to_vec(&TokenForm::of(&record)).unwrap();
        assert_eq!(TokenForm::parse(&bytes).unwrap().token.unwrap().expires_at(), None);
    }

    #[test]
    fn boot_times_of_another_boot_are_counted_anew_from_the_wall_clock() {
        let record = record();
        let before = record.token.as_ref().unwrap().moments().expires_at;
        let text = serde_json::to_string(&TokenForm::of(&record)).unwrap();
        let boot = format!("\"boot\":\"{}\"", sys::boot_id());
        assert!(text.contains(&boot));
        // The same machine a reboot later: its boot clock began anew.
        let text = text.replace(&boot, "\"boot\":\"another\"").replace(&before.boot_nanos().to_string(), "77");
        let after = TokenForm::parse(text.as_bytes()).unwrap().token.unwrap().moments().expires_at;
        assert_eq!(after.wall_nanos(), before.wall_nanos());
        let off = (after.boot_nanos() - before.boot_nanos()).abs();
        assert!(off < 1_000_000_000, "{off} ns off");
    }

    #[test]
    fn no_part_of_a_record_is_a_record_and_nothing_panics() {
        let whole = serde_json::to_vec(&TokenForm::of(&record())).unwrap();
        for end in 0..whole.len() {
            assert!(TokenForm::parse(&whole[..end]).is_none(), "{end}");
        }
        for text in [
            "{}",
            "null",
            "[]",
            "{\"boot\":\"x\",\"token\":{}}",
            "{\"boot\":\"x\",\"rejection\":{\"digest\":\"zz\",\"at\":[0,0],\"strikes\":0}}",
        ] {
            assert!(TokenForm::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
