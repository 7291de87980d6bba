//! What happened, for logs, metrics and audit. Fingerprints, never tokens.

use crate::{Error, Token};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Something that happened to a token. Every event is also a `tracing` event of the target `unexpired`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A token was minted where none was held.
    Minted(Change),
    /// A token took the place of another.
    Refreshed(Change),
    /// A flight ended without a token.
    Failed {
        /// The token's name.
        name: Arc<str>,
        /// Why.
        error: Error,
        /// How many attempts the flight made.
        attempts: u32,
        /// How long the flight took.
        took: Duration,
    },
    /// A resource refused the current token, and it fell.
    Rejected {
        /// The token's name.
        name: Arc<str>,
        /// The token's fingerprint.
        fingerprint: String,
        /// The host that refused it.
        host: String,
    },
    /// A token was handed out while its source is failing; said once for each time that the source fails.
    ServedWhileFailing {
        /// The token's name.
        name: Arc<str>,
        /// The token's fingerprint.
        fingerprint: String,
        /// Until when it can be handed out.
        usable_until: Option<SystemTime>,
    },
}

/// A token that arrived.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Change {
    /// The token's name.
    pub name: Arc<str>,
    /// The new token's fingerprint.
    pub fingerprint: String,
    /// The source that gave it.
    pub source: Arc<str>,
    /// When it expires; `None` if it does not.
    pub expires_at: Option<SystemTime>,
    /// The issuer answered a token that had been rejected before.
    pub reissued: bool,
    /// How many attempts the flight made.
    pub attempts: u32,
    /// How long the flight took.
    pub took: Duration,
}

impl Change {
    pub(crate) fn new(name: Arc<str>, token: &Token, reissued: bool, attempts: u32, took: Duration) -> Self {
        Self {
            name,
            fingerprint: token.fingerprint(),
            source: token.source_name(),
            expires_at: token.expires_at(),
            reissued,
            attempts,
            took,
        }
    }
}

/// Who is told.
#[derive(Clone, Default)]
pub(crate) struct Observer(pub(crate) Option<Arc<ObserverFn>>);

pub(crate) type ObserverFn = dyn Fn(&Event) + Send + Sync;

impl Observer {
    pub(crate) fn tell(&self, event: &Event) {
        match event {
            Event::Minted(change) | Event::Refreshed(change) => tracing::info!(
                target: "unexpired", token = %change.name, source = %change.source, fingerprint = %change.fingerprint,
                reissued = change.reissued, attempts = change.attempts, took_ms = change.took.as_millis() as u64, "token arrived"
            ),
            Event::Failed { name, error, attempts, .. } => {
                tracing::warn!(target: "unexpired", token = %name, kind = %error.kind(), attempts, %error, "no token");
            }
            Event::Rejected { name, fingerprint, host } => {
                tracing::warn!(target: "unexpired", token = %name, %fingerprint, %host, "token rejected");
            }
            Event::ServedWhileFailing { name, fingerprint, .. } => {
                tracing::warn!(target: "unexpired", token = %name, %fingerprint, "token handed out while its source is failing");
            }
        }
        if let Some(observer) = &self.0 {
            // An observer's panic is its own affair: it must not cost anybody a token.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| observer(event)));
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Observer" } else { "none" })
    }
}
