//! opencode: `opencode run`, by chat completions.

use crate::{Agent, By, endures};

const OPENCODE: Agent = Agent {
    name: "opencode",
    path: "/v1",
    setup: &["--model", "m"],
    printed: &[],
    run: &["--model", "m"],
    turn: &["opencode", "run", "go on"],
    by_setup: &[],
    environment: &[],
};

#[test]
fn opencode_through_the_proxy() {
    endures("opencode::opencode_through_the_proxy", &OPENCODE, &[By::Proxy, By::Run]);
}
