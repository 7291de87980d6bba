//! `unexpired completions` and `unexpired man`: made from the definition of the arguments.

use crate::args::Args;
use crate::env::GROUPS;
use crate::failure::{Failure, OTHER, USAGE};
use crate::out;
use clap::CommandFactory as _;
use std::fmt::Write as _;

pub(crate) fn run(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "unexpired", &mut script);
    out::answer(&String::from_utf8_lossy(&script))
}

pub(crate) fn man(path: &[String]) -> Result<(), Failure> {
    let mut command = Args::command();
    command.build();
    for part in path.iter().flat_map(|part| part.split(' ')) {
        let sub = command.find_subcommand(part).filter(|sub| !sub.is_hide_set()).cloned();
        command = sub.ok_or_else(|| {
            Failure::new(USAGE, format!("there is no command `{}`", unexpired::text::one_line(part, 40)))
                .hint("see which there are: unexpired --help")
        })?;
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| Failure::new(OTHER, format!("the page could not be made: {error}")))?;
    let mut page = String::from_utf8_lossy(&page).into_owned();
    if path.is_empty() {
        page.push_str(".SH ENVIRONMENT\n");
        for group in GROUPS {
            let _ = write!(page, ".SS \"{}\"\n{}\n", plain(group.title), plain(group.about));
            for variable in group.variables {
                let _ = write!(page, ".TP\n\\fB{}\\fR\n{}\n", variable.name, plain(variable.what));
            }
        }
    }
    out::answer(&page)
}

/// Without the marks of Markdown and with roff's own escape for a backslash.
fn plain(text: &str) -> String {
    text.replace('`', "").replace('\\', "\\e")
}
