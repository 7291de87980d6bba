//! A token as the outputs of a step of GitHub Actions.
//!
//! First the mask, on stdout, which the runner reads: from then on the log shows `***` in the token's place. Then the outputs, in the file that
//! the runner names. Not its environment file: that would show the token to every program of every later step.

use crate::commands::rfc3339;
use crate::env;
use crate::failure::{Failure, OTHER, USAGE};
use crate::handout::Handed;
use crate::out;
use std::fs::File;
use std::io::Write as _;
use zeroize::Zeroizing;

pub(crate) fn set_outputs(handed: &Handed) -> Result<(), Failure> {
    let path = env::text("GITHUB_OUTPUT").ok_or_else(|| {
        Failure::new(USAGE, "GITHUB_OUTPUT is not set: --format github is for a step of GitHub Actions")
            .hint("elsewhere: unexpired token NAME --format raw")
    })?;
    // A token is a b64token: no line break, and nothing that the runner would unescape.
    out::answer(&line("::add-mask::", handed.token.secret()))?;
    let cannot = |error: std::io::Error| {
        Failure::new(OTHER, format!("the step's outputs cannot be written to GITHUB_OUTPUT: {}", error.kind()))
    };
    let mut file = File::options().append(true).create(true).open(path).map_err(cannot)?;
    file.write_all(line("token=", handed.token.secret()).as_bytes()).map_err(cannot)?;
    if let Some(at) = handed.token.expires_at() {
        file.write_all(format!("expires_at={}\n", rfc3339(at)).as_bytes()).map_err(cannot)?;
    }
    Ok(())
}

fn line(front: &str, secret: &str) -> Zeroizing<String> {
    let mut line = Zeroizing::new(String::with_capacity(front.len() + secret.len() + 1));
    for part in [front, secret, "\n"] {
        line.push_str(part);
    }
    line
}
