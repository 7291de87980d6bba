//! Programs that this project did not write ask `unexpired` for their tokens, as they are and through several lifetimes, and use them at
//! servers that refuse expired ones. What is set up here is what the guides in `docs/clients` say.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use unexpired_tests::cli::{Lab, Outcome, unexpired};
use unexpired_tests::clients::{from_npm, from_pip, from_pip_as, on_path};
use unexpired_tests::http::Request;
use unexpired_tests::resource::{Incoming, Reply, Resource, Scheme, reply};
use unexpired_tests::tls::TestCa;

/// How long the lab's tokens live, in seconds.
const LIFE: u32 = 2;
/// A bit more than three lives.
const SESSION: Duration = Duration::from_millis(6500);

/// Does it again and again through three lives.
fn through_lifetimes(mut once: impl FnMut()) {
    let end = Instant::now() + SESSION;
    while Instant::now() < end {
        once();
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Three tokens were used, and none was refused.
fn assert_fresh(server: &Resource) {
    let seen = server.seen();
    assert!(seen.accepted.len() >= 3, "{} tokens in three lifetimes", seen.accepted.len());
    assert_eq!(seen.refused, 0, "tokens were refused");
}

fn good(outcome: &Outcome) {
    assert!(outcome.ok, "{}\n{}", outcome.stdout, outcome.stderr);
}

fn program() -> &'static str {
    unexpired().to_str().unwrap()
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

// git

/// A repository that git's own server serves.
fn repository(lab: &Lab, git: &str) -> impl Fn(&Incoming) -> Reply + use<> {
    let folder = lab.home().join("r.git");
    let work = lab.home().join("work");
    let name = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"];
    let at = ["-C", work.to_str().unwrap()];
    good(&lab.run(&[&[git][..], &name, &["init", "--quiet", work.to_str().unwrap()]].concat(), &[]));
    good(&lab.run(&[&[git][..], &name, &at, &["commit", "--quiet", "--allow-empty", "-m", "one"]].concat(), &[]));
    good(&lab.run(&[git, "clone", "--quiet", "--bare", work.to_str().unwrap(), folder.to_str().unwrap()], &[]));
    let (git, root) = (git.to_owned(), lab.home().to_owned());
    move |request: &Incoming| {
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let header = |name: &str| request.header(name).unwrap_or_default();
        let mut backend = Command::new(&git)
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("REQUEST_METHOD", &request.method)
            .env("CONTENT_TYPE", header("content-type"))
            .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
            .env("HTTP_GIT_PROTOCOL", header("git-protocol"))
            .env("CONTENT_LENGTH", request.body.len().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        backend.stdin.take().unwrap().write_all(&request.body).unwrap();
        let output = backend.wait_with_output().unwrap().stdout;
        let end = output.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        let head = String::from_utf8_lossy(&output[..end]).into_owned();
        let content_type = head.lines().find_map(|line| line.strip_prefix("Content-Type: "));
        let status = head.lines().find_map(|line| line.strip_prefix("Status: ")?.get(..3)?.parse().ok());
        reply(status.unwrap_or(200), content_type.unwrap_or("text/plain"), &output[end + 4..])
    }
}

const GIT: [(&str, &str); 2] = [("GIT_TERMINAL_PROMPT", "0"), ("GIT_CONFIG_NOSYSTEM", "1")];

#[test]
fn git_clones_and_lists_through_lifetimes() {
    let Some(git) = on_path("git") else { return };
    for (challenges, scheme) in [
        (&["Basic realm=\"r\""][..], Scheme::Basic),
        // Only newer ones can send Bearer.
        (
            &["Bearer realm=\"r\"", "Basic realm=\"r\""],
            if knows_authtype(&git) { Scheme::Bearer } else { Scheme::Basic },
        ),
    ] {
        let lab = Lab::start(LIFE);
        let server = Resource::start(None, challenges, lab.guard(), repository(&lab, &git));
        let setting = format!("credential.{}.helper", server.url());
        let helper = format!("!{} helper git", program());
        good(&lab.run(&[&git, "config", "--global", &setting, &helper], &GIT));
        let url = format!("{}/r.git", server.url());
        good(&lab.run(&[&git, "clone", "--quiet", &url, "cloned"], &GIT));
        through_lifetimes(|| {
            let listed = lab.run(&[&git, "ls-remote", &url], &GIT);
            good(&listed);
            assert!(listed.stdout.contains("refs/heads/main") && listed.stderr.is_empty(), "{listed:?}");
        });
        assert_fresh(&server);
        assert_eq!(server.seen().scheme, Some(scheme));
    }
}

/// `fill`, `approve` and `reject` as scripts use them; and the name that `credential.helper = unexpired` makes.
#[test]
fn git_credential_fills_with_an_expiry_and_asks_nobody_else_about_our_host() {
    let Some(git) = on_path("git") else { return };
    let lab = Lab::start(60);
    lab.link("git-credential-unexpired");
    good(&lab.run(&[&git, "config", "--global", "credential.helper", "unexpired"], &GIT));
    let credential = |operation: &str, host: &str, more: &str| {
        let script = format!("printf 'protocol=http\\nhost={host}\\n{more}' | {git} credential {operation}");
        lab.run(&["sh", "-c", &script], &GIT)
    };
    let filled = credential("fill", "127.0.0.1:80", "");
    good(&filled);
    let field = |name: &str| filled.stdout.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let password = field("password=").unwrap();
    assert!(lab.accepts(&password));
    if let Some(expiry) = field("password_expiry_utc=") {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let left = expiry.parse::<u64>().unwrap() - now;
        assert!((40..=58).contains(&left), "{left} s, less than the token's own 60");
    }
    for operation in ["approve", "reject"] {
        let outcome = credential(operation, "127.0.0.1:80", &format!("username=oauth2\\npassword={password}\\n"));
        assert!(outcome.ok && outcome.stderr.is_empty(), "{outcome:?}");
    }
    // A host that no token is for: git goes on by itself, and may not ask.
    let other = credential("fill", "localhost:80", "");
    assert!(!other.ok && other.stderr.contains("terminal prompts disabled"), "{other:?}");
    // Our host, and no token to be had: git stops.
    lab.configure("lab-oauth", "[token.down]\nprovider = 'oauth'\ntoken_url = 'http://127.0.0.1:1/t'\nclient_id = 'c'\nclient_secret = { env = 'HOME' }\nhosts = ['localhost']\n");
    let down = credential("fill", "localhost:80", "");
    assert!(!down.ok && down.stderr.contains("told us to quit") && down.stderr.contains("error: down: "), "{down:?}");
}

fn knows_authtype(git: &str) -> bool {
    let version = Command::new(git).arg("version").output().unwrap();
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= (2, 46)
}

// Kubernetes

fn kubeconfig(lab: &Lab, server: &Resource, ca: &TestCa, args: &str, more: &str) -> String {
    let path = lab.home().join(".kube/config");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: prod\n\
         clusters:\n- name: prod\n  cluster:\n    server: {}\n    certificate-authority: {}\n\
         contexts:\n- name: prod\n  context:\n    cluster: prod\n    user: prod\n\
         users:\n- name: prod\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/{VERSION}\n      command: {}\n      args: [{args}]\n      interactiveMode: Never\n{more}",
        server.url(),
        ca.ca_file().display(),
        program(),
        VERSION = "v1beta1",
    );
    write(&path, &text);
    path.to_str().unwrap().to_owned()
}

fn kubernetes(request: &Incoming) -> Reply {
    let object =
        json!({ "kind": "ConfigMapList", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": [] });
    let _ = request;
    reply(200, "application/json", object.to_string())
}

const CONFIGMAPS: &str = "/api/v1/namespaces/default/configmaps";

#[test]
fn kubectl_runs_the_plugin_each_time_it_starts() {
    let Some(kubectl) = on_path("kubectl") else { return };
    let (lab, ca) = (Lab::start(LIFE), TestCa::new());
    let server = Resource::start(Some(&ca), &[], lab.guard(), kubernetes);
    // The cluster's host picks the token.
    let config = kubeconfig(&lab, &server, &ca, "helper, kubectl", "      provideClusterInfo: true\n");
    through_lifetimes(|| {
        let got = lab.run(&[&kubectl, "--kubeconfig", &config, "get", "--raw", CONFIGMAPS], &[]);
        good(&got);
        assert!(got.stdout.contains("ConfigMapList") && got.stderr.is_empty(), "{got:?}");
    });
    assert_fresh(&server);

    // Another cluster gets nothing.
    let other = config.replace("config", "other");
    write(Path::new(&other), &fs::read_to_string(&config).unwrap().replace("https://127.0.0.1", "https://localhost"));
    let refused = lab.run(&[&kubectl, "--kubeconfig", &other, "get", "--raw", CONFIGMAPS], &[]);
    assert!(!refused.ok && refused.stderr.contains("no token is for the cluster localhost"), "{refused:?}");
    assert_eq!(server.seen().refused, 0);
}

/// One process through many lifetimes: client-go runs the plugin again when the expiry has come that it was told.
#[test]
fn kubectl_proxy_goes_on_through_lifetimes_and_a_revocation() {
    let Some(kubectl) = on_path("kubectl") else { return };
    let (lab, ca) = (Lab::start(3), TestCa::new());
    let server = Resource::start(Some(&ca), &[], lab.guard(), kubernetes);
    let config = kubeconfig(&lab, &server, &ca, "helper, kubectl, corp", "");
    let mut proxy = lab.start_client(&[&kubectl, "--kubeconfig", &config, "proxy", "--port", "0"], &[]);
    let address = proxy.says(|said| Some(said.lines().next()?.strip_prefix("Starting to serve on ")?.to_owned()));
    let ask = || Request::get(format!("http://{address}{CONFIGMAPS}")).send().unwrap().status;
    let end = Instant::now() + Duration::from_secs(12);
    while Instant::now() < end {
        assert_eq!(ask(), 200);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_fresh(&server);
    // The 401 reaches the caller; the plugin is run again for the next request.
    lab.revoke_all();
    let answers: Vec<u16> = (0..3).map(|_| ask()).collect();
    assert_eq!(answers, [401, 200, 200]);
}

// curl

#[test]
fn curl_sends_the_header_that_is_printed() {
    let Some(curl) = on_path("curl") else { return };
    let lab = Lab::start(LIFE);
    let server = Resource::start(None, &["Bearer"], lab.guard(), |_| reply(200, "text/plain", "hello"));
    let script =
        format!("{} token corp --format header | {curl} --silent --fail --header @- {}/x", program(), server.url());
    through_lifetimes(|| {
        let got = lab.run(&["sh", "-c", &script], &[]);
        good(&got);
        assert_eq!((got.stdout.as_str(), got.stderr.as_str()), ("hello", ""));
    });
    assert_fresh(&server);
    assert_eq!(server.seen().bare, 0);
}

// cargo

/// A sparse registry with one crate.
fn registry(request: &Incoming) -> Reply {
    let host = request.header("host").unwrap_or_default();
    let path = request.target.split('?').next().unwrap_or_default();
    match path {
        "/index/config.json" => {
            let config =
                json!({ "dl": format!("http://{host}/dl"), "api": format!("http://{host}"), "auth-required": true });
            reply(200, "application/json", config.to_string())
        }
        "/index/pa/ck/packaged" => {
            let line = json!({ "name": "packaged", "vers": "1.2.3", "deps": [], "cksum": "0".repeat(64), "features": {}, "yanked": false });
            reply(200, "text/plain", format!("{line}\n"))
        }
        "/api/v1/crates" => {
            let found = json!({ "crates": [{ "name": "packaged", "max_version": "1.2.3", "description": "one" }], "meta": { "total": 1 } });
            reply(200, "application/json", found.to_string())
        }
        _ => reply(404, "text/plain", ""),
    }
}

#[test]
fn cargo_searches_and_resolves_by_both_forms() {
    let Some(cargo) = on_path("cargo") else { return };
    let stdout_form = format!("[\"cargo:token-from-stdout\", {0:?}, \"helper\", \"cargo\"]", program());
    let json_form = format!("[{0:?}, \"--min-ttl\", \"1s\"]", program());
    for provider in [json_form, stdout_form] {
        let lab = Lab::start(LIFE);
        let guard = lab.guard();
        // cargo sends what the provider says, whole.
        let server = Resource::start(None, &["Bearer"], guard, registry);
        let home = lab.home().join("cargo");
        write(
            &home.join("config.toml"),
            &format!(
                "[registries.corp]\nindex = \"sparse+{}/index/\"\ncredential-provider = {provider}\n",
                server.url()
            ),
        );
        let package = lab.home().join("package");
        write(&package.join("src/lib.rs"), "");
        write(
            &package.join("Cargo.toml"),
            "[package]\nname = \"p\"\nedition = \"2021\"\n[dependencies]\npackaged = { version = \"1\", registry = \"corp\" }\n",
        );
        let toolchain = ["RUSTUP_HOME", "RUSTUP_TOOLCHAIN"].map(|name| (name, std::env::var(name).unwrap_or_default()));
        let rustup =
            std::env::var("RUSTUP_HOME").unwrap_or_else(|_| format!("{}/.rustup", std::env::var("HOME").unwrap()));
        let mut environment = vec![("CARGO_HOME", home.to_str().unwrap()), ("RUSTUP_HOME", rustup.as_str())];
        environment.extend(
            toolchain
                .iter()
                .skip(1)
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (*name, value.as_str())),
        );
        let manifest = package.join("Cargo.toml");
        good(&lab.run(&[&cargo, "generate-lockfile", "--manifest-path", manifest.to_str().unwrap()], &environment));
        assert!(fs::read_to_string(package.join("Cargo.lock")).unwrap().contains("packaged"));
        through_lifetimes(|| {
            let found = lab.run(&[&cargo, "search", "--registry", "corp", "packaged"], &environment);
            good(&found);
            assert!(found.stdout.starts_with("packaged = \"1.2.3\""), "{found:?}");
        });
        assert_fresh(&server);
        assert_eq!(server.seen().scheme, Some(Scheme::Bearer));
    }
}
