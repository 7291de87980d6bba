//! Every environment variable that the command, or what it is made of, reads: declared and documented here. `docs/reference/environment.md`
//! is made from it, and a test looks through the sources for variables that are missing.

use std::env;
use std::ffi::OsString;

/// A variable and what it does.
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
}

/// A group of variables that are read for one purpose.
pub(crate) struct Group {
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    pub(crate) variables: &'static [Variable],
}

/// Whether people asked for no colour (<https://no-color.org>): set, and not empty.
pub(crate) fn no_color() -> bool {
    is_set("NO_COLOR")
}

/// Whether the terminal understands cursor movements.
pub(crate) fn term_is_capable() -> bool {
    let term = env::var_os("TERM").unwrap_or_else(OsString::new);
    // On Windows only the newer terminals do; they say who they are.
    (!term.is_empty() && term != "dumb") || is_set("WT_SESSION")
}

fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// All of them.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        title: "The command",
        about: "",
        variables: &[
            Variable { name: "UNEXPIRED_CONFIG", what: "The configuration file, where `--config` does not name one." },
            Variable {
                name: "XDG_CONFIG_HOME",
                what: "The user's configuration folder on Unix; `$HOME/.config` without it. An absolute path.",
            },
            Variable { name: "HOME", what: "The user's home, on Unix and macOS." },
            Variable { name: "APPDATA", what: "The user's configuration folder on Windows." },
            Variable { name: "NO_COLOR", what: "If set and not empty, nothing is coloured." },
            Variable { name: "TERM", what: "`demo` draws pictures only on a terminal, and not on a `dumb` one." },
            Variable { name: "WT_SESSION", what: "Set by Windows Terminal, on which `demo` can draw." },
        ],
    },
    Group {
        title: "The network",
        about: "Loopback and link-local metadata addresses are always reached directly.",
        variables: &[
            Variable { name: "HTTPS_PROXY", what: "The proxy for HTTPS. Also in lower case." },
            Variable {
                name: "ALL_PROXY",
                what: "The proxy for everything, where `HTTPS_PROXY` is not set. Also in lower case.",
            },
            Variable { name: "NO_PROXY", what: "Hosts that are reached directly. Also in lower case." },
            Variable {
                name: "SSL_CERT_FILE",
                what: "A PEM file of certificate authorities to be trusted in place of the system's.",
            },
            Variable { name: "SSL_CERT_DIR", what: "Folders of such files." },
        ],
    },
];
