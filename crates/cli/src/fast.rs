//! The warm path of `unexpired token NAME`: a ticket, a record, a write. No configuration is read, nothing is parsed but those two files, and no
//! runtime, TLS or certificate is touched.
//!
//! It answers only what needs no thought: a fresh token, for a call with plain arguments. Everything else goes the long way, with the same
//! result.

use crate::args::{Args, Command, Format, TokenArgs};
use crate::clients::Client;
use crate::sys;
use crate::ticket::Ticket;
use clap::ValueEnum as _;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use unexpired::store::FileStore;
use unexpired::{Clock as _, Phase, Record, SystemClock};

/// What came of a call.
pub(crate) enum Fast {
    /// The token is printed.
    Answered(ExitCode),
    /// It is a plain call, and the long way has to answer it.
    Plain(Args),
    /// Its arguments are for the parser to judge.
    Other,
}

/// Prints the token, if this call can be answered here.
pub(crate) fn answer(args: impl Iterator<Item = OsString>) -> Fast {
    match Call::parse(args) {
        Some(call) => match kept(&call) {
            Some(code) => Fast::Answered(code),
            // The parser would come to the same, and take longer than all the rest of a mint but for TLS.
            None => Fast::Plain(call.into_args()),
        },
        None => Fast::Other,
    }
}

fn kept(call: &Call) -> Option<ExitCode> {
    if call.client.is_some_and(|client| client.profile(None).keeps.is_some()) {
        return None;
    }
    let config = match &call.config {
        Some(path) => path.clone(),
        None => unexpired::config::default_path()?,
    };
    let store = FileStore::records_by_default()?;
    let ticket = Ticket::find(store.records_path(), &config, &call.name)?;
    let Ok(Some(Record::Token(record))) = store.load_now(&ticket.key) else { return None };
    let token = record.token.filter(|_| record.revision == ticket.revision && record.failure.is_none())?;
    let (moments, now) = (token.moments(), SystemClock.now());
    if moments.phase(now) != Phase::Fresh || moments.expires_at.until(now) < call.min_ttl.unwrap_or_default() {
        return None;
    }
    let secret = token.secret();
    // In one piece, and in memory that is wiped: the token's own text, with a line end after it.
    let mut line = zeroize::Zeroizing::new(Vec::with_capacity(secret.len().saturating_add(1)));
    line.extend_from_slice(secret.as_bytes());
    line.push(b'\n');
    // The long way tells what is wrong with stdout; nothing has been written if this fails at once.
    sys::stdout().write_all(&line).ok()?;
    Some(ExitCode::SUCCESS)
}

/// The arguments of a call that can be answered here.
#[derive(Debug, Default, PartialEq)]
struct Call {
    name: String,
    config: Option<PathBuf>,
    min_ttl: Option<Duration>,
    timeout: Option<Duration>,
    client: Option<Client>,
}

impl Call {
    /// `None` for anything that is not certainly such a call.
    fn parse(mut args: impl Iterator<Item = OsString>) -> Option<Self> {
        let program = PathBuf::from(args.next()?);
        if program.file_stem()? != "unexpired" {
            return None;
        }
        let mut call = Self::default();
        let (mut command, mut name) = (false, None);
        while let Some(arg) = args.next() {
            let arg = arg.into_string().ok()?;
            match arg.as_str() {
                "token" if !command => command = true,
                "--config" if call.config.is_none() => call.config = Some(PathBuf::from(args.next()?)),
                "--min-ttl" if call.min_ttl.is_none() => call.min_ttl = Some(duration(&args.next()?)?),
                "--timeout" if call.timeout.is_none() => call.timeout = Some(duration(&args.next()?)?),
                "--as" if call.client.is_none() => {
                    call.client = Some(Client::from_str(args.next()?.to_str()?, false).ok()?)
                }
                plain if command && name.is_none() && !plain.starts_with('-') && !plain.is_empty() => name = Some(arg),
                _ => return None,
            }
        }
        // A name of `--config=PATH` or an empty path is for the long way to judge.
        if call.config.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            return None;
        }
        call.name = name?;
        Some(call)
    }

    /// The same arguments as the parser would give them.
    fn into_args(self) -> Args {
        let Self { name, config, min_ttl, timeout, client } = self;
        let token = TokenArgs {
            name: Some(name),
            provider: None,
            scope: None,
            min_ttl,
            client,
            client_interval: None,
            fresh: false,
            format: Format::Raw,
            timeout,
        };
        Args { config, verbose: false, command: Command::Token(token) }
    }
}

fn duration(text: &OsString) -> Option<Duration> {
    unexpired::config::parse_duration(text.to_str()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Option<Call> {
        Call::parse(args.iter().map(OsString::from))
    }

    #[test]
    fn plain_calls_are_known_and_everything_else_is_left_alone() {
        let corp = || Call { name: "corp".into(), ..Call::default() };
        assert_eq!(parse(&["unexpired", "token", "corp"]), Some(corp()));
        let timed = Call { timeout: Some(Duration::from_secs(4)), ..corp() };
        assert_eq!(parse(&["/usr/bin/unexpired", "token", "corp", "--timeout", "4s"]), Some(timed));
        let pi = Call { client: Some(Client::Pi), ..corp() };
        assert_eq!(parse(&["unexpired", "token", "corp", "--as", "pi"]), Some(pi));
        let with = parse(&["unexpired", "--config", "/c.toml", "token", "--min-ttl", "10m", "corp"]);
        let expected = Call { config: Some("/c.toml".into()), min_ttl: Some(Duration::from_secs(600)), ..corp() };
        assert_eq!(with, Some(expected));
        for args in [
            &["git-credential-unexpired", "token", "corp"][..],
            &["unexpired"],
            &["unexpired", "token"],
            &["unexpired", "status", "corp"],
            &["unexpired", "token", "corp", "more"],
            &["unexpired", "token", "corp", "--format", "json"],
            &["unexpired", "token", "corp", "--fresh"],
            &["unexpired", "token", "corp", "--as", "nobody"],
            &["unexpired", "token", "corp", "--timeout", "4s", "--timeout", "5s"],
            &["unexpired", "token", "corp", "--verbose"],
            &["unexpired", "token", "-v", "corp"],
            &["unexpired", "token", "--min-ttl", "never", "corp"],
            &["unexpired", "token", "corp", "--min-ttl"],
            &["unexpired", "token", "--", "corp"],
            &["unexpired", "token", "--provider", "ibm"],
            &["unexpired", "--config", "", "token", "corp"],
            &[],
        ] {
            assert_eq!(parse(args), None, "{args:?}");
        }
    }

    /// What is taken here means what the parser says it means.
    #[test]
    fn a_plain_call_is_what_the_parser_makes_of_it() {
        use clap::Parser as _;
        for line in [
            "unexpired token corp",
            "unexpired --config /c.toml token corp --min-ttl 10m",
            "unexpired token --timeout 4s corp --as codex --config /c.toml",
            "unexpired token corp --as pi",
        ] {
            let words: Vec<&str> = line.split(' ').collect();
            let ours = parse(&words).unwrap().into_args();
            assert_eq!(format!("{ours:?}"), format!("{:?}", Args::parse_from(words)), "{line}");
        }
    }
}
