//! What is made from the definition of the arguments: completions and manual pages.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the report")]

mod support;

use support::{Home, text};

fn answer(args: &[&str]) -> String {
    let output = Home::new().run(args);
    assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn every_shell_completes_commands_options_and_values() {
    for (shell, mark) in [
        ("bash", "complete -F _unexpired"),
        ("zsh", "#compdef unexpired"),
        ("fish", "complete -c unexpired"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion:arg-completer[unexpired]"),
    ] {
        let script = answer(&["completions", shell]);
        for word in [mark, "probe", "completions", "min-ttl", "config-file"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        if !matches!(shell, "powershell" | "elvish") {
            assert!(script.contains("entra") && script.contains("header"), "{shell}: values");
        }
    }
}

/// The whole command's page has all commands, the exit codes and the environment.
#[test]
fn the_manual_page_has_what_there_is_to_know() {
    let page = answer(&["man"]);
    assert!(page.contains(".TH unexpired 1"), "{page}");
    for part in
        ["unexpired\\-token(1)", ".SH \"EXAMPLES\"", ".SH \"EXIT CODES\"", ".SH ENVIRONMENT", "UNEXPIRED_CONFIG"]
    {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains(".SH EXTRA"), "the examples stand once: {page}");
    assert!(page.contains("\\&  5  forbidden by policy"), "{page}");
    for command in [&["token"][..], &["lab"], &["config", "check"], &["config check"]] {
        let page = answer(&[&["man"], command].concat());
        let name = format!("unexpired-{}", command.join("-").replace(' ', "-"));
        assert!(page.contains(&format!(".TH {name} 1")), "{name}: {page}");
    }
}

/// An example is there to be copied: its lines are not filled, and a minus is a minus.
#[test]
fn examples_keep_their_lines() {
    let page = answer(&["man", "token"]);
    let examples = page.split(".SH \"EXAMPLES\"\n.nf\n").nth(1).unwrap().split("\n.fi").next().unwrap();
    let lines: Vec<&str> = examples.lines().collect();
    assert_eq!(lines[0], "\\&  unexpired token corp");
    assert_eq!(lines[1], "\\&  unexpired token corp \\-\\-min\\-ttl 10m \\-\\-timeout 4s");
    assert!(lines.iter().any(|line| line.ends_with("\\e")), "{lines:?}");
}
