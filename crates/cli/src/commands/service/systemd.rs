//! The form of systemd: a socket unit, which holds the places, and a service unit, which runs the proxy; for the machine also an account.
//!
//! The account is a static one (`sysusers.d`), not `DynamicUser=`: keys are printed as it (`sudo -u unexpired …`), files are given to it, and both need a
//! user who is there before and after the service, with a folder that others than root can find.

use super::plan::{MARK, Plan, Planned, Service, Shared, Step};
use std::path::{Path, PathBuf};

/// What is written where. `units` is the folder of the units, `accounts` that of `sysusers.d`.
pub(crate) fn plan(service: &Service, units: &Path, accounts: &Path) -> Plan {
    let control = |words: &[&str]| {
        let scope = if service.system { None } else { Some("--user") };
        Step::new("systemctl", scope.into_iter().chain(words.iter().copied()))
    };
    let mut files = Vec::new();
    let mut start = Vec::new();
    if service.system {
        let path = accounts.join(ACCOUNT_FILE);
        // By its name, which is looked up in the folders of such files, in an image in the image's.
        start.push(Step::new("systemd-sysusers", [ACCOUNT_FILE]));
        files.push(Planned { path, text: account(), utf16: false });
    }
    files.push(Planned { path: units.join(SERVICE), text: service_unit(service), utf16: false });
    files.push(Planned { path: units.join(SOCKET), text: socket_unit(service), utf16: false });
    start.push(control(&["daemon-reload"]).for_running());
    start.push(control(&["enable", SOCKET, SERVICE]));
    // Not `start`: what runs may be an older program, or have other places.
    start.push(control(&["restart", SOCKET, SERVICE]).for_running());
    Plan {
        files,
        start,
        stop: vec![control(&["disable", "--now", SOCKET, SERVICE])],
        forget: vec![control(&["daemon-reload"]), control(&["reset-failed", SOCKET, SERVICE]).may_fail()],
        kept: [SERVICE, SOCKET].iter().map(|unit| units.join(format!("{unit}.d"))).collect(),
        state: control(&["is-active", SOCKET, SERVICE]),
        log: format!("journalctl {}-u {SERVICE}", if service.system { "" } else { "--user " }),
    }
}

/// The unit that runs the proxy.
fn service_unit(service: &Service) -> String {
    let mut lines = vec![
        head(service, SERVICE),
        "[Unit]".to_owned(),
        "Description=unexpired proxy: requests go on with tokens that are never stale".to_owned(),
        format!("Requires={SOCKET}"),
        format!("After={SOCKET}"),
        "# It is started again for as long as it takes; what waits at the socket waits.".to_owned(),
        "StartLimitIntervalSec=0".to_owned(),
        String::new(),
        "[Service]".to_owned(),
        "Type=notify".to_owned(),
        format!("ExecStart={}", command_line(service)),
    ];
    if let Some(store) = &service.store {
        lines.push(format!("Environment={}", quoted(&format!("UNEXPIRED_STORE={store}"))));
    }
    lines.extend(RUNNING.map(str::to_owned));
    if service.system {
        lines.extend(ACCOUNT.map(str::to_owned));
        for (name, path) in &service.credentials {
            lines.push(format!("LoadCredential={name}:{}", unspecified(path)));
        }
    }
    lines.extend([String::new(), "# Less than what every process may.".to_owned()]);
    lines.extend(HARDENING.map(str::to_owned));
    if service.runs_commands {
        lines.push("# Not MemoryDenyWriteExecute=: a program that prints tokens may be written in a language that compiles as it runs.".to_owned());
    } else {
        lines.push("MemoryDenyWriteExecute=yes".to_owned());
    }
    if service.system {
        lines.extend(SYSTEM_HARDENING.map(str::to_owned));
    }
    let target = if service.system { "multi-user.target" } else { "default.target" };
    lines.extend([String::new(), "[Install]".to_owned(), format!("WantedBy={target}"), String::new()]);
    lines.join("\n")
}

/// The unit that holds the places: clients that come while the proxy starts wait, and are not refused.
fn socket_unit(service: &Service) -> String {
    let mut lines = vec![
        head(service, SOCKET),
        "[Unit]".to_owned(),
        "Description=unexpired proxy: where clients find it".to_owned(),
        String::new(),
        "[Socket]".to_owned(),
    ];
    let mut ports = service.ports.clone();
    let mut sockets = service.sockets.clone();
    match service.shared {
        Some(Shared::Port(port)) => ports.insert(0, port),
        Some(Shared::Socket(path)) => sockets.insert(0, path.to_owned()),
        None => {}
    }
    for port in &ports {
        // `localhost` may mean either to a client.
        lines.extend([format!("ListenStream=127.0.0.1:{port}"), format!("ListenStream=[::1]:{port}")]);
    }
    if !ports.is_empty() {
        lines.push("# A machine whose loopback has no IPv6 address is served all the same.".to_owned());
        lines.push("FreeBind=yes".to_owned());
    }
    for path in &sockets {
        lines.push(format!("ListenStream={}", unspecified(path)));
    }
    if !sockets.is_empty() {
        let mode = match &service.group {
            Some(group) => {
                lines.push(format!("SocketGroup={}", unspecified(group)));
                "0660"
            }
            // Whoever connects is looked at by the proxy.
            None if !service.uids.is_empty() => "0666",
            None => "0600",
        };
        lines.extend([format!("SocketMode={mode}"), "RemoveOnStop=yes".to_owned()]);
    }
    lines.extend([String::new(), "[Install]".to_owned(), "WantedBy=sockets.target".to_owned(), String::new()]);
    lines.join("\n")
}

/// The account, for systemd-sysusers. Its home is where the service's state is, so that `sudo -u unexpired unexpired …` finds the same keys.
fn account() -> String {
    format!("# {MARK}.\nu unexpired - \"unexpired proxy\" {STATE_FOLDER}\n")
}

fn head(service: &Service, unit: &str) -> String {
    let scope = if service.system { "" } else { "--user " };
    format!("# {MARK}, which replaces it. Changes of your own: systemctl {scope}edit {unit}\n")
}

/// `ExecStart=`: words in double quotes where needed, specifiers and variables taken literally (systemd.service(5), "Command lines").
fn command_line(service: &Service) -> String {
    let words = service.arguments().into_iter().map(|word| quoted(&word.replace('$', "$$")));
    // Variables are not looked for in the program's path.
    std::iter::once(quoted(&service.program)).chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@=$%".contains(c);
    let word = unspecified(word);
    if !word.is_empty() && word.chars().all(plain) {
        return word;
    }
    format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
}

/// A text in which `%` means itself.
fn unspecified(text: &str) -> String {
    text.replace('%', "%%")
}

/// Whether a systemd is there to be told: the machine's, or the user's.
pub(crate) fn is_running(system: bool) -> bool {
    if system {
        return Path::new("/run/systemd/system").is_dir();
    }
    // As systemctl looks for it.
    let folder = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = folder.or_else(|| Some(PathBuf::from(format!("/run/user/{}", crate::sys::user()?))));
    folder.is_some_and(|folder| folder.join("systemd/private").exists())
}

pub(crate) const SERVICE: &str = "unexpired-proxy.service";
const SOCKET: &str = "unexpired-proxy.socket";
pub(crate) const SHARED_SOCKET: &str = "/run/unexpired/proxy.sock";
const ACCOUNT_FILE: &str = "unexpired.conf";
const STATE_FOLDER: &str = "/var/lib/unexpired";

const RUNNING: [&str; 5] = [
    // Also with a configuration that cannot work, once a second: were it left alone, the next that comes to the socket would start it at once, and
    // the one after that, until systemd gives the socket up.
    "Restart=on-failure",
    "RestartSec=1",
    "# Requests that run have 30 s to end.",
    "TimeoutStopSec=40",
    "KillMode=mixed",
];
const ACCOUNT: [&str; 3] = ["User=unexpired", "StateDirectory=unexpired", "StateDirectoryMode=0700"];
/// What a user's service manager can keep from a process, too.
const HARDENING: [&str; 11] = [
    "LimitCORE=0",
    "UMask=0077",
    "NoNewPrivileges=yes",
    "LockPersonality=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "RestrictNamespaces=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service\nSystemCallFilter=~@privileged",
    "SystemCallErrorNumber=EPERM",
];
/// Not `ProcSubset=pid`: the boot's id, by which moments of another boot are known, is read from /proc/sys.
const SYSTEM_HARDENING: [&str; 16] = [
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "KeyringMode=private",
    "# Tokens that lie in shared memory go when it ends.",
    "RemoveIPC=yes",
];
