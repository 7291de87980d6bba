//! The reference pages that are made from the command itself: `docs/reference/commands.md` and `docs/reference/environment.md`.
//!
//! The tests compare them with the files. `UPDATE_REFERENCE=1 cargo test -p unexpired-cli` writes the files anew.

use crate::args::Args;
use crate::env::GROUPS;
use clap::CommandFactory as _;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[test]
fn the_page_of_commands_is_up_to_date() {
    compare("commands.md", &commands());
}

#[test]
fn the_page_of_environment_variables_is_up_to_date() {
    compare("environment.md", &environment());
}

/// Whatever looks like a variable that is read in the sources stands on the page.
#[test]
fn every_variable_in_the_sources_is_declared() {
    let mut read = Vec::new();
    for folder in std::fs::read_dir(root().join("crates")).unwrap().flatten() {
        if folder.file_name() != "testkit" {
            variables(&folder.path().join("src"), &mut read);
        }
    }
    assert!(read.iter().any(|(name, _)| name == "NO_COLOR"), "the search finds nothing");
    let page = environment();
    let missing: Vec<_> = read.iter().filter(|(name, _)| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn commands() -> String {
    let mut page = String::from(
        "# Commands\n\nThis page is made from the command's own help (`unexpired COMMAND --help`). What the exit codes mean stands at its end.\n",
    );
    let mut command = Args::command().term_width(100);
    command.build();
    section(&mut page, &command, "unexpired");
    page.push_str(
        "\n## Streams and exit codes\n\n\
        - stdout carries the answer and nothing else. stderr is silent on success; `--verbose` and warnings go there.\n\
        - An error is one line, `error: …`; a line `hint: …` may follow and names the command to run now.\n\
        - stdin is read by `helper`, where the contract sends something, by `reject` and by `secret set`.\n\n\
        | exit code | meaning | kinds of error |\n|---|---|---|\n\
        | 0 | done | |\n\
        | 1 | anything unforeseen; the reader of stdout went away; a demo whose promise was not kept | |\n\
        | 2 | wrong usage, or the configuration cannot work | `not_configured`, `misconfigured` |\n\
        | 3 | no token now, try later | `unavailable`, `timed_out`, `malformed` |\n\
        | 4 | refused: by the provider, or by the resource | `denied`, `rejected` |\n\
        | 5 | forbidden by policy | `forbidden` |\n",
    );
    page
}

fn section(page: &mut String, command: &clap::Command, name: &str) {
    let help = command.clone().term_width(100).render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(page, "\n## `{name}`\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        section(page, sub, &format!("{name} {}", sub.get_name()));
    }
}

fn environment() -> String {
    let mut page = String::from(
        "# Environment variables\n\nAll variables that are read. A token that is configured by name never reads a vendor's variables; those \
        are for `unexpired token --provider`, and a configured secret of the form `{ env = \"NAME\" }` reads the variable that it names.\n",
    );
    for group in GROUPS {
        let _ = write!(page, "\n## {}\n", group.title);
        if !group.about.is_empty() {
            let _ = write!(page, "\n{}\n", group.about);
        }
        page.push_str("\n| variable | meaning |\n|---|---|\n");
        for variable in group.variables {
            let _ = writeln!(page, "| `{}` | {} |", variable.name, variable.what);
        }
    }
    page
}

fn compare(file: &str, expected: &str) {
    let path = root().join("docs/reference").join(file);
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default().replace("\r\n", "\n");
    assert!(found == expected, "docs/reference/{file} is old: UPDATE_REFERENCE=1 cargo test -p unexpired-cli");
}

/// String literals of capitals and underscores that a line with `env`, `var` or a lookup of that kind holds.
fn variables(folder: &Path, read: &mut Vec<(String, PathBuf)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            variables(&path, read);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for literal in code.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(literals) {
                if PREFIXES.iter().any(|prefix| literal.starts_with(prefix)) && is_name(literal) {
                    read.push((literal.to_owned(), path.clone()));
                }
            }
        }
    }
}

fn literals(line: &str) -> impl Iterator<Item = &str> {
    line.split('"').skip(1).step_by(2)
}

fn is_name(text: &str) -> bool {
    text.len() > 3 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// How the variables begin that anything in this project could read.
const PREFIXES: [&str; 32] = [
    "UNEXPIRED_",
    "XDG_",
    "DBUS_",
    "HOME",
    "APPDATA",
    "LOCALAPPDATA",
    "NO_COLOR",
    "TERM",
    "WT_",
    "AZURE_",
    "GOOGLE_",
    "IBMCLOUD_",
    "IBM_",
    "OAUTH_",
    "SSL_",
    "HTTPS_",
    "HTTP_",
    "PATH",
    "WATSONX_",
    "IC_",
    "ALL_",
    "NO_PROXY",
    "GCLOUD_",
    "CLOUDSDK_",
    "KUBERNETES_",
    "CARGO_REGISTRY_",
    "CLAUDE_CODE_",
    "GITHUB_",
    "LISTEN_",
    "NOTIFY_",
    "USERDOMAIN",
    "PROGRAMFILES",
];
