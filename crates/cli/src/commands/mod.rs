//! The commands, one file each.

mod completions;
mod config;
pub(crate) mod doctor;
mod github;
pub(crate) mod helper;
mod lab;
mod live;
mod probe;
mod proxy;
mod reject;
pub(crate) mod run;
#[cfg(feature = "keyring")]
mod secret;
pub(crate) mod service;
pub(crate) mod setup;
mod status;
mod token;
mod watch;

use crate::args::{Args, Command};
use crate::demo;
use crate::failure::Failure;
use std::time::SystemTime;

/// Runs the command that the arguments name.
pub(crate) fn run(mut args: Args) -> Result<(), Failure> {
    // Taken out, so that commands can be given both the common options and their own.
    match std::mem::replace(&mut args.command, Command::Man { command: Vec::new() }) {
        Command::Token(own) => token::run(&args, &own),
        #[cfg(feature = "keyring")]
        Command::Secret(own) => secret::run(&own),
        #[cfg(not(feature = "keyring"))]
        Command::Secret(_) => Err(Failure::new(crate::failure::USAGE, "this build has no keyring")
            .hint("build it with --features keyring, or keep the secret in a file: { file = \"/path\" }")),
        Command::Reject { name } => reject::run(&args, &name),
        Command::Mint(own) => crate::minter::run(&args, &own),
        Command::Helper(own) => helper::run(&args, own),
        Command::Status(own) => status::run(&args, &own),
        Command::Doctor(own) => doctor::run(&args, &own),
        Command::Probe(own) => probe::run(&args, &own),
        Command::Proxy(own) => proxy::run(&args, &own),
        Command::Service(own) => service::run(&args, &own),
        Command::Watch(own) => watch::run(&args, &own),
        Command::Run(own) => run::run(&args, &own),
        Command::Setup(own) => setup::run(&args, &own),
        Command::Demo(own) => demo::run(&args, &own),
        Command::Lab(own) => lab::run(&own),
        Command::Config(own) => config::run(&args, &own),
        Command::Completions { shell } => completions::run(shell),
        Command::Man { command } => completions::man(&command),
    }
}

/// A moment as RFC 3339 in UTC, to the second, rounded down: an expiry is never shown later than it is.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    // What lies beyond the year 9999 is shown as its end.
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A runtime for the commands that talk to a network themselves.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(crate::failure::OTHER, format!("no runtime: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn moments_are_rfc_3339_and_never_later_than_they_are() {
        let at = |millis| rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(1_767_225_599_999), "2025-12-31T23:59:59Z");
        assert_eq!(at(u64::MAX / 2), "9999-12-30T22:00:00Z");
    }
}
