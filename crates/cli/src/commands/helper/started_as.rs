//! By which name the command was started. Some programs start a helper without arguments of its own, by a name that they make themselves.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The arguments as if they had been given to `unexpired`: `git-credential-unexpired get` is `unexpired helper git get`.
pub(crate) fn arguments(given: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut given = given.into_iter();
    let program = given.next().unwrap_or_default();
    let rest: Vec<OsString> = given.collect();
    let mut arguments = vec![OsString::from("unexpired")];
    arguments.extend(front(&name(&program), &rest).into_iter().map(OsString::from));
    arguments.extend(rest);
    arguments
}

/// What stands before the arguments that were given.
fn front(name: &str, rest: &[OsString]) -> Vec<String> {
    if let Some((_, contract)) = HELPERS.iter().find(|(known, _)| *known == name) {
        return ["helper", contract].map(str::to_owned).to_vec();
    }
    // Their own options come first, and some are spelled like ours.
    if STAND_INS.contains(&name) {
        return ["helper", name, "--"].map(str::to_owned).to_vec();
    }
    if let Some(token) = name.strip_prefix("pnpm-credential-").filter(|token| !token.is_empty()) {
        return ["helper", "pnpm", token].map(str::to_owned).to_vec();
    }
    // cargo starts a provider with this one argument, whatever the provider is called.
    if let [only] = rest
        && only == OsStr::new("--cargo-plugin")
    {
        return ["helper", "cargo"].map(str::to_owned).to_vec();
    }
    Vec::new()
}

/// The program's name, without the folder and without the ending that Windows wants.
fn name(program: &OsStr) -> String {
    let name = Path::new(program).file_name().unwrap_or_default().to_string_lossy();
    match name.len().checked_sub(4).and_then(|end| name.split_at_checked(end)) {
        Some((stem, ending)) if ending.eq_ignore_ascii_case(".exe") => stem.to_owned(),
        _ => name.into_owned(),
    }
}

const HELPERS: [(&str, &str); 6] = [
    ("git-credential-unexpired", "git"),
    ("docker-credential-unexpired", "docker"),
    ("cargo-credential-unexpired", "cargo"),
    ("kubectl-credential-unexpired", "kubectl"),
    ("terraform-credentials-unexpired", "terraform"),
    ("bazel-credential-unexpired", "bazel"),
];

const STAND_INS: [&str; 4] = ["az", "azd", "gcloud", "keyring"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_which_helper_it_is() {
        for (given, means) in [
            ("unexpired token corp", "unexpired token corp"),
            ("/usr/bin/git-credential-unexpired get", "unexpired helper git get"),
            ("docker-credential-unexpired.exe get", "unexpired helper docker get"),
            ("docker-credential-unexpired.EXE get", "unexpired helper docker get"),
            ("/x/az account get-access-token", "unexpired helper az -- account get-access-token"),
            ("az --verbose", "unexpired helper az -- --verbose"),
            ("pnpm-credential-corp", "unexpired helper pnpm corp"),
            ("pnpm-credential-", "unexpired"),
            ("unexpired --cargo-plugin", "unexpired helper cargo --cargo-plugin"),
            ("anything --cargo-plugin", "unexpired helper cargo --cargo-plugin"),
            ("unexpired --cargo-plugin more", "unexpired --cargo-plugin more"),
            ("git-credential-other get", "unexpired get"),
            ("", "unexpired"),
        ] {
            let given = given.split_ascii_whitespace().map(OsString::from);
            let arguments: Vec<_> = arguments(given).into_iter().map(|a| a.into_string().unwrap()).collect();
            assert_eq!(arguments.join(" "), means);
        }
    }
}
