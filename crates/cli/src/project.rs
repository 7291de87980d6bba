//! The configuration as the commands meet it: found, loaded, and asked for a token by name.

use crate::args::Args;
use crate::failure::{Failure, USAGE};
use crate::out;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::Duration;
use unexpired::config::{self, Config, TokenConfig};
use unexpired::{Answer, Error, ErrorKind, Event, TokenManager, TokenManagerBuilder};

/// A loaded configuration and where it came from.
pub(crate) struct Project {
    pub(crate) config: Config,
    pub(crate) path: PathBuf,
    /// How hints begin, so that they are about the same configuration.
    pub(crate) command: String,
}

impl Project {
    /// Loads the configuration that the arguments, the environment or the platform name.
    pub(crate) fn load(args: &Args) -> Result<Self, Failure> {
        let path = path(args)?;
        let config = Config::load(&path).map_err(|error| unreadable(args, &path, &error))?;
        if args.verbose {
            for warning in config.warnings() {
                out::to_stderr(&format!("warning: {warning}"));
            }
        }
        Ok(Self { config, path, command: command(args) })
    }

    /// The token of this name.
    pub(crate) fn token(&self, name: &str) -> Result<&TokenConfig, Failure> {
        self.config.token(name).ok_or_else(|| self.unknown(name))
    }

    fn unknown(&self, name: &str) -> Failure {
        let name = unexpired::text::one_line(name, 40);
        let names: Vec<&str> = self.config.names().take(NAMES_SHOWN).collect();
        let known = if names.is_empty() { "it names none".to_owned() } else { format!("it has {}", names.join(", ")) };
        Failure::new(USAGE, format!("{} has no token `{name}`; {known}", self.path.display()))
            .hint(format!("add [token.NAME] to it, or see what there is: {} status", self.command))
    }
}

/// The configuration file, whether or not it exists.
pub(crate) fn path(args: &Args) -> Result<PathBuf, Failure> {
    args.config.clone().or_else(config::default_path).ok_or_else(|| {
        Failure::new(USAGE, "there is no place to look for a configuration: no home folder is known")
            .hint("name the file: unexpired --config FILE …")
    })
}

/// How a command that a hint names begins: with the same `--config` as this one, so that it is about the same file.
pub(crate) fn command(args: &Args) -> String {
    args.config.as_ref().map_or_else(|| "unexpired".to_owned(), |path| with_config(&path.display().to_string()))
}

/// The command with this configuration.
pub(crate) fn with_config(path: &str) -> String {
    format!("unexpired --config {}", quoted(&unexpired::text::one_line(path, 200)))
}

/// A word for a shell. What needs no quotes gets none.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:,@%=".contains(c) || (cfg!(windows) && c == '\\');
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// Tells on stderr what happens to a token, if `--verbose` asks for it.
pub(crate) struct Narrator(Option<Receiver<()>>);

impl Narrator {
    /// The manager, and who tells what happens to it.
    pub(crate) fn watch(args: &Args, builder: TokenManagerBuilder) -> (TokenManager, Self) {
        if !args.verbose {
            return (builder.build(), Self(None));
        }
        let (told, tells) = std::sync::mpsc::channel();
        let builder = builder.on_event(move |event| {
            narrate(event);
            // Nobody listens once the command has what it came for.
            let _ = told.send(());
        });
        (builder.build(), Self(Some(tells)))
    }

    /// Callers are answered first and observers told a moment later, by another thread: the command must not end in between.
    pub(crate) fn finish(self, outcome: Result<Answer, Error>) -> Result<Answer, Error> {
        let flight_ended = outcome.as_ref().err().is_none_or(|error| error.kind() != ErrorKind::TimedOut);
        if let Some(tells) = self.0.filter(|_| flight_ended) {
            let _ = tells.recv_timeout(LONGEST_MOMENT);
        }
        outcome
    }
}

/// Says an event on stderr.
pub(crate) fn narrate(event: &Event) {
    let line = match event {
        Event::Minted(change) | Event::Refreshed(change) => {
            let expiry = change.expires_at.map_or_else(|| "never".to_owned(), crate::commands::rfc3339);
            format!(
                "token {}: minted by {} in {} ms, fingerprint {}, expires {expiry}",
                change.name,
                change.source,
                change.took.as_millis(),
                change.fingerprint
            )
        }
        Event::Failed { error, attempts, took, .. } => {
            format!("no token ({}, attempts: {attempts}, {} ms): {error}", error.kind(), took.as_millis())
        }
        other => format!("{other:?}"),
    };
    out::to_stderr(&format!("verbose: {}", unexpired::text::one_line(&line, LONGEST_LINE)));
}

fn unreadable(args: &Args, path: &Path, error: &config::ConfigError) -> Failure {
    let failure = Failure::of(error.kind(), error);
    if path.exists() {
        return failure.hint(format!("once it is corrected: {} config check", command(args)));
    }
    failure.hint("without a configuration: unexpired token --provider entra|google|ibm|oauth --scope SCOPE")
}

const NAMES_SHOWN: usize = 8;
const LONGEST_LINE: usize = 400;
const LONGEST_MOMENT: Duration = Duration::from_millis(500);
