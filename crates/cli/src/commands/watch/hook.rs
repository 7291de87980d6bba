//! What is done with each new token beside the file: a program is run, which gets it on its standard input or in its environment.

use crate::commands::rfc3339;
use crate::failure::{Failure, USAGE};
use crate::out;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, SystemTime};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::watch::Receiver;
use unexpired::text::one_line;
use unexpired::{Clock as _, Phase, SystemClock, Token};

/// A program that is run for each token.
#[derive(Debug)]
pub(super) struct Hook {
    program: PathBuf,
    arguments: Vec<OsString>,
    /// The variable that holds the token; without one it stands on the standard input.
    variable: Option<String>,
    /// OpenShell is told the moment of expiry, by this key.
    expiry_of: Option<String>,
    token_name: String,
}

impl Hook {
    /// A program of the user's own.
    pub(super) fn exec(token_name: &str, argv: &[OsString], variable: Option<&str>) -> Result<Self, Failure> {
        let (program, arguments) = argv.split_first().ok_or_else(|| Failure::new(USAGE, "--exec names no program"))?;
        if let Some(name) = variable {
            check_name("--env", name)?;
        }
        Ok(Self {
            program: find(program)?,
            arguments: arguments.to_vec(),
            variable: variable.map(str::to_owned),
            expiry_of: None,
            token_name: token_name.to_owned(),
        })
    }

    /// The push to OpenShell's gateway, by its command: the value goes by the environment (`--credential KEY` without a value reads it there),
    /// never by an argument.
    pub(super) fn openshell(token_name: &str, provider: &str, key: Option<&str>) -> Result<Self, Failure> {
        let key = match key {
            Some(key) => key.to_owned(),
            None => {
                let upper = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
                format!("{}_TOKEN", token_name.chars().map(upper).collect::<String>())
            }
        };
        check_name("--credential", &key)?;
        if provider.is_empty() || provider.starts_with('-') {
            return Err(Failure::new(USAGE, "--openshell names no provider"));
        }
        let arguments = ["provider", "update", provider, "--credential", key.as_str()];
        Ok(Self {
            program: find(&OsString::from("openshell"))?,
            arguments: arguments.map(OsString::from).to_vec(),
            variable: Some(key.clone()),
            expiry_of: Some(key),
            token_name: token_name.to_owned(),
        })
    }

    /// The program, as it is told to people.
    pub(super) fn shown(&self) -> String {
        one_line(&self.program.display().to_string(), 200)
    }

    /// Runs the program for each token, and again where it fails. A newer token takes the older one's place.
    pub(super) async fn follow(self, mut tokens: Receiver<Option<Token>>) {
        while tokens.changed().await.is_ok() {
            let mut strikes = 0_u32;
            loop {
                let Some(token) = tokens.borrow_and_update().clone() else { break };
                if token.moments().phase(SystemClock.now()) == Phase::Expired {
                    break;
                }
                let Err(why) = self.run(&token).await else { break };
                let pause = Duration::from_secs(1 << strikes.min(6)).min(LONGEST_PAUSE);
                strikes = strikes.saturating_add(1);
                out::to_stderr(&format!("warning: {} {why}; run again in {} s", self.shown(), pause.as_secs()));
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    changed = tokens.changed() => if changed.is_err() { return },
                }
            }
        }
    }

    async fn run(&self, token: &Token) -> Result<(), String> {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.arguments).kill_on_drop(true).env("UNEXPIRED_TOKEN_NAME", &self.token_name);
        match token.expires_at() {
            Some(at) => command.env("UNEXPIRED_EXPIRES_AT", rfc3339(at)),
            None => command.env_remove("UNEXPIRED_EXPIRES_AT"),
        };
        if let (Some(key), Some(at)) = (&self.expiry_of, token.expires_at()) {
            command.arg("--credential-expires-at").arg(format!("{key}={}", millis(at)));
        }
        match &self.variable {
            Some(name) => command.env(name, token.secret()).stdin(Stdio::null()),
            None => command.stdin(Stdio::piped()),
        };
        let mut child = command.spawn().map_err(|error| format!("cannot be started: {}", error.kind()))?;
        let stdin = child.stdin.take();
        let whole = async {
            if let Some(mut stdin) = stdin {
                // A program that does not read it does without.
                let _ = stdin.write_all(token.secret().as_bytes()).await;
                drop(stdin);
            }
            child.wait().await
        };
        match tokio::time::timeout(LONGEST_RUN, whole).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(ended(status)),
            Ok(Err(error)) => Err(format!("was lost: {}", error.kind())),
            Err(_) => Err(format!("took longer than {} s and was ended", LONGEST_RUN.as_secs())),
        }
    }
}

fn ended(status: ExitStatus) -> String {
    status.code().map_or_else(|| "was ended by a signal".to_owned(), |code| format!("exited with {code}"))
}

/// What OpenShell counts moments in: milliseconds since 1970, rounded down.
fn millis(at: SystemTime) -> u128 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis())
}

fn check_name(option: &str, name: &str) -> Result<(), Failure> {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if first && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(());
    }
    Err(Failure::new(USAGE, format!("{option} {}: that is no variable's name", one_line(name, 40)))
        .hint("letters, digits and underscores, no digit at the front"))
}

/// A path as it was given, or the first hit in the absolute entries of `PATH`: nothing is picked up from the working folder by its name alone.
fn find(program: &OsString) -> Result<PathBuf, Failure> {
    let path = Path::new(program);
    if path.components().count() > 1 || path.is_absolute() {
        return std::path::absolute(path)
            .map_err(|error| Failure::new(USAGE, format!("{}: {}", path.display(), error.kind())));
    }
    if cfg!(windows) {
        // The system knows the endings of programs.
        return Ok(path.to_owned());
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(path))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            let name = one_line(&path.display().to_string(), 80);
            Failure::new(USAGE, format!("{name} is not installed: no absolute entry of PATH has it"))
                .hint(format!("install {name}, or give its path"))
        })
}

const LONGEST_RUN: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_has_a_variables_name() {
        for (name, fits) in
            [("CORP_TOKEN", true), ("_x1", true), ("1X", false), ("A=B", false), ("", false), ("A B", false)]
        {
            assert_eq!(check_name("--env", name).is_ok(), fits, "{name}");
        }
    }

    #[test]
    fn expiries_are_in_milliseconds() {
        assert_eq!(millis(SystemTime::UNIX_EPOCH + Duration::from_micros(1_767_225_599_999_900)), 1_767_225_599_999);
    }
}
