//! A user whose processes share a store.

use super::{Home, text};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};
use unexpired_testkit::{Endpoint, IdentityProvider, defaults};

/// A user with a configuration whose tokens come from an identity provider on loopback.
pub(crate) struct Machine {
    pub(crate) home: Home,
    pub(crate) idp: IdentityProvider,
}

impl Machine {
    pub(crate) fn new(lifetime: u64) -> Self {
        let idp = IdentityProvider::builder().lifetime(Duration::from_secs(lifetime)).blocking_start().unwrap();
        let home = Home::new();
        let secret = home.write("secret", defaults::CLIENT_SECRET);
        let refresh = idp.refresh_token(defaults::CLIENT_ID, "read").unwrap();
        let refresh = home.write("refresh", refresh.expose());
        let common = format!(
            "provider = \"oauth\"\ntoken_url = \"{}\"\nclient_id = \"{}\"\nclient_secret = {{ file = \"{}\" }}\n",
            idp.oauth_token_url(),
            defaults::CLIENT_ID,
            secret.display()
        );
        let config = format!(
            "[token.corp]\n{common}hosts = [\"127.0.0.1\"]\n[token.never]\n{common}export = \"never\"\n\
             [token.rotating]\n{common}grant = \"refresh_token\"\nrefresh_token_file = \"{}\"\n",
            refresh.display()
        );
        home.write(".config/unexpired/config.toml", &config);
        Self { home, idp }
    }

    pub(crate) fn start(&self, args: &[&str]) -> Child {
        self.home.unexpired(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.home.run(args)
    }

    /// What a call prints; it must succeed and say nothing else.
    pub(crate) fn token(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)), "{args:?}");
        text(&output.stdout)
    }

    pub(crate) fn reject(&self, name: &str, token: &str) -> Option<i32> {
        use std::io::Write as _;
        let mut child =
            self.home.unexpired(&["reject", name]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
        child.wait_with_output().unwrap().status.code()
    }

    /// Requests that reached the provider.
    pub(crate) fn requests(&self) -> usize {
        self.idp.requests_at(Endpoint::OAuth).len()
    }

    pub(crate) fn until(&self, what: &str, done: impl Fn() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(start.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
