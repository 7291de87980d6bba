//! `unexpired run` as a process: programs that live longer than their tokens, what they find, signals, exit codes.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the report")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use support::{Home, text};
use unexpired_testkit::{IdentityProvider, defaults};

/// A home with a route to a resource server; its secret is in a variable. In `bin` there are programs that tell what they were given.
fn home(idp: &IdentityProvider) -> Home {
    let home = Home::new();
    home.write(
        ".config/unexpired/config.toml",
        &format!(
            "[token.corp]\nprovider = 'oauth'\ntoken_url = '{}'\nclient_id = '{}'\nclient_secret = {{ env = 'CORP_SECRET' }}\n\
             hosts = ['127.0.0.1']\nexport = 'never'\n\n[route.api]\ntoken = 'corp'\nupstream = '{}'\n",
            idp.oauth_token_url(),
            defaults::CLIENT_ID,
            idp.resource_server().url().trim_end_matches('/'),
        ),
    );
    for name in ["codex", "claude", "copilot", "pi", "openclaw", "gemini", "opencode", "goose", "agent"] {
        program(&home, name, TELL);
    }
    home
}

/// Each argument on a line, then the environment.
const TELL: &str = "for a in \"$@\"; do printf 'arg %s\\n' \"$a\"; done\n/usr/bin/env";

fn program(home: &Home, name: &str, script: &str) {
    let path = home.write(&format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn command(home: &Home, args: &[&str]) -> Command {
    let mut command = home.unexpired(args);
    command.env("CORP_SECRET", defaults::CLIENT_SECRET);
    command.env("PATH", format!("{}:/usr/bin:/bin", home.path().join("bin").display()));
    // In the group of a terminal an interrupt comes from there.
    command.process_group(0);
    command
}

fn run(home: &Home, args: &[&str]) -> Output {
    command(home, args).output().unwrap()
}

/// What the fake agents print about a variable.
fn variable(told: &str, name: &str) -> Option<String> {
    told.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).map(str::to_owned)
}

#[test]
fn a_program_lives_through_several_tokens_and_a_revocation_and_never_sees_one() {
    let idp = IdentityProvider::builder().lifetime(Duration::from_secs(3)).blocking_start().unwrap();
    let home = home(&idp);
    let script = r#"for i in 1 2 3 4 5 6 7 8 9 10; do
        curl -s -o /dev/null -w '%{http_code}\n' -H "Authorization: Bearer $OPENAI_API_KEY" "$OPENAI_BASE_URL/v1/x"
        sleep 1
    done"#;
    let mut child = command(&home, &["run", "api", "--", "sh", "-c", script])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    for _ in 0..4 {
        out.read_line(&mut said).unwrap();
    }
    idp.revoke_all();
    out.read_to_string(&mut said).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!((said.as_str(), text(&output.stderr).as_str()), ("200\n".repeat(10).as_str(), ""));
    assert!(output.status.success());
    assert!(idp.mints() >= 4, "{}", idp.mints());
}

#[test]
fn the_key_is_the_programs_own_and_the_proxy_ends_with_it() {
    let idp = IdentityProvider::blocking_start().unwrap();
    let home = home(&idp);
    let tell = "echo $UNEXPIRED_PROXY_URL $UNEXPIRED_PROXY_KEY; curl -s -o /dev/null -w '%{http_code}' -H 'api-key: other' $UNEXPIRED_PROXY_URL/x";
    let mut seen = Vec::new();
    for _ in 0..2 {
        let output = run(&home, &["run", "api", "--", "sh", "-c", tell]);
        let said = text(&output.stdout);
        let (first, status) = said.split_once('\n').unwrap();
        let (url, key) = first.split_once(' ').unwrap();
        assert!(key.starts_with("unx-") && url.starts_with("http://127.0.0.1:"), "{said}");
        assert_eq!(status, "401", "another key opens nothing");
        assert!(std::net::TcpStream::connect(url.strip_prefix("http://").unwrap()).is_err(), "the proxy ends");
        assert!(!seen.contains(&key.to_owned()));
        seen.push(key.to_owned());
    }
    assert!(!home.path().join("store/proxy-keys.json").exists(), "it is in memory alone");
}

#[test]
fn each_agent_is_pointed_at_the_proxy_in_its_own_way() {
    let idp = IdentityProvider::blocking_start().unwrap();
    let home = home(&idp);
    for (agent, url, key, gone) in [
        ("codex", "", "", "OPENAI_API_KEY"),
        ("claude", "ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_API_KEY"),
        ("copilot", "COPILOT_PROVIDER_BASE_URL", "COPILOT_PROVIDER_API_KEY", "COPILOT_PROVIDER_BEARER_TOKEN"),
        ("gemini", "GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"),
        ("opencode", "OPENAI_BASE_URL", "OPENAI_API_KEY", "AZURE_CLIENT_SECRET"),
        ("goose", "OPENAI_HOST", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
        ("agent", "OPENAI_BASE_URL", "OPENAI_API_KEY", "AZURE_CLIENT_SECRET"),
    ] {
        let mut command = command(&home, &["run", "api", "--model", "m1", "--", agent, "-p", "say ok"]);
        let output = command
            .env(gone, "left over")
            .env("AZURE_CLIENT_SECRET", "s")
            .env("KEPT", "yes")
            .env("HTTPS_PROXY", "http://p")
            .output()
            .unwrap();
        let told = text(&output.stdout);
        assert!(output.status.success() && output.stderr.is_empty(), "{agent}: {}", text(&output.stderr));
        let proxy = variable(&told, "UNEXPIRED_PROXY_URL").unwrap();
        if !url.is_empty() {
            assert_eq!(variable(&told, url), Some(proxy.clone()), "{agent}");
            assert_eq!(variable(&told, key), variable(&told, "UNEXPIRED_PROXY_KEY"), "{agent}");
        }
        for gone in [gone, "CORP_SECRET", "AZURE_CLIENT_SECRET"] {
            assert_eq!(variable(&told, gone), None, "{agent}: {gone}");
        }
        assert_eq!(variable(&told, "KEPT").as_deref(), Some("yes"));
        assert_eq!(variable(&told, "NO_PROXY").as_deref(), Some("127.0.0.1,localhost"));
        assert!(told.contains("arg -p\narg say ok\n"), "{told}");
        match agent {
            "codex" => {
                for setting in [
                    format!("arg -c\narg model_providers.unexpired.base_url=\"{proxy}\"\n"),
                    "arg -c\narg model_providers.unexpired.env_key=\"UNEXPIRED_PROXY_KEY\"\n".to_owned(),
                    "arg -c\narg model_provider=\"unexpired\"\n".to_owned(),
                    "arg -c\narg model=\"m1\"\n".to_owned(),
                ] {
                    assert!(told.contains(&setting), "{told}");
                }
            }
            "opencode" => {
                let config = variable(&told, "OPENCODE_CONFIG_CONTENT").unwrap();
                assert!(!config.contains("unx-") && told.contains(&format!("\"baseURL\": \"{proxy}\"")), "{told}");
            }
            "gemini" => {
                assert_eq!(variable(&told, "GEMINI_CLI_HOME").map(|home| Path::new(&home).exists()), Some(false))
            }
            "goose" => assert_eq!(variable(&told, "OPENAI_BASE_PATH").as_deref(), Some("chat/completions")),
            _ => {}
        }
    }
}

#[test]
fn pi_and_openclaw_see_their_own_configuration_with_a_provider_more() {
    let idp = IdentityProvider::blocking_start().unwrap();
    let home = home(&idp);
    let models = "{\n  // mine\n  \"providers\": { \"own\": { \"apiKey\": \"k\" } }\n}\n";
    home.write(".pi/agent/models.json", models);
    home.write(".pi/agent/auth.json", "{}");
    program(
        &home,
        "pi",
        "for a in \"$@\"; do echo \"arg $a\"; done; cat $PI_CODING_AGENT_DIR/*.json; echo new > $PI_CODING_AGENT_DIR/made",
    );
    let output = run(&home, &["run", "api", "--", "pi", "--model", "m1", "-p", "x"]);
    let told = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(told.starts_with("arg --provider\narg unexpired\narg --model\narg m1\narg -p\n"), "{told}");
    for part in [
        "// mine",
        "\"own\": { \"apiKey\": \"k\" }",
        "\"apiKey\": \"$UNEXPIRED_PROXY_KEY\"",
        "\"baseUrl\": \"http://127.0.0.1:",
        "\"id\": \"m1\"",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert_eq!(std::fs::read_to_string(home.path().join(".pi/agent/models.json")).unwrap(), models);
    assert_eq!(std::fs::read_to_string(home.path().join(".pi/agent/made")).unwrap(), "new\n");
    assert_eq!(std::fs::read_dir(home.path().join(".pi")).unwrap().count(), 1, "the folder is gone");

    let own = home.write(".openclaw/openclaw.json", "{ own: 1 }");
    program(
        &home,
        "openclaw",
        "cat $OPENCLAW_CONFIG_PATH; ls -l $OPENCLAW_CONFIG_PATH; echo $OPENCLAW_CONFIG_PATH $OPENCLAW_INCLUDE_ROOTS",
    );
    let output = command(&home, &["run", "api", "--model", "m1", "--", "openclaw"])
        .env("XDG_RUNTIME_DIR", home.path())
        .output()
        .unwrap();
    let told = text(&output.stdout);
    for part in [
        format!("\"$include\": \"{}\"", own.display()),
        "\"apiKey\": \"${UNEXPIRED_PROXY_KEY}\"".to_owned(),
        "\"primary\": \"unexpired/m1\"".to_owned(),
        "\n-rw-------".to_owned(),
        format!("/openclaw.json {}\n", own.parent().unwrap().display()),
    ] {
        assert!(told.contains(&part), "{part}: {told}");
    }
    let path = told.lines().last().unwrap().split(' ').next().unwrap();
    assert!(!Path::new(path).exists());

    let output = run(&home, &["run", "api", "--", "pi"]);
    assert_eq!(output.status.code(), Some(125));
    assert!(text(&output.stderr).contains("--model MODEL"), "{}", text(&output.stderr));
}

#[test]
fn a_variable_can_be_kept_and_an_agent_named() {
    let idp = IdentityProvider::blocking_start().unwrap();
    let home = home(&idp);
    let output = run(&home, &["run", "api", "--as", "claude", "--keep", "CORP_SECRET", "--", "agent"]);
    let told = text(&output.stdout);
    assert_eq!(variable(&told, "CORP_SECRET").as_deref(), Some(defaults::CLIENT_SECRET));
    assert!(variable(&told, "ANTHROPIC_AUTH_TOKEN").is_some() && variable(&told, "OPENAI_API_KEY").is_none());
}

#[test]
fn the_exit_code_is_the_programs_and_failures_of_ours_are_told_apart() {
    let idp = IdentityProvider::blocking_start().unwrap();
    let home = home(&idp);
    home.write("bin/plain", "no program");
    program(&home, "no-interpreter", "");
    std::fs::write(home.path().join("bin/no-interpreter"), "#!/nowhere/at/all\n").unwrap();
    let plain = home.path().join("bin/plain").display().to_string();
    for (args, code, said) in [
        (&["run", "api", "--", "true"][..], 0, ""),
        (&["run", "api", "--", "sh", "-c", "exit 7"], 7, ""),
        (&["run", "api", "--", "sh", "-c", "exit 255"], 255, ""),
        (&["run", "api", "--", "sh", "-c", "kill -9 $$"], 137, ""),
        (&["run", "api", "--", "sh", "-c", "kill -TERM $$"], 143, ""),
        (&["run", "api", "--", "no-such-program"], 127, "error: no-such-program: no such program\n"),
        (&["run", "api", "--", "/no/such/program"], 127, "error: /no/such/program: no such program\n"),
        (&["run", "api", "--", "plain"], 126, "error: plain: not executable\n"),
        (&["run", "api", "--", &plain], 126, "not executable\n"),
        (&["run", "api", "--", "/"], 126, "error: /: not executable\n"),
        (&["run", "api", "--", "no-interpreter"], 127, "cannot be started"),
        (&["run", "nowhere", "--", "true"], 125, "has no route `nowhere`"),
        (&["run", "api"], 125, "error: "),
        (&["run", "--no-such-option"], 125, "error: "),
        (&["--config", "/no/such/file", "run", "api", "--", "true"], 125, "error: "),
    ] {
        let output = run(&home, args);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(if said.is_empty() { stderr.is_empty() } else { stderr.contains(said) }, "{args:?}: {stderr}");
    }
}

#[test]
fn the_program_has_the_streams_and_the_name_that_it_was_called_by() {
    let idp = IdentityProvider::blocking_start().unwrap();
    let home = home(&idp);
    let input = home.write("input", "from stdin");
    let mut command = command(&home, &["run", "api", "--", "sh", "-c", "cat; echo \" $0\"; echo err >&2"]);
    let output = command.stdin(std::fs::File::open(input).unwrap()).output().unwrap();
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("from stdin sh\n", "err\n"));
}

/// Waits for a line that ends in `ready`.
fn ready(child: &mut Child) -> BufReader<std::process::ChildStdout> {
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    out
}

fn kill(signal: &str, child: &Child) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn signals_reach_the_program_and_it_decides() {
    let idp = IdentityProvider::blocking_start().unwrap();
    let home = home(&idp);
    for signal in ["INT", "TERM", "HUP", "USR1"] {
        let script = format!("trap 'echo got {signal}; exit 3' {signal}; echo ready; while :; do sleep 0.05; done");
        let mut child =
            command(&home, &["run", "api", "--", "sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = ready(&mut child);
        kill(&format!("-{signal}"), &child);
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, format!("got {signal}\n"));
        assert_eq!(child.wait().unwrap().code(), Some(3), "{signal}");
    }
    // One that does not listen goes on, and its proxy too.
    let script = r#"trap '' TERM; echo ready; sleep 1; curl -s -o /dev/null -w '%{http_code}' -H "api-key: $UNEXPIRED_PROXY_KEY" $UNEXPIRED_PROXY_URL/x"#;
    let mut child = command(&home, &["run", "api", "--", "sh", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = ready(&mut child);
    kill("-TERM", &child);
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("200", Some(0)));
    // One that ends by it is told as shells do.
    let mut child = command(&home, &["run", "api", "--", "sh", "-c", "echo ready; exec sleep 60"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let _out = ready(&mut child);
    kill("-TERM", &child);
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

/// The terminal interrupts its whole foreground group: the program has had it, and must not be given it twice.
#[test]
fn an_interrupt_of_the_terminal_comes_once() {
    let idp = IdentityProvider::blocking_start().unwrap();
    let home = home(&idp);
    let terminal = r#"
import os, pty, sys
pid, fd = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
out = b''
def more():
    try:
        return os.read(fd, 1000)
    except OSError:
        return b''
while b'ready' not in out:
    out += more()
os.write(fd, b'\x03')
while chunk := more():
    out += chunk
print(out.count(b'GOT'), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;
    let script = "trap 'echo GOT' INT; echo ready; i=0; while [ $i -lt 10 ]; do sleep 0.1; i=$((i+1)); done; exit 9";
    let program = env!("CARGO_BIN_EXE_unexpired");
    let output = Command::new("python3")
        .args(["-c", terminal, program, "run", "api", "--", "sh", "-c", script])
        .env("HOME", home.path())
        .env("UNEXPIRED_STORE", home.path().join("store"))
        .env_remove("UNEXPIRED_CONFIG")
        .env_remove("XDG_CONFIG_HOME")
        .env("CORP_SECRET", defaults::CLIENT_SECRET)
        .output()
        .unwrap();
    assert_eq!((text(&output.stdout).as_str(), text(&output.stderr).as_str()), ("1 9\n", ""));
}
