//! `unexpired service`: keeps the proxy running by the system's own service manager.

#[cfg(test)]
mod forms;
mod launchd;
mod plan;
mod systemd;
mod task;
mod wanted;

use crate::args::{Args, PROXY_PORT};
use crate::failure::{Failure, OTHER, USAGE};
use crate::{env, out, sys};
use plan::{MARK, Plan, Planned, Service, Step};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum ServiceCommand {
    /// Install the proxy as a service, and start it
    ///
    /// Again: what changed is written anew and the proxy started again. Changes of your own belong in drop-ins (`systemctl edit`), which stay.
    #[command(after_help = INSTALL_EXAMPLES)]
    Install(Box<InstallArgs>),

    /// End the service, and take away what `install` wrote
    ///
    /// A file that `install` did not write stays, and so do drop-ins, keys and the account.
    #[command(after_help = UNINSTALL_EXAMPLES)]
    Uninstall(UninstallArgs),

    /// Tell whether the service is installed, and whether it runs
    ///
    /// Exits with 1 if it is not installed.
    Status(StatusArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct InstallArgs {
    /// The routes to serve; all by default
    #[arg(value_name = "ROUTE")]
    pub(crate) routes: Vec<String>,

    /// For the machine, under an account of its own (`unexpired`, which is made); needs root. The configuration is then /etc/unexpired/config.toml, unless named
    #[arg(long)]
    pub(crate) system: bool,

    /// The port on loopback for routes that have no place of their own
    #[arg(long, default_value_t = PROXY_PORT, value_name = "PORT", conflicts_with_all = ["socket_group", "allow_uid"])]
    pub(crate) port: u16,

    /// Serve at the socket /run/unexpired/proxy.sock in the place of the port, and let this group connect
    #[arg(long, requires = "system", value_name = "GROUP")]
    pub(crate) socket_group: Option<String>,

    /// The same, and let only this user connect, by number or name; may be repeated
    #[arg(long, requires = "system", value_name = "UID")]
    pub(crate) allow_uid: Vec<String>,

    /// A file that systemd reads as root and shows to the service as /run/credentials/unexpired-proxy.service/NAME; may be repeated
    #[arg(long, requires = "system", value_name = "NAME:FILE")]
    pub(crate) credential: Vec<String>,

    /// The program's file as the service finds it, such as a link that stays when a package is upgraded; this program's own by default
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,

    /// Write below this folder, for an image: nothing is started
    #[arg(long, requires = "system", value_name = "FOLDER")]
    pub(crate) root: Option<PathBuf>,

    /// Print what would be written and run, and do neither
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) print: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UninstallArgs {
    /// The machine's, not this user's; needs root
    #[arg(long)]
    pub(crate) system: bool,

    /// What was written below this folder
    #[arg(long, requires = "system", value_name = "FOLDER")]
    pub(crate) root: Option<PathBuf>,

    /// Print what would be run and taken away, and do neither
    #[arg(long, visible_alias = "dry-run")]
    pub(crate) print: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    /// The machine's, not this user's
    #[arg(long)]
    pub(crate) system: bool,
}

pub(crate) fn run(args: &Args, own: &ServiceCommand) -> Result<(), Failure> {
    match own {
        ServiceCommand::Install(own) => install(args, own),
        ServiceCommand::Uninstall(own) => uninstall(own),
        ServiceCommand::Status(own) => status(own),
    }
}

fn install(args: &Args, own: &InstallArgs) -> Result<(), Failure> {
    let may_write = own.print || own.root.is_some();
    needs_root(own.system && !may_write, "install")?;
    let (service, notes) = wanted::service(args, own)?;
    let plan = plan(&service, own.root.as_deref())?;
    if own.print {
        out::answer(&printed(&plan))?;
        notes.iter().for_each(|note| out::to_stderr(&format!("note: {note}")));
        out::to_stderr("nothing was written: without --print it is");
        return Ok(());
    }
    // Before the first is written: all of them can be, or none is.
    for file in &plan.files {
        found(file)?;
    }
    let mut said = String::new();
    for file in &plan.files {
        let word = if write(file)? { "wrote" } else { "unchanged" };
        let _ = writeln!(said, "{word} {}", file.path.display());
    }
    let is_there = own.root.is_none() && is_running(own.system);
    if is_there {
        for step in &plan.start {
            take(step, &plan.log)?;
        }
        said.push_str("started; it is started again when it fails, and with the ");
        said.push_str(if own.system { "machine\n" } else { "session\n" });
    } else {
        said.push_str(if own.root.is_some() {
            "left to do for the image:\n"
        } else {
            "no service manager runs here; left to do where one does:\n"
        });
        for step in plan.start.iter().filter(|step| own.root.is_none() || !step.is_for_running) {
            let _ = writeln!(said, "  {}", on_root(step, own.root.as_deref()).line());
        }
    }
    let _ = writeln!(said, "a client's key: {}", key_command(&service));
    out::answer(&said)?;
    notes.iter().for_each(|note| out::to_stderr(&format!("note: {note}")));
    Ok(())
}

fn uninstall(own: &UninstallArgs) -> Result<(), Failure> {
    needs_root(own.system && own.root.is_none() && !own.print, "uninstall")?;
    let plan = plan(&nothing(own.system), own.root.as_deref())?;
    let mut ours = Vec::new();
    for file in &plan.files {
        if found(file)?.is_some() {
            ours.push(file);
        }
    }
    if ours.is_empty() {
        return Err(Failure::new(USAGE, format!("no service is installed: {} is not there", main_file(&plan))));
    }
    let is_there = own.root.is_none() && is_running(own.system);
    let mut said = String::new();
    for step in plan.stop.iter().filter(|_| is_there) {
        if own.print {
            let _ = writeln!(said, "run {}", step.line());
        } else {
            take(step, &plan.log)?;
        }
    }
    for file in ours {
        let _ = writeln!(said, "{} {}", if own.print { "remove" } else { "removed" }, file.path.display());
        if !own.print {
            fs::remove_file(&file.path).map_err(|error| cannot("removed", &file.path, &error))?;
        }
    }
    for step in plan.forget.iter().filter(|_| is_there && !own.print) {
        take(step, &plan.log)?;
    }
    out::answer(&said)?;
    for folder in plan.kept.iter().filter(|folder| folder.is_dir()) {
        out::to_stderr(&format!("note: your own changes stay: {}", folder.display()));
    }
    Ok(())
}

fn status(own: &StatusArgs) -> Result<(), Failure> {
    let plan = plan(&nothing(own.system), None)?;
    let (mut said, mut missing) = (String::new(), false);
    for file in &plan.files {
        let word = match found(file) {
            Ok(Some(_)) => "installed",
            Ok(None) => "missing",
            Err(_) => "not ours",
        };
        missing |= word != "installed";
        let _ = writeln!(said, "{word} {}", file.path.display());
    }
    if !missing {
        let state = if is_running(own.system) { state(&plan.state) } else { "no service manager runs".to_owned() };
        let _ = writeln!(said, "{state}\nits words: {}", plan.log);
    }
    out::answer(&said)?;
    if missing { Err(Failure::silent(OTHER)) } else { Ok(()) }
}

/// What this system's service manager is given.
fn plan(service: &Service, root: Option<&Path>) -> Result<Plan, Failure> {
    let folder = |user: Option<PathBuf>, system: PathBuf| -> Result<PathBuf, Failure> {
        let folder = if service.system { Some(system) } else { user };
        let folder = folder.ok_or_else(|| Failure::new(USAGE, "no home folder is known").hint("set HOME"))?;
        // Of an absolute path all but its root.
        Ok(root.map_or_else(|| folder.clone(), |root| root.join(folder.components().skip(1).collect::<PathBuf>())))
    };
    let variable = |name: &str| env::text(name).map(PathBuf::from).filter(|folder| folder.is_absolute());
    let home = std::env::home_dir().filter(|home| home.is_absolute());
    if cfg!(windows) {
        // Not ProgramData, where every user makes folders: what lies there is run by the machine.
        let machine = variable("PROGRAMFILES").unwrap_or_else(|| "C:\\Program Files".into());
        let folder = folder(variable("LOCALAPPDATA"), machine)?.join("unexpired");
        let user = [env::text("USERDOMAIN"), env::text("USERNAME")];
        let user = user.into_iter().flatten().collect::<Vec<_>>().join("\\");
        return Ok(task::plan(service, &folder, &user));
    }
    if cfg!(target_os = "macos") {
        let library = |name: &str| home.as_ref().map(|home| home.join("Library").join(name));
        let folder_of = |name: &str, system: &str| folder(library(name), system.into());
        let (lists, logs) = if service.system { ("LaunchDaemons", "/var/log") } else { ("LaunchAgents", "") };
        let lists = folder_of(lists, "/Library/LaunchDaemons")?;
        let logs = if service.system { logs.into() } else { folder_of("Logs", logs)? };
        let domain =
            if service.system { "system".to_owned() } else { format!("gui/{}", sys::user().unwrap_or_default()) };
        return Ok(launchd::plan(service, &lists, &logs, &domain));
    }
    let config = variable("XDG_CONFIG_HOME").or_else(|| home.map(|home| home.join(".config")));
    let units = folder(config.map(|config| config.join("systemd/user")), "/etc/systemd/system".into())?;
    let accounts = folder(Some(PathBuf::new()), "/etc/sysusers.d".into())?;
    Ok(systemd::plan(service, &units, &accounts))
}

/// A service that is only asked where its files are.
fn nothing(system: bool) -> Service {
    Service {
        system,
        program: String::new(),
        config: String::new(),
        routes: Vec::new(),
        shared: None,
        ports: Vec::new(),
        sockets: Vec::new(),
        group: None,
        uids: Vec::new(),
        credentials: Vec::new(),
        runs_commands: false,
        store: None,
    }
}

/// The files one after the other, and the commands.
fn printed(plan: &Plan) -> String {
    let mut text = String::new();
    for file in &plan.files {
        let _ = writeln!(text, "==> {} <==\n{}", file.path.display(), file.text);
    }
    text.push_str("==> then <==\n");
    for step in &plan.start {
        let _ = writeln!(text, "{}", step.line());
    }
    text
}

/// What is in the file's place, if that is ours; a file of somebody else is an error.
fn found(file: &Planned) -> Result<Option<String>, Failure> {
    let metadata = match fs::symlink_metadata(&file.path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(cannot("read", &file.path, &error)),
        Ok(metadata) => metadata,
    };
    // A link may lead anywhere, and to /dev/null if the unit is masked.
    let text = if metadata.is_file() && metadata.len() <= LARGEST {
        decoded(&fs::read(&file.path).map_err(|error| cannot("read", &file.path, &error))?)
    } else {
        String::new()
    };
    if text.contains(MARK) {
        return Ok(Some(text));
    }
    let line = format!("{} is there and was not written by unexpired service install", file.path.display());
    Err(Failure::new(USAGE, line).hint("move it away, then try again"))
}

/// Writes the file; whether anything changed.
fn write(file: &Planned) -> Result<bool, Failure> {
    if found(file)?.as_deref() == Some(&file.text) {
        return Ok(false);
    }
    if let Some(folder) = file.path.parent() {
        fs::create_dir_all(folder).map_err(|error| cannot("made", folder, &error))?;
    }
    let bytes = if file.utf16 {
        let units = std::iter::once(0xfeff).chain(file.text.encode_utf16());
        units.flat_map(u16::to_le_bytes).collect()
    } else {
        file.text.clone().into_bytes()
    };
    sys::replace(&file.path, &bytes, 0o644).map_err(|error| cannot("written", &file.path, &error))?;
    Ok(true)
}

/// The text of a file in UTF-8, or in UTF-16 with its mark.
fn decoded(bytes: &[u8]) -> String {
    match bytes.strip_prefix(&[0xff, 0xfe]) {
        Some(bytes) => {
            let units: Vec<u16> =
                bytes.chunks_exact(2).filter_map(|pair| Some(u16::from_le_bytes(pair.try_into().ok()?))).collect();
            String::from_utf16_lossy(&units)
        }
        None => String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// Runs a command of the service manager. What it says is told if it fails.
fn take(step: &Step, log: &str) -> Result<(), Failure> {
    let output = spawn(step).and_then(|mut command| command.output().map_err(|error| error.to_string()));
    let why = match output {
        Ok(output) if output.status.success() => return Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it does not say why");
            unexpired::text::one_line(said, 200)
        }
        Err(why) => why,
    };
    if step.may_fail {
        return Ok(());
    }
    Err(Failure::new(OTHER, format!("{} failed: {why}", step.line())).hint(format!("see what it says: {log}")))
}

/// In what state the service is, in the manager's own words, one line.
fn state(step: &Step) -> String {
    let output = spawn(step).and_then(|mut command| command.output().map_err(|error| error.to_string()));
    match output {
        Ok(output) if cfg!(target_os = "linux") => {
            let said = String::from_utf8_lossy(&output.stdout);
            let words: Vec<&str> = said.split_whitespace().collect();
            match words.as_slice() {
                [socket, service] => format!("the socket is {socket}, the proxy is {service}"),
                _ => "its state is not known".to_owned(),
            }
        }
        Ok(output) if output.status.success() => "the service manager knows it".to_owned(),
        Ok(_) => "the service manager does not know it".to_owned(),
        Err(why) => format!("its state is not known: {why}"),
    }
}

fn spawn(step: &Step) -> Result<std::process::Command, String> {
    let program = super::run::find(OsStr::new(step.program)).map_err(|failure| failure.line().to_owned())?;
    let mut command = std::process::Command::new(program);
    command.args(&step.arguments).stdin(std::process::Stdio::null());
    Ok(command)
}

/// The command for another root, as systemd's programs take it.
fn on_root(step: &Step, root: Option<&Path>) -> Step {
    let mut step = step.clone();
    if let Some(root) = root {
        step.arguments.insert(0, format!("--root={}", root.display()));
    }
    step
}

/// Whether the service manager is there.
fn is_running(system: bool) -> bool {
    !cfg!(target_os = "linux") || systemd::is_running(system)
}

fn needs_root(is_needed: bool, verb: &str) -> Result<(), Failure> {
    match sys::user() {
        Some(user) if is_needed && user != 0 => {
            Err(Failure::new(USAGE, format!("service {verb} --system is for root, and this is uid {user}"))
                .hint(format!("sudo unexpired service {verb} --system")))
        }
        _ => Ok(()),
    }
}

/// How a route's key is printed by whom the service runs as.
fn key_command(service: &Service) -> String {
    let key = format!("{} proxy key ROUTE", crate::project::with_config(&service.config));
    match service.system {
        true if cfg!(windows) => format!("as LOCAL SERVICE, {key}"),
        true if cfg!(target_os = "macos") => format!("sudo -u {} {key}", launchd::ACCOUNT),
        true => format!("sudo -u unexpired {key}"),
        false => key,
    }
}

/// The file without which nothing is installed.
fn main_file(plan: &Plan) -> String {
    let file = plan.files.iter().find(|file| file.path.ends_with(systemd::SERVICE)).or(plan.files.first());
    file.map(|file| file.path.display().to_string()).unwrap_or_default()
}

fn cannot(done: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(OTHER, format!("{} cannot be {done}: {error}", path.display()))
}

const LARGEST: u64 = 1 << 20;

pub(crate) const EXAMPLES: &str = "\
Examples:
  unexpired service install
  unexpired service status
  unexpired service uninstall";

const INSTALL_EXAMPLES: &str = "\
Examples:
  unexpired service install
  unexpired service install gov --print
  sudo unexpired service install --system
  sudo unexpired service install --system --socket-group agents --allow-uid 1001
  sudo unexpired service install --system --credential corp:/etc/unexpired/corp.secret";

const UNINSTALL_EXAMPLES: &str = "\
Examples:
  unexpired service uninstall
  sudo unexpired service uninstall --system";
