//! The `unexpired` command: prints tokens that are never stale.
//!
//! stdout carries the answer and nothing else. stderr is silent on success. Exit codes: 0, 1 for anything unforeseen, 2 usage and
//! configuration, 3 try later, 4 refused, 5 forbidden.

mod activation;
mod args;
mod clients;
mod commands;
mod demo;
mod env;
mod failure;
mod fast;
mod handout;
mod minter;
mod out;
mod project;
#[cfg(test)]
mod reference;
mod shared;
mod signals;
mod suspicion;
mod sys;
mod ticket;

use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args = match fast::answer(std::env::args_os()) {
        fast::Fast::Answered(code) => return code,
        fast::Fast::Plain(args) => args,
        fast::Fast::Other => match args::Args::try_parse_from(commands::helper::arguments(std::env::args_os())) {
            Ok(args) => args,
            Err(error) => return usage(&error),
        },
    };
    match commands::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Help and version go to stdout, and a reader that went away is no error. A usage error is a failure like any other: one line, and a hint.
fn usage(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        if error.use_stderr() {
            let _ = error.print();
            return ExitCode::from(failure::USAGE);
        }
        return match out::answer(&error.render().to_string()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        };
    }
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n");
    let line = paragraphs.next().unwrap_or_default();
    let line: Vec<&str> = line.trim_start_matches("error:").lines().map(str::trim).collect();
    // Nobody means a value by an unknown option.
    let helps = |tip: &&str| !tip.starts_with("to pass '");
    let tip = paragraphs.find_map(|paragraph| paragraph.trim().strip_prefix("tip: ").filter(helps));
    let hint = tip
        .map_or_else(|| "see how it is used: unexpired --help, or unexpired COMMAND --help".to_owned(), str::to_owned);
    let tidy = |text: &str| unexpired::text::one_line(text, 300);
    let exit = if commands::run::is_meant(std::env::args_os()) { commands::run::OURS } else { failure::USAGE };
    failure::Failure::new(exit, tidy(line.join(" ").trim())).hint(tidy(&hint)).report()
}
