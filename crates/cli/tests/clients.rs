//! Clients that say who they are: `unexpired token NAME --as CLIENT`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test a panic is the report")]

mod support;

use std::collections::BTreeSet;
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use support::machine::Machine;
use support::text;
use unexpired_testkit::Fault;

const CODEX: [&str; 4] = ["token", "corp", "--as", "codex"];

/// More than a client's own crowd of calls.
fn a_while() {
    std::thread::sleep(Duration::from_millis(2_100));
}

/// The same call by a client of its own: `find` is no shell, and a new one each time.
fn by_another(machine: &Machine) -> String {
    let helper = machine.home.unexpired(&CODEX);
    let mut find = Command::new("find");
    find.args(["/", "-maxdepth", "0", "-exec"]).arg(helper.get_program()).args(helper.get_args()).arg(";").env_clear();
    for (name, value) in helper.get_envs() {
        find.env(name, value.unwrap_or_default());
    }
    text(&find.output().unwrap().stdout)
}

#[test]
fn a_client_that_comes_back_too_early_is_given_another_once() {
    let machine = Machine::new(7200);
    let first = machine.token(&CODEX);
    assert_eq!(machine.token(&CODEX), first, "calls that follow each other closely mean nothing");
    a_while();
    let second = machine.token(&CODEX);
    assert_ne!(second, first);
    a_while();
    assert_eq!(machine.token(&CODEX), second, "no other for 60 s");
    assert_eq!(machine.requests(), 2);
}

#[test]
fn two_sessions_of_one_client_raise_no_suspicion() {
    let machine = Machine::new(7200);
    let first = by_another(&machine);
    assert!(first.len() > 100, "{first}");
    a_while();
    assert_eq!(by_another(&machine), first);
    assert_eq!(machine.token(&CODEX), first);
    assert_eq!(machine.requests(), 1);
}

#[test]
fn a_client_that_keeps_nothing_raises_none() {
    let machine = Machine::new(7200);
    let first = machine.token(&["token", "corp", "--as", "pi"]);
    a_while();
    assert_eq!(machine.token(&["token", "corp", "--as", "pi"]), first);
    assert_eq!(machine.token(&["token", "corp", "--as", "copilot"]), first);
    assert_eq!(machine.requests(), 1);
}

#[test]
fn simultaneous_refusals_of_one_session_cost_one_mint() {
    let machine = Machine::new(7200);
    let first = machine.token(&CODEX);
    a_while();
    machine.idp.fault(Fault::delay(Duration::from_millis(300)).times(1));
    let calls: Vec<Child> = (0..8).map(|_| machine.start(&CODEX)).collect();
    let tokens: BTreeSet<String> =
        calls.into_iter().map(|call| text(&call.wait_with_output().unwrap().stdout)).collect();
    assert_eq!((tokens.len(), tokens.contains(&first), machine.requests()), (1, false, 2));
}

#[test]
fn an_outage_during_a_suspicion_costs_nobody_the_token_that_lives() {
    let machine = Machine::new(7200);
    let first = machine.token(&CODEX);
    a_while();
    machine.idp.fault(Fault::status(503).always());
    assert_eq!(machine.token(&CODEX), first);
    assert_eq!(machine.token(&["token", "corp"]), first);
}

#[test]
fn a_token_has_the_life_that_its_client_needs() {
    let machine = Machine::new(313);
    let first = machine.token(&["token", "corp"]);
    std::thread::sleep(Duration::from_millis(3_200));
    assert_eq!(machine.token(&["token", "corp"]), first, "good enough for others");
    assert_ne!(machine.token(&CODEX), first, "Codex keeps it for 300 s, and sends it then");
    // Claude may use a token for twice its interval, and the issuer gives no such life: told to nobody, asked for once.
    let claude = ["token", "corp", "--as", "claude"];
    let shorter = ["token", "corp", "--as", "claude", "--client-interval", "10s"];
    machine.token(&claude);
    machine.token(&claude);
    machine.token(&shorter);
    assert_eq!(machine.requests(), 3);
}

#[test]
fn a_token_that_claude_may_use_after_a_pause_has_half_of_its_life() {
    for name in ["corp", "rotating"] {
        let machine = Machine::new(4);
        let claude = ["token", name, "--as", "claude", "--client-interval", "100ms"];
        let first = machine.token(&claude);
        a_while();
        assert_eq!(machine.token(&["token", name]), first, "{name}: it is not due for others");
        assert_ne!(machine.token(&claude), first, "{name}");
        assert_eq!(machine.requests(), 2, "{name}");
    }
}

#[test]
fn a_life_that_the_issuer_does_not_give_is_asked_for_once() {
    for name in ["corp", "rotating"] {
        let machine = Machine::new(60);
        let codex = ["token", name, "--as", "codex"];
        let first = machine.token(&codex);
        assert_eq!((machine.token(&codex), machine.token(&codex)), (first.clone(), first), "{name}");
        assert_eq!(machine.requests(), 1, "{name}");
    }
}

#[test]
fn the_answer_comes_while_the_client_still_waits_and_the_token_at_its_next_call() {
    let machine = Machine::new(7200);
    machine.idp.fault(Fault::delay(Duration::from_secs(6)).times(1));
    let start = Instant::now();
    let output = machine.run(&CODEX);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(start.elapsed() < Duration::from_millis(4_900), "Codex kills its command after 5 s: {:?}", start.elapsed());
    // The minter has taken over.
    machine.until("the token is there", || machine.run(&CODEX).status.success());
}
