//! `unexpired run`: a program, and around it a proxy that lives as long.

use crate::args::Args;
use crate::clients::Client;
use crate::clients::point::{self, Api, Pointed, Told};
use crate::failure::{Failure, OTHER};
use crate::out;
use crate::project::Project;
use crate::signals::Passed;
use crate::sys;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Command, ExitStatus};
use unexpired::config::TokenConfig;
use unexpired_proxy::{Listen, LocalKey, Proxy};

#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// The route in the configuration
    pub(crate) route: String,

    /// What the program is, if its name does not say it
    #[arg(long = "as", value_name = "CLIENT")]
    pub(crate) client: Option<Client>,

    /// The model to ask for; pi and openclaw must be told one
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,

    /// The API that the upstream has, if its name does not say it
    #[arg(long, value_name = "API")]
    pub(crate) api: Option<Api>,

    /// Keep this variable, which would be taken out of the program's environment; may be repeated
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) keep: Vec<String>,

    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub(crate) program: Vec<OsString>,
}

/// Runs the program and ends as it ends.
pub(crate) fn run(args: &Args, own: &RunArgs) -> Result<(), Failure> {
    match around(args, own) {
        Ok(0) => Ok(()),
        Ok(code) => Err(Failure::silent(code)),
        Err(failure) if matches!(failure.exit(), NOT_EXECUTABLE | NOT_FOUND) => Err(failure),
        Err(failure) => Err(failure.exiting(OURS)),
    }
}

/// Whether these arguments mean this command: what is wrong with them then ends with its code too.
pub(crate) fn is_meant(mut arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.next();
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--config") => drop(arguments.next()),
            Some(option) if option.starts_with('-') => {}
            word => return word == Some("run"),
        }
    }
    false
}

fn around(args: &Args, own: &RunArgs) -> Result<u8, Failure> {
    let (name, arguments) =
        own.program.split_first().ok_or_else(|| Failure::new(OURS, "there is no program to run"))?;
    let program = find(name)?;
    let project = Project::load(args)?;
    let routes = super::proxy::chosen(&project, std::slice::from_ref(&own.route))?;
    let config = routes.first().ok_or_else(|| Failure::new(OURS, "there is no such route"))?;
    let (manager, counts) = super::proxy::manager(args, &project, config.token())?;
    let key = LocalKey::random()?;
    let route = super::proxy::route(config, manager, LocalKey::new(key.clone()), Some(Listen::Port(0)), counts)?;

    let runtime = super::runtime()?;
    // Within the runtime, since signals are listened for before anything is started.
    let code = runtime.block_on(async {
        let mut signals = Passed::listen()?;
        let proxy = Proxy::builder().route(route).bind()?;
        let url = proxy.places_of(config.name()).first().map(ToString::to_string).unwrap_or_default();
        let client = own.client.or_else(|| point::known(Path::new(name)));
        let told = Told {
            url: &url,
            key: key.expose(),
            upstream: config.upstream(),
            api: own.api,
            model: own.model.as_deref(),
            arguments,
        };
        let pointed = point::point(client, &told)?;
        let mut command = Command::new(&program);
        sys::called(&mut command, name);
        command.args(with(&pointed.arguments, arguments, client, Path::new(name)));
        surround(&mut command, &pointed, &project, &own.keep);
        let _until_it_ends = pointed.folder;
        let mut child = tokio::process::Command::from(command).spawn().map_err(|error| not_started(name, &error))?;
        // After the start, since the program should inherit no limits; no secret has been read so far.
        unexpired_proxy::protect_memory();
        let mut serving = pin!(proxy.serve(std::future::pending()));
        let mut serves = true;
        loop {
            tokio::select! {
                ended = child.wait() => {
                    return ended.map(code).map_err(|error| Failure::new(OURS, format!("the program's end is not known: {error}")));
                }
                signal = signals.next() => signal.pass_on(child.id()),
                served = &mut serving, if serves => {
                    serves = false;
                    if let Err(error) = served {
                        out::to_stderr(&format!("error: the proxy ended, the program runs on without it: {error}"));
                    }
                }
            }
        }
    });
    // Nobody is left to be served, and a mint that hangs must not keep the process.
    runtime.shutdown_background();
    code
}

/// The arguments: ours before the program's own, or, where another program starts the agent (`npx @openai/codex`), behind the word that names it.
fn with(ours: &[String], own: &[OsString], client: Option<Client>, program: &Path) -> Vec<OsString> {
    let names_it = |word: &OsString| {
        let name = Path::new(word).file_name().and_then(OsStr::to_str).unwrap_or_default();
        client.is_some() && name.split(['@', '.']).next() == Some(point::program_of(client))
    };
    let at = match own.iter().position(names_it) {
        Some(at) if point::known(program) != client => at + 1,
        _ => 0,
    };
    let (before, behind) = own.split_at(at);
    before.iter().cloned().chain(ours.iter().map(OsString::from)).chain(behind.iter().cloned()).collect()
}

/// The program's environment: ours, less what would shadow it, and what holds secrets that live long.
fn surround(command: &mut Command, pointed: &Pointed, project: &Project, keep: &[String]) {
    let configured = project.config.tokens().flat_map(TokenConfig::credential_variables);
    let secrets = SECRETS.iter().chain(pointed.unset).copied().chain(configured);
    for name in secrets.filter(|name| !keep.iter().any(|kept| kept == name)) {
        command.env_remove(name);
    }
    for (name, value) in &pointed.set {
        command.env(name, value);
    }
    // A client that goes out through a proxy must not ask that one for ours.
    if PROXIES.iter().any(|name| std::env::var_os(name).is_some()) {
        let direct = NO_PROXY.iter().find_map(|name| crate::env::text(name)).unwrap_or_default();
        let direct = if direct.is_empty() { LOOPBACK.to_owned() } else { format!("{direct},{LOOPBACK}") };
        for name in NO_PROXY {
            command.env(name, &direct);
        }
    }
}

/// The program's file: a path as it is written, or a name that is looked up in the absolute entries of `PATH`.
pub(super) fn find(name: &OsStr) -> Result<PathBuf, Failure> {
    let shown = || unexpired::text::one_line(&name.to_string_lossy(), 100);
    let path = Path::new(name);
    let not_found = || Failure::new(NOT_FOUND, format!("{}: no such program", shown()));
    let not_executable = || Failure::new(NOT_EXECUTABLE, format!("{}: not executable", shown()));
    if path.components().count() != 1
        || path.is_absolute()
        || path.parent().is_none_or(|parent| parent != Path::new(""))
    {
        return match sys::is_executable(path) {
            Some(true) => Ok(path.to_path_buf()),
            Some(false) => Err(not_executable()),
            None => Err(not_found()),
        };
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let mut there = false;
    for folder in std::env::split_paths(&folders).filter(|folder| folder.is_absolute()) {
        for file in sys::program_files(&folder.join(name)) {
            match sys::is_executable(&file) {
                Some(true) => return Ok(file),
                Some(false) => there = true,
                None => {}
            }
        }
    }
    Err(if there { not_executable() } else { not_found() })
}

fn not_started(name: &OsStr, error: &std::io::Error) -> Failure {
    let code = match error.kind() {
        // What it is to be interpreted by is not there.
        std::io::ErrorKind::NotFound => NOT_FOUND,
        _ => NOT_EXECUTABLE,
    };
    let name = unexpired::text::one_line(&name.to_string_lossy(), 100);
    Failure::new(code, format!("{name} cannot be started: {error}"))
}

/// The exit code, as shells tell it.
fn code(status: ExitStatus) -> u8 {
    let by_signal = sys::signal_of(status).map(|signal| signal.saturating_add(128));
    status.code().or(by_signal).and_then(|code| u8::try_from(code & 0xff).ok()).unwrap_or(OTHER)
}

/// Variables that hold secrets from which tokens are minted, by the names that vendors and this project give them.
const SECRETS: [&str; 8] = [
    "AZURE_CLIENT_SECRET",
    "AZURE_CLIENT_CERTIFICATE_PASSWORD",
    "AZURE_PASSWORD",
    "IBMCLOUD_API_KEY",
    "IC_API_KEY",
    "WATSONX_APIKEY",
    "WATSONX_API_KEY",
    "OAUTH_CLIENT_SECRET",
];
const PROXIES: [&str; 6] = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];
const LOOPBACK: &str = "127.0.0.1,localhost";

/// A failure of ours; the codes of `env`, `nice` and `timeout`.
pub(crate) const OURS: u8 = 125;
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

pub(crate) const EXAMPLES: &str = "\
Examples:
  unexpired run gov -- codex
  unexpired run gov -- claude -p 'say ok'
  unexpired run gov --model gpt-5 -- pi
  unexpired run gov --as codex -- npx @openai/codex
  unexpired run gov -- sh -c 'curl -H \"Authorization: Bearer $UNEXPIRED_PROXY_KEY\" $UNEXPIRED_PROXY_URL/models'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_found_among_the_arguments() {
        for (line, meant) in [
            ("unexpired run gov", true),
            ("unexpired --config run run", true),
            ("unexpired -v --config=x run", true),
            ("unexpired token run", false),
            ("unexpired", false),
        ] {
            assert_eq!(is_meant(line.split(' ').map(OsString::from)), meant, "{line}");
        }
    }

    #[test]
    fn arguments_go_to_the_agent_and_not_to_what_starts_it() {
        let ours = ["-c".to_owned()];
        for (program, own, expected) in [
            ("codex", &["exec", "codex"][..], &["-c", "exec", "codex"][..]),
            ("npx", &["-y", "@openai/codex@1.2", "exec"], &["-y", "@openai/codex@1.2", "-c", "exec"]),
            ("node", &["/x/codex.js"], &["/x/codex.js", "-c"]),
            ("wrapper", &["exec"], &["-c", "exec"]),
        ] {
            let own: Vec<OsString> = own.iter().map(OsString::from).collect();
            assert_eq!(with(&ours, &own, Some(Client::Codex), Path::new(program)), expected, "{program}");
        }
    }
}
