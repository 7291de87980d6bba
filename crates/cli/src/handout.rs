//! Handing out: the one place from which every command that gives a token away gets it, and where a refused one is reported.

use crate::args::Args;
use crate::commands::runtime;
use crate::failure::{Failure, OTHER, USAGE};
use crate::project::{Narrator, Project};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use unexpired::config::{Export, TokenConfig};
use unexpired::{
    BoxFuture, Clock, Error, ErrorKind, Secret, SystemClock, Timestamp, Token, TokenManagerBuilder, TokenOptions,
};

/// What is asked of a token.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ask {
    /// The least life that it should have left; a shorter one is handed out all the same, marked `short`.
    pub(crate) min_ttl: Option<Duration>,
    /// How long to wait for it.
    pub(crate) timeout: Option<Duration>,
    /// A new one, though one is kept that looks usable: somebody has reason to believe that it is refused.
    pub(crate) fresh: bool,
    /// AWS keys in the place of a bearer token. Each is refused where the other is asked for.
    pub(crate) aws_credentials: bool,
}

/// A token that may leave the process.
#[derive(Debug)]
pub(crate) struct Handed {
    pub(crate) token: Token,
    /// Its name in the configuration.
    pub(crate) name: String,
    /// It lives less than was asked.
    pub(crate) short: bool,
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
    let project = Project::load(args)?;
    let token = project.token(name)?;
    check_kind(token, ask)?;
    if token.export() == Export::Never {
        return Err(Failure::of(ErrorKind::Forbidden, format!("{name}: the token is not printed: export = \"never\""))
            .hint(format!("ask whether it works without showing it: unexpired probe {name}")));
    }
    mint(args, project.config.manager(name)?, ask)?.map_err(|error| {
        let failure = Failure::of(error.kind(), &error);
        if error.kind() == ErrorKind::TimedOut && ask.timeout.is_some() {
            return failure.hint(format!("allow more time: unexpired token {name} --timeout 20s"));
        }
        failure
    })
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

/// Says that a resource refused the token `name` with this text. Tokens are not kept between calls, so there is none that could fall.
pub(crate) fn reject(args: &Args, name: &str, token_text: &Secret) -> Result<(), Failure> {
    Project::load(args)?.token(name)?;
    let given = if token_text.is_empty() { "no token was given, and " } else { "" };
    Err(Failure::new(OTHER, format!("{name}: {given}nothing is kept that could be rejected: each call mints")))
}

/// A token of this manager, minted here and now. The outer error is the machine's, the inner one the manager's.
pub(crate) fn mint(args: &Args, builder: TokenManagerBuilder, ask: &Ask) -> Result<Result<Handed, Error>, Failure> {
    // This process is here for one mint, and makes it on the thread that it has: starting the engine's own would cost as much as the TLS
    // handshake's arithmetic.
    let runtime = runtime()?;
    let handle = runtime.handle().clone();
    let builder = builder.clock(Arc::new(HereClock)).spawner(move |flight| drop(handle.spawn(flight)));
    let (manager, narrator) = Narrator::watch(args, builder);
    let mut options = TokenOptions::new();
    if let Some(min_ttl) = ask.min_ttl {
        options = options.min_ttl(min_ttl);
    }
    if let Some(timeout) = ask.timeout {
        options = options.timeout(timeout);
    }
    // Nothing was kept, so what is minted is fresh, asked or not.
    let _ = ask.fresh;
    let outcome = runtime.block_on(manager.token_with(options));
    // A file or a program that is still being waited for must not hold up the end.
    runtime.shutdown_background();
    Ok(narrator.finish(outcome).map(|answer| Handed {
        token: answer.token,
        name: manager.name().to_owned(),
        short: answer.short,
    }))
}

/// The system's clocks, waiting on the runtime of whoever waits.
struct HereClock;

impl Clock for HereClock {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(async move { tokio::time::sleep(duration).await })
    }
}
