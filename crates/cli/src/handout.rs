//! Handing out: the one place from which every command that gives a token away gets it, and where a refused one is reported.

use crate::args::Args;
use crate::failure::Failure;
use crate::project::Project;
use crate::shared::{self, Subject};
use crate::ticket::{self, Ticket};
use std::time::{Duration, SystemTime};
use unexpired::config::Export;
use unexpired::{BoxFuture, Clock, Error, ErrorKind, Refusal, Secret, SystemClock, Timestamp, Token};

/// What is asked of a token.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ask {
    /// The least life that it should have left; a shorter one is handed out all the same, marked `short`.
    pub(crate) min_ttl: Option<Duration>,
    /// How long to wait for it.
    pub(crate) timeout: Option<Duration>,
    /// A new one, though one is kept that looks usable: somebody has reason to believe that it is refused.
    pub(crate) fresh: bool,
}

impl Ask {
    /// The least life that this token should have.
    pub(crate) fn least_life(&self, _token: &Token) -> Duration {
        self.min_ttl.unwrap_or_default()
    }
}

/// A token that may leave the process.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) token: Token,
    /// Its name in the configuration.
    pub(crate) name: String,
    /// It lives less than was asked.
    pub(crate) short: bool,
    /// It is the one that was kept, because no other could be had: why.
    pub(crate) instead: Option<Error>,
}

impl Handed {
    /// How long it lives; `None` if it does not expire.
    pub(crate) fn remaining(&self) -> Option<Duration> {
        self.token.expires_at().map(|at| at.duration_since(SystemTime::now()).unwrap_or_default())
    }
}

/// The token `name` of the configuration, good for use now. One with `export = "never"` is forbidden.
pub(crate) fn token(args: &Args, name: &str, ask: &Ask) -> Result<Handed, Failure> {
    // Before it is read: a file that is replaced meanwhile makes the ticket a useless one, not a wrong one.
    let stamp = ticket::stamp(&crate::project::path(args)?);
    let project = Project::load(args)?;
    if project.token(name)?.export() == Export::Never {
        return Err(Failure::of(ErrorKind::Forbidden, format!("{name}: the token is not printed: export = \"never\""))
            .hint(format!("ask whether it works without showing it: unexpired probe {name}")));
    }
    let subject = Subject::configured(&project, name)?;
    let (outcome, kept) = shared::token(args, &subject, ask)?;
    if let Some((store, key, revision)) = kept.filter(|_| outcome.is_ok()) {
        Ticket::of(&subject, key, project.token(name)?, stamp, revision).keep(&store, &project.path, name);
    }
    outcome.map_err(|error| {
        let failure = Failure::of(error.kind(), &error);
        if error.kind() == ErrorKind::TimedOut && ask.timeout.is_some() {
            return failure.hint(format!("allow more time: unexpired token {name} --timeout 20s"));
        }
        failure
    })
}

/// Says that a resource refused the token `name` with this text.
pub(crate) fn reject(args: &Args, name: &str, token_text: &Secret) -> Result<Refusal, Failure> {
    let project = Project::load(args)?;
    shared::reject(&Subject::configured(&project, name)?, token_text)
}

/// The token of a vendor's environment variables.
pub(crate) fn of_environment(args: &Args, provider: &str, scope: Option<&str>, ask: &Ask) -> Result<Handed, Failure> {
    Ok(shared::token(args, &Subject::of_environment(provider, scope)?, ask)?.0?)
}

/// The system's clocks, waiting on the runtime of whoever waits.
pub(crate) struct HereClock;

impl Clock for HereClock {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move { tokio::time::sleep(duration).await })
    }
}
