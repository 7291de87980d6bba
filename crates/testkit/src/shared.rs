//! What the threads of a server share.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use unexpired_crypto::CryptoError;

use crate::answer::Answer;
use crate::clock::ServerClock;
use crate::fault::{Faults, Script};
use crate::refresh::{Holder, RefreshTokens};
use crate::registry::Registry;
use crate::resource::Resource;
use crate::token::{Grant, Issued, Keys, Tokens};
use crate::{Endpoint, RecordedRequest};

pub(crate) struct Shared {
    pub(crate) clock: ServerClock,
    pub(crate) keys: Keys,
    pub(crate) settings: Settings,
    /// What `GET /lab` answers.
    pub(crate) endpoints: std::sync::OnceLock<crate::lab::Endpoints>,
    state: Mutex<State>,
    /// How many tokens were minted in all.
    pub(crate) mints: watch::Sender<usize>,
}

/// What does not change after the start.
pub(crate) struct Settings {
    /// Where the server is reached, with the scheme: one or two.
    pub(crate) bases: Vec<String>,
    /// Whether `/lab` is served, and only requests whose `Host` is this machine.
    pub(crate) lab: bool,
    pub(crate) rotate: bool,
    pub(crate) refresh_lifetime: Option<Duration>,
    pub(crate) issuer: Option<String>,
    pub(crate) lifetime: Duration,
}

pub(crate) struct State {
    pub(crate) registry: Registry,
    pub(crate) lifetime: Duration,
    pub(crate) faults: Faults,
    pub(crate) tokens: Tokens,
    pub(crate) refresh: RefreshTokens,
    pub(crate) resources: HashMap<String, Resource>,
    pub(crate) minted: HashMap<Endpoint, usize>,
    /// The number of requests before the first that is still on record.
    pub(crate) dropped: usize,
    pub(crate) requests: std::collections::VecDeque<RecordedRequest>,
}

impl Shared {
    pub(crate) fn new(clock: ServerClock, keys: Keys, settings: Settings, registry: Registry) -> Self {
        let state = State {
            registry,
            lifetime: settings.lifetime,
            faults: Faults::default(),
            tokens: Tokens::default(),
            refresh: RefreshTokens::default(),
            resources: HashMap::from([(String::new(), Resource::default())]),
            minted: HashMap::new(),
            dropped: 0,
            requests: std::collections::VecDeque::new(),
        };
        Self {
            clock,
            keys,
            settings,
            endpoints: std::sync::OnceLock::new(),
            state: Mutex::new(state),
            mints: watch::Sender::new(0),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A token for `grant`, new or (if the script says so) the last one.
    pub(crate) fn mint(&self, state: &mut State, grant: &Grant, script: &Script) -> Result<Issued, CryptoError> {
        let now = self.clock.now();
        if script.same_token
            && let Some(last) = state.tokens.last(grant, now)
        {
            return Ok(last);
        }
        let issued = state.tokens.issue(&self.keys, grant, now, script.lifetime.unwrap_or(state.lifetime))?;
        let minted = state.minted.entry(grant.endpoint).or_default();
        *minted = minted.saturating_add(1);
        self.mints.send_modify(|mints| *mints = mints.saturating_add(1));
        Ok(issued)
    }

    /// The first refresh token of a new family.
    pub(crate) fn refresh_token(
        &self,
        client_id: &str,
        scope: &str,
        audience: Vec<String>,
    ) -> Result<String, CryptoError> {
        let until = self.settings.refresh_lifetime.map(|life| self.clock.now().saturating_add(life));
        let subject = "user-1".to_owned();
        let holder = Holder { family: 0, client_id: client_id.into(), subject, scope: scope.into(), audience, until };
        self.lock().refresh.first(holder)
    }

    /// Takes a token back, access or refresh. Whether it was known.
    pub(crate) fn revoke(&self, token: &str) -> bool {
        let mut state = self.lock();
        match state.refresh.revoke(token) {
            Some(family) => {
                state.tokens.revoke_family(family);
                true
            }
            None => state.tokens.revoke(token),
        }
    }

    /// Everything as at the start, but what is registered stays.
    pub(crate) fn reset(&self) {
        self.clock.reset();
        self.lock().reset(self.settings.lifetime);
        self.mints.send_modify(|mints| *mints = 0);
    }

    pub(crate) fn jwks(&self) -> Answer {
        Answer::json(200, self.keys.jwks())
    }
}

impl State {
    /// Writes the request down and gives its number.
    pub(crate) fn record(&mut self, request: RecordedRequest) -> usize {
        if self.requests.len() >= MAX_REQUESTS {
            self.requests.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        self.requests.push_back(request);
        self.dropped.saturating_add(self.requests.len()).saturating_sub(1)
    }

    pub(crate) fn answered(&mut self, number: usize, status: u16) {
        let index = number.checked_sub(self.dropped);
        if let Some(request) = index.and_then(|index| self.requests.get_mut(index)) {
            request.status = Some(status);
        }
    }

    pub(crate) fn minted_at(&self, endpoint: Endpoint) -> usize {
        self.minted.get(&endpoint).copied().unwrap_or_default()
    }

    /// Tokens, requests, counts, faults: all as after the start. Clients, keys and resources stay registered.
    pub(crate) fn reset(&mut self, lifetime: Duration) {
        self.lifetime = lifetime;
        self.faults = Faults::default();
        self.tokens = Tokens::default();
        self.refresh = RefreshTokens::default();
        self.minted.clear();
        self.requests.clear();
        self.dropped = 0;
        for resource in self.resources.values_mut() {
            resource.reset();
        }
    }
}

/// What went wrong in the server itself.
pub(crate) fn internal(error: CryptoError) -> Answer {
    let description = Value::from(format!("the test server failed: {error}")).to_string();
    Answer::json(500, format!(r#"{{"error":"server_error","error_description":{description}}}"#))
}

const MAX_REQUESTS: usize = 10_000;
