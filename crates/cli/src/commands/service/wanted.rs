//! From the arguments and the configuration to the service that is wanted; what cannot work as a service is refused here, with the remedy.

use super::InstallArgs;
use super::plan::{Service, Shared};
use super::{launchd, systemd};
use crate::args::{Args, Command};
use crate::commands::proxy;
use crate::failure::{Failure, USAGE};
use crate::project::{self, Project, quoted};
use crate::{env, sys};
use std::fs;
use std::path::{Path, PathBuf};
use unexpired::config::{RouteConfig, TokenConfig};
use unexpired::store::StoreKind;
use unexpired::text::one_line;

/// The service, and what its installer should know.
pub(super) fn service(args: &Args, own: &InstallArgs) -> Result<(Service, Vec<String>), Failure> {
    let config = config_path(args, own.system)?;
    let project = Project::load(&for_config(args, &config, own.root.as_deref()))?;
    let routes = proxy::chosen(&project, &own.routes)?;
    let on_socket = own.socket_group.is_some() || !own.allow_uid.is_empty();
    if on_socket && !cfg!(target_os = "linux") {
        let line = "--socket-group and --allow-uid are for systemd";
        return Err(Failure::new(USAGE, line).hint("leave them out: the local key keeps others from the routes"));
    }
    if !own.credential.is_empty() && !cfg!(target_os = "linux") {
        return Err(Failure::new(USAGE, "--credential is for systemd").hint("give the file to the service's account"));
    }
    let shares = routes.iter().any(|route| route.port().is_none() && route.socket().is_none());
    let service = Service {
        system: own.system,
        program: program(own)?,
        config: plain("the configuration", &config)?,
        routes: own.routes.clone(),
        shared: match (shares, on_socket) {
            (false, _) => None,
            (true, true) => Some(Shared::Socket(systemd::SHARED_SOCKET)),
            (true, false) => Some(Shared::Port(own.port)),
        },
        ports: routes.iter().filter_map(|route| port(route, own).transpose()).collect::<Result<_, _>>()?,
        sockets: routes.iter().filter_map(|route| socket(route, own).transpose()).collect::<Result<_, _>>()?,
        group: own.socket_group.as_deref().map(|name| group(name, own.root.is_some())).transpose()?,
        uids: own.allow_uid.iter().map(|text| uid(text)).collect::<Result<_, _>>()?,
        credentials: own.credential.iter().map(|text| credential(text)).collect::<Result<_, _>>()?,
        runs_commands: tokens(&project, &routes).any(TokenConfig::runs_commands),
        store: match env::text("UNEXPIRED_STORE").filter(|_| !own.system && StoreKind::of_environment().is_some()) {
            Some(store) => Some(plain("UNEXPIRED_STORE", Path::new(&store))?),
            None => None,
        },
    };
    if own.system {
        hidden("the configuration", &config)?;
    }
    let notes = notes(&project, &routes, own, &config)?;
    Ok((service, notes))
}

/// Where the service finds its configuration: the same file at every start, wherever it is started.
fn config_path(args: &Args, system: bool) -> Result<PathBuf, Failure> {
    // The variables of whoever installs it do not decide what the machine's service does.
    let path = match args.config.clone() {
        Some(path) => path,
        None if system && cfg!(windows) => {
            let folder = env::text("PROGRAMFILES").unwrap_or_else(|| "C:\\Program Files".to_owned());
            Path::new(&folder).join("unexpired").join("config.toml")
        }
        None if system && cfg!(target_os = "macos") => "/Library/Application Support/unexpired/config.toml".into(),
        None if system => "/etc/unexpired/config.toml".into(),
        None => project::path(args)?,
    };
    std::path::absolute(&path).map_err(|error| Failure::new(USAGE, format!("{}: {error}", path.display())))
}

/// The arguments with this configuration; in an image, with the image's.
fn for_config(args: &Args, config: &Path, root: Option<&Path>) -> Args {
    let inside = || config.components().skip(1).collect::<PathBuf>();
    Args {
        config: Some(root.map_or_else(|| config.to_path_buf(), |root| root.join(inside()))),
        verbose: args.verbose,
        command: Command::Man { command: Vec::new() },
    }
}

fn tokens<'p>(project: &'p Project, routes: &[&'p RouteConfig]) -> impl Iterator<Item = &'p TokenConfig> {
    let names: Vec<&str> = routes.iter().map(|route| route.token()).collect();
    project.config.tokens().filter(move |token| names.contains(&token.name()))
}

fn program(own: &InstallArgs) -> Result<String, Failure> {
    let path = match &own.program {
        Some(path) if path.is_absolute() => path.clone(),
        Some(path) => {
            let line = format!("--program {}: it is the file's whole path", one_line(&path.to_string_lossy(), 60));
            return Err(Failure::new(USAGE, line).hint("such as --program /usr/local/bin/unexpired"));
        }
        None => sys::this_program()
            .map_err(|error| Failure::new(USAGE, format!("this program's own file is not known: {error}")))?,
    };
    if own.system {
        hidden("this program", &path)?;
    }
    plain("this program", &path)
}

/// A path that can stand in a service manager's file.
fn plain(what: &str, path: &Path) -> Result<String, Failure> {
    match path.to_str() {
        Some(text) if !text.chars().any(char::is_control) => Ok(text.to_owned()),
        _ => {
            let shown = one_line(&path.to_string_lossy(), 100);
            Err(Failure::new(USAGE, format!("{what} lies at {shown}, which no service manager can be told"))
                .hint("move it to a path of printable characters"))
        }
    }
}

/// Refuses what the machine's service is kept from seeing: homes, and temporary files.
fn hidden(what: &str, path: &Path) -> Result<(), Failure> {
    let is_hidden = cfg!(target_os = "linux") && HIDDEN.iter().any(|folder| path.starts_with(folder));
    if !is_hidden {
        return Ok(());
    }
    Err(Failure::new(USAGE, format!("{what} is at {}, where the service does not look", path.display()))
        .hint("a service of the machine sees no home folders and no temporary files: move it, to /etc/unexpired or /usr/local/bin, say"))
}

fn port(route: &RouteConfig, own: &InstallArgs) -> Result<Option<u16>, Failure> {
    let Some(port) = route.port() else { return Ok(None) };
    if own.socket_group.is_none() && own.allow_uid.is_empty() {
        return Ok(Some(port));
    }
    let line = format!("route {} is served on port {port}, where nobody can tell who connects", route.name());
    Err(Failure::new(USAGE, line)
        .hint("take its `port` out, name other routes, or leave out --socket-group and --allow-uid"))
}

fn socket(route: &RouteConfig, own: &InstallArgs) -> Result<Option<String>, Failure> {
    let Some(path) = route.socket() else { return Ok(None) };
    if own.system && own.socket_group.is_none() && own.allow_uid.is_empty() {
        let line = format!("route {} is served on a socket, which nobody but root could open", route.name());
        return Err(Failure::new(USAGE, line).hint("say who may: --socket-group GROUP, or --allow-uid UID"));
    }
    plain("the socket of a route", path).map(Some)
}

/// A group that this machine has; of an image nothing is known.
fn group(name: &str, is_image: bool) -> Result<String, Failure> {
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if is_name && (is_image || name.parse::<u32>().is_ok() || sys::group_named(name).is_some()) {
        return Ok(name.to_owned());
    }
    let line = format!("--socket-group: /etc/group has no {}", one_line(name, 40));
    Err(Failure::new(USAGE, line).hint("make it first: groupadd --system NAME; or write its number"))
}

fn uid(text: &str) -> Result<u32, Failure> {
    text.parse().ok().or_else(|| sys::user_named(text)).ok_or_else(|| {
        let line = format!("--allow-uid: /etc/passwd has no {}", one_line(text, 40));
        Failure::new(USAGE, line).hint("write the user's number: id -u NAME")
    })
}

/// `NAME:FILE`, as `LoadCredential=` takes it.
fn credential(text: &str) -> Result<(String, String), Failure> {
    let wrong = || {
        Failure::new(USAGE, format!("--credential {}: it is NAME:FILE, with the file's whole path", one_line(text, 60)))
            .hint("such as --credential corp:/etc/unexpired/corp.secret")
    };
    let (name, path) = text.split_once(':').ok_or_else(wrong)?;
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !is_name || name.starts_with('.') || !Path::new(path).is_absolute() {
        return Err(wrong());
    }
    Ok((name.to_owned(), plain("the credential", Path::new(path))?))
}

/// What works here and may not in the service.
fn notes(project: &Project, routes: &[&RouteConfig], own: &InstallArgs, config: &Path) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    let edit = if own.system { "systemctl edit" } else { "systemctl --user edit" };
    let edit = format!("{edit} {}", systemd::SERVICE);
    for token in tokens(project, routes) {
        for variable in token.credential_variables() {
            let name = token.name();
            notes.push(if cfg!(target_os = "linux") {
                format!("token {name} is minted from the variable {variable}, which the service has only by EnvironmentFile=: {edit}")
            } else {
                format!("token {name} is minted from the variable {variable}, which the service does not have: use a file")
            });
        }
        for file in token.credential_files().into_iter().filter(|_| own.system) {
            hidden(&format!("a credential of token {}", token.name()), file)?;
            if own.root.is_none() && !file.starts_with(CREDENTIALS) && !is_readable(file) {
                notes.push(format!(
                    "{} is not for the account unexpired to read: chown it, or pass it by --credential NAME:FILE",
                    quoted(&file.display().to_string())
                ));
            }
        }
    }
    if own.system && own.root.is_none() && !is_readable(config) {
        let shown = quoted(&config.display().to_string());
        notes.push(format!("{shown} is not for the account unexpired to read: chgrp unexpired, and chmod 640"));
    }
    for name in NETWORK.iter().filter(|name| own.root.is_none() && env::text(name).is_some()) {
        notes.push(if cfg!(target_os = "linux") {
            format!("{name} is set here and not for the service; if it is needed, Environment={name}=…: {edit}")
        } else {
            format!("{name} is set here and not for the service")
        });
    }
    if !own.system && cfg!(target_os = "linux") {
        notes.push("it ends with your last session; to have it run without one: loginctl enable-linger".to_owned());
    }
    if own.system && cfg!(target_os = "macos") {
        let account = launchd::ACCOUNT;
        notes.push(format!(
            "the account must be there: sysadminctl -addUser {account} -roleAccount -UID 399 -home /var/db/unexpired"
        ));
    }
    Ok(notes)
}

/// Whether the account can read it, as far as that is known; what is not there yet may still be given to it.
fn is_readable(path: &Path) -> bool {
    fs::metadata(path).map_or(true, |metadata| {
        sys::is_readable_by(&metadata, sys::user_named("unexpired"), sys::group_named("unexpired"))
    })
}

const HIDDEN: [&str; 5] = ["/home", "/root", "/run/user", "/tmp", "/var/tmp"];
const CREDENTIALS: &str = "/run/credentials";
/// Variables of this shell that decide how the network is reached.
const NETWORK: [&str; 6] = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR"];
