use std::collections::VecDeque;
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use unexpired_core::{BoxFuture, MintError, MintRequest, Secret, Token, TokenSource};

/// A [`TokenSource`] without any server: its answers are scripted and its calls counted. Clones are the same source.
///
/// Each call takes the next step of the script; when there is none it gives a new token (`scripted-1`, `scripted-2`, …) of
/// the source's lifetime.
///
/// ```
/// use std::time::Duration;
/// use unexpired_core::{ErrorKind, MintError, TokenManager};
/// use unexpired_testkit::{ScriptedSource, Step};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let source = ScriptedSource::new(Duration::from_secs(3600));
/// source.then(Step::Fail(MintError::new(ErrorKind::Denied, "the secret was rotated")));
/// let manager = TokenManager::builder("corp", source.clone()).build();
///
/// assert_eq!(manager.token().await.unwrap_err().kind(), ErrorKind::Denied);
/// assert_eq!(source.calls(), 1);
/// # }
/// ```
#[derive(Clone)]
pub struct ScriptedSource(Arc<Inner>);

struct Inner {
    lifetime: Duration,
    state: Mutex<State>,
    /// Whether calls have to wait.
    held: watch::Sender<bool>,
    calls: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    steps: VecDeque<Step>,
    tokens: usize,
    last: Option<Token>,
    requests: Vec<MintRequest>,
    revision: u64,
}

/// What a [`ScriptedSource`] does when it is called.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step {
    /// Gives a new token of this lifetime. Zero: expired on arrival.
    Token(Duration),
    /// Gives a token with this text and lifetime.
    TokenText(Secret, Duration),
    /// Gives the last token again, as metadata servers do; a new one if there is none.
    SameToken,
    /// Fails.
    Fail(MintError),
    /// Never answers.
    Hang,
    /// Panics, as a source with a fault in it does.
    Panic,
}

impl ScriptedSource {
    /// A source whose tokens live so long.
    #[must_use]
    pub fn new(lifetime: Duration) -> Self {
        Self(Arc::new(Inner {
            lifetime,
            state: Mutex::default(),
            held: watch::Sender::new(false),
            calls: watch::Sender::new(0),
        }))
    }

    /// Adds a step to the script.
    pub fn then(&self, step: Step) {
        self.lock().steps.push_back(step);
    }

    /// Adds a step `times` times.
    pub fn then_times(&self, step: Step, times: usize) {
        self.lock().steps.extend(std::iter::repeat_n(step, times));
    }

    /// Calls wait from now on, until [`release`](Self::release): so that a test can say what happens while a mint runs.
    pub fn hold(&self) {
        self.0.held.send_replace(true);
    }

    /// Calls go on.
    pub fn release(&self) {
        self.0.held.send_replace(false);
    }

    /// How often it was called.
    #[must_use]
    pub fn calls(&self) -> usize {
        *self.0.calls.borrow()
    }

    /// Waits until it was called `n` times in all.
    pub async fn wait_for_calls(&self, n: usize) {
        // An error is impossible: the sender is here.
        let _ = self.0.calls.subscribe().wait_for(|calls| *calls >= n).await;
    }

    /// What it was asked, call by call.
    #[must_use]
    pub fn requests(&self) -> Vec<MintRequest> {
        self.lock().requests.clone()
    }

    /// Says that its credential changed ([`TokenSource::revision`]).
    pub fn credential_changed(&self) {
        let mut state = self.lock();
        state.revision = state.revision.wrapping_add(1);
    }

    /// Panics unless it was called exactly `n` times.
    #[track_caller]
    #[expect(clippy::panic, reason = "it is an assertion")]
    pub fn assert_calls(&self, n: usize) {
        let calls = self.calls();
        if calls != n {
            panic!("the source was called {calls} times instead of {n}");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn token(&self, text: Option<Secret>, lifetime: Duration, request: &MintRequest) -> Result<Token, MintError> {
        let mut state = self.lock();
        state.tokens = state.tokens.saturating_add(1);
        let text = text.unwrap_or_else(|| Secret::new(format!("scripted-{}", state.tokens)));
        let token = Token::builder(text, request.now()).source(NAME).expires_in(lifetime).build()?;
        state.last = Some(token.clone());
        Ok(token)
    }
}

impl TokenSource for ScriptedSource {
    fn name(&self) -> &str {
        NAME
    }

    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        Box::pin(async move {
            let step = {
                let mut state = self.lock();
                state.requests.push(request.clone());
                state.steps.pop_front()
            };
            self.0.calls.send_modify(|calls| *calls = calls.saturating_add(1));
            let _ = self.0.held.subscribe().wait_for(|held| !held).await;
            match step {
                None => self.token(None, self.0.lifetime, &request),
                Some(Step::Token(lifetime)) => self.token(None, lifetime, &request),
                Some(Step::TokenText(text, lifetime)) => self.token(Some(text), lifetime, &request),
                Some(Step::SameToken) => {
                    let last = self.lock().last.clone();
                    last.map_or_else(|| self.token(None, self.0.lifetime, &request), Ok)
                }
                Some(Step::Fail(error)) => Err(error),
                Some(Step::Hang) => pending().await,
                #[expect(clippy::panic, reason = "a test asked for it")]
                Some(Step::Panic) => panic!("scripted"),
            }
        })
    }

    fn revision(&self) -> u64 {
        self.lock().revision
    }
}

impl fmt::Debug for ScriptedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedSource").field("calls", &self.calls()).finish_non_exhaustive()
    }
}

const NAME: &str = "scripted";
