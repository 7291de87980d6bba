//! Tickets: where the record of a token is, for who asked the last time, and what must not have changed since.
//!
//! With one a call needs neither to read the configuration nor to build a source: it compares a few file stamps and prints. Who has none, or one
//! that is out of date, goes the long way, which writes a new one.

use crate::shared::Subject;
use std::fs;
use std::path::{Path, PathBuf};
use unexpired::config::TokenConfig;
use unexpired::store::FileStore;
use unexpired::{Digest, StoreKey};

/// What a ticket says of one name in one configuration file.
#[derive(Debug, PartialEq)]
pub(crate) struct Ticket {
    /// The key of the record.
    pub(crate) key: StoreKey,
    /// The revision that the record must have.
    pub(crate) revision: u64,
    config: String,
    files: Vec<(PathBuf, String)>,
    variables: Vec<(String, String)>,
}

impl Ticket {
    /// The ticket of a subject, as its files and variables are now. `config` is the configuration file's stamp from before it was read.
    pub(crate) fn of(subject: &Subject, key: StoreKey, token: &TokenConfig, config: String, revision: u64) -> Self {
        debug_assert_eq!(token.name(), subject.name);
        Self {
            key,
            revision,
            config,
            files: token.credential_files().into_iter().map(|path| (path.to_owned(), stamp(path))).collect(),
            variables: token.credential_variables().into_iter().map(|name| (name.to_owned(), variable(name))).collect(),
        }
    }

    /// The ticket that was written last, if nothing that it depends on has changed.
    pub(crate) fn find(records: &Path, config: &Path, name: &str) -> Option<Self> {
        let text = fs::read_to_string(place(records, config, name)).ok()?;
        let ticket = Self::parse(&text)?;
        let same_files = ticket.files.iter().all(|(path, then)| stamp(path) == *then);
        let same_variables = ticket.variables.iter().all(|(name, then)| variable(name) == *then);
        (stamp(config) == ticket.config && same_files && same_variables).then_some(ticket)
    }

    /// Keeps the ticket beside the records. That it cannot be kept only costs time.
    pub(crate) fn keep(&self, store: &FileStore, config: &Path, name: &str) {
        let place = place(store.records_path(), config, name);
        let Some(text) = self.write() else { return };
        if fs::read_to_string(&place).is_ok_and(|kept| kept == text) {
            return;
        }
        let new = place.with_extension(format!("ticket-{}", std::process::id()));
        let written = crate::sys::write_private(&new, text.as_bytes()).and_then(|()| fs::rename(&new, &place));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
    }

    /// One line each, a word and what it says; what a program that starts hundreds of times must read should need no parser. `None` if a path cannot
    /// stand in a line.
    fn write(&self) -> Option<String> {
        let mut text = format!(
            "unexpired-ticket {VERSION}\nkey {}\nrevision {}\nconfig {}\n",
            self.key.as_str(),
            self.revision,
            self.config
        );
        let files = self.files.iter().map(|(path, stamp)| Some(("file", stamp, path.to_str()?)));
        let variables = self.variables.iter().map(|(name, digest)| Some(("variable", digest, name.as_str())));
        for line in files.chain(variables) {
            let (word, then, name) = line.filter(|(_, _, name)| !name.contains(['\n', '\r']))?;
            for part in [word, " ", then, " ", name, "\n"] {
                text.push_str(part);
            }
        }
        text.push_str(END);
        Some(text)
    }

    fn parse(text: &str) -> Option<Self> {
        // What was cut short may depend on too little.
        let mut lines = text.strip_suffix(END)?.split_terminator('\n');
        let mut says = |word: &str| lines.next()?.strip_prefix(word)?.strip_prefix(' ');
        if says("unexpired-ticket")? != VERSION {
            return None;
        }
        let key = StoreKey::from_hex(says("key")?)?;
        let revision = says("revision")?.parse().ok()?;
        let config = says("config")?.to_owned();
        let (mut files, mut variables) = (Vec::new(), Vec::new());
        for line in lines {
            let (word, rest) = line.split_once(' ')?;
            let (then, name) = rest.split_once(' ')?;
            match word {
                "file" => files.push((name.into(), then.to_owned())),
                "variable" => variables.push((name.to_owned(), then.to_owned())),
                _ => return None,
            }
        }
        Some(Self { key, revision, config, files, variables })
    }
}

/// What tells one state of a file from every other: which file it is, its size, when it was changed, who may change it.
pub(crate) fn stamp(path: &Path) -> String {
    fs::metadata(path).map_or_else(|_| "absent".to_owned(), |metadata| crate::sys::stamp(&metadata))
}

fn variable(name: &str) -> String {
    match std::env::var_os(name) {
        Some(value) => Digest::of(&value.to_string_lossy()).to_hex(),
        None => "unset".to_owned(),
    }
}

fn place(records: &Path, config: &Path, name: &str) -> PathBuf {
    let of = StoreKey::of(&["ticket", &config.to_string_lossy(), name]);
    records.join(format!("{}.ticket", of.as_str()))
}

const VERSION: &str = "2";
const END: &str = "end\n";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests may fail loudly")]

    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            key: StoreKey::of(&["a key"]),
            revision: u64::MAX,
            config: "fe00.1.2.".to_owned(),
            files: vec![
                ("/run/secrets/with a blank".into(), "fe00.3.4.".to_owned()),
                ("b".into(), "absent".to_owned()),
            ],
            variables: vec![("CORP_SECRET".to_owned(), "unset".to_owned())],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = ticket().write().unwrap();
        assert_eq!(Ticket::parse(&text), Some(ticket()), "{text}");
        let bare = Ticket { files: Vec::new(), variables: Vec::new(), ..ticket() };
        assert_eq!(Ticket::parse(&bare.write().unwrap()), Some(bare));
    }

    #[test]
    fn a_ticket_that_was_cut_short_or_is_of_another_version_is_none() {
        let text = ticket().write().unwrap();
        for end in 0..text.len() {
            assert_eq!(Ticket::parse(text.get(..end).unwrap()), None, "{end}");
        }
        assert_eq!(Ticket::parse(&text.replace("ticket 2", "ticket 1")), None);
        assert_eq!(Ticket::parse(&text.replace("end\n", "what is this\nend\n")), None);
        assert_eq!(
            Ticket::parse(r#"{"config":"fe00.","files":[],"key":"00","revision":1,"v":1,"variables":[]}"#),
            None
        );
    }

    #[test]
    fn a_path_that_cannot_stand_in_a_line_has_no_ticket() {
        let odd = Ticket { files: vec![("/a\nfile absent /b".into(), "absent".to_owned())], ..ticket() };
        assert_eq!(odd.write(), None);
    }
}
