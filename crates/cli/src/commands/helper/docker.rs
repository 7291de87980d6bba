//! Docker's credential helpers: <https://github.com/docker/docker-credential-helpers>. Errors are told on stdout, with exit code 1; the docker
//! command hides them, so they are told on stderr too.

use super::args::DockerArgs;
use super::place::Place;
use super::{input, pick, write};
use crate::args::Args;
use crate::failure::{Failure, OTHER};
use crate::handout;
use crate::out;
use crate::project::Project;

pub(super) fn run(args: &Args, own: &DockerArgs) -> Result<(), Failure> {
    match own.verb.as_str() {
        "get" => get(args, own),
        // `docker logout`: names the server only, and there is nothing to forget.
        "erase" => {
            input::discard();
            Ok(())
        }
        // Clients ask for each server of the list one by one; tokens are not minted on suspicion.
        "list" => {
            input::discard();
            out::answer("{}\n")
        }
        "version" => out::answer(concat!("docker-credential-unexpired (unexpired) ", env!("CARGO_PKG_VERSION"), "\n")),
        // Must fail: a client that believed its password to be kept would not ask for it again.
        "store" => {
            input::discard();
            told("unexpired keeps no passwords: its configuration says where tokens come from")
        }
        _ => told("unknown credential action: get, store, erase, list, version"),
    }
}

fn get(args: &Args, own: &DockerArgs) -> Result<(), Failure> {
    let input = input::all()?;
    let server = input.trim();
    if server.is_empty() {
        return told(NO_SERVER);
    }
    let Some(place) = Place::url_or_authority(server) else { return nothing() };
    let project = Project::load(args).map_err(also_on_stdout)?;
    let token = pick::by_place(&project, &place, own.by.name.as_deref()).map_err(also_on_stdout)?;
    let Some(token) = token else { return nothing() };
    let handed = handout::token(args, token.name(), &own.by.wait.ask(None)).map_err(also_on_stdout)?;
    write::parts(&[
        "{\"ServerURL\":",
        &write::json(server),
        ",\"Username\":",
        &write::json(token.username()),
        ",\"Secret\":\"",
        handed.token.secret(),
        "\"}\n",
    ])
}

/// Not an error: the client goes on without a credential.
fn nothing() -> Result<(), Failure> {
    out::answer(NOT_FOUND)?;
    Err(Failure::silent(OTHER))
}

fn told(text: &str) -> Result<(), Failure> {
    Err(also_on_stdout(Failure::new(OTHER, text)))
}

fn also_on_stdout(failure: Failure) -> Failure {
    match out::answer(&format!("{}\n", failure.line())) {
        Ok(()) => failure.exiting(OTHER),
        Err(lost) => lost,
    }
}

// Clients compare these texts.
const NOT_FOUND: &str = "credentials not found in native keychain\n";
const NO_SERVER: &str = "no credentials server URL";
