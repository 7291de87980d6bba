//! OpenClaw: `openclaw agent --local`, by chat completions. It is installed by `tests/servers/setup openclaw` only.

use std::fs;

use crate::{Agent, By, alone_with, endures, program};

const OPENCLAW: Agent = Agent {
    name: "openclaw",
    path: "/v1",
    setup: &["--model", "m"],
    printed: &[],
    run: &["--model", "m"],
    turn: &["openclaw", "agent", "--local", "--agent", "main", "--message", "go on"],
    by_setup: &[],
    environment: &[],
};

#[test]
fn openclaw_around_which_a_proxy_runs() {
    endures("openclaw::openclaw_around_which_a_proxy_runs", &OPENCLAW, &[By::Run]);
}

/// `setup` prints a piece to paste, in which the local key is an exec secret.
#[test]
fn openclaw_by_the_proxy() {
    alone_with("openclaw::openclaw_by_the_proxy", &OPENCLAW, |world| {
        // The port is this namespace's own.
        let setup = [&[program(), "setup", "openclaw", "api", "--port", PORT], OPENCLAW.setup].concat();
        let piece = world.said(&setup);
        let file = world.lab.home().join(".openclaw/openclaw.json");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, piece.split_once('\n').unwrap().1).unwrap();
        let _proxy = world.proxy(PORT);
        world.endured_by(world.start(OPENCLAW.turn, OPENCLAW.environment), By::Proxy);
    });
}

const PORT: &str = "18639";
