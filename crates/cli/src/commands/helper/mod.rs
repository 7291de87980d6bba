//! `unexpired helper`: answers programs that ask another program for a credential, each in its own form. One file a contract.
//!
//! What holds for all: stdout is the contract and nothing else; stdin is read only where the contract sends something, and never without
//! end; a token goes to no host that its `hosts` do not name, and to no remote host over plain HTTP; a host that no token is for gets the
//! contract's "nothing". Where a contract has a place for an error's text it stands there, and not on stderr as well, unless the clients hide it.

mod args;
mod aws;
mod az;
mod azd;
mod bazel;
mod cargo;
mod claude_headers;
mod docker;
mod gcloud;
mod git;
mod go;
mod google_executable;
mod input;
mod keyring;
mod kubectl;
mod openclaw;
mod pick;
mod place;
mod pnpm;
mod stand_in;
mod started_as;
mod terraform;
mod write;

pub(crate) use args::{EXAMPLES, HelperArgs};
pub(crate) use started_as::arguments;

use crate::args::Args;
use crate::failure::Failure;
use args::Contract;
use unexpired::parse_www_authenticate;

pub(crate) fn run(args: &Args, own: HelperArgs) -> Result<(), Failure> {
    match own.contract {
        Contract::Kubectl(own) => kubectl::run(args, &own),
        Contract::Aws(own) => aws::run(args, &own),
        Contract::Git(own) => git::run(args, &own),
        Contract::Docker(own) => docker::run(args, &own),
        Contract::Cargo(own) => cargo::run(args, &own),
        Contract::GoogleExecutable(own) => google_executable::run(args, &own),
        Contract::Gcloud(own) => gcloud::run(args, &own),
        Contract::Az(own) => az::run(args, &own),
        Contract::Azd(own) => azd::run(args, &own),
        Contract::Keyring(own) => keyring::run(args, &own),
        Contract::Pnpm(own) => pnpm::run(args, &own),
        Contract::Go(own) => go::run(args, &own),
        Contract::Terraform(own) => terraform::run(args, &own),
        Contract::Bazel(own) => bazel::run(args, &own),
        Contract::ClaudeHeaders(own) => claude_headers::run(args, &own),
        Contract::Openclaw(own) => openclaw::run(args, &own),
    }
}

/// Whether a server's challenges say that a token which it was shown is no longer good (RFC 6750 section 3.1).
fn says_invalid_token<'a>(lines: impl IntoIterator<Item = &'a str>) -> bool {
    lines
        .into_iter()
        .flat_map(parse_www_authenticate)
        .any(|challenge| challenge.parameter("error") == Some("invalid_token"))
}
