//! Handing out: the one place from which every command that gives a token away gets it, and where a refused one is reported.

use crate::args::Args;
use crate::clients::Profile;
use crate::failure::{Failure, USAGE};
use crate::project::{Project, command};
use crate::shared::{self, Kept, Subject};
use crate::ticket::{self, Ticket};
use std::time::{Duration, SystemTime};
use unexpired::config::{Export, TokenConfig};
use unexpired::store::StoreKind;
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
    /// The client is told until when the token may be used, in whole seconds: less than one is no life to it.
    pub(crate) whole_seconds: bool,
    /// What the client that asks does with tokens.
    pub(crate) client: Option<Profile>,
    /// AWS keys in the place of a bearer token. Each is refused where the other is asked for.
    pub(crate) aws_credentials: bool,
}

impl Ask {
    /// The least life that this token should have.
    pub(crate) fn least_life(&self, token: &Token) -> Duration {
        let clients = self.client.map(|client| client.least_life(token)).unwrap_or_default();
        let told = if self.whole_seconds { margin(token) + ONE_SECOND } else { Duration::ZERO };
        self.min_ttl.unwrap_or_default().max(clients).max(told)
    }

    /// The part of it that is the same for every token.
    pub(crate) fn min_ttl(&self) -> Duration {
        self.min_ttl.unwrap_or_default().max(self.client.map(|client| client.least()).unwrap_or_default())
    }

    /// How long the answer may take.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.timeout.or(self.client.and_then(|client| client.budget))
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
    /// Until when it may be used: what a client is told as its expiry, so that it uses it no longer. `None` if it does not expire.
    pub(crate) fn usable_until(&self) -> Option<SystemTime> {
        let last = self.token.moments().usable_until;
        (!last.is_never()).then(|| last.system_time())
    }

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
    let token = project.token(name)?;
    check_kind(token, ask)?;
    if token.export() == Export::Never {
        return Err(Failure::of(ErrorKind::Forbidden, format!("{name}: the token is not printed: export = \"never\""))
            .hint(format!("ask whether it works without showing it: {} probe {name}", project.command)));
    }
    let subject = Subject::configured(&project, name)?;
    let (outcome, kept) = shared::token(args, &subject, ask)?;
    // The warm path reads no configuration. It looks into files alone, so nothing may lie there for it that is kept elsewhere.
    let in_files = |(store, ..): &Kept| [store.kind(), project.config.configured_store()] == [StoreKind::File; 2];
    if let Some((store, key, revision)) = kept.filter(|_| outcome.is_ok()).filter(in_files) {
        Ticket::of(&subject, key, project.token(name)?, stamp, revision).keep(&store, &project.path, name);
    }
    outcome.map_err(|error| explain(&error, args, Some(name), ask))
}

fn explain(error: &Error, args: &Args, name: Option<&str>, ask: &Ask) -> Failure {
    let Some(name) = name else {
        // Without a configuration the token is called as its source is.
        return Failure::of(error.kind(), error.cause());
    };
    let failure = Failure::of(error.kind(), error);
    if error.kind() == ErrorKind::TimedOut && ask.timeout.is_some_and(|timeout| timeout < LONGEST_MINT) {
        return failure.hint(format!("allow more time: {} token {name} --timeout 20s", command(args)));
    }
    failure
}

fn check_kind(token: &TokenConfig, ask: &Ask) -> Result<(), Failure> {
    let name = token.name();
    match (token.is_aws_credentials(), ask.aws_credentials) {
        (true, false) => Err(Failure::of(
            ErrorKind::Forbidden,
            format!("{name}: these are AWS keys, which sign requests and are no bearer token"),
        )
        .hint(format!("for AWS clients: credential_process = unexpired helper aws {name}"))),
        (false, true) => Err(Failure::new(
            USAGE,
            format!("{name}: a bearer token is no pair of AWS keys, and none can be made of it"),
        )
        .hint("configure a command that prints AWS keys, with answer = \"aws-credentials\"")),
        _ => Ok(()),
    }
}

/// Says that a resource refused the token `name` with this text.
pub(crate) fn reject(args: &Args, name: &str, token_text: &Secret) -> Result<Refusal, Failure> {
    let project = Project::load(args)?;
    shared::reject(&Subject::configured(&project, name)?, token_text)
}

/// The token of a vendor's environment variables.
pub(crate) fn of_environment(args: &Args, provider: &str, scope: Option<&str>, ask: &Ask) -> Result<Handed, Failure> {
    let (outcome, _) = shared::token(args, &Subject::of_environment(provider, scope)?, ask)?;
    outcome.map_err(|error| explain(&error, args, None, ask))
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

/// How long before its expiry a token is handed to nobody any more.
fn margin(token: &Token) -> Duration {
    let moments = token.moments();
    if moments.expires_at.is_never() { Duration::ZERO } else { moments.expires_at.since(moments.usable_until) }
}

const ONE_SECOND: Duration = Duration::from_secs(1);
/// What a mint may take; to allow more changes nothing.
const LONGEST_MINT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use unexpired::MintError;

    /// What is said of a mint that took too long, called with these arguments.
    fn too_slow(line: &str, name: Option<&str>, timeout: Option<u64>) -> String {
        let args = Args::parse_from(line.split(' '));
        let ask = Ask { timeout: timeout.map(Duration::from_secs), ..Ask::default() };
        let error = Error::new("corp", MintError::new(ErrorKind::TimedOut, "too slow").from_source("oauth"));
        format!("{:?}", explain(&error, &args, name, &ask))
    }

    #[test]
    fn more_time_is_advised_where_that_helps_and_for_the_same_configuration() {
        let corp = Some("corp");
        let rows = [
            ("unexpired token corp", "allow more time: unexpired token corp --timeout 20s"),
            ("unexpired --config /a/c.toml token corp", "unexpired --config /a/c.toml token corp"),
            ("unexpired --config /a'b.toml token corp", r"--config '/a'\\''b.toml' token"),
        ];
        for (line, hint) in rows {
            assert!(too_slow(line, corp, Some(4)).contains(hint), "{}", too_slow(line, corp, Some(4)));
        }
        for timeout in [Some(20), Some(30), None] {
            assert!(!too_slow("unexpired token corp", corp, timeout).contains("more time"));
        }
        assert!(too_slow("unexpired token --provider oauth", None, Some(4)).contains("\"oauth: too slow\""));
    }
}
