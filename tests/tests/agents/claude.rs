//! Anthropic's Claude Code: `claude -p`, by the Messages API.

use serde_json::{Value, json};
use unexpired_tests::resource::{Incoming, Reply, Resource, reply};

use crate::{Agent, By, alone_with, early_return_is_a_suspicion, endures, program};

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

/// An MCP server that wants a token, for which Claude Code runs a helper.
#[test]
fn claude_with_an_mcp_server() {
    alone_with("claude::claude_with_an_mcp_server", &CLAUDE, |world| {
        let mcp = Resource::start(None, &["Bearer"], world.lab.guard(), mcp);
        let server = json!({
            "type": "http", "url": format!("{}/mcp", mcp.url()), "headersHelper": format!("{} helper claude-headers", program()),
        });
        let file = world.lab.home().join("mcp.json");
        std::fs::write(&file, json!({ "mcpServers": { "corp": server } }).to_string()).unwrap();
        let with_mcp = [CLAUDE.turn, &["--strict-mcp-config", "--mcp-config", file.to_str().unwrap()]].concat();
        let run = [&[program(), "run", "api", "--model", "m", "--"], &with_mcp[..]].concat();
        let mut turn = world.start(&run, CLAUDE.environment);
        // It has said who it is, and asked for the tools.
        turn.until(|| mcp.seen().good >= 2);
        world.end(turn);
        assert_eq!((mcp.seen().refused, mcp.seen().bare), (0, 0));
    });
}

fn mcp(request: &Incoming) -> Reply {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let result = match body["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": body["params"]["protocolVersion"], "capabilities": { "tools": {} },
            "serverInfo": { "name": "corp", "version": "1" },
        }),
        Some("tools/list") => json!({ "tools": [] }),
        Some(_) => return reply(202, "application/json", ""),
        // No stream of the server's own.
        None => return reply(405, "application/json", "{}"),
    };
    reply(200, "application/json", json!({ "jsonrpc": "2.0", "id": body["id"], "result": result }).to_string())
}
