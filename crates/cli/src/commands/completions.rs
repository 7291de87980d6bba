//! `unexpired completions` and `unexpired man`: made from the definition of the arguments.

use crate::args::Args;
use crate::env::GROUPS;
use crate::failure::{Failure, OTHER, USAGE};
use crate::out;
use clap::CommandFactory as _;
use clap::builder::Resettable;
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
        let sub = command.find_subcommand(part).cloned();
        command = sub.ok_or_else(|| {
            Failure::new(USAGE, format!("there is no command `{}`", unexpired::text::one_line(part, 40)))
                .hint("see which there are: unexpired --help")
        })?;
    }
    let examples = command.get_after_long_help().or(command.get_after_help()).map(ToString::to_string);
    // Mangen would fill the lines of the examples like a paragraph.
    let command = command.after_help(Resettable::Reset).after_long_help(Resettable::Reset);
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| Failure::new(OTHER, format!("the page could not be made: {error}")))?;
    let mut page = String::from_utf8_lossy(&page).into_owned();
    page.push_str(&as_they_stand(&examples.unwrap_or_default()));
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

/// Paragraphs with a title and lines that keep their form, such as examples to be copied: each a section, unfilled.
fn as_they_stand(text: &str) -> String {
    let mut page = String::new();
    for paragraph in text.split("\n\n") {
        let Some((title, lines)) = paragraph.split_once(":\n") else { continue };
        let _ = write!(page, ".SH \"{}\"\n.nf\n", title.to_uppercase());
        for line in lines.lines() {
            // A point or an apostrophe in front would be a request of roff; a minus is to be one that can be copied.
            let _ = writeln!(page, "\\&{}", line.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq"));
        }
        page.push_str(".fi\n");
    }
    page
}

/// Without the marks of Markdown and with roff's own escape for a backslash.
fn plain(text: &str) -> String {
    text.replace('`', "").replace('\\', "\\e")
}
