//! `unexpired reject`: a resource refused the token that stands on stdin.

use crate::args::Args;
use crate::failure::{Failure, OTHER, USAGE};
use crate::handout;
use crate::out;
use std::io::{IsTerminal as _, Read as _};
use unexpired::{Clock as _, ErrorKind, Refusal, Secret, SystemClock};
use zeroize::Zeroizing;

pub(crate) fn run(args: &Args, name: &str) -> Result<(), Failure> {
    let token = from_stdin()?;
    match handout::reject(args, name, &token)? {
        Refusal::Retired => Ok(()),
        Refusal::Stale => {
            if args.verbose {
                out::to_stderr("verbose: that is not the current token; nothing changes");
            }
            Ok(())
        }
        Refusal::Blocked(until) => {
            let wait = until.since(SystemClock.now()).as_secs();
            let line = format!("{name}: the replacement is refused as well: the token is not the problem");
            Err(Failure::of(ErrorKind::Rejected, line).hint(format!(
                "check scope and audience; for {wait} s no report mints another: unexpired status {name}"
            )))
        }
        _ => Err(Failure::new(OTHER, "the store gave an answer that this version does not know")),
    }
}

/// The token, without the line end after it.
fn from_stdin() -> Result<Secret, Failure> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::new(USAGE, "the refused token is read from stdin, and stdin is a terminal")
            .hint("printf %s \"$TOKEN\" | unexpired reject NAME"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST as usize + 1));
    let read = stdin.lock().take(LONGEST + 1).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(OTHER, format!("stdin cannot be read: {error}")))?;
    let text = std::str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
    if text.is_empty() || bytes.len() as u64 > LONGEST || !unexpired::text::is_b64token(text) {
        return Err(
            Failure::new(USAGE, "stdin holds no token").hint("give the token alone, as `unexpired token` printed it")
        );
    }
    Ok(Secret::new(text))
}

const LONGEST: u64 = 64 * 1024;
