//! Anthropic's Claude Code: `claude -p`, by the Messages API.

use crate::{Agent, By, early_return_is_a_suspicion, endures};

const CLAUDE: Agent = Agent {
    name: "claude",
    path: "",
    setup: &["--model", "m"],
    // Tokens live 3 s.
    printed: &["--client-interval", "500ms"],
    run: &["--model", "m"],
    turn: &["claude", "-p", "go on", "--allowedTools", "Bash"],
    by_setup: &[],
    environment: &[("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")],
};

#[test]
fn claude_by_a_printed_token() {
    endures("claude::claude_by_a_printed_token", &CLAUDE, &[By::Command]);
}

#[test]
fn claude_through_the_proxy() {
    endures("claude::claude_through_the_proxy", &CLAUDE, &[By::Proxy, By::Run]);
}

#[test]
fn claude_whose_early_return_is_a_suspicion() {
    early_return_is_a_suspicion("claude::claude_whose_early_return_is_a_suspicion", &CLAUDE);
}
