//! OpenAI's Codex: `codex exec`, by the Responses API.

use crate::{Agent, By, early_return_is_a_suspicion, endures};

const CODEX: Agent = Agent {
    name: "codex",
    path: "/v1",
    setup: &["--model", "m"],
    // Tokens live 3 s, and Codex keeps one for as long as it is told.
    printed: &["--client-interval", "500ms"],
    run: &["--model", "m"],
    turn: &["codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "go on"],
    by_setup: &[],
    environment: &[],
};

#[test]
fn codex_by_a_printed_token() {
    endures("codex::codex_by_a_printed_token", &CODEX, &[By::Command]);
}

#[test]
fn codex_through_the_proxy() {
    endures("codex::codex_through_the_proxy", &CODEX, &[By::Proxy, By::Run]);
}

#[test]
fn codex_whose_early_return_is_a_suspicion() {
    early_return_is_a_suspicion("codex::codex_whose_early_return_is_a_suspicion", &CODEX);
}
