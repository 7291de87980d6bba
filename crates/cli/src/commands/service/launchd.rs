//! The form of launchd: one property list, an agent of the user or a daemon under an account of its own.
//!
//! launchd hands sockets over by a C function only (`launch_activate_socket`), so it keeps the process alive instead.

use super::plan::{MARK, Plan, Planned, Service, Step};
use std::fmt::Write as _;
use std::path::Path;

/// What is written into `folder`; `logs` is where the daemon's or agent's words go, `domain` is `system` or `gui/UID`.
pub(crate) fn plan(service: &Service, folder: &Path, logs: &Path, domain: &str) -> Plan {
    let path = folder.join(format!("{LABEL}.plist"));
    let log = logs.join("unexpired-proxy.log").display().to_string();
    let of = |verb: &str| Step::new("launchctl", [verb.to_owned(), format!("{domain}/{LABEL}")]);
    let bootstrap = Step::new("launchctl", ["bootstrap".to_owned(), domain.to_owned(), path.display().to_string()]);
    Plan {
        files: vec![Planned { path, text: property_list(service, &log), utf16: false }],
        start: vec![of("bootout").may_fail(), of("enable"), bootstrap],
        stop: vec![of("bootout").may_fail()],
        forget: Vec::new(),
        kept: Vec::new(),
        state: of("print"),
        log: format!("tail {log}"),
    }
}

fn property_list(service: &Service, log: &str) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- {MARK}, which replaces it. -->\n\
        <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
        <plist version=\"1.0\">\n<dict>\n"
    );
    let mut key = |name: &str, value: &str| {
        // Writing to a `String` cannot fail.
        let _ = writeln!(text, "\t<key>{name}</key>\n\t{value}");
    };
    let string = |value: &str| format!("<string>{}</string>", escaped(value));
    key("Label", &string(LABEL));
    let words: String = std::iter::once(service.program.clone())
        .chain(service.arguments())
        .map(|word| format!("\t\t{}\n", string(&word)))
        .collect();
    key("ProgramArguments", &format!("<array>\n{words}\t</array>"));
    if let Some(store) = &service.store {
        let variable = format!("\t\t<key>UNEXPIRED_STORE</key>\n\t\t{}\n", string(store));
        key("EnvironmentVariables", &format!("<dict>\n{variable}\t</dict>"));
    }
    if service.system {
        key("UserName", &string(ACCOUNT));
        key("GroupName", &string(ACCOUNT));
    }
    key("RunAtLoad", "<true/>");
    key("KeepAlive", "<dict>\n\t\t<key>SuccessfulExit</key>\n\t\t<false/>\n\t</dict>");
    key("ExitTimeOut", "<integer>40</integer>");
    key("Umask", "<integer>63</integer>");
    for limits in ["SoftResourceLimits", "HardResourceLimits"] {
        key(limits, "<dict>\n\t\t<key>Core</key>\n\t\t<integer>0</integer>\n\t</dict>");
    }
    key("WorkingDirectory", &string("/"));
    key("StandardErrorPath", &string(log));
    text.push_str("</dict>\n</plist>\n");
    text
}

/// A text in XML.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

pub(crate) const LABEL: &str = "dev.unexpired.proxy";
/// Accounts of services begin with an underscore on this system.
pub(crate) const ACCOUNT: &str = "_unexpired";
