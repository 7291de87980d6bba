//! Coding agents as npm brings them, and a network in which they can reach nobody but this machine.

use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::Command;

use crate::cli::Lab;
use crate::presence::{Found, file, installed, program, record, record_if_there};

/// An agent's program, and the Node.js that it may need.
#[derive(Debug)]
pub struct Agent {
    name: &'static str,
    program: PathBuf,
    node: PathBuf,
}

/// An agent that came with the part `agents` of `tests/servers/setup`, or with the part `openclaw`; [`None`] (and a counted skip) if it is not installed.
pub fn agent(name: &'static str) -> Option<Agent> {
    // This one is large, so that it has a part of its own, which may be missing.
    let part = if name == "openclaw" { "openclaw" } else { "agents" };
    let modules = installed().join(part).join("node_modules");
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    // Of these npm brings the program in a package for the platform, and an install script, which is not run, would put it in its place.
    let program = match name {
        "claude" => format!("@anthropic-ai/claude-code-linux-{architecture}/claude"),
        "copilot" => format!("@github/copilot-linux-{architecture}/copilot"),
        "opencode" => format!("opencode-linux-{architecture}/bin/opencode"),
        name => format!(".bin/{name}"),
    };
    let found = file(installed().join(part).join("done")).and_then(|_| {
        Ok(Agent { name, program: file(modules.join(program))?, node: file(modules.join(".bin/node"))? })
    });
    if part == "agents" { record(name, found) } else { record_if_there(name, found) }
}

impl Agent {
    /// Puts it into the `PATH` of a lab's clients.
    pub fn install(&self, lab: &Lab) {
        lab.link_to(self.name, &self.program);
        lab.link_to("node", &self.node);
    }
}
/// Runs the body of the test of this name in a network namespace of its own, where there is loopback and nothing else: the test starts itself
/// there once more. Everything that the body starts is in it too.
///
/// # Panics
/// If the body does.
pub fn alone(test: &str, body: impl FnOnce()) {
    if std::env::var_os(ALONE).is_some() {
        let outside = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.connect("192.0.2.1:9"));
        assert!(outside.is_err(), "there is a way out of this namespace");
        return body();
    }
    let Some(unshare) = record("unshare", unshare()) else { return };
    // Built here, since it may need what is not there.
    crate::cli::unexpired();
    let this = std::env::current_exe().expect("a test knows its program");
    let output = Command::new("unshare")
        .args(unshare)
        .args(["sh", "-c", "ip link set lo up && exec \"$@\"", "alone"])
        .arg(this)
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, "1")
        .output()
        .expect("unshare was there a moment ago");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "there is no test {test}: {said}");
}

/// How this user gets a network namespace: as root, or as root of a user namespace.
fn unshare() -> Found<&'static [&'static str]> {
    program("unshare")?;
    program("ip")?;
    let works = |way: &&[&str]| {
        let tried = Command::new("unshare").args(*way).args(["ip", "link", "set", "lo", "up"]).output();
        tried.is_ok_and(|output| output.status.success())
    };
    let ways: [&[&str]; 2] = [&["--net"], &["--map-root-user", "--net"]];
    ways.into_iter().find(works).ok_or_else(|| "this user may not make a network namespace".to_owned())
}

const ALONE: &str = "UNEXPIRED_TEST_ALONE";
