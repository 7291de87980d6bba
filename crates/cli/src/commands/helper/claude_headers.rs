//! Claude Code's `headersHelper` of an MCP server: a JSON object of headers. stdin is a pipe that it never closes.

use super::args::HeadersArgs;
use super::place::Place;
use super::{pick, write};
use crate::args::Args;
use crate::env;
use crate::failure::{Failure, USAGE};
use crate::handout;
use crate::project::Project;
use unexpired::ErrorKind;
use unexpired::text::one_line;

pub(super) fn run(args: &Args, own: &HeadersArgs) -> Result<(), Failure> {
    let name = name(args, own.name.as_deref(), env::text("CLAUDE_CODE_MCP_SERVER_URL").as_deref())?;
    let handed = handout::token(args, &name, &own.wait.ask(None))?;
    write::parts(&["{\"Authorization\":\"", handed.token.scheme(), " ", handed.token.secret(), "\"}\n"])
}

fn name(args: &Args, named: Option<&str>, url: Option<&str>) -> Result<String, Failure> {
    let Some(url) = url else {
        return named.map(str::to_owned).ok_or_else(|| {
            Failure::new(USAGE, "no token is named, and CLAUDE_CODE_MCP_SERVER_URL is not set")
                .hint("name one: unexpired helper claude-headers NAME")
        });
    };
    let project = Project::load(args)?;
    let token = match Place::url(url) {
        Some(place) => pick::by_place(&project, &place, named)?,
        None => None,
    };
    token.map(|token| token.name().to_owned()).ok_or_else(|| {
        Failure::of(ErrorKind::Forbidden, format!("no token is for the MCP server {}", one_line(url, 100)))
            .hint("add its host to `hosts` of the token that is")
    })
}
