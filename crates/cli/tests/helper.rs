//! The helpers beside what `cmd/helper/` shows: exact bytes, streams that clients leave open, input that no client sends.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the report")]

mod support;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use support::{Home, text};

/// Tokens that are known, for `*.example.com`.
struct Fixture(Home);

impl Fixture {
    fn new() -> Self {
        let home = Home::new();
        let answer = home.write("corp.json", &format!(r#"{{"access_token":"{TOKEN}","expires_at":4070908800}}"#));
        let keys = home.write("keys.json", KEYS);
        let config = format!(
            "[token.corp]\nprovider = 'command'\ncommand = ['cat', '{}']\nhosts = ['*.example.com']\n\
             [token.keys]\nprovider = 'command'\ncommand = ['cat', '{}']\nanswer = 'aws-credentials'\n",
            answer.display(),
            keys.display()
        );
        home.write(".config/unexpired/config.toml", &config);
        Self(home)
    }

    fn command(&self, args: &[&str], env: &[(&str, &str)]) -> Command {
        let mut command = self.0.unexpired(args);
        command.env("PATH", "/usr/bin:/bin").envs(env.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str], env: &[(&str, &str)], stdin: &[u8]) -> Output {
        let mut child = self.command(args, env).spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        std::thread::scope(|scope| {
            // Beside the reading: each could wait for the other. One that does not read its input may be gone already.
            scope.spawn(move || drop(pipe.write_all(stdin)));
            child.wait_with_output().unwrap()
        })
    }
}

#[test]
fn answers_are_known_to_the_byte() {
    let fixture = Fixture::new();
    for (args, env, stdin, expected) in CALLS {
        let output = fixture.run(args, env, stdin.as_bytes());
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!((stdout.as_str(), stderr.as_str()), (*expected, ""), "{args:?}");
        assert!(output.status.success(), "{args:?}");
        if stdout.starts_with('{') {
            for line in stdout.lines() {
                serde_json::from_str::<serde_json::Value>(line).unwrap();
            }
        }
    }
}

/// Claude Code, cargo and kubectl start a helper with a pipe that they never close.
#[test]
fn a_pipe_that_is_never_closed_holds_nobody_up() {
    let fixture = Fixture::new();
    for (args, env, stdin, _) in CALLS.iter().filter(|(_, _, stdin, _)| stdin.is_empty()) {
        let mut child = fixture.command(args, env).spawn().unwrap();
        let open = child.stdin.take();
        let start = Instant::now();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && start.elapsed() < Duration::from_secs(5), "{args:?} {stdin}");
        drop(open);
    }
}

/// cargo reads an answer before it closes the pipe.
#[test]
fn cargo_is_answered_line_by_line() {
    use std::io::{BufRead as _, BufReader};
    let fixture = Fixture::new();
    let mut child = fixture.command(&["--cargo-plugin"], &[]).spawn().unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line, "{\"v\":[1]}\n");
    for _ in 0..3 {
        stdin.write_all(br#"{"v":1,"kind":"get","operation":"read","registry":{"index-url":"https://a.example.com/"},"args":[]}"#).unwrap();
        stdin.write_all(b"\n").unwrap();
        line.clear();
        stdout.read_line(&mut line).unwrap();
        assert!(line.starts_with("{\"Ok\":{\"kind\":\"get\",\"token\":\"Bearer "), "{line}");
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

/// git says paths as they are.
#[test]
fn a_path_that_is_no_text_is_none_of_our_business() {
    let fixture = Fixture::new();
    let asked = b"protocol=https\nhost=a.example.com\npath=\xff\xfe.git\n";
    let output = fixture.run(&["helper", "git", "get"], &[], asked);
    assert!(output.status.success() && text(&output.stdout).contains(TOKEN), "{}", text(&output.stderr));
}

#[test]
fn a_server_that_says_invalid_token_gets_a_token_all_the_same() {
    let fixture = Fixture::new();
    let challenge = "Bearer realm=\"x\", error=\"invalid_token\"";
    let git = format!("capability[]=authtype\nprotocol=https\nhost=a.example.com\nwwwauth[]={challenge}\n");
    let cargo = serde_json::json!({ "v": 1, "kind": "get", "operation": "read", "args": [],
        "registry": { "index-url": "https://a.example.com/", "headers": [format!("WWW-Authenticate: {challenge}")] } });
    let go = format!("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {challenge}\r\n\r\n");
    for (args, stdin) in [
        (&["helper", "git", "get"][..], git),
        (&["--cargo-plugin"], format!("{cargo}\n")),
        (&["helper", "go", "https://a.example.com/x"], go),
    ] {
        let output = fixture.run(args, &[], stdin.as_bytes());
        assert!(output.status.success() && text(&output.stdout).contains(TOKEN), "{args:?}: {}", text(&output.stderr));
    }
}

#[test]
fn input_that_no_client_sends_does_no_harm() {
    let fixture = Fixture::new();
    let long = vec![b'a'; 1024 * 1024];
    let lines = "x=y\n".repeat(300_000);
    let deep = "[".repeat(200_000);
    let secret = format!("protocol=https\nhost=other.example.net\npassword={CANARY}\n{{\"uri\":\"{CANARY}\"}}");
    let inputs: [&[u8]; 9] =
        [b"", b"\0", b"\xff\xfe\xff", b"\r\n\r\n", b"{}", &long, lines.as_bytes(), deep.as_bytes(), secret.as_bytes()];
    let contracts: &[&[&str]] = &[
        &["helper", "git", "get"],
        &["helper", "git", "erase"],
        &["helper", "git", "store"],
        &["helper", "docker", "get"],
        &["helper", "docker", "store"],
        &["helper", "docker", "list"],
        &["--cargo-plugin"],
        &["helper", "bazel", "get"],
        &["helper", "openclaw"],
        &["helper", "go", "https://other.example.net/"],
        &["helper", "terraform", "get", "\u{202e}x"],
        &["helper", "terraform", "store", "x"],
        &["helper", "keyring", "get", "https://\u{0}", "x"],
        &["helper", "keyring", "--", "get", "--mode"],
        &["helper", "az", "account", "get-access-token", "--resource"],
        &["helper", "az"],
        &["helper", "azd", "auth", "token", "--scope", ""],
        &["helper", "gcloud", "config", "config-helper", "--format=json", "--min-expiry=x"],
    ];
    for args in contracts.iter().filter(|args| !args.iter().any(|arg| arg.contains('\0'))) {
        for stdin in inputs {
            let start = Instant::now();
            let output = fixture.run(args, &[], stdin);
            let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
            let code = output.status.code().unwrap();
            assert!((0..=5).contains(&code) && !stderr.contains("panicked"), "{args:?}: {code}: {stderr}");
            assert!(
                !stdout.contains(TOKEN) && !stdout.contains(CANARY) && !stderr.contains(CANARY),
                "{args:?}: {stdout}{stderr}"
            );
            assert!(stderr.lines().count() <= 2, "{args:?}: {stderr}");
            assert!(start.elapsed() < Duration::from_secs(5), "{args:?}");
        }
    }
}

#[test]
fn garbage_in_the_variables_of_clients_does_no_harm() {
    let fixture = Fixture::new();
    for value in [
        "{",
        "[]",
        "\u{202e}",
        "https://a.example.com@b.example.net/",
        "https://a.example.com\\@b/",
        "x y",
        "{\"apiVersion\":1}",
    ] {
        for (name, args) in [
            ("KUBERNETES_EXEC_INFO", &["helper", "kubectl", "corp"][..]),
            ("CARGO_REGISTRY_INDEX_URL", &["helper", "cargo"]),
            ("CLAUDE_CODE_MCP_SERVER_URL", &["helper", "claude-headers", "corp"]),
        ] {
            let output = fixture.run(args, &[(name, value)], b"");
            let shown = text(&output.stdout) + &text(&output.stderr);
            assert!(!output.status.success() && !shown.contains(TOKEN), "{name}={value}: {shown}");
            assert!(!shown.contains('\u{202e}'), "{shown}");
        }
    }
}

/// OpenClaw starts a helper with nothing in its environment; the configuration is found by the passwd entry, or named.
#[test]
fn an_empty_environment_is_enough() {
    let fixture = Fixture::new();
    let config: PathBuf = fixture.0.path().join(".config/unexpired/config.toml");
    let mut child = fixture
        .command(&["--config", config.to_str().unwrap(), "helper", "openclaw"], &[])
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(br#"{"protocolVersion":1,"provider":"p","ids":["corp","corp"]}"#).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        text(&output.stdout),
        format!("{{\"protocolVersion\":1,\"values\":{{\"corp\":\"{TOKEN}\"}},\"errors\":{{}}}}\n")
    );
}

#[test]
fn an_error_in_json_is_escaped() {
    let fixture = Fixture::new();
    let request = br#"{"protocolVersion":1,"provider":"p","ids":["a\"b\u202e"]}"#;
    let output = fixture.run(&["helper", "openclaw"], &[], request);
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let message = answer["errors"]["a\"b\u{202e}"]["message"].as_str().unwrap();
    assert!(message.contains("has no token `a\"b\\u{202e}`"), "{message}");
}

/// A command of the configuration that finds the stand-in in the place of the real program must not start itself without end.
#[test]
fn a_stand_in_does_not_serve_the_command_that_wanted_the_real_program() {
    let fixture = Fixture::new();
    let folder = fixture.0.path().join("stand-ins");
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_unexpired"), folder.join("az")).unwrap();
    fixture.0.write(
        ".config/unexpired/config.toml",
        "[token.azure]\nprovider = 'command'\ncommand = ['az', 'account', 'get-access-token', '--output', 'json']\n",
    );
    let path = format!("{}:/usr/bin:/bin", folder.display());
    let start = Instant::now();
    let output = fixture.run(&["token", "azure"], &[("PATH", path.as_str())], b"");
    assert!(!output.status.success() && output.stdout.is_empty());
    assert!(text(&output.stderr).contains("stand-in"), "{}", text(&output.stderr));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_step_of_github_actions_gets_the_mask_before_the_token() {
    let fixture = Fixture::new();
    let outputs = fixture.0.write("outputs", "other=1\n");
    let env = [("GITHUB_OUTPUT", outputs.to_str().unwrap())];
    let output = fixture.run(&["token", "corp", "--format", "github"], &env, b"");
    assert_eq!((text(&output.stdout), text(&output.stderr)), (format!("::add-mask::{TOKEN}\n"), String::new()));
    let written = std::fs::read_to_string(&outputs).unwrap();
    assert_eq!(written, format!("other=1\ntoken={TOKEN}\nexpires_at=2099-01-01T00:00:00Z\n"));

    // Whoever reads the log is gone: nothing is written that could not be masked.
    let mut child = fixture.command(&["token", "corp", "--format", "github"], &env).spawn().unwrap();
    drop(child.stdout.take());
    assert!(!child.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(&outputs).unwrap(), written);
}

/// Arguments, environment, stdin, stdout.
type Call = (&'static [&'static str], &'static [(&'static str, &'static str)], &'static str, &'static str);

const CALLS: &[Call] = &[
    (
        &["helper", "kubectl", "corp"],
        &[(
            "KUBERNETES_EXEC_INFO",
            r#"{"apiVersion":"client.authentication.k8s.io/v1beta1","spec":{"cluster":{"server":"https://k8s.example.com"}}}"#,
        )],
        "",
        "{\"apiVersion\":\"client.authentication.k8s.io/v1beta1\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"fake-t0ken-0001\",\"expirationTimestamp\":\"2098-12-31T23:59:50Z\"}}\n",
    ),
    (
        &["helper", "aws", "keys"],
        &[],
        "",
        "{\"Version\":1,\"AccessKeyId\":\"ASIA\\\"1\",\"SecretAccessKey\":\"s\\\\k\",\"Expiration\":\"2098-12-31T23:59:50Z\"}\n",
    ),
    (
        &["helper", "git", "get"],
        &[],
        "protocol=https\nhost=git.example.com\n\nhost=ignored.example.net\n",
        "username=oauth2\npassword=fake-t0ken-0001\npassword_expiry_utc=4070908790\n",
    ),
    (
        &["helper", "docker", "get"],
        &[],
        "a.example.com\n",
        "{\"ServerURL\":\"a.example.com\",\"Username\":\"oauth2\",\"Secret\":\"fake-t0ken-0001\"}\n",
    ),
    (
        &["helper", "cargo"],
        &[("CARGO_REGISTRY_INDEX_URL", "sparse+https://a.example.com/")],
        "",
        "Bearer fake-t0ken-0001\n",
    ),
    (
        &["helper", "google-executable", "corp"],
        &[],
        "",
        "{\"version\":1,\"success\":true,\"token_type\":\"urn:ietf:params:oauth:token-type:jwt\",\"id_token\":\"fake-t0ken-0001\",\"expiration_time\":4070908790}\n",
    ),
    (
        &["helper", "gcloud", "--token", "corp", "auth", "print-access-token"],
        &[("UNEXPIRED_TOKEN_NAME", "not-this-one")],
        "",
        "fake-t0ken-0001\n",
    ),
    (
        &[
            "helper",
            "azd",
            "--token",
            "corp",
            "--",
            "auth",
            "token",
            "--output",
            "json",
            "--no-prompt",
            "--scope",
            "https://x/.default",
        ],
        &[],
        "",
        "{\"token\":\"fake-t0ken-0001\",\"expiresOn\":\"2098-12-31T23:59:50Z\"}\n",
    ),
    (&["helper", "keyring", "get", "a.example.com", "me"], &[], "", "fake-t0ken-0001\n"),
    (&["helper", "pnpm", "corp"], &[], "", "Bearer fake-t0ken-0001\n"),
    (&["helper", "go"], &[], "", ""),
    (
        &["helper", "go", "https://a.example.com:8443/x"],
        &[],
        "HTTP/1.1 404 Not Found\r\n\r\n",
        "https://a.example.com:8443\n\nAuthorization: Bearer fake-t0ken-0001\n\n",
    ),
    (&["helper", "terraform", "get", "a.example.com"], &[], "", "{\"token\":\"fake-t0ken-0001\"}\n"),
    (
        &["helper", "bazel", "get"],
        &[],
        "{\"uri\":\"https://a.example.com/x\"}",
        "{\"headers\":{\"Authorization\":[\"Bearer fake-t0ken-0001\"]},\"expires\":\"2098-12-31T23:59:50Z\"}\n",
    ),
    (&["helper", "claude-headers", "corp"], &[], "", "{\"Authorization\":\"Bearer fake-t0ken-0001\"}\n"),
];

const TOKEN: &str = "fake-t0ken-0001";
const CANARY: &str = "c4n4ryQq7Zw9Xe2Rt5Yu8";
/// Keys with what JSON must escape.
const KEYS: &str =
    r#"{"Version":1,"AccessKeyId":"ASIA\"1","SecretAccessKey":"s\\k","Expiration":"2099-01-01T00:00:00Z"}"#;
