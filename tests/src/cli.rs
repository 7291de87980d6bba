//! The command under test as its users have it: the program, its configuration, a lab that mints short-lived tokens.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::Request;
use crate::process::{Process, home, text};

/// The program `unexpired`, built from this workspace.
///
/// # Panics
/// If it does not build.
pub fn unexpired() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        // As it is shipped, where a test runs for long.
        if let Some(built) = std::env::var_os("TESTED_PROGRAM") {
            return std::path::absolute(built).expect("a path");
        }
        // Cargo makes programs known to the tests of their own package only.
        let mut cargo = Command::new(env!("CARGO"));
        // What cargo tells a test about its package would make build scripts believe that something has changed.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|front| name.to_string_lossy().starts_with(front)) {
                cargo.env_remove(name);
            }
        }
        let built = cargo
            .args(["build", "--quiet", "--package", "unexpired-cli", "--bin", "unexpired", "--message-format", "json"])
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
            .output()
            .expect("cargo runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let messages = String::from_utf8_lossy(&built.stdout).into_owned();
        let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let program =
            messages.filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?))).next_back();
        program.expect("cargo names the program")
    })
}

/// `unexpired lab` with tokens of a few seconds, and a home whose configuration knows them.
#[derive(Debug)]
pub struct Lab {
    home: TempDir,
    url: String,
    config: String,
    _process: Process,
}

impl Lab {
    /// Starts it. Tokens live `seconds`.
    ///
    /// # Panics
    /// If it does not come up.
    pub fn start(seconds: u32) -> Self {
        let folder = home();
        let file = folder.path().join("lab.toml");
        let lifetime = format!("{seconds}s");
        let command = [text(unexpired()), "lab", "--json", "--lifetime", &lifetime, "--config-file", text(&file)];
        let mut process = Process::start("lab", home(), &command, &[]);
        let url = process.ready(|process| {
            let said: Value = serde_json::from_str(process.stdout().lines().next()?).ok()?;
            let url = said.get("url")?.as_str()?.to_owned();
            file.exists().then_some(url)
        });
        let config = std::fs::read_to_string(&file).expect("the lab has written its configuration");
        let lab = Self { home: folder, url, config, _process: process };
        lab.configure("lab-oauth", "");
        lab
    }

    /// Writes the configuration: the token `corp`, which is the lab's token of this name, and what else is wanted.
    ///
    /// # Panics
    /// If the lab has no such token.
    pub fn configure(&self, token: &str, more: &str) {
        let start = format!("[token.{token}]\n");
        let section = self.config.split_once(&start).expect("a token of the lab").1;
        let section = section.split("\n\n").next().unwrap_or_default();
        let folder = self.home().join(".config/unexpired");
        std::fs::create_dir_all(&folder).expect("the home is writable");
        let config = format!("[token.corp]\n{section}\n\n{more}");
        let file = folder.join("config.toml");
        std::fs::write(&file, config).expect("the home is writable");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).expect("it is ours");
        }
    }

    /// A link to the program by another name, in a folder that clients have in their `PATH`.
    ///
    /// # Panics
    /// If the home is not writable.
    pub fn link(&self, name: &str) -> PathBuf {
        self.link_to(name, unexpired())
    }

    /// The same for any program.
    ///
    /// # Panics
    /// If the home is not writable.
    pub fn link_to(&self, name: &str, program: &Path) -> PathBuf {
        let link = self.bin().join(name);
        #[cfg(unix)]
        std::os::unix::fs::symlink(program, &link).expect("the home is writable");
        link
    }

    /// Takes all tokens back that were minted so far.
    ///
    /// # Panics
    /// If the lab does not answer.
    pub fn revoke_all(&self) {
        let answer = Request::post(format!("{}/lab/revoke", self.url)).json(&json!({ "all": true })).send();
        assert_eq!(answer.expect("the lab answers").status, 200);
    }

    /// Takes one token back.
    ///
    /// # Panics
    /// If the lab does not answer.
    pub fn revoke(&self, token: &str) {
        let revoked = self.control("revoke", &json!({ "token": token }));
        assert_eq!(revoked.get("revoked"), Some(&json!(1)), "{revoked}");
    }

    /// Lets tokens live so long from now on.
    ///
    /// # Panics
    /// If the lab does not answer.
    pub fn set_lifetime(&self, seconds: u32) {
        self.control("lifetime", &json!({ "lifetime": seconds }));
    }

    /// The token endpoint answers 503, until it is told otherwise.
    ///
    /// # Panics
    /// If the lab does not answer.
    pub fn outage(&self, begins: bool) {
        if begins {
            self.control("faults", &json!({ "fault": "status", "status": 503, "endpoint": "oauth", "always": true }));
        } else {
            let answer = Request::delete(format!("{}/lab/faults", self.url)).send();
            assert_eq!(answer.expect("the lab answers").status, 200);
        }
    }

    /// How often the token endpoint was asked.
    ///
    /// # Panics
    /// If the lab does not answer.
    pub fn asked(&self) -> u64 {
        self.stats().pointer("/requests/oauth").and_then(Value::as_u64).expect("the lab counts")
    }

    /// Where the lab is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What `GET /lab/stats` says.
    ///
    /// # Panics
    /// If the lab does not answer.
    pub fn stats(&self) -> Value {
        Request::get(format!("{}/lab/stats", self.url)).send().expect("the lab answers").json()
    }

    fn control(&self, what: &str, body: &Value) -> Value {
        let answer = Request::post(format!("{}/lab/{what}", self.url)).json(body).send().expect("the lab answers");
        assert_eq!(answer.status, 200, "{what}: {}", answer.json());
        answer.json()
    }

    /// Whether a token is good now: signed by the lab, not expired, not taken back.
    pub fn accepts(&self, token: &str) -> bool {
        check(&self.url, token)
    }

    /// The same, to be asked without this.
    pub fn guard(&self) -> impl Fn(&str) -> bool + Send + Sync + 'static {
        let url = self.url.clone();
        move |token| check(&url, token)
    }

    /// The home of the clients.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Runs a client to its end, in this home and with no environment but `PATH` and what is given.
    ///
    /// # Panics
    /// If it cannot be started, or runs longer than 60 s.
    pub fn run(&self, command: &[&str], environment: &[(&str, &str)]) -> Outcome {
        let mut process = Process::start_in("client", home(), self.home(), command, &self.environment(environment));
        let status = process.finish(LIMIT);
        Outcome { ok: status.success(), stdout: process.stdout(), stderr: process.stderr() }
    }

    /// Starts a client that goes on.
    pub fn start_client(&self, command: &[&str], environment: &[(&str, &str)]) -> Client {
        Client(Process::start_in("client", home(), self.home(), command, &self.environment(environment)))
    }

    fn environment<'a>(&self, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, String)> {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut environment =
            vec![("HOME", text(self.home()).to_owned()), ("PATH", format!("{}:{path}", text(&self.bin())))];
        environment.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        environment
    }

    fn bin(&self) -> PathBuf {
        let folder = self.home().join("bin");
        std::fs::create_dir_all(&folder).expect("the home is writable");
        folder
    }
}

/// What became of a client.
#[derive(Debug)]
pub struct Outcome {
    /// It ended with 0.
    pub ok: bool,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

/// A client that runs. Dropping it ends it.
#[derive(Debug)]
pub struct Client(Process);

impl Client {
    /// Waits for this in what it prints.
    ///
    /// # Panics
    /// If it ends before.
    pub fn says<T>(&mut self, mut find: impl FnMut(&str) -> Option<T>) -> T {
        self.0.ready(|process| find(&process.stdout()))
    }

    /// Waits until this is so.
    ///
    /// # Panics
    /// If it ends before, or after 60 s.
    pub fn until(&mut self, mut so: impl FnMut() -> bool) {
        self.0.within(LIMIT, |_| so().then_some(()));
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.0.runs()
    }

    /// Tells it to end.
    ///
    /// # Panics
    /// If there is no `kill`.
    pub fn terminate(&self) {
        let told = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status().expect("kill runs");
        assert!(told.success(), "it has ended before");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it runs for 60 s more.
    pub fn finish(mut self) -> Outcome {
        let ok = self.0.finish(LIMIT).success();
        Outcome { ok, stdout: self.0.stdout(), stderr: self.0.stderr() }
    }
}

fn check(lab: &str, token: &str) -> bool {
    let request = Request::get(format!("{lab}/lab/check")).header("authorization", &format!("Bearer {token}"));
    request.send().is_ok_and(|answer| answer.status == 200)
}

const LIMIT: Duration = Duration::from_secs(60);
