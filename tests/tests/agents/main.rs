//! Coding agents that this project did not write, as npm brings them, in a network without a way out. One turn lasts as long as a test wants and
//! makes several requests a second, to a server that refuses expired tokens; the agent has to come to the turn's end. It is set up as a user does it:
//! by `unexpired setup`, which has it print tokens or go through the proxy, or by `unexpired run`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod claude;
mod codex;
mod copilot;
mod gemini;
mod openclaw;
mod opencode;
mod pi;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::Value;
use unexpired_tests::agents::alone;
use unexpired_tests::cli::{Client, Lab, unexpired};
use unexpired_tests::http::Request;
use unexpired_tests::model;
use unexpired_tests::resource::Resource;

/// An agent, and how a test's turn is started.
struct Agent {
    name: &'static str,
    /// What the route's upstream has behind the host; the agent puts the rest.
    path: &'static str,
    /// What `unexpired setup` is told beside the client and the route, and what more for printed tokens.
    setup: &'static [&'static str],
    printed: &'static [&'static str],
    /// What `unexpired run` is told beside the route.
    run: &'static [&'static str],
    /// The program and its arguments, as they are behind `run`; and what more without it.
    turn: &'static [&'static str],
    by_setup: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

/// By what an agent has its tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
enum By {
    /// What `setup --printed` writes: `unexpired token … --as CLIENT`.
    Command,
    /// What `setup` writes, and `unexpired proxy`.
    Proxy,
    /// `unexpired run`.
    Run,
}

/// One turn each, at the same time, through lifetimes, an outage and a revocation, of which nobody is told but who goes by a command.
fn endures(test: &str, agent: &Agent, ways: &[By]) {
    let Some(program) = unexpired_tests::agents::agent(agent.name) else { return };
    alone(test, || {
        std::thread::scope(|scope| {
            for by in ways {
                let program = &program;
                let turn = move || {
                    let world = World::new(agent.path);
                    program.install(&world.lab);
                    let (_proxy, turn) = world.turn(agent, *by);
                    world.endured_by(turn, *by);
                };
                std::thread::Builder::new().name(format!("{by:?}")).spawn_scoped(scope, turn).unwrap();
            }
        });
    });
}

/// An agent that keeps a printed token for long and comes back for another after a 401. It cannot say why, but so early it can have one reason only.
fn early_return_is_a_suspicion(test: &str, agent: &Agent) {
    alone_with(test, agent, |world| {
        world.lab.set_lifetime(3600);
        let (_, mut turn) = world.turn(&Agent { printed: &[], ..*agent }, By::Command);
        // Had it come back within 2 s, that would mean nothing.
        let start = Instant::now();
        turn.until(|| world.server.seen().good >= 5 && start.elapsed() > Duration::from_secs(8));
        assert_eq!(world.used().len(), 1, "it keeps the token");
        world.revocation(&mut turn);
        assert_eq!(world.end(turn), 1);
        assert_eq!((world.used().len(), world.lab.asked()), (2, 2));
    });
}

/// In a network namespace, with the agent in the `PATH`.
fn alone_with(test: &str, agent: &Agent, body: impl FnOnce(&World)) {
    let Some(program) = unexpired_tests::agents::agent(agent.name) else { return };
    alone(test, || {
        let world = World::new(agent.path);
        program.install(&world.lab);
        body(&world);
    });
}

/// How long the lab's tokens live, in seconds, until an outage.
const LIFE: u32 = 3;
/// A bit more than three lives.
const SESSION: Duration = Duration::from_millis(9500);

/// A lab, a model's server that takes the lab's tokens, and whether its model shall come to an end.
struct World {
    lab: Lab,
    server: Resource,
    finish: Arc<AtomicBool>,
    store: String,
}

impl World {
    fn new(path: &str) -> Self {
        let finish = Arc::new(AtomicBool::new(false));
        let lab = Lab::start(LIFE);
        let server = Resource::start(None, &["Bearer"], lab.guard(), model::pages(finish.clone()));
        lab.configure("lab-oauth", &format!("[route.api]\ntoken = 'corp'\nupstream = '{}{path}'\n", server.url()));
        let store = lab.home().join("store").to_str().unwrap().to_owned();
        Self { lab, server, finish, store }
    }

    /// Sets the agent up and starts its turn; what is beside it must go on until it ends.
    fn turn(&self, agent: &Agent, by: By) -> (Option<Client>, Client) {
        if by == By::Run {
            let run = [&[program(), "run", "api"], agent.run, &["--"], agent.turn].concat();
            return (None, self.start(&run, agent.environment));
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let shape = if by == By::Command { [&["--printed"], agent.printed].concat() } else { vec!["--port", &port] };
        let setup = [&[program(), "setup", agent.name, "api", "--write"], agent.setup, &shape].concat();
        self.said(&setup);
        let proxy = (by == By::Proxy).then(|| self.proxy(&port));
        (proxy, self.start(&[agent.turn, agent.by_setup].concat(), agent.environment))
    }

    fn endured_by(&self, mut turn: Client, by: By) {
        self.lifetimes(&mut turn);
        self.outage(&mut turn);
        match by {
            By::Command => self.announced_revocation(&mut turn),
            By::Proxy | By::Run => self.revocation(&mut turn),
        }
        let refused = self.end(turn);
        assert_eq!(refused > 0, by != By::Command, "{refused} were refused because they were taken back");
    }

    /// Starts `unexpired proxy`.
    fn proxy(&self, port: &str) -> Client {
        let mut proxy = self.start(&[program(), "proxy", "--port", port], &[]);
        let health = format!("http://127.0.0.1:{port}/-/healthz");
        proxy.until(|| Request::get(&health).send().is_ok_and(|answer| answer.status == 200));
        proxy
    }

    /// What a command says that comes to a good end.
    fn said(&self, command: &[&str]) -> String {
        let outcome = self.lab.run(command, &[("UNEXPIRED_STORE", &self.store)]);
        assert!(outcome.ok, "{}", outcome.stderr);
        outcome.stdout
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
        self.said(&["sh", "-c", "printf %s \"$1\" | \"$0\" reject corp", program(), &token]);
        self.until_another_is_used(agent, 1);
        self.lab.revoke(&token);
        self.until_another_is_used(agent, 1);
    }

    /// The turn comes to its end, and the server never saw an expired token or none. Gives back how many were refused because they were taken back.
    fn end(&self, agent: Client) -> usize {
        self.finish.store(true, Relaxed);
        let outcome = agent.finish();
        assert!(outcome.ok && outcome.stdout.contains(model::DONE), "{}\n{}", outcome.stdout, outcome.stderr);
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
