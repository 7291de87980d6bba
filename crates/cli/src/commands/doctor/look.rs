//! How things are looked at: variables whether they are set, files by what the system says of them, and texts for what they name.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Where to look.
pub(super) struct Look {
    pub(super) home: PathBuf,
}

impl Look {
    pub(super) fn here() -> Self {
        Self { home: std::env::home_dir().unwrap_or_default() }
    }

    /// A variable that is set, and not empty.
    #[allow(clippy::unused_self, reason = "where variables are looked for is this type's affair")]
    pub(super) fn var(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name).filter(|value| !value.is_empty())
    }

    pub(super) fn is_set(&self, name: &str) -> bool {
        self.var(name).is_some()
    }

    /// A file or folder under the home.
    pub(super) fn under_home(&self, path: &str) -> PathBuf {
        self.home.join(path)
    }

    /// What a variable names, or a folder under the home.
    pub(super) fn folder(&self, variable: &str, otherwise: &str) -> PathBuf {
        self.var(variable).map_or_else(|| self.under_home(otherwise), PathBuf::from)
    }

    pub(super) fn text(path: &Path) -> Option<String> {
        let size = fs::metadata(path).ok().filter(fs::Metadata::is_file)?.len();
        (size <= LARGEST).then(|| fs::read_to_string(path).ok()).flatten()
    }

    pub(super) fn json(path: &Path) -> Option<serde_json::Value> {
        serde_json::from_str(&Self::text(path)?).ok()
    }
}

/// What is wrong with who may read or write a file, if something is: what, and the remedy.
pub(super) fn exposed(path: &Path, secret: bool) -> Option<(String, String)> {
    let mode = crate::sys::mode(&fs::metadata(path).ok()?)?;
    let shown = path.display();
    if mode & 0o022 != 0 {
        return Some((format!("{shown} can be written by others"), format!("run chmod go-w {shown}")));
    }
    (secret && mode & 0o077 != 0)
        .then(|| (format!("{shown} can be read by others, and holds a secret"), format!("run chmod 600 {shown}")))
}

/// Whether an address leads to this machine: what a client is given that goes through the proxy.
pub(super) fn is_loopback(url: &str) -> bool {
    let rest = url.trim().split_once("://").map_or(url.trim(), |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = if authority.starts_with('[') {
        authority.split(']').next().unwrap_or_default().trim_start_matches('[')
    } else {
        authority.split(':').next().unwrap_or_default()
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The program of a command line, if it is named by an absolute path.
pub(super) fn program(line: &str) -> Option<PathBuf> {
    let word = line.split_whitespace().next()?.trim_matches(['\'', '"']);
    Some(PathBuf::from(word)).filter(|path| path.is_absolute())
}

const LARGEST: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_machine() {
        for (url, is) in [
            ("http://127.0.0.1:8639/gov", true),
            ("http://localhost:8639", true),
            ("http://[::1]:8639/x", true),
            ("https://api.openai.com/v1", false),
            ("http://127.0.0.1.example.com/", false),
            ("http://localhost@example.com/", false),
            ("", false),
        ] {
            assert_eq!(is_loopback(url), is, "{url}");
        }
    }
}
