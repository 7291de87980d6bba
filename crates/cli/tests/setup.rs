//! `unexpired setup` as a process: what it shows, what it writes, and that it takes it back to the byte.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the report")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use support::{Home, text};

const ROUTES: &str = "[token.corp]\nprovider = 'command'\ncommand = ['/bin/echo', 'x']\nhosts = ['*.example.com']\n\n\
    [token.kept]\nprovider = 'command'\ncommand = ['/bin/echo', 'x']\nhosts = ['*.example.com']\nexport = 'never'\n\n\
    [route.gov]\ntoken = 'corp'\nupstream = 'https://api.example.com/openai/v1'\n\n\
    [route.own]\ntoken = 'kept'\nupstream = 'https://api.example.com'\nport = 9123\n";

fn home() -> Home {
    let home = Home::new();
    home.write(".config/unexpired/config.toml", ROUTES);
    home
}

fn run(home: &Home, args: &[&str]) -> (Option<i32>, String, String) {
    let output = home.run(args);
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A file of each client, with comments and an order of its own, and a secret.
const FILES: [(&str, &str, &str); 5] = [
    (
        "codex",
        ".codex/config.toml",
        "# mine\nmodel_provider = \"z\" # SECRET-0\nmodel = \"SECRET-1\"\n\n[mcp_servers.a]\nenv = { KEY = \"SECRET-2\" }\n",
    ),
    (
        "claude",
        ".claude/settings.json",
        "{\n  \"zeta\": true,\n  // SECRET-0\n  \"env\": {\n    \"ANTHROPIC_API_KEY\": \"SECRET-1\"\n  },\n  \"alpha\": [\"SECRET-2\"]\n}\n",
    ),
    ("copilot", ".copilot/providers.json", "{\"providers\": [{\"name\": \"x\", \"apiKey\": \"SECRET-1\"}]}"),
    (
        "pi",
        ".pi/agent/models.json",
        "{\r\n\t\"providers\": {\r\n\t\t\"x\": { \"apiKey\": \"SECRET-1\" }, // SECRET-0\r\n\t}\r\n}",
    ),
    (
        "opencode",
        ".config/opencode/opencode.jsonc",
        "/* SECRET-0 */ { \"provider\": { \"x\": { \"options\": { \"apiKey\": \"SECRET-1\" } } }, }\n",
    ),
];

#[test]
fn what_is_shown_hides_what_is_there_and_nothing_is_written() {
    for (client, file, before) in FILES {
        let home = home();
        let path = home.write(file, before);
        let (code, stdout, stderr) = run(&home, &["setup", client, "gov", "--model", "m1"]);
        assert_eq!(code, Some(0), "{client}: {stderr}");
        assert!(stdout.starts_with(&format!("--- {}\n+++ ", path.display())), "{client}: {stdout}");
        assert!(stdout.contains("http://127.0.0.1:8639/gov"), "{client}: {stdout}");
        assert!(
            stdout.lines().any(|line| line.starts_with('+') && line.contains("***") || line.contains("unexpired")),
            "{stdout}"
        );
        assert!(!stdout.contains("SECRET") && !stdout.contains("unx-"), "{client}: {stdout}");
        assert!(
            stderr.contains("note: nothing was written: --write does it") || stderr.contains("nothing was written"),
            "{stderr}"
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
        assert!(!home.path().join("store/proxy-keys.json").exists(), "{client}: no key is made for a look");
    }
}

#[test]
fn what_is_written_keeps_the_rest_and_undo_restores_every_byte() {
    for (client, file, before) in FILES {
        let home = home();
        let path = home.write(file, before);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let (code, stdout, stderr) = run(&home, &["setup", client, "gov", "--model", "m1", "--write"]);
        assert_eq!(code, Some(0), "{client}: {stderr}");
        assert!(stderr.contains(&format!("unexpired setup {client} --undo")), "{stderr}");
        let after = fs::read_to_string(&path).unwrap();
        for secret in ["SECRET-0", "SECRET-2"] {
            assert_eq!(after.contains(secret), before.contains(secret), "{client}: {secret}\n{after}");
        }
        assert!(after.contains("SECRET-1") || client == "codex", "{after}");
        assert!(after.contains("127.0.0.1:8639/gov"), "{client}: {after}");
        assert_eq!(after.contains("\r\n"), before.contains("\r\n"), "{client}");
        let holds_key = after.contains("unx-");
        assert_eq!(holds_key, matches!(client, "copilot" | "opencode"), "{client}");
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, if holds_key { 0o600 } else { 0o640 }, "{client}");
        assert!(!stdout.contains("SECRET") && !stdout.contains("unx-"), "{client}: {stdout}");

        // The backup is the owner's alone.
        let backup = home.path().join("store/setup").join(client).join("1/0.before");
        assert_eq!(fs::read_to_string(&backup).unwrap(), before);
        assert_eq!(fs::metadata(&backup).unwrap().permissions().mode() & 0o777, 0o600);

        let (code, stdout, stderr) = run(&home, &["setup", client, "gov", "--model", "m1", "--write"]);
        assert_eq!((code, stdout.as_str()), (Some(0), ""), "{client}");
        assert!(stderr.contains("nothing changes"), "{client}: {stderr}");

        let (code, stdout, stderr) = run(&home, &["setup", client, "--undo"]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{client}");
        assert_eq!(stdout, format!("restored {}\n", path.display()));
        assert_eq!(fs::read_to_string(&path).unwrap(), before, "{client}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(run(&home, &["setup", client, "--undo"]).0, Some(2), "{client}: once");
    }
}

#[test]
fn a_file_that_was_not_there_is_gone_again_and_two_changes_are_undone_one_by_one() {
    let home = home();
    for (model, key) in [("m1", "GEMINI_MODEL=m1"), ("m2", "GEMINI_MODEL=m2")] {
        let (code, _, stderr) = run(&home, &["setup", "gemini", "own", "--model", model, "--write"]);
        assert_eq!(code, Some(0), "{stderr}");
        let text = fs::read_to_string(home.path().join(".gemini/.env")).unwrap();
        assert!(
            text.contains(key)
                && text.contains("GOOGLE_GEMINI_BASE_URL=http://127.0.0.1:9123\n")
                && text.contains("GEMINI_API_KEY=unx-"),
            "{text}"
        );
    }
    let settings = home.path().join(".gemini/settings.json");
    assert!(fs::read_to_string(&settings).unwrap().contains("\"selectedType\": \"gemini-api-key\""));
    assert_eq!(run(&home, &["setup", "gemini", "--undo"]).0, Some(0));
    assert!(fs::read_to_string(home.path().join(".gemini/.env")).unwrap().contains("GEMINI_MODEL=m1"));
    assert_eq!(run(&home, &["setup", "gemini", "--undo"]).0, Some(0));
    assert!(!home.path().join(".gemini/.env").exists() && !settings.exists());
}

#[test]
fn a_file_that_was_changed_since_is_not_undone() {
    let home = home();
    let (code, ..) = run(&home, &["setup", "codex", "gov", "--write"]);
    assert_eq!(code, Some(0));
    let path = home.path().join(".codex/config.toml");
    let changed = format!("{}# later\n", fs::read_to_string(&path).unwrap());
    fs::write(&path, &changed).unwrap();
    let (code, stdout, stderr) = run(&home, &["setup", "codex", "--undo"]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("is left alone") && stderr.contains("hint: what it was: "), "{stderr}");
    assert_eq!(fs::read_to_string(&path).unwrap(), changed);
}

#[test]
fn a_link_stays_a_link() {
    let home = home();
    let real = home.write("dotfiles/codex.toml", "model = \"m\"\n");
    fs::create_dir_all(home.path().join(".codex")).unwrap();
    let link: PathBuf = home.path().join(".codex/config.toml");
    std::os::unix::fs::symlink(&real, &link).unwrap();
    assert_eq!(run(&home, &["setup", "codex", "gov", "--write"]).0, Some(0));
    assert!(link.is_symlink() && fs::read_to_string(&real).unwrap().contains("model_provider = \"unexpired\""));
    assert_eq!(run(&home, &["setup", "codex", "--undo"]).0, Some(0));
    assert!(link.is_symlink() && fs::read_to_string(&real).unwrap() == "model = \"m\"\n");
}

#[test]
fn what_is_no_json_is_pasted_and_never_written() {
    let home = home();
    let path = home.write(".claude/settings.json", "{ env: {} }");
    let (code, stdout, _) = run(&home, &["setup", "claude", "gov"]);
    assert_eq!(code, Some(0));
    assert!(stdout.starts_with("# for ") && stdout.contains("\"apiKeyHelper\""), "{stdout}");
    assert_eq!(run(&home, &["setup", "claude", "gov", "--write"]).0, Some(2));
    assert_eq!(fs::read_to_string(path).unwrap(), "{ env: {} }");
    for client in ["openclaw", "goose", "openshell"] {
        let (code, stdout, stderr) = run(&home, &["setup", client, "gov", "--model", "m1"]);
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stdout.starts_with("# for ") && !stdout.contains("unx-"), "{stdout}");
        let (code, _, stderr) = run(&home, &["setup", client, "gov", "--model", "m1", "--write"]);
        assert_eq!(code, Some(2), "{stderr}");
    }
}

#[test]
fn printed_tokens_are_for_clients_that_ask_again_and_tokens_that_may_leave() {
    let home = home();
    let (code, stdout, stderr) = run(&home, &["setup", "codex", "gov", "--printed", "--client-interval", "1m"]);
    assert_eq!(code, Some(0));
    assert!(stderr.contains("warning: codex sends its request without a token when the command fails"), "{stderr}");
    for part in [
        "+base_url = \"https://api.example.com/openai/v1\"",
        "\"token\", \"corp\", \"--as\", \"codex\", \"--client-interval\", \"60000ms\"]",
        "+refresh_interval_ms = 60000",
    ] {
        assert!(stdout.contains(part), "{part}: {stdout}");
    }
    let (_, stdout, _) = run(&home, &["setup", "claude", "gov", "--printed"]);
    assert!(stdout.contains("unexpired token corp --as claude\""), "{stdout}");
    let (_, stdout, _) = run(&home, &["setup", "copilot", "gov", "--printed", "--model", "m1"]);
    assert!(stdout.contains("token corp --as copilot'\n"), "{stdout}");
    for (args, code) in [
        (&["setup", "codex", "own", "--printed"][..], 5),
        (&["setup", "openshell", "own"], 5),
        (&["setup", "gemini", "gov", "--printed"], 2),
        (&["setup", "pi", "gov", "--model", "m", "--printed", "--client-interval", "1m"], 2),
        (&["setup", "pi", "gov"], 2),
        (&["setup", "codex", "nowhere"], 2),
        (&["setup", "codex"], 2),
        (&["setup", "vim", "gov"], 2),
        (&["setup", "codex", "--undo"], 2),
    ] {
        assert_eq!(run(&home, args).0, Some(code), "{args:?}");
    }
}
