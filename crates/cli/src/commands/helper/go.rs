//! Go's `GOAUTH` command (`go help goauth`): URL prefixes, an empty line, headers, an empty line.

use super::args::GoArgs;
use super::place::Place;
use super::{input, pick, write};
use crate::args::Args;
use crate::failure::Failure;
use crate::handout::{self, Ask};
use crate::project::Project;
use unexpired::config::TokenConfig;

pub(super) fn run(args: &Args, own: &GoArgs) -> Result<(), Failure> {
    let ask = own.by.wait.ask(None);
    match &own.url {
        Some(url) => refused(args, own, url, ask),
        None => at_first(args, own, &ask),
    }
}

/// Before any request: only for the token that was named, since nobody knows yet which will be wanted.
fn at_first(args: &Args, own: &GoArgs, ask: &Ask) -> Result<(), Failure> {
    let Some(name) = &own.by.name else { return Ok(()) };
    let project = Project::load(args)?;
    let token = project.token(name)?;
    let names = token.hosts().iter().map(ToString::to_string).filter(|host| !host.starts_with('*'));
    let urls: Vec<String> = names.map(|host| format!("https://{host}\n")).collect();
    if urls.is_empty() { Ok(()) } else { give(args, token, &urls.concat(), ask) }
}

/// After an answer of 4xx, whose head is on stdin. Some servers hide what one may not see behind 404, so the status does not matter.
fn refused(args: &Args, own: &GoArgs, url: &str, mut ask: Ask) -> Result<(), Failure> {
    let head = input::all()?;
    // go asks for https only.
    let Some(place) = Place::url(url).filter(|place| place.origin().starts_with("https:")) else { return Ok(()) };
    let project = Project::load(args)?;
    let Some(token) = pick::by_place(&project, &place, own.by.name.as_deref())? else { return Ok(()) };
    let challenges = head.lines().filter_map(|line| line.split_once(':'));
    let challenges = challenges.filter(|(name, _)| name.eq_ignore_ascii_case("www-authenticate"));
    // A token that was named was sent with the first request, so it was that one.
    let named = own.by.name.is_some() && head.lines().next().is_some_and(|line| line.contains(" 401"));
    ask.fresh = named || super::says_invalid_token(challenges.map(|(_, value)| value.trim()));
    give(args, token, &format!("{}\n", place.origin()), &ask)
}

fn give(args: &Args, token: &TokenConfig, urls: &str, ask: &Ask) -> Result<(), Failure> {
    let handed = handout::token(args, token.name(), ask)?;
    write::parts(&[urls, "\nAuthorization: ", handed.token.scheme(), " ", handed.token.secret(), "\n\n"])
}
