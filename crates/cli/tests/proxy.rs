//! `unexpired proxy` as a process: what it serves, its keys, its end.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the report")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{Home, text};
use unexpired_testkit::{IdentityProvider, defaults};

/// A home with a token that is never exported, and a route to a resource server.
fn home(idp: &IdentityProvider, more: &str) -> Home {
    let home = Home::new();
    let secret = home.write("secret", defaults::CLIENT_SECRET);
    let config = format!(
        "[token.corp]\nprovider = 'oauth'\ntoken_url = '{}'\nclient_id = '{}'\nclient_secret = {{ file = '{}' }}\nhosts = ['127.0.0.1']\n\
         export = 'never'\n\n[route.api]\ntoken = 'corp'\nupstream = '{}'\n\n{more}",
        idp.oauth_token_url(),
        defaults::CLIENT_ID,
        secret.display(),
        idp.resource_server().url(),
    );
    home.write(".config/unexpired/config.toml", &config);
    home
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The command with a state folder of this home: the passwd entry would name another.
fn unexpired(home: &Home, args: &[&str]) -> Command {
    let mut command = home.unexpired(args);
    command.env("UNEXPIRED_STORE", home.path().join("state"));
    command
}

fn run(home: &Home, args: &[&str]) -> (Option<i32>, String, String) {
    let output = unexpired(home, args).output().unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// A proxy that was told to end when this is dropped.
struct Serving {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    said: String,
}

impl Serving {
    fn start(home: &Home, args: &[&str]) -> Self {
        let mut child = unexpired(home, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("a client's key") {
            assert!(stderr.read_line(&mut said).unwrap() > 0, "{said}");
        }
        Self { child, stderr, said }
    }

    fn end(mut self) -> (Option<i32>, String) {
        let told = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(told.success());
        let code = self.child.wait().unwrap().code();
        let mut said = std::mem::take(&mut self.said);
        self.stderr.read_to_string(&mut said).unwrap();
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        assert_eq!(stdout, "", "stdout carries the answer, and there is none");
        (code, said)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// Status and body of a GET.
fn get(port: u16, path: &str, key: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let header = if key.is_empty() { String::new() } else { format!("authorization: Bearer {key}\r\n") };
    write!(stream, "GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n{header}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn a_route_is_served_with_a_key_that_a_running_proxy_lets_be_rotated() {
    let idp = IdentityProvider::builder().lifetime(Duration::from_secs(3)).blocking_start().unwrap();
    let home = home(&idp, "");
    let port = free_port();
    let proxy = Serving::start(&home, &["proxy", "api", "--port", &port.to_string(), "--verbose"]);
    assert!(proxy.said.contains(&format!("serving http://127.0.0.1:{port}/api → ")), "{}", proxy.said);

    let (code, key, stderr) = run(&home, &["proxy", "key", "api"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let key = key.trim_end();
    assert!(key.starts_with("unx-") && key.len() == 47, "{key}");
    assert_eq!(run(&home, &["proxy", "key", "api"]).1.trim_end(), key, "it stays");
    let file = home.path().join("state/proxy-keys.json");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    assert_eq!(get(port, "/-/healthz", "").0, 200);
    assert_eq!(get(port, "/-/readyz", "").0, 200);
    let (status, body) = get(port, "/api/v1/x", key);
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("\"ok\":true"));
    assert_eq!(get(port, "/api/v1/x", "unx-wrong").0, 401);
    assert_eq!(get(port, "/other/v1/x", key).0, 404);
    // Longer than the token lives, and across a revocation.
    idp.revoke_all();
    for _ in 0..8 {
        assert_eq!(get(port, "/api/v1/x", key).0, 200);
        std::thread::sleep(Duration::from_millis(500));
    }

    let (_, newer, _) = run(&home, &["proxy", "key", "api", "--rotate"]);
    assert_ne!(newer.trim_end(), key);
    assert_eq!(get(port, "/api/", newer.trim_end()).0, 200, "a running proxy notices");
    assert_eq!(get(port, "/api/", key).0, 200, "the old key is honoured for a while");

    let (_, admin, _) = run(&home, &["proxy", "key", "--metrics"]);
    assert_eq!(get(port, "/-/metrics", key).0, 401);
    let (status, page) = get(port, "/-/metrics", admin.trim_end());
    assert_eq!(status, 200);
    assert!(page.contains("unexpired_proxy_recovered_total{route=\"api\"} 1"), "{page}");
    assert!(page.contains("unexpired_token_mints_total{token=\"corp\"}"), "{page}");

    #[cfg(target_os = "linux")]
    {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", proxy.child.id())).unwrap();
        let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().filter(|word| *word == "0").count(), 2, "{core}");
    }
    let (code, said) = proxy.end();
    assert_eq!(code, Some(0), "{said}");
    for secret in [key, newer.trim_end(), admin.trim_end(), defaults::CLIENT_SECRET] {
        assert!(!said.contains(secret), "{said}");
    }
    idp.assert_not_shown(&said);
}

#[test]
fn routes_with_a_place_of_their_own() {
    let idp = IdentityProvider::blocking_start().unwrap();
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("s.sock");
    let url = idp.resource_server().url().to_owned();
    let more = format!(
        "[route.own]\ntoken = 'corp'\nupstream = '{url}'\nport = {port}\n\n[route.private]\ntoken = 'corp'\nupstream = '{url}'\nsocket = '{}'\n",
        socket.display()
    );
    let home = home(&idp, &more);
    let proxy = Serving::start(&home, &["proxy", "own", "private"]);
    assert!(proxy.said.contains(&format!("serving http://127.0.0.1:{port} → ")), "{}", proxy.said);
    assert!(proxy.said.contains(&format!("serving unix:{} → ", socket.display())), "{}", proxy.said);
    let key = run(&home, &["proxy", "key", "own"]).1;
    assert_eq!(get(port, "/v1/x", key.trim_end()).0, 200);
    assert_ne!(run(&home, &["proxy", "key", "private"]).1, key);
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(proxy.end().0, Some(0));
    assert!(!socket.exists());
    idp.assert_mints(1);
}

#[test]
fn what_cannot_be_served_is_told_with_what_to_do() {
    let idp = IdentityProvider::blocking_start().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let plain = home(&idp, "");
    let (code, _, stderr) = run(&plain, &["proxy", "--port", &port]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("is taken by another program") && stderr.contains("--port PORT"), "{stderr}");

    for args in [
        &["proxy", "nothing"][..],
        &["proxy", "key", "nothing"],
        &["proxy", "key"],
        &["proxy", "key", "api", "--metrics"],
    ] {
        let (code, stdout, stderr) = run(&plain, args);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{args:?}: {stderr}");
    }
    assert!(run(&plain, &["proxy", "nothing"]).2.contains("has no route `nothing`; it has api"));

    let stray = home(&idp, "[route.stray]\ntoken = 'corp'\nupstream = 'https://elsewhere.example/v1'\n");
    let (code, _, stderr) = run(&stray, &["proxy"]);
    assert_eq!(code, Some(5), "{stderr}");
    assert!(
        stderr.contains("config.toml:15: route.stray.upstream: leads to a host that the token is not for"),
        "{stderr}"
    );

    let open = home(&idp, "");
    run(&open, &["proxy", "key", "api"]);
    let file = open.path().join("state/proxy-keys.json");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    let (code, _, stderr) = run(&open, &["proxy", "key", "api"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("chmod 600"), "{stderr}");
}
