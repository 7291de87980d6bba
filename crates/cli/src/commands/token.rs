//! `unexpired token`: prints a token that is good for use now.

use crate::args::{Args, Format, Provider, TokenArgs};
use crate::commands::{rfc3339, runtime};
use crate::failure::Failure;
use crate::out;
use crate::project::{Narrator, Project, command};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use unexpired::config::Export;
use unexpired::{
    Answer, BoxFuture, Clock, ErrorKind, SystemClock, Timestamp, TokenManager, TokenManagerBuilder, TokenOptions,
};
use zeroize::Zeroizing;

pub(crate) fn run(args: &Args, own: &TokenArgs) -> Result<(), Failure> {
    let builder = match (&own.name, own.provider) {
        (Some(name), _) => configured(args, name)?,
        // clap asks for one of the two.
        (None, provider) => from_environment(provider.unwrap_or(Provider::Oauth), own.scope.as_deref())?,
    };
    // This process is here for one mint, and makes it on the thread that it has: starting the engine's own would cost as much as the TLS
    // handshake's arithmetic.
    let runtime = runtime()?;
    let handle = runtime.handle().clone();
    let builder = builder.clock(Arc::new(HereClock)).spawner(move |flight| drop(handle.spawn(flight)));
    let (manager, narrator) = Narrator::watch(args, builder);
    let mut options = TokenOptions::new();
    if let Some(min_ttl) = own.min_ttl {
        options = options.min_ttl(min_ttl);
    }
    if let Some(timeout) = own.timeout {
        options = options.timeout(timeout);
    }
    let outcome = runtime.block_on(manager.token_with(options));
    // A file or a program that is still being waited for must not hold up the end.
    runtime.shutdown_background();
    let answer = narrator.finish(outcome).map_err(|error| explain(&error, args, own))?;
    if answer.short {
        let asked = own.min_ttl.unwrap_or_default();
        out::to_stderr(&format!(
            "warning: the token lives {} s more, less than the {} s asked for; the issuer gives no longer one",
            remaining(&answer).unwrap_or_default().as_secs(),
            asked.as_secs()
        ));
    }
    out::answer(&print(&answer, manager.name(), own.format))
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

fn configured(args: &Args, name: &str) -> Result<TokenManagerBuilder, Failure> {
    let project = Project::load(args)?;
    if project.token(name)?.export() == Export::Never {
        return Err(Failure::of(ErrorKind::Forbidden, format!("{name}: the token is not printed: export = \"never\""))
            .hint(format!("ask whether it works without showing it: {} probe {name}", project.command)));
    }
    Ok(project.config.manager(name)?)
}

fn from_environment(provider: Provider, scope: Option<&str>) -> Result<TokenManagerBuilder, Failure> {
    Ok(TokenManager::builder(provider.name(), unexpired::env::source(provider.name(), scope)?))
}

fn explain(error: &unexpired::Error, args: &Args, own: &TokenArgs) -> Failure {
    let Some(name) = &own.name else {
        // Without a configuration the token is called as its source is.
        return Failure::of(error.kind(), error.cause());
    };
    let failure = Failure::of(error.kind(), error);
    if error.kind() == ErrorKind::TimedOut && own.timeout.is_some_and(|timeout| timeout < LONGEST_MINT) {
        return failure.hint(format!("allow more time: {} token {name} --timeout 20s", command(args)));
    }
    failure
}

/// The answer as it goes to stdout, in memory that is wiped.
fn print(answer: &Answer, name: &str, format: Format) -> Zeroizing<String> {
    let token = &answer.token;
    let secret = token.secret();
    // Written once: a buffer that grew would leave copies behind.
    let mut text =
        Zeroizing::new(String::with_capacity(secret.len() + 512 + name.len() * 6 + token.source().len() * 6));
    match format {
        Format::Raw => text.push_str(secret),
        Format::Header => {
            for part in ["Authorization: ", token.scheme(), " ", secret] {
                text.push_str(part);
            }
        }
        Format::Json => {
            // A token is a b64token (the engine takes nothing else), so it needs no escape.
            text.push_str("{\"token\":\"");
            text.push_str(secret);
            text.push_str("\",");
            let rest = serde_json::json!({
                "scheme": token.scheme(),
                "expires_at": token.expires_at().map(rfc3339),
                "expires_in": remaining(answer).map(|left| left.as_secs()),
                "source": token.source(),
                "token_name": name,
                "fingerprint": token.fingerprint(),
                "short": answer.short,
            })
            .to_string();
            text.push_str(rest.trim_start_matches('{'));
        }
    }
    text.push('\n');
    text
}

fn remaining(answer: &Answer) -> Option<Duration> {
    answer.token.expires_at().map(|at| at.duration_since(SystemTime::now()).unwrap_or_default())
}

/// What a mint may take; to allow more changes nothing.
const LONGEST_MINT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Command;
    use clap::Parser as _;
    use unexpired::MintError;

    /// What `explain` says of a mint that took too long, called with these arguments.
    fn too_slow(line: &str) -> String {
        let mut args = Args::parse_from(line.split(' '));
        let Command::Token(own) = std::mem::replace(&mut args.command, Command::Man { command: Vec::new() }) else {
            panic!("{line}");
        };
        let error = unexpired::Error::new("corp", MintError::new(ErrorKind::TimedOut, "too slow").from_source("oauth"));
        format!("{:?}", explain(&error, &args, &own))
    }

    #[test]
    fn more_time_is_advised_where_that_helps_and_for_the_same_configuration() {
        assert!(
            too_slow("unexpired token corp --timeout 4s")
                .contains("allow more time: unexpired token corp --timeout 20s")
        );
        assert!(
            too_slow("unexpired --config /a/c.toml token corp --timeout 4s")
                .contains("unexpired --config /a/c.toml token corp")
        );
        assert!(
            too_slow("unexpired --config /a'b.toml token corp --timeout 4s")
                .contains(r"--config '/a'\\''b.toml' token")
        );
        for line in ["unexpired token corp --timeout 20s", "unexpired token corp --timeout 30s", "unexpired token corp"]
        {
            assert!(!too_slow(line).contains("more time"), "{line}");
        }
        assert!(too_slow("unexpired token --provider oauth").contains("\"oauth: too slow\""));
    }
}
