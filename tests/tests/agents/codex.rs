//! OpenAI's Codex: `codex exec`, by the Responses API.

use unexpired_tests::agents::{Agent, agent, alone};
use unexpired_tests::cli::Client;

use crate::{World, program};

fn start(world: &World, codex: &Agent, base_url: &str, credential: &str, environment: &[(&str, &str)]) -> Client {
    let config = format!(
        "model = 'm'\nmodel_provider = 'corp'\n\n\
         [model_providers.corp]\nname = 'corp'\nbase_url = '{base_url}'\nwire_api = 'responses'\n{credential}"
    );
    world.write("codex/config.toml", &config);
    let home = world.lab.home().join("codex");
    let environment = [environment, &[("CODEX_HOME", home.to_str().unwrap())]].concat();
    let exec = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "go on"];
    world.start(&[&[codex.node.as_str(), &codex.program][..], &exec].concat(), &environment)
}

fn by_command(args: &str) -> String {
    format!(
        "[model_providers.corp.auth]\ncommand = '{}'\nargs = [{args}]\ntimeout_ms = 4000\nrefresh_interval_ms = 500\n",
        program()
    )
}

#[test]
fn codex_by_a_printed_token() {
    let Some(codex) = agent("codex") else { return };
    alone("codex::codex_by_a_printed_token", || {
        let world = World::new();
        // A second is more than Codex keeps it.
        let auth = by_command("'token', 'corp', '--min-ttl', '1s'");
        let mut turn = start(&world, &codex, &format!("{}/v1", world.server.url()), &auth, &[]);
        world.lifetimes(&mut turn);
        world.outage(&mut turn);
        world.announced_revocation(&mut turn);
        assert_eq!(world.end(turn), 0, "tokens were refused");
    });
}

/// Codex runs its command again after a 401. `--fresh` makes that a new token.
#[test]
fn codex_by_a_token_that_is_fresh_each_time() {
    let Some(codex) = agent("codex") else { return };
    alone("codex::codex_by_a_token_that_is_fresh_each_time", || {
        let world = World::new();
        world.lab.set_lifetime(600);
        let auth = by_command("'token', 'corp', '--fresh'").replace("= 500", "= 300000");
        let mut turn = start(&world, &codex, &format!("{}/v1", world.server.url()), &auth, &[]);
        turn.until(|| world.server.seen().good >= 5);
        assert_eq!(world.used().len(), 1, "it keeps the token");
        world.revocation(&mut turn);
        assert_eq!(world.end(turn), 1);
        assert_eq!(world.used().len(), 2);
    });
}

#[test]
fn codex_by_the_proxy() {
    let Some(codex) = agent("codex") else { return };
    alone("codex::codex_by_the_proxy", || {
        let world = World::new();
        let (_proxy, url, key) = world.proxy();
        let mut turn = start(&world, &codex, &url, "env_key = 'UNEXPIRED_KEY'\n", &[("UNEXPIRED_KEY", &key)]);
        world.lifetimes(&mut turn);
        world.outage(&mut turn);
        world.revocation(&mut turn);
        assert!(world.end(turn) >= 1, "the one that was taken back");
    });
}
