//! `unexpired config check` and `unexpired config schema`.

use crate::args::{Args, ConfigCommand};
use crate::failure::{Failure, USAGE};
use crate::out;
use crate::project::{Project, command};
use unexpired::config::{Config, ConfigError};

pub(crate) fn run(args: &Args, own: &ConfigCommand) -> Result<(), Failure> {
    match own {
        ConfigCommand::Check => check(args),
        ConfigCommand::Schema => out::answer(&format!("{}\n", unexpired::config::schema().trim_end())),
    }
}

/// Says all that is wrong, not only the first, and what the configuration names and is not there. Touches no network, reads no secret, runs no
/// program.
fn check(args: &Args) -> Result<(), Failure> {
    let project = Project::load(args).map_err(|failure| all_problems(args).unwrap_or(failure))?;
    let config = &project.config;
    if !args.verbose {
        for warning in config.warnings() {
            out::to_stderr(&format!("warning: {warning}"));
        }
    }
    if let Some(failure) = every(args, &config.missing()) {
        return Err(failure);
    }
    let names: Vec<&str> = config.names().collect();
    let tokens = crate::demo::story::count(names.len() as u64, "token");
    let list = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    out::answer(&format!("{}: {tokens}{list}\n", project.path.display()))
}

/// If the file was read and several things in it are wrong: each on its line.
fn all_problems(args: &Args) -> Option<Failure> {
    let path = crate::project::path(args).ok()?;
    // Only a file that was trusted has an error with a line.
    Config::load(&path).err()?.line()?;
    let text = std::fs::read_to_string(&path).ok()?;
    every(args, &Config::problems(&text, &path.display().to_string()))
}

/// Each problem on its line; `None` if there is none.
fn every(args: &Args, problems: &[ConfigError]) -> Option<Failure> {
    let (last, first) = problems.split_last()?;
    for problem in first {
        out::to_stderr(&format!("error: {problem}"));
    }
    Some(Failure::new(USAGE, last).hint(format!("once it is corrected: {} config check", command(args))))
}
