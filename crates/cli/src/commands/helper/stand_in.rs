//! What the stand-ins for other programs share: their arguments, and not to be taken for the real one by ourselves.

use crate::env;
use crate::failure::{Failure, USAGE};
use unexpired::text::one_line;

/// What was said to the program: words, and options with their values.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) words: Vec<String>,
    options: Vec<(&'static str, String)>,
}

impl Said {
    /// Reads arguments. `known` are the options: all their spellings, the first of which is what they are called here, and whether a value
    /// follows. `None` if there is any other.
    pub(super) fn read(arguments: &[String], known: &[(&'static [&'static str], bool)]) -> Option<Self> {
        let mut said = Self::default();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if !argument.starts_with('-') {
                said.words.push(argument.clone());
                continue;
            }
            let (spelling, attached) = match argument.split_once('=') {
                Some((spelling, value)) => (spelling, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let (spellings, takes_value) = known.iter().find(|(spellings, _)| spellings.contains(&spelling))?;
            let value = match (takes_value, attached) {
                (true, Some(value)) => value,
                (true, None) => rest.next()?.clone(),
                (false, None) => String::new(),
                (false, Some(_)) => return None,
            };
            said.options.push((spellings.first()?, value));
        }
        Some(said)
    }

    /// All values of an option.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.options.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The last value of an option, as these programs have it.
    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn words(&self) -> Vec<&str> {
        self.words.iter().map(String::as_str).collect()
    }
}

/// A command of the configuration that wants the real program and finds the stand-in would start itself without end.
pub(super) fn refuse_to_serve_ourselves(program: &str) -> Result<(), Failure> {
    if env::text("UNEXPIRED_COMMAND").is_none() {
        return Ok(());
    }
    Err(Failure::new(USAGE, format!("{program} is unexpired's own stand-in here, and cannot mint for unexpired"))
        .hint(format!("name the real {program} by its path in `command` of the configuration")))
}

/// What the stand-in does not do.
pub(super) fn unknown(program: &str, does: &str, arguments: &[String]) -> Failure {
    let said = one_line(&unexpired::text::mask(&arguments.join(" ")), 80);
    Failure::new(USAGE, format!("this is unexpired's stand-in for {program}, which knows {does}; not `{said}`"))
        .hint(format!("start the real {program} by its path, or put its folder first in PATH"))
}
