//! git: <https://git-scm.com/docs/git-credential#IOFMT>, <https://git-scm.com/docs/gitcredentials>.
//!
//! `erase` is the only contract in which a client says which token was refused. `store` has nothing to keep.

use super::args::GitArgs;
use super::place::Place;
use super::{input, pick, write};
use crate::args::Args;
use crate::failure::Failure;
use crate::handout;
use crate::out;
use crate::project::Project;
use std::time::SystemTime;
use unexpired::{Secret, parse_www_authenticate};

pub(super) fn run(args: &Args, own: &GitArgs) -> Result<(), Failure> {
    match own.operation.as_str() {
        "get" => get(args, own, &Asked::read(&input::all()?)),
        "erase" => {
            erase(args, own, &Asked::read(&input::all()?));
            Ok(())
        }
        "capability" => out::answer("version 0\ncapability authtype\n"),
        // What it does not know, a helper is to ignore.
        _ => {
            input::discard();
            Ok(())
        }
    }
}

fn get(args: &Args, own: &GitArgs, asked: &Asked<'_>) -> Result<(), Failure> {
    let Some(place) = asked.place() else { return Ok(()) };
    let project = Project::load(args)?;
    let Some(token) = pick::by_place(&project, &place, own.by.name.as_deref())? else { return Ok(()) };
    let mut ask = own.by.wait.ask(None);
    ask.fresh = super::says_invalid_token(asked.wwwauth.iter().copied());
    let handed = match handout::token(args, token.name(), &ask) {
        Ok(handed) => handed,
        Err(failure) => {
            // This host is ours: git must not go on with somebody else's credential, or ask a person for a password.
            out::answer("quit=1\n")?;
            return Err(failure);
        }
    };
    let expiry = handed.usable_until().map(|until| format!("password_expiry_utc={}\n", unix(until)));
    let expiry = expiry.as_deref().unwrap_or_default();
    let scheme = handed.token.scheme();
    if asked.authtype && asked.offers(scheme) {
        // Not to be stored by other helpers (`ephemeral`): this one is asked each time.
        let head = ["capability[]=authtype\nauthtype=", scheme, "\ncredential="];
        let rest = [handed.token.secret(), "\nephemeral=1\n", expiry];
        return write::parts(&[&head[..], &rest[..]].concat());
    }
    let username = asked.username.or(own.username.as_deref()).unwrap_or_else(|| token.username());
    write::parts(&["username=", username, "\npassword=", handed.token.secret(), "\n", expiry])
}

/// The token that git tried and the server refused. git looks at no answer and no exit code, and what is not ours is somebody else's.
fn erase(args: &Args, own: &GitArgs, asked: &Asked<'_>) {
    let Some(refused) = asked.credential.or(asked.password) else { return };
    let Some(place) = asked.place() else { return };
    let Ok(project) = Project::load(args) else { return };
    if let Ok(Some(token)) = pick::by_place(&project, &place, own.by.name.as_deref()) {
        let _ = handout::reject(args, token.name(), &Secret::new(refused));
    }
}

/// What git says: lines of `key=value` up to an empty one. Keys that are not known are ignored.
#[derive(Default)]
struct Asked<'a> {
    protocol: &'a str,
    host: &'a str,
    username: Option<&'a str>,
    password: Option<&'a str>,
    credential: Option<&'a str>,
    wwwauth: Vec<&'a str>,
    /// git can send other schemes than Basic (2.46).
    authtype: bool,
}

impl<'a> Asked<'a> {
    fn read(text: &'a str) -> Self {
        let mut asked = Self::default();
        for line in text.lines().take_while(|line| !line.is_empty()) {
            let Some((key, value)) = line.split_once('=') else { continue };
            match key {
                "protocol" => asked.protocol = value,
                "host" => asked.host = value,
                "username" => asked.username = Some(value).filter(|value| !value.is_empty()),
                "password" => asked.password = Some(value).filter(|value| !value.is_empty()),
                "credential" => asked.credential = Some(value).filter(|value| !value.is_empty()),
                // An empty value takes back what was said.
                "wwwauth[]" if value.is_empty() => asked.wwwauth.clear(),
                "wwwauth[]" => asked.wwwauth.push(value),
                "capability[]" if value.is_empty() => asked.authtype = false,
                "capability[]" => asked.authtype |= value == "authtype",
                _ => {}
            }
        }
        asked
    }

    fn place(&self) -> Option<Place> {
        Place::authority(self.protocol, self.host)
    }

    /// Whether the server takes this scheme. One that offers Basic alone (GitHub, GitLab) wants the token as a password.
    fn offers(&self, scheme: &str) -> bool {
        let challenges = self.wwwauth.iter().flat_map(|line| parse_www_authenticate(line));
        challenges.into_iter().any(|challenge| challenge.scheme.eq_ignore_ascii_case(scheme))
    }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
