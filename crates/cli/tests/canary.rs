//! No secret is ever shown: not in an error, not by `--verbose`, whatever the provider, the command or the file does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the report")]

mod support;

use std::sync::Arc;
use support::{Home, response, serve, text};

/// In every secret that the command holds; and in every answer that it gets.
const CANARY: &str = "c4n4ryQq7Zw9Xe2Rt5Yu8";
/// A secret that no rule about its looks would recognise.
const SHORT: &str = "hunter-two";

#[test]
fn no_secret_is_shown_whatever_goes_wrong() {
    let port = serve(Arc::new(awkward));
    let home = Home::new();
    let secret = home.write("secret", CANARY);
    let short = home.write("short", SHORT);
    let key = home.write(
        "key.json",
        &format!(r#"{{"type":"service_account","private_key":"{CANARY}","client_email":"{CANARY}@x"}}"#),
    );
    let key_text = home.write("key.txt", CANARY);
    let command = if cfg!(windows) { "cmd" } else { "sh" };

    let mut sections = Vec::new();
    for mode in MODES {
        for (name, secret) in [("long", &secret), ("short", &short)] {
            let secret = secret.display();
            let url = format!("http://127.0.0.1:{port}/{mode}/{name}");
            let oauth = format!("provider = 'oauth'\ntoken_url = '{url}'\nclient_id = 'app'");
            for (way, keys) in [
                ("oauth", format!("client_secret = {{ file = '{secret}' }}")),
                ("post", format!("client_secret = {{ file = '{secret}' }}\nclient_auth = 'client_secret_post'")),
                ("refresh", format!("grant = 'refresh_token'\nrefresh_token = {{ file = '{secret}' }}")),
            ] {
                // The others do not hang on how the secret was sent.
                if way == "oauth" || ECHOES.contains(mode) {
                    sections.push((format!("{way}-{mode}-{name}"), format!("{oauth}\n{keys}")));
                }
            }
            let ibm = format!("provider = 'ibm'\nendpoint = '{url}'\napi_key = {{ file = '{secret}' }}");
            sections.push((format!("ibm-{mode}-{name}"), ibm));
            let entra = format!(
                "provider = 'entra'\nauthority = '{url}'\ntenant = 'contoso.onmicrosoft.com'\nclient_id = 'aaaaaaaa-0000-4000-8000-000000000001'\n\
                 client_secret = {{ file = '{secret}' }}\nscope = 'https://management.azure.com/.default'"
            );
            sections.push((format!("entra-{mode}-{name}"), entra));
        }
    }
    for (name, script) in [
        ("fails", format!("echo {CANARY}; echo {CANARY} >&2; exit 3")),
        ("two-lines", format!("echo {CANARY}; echo {CANARY}")),
        ("json", format!("echo '{{\"nothing\":\"{CANARY}\"}}'")),
        ("broken", format!("printf '{{\"access_token\":\"{CANARY}'")),
        ("control", format!("printf '{CANARY}\\001'")),
        ("good", format!("echo {CANARY}")),
    ] {
        let script = serde_json::Value::String(script);
        sections.push((
            format!("command-{name}"),
            format!("provider = 'command'\ncommand = ['{command}', '-c', {script}]"),
        ));
        let oauth = format!(
            "provider = 'oauth'\ntoken_url = 'http://127.0.0.1:{port}/error'\nclient_id = 'app'\nclient_secret = {{ command = ['{command}', '-c', {script}] }}"
        );
        sections.push((format!("secret-{name}"), oauth));
    }
    for (name, key) in [("json", &key), ("text", &key_text)] {
        sections.push((
            format!("google-{name}"),
            format!(
                "provider = 'google'\ncredentials = '{}'\nscope = 'https://www.googleapis.com/auth/cloud-platform'",
                key.display()
            ),
        ));
    }
    sections.push((
        "env".to_owned(),
        format!("provider = 'oauth'\ntoken_url = 'http://127.0.0.1:{port}/echo'\nclient_id = 'app'\nclient_secret = {{ env = 'THE_SECRET' }}"),
    ));

    let config: String =
        sections.iter().map(|(name, body)| format!("[token.{name}]\n{body}\nhosts = ['127.0.0.1']\n\n")).collect();
    home.write(".config/unexpired/config.toml", &config);
    let names: Vec<&str> = sections.iter().map(|(name, _)| name.as_str()).collect();

    let mut seen = Seen::default();
    for args in [&["status"][..], &["status", "--json"], &["config", "check"], &["--verbose", "config", "check"]] {
        seen.check(&home, args, false);
    }
    let refusing = format!("http://127.0.0.1:{port}/refuse");
    // Most of the time they wait between attempts.
    std::thread::scope(|scope| {
        let parts: Vec<_> = names
            .chunks(names.len().div_ceil(24))
            .map(|part| {
                let (home, refusing) = (&home, refusing.as_str());
                scope.spawn(move || {
                    let mut seen = Seen::default();
                    for name in part {
                        let prints = name.contains("-ok-") || *name == "command-good";
                        seen.check(home, &["token", name, "--verbose"], prints);
                        seen.check(home, &["token", name, "--format", "json"], prints);
                        seen.check(home, &["token", name, "--timeout", "1ms", "-v"], prints);
                        seen.check(home, &["probe", name, "--verbose", "--url", refusing], false);
                        seen.check(home, &["helper", "kubectl", name, "--timeout", "1s"], prints);
                        // Its errors are answers.
                        seen.check(home, &["helper", "google-executable", name, "--timeout", "1s"], prints);
                    }
                    seen
                })
            })
            .collect();
        for part in parts {
            let part = part.join().unwrap();
            seen.failures += part.failures;
            seen.successes += part.successes;
        }
    });
    // Most fail, and some do not: otherwise this proves nothing.
    assert!(seen.failures > 200 && seen.successes > 10, "{seen:?}");
}

#[test]
fn a_broken_configuration_shows_nothing_of_itself() {
    for (name, broken) in [
        (
            "a bare secret",
            format!(
                "[token.a]\nprovider = 'oauth'\ntoken_url = 'https://as.example.com/t'\nclient_id = 'app'\nclient_secret = '{CANARY}'\n"
            ),
        ),
        ("a wrong type", format!("[token.a]\nprovider = 'ibm'\napi_key = ['{CANARY}']\n")),
        ("an unknown key", format!("[token.a]\nprovider = 'ibm'\napikey = '{CANARY}'\n")),
        ("an unknown provider", format!("[token.a]\nprovider = '{CANARY}'\n")),
        ("no TOML", format!("[token.a]\nprovider = 'ibm'\napi_key = {{ file = '{CANARY}\n")),
        ("no TOML at all", format!("{CANARY} {CANARY}\n")),
        (
            "a secret in a URL",
            format!(
                "[token.a]\nprovider = 'oauth'\ntoken_url = 'https://me:{CANARY}@as.example.com/t?code={CANARY}'\nclient_id = 'app'\nclient_secret = {{ env = 'X' }}\n"
            ),
        ),
        (
            "plain HTTP",
            format!(
                "[token.a]\nprovider = 'oauth'\ntoken_url = 'http://as.example.com/t?code={CANARY}'\nclient_id = 'app'\nclient_secret = {{ env = 'X' }}\n"
            ),
        ),
        ("a duplicate", format!("[token.a]\nprovider = 'ibm'\napi_key = '{CANARY}'\napi_key = '{CANARY}'\n")),
    ] {
        let home = Home::new();
        home.write(".config/unexpired/config.toml", &broken);
        let mut seen = Seen::default();
        for args in [
            &["token", "a", "-v"][..],
            &["status"],
            &["status", "--json"],
            &["probe", "a", "-v"],
            &["config", "check", "-v"],
        ] {
            seen.check(&home, args, false);
        }
        assert_eq!(seen.failures, 5, "{name}");
    }
}

#[test]
fn the_vendors_own_variables_are_not_shown() {
    let port = serve(Arc::new(awkward));
    let home = Home::new();
    let key = home.write("key.json", &format!(r#"{{"type":"service_account","private_key":"{CANARY}"}}"#));
    for mode in ["error", "echo", "html", "cut"] {
        let url = format!("http://127.0.0.1:{port}/{mode}");
        for (provider, variables) in [
            ("ibm", vec![("IBMCLOUD_API_KEY", CANARY), ("IBMCLOUD_IAM_API_ENDPOINT", &url)]),
            ("oauth", vec![("OAUTH_TOKEN_URL", &url), ("OAUTH_CLIENT_ID", "app"), ("OAUTH_CLIENT_SECRET", CANARY)]),
            ("google", vec![("GOOGLE_APPLICATION_CREDENTIALS", key.to_str().unwrap())]),
            (
                "entra",
                vec![
                    ("AZURE_TENANT_ID", "contoso.onmicrosoft.com"),
                    ("AZURE_CLIENT_ID", "aaaaaaaa-0000-4000-8000-000000000001"),
                    ("AZURE_CLIENT_SECRET", CANARY),
                    ("AZURE_AUTHORITY_HOST", &url),
                ],
            ),
        ] {
            let mut command = home.unexpired(&[
                "token",
                "--verbose",
                "--provider",
                provider,
                "--scope",
                "https://management.azure.com/.default",
            ]);
            let output = command.envs(variables).output().unwrap();
            let shown = text(&output.stdout) + &text(&output.stderr);
            assert!(!output.status.success() && !shown.contains(CANARY), "{provider} {mode}: {shown}");
        }
    }
}

#[derive(Debug, Default)]
struct Seen {
    failures: usize,
    successes: usize,
}

impl Seen {
    /// Runs the command. Nothing that it says may hold the canary, but for the answer where a token was asked for and minted.
    fn check(&mut self, home: &Home, args: &[&str], prints: bool) {
        let output = home.unexpired(args).env("THE_SECRET", CANARY).output().unwrap();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        let allowed = prints && output.status.success();
        assert!(!stderr.contains(CANARY) && !stderr.contains(SHORT), "{args:?}: {stderr}");
        assert!(allowed || !(stdout.contains(CANARY) || stdout.contains(SHORT)), "{args:?}: {stdout}");
        assert!(!stderr.contains("panicked"), "{args:?}: {stderr}");
        let code = output.status.code().unwrap();
        assert!((0..=5).contains(&code), "{args:?}: {code}");
        if output.status.success() {
            self.successes += 1;
        } else {
            self.failures += 1;
            let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: ")).collect();
            // `config check` tells all that is wrong, everything else the first.
            let several = args.contains(&"check");
            assert!(errors.len() == 1 || several && !errors.is_empty(), "{args:?}: {stderr}");
            assert!(errors[0].chars().count() <= 330, "{args:?}: {stderr}");
            assert!(stdout.is_empty(), "{args:?}: {stdout}");
        }
    }
}

const MODES: &[&str] = &[
    "ok", "error", "echo", "brief", "escaped", "denied", "html", "redirect", "garbage", "split", "expired", "down",
    "cut", "error200",
];

const ECHOES: &[&str] = &["error", "echo", "brief", "escaped", "denied", "error200"];

/// A token endpoint that says the wrong things, and always too much.
fn awkward(path: &str, request: &str) -> String {
    let mode = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    let json = "content-type: application/json\r\n";
    let echo = serde_json::Value::String(format!("you sent {request}, {CANARY}"));
    match mode {
        "ok" => response(
            "200 OK",
            json,
            &format!(
                r#"{{"access_token":"{CANARY}","token_type":"Bearer","expires_in":3600,"expiration":4102444800}}"#
            ),
        ),
        "error" => response(
            "400 Bad Request",
            json,
            &format!(r#"{{"error":"invalid_client","error_description":"bad secret {CANARY}"}}"#),
        ),
        "echo" => {
            response("401 Unauthorized", json, &format!(r#"{{"error":"invalid_client","error_description":{echo}}}"#))
        }
        // No long request before it that pushes the secret out of what is shown.
        "brief" | "escaped" => {
            let secret = if path.contains("/short") { SHORT } else { CANARY };
            let escaped: String = secret.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect();
            let secret = if mode == "brief" { secret } else { &escaped };
            let body = format!(r#"{{"error":"invalid_client","error_description":"bad credentials: {secret}"}}"#);
            response("401 Unauthorized", json, &body)
        }
        "denied" => {
            response("400 Bad Request", json, &format!(r#"{{"errorCode":"BXNIM0415E","errorMessage":{echo}}}"#))
        }
        "html" => response("200 OK", "content-type: text/html\r\n", &format!("<html>{CANARY}</html>")),
        "redirect" => response("302 Found", &format!("location: https://example.invalid/?t={CANARY}\r\n"), ""),
        "garbage" => response("200 OK", json, CANARY),
        "split" => response(
            "200 OK",
            json,
            &format!(r#"{{"access_token":"{CANARY}\r\nx: y","token_type":"Bearer","expires_in":60}}"#),
        ),
        "expired" => response(
            "200 OK",
            json,
            &format!(r#"{{"access_token":"{CANARY}","token_type":"Bearer","expires_in":0,"expiration":1}}"#),
        ),
        "down" => response("503 Service Unavailable", "retry-after: 60\r\n", CANARY),
        "error200" => response("200 OK", json, &format!(r#"{{"error":"invalid_grant","error_description":{echo}}}"#)),
        "refuse" => response(
            "401 Unauthorized",
            &format!(
                "www-authenticate: Bearer realm=\"{CANARY}\", error=\"invalid_token\", error_description=\"{CANARY} is no good\"\r\n"
            ),
            CANARY,
        ),
        _ => String::new(),
    }
}
