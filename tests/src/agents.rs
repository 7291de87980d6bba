//! Coding agents as npm brings them, and a network in which they can reach nobody but this machine.

use std::net::UdpSocket;
use std::process::Command;

use crate::clients::found;
use crate::presence::{Found, installed, program, record};

/// An agent's program, with a Node.js that is new enough for it.
#[derive(Debug)]
pub struct Agent {
    /// The interpreter.
    pub node: String,
    /// What it runs.
    pub program: String,
}

/// An agent that came with the part `agents` of `tests/servers/setup`; [`None`] (and a counted skip) if it is not installed.
pub fn agent(name: &str) -> Option<Agent> {
    let bin = installed().join("agents/node_modules/.bin");
    let installed = |program: &str| found(bin.join(program), "agents/done");
    let agent = installed("node").and_then(|node| Ok(Agent { node, program: installed(name)? }));
    record(name, agent)
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
