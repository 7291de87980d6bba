//! `unexpired doctor`: is everything as it should be? Mints nothing, runs no command, changes nothing. Findings name places, never what is in them.

mod clients;
mod look;
mod machine;
mod tokens;

use crate::args::{Args, DoctorArgs};
use crate::failure::{Failure, OTHER};
use crate::out;
use clap::ValueEnum;
use look::Look;
use serde_json::json;
use unexpired::text::one_line;

pub(crate) fn run(args: &Args, own: &DoctorArgs) -> Result<(), Failure> {
    let look = Look::here();
    let mut report = Report::default();
    machine::examine(&look, tokens::store(args), &mut report);
    tokens::examine(args, &mut report);
    if let Some(client) = own.client {
        clients::examine(client, &look, &mut report);
    }
    out::answer(&if own.json { report.json() } else { report.lines() })?;
    if report.has_failed() { Err(Failure::silent(OTHER)) } else { Ok(()) }
}

/// A client that can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Agent {
    Codex,
    Claude,
    Copilot,
    Pi,
    Openclaw,
    Gemini,
    Opencode,
    Goose,
}

impl Agent {
    const fn name(self) -> &'static str {
        match self {
            Self::Codex => "codex",
            Self::Claude => "claude",
            Self::Copilot => "copilot",
            Self::Pi => "pi",
            Self::Openclaw => "openclaw",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
            Self::Goose => "goose",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Ok,
    Warn,
    Fail,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

#[derive(Debug)]
struct Finding {
    level: Level,
    about: &'static str,
    what: String,
    /// What to do; of a finding that is no `ok`.
    remedy: Option<String>,
}

#[derive(Debug, Default)]
struct Report(Vec<Finding>);

impl Report {
    fn ok(&mut self, about: &'static str, what: impl Into<String>) {
        self.0.push(Finding { level: Level::Ok, about, what: what.into(), remedy: None });
    }

    fn warn(&mut self, about: &'static str, what: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding { level: Level::Warn, about, what: what.into(), remedy: Some(remedy.into()) });
    }

    fn fail(&mut self, about: &'static str, what: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding { level: Level::Fail, about, what: what.into(), remedy: Some(remedy.into()) });
    }

    fn has_failed(&self) -> bool {
        self.0.iter().any(|finding| finding.level == Level::Fail)
    }

    fn lines(&self) -> String {
        let line = |finding: &Finding| {
            let remedy = finding.remedy.as_ref().map(|remedy| format!("; {remedy}")).unwrap_or_default();
            let text = one_line(&format!("{}: {}{remedy}", finding.about, finding.what), LONGEST_LINE);
            format!("{:<4}  {text}\n", finding.level.name())
        };
        self.0.iter().map(line).collect()
    }

    fn json(&self) -> String {
        let findings: Vec<_> = self
            .0
            .iter()
            .map(|finding| {
                json!({
                    "level": finding.level.name(),
                    "about": finding.about,
                    "what": one_line(&finding.what, LONGEST_LINE),
                    "remedy": finding.remedy.as_ref().map(|remedy| one_line(remedy, LONGEST_LINE)),
                })
            })
            .collect();
        format!("{:#}\n", json!({ "ok": !self.has_failed(), "findings": findings }))
    }
}

const LONGEST_LINE: usize = 400;
