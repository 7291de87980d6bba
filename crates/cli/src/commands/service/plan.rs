//! What is to be run, and what of it each service manager is given: files, and commands of the manager's own.

use std::path::PathBuf;

/// A proxy that is to be kept running.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// For the machine, under an account of its own; else for the user who installs it.
    pub(crate) system: bool,
    /// This program's file.
    pub(crate) program: String,
    pub(crate) config: String,
    /// All routes, if none.
    pub(crate) routes: Vec<String>,
    /// Where the routes are that have no place of their own, if there are such.
    pub(crate) shared: Option<Shared>,
    /// The ports and sockets of routes that have their own.
    pub(crate) ports: Vec<u16>,
    pub(crate) sockets: Vec<String>,
    /// Whose group may connect to the sockets.
    pub(crate) group: Option<String>,
    /// Who alone may connect to the sockets.
    pub(crate) uids: Vec<u32>,
    /// Files that the service manager reads and hands to the service: name and path.
    pub(crate) credentials: Vec<(String, String)>,
    /// Whether tokens or secrets come from other programs, whose needs are not known.
    pub(crate) runs_commands: bool,
    /// The folder of the keys, where the user has another than the usual.
    pub(crate) store: Option<String>,
}

/// Where routes are served together.
#[derive(Clone, Debug)]
pub(crate) enum Shared {
    Port(u16),
    Socket(&'static str),
}

impl Service {
    /// The arguments of the program.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--config".to_owned(), self.config.clone(), "proxy".to_owned()];
        if let Some(Shared::Port(port)) = self.shared
            && port != crate::args::PROXY_PORT
        {
            arguments.extend(["--port".to_owned(), port.to_string()]);
        }
        for uid in &self.uids {
            arguments.extend(["--allow-uid".to_owned(), uid.to_string()]);
        }
        arguments.extend(self.routes.iter().cloned());
        arguments
    }
}

/// What a service manager is given.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) files: Vec<Planned>,
    /// Run when the files are there.
    pub(crate) start: Vec<Step>,
    /// Run before the files are taken away.
    pub(crate) stop: Vec<Step>,
    /// Run when they are gone.
    pub(crate) forget: Vec<Step>,
    /// Where the user's or the machine's own changes to it lie, which stay.
    pub(crate) kept: Vec<PathBuf>,
    /// How its state is asked for.
    pub(crate) state: Step,
    /// Where it says what went wrong.
    pub(crate) log: String,
}

/// A file, and what is to be in it.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// Windows' task scheduler reads what it writes itself.
    pub(crate) utf16: bool,
}

/// A command of the service manager.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) program: &'static str,
    pub(crate) arguments: Vec<String>,
    /// Whether nothing is wrong if it fails.
    pub(crate) may_fail: bool,
    /// Whether it means nothing to an image that does not run.
    pub(crate) is_for_running: bool,
}

impl Step {
    pub(crate) fn new<T: Into<String>>(program: &'static str, arguments: impl IntoIterator<Item = T>) -> Self {
        Self {
            program,
            arguments: arguments.into_iter().map(Into::into).collect(),
            may_fail: false,
            is_for_running: false,
        }
    }

    pub(crate) fn may_fail(mut self) -> Self {
        self.may_fail = true;
        self
    }

    pub(crate) fn for_running(mut self) -> Self {
        self.is_for_running = true;
        self
    }

    /// As it is typed.
    pub(crate) fn line(&self) -> String {
        let words = self.arguments.iter().map(|word| crate::project::quoted(word));
        std::iter::once(self.program.to_owned()).chain(words).collect::<Vec<_>>().join(" ")
    }
}

/// Stands near the beginning of each file that is ours; nothing else is replaced or taken away.
pub(crate) const MARK: &str = "Written by `unexpired service install`";
