//! `unexpired doctor` in homes where something is wrong, and in such where nothing is.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "in a test a panic is the report")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use support::{Home, text};
use unexpired_testkit::{IdentityProvider, defaults};

/// A value that is in every file and variable of these tests, and in no finding.
const VALUE: &str = "sk-never-shown-5f2c";

/// The command's lines and exit code, in a home with these files (path, text, mode) and variables.
fn doctor(
    home: &Home,
    args: &[&str],
    files: &[(&str, &str, u32)],
    variables: &[(&str, &str)],
) -> (String, Option<i32>) {
    for (path, text, mode) in files {
        let path = home.write(path, &text.replace("{home}", &home.path().display().to_string()));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(*mode)).unwrap();
    }
    let output = home.unexpired(&[&["doctor"], args].concat()).envs(variables.iter().copied()).output().unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(stderr, "", "{args:?}");
    assert!(!stdout.contains(VALUE), "{stdout}");
    (stdout, output.status.code())
}

/// One case of a client: files, variables, and the findings: `level` and a part of the line.
type Case<'a> = (&'a [(&'a str, &'a str, u32)], &'a [(&'a str, &'a str)], &'a [&'a str]);

fn client(name: &str, cases: &[Case<'_>]) {
    for (files, variables, expected) in cases {
        let home = Home::new();
        let (lines, code) = doctor(&home, &["--as", name], files, variables);
        let own: Vec<&str> = lines.lines().filter(|line| line.contains(&format!("  {name}: "))).collect();
        for part in *expected {
            let (level, part) = part.split_once(' ').unwrap();
            let found = own.iter().any(|line| line.starts_with(level) && line.contains(part));
            assert!(found, "{name}: no `{level} … {part}` in\n{}", own.join("\n"));
        }
        let fails = expected.iter().filter(|part| part.starts_with("fail ")).count();
        assert_eq!(own.iter().filter(|line| line.starts_with("fail ")).count(), fails, "{name}:\n{}", own.join("\n"));
        let failed = lines.lines().any(|line| line.starts_with("fail "));
        assert_eq!(code, Some(i32::from(failed)), "{lines}");
        for line in own.iter().filter(|line| !line.starts_with("ok ")) {
            assert!(line.contains("; "), "a remedy for each: {line}");
        }
    }
}

/// A helper that anybody may start, and its owner alone may write.
const HELPER: (&str, &str, u32) = ("bin/unexpired", "#!/bin/sh\n", 0o755);

#[test]
fn a_machine_where_all_is_well() {
    let idp = IdentityProvider::blocking_start().unwrap();
    let home = Home::new();
    home.write("secret", defaults::CLIENT_SECRET);
    let config = format!(
        "[token.corp]\nprovider = 'oauth'\ntoken_url = '{}'\nclient_id = '{}'\nclient_secret = {{ file = '{{home}}/secret' }}\nhosts = ['127.0.0.1']\n",
        idp.oauth_token_url(),
        defaults::CLIENT_ID
    );
    let files = [(".config/unexpired/config.toml", config.as_str(), 0o600)];
    let (lines, code) = doctor(&home, &[], &files, &[]);
    assert_eq!(code, Some(0), "{lines}");
    for part in
        ["ok    version: unexpired ", "is not there yet", "records: none yet", "1 token, 0 routes", "certificates: "]
    {
        assert!(lines.contains(part), "{part}: {lines}");
    }
    assert!(!home.path().join("store").exists(), "nothing is made");
    idp.assert_mints(0);

    assert!(home.run(&["token", "corp"]).status.success());
    let (lines, code) = doctor(&home, &[], &[], &[]);
    assert_eq!(code, Some(0), "{lines}");
    assert!(lines.contains("ok    token: corp: kept, and good for use") && lines.contains("yours alone"), "{lines}");
    let (object, code) = doctor(&home, &["--json"], &[], &[]);
    assert!(object.starts_with('{') && object.contains("\"ok\": true"), "{object}");
    assert_eq!(code, Some(0));
    idp.assert_mints(1);

    // The secret is another, and refused.
    home.write("secret", VALUE);
    assert_eq!(home.run(&["token", "corp"]).status.code(), Some(4));
    let (lines, code) = doctor(&home, &[], &[], &[]);
    assert_eq!(code, Some(1), "{lines}");
    assert!(lines.contains("fail  token: corp: oauth at 127.0.0.1: invalid_client"), "{lines}");
    idp.assert_not_shown(&lines);
}

#[test]
fn what_is_wrong_with_the_machine() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let token = "[token.a]\nprovider = 'ibm'\napi_key = { file = '{home}/key' }\nhosts = ['127.0.0.1']\n";
    let route = format!("{token}[route.r]\ntoken = 'a'\nupstream = 'http://127.0.0.1:1/'\nport = {port}\n");
    let key = ("key", VALUE, 0o600);
    let config = |text| (".config/unexpired/config.toml", text, 0o600);
    type Row<'a> = (Vec<(&'a str, &'a str, u32)>, Vec<(&'a str, &'a str)>, &'a str);
    let rows: Vec<Row<'_>> = vec![
        (vec![], vec![], "warn  config: "),
        (vec![config("[token.a]\nprovider = 'ibn'\n[token.b]\n")], vec![], "config.toml:2: "),
        (vec![(".config/unexpired/config.toml", "", 0o666)], vec![], "can be written by everybody"),
        (vec![config(token)], vec![], "key does not exist; put the secret there"),
        (vec![config(token), ("key", VALUE, 0o644)], vec![], "warn  config: "),
        (vec![config(&route), key], vec![], "is taken by another program"),
        (
            vec![("store/x.lock", "", 0o600), ("store/a.unreadable", VALUE, 0o600)],
            vec![],
            "a damaged record was put aside",
        ),
        (vec![("store/proxy-keys.json", VALUE, 0o644)], vec![], "fail  store: "),
        (vec![], vec![("UNEXPIRED_STORE", "relative")], "UNEXPIRED_STORE is a relative path"),
        (vec![], vec![("HOME", "/somewhere/else")], "warn  home: "),
        (vec![], vec![("SSL_CERT_FILE", "/no/such/bundle.pem")], "fail  certificates: "),
        (vec![], vec![("UNEXPIRED_STORE", ""), ("CI", "true")], "later jobs of the same user find its tokens"),
    ];
    for (files, variables, part) in rows {
        let home = Home::new();
        if home.path().join("store").exists() || files.iter().any(|(path, ..)| path.starts_with("store/")) {
            std::fs::create_dir_all(home.path().join("store")).unwrap();
            std::fs::set_permissions(home.path().join("store"), std::fs::Permissions::from_mode(0o700)).unwrap();
        }
        let (lines, code) = doctor(&home, &[], &files, &variables);
        assert!(lines.contains(part), "{part}: {lines}");
        assert_eq!(code, Some(i32::from(lines.lines().any(|line| line.starts_with("fail ")))), "{lines}");
    }
    let home = Home::new();
    home.write("store/x", "");
    std::fs::set_permissions(home.path().join("store"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (lines, code) = doctor(&home, &[], &[], &[]);
    assert!(lines.contains("is open to others; close it with chmod 700"), "{lines}");
    assert_eq!(code, Some(1));
}

#[test]
fn codex() {
    const FILE: &str = ".codex/config.toml";
    let auth = "model_provider = 'corp'\n[model_providers.corp]\nbase_url = 'https://gw.example.com/v1'\n[model_providers.corp.auth]\ncommand = '{home}/bin/unexpired'\n";
    let proxy = "model_provider = 'corp'\n[model_providers.corp]\nbase_url = 'http://127.0.0.1:8639/gov'\n";
    let key = format!("{auth}\n[model_providers.corp.x]\n").replace(
        "[model_providers.corp.auth]",
        &format!("experimental_bearer_token = '{VALUE}'\n[model_providers.corp.auth]"),
    );
    let no_auth = proxy.replace("http://127.0.0.1:8639", "https://gw.example.com");
    client(
        "codex",
        &[
            (&[], &[], &["fail config.toml is not there"]),
            (&[(FILE, proxy, 0o600)], &[], &["ok corp goes through this machine"]),
            (&[(FILE, auth, 0o600), HELPER], &[], &["warn without a credential"]),
            (&[(FILE, auth, 0o600)], &[], &["fail bin/unexpired is not there", "warn without a credential"]),
            (&[(FILE, auth, 0o600), ("bin/unexpired", "", 0o777)], &[], &["fail could be another's"]),
            (&[(FILE, &key, 0o600), HELPER], &[], &["fail both `auth` and `experimental_bearer_token`"]),
            (&[(FILE, &no_auth, 0o600)], &[], &["fail has no `auth`"]),
            (&[(FILE, "model = 'x'", 0o600)], &[], &["fail no `model_provider` is chosen"]),
            (&[(FILE, "model_provider = 'x'", 0o600)], &[], &["fail [model_providers.x] is chosen and not there"]),
            (&[(FILE, "model_provider = ", 0o600)], &[], &["fail cannot be read"]),
            (
                &[(FILE, proxy, 0o622), (".codex/auth.json", VALUE, 0o644)],
                &[],
                &["fail config.toml can be written by others", "fail auth.json can be read", "warn keeps a login"],
            ),
        ],
    );
    let home = Home::new();
    let (lines, _) = doctor(
        &home,
        &["--as", "codex"],
        &[("c/config.toml", proxy, 0o600)],
        &[("CODEX_HOME", home.path().join("c").to_str().unwrap())],
    );
    assert!(lines.contains("goes through this machine"), "{lines}");
}

#[test]
fn claude() {
    const FILE: &str = ".claude/settings.json";
    let helper = r#"{"apiKeyHelper":"{home}/bin/unexpired token corp"}"#;
    let proxy = r#"{"env":{"ANTHROPIC_BASE_URL":"http://127.0.0.1:8639/gov"}}"#;
    let both =
        format!(r#"{{"apiKeyHelper":"{{home}}/bin/unexpired token corp","env":{{"ANTHROPIC_API_KEY":"{VALUE}"}}}}"#);
    client(
        "claude",
        &[
            (&[], &[], &["fail neither `apiKeyHelper` nor"]),
            (&[(FILE, proxy, 0o600)], &[], &["ok nothing shadows it"]),
            (&[(FILE, proxy, 0o600)], &[("ANTHROPIC_AUTH_TOKEN", VALUE)], &["ok nothing shadows it"]),
            (&[(FILE, helper, 0o600), HELPER], &[], &["warn empty credential"]),
            (
                &[(FILE, helper, 0o600), HELPER],
                &[("ANTHROPIC_API_KEY", VALUE)],
                &["fail carry two identities; unset ANTHROPIC_API_KEY"],
            ),
            (&[(FILE, &both, 0o600), HELPER], &[], &["fail requests carry both"]),
            (&[(FILE, proxy, 0o600)], &[("CLAUDE_CODE_USE_VERTEX", "1")], &["fail CLAUDE_CODE_USE_VERTEX"]),
            (&[(FILE, proxy, 0o600), (".claude/.credentials.json", VALUE, 0o600)], &[], &["warn keeps a login"]),
            (
                &[(FILE, r#"{"apiKeyHelper":"unexpired token corp"}"#, 0o600)],
                &[],
                &["warn absolute path", "warn empty credential"],
            ),
        ],
    );
}

#[test]
fn copilot() {
    const FILE: &str = ".copilot/providers.json";
    let proxy = ("COPILOT_PROVIDER_BASE_URL", "http://127.0.0.1:8639/gov");
    let ignored = r#"{"providers":[{"name":"corp","baseUrl":"https://gw.example.com","apiKeyCommand":"x"}]}"#;
    let fixed = format!(r#"{{"providers":[{{"name":"corp","baseUrl":"https://gw.example.com","apiKey":"{VALUE}"}}]}}"#);
    client(
        "copilot",
        &[
            (&[], &[], &["fail COPILOT_PROVIDER_BASE_URL is not set"]),
            (&[], &[proxy, ("COPILOT_PROVIDER_API_KEY", VALUE)], &["ok nothing shadows it"]),
            (
                &[],
                &[
                    proxy,
                    ("COPILOT_PROVIDER_API_KEY_COMMAND", "/bin/sh -c x"),
                    ("COPILOT_PROVIDER_BEARER_TOKEN", VALUE),
                ],
                &["fail wins over the command without a word"],
            ),
            (
                &[],
                &[
                    ("COPILOT_PROVIDER_BASE_URL", "https://x.example"),
                    ("COPILOT_PROVIDER_TYPE", "azure"),
                    ("COPILOT_PROVIDER_API_KEY_COMMAND", "/bin/sh"),
                ],
                &["fail sends the token as `api-key`"],
            ),
            (
                &[],
                &[("COPILOT_PROVIDER_BASE_URL", "https://x.example"), ("COPILOT_PROVIDER_API_KEY", VALUE)],
                &["fail a fixed credential"],
            ),
            (&[(FILE, ignored, 0o600)], &[], &["fail is ignored: requests go without"]),
            (&[(FILE, &fixed, 0o644)], &[], &["fail can be read by others", "warn has a fixed credential"]),
        ],
    );
}

#[test]
fn pi() {
    const MODELS: &str = ".pi/agent/models.json";
    const LOGINS: &str = ".pi/agent/auth.json";
    let good = r#"{"providers":{"corp":{"baseUrl":"https://gw.example.com/v1","api":"openai-completions","apiKey":"!{home}/bin/unexpired token corp"}}}"#;
    let anthropic = good.replace("openai-completions", "anthropic-messages");
    let login = format!(r#"{{"corp":{{"type":"api_key","key":"{VALUE}"}}}}"#);
    let openai = r#"{"providers":{"openai":{"baseUrl":"http://127.0.0.1:8639/gov","apiKey":"x"}}}"#;
    client(
        "pi",
        &[
            (&[(MODELS, good, 0o600), HELPER], &[], &["ok nothing shadows it"]),
            (
                &[(MODELS, good, 0o600), HELPER, (LOGINS, &login, 0o600)],
                &[],
                &["fail wins over models.json; pi auth logout corp"],
            ),
            (&[(MODELS, &anthropic, 0o600), HELPER], &[], &["warn \"authHeader\": true"]),
            (&[(MODELS, openai, 0o600)], &[("OPENAI_API_KEY", VALUE)], &["fail OPENAI_API_KEY is set, and wins"]),
            (&[(MODELS, "{}", 0o600)], &[], &["fail no provider in models.json"]),
            (
                &[(MODELS, good, 0o600), HELPER, (LOGINS, r#"{"z":{"key":"!x"}}"#, 0o640)],
                &[],
                &["fail run once, and its answer kept", "fail can be read by others"],
            ),
        ],
    );
}

#[test]
fn openclaw() {
    const FILE: &str = ".openclaw/openclaw.json";
    let exec = r#"{"secrets":{"providers":{"t":{"source":"exec","command":"{home}/link"}}},"models":{"providers":{"corp":{"baseUrl":"https://gw.example.com","apiKey":{"source":"exec","provider":"t","id":"corp"}}}}}"#;
    let home = Home::new();
    home.write("bin/unexpired", "");
    std::os::unix::fs::symlink("bin/unexpired", home.path().join("link")).unwrap();
    let (lines, code) = doctor(&home, &["--as", "openclaw"], &[(FILE, exec, 0o600)], &[]);
    assert!(lines.contains("link is a symbolic link, which OpenClaw refuses"), "{lines}");
    assert!(lines.contains("warn  openclaw: the secret of corp is asked for at the start"), "{lines}");
    assert_eq!(code, Some(1));
    let relative = exec.replace("{home}/link", "unexpired");
    client(
        "openclaw",
        &[
            (&[], &[], &["fail openclaw.json is not there"]),
            (&[(FILE, "{ // json5\n}", 0o600)], &[], &["warn is JSON5"]),
            (&[(FILE, &relative, 0o600)], &[], &["fail is no absolute path"]),
        ],
    );
}

#[test]
fn gemini() {
    let proxy = ("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:8639/gov");
    client(
        "gemini",
        &[
            (&[], &[proxy], &["ok nothing shadows it"]),
            (&[], &[("GOOGLE_GEMINI_BASE_URL", "https://x.example")], &["fail does not lead to the proxy"]),
            (&[], &[proxy, ("GOOGLE_API_KEY", VALUE)], &["fail GOOGLE_API_KEY is set"]),
            (
                &[
                    (".gemini/settings.json", r#"{"security":{"auth":{"selectedType":"oauth-personal"}}}"#, 0o600),
                    (".gemini/oauth_creds.json", VALUE, 0o600),
                ],
                &[proxy],
                &["fail chooses a sign-in", "warn keeps a login"],
            ),
        ],
    );
}

#[test]
fn opencode() {
    const FILE: &str = ".config/opencode/opencode.json";
    let proxy = r#"{"provider":{"corp":{"options":{"baseURL":"http://127.0.0.1:8639/gov","apiKey":"x"}}}}"#;
    let direct = proxy.replace("http://127.0.0.1:8639", "https://gw.example.com");
    let login = format!(r#"{{"corp":{{"type":"api","key":"{VALUE}"}}}}"#);
    client(
        "opencode",
        &[
            (&[(FILE, proxy, 0o600)], &[], &["ok nothing shadows it"]),
            (&[], &[], &["fail opencode.json is not there"]),
            (&[(FILE, &direct, 0o600)], &[], &["fail leads to the proxy", "warn is read once"]),
            (
                &[(FILE, proxy, 0o600), (".local/share/opencode/auth.json", &login, 0o600)],
                &[],
                &["fail has a login for corp"],
            ),
        ],
    );
}

#[test]
fn goose() {
    const FILE: &str = ".config/goose/config.yaml";
    let proxy = "GOOSE_PROVIDER: openai\nOPENAI_HOST: http://127.0.0.1:8639/gov\n";
    client(
        "goose",
        &[
            (&[(FILE, proxy, 0o600)], &[], &["ok nothing shadows it"]),
            (&[(FILE, "GOOSE_PROVIDER: openai\n", 0o600)], &[], &["fail leads to the proxy"]),
            (
                &[(FILE, "GOOSE_PROVIDER: azure_openai\nAZURE_OPENAI_ENDPOINT: 'http://127.0.0.1:8639/gov'\n", 0o600)],
                &[("AZURE_OPENAI_AD_TOKEN", VALUE)],
                &["fail AZURE_OPENAI_AD_TOKEN is set"],
            ),
            (
                &[(FILE, proxy, 0o600), (".config/goose/secrets.yaml", VALUE, 0o644)],
                &[],
                &["fail can be read by others", "warn keeps fixed keys"],
            ),
        ],
    );
}
