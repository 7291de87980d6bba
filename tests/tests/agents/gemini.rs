//! Google's Gemini CLI: `gemini -p`, by generateContent.

use crate::{Agent, By, endures};

const GEMINI: Agent = Agent {
    name: "gemini",
    path: "",
    setup: &["--model", "gemini-2.5-flash"],
    printed: &[],
    run: &["--model", "gemini-2.5-flash"],
    turn: &["gemini", "--yolo", "-p", "go on"],
    by_setup: &[],
    // In a folder that it does not trust it does nothing without a terminal, and reads no `.env`.
    environment: &[("GEMINI_CLI_TRUST_WORKSPACE", "true")],
};

#[test]
fn gemini_through_the_proxy() {
    endures("gemini::gemini_through_the_proxy", &GEMINI, &[By::Proxy, By::Run]);
}
