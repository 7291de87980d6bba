//! pi: `pi -p`, by chat completions.

use crate::{Agent, By, endures};

const PI: Agent = Agent {
    name: "pi",
    path: "/v1",
    setup: &["--model", "m"],
    printed: &[],
    run: &["--model", "m"],
    turn: &["pi", "-p", "--no-session", "go on"],
    by_setup: &["--provider", "unexpired", "--model", "m"],
    environment: &[("PI_OFFLINE", "1")],
};

#[test]
fn pi_by_a_printed_token() {
    endures("pi::pi_by_a_printed_token", &PI, &[By::Command]);
}

#[test]
fn pi_through_the_proxy() {
    endures("pi::pi_through_the_proxy", &PI, &[By::Proxy, By::Run]);
}
