//! The warm path of `unexpired token NAME`: a ticket, a record, a write. No configuration is read, nothing is parsed but those two files, and no
//! runtime, TLS or certificate is touched.
//!
//! It answers only what needs no thought: a fresh token, for a call with plain arguments. Everything else goes the long way, with the same
//! result.

use crate::sys;
use crate::ticket::Ticket;
use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use unexpired::store::FileStore;
use unexpired::{Clock as _, Phase, Record, SystemClock};

/// Prints the token and says so, if this call can be answered here.
pub(crate) fn answer(args: impl Iterator<Item = OsString>) -> Option<ExitCode> {
    let call = Call::parse(args)?;
    let config = match call.config {
        Some(path) => path,
        None => unexpired::config::default_path()?,
    };
    let store = FileStore::records_by_default()?;
    let ticket = Ticket::find(store.records_path(), &config, &call.name)?;
    let Ok(Some(Record::Token(record))) = store.load_now(&ticket.key) else { return None };
    let token = record.token.filter(|_| record.revision == ticket.revision && record.failure.is_none())?;
    let (moments, now) = (token.moments(), SystemClock.now());
    if moments.phase(now) != Phase::Fresh || moments.expires_at.until(now) < call.min_ttl {
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
    min_ttl: Duration,
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
                "--config" => call.config = Some(PathBuf::from(args.next()?)),
                "--min-ttl" => call.min_ttl = unexpired::config::parse_duration(args.next()?.to_str()?)?,
                // Clients that keep no token: what they ask means no more than it says.
                "--as"
                    if ["copilot", "pi", "openclaw", "gemini", "opencode", "goose"]
                        .contains(&args.next()?.to_str()?) => {}
                // How long to wait says nothing to who does not wait.
                "--timeout" => drop(unexpired::config::parse_duration(args.next()?.to_str()?)?),
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
        assert_eq!(parse(&["/usr/bin/unexpired", "token", "corp", "--timeout", "4s"]), Some(corp()));
        assert_eq!(parse(&["unexpired", "token", "corp", "--as", "pi"]), Some(corp()));
        let with = parse(&["unexpired", "--config", "/c.toml", "token", "--min-ttl", "10m", "corp"]);
        let expected = Call { config: Some("/c.toml".into()), min_ttl: Duration::from_secs(600), ..corp() };
        assert_eq!(with, Some(expected));
        for args in [
            &["git-credential-unexpired", "token", "corp"][..],
            &["unexpired"],
            &["unexpired", "token"],
            &["unexpired", "status", "corp"],
            &["unexpired", "token", "corp", "more"],
            &["unexpired", "token", "corp", "--format", "json"],
            &["unexpired", "token", "corp", "--fresh"],
            &["unexpired", "token", "corp", "--as", "codex"],
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
}
