//! A stand-in for the `keyring` command, as pip and uv call it. Where there is nothing it says nothing, and exits with 1.

use super::args::StandInArgs;
use super::place::Place;
use super::stand_in::{self, Said};
use super::{pick, write};
use crate::args::Args;
use crate::failure::{Failure, OTHER};
use crate::handout;
use crate::project::Project;

pub(super) fn run(args: &Args, own: &StandInArgs) -> Result<(), Failure> {
    let unknown = || stand_in::unknown("keyring", "`get SERVICE USER` and `get SERVICE --mode creds`", &own.said);
    let said = Said::read(&own.said, OPTIONS).ok_or_else(unknown)?;
    let (words, mode) = (said.words(), said.option("--mode").unwrap_or("password"));
    let (service, user) = match (words.as_slice(), mode) {
        (["get", service, _], "password") => (service, false),
        (["get", service] | ["get", service, _], "creds") => (service, true),
        _ => return Err(unknown()),
    };
    let Some(place) = Place::url_or_authority(service) else { return Err(Failure::silent(OTHER)) };
    let project = Project::load(args)?;
    let token = pick::by_place(&project, &place, own.by.name.as_deref())?;
    let Some(token) = token else { return Err(Failure::silent(OTHER)) };
    let handed = handout::token(args, token.name(), &own.by.wait.ask(None))?;
    let secret = handed.token.secret();
    if user { write::parts(&[token.username(), "\n", secret, "\n"]) } else { write::parts(&[secret, "\n"]) }
}

const OPTIONS: &[(&[&str], bool)] = &[(&["--mode"], true)];
