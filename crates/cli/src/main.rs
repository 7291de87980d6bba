//! The `unexpired` command: prints tokens that are never stale.
//!
//! stdout carries the answer and nothing else. stderr is silent on success. Exit codes: 0, 1 for anything unforeseen, 2 usage and
//! configuration, 3 try later, 4 refused, 5 forbidden.

mod args;
mod commands;
mod demo;
mod env;
mod failure;
mod out;
mod project;
#[cfg(test)]
mod reference;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        // Help and version go to stdout, usage errors to stderr; a reader that went away is no error.
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { failure::USAGE } else { 0 });
        }
    };
    match commands::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
