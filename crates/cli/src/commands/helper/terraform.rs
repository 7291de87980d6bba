//! Terraform and OpenTofu: <https://developer.hashicorp.com/terraform/internals/credentials-helpers>.

use super::args::TerraformArgs;
use super::place::Place;
use super::{input, pick, write};
use crate::args::Args;
use crate::failure::{Failure, USAGE};
use crate::handout;
use crate::out;
use crate::project::Project;

pub(super) fn run(args: &Args, own: &TerraformArgs) -> Result<(), Failure> {
    match own.verb.as_str() {
        "get" => get(args, own),
        verb @ ("store" | "forget") => {
            if verb == "store" {
                // Must be read even where it is refused.
                input::discard();
            }
            Err(Failure::new(
                USAGE,
                format!("`{verb}`: unexpired's configuration says where tokens come from, not terraform"),
            )
            .hint("unexpired config check"))
        }
        _ => Err(Failure::new(USAGE, "unknown verb: get, store and forget are known")),
    }
}

fn get(args: &Args, own: &TerraformArgs) -> Result<(), Failure> {
    let nothing = || out::answer("{}\n");
    let Some(place) = Place::authority("https", &own.host) else { return nothing() };
    let project = Project::load(args)?;
    let Some(token) = pick::by_place(&project, &place, own.by.name.as_deref())? else { return nothing() };
    let handed = handout::token(args, token.name(), &own.by.wait.ask(None))?;
    write::parts(&["{\"token\":\"", handed.token.secret(), "\"}\n"])
}
