//! git: `git credential`, and clones over HTTP, by Basic and by Bearer.

use std::io::Write as _;
use std::process::{Command, Stdio};

use unexpired_tests::cli::Lab;
use unexpired_tests::clients::on_path;
use unexpired_tests::resource::{Incoming, Reply, Resource, Scheme, reply};

use crate::{LIFE, assert_fresh, good, program, through_lifetimes};

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
        // Whoever kept a token that was taken back hears of it by `erase`, and the next call has another.
        lab.revoke_all();
        let _ = lab.run(&[&git, "ls-remote", &url], &GIT);
        good(&lab.run(&[&git, "ls-remote", &url], &GIT));
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
