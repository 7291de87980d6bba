//! How the command fails: one line on stderr, a hint with the command to run where there is one, and the exit code.

use std::fmt::Display;
use std::process::ExitCode;
use unexpired::config::ConfigError;
use unexpired::{ErrorKind, MintError};

/// Why the command ends without success.
#[derive(Debug)]
pub(crate) struct Failure {
    line: Option<String>,
    hint: Option<String>,
    exit: u8,
}

impl Failure {
    /// A failure of one line. The line must hold no secret.
    pub(crate) fn new(exit: u8, line: impl Display) -> Self {
        Self { line: Some(line.to_string()), hint: None, exit }
    }

    /// A failure of the meaning of `kind`.
    pub(crate) fn of(kind: ErrorKind, line: impl Display) -> Self {
        Self::new(kind.exit_code(), line)
    }

    /// The exit code alone: what there is to say was said, or nobody is there to read it.
    pub(crate) const fn silent(exit: u8) -> Self {
        Self { line: None, hint: None, exit }
    }

    /// What to run now.
    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// What failed, on one line, for a contract that has a place for it.
    pub(crate) fn line(&self) -> &str {
        self.line.as_deref().unwrap_or("the answer could not be given")
    }

    /// What to run now, where that is known.
    pub(crate) fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The exit code.
    pub(crate) const fn exit(&self) -> u8 {
        self.exit
    }

    /// The same failure with another exit code, where a contract names one.
    pub(crate) const fn exiting(mut self, exit: u8) -> Self {
        self.exit = exit;
        self
    }

    /// Says it on stderr.
    pub(crate) fn report(&self) -> ExitCode {
        if let Some(line) = &self.line {
            crate::out::to_stderr(&format!("error: {line}"));
        }
        if let Some(hint) = &self.hint {
            crate::out::to_stderr(&format!("hint: {hint}"));
        }
        ExitCode::from(self.exit)
    }
}

impl From<unexpired::Error> for Failure {
    fn from(error: unexpired::Error) -> Self {
        Self::of(error.kind(), &error)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::of(error.kind(), &error)
    }
}

impl From<MintError> for Failure {
    fn from(error: MintError) -> Self {
        Self::of(error.kind(), &error)
    }
}

/// Anything unforeseen.
pub(crate) const OTHER: u8 = 1;
/// Wrong usage or configuration.
pub(crate) const USAGE: u8 = 2;
