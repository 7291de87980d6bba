//! How each agent is set up to use a route for good: what changes in which of its files. One file each; to add an agent, add its file and its lines in
//! `Target`.

mod claude;
mod codex;
mod copilot;
mod gemini;
mod goose;
mod openclaw;
mod opencode;
mod openshell;
mod pi;

use super::edit::{Form, Set};
use super::point::Api;
use crate::failure::{Failure, USAGE};
use clap::ValueEnum;
use std::path::PathBuf;
use std::time::Duration;

/// A client that can be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// OpenAI Codex: ~/.codex/config.toml
    Codex,
    /// Claude Code: ~/.claude/settings.json
    Claude,
    /// GitHub Copilot CLI: ~/.copilot/providers.json
    Copilot,
    /// pi: ~/.pi/agent/models.json
    Pi,
    /// OpenClaw: a piece for openclaw.json
    Openclaw,
    /// NVIDIA OpenShell: commands to run
    Openshell,
    /// Gemini CLI: ~/.gemini/.env and settings.json
    Gemini,
    /// opencode: opencode.json
    Opencode,
    /// goose: a piece for config.yaml
    Goose,
}

/// What a client is set up for.
pub(crate) struct Ask<'a> {
    pub(crate) route: &'a str,
    pub(crate) token: &'a str,
    /// Where requests go: the proxy, or the upstream if tokens are printed.
    pub(crate) url: &'a str,
    pub(crate) upstream: &'a str,
    /// The route's local key, where a file must hold it.
    pub(crate) key: &'a str,
    /// How this command is called, up to its subcommand.
    pub(crate) unexpired: &'a [String],
    pub(crate) printed: bool,
    pub(crate) interval: Option<Duration>,
    pub(crate) model: Option<&'a str>,
    pub(crate) api: Api,
}

/// What is to be done.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) files: Vec<FilePlan>,
    /// What to paste or to run: where, and the text.
    pub(crate) pieces: Vec<(String, String)>,
    /// What else to know.
    pub(crate) notes: Vec<String>,
}

/// Values for one file.
#[derive(Debug)]
pub(crate) struct FilePlan {
    pub(crate) file: PathBuf,
    pub(crate) form: Form,
    pub(crate) sets: Vec<Set>,
    /// Whether the local key is among them.
    pub(crate) holds_key: bool,
}

impl Target {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Codex => "codex",
            Self::Claude => "claude",
            Self::Copilot => "copilot",
            Self::Pi => "pi",
            Self::Openclaw => "openclaw",
            Self::Openshell => "openshell",
            Self::Gemini => "gemini",
            Self::Opencode => "opencode",
            Self::Goose => "goose",
        }
    }

    pub(crate) fn plan(self, ask: &Ask<'_>) -> Result<Plan, Failure> {
        let plan = match self {
            Self::Codex => codex::plan,
            Self::Claude => claude::plan,
            Self::Copilot => copilot::plan,
            Self::Pi => pi::plan,
            Self::Openclaw => openclaw::plan,
            Self::Openshell => openshell::plan,
            Self::Gemini => gemini::plan,
            Self::Opencode => opencode::plan,
            Self::Goose => goose::plan,
        };
        if ask.printed && matches!(self, Self::Openclaw | Self::Gemini | Self::Opencode | Self::Goose) {
            let line = format!("{} reads its key once and keeps it: a printed token would expire there", self.name());
            return Err(Failure::new(USAGE, line).hint("leave out --printed; the proxy keeps tokens fresh for it"));
        }
        plan(ask)
    }
}

impl Ask<'_> {
    /// The words that print what the client sends: the local key, or the token.
    pub(crate) fn words(&self, client: &str) -> Vec<String> {
        let rest = if self.printed {
            let mut rest = vec!["token".to_owned(), self.token.to_owned(), "--as".to_owned(), client.to_owned()];
            if let Some(interval) = self.interval {
                rest.extend(["--client-interval".to_owned(), format!("{}ms", interval.as_millis())]);
            }
            rest
        } else {
            vec!["proxy".to_owned(), "key".to_owned(), self.route.to_owned()]
        };
        self.unexpired.iter().cloned().chain(rest).collect()
    }

    /// The same as one line for a shell.
    pub(crate) fn line(&self, client: &str) -> String {
        let words: Vec<String> = self.words(client).iter().map(|word| crate::project::quoted(word)).collect();
        words.join(" ")
    }

    pub(crate) fn model(&self, client: &str) -> Result<&str, Failure> {
        self.model.ok_or_else(|| {
            Failure::new(USAGE, format!("{client} must be told which model the route has"))
                .hint(format!("name it: unexpired setup {client} {} --model MODEL", self.route))
        })
    }
}

/// A folder that a variable names, else one in the user's home.
fn folder(variable: &str, at_home: &str) -> Result<PathBuf, Failure> {
    match crate::env::text(variable) {
        Some(path) => Ok(PathBuf::from(path)),
        None => super::point::at_home(at_home),
    }
}
