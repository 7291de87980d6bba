//! pi: `pi -p`, by chat completions.

use serde_json::json;
use unexpired_tests::agents::{Agent, agent, alone};
use unexpired_tests::cli::Client;

use crate::{World, program};

fn start(world: &World, pi: &Agent, base_url: &str, api_key: &str) -> Client {
    let provider =
        json!({ "baseUrl": base_url, "api": "openai-completions", "apiKey": api_key, "models": [{ "id": "m" }] });
    world.write("pi/models.json", &json!({ "providers": { "corp": provider } }).to_string());
    let home = world.lab.home().join("pi");
    let print = ["-p", "--no-session", "--provider", "corp", "--model", "m", "go on"];
    let environment = [("PI_CODING_AGENT_DIR", home.to_str().unwrap()), ("PI_OFFLINE", "1")];
    world.start(&[&[pi.node.as_str(), &pi.program][..], &print].concat(), &environment)
}

#[test]
fn pi_by_a_printed_token() {
    let Some(pi) = agent("pi") else { return };
    alone("pi::pi_by_a_printed_token", || {
        let world = World::new();
        let command = format!("!{} token corp --min-ttl 1s", program());
        let mut turn = start(&world, &pi, &format!("{}/v1", world.server.url()), &command);
        world.lifetimes(&mut turn);
        world.outage(&mut turn);
        world.announced_revocation(&mut turn);
        assert_eq!(world.end(turn), 0, "tokens were refused");
    });
}

#[test]
fn pi_by_the_proxy() {
    let Some(pi) = agent("pi") else { return };
    alone("pi::pi_by_the_proxy", || {
        let world = World::new();
        let (_proxy, url, _) = world.proxy();
        let mut turn = start(&world, &pi, &url, &format!("!{} proxy key api", program()));
        world.lifetimes(&mut turn);
        world.outage(&mut turn);
        world.revocation(&mut turn);
        assert!(world.end(turn) >= 1, "the one that was taken back");
    });
}
