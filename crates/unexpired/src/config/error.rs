//! What is wrong with a configuration: the place and the remedy, never a value.

use crate::{ErrorKind, MintError};
use std::fmt;
use unexpired_core::text::{mask, one_line};

/// Why a configuration cannot be used: `FILE:LINE: KEY: what is wrong; what to do`, one line of at most 300 characters.
///
/// No value of the file is in it, for a secret may stand where none belongs.
///
/// ```
/// use unexpired::config::Config;
///
/// let error = Config::parse("[token.corp]\nprovder = 'ibm'", "config.toml").unwrap_err();
/// assert_eq!(error.to_string(), "config.toml:2: token.corp.provder: there is no such key; did you mean `provider`?");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(Box<Parts>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Parts {
    kind: ErrorKind,
    file: String,
    line: Option<u32>,
    key: String,
    what: String,
    remedy: String,
}

impl ConfigError {
    pub(super) fn new(what: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        Self(Box::new(Parts {
            kind: ErrorKind::Misconfigured,
            file: String::new(),
            line: None,
            key: String::new(),
            what: one_line(&mask(what.as_ref()), 200),
            remedy: one_line(remedy.as_ref(), 140),
        }))
    }

    pub(super) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    pub(super) fn in_file(mut self, file: &str) -> Self {
        self.0.file = file.to_owned();
        self
    }

    pub(super) fn at(mut self, line: u32, key: impl Into<String>) -> Self {
        self.0.line = Some(line);
        self.0.key = key.into();
        self
    }

    /// [`Misconfigured`](ErrorKind::Misconfigured), or [`NotConfigured`](ErrorKind::NotConfigured) where there is no such file or token.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file, as it was named.
    pub fn file(&self) -> &str {
        &self.0.file
    }

    /// The line, counted from 1; `None` where the file as a whole is meant.
    pub fn line(&self) -> Option<u32> {
        self.0.line
    }

    /// The key with its tables, such as `token.corp.scope`; empty where none is meant.
    pub fn key(&self) -> &str {
        &self.0.key
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Parts { file, line, key, what, remedy, .. } = &*self.0;
        // Of a long path the end tells more.
        let skip = file.chars().count().saturating_sub(MAX_FILE);
        let shown: String = file.chars().skip(skip).collect();
        let mut text = if skip > 0 { format!("…{shown}") } else { shown };
        if let Some(line) = line {
            text.push_str(&format!(":{line}"));
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        if !key.is_empty() {
            text.push_str(key);
            text.push_str(": ");
        }
        text.push_str(what);
        if remedy.is_empty() {
            return f.write_str(&one_line(&text, MAX_LINE));
        }
        // What is cut is what happened, never what to do.
        let room = MAX_LINE.saturating_sub(remedy.chars().count()).saturating_sub(2);
        write!(f, "{}; {remedy}", one_line(&text, room))
    }
}

impl std::error::Error for ConfigError {}

impl From<ConfigError> for MintError {
    fn from(error: ConfigError) -> Self {
        let Parts { kind, file, line, key, what, remedy } = *error.0;
        let place = match line {
            Some(line) => format!("{file}:{line}: {key}: {what}"),
            None => format!("{file}: {what}"),
        };
        MintError::new(kind, place).remedy(remedy)
    }
}

const MAX_LINE: usize = 300;
const MAX_FILE: usize = 80;
