//! Coding agents that this project did not write, as npm brings them, in a network without a way out. One turn lasts as long as a test wants and
//! makes several requests a second, to a server that refuses expired tokens; the agent has to come to the turn's end. What is set up here is what
//! the guides in `docs/clients` say.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod codex;
mod pi;

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::Value;
use unexpired_tests::cli::{Client, Lab, unexpired};
use unexpired_tests::http::Request;
use unexpired_tests::openai;
use unexpired_tests::resource::Resource;

/// How long the lab's tokens live, in seconds, until an outage.
const LIFE: u32 = 3;
/// A bit more than three lives.
const SESSION: Duration = Duration::from_millis(9500);

/// A lab, an OpenAI-compatible server that takes the lab's tokens, and whether its model shall come to an end.
struct World {
    lab: Lab,
    server: Resource,
    finish: Arc<AtomicBool>,
    store: String,
}

impl World {
    fn new() -> Self {
        let finish = Arc::new(AtomicBool::new(false));
        let lab = Lab::start(LIFE);
        let server = Resource::start(None, &["Bearer"], lab.guard(), openai::pages(finish.clone()));
        lab.configure("lab-oauth", &format!("[route.api]\ntoken = 'corp'\nupstream = '{}/v1'\n", server.url()));
        let store = lab.home().join("store").to_str().unwrap().to_owned();
        Self { lab, server, finish, store }
    }

    /// Starts `unexpired proxy`. Gives back the route's URL and key; the proxy ends with the first.
    fn proxy(&self) -> (Client, String, String) {
        let store = [("UNEXPIRED_STORE", self.store.as_str())];
        let key = self.lab.run(&[program(), "proxy", "key", "api"], &store);
        assert!(key.ok, "{}", key.stderr);
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut proxy = self.lab.start_client(&[program(), "proxy", "--port", &port.to_string()], &store);
        let health = format!("http://127.0.0.1:{port}/-/healthz");
        proxy.until(|| Request::get(&health).send().is_ok_and(|answer| answer.status == 200));
        (proxy, format!("http://127.0.0.1:{port}/api"), key.stdout.trim_end().to_owned())
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.lab.home().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn start(&self, command: &[&str], environment: &[(&str, &str)]) -> Client {
        let environment = [environment, &[("UNEXPIRED_STORE", &self.store)]].concat();
        self.lab.start_client(command, &environment)
    }

    fn used(&self) -> Vec<String> {
        self.server.seen().accepted
    }

    /// Waits until a token is used that was not used when this is called, and that lives so long at least.
    fn until_another_is_used(&self, agent: &mut Client, life: u64) {
        let before = self.used().len();
        let fits = |token: &String| life_of(token) >= life;
        agent.until(|| self.used().iter().skip(before).any(fits));
    }

    /// Three lifetimes and more.
    fn lifetimes(&self, agent: &mut Client) {
        let end = Instant::now() + SESSION;
        agent.until(|| Instant::now() > end && self.used().len() >= 4);
    }

    /// An outage that begins before the token is due, and ends when the endpoint has been asked in vain.
    fn outage(&self, agent: &mut Client) {
        self.lab.set_lifetime(8);
        self.until_another_is_used(agent, 8);
        let before = self.lab.asked();
        self.lab.outage(true);
        agent.until(|| self.lab.asked() > before);
        self.lab.outage(false);
        self.until_another_is_used(agent, 8);
    }

    /// The token that is used now is taken back, and nobody is told.
    fn revocation(&self, agent: &mut Client) {
        self.lab.revoke(self.used().last().unwrap());
        self.until_another_is_used(agent, 1);
    }

    /// The same, but `unexpired reject` is told before, and the agent has let go of the token.
    fn announced_revocation(&self, agent: &mut Client) {
        let token = self.used().last().unwrap().clone();
        let told = self.lab.run(
            &["sh", "-c", "printf %s \"$1\" | \"$0\" reject corp", program(), &token],
            &[("UNEXPIRED_STORE", &self.store)],
        );
        assert!(told.ok, "{}", told.stderr);
        self.until_another_is_used(agent, 1);
        self.lab.revoke(&token);
        self.until_another_is_used(agent, 1);
    }

    /// The turn comes to its end, and the server never saw an expired token or none. Gives back how many were refused because they were taken back.
    fn end(&self, agent: Client) -> usize {
        self.finish.store(true, Relaxed);
        let outcome = agent.finish();
        assert!(outcome.ok && outcome.stdout.contains(openai::DONE), "{}\n{}", outcome.stdout, outcome.stderr);
        let resource = self.lab.stats()["resource"].clone();
        assert_eq!((self.server.seen().bare, &resource["expired"]), (0, &Value::from(0)), "{resource}");
        self.server.seen().refused
    }
}

/// The seconds from `iat` to `exp`.
fn life_of(token: &str) -> u64 {
    use base64::Engine as _;
    let payload = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&payload).unwrap();
    claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap()
}

fn program() -> &'static str {
    unexpired().to_str().unwrap()
}
