//! pnpm's `tokenHelper`: started without arguments, so the link that it is started by holds the token's name.
//!
//! pnpm 10 sends the output as the whole header; pnpm 12 would put `Bearer` in front, and leaves it where a scheme stands there.

use super::args::NamedArgs;
use super::write;
use crate::args::Args;
use crate::failure::Failure;
use crate::handout;

pub(super) fn run(args: &Args, own: &NamedArgs) -> Result<(), Failure> {
    let handed = handout::token(args, &own.name, &own.wait.ask(None))?;
    write::parts(&[handed.token.scheme(), " ", handed.token.secret(), "\n"])
}
