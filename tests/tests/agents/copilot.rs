//! GitHub's Copilot CLI: `copilot -p`, by chat completions of a provider of one's own.

use crate::{Agent, By, alone_with, endures, program};

const COPILOT: Agent = Agent {
    name: "copilot",
    path: "/v1",
    setup: &["--model", "m"],
    printed: &[],
    run: &["--model", "m"],
    turn: &["copilot", "-p", "go on", "--allow-all-tools"],
    by_setup: &["--model", "unexpired/m"],
    environment: &[("COPILOT_OFFLINE", "true")],
};

/// Its file takes no command, so that `setup` prints lines for a shell.
#[test]
fn copilot_by_a_printed_token() {
    alone_with("copilot::copilot_by_a_printed_token", &COPILOT, |world| {
        let setup = [&[program(), "setup", "copilot", "api", "--printed"], COPILOT.setup].concat();
        let profile = format!("{}exec \"$@\"", world.said(&setup));
        let turn = [&["sh", "-c", &profile, "sh"], COPILOT.turn].concat();
        world.endured_by(world.start(&turn, COPILOT.environment), By::Command);
    });
}

#[test]
fn copilot_through_the_proxy() {
    endures("copilot::copilot_through_the_proxy", &COPILOT, &[By::Proxy, By::Run]);
}
