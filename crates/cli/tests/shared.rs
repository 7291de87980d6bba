//! Many processes, one store: one mint, one failure, one refresh, and whoever is killed takes nothing with it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "in a test a panic is the report")]

mod support;

use std::collections::BTreeSet;
use std::process::Child;
use std::time::Duration;
use support::machine::Machine;
use support::text;
use unexpired_testkit::{Endpoint, Fault, defaults};

#[test]
fn two_hundred_processes_at_once_on_a_cold_store_cost_one_mint() {
    let machine = Machine::new(3600);
    machine.idp.fault(Fault::delay(Duration::from_millis(300)).times(1));
    let processes: Vec<Child> = (0..200).map(|_| machine.start(&["token", "corp"])).collect();
    let mut tokens = BTreeSet::new();
    for process in processes {
        let output = process.wait_with_output().unwrap();
        assert_eq!((text(&output.stderr).as_str(), output.status.code()), ("", Some(0)));
        tokens.insert(text(&output.stdout));
    }
    assert_eq!((tokens.len(), machine.requests()), (1, 1));
}

#[test]
fn a_warm_call_asks_nobody_and_another_name_for_the_same_identity_is_the_same_token() {
    let machine = Machine::new(3600);
    let first = machine.token(&["token", "corp"]);
    assert_eq!(machine.token(&["token", "corp"]), first);
    assert_eq!(machine.requests(), 1);
    // Without an environment but for the configuration and the store.
    let mut bare = machine.home.unexpired(&["token", "corp", "--config"]);
    let output =
        bare.arg(machine.home.path().join(".config/unexpired/config.toml")).env_remove("HOME").output().unwrap();
    assert_eq!(text(&output.stdout), first);
    let status = machine.token(&["status", "corp"]);
    assert!(status.contains("fresh, 3") && !status.contains(first.trim()), "{status}");
    assert_eq!(machine.requests(), 1);
}

#[test]
fn a_due_token_is_printed_at_once_and_refreshed_behind_the_answer() {
    let machine = Machine::new(8);
    let first = machine.token(&["token", "corp"]);
    // Due after 6 s at the latest; the provider takes a while.
    machine.idp.fault(Fault::delay(Duration::from_millis(400)).always());
    std::thread::sleep(Duration::from_millis(6_200));
    let calls: Vec<Child> = (0..10).map(|_| machine.start(&["token", "corp"])).collect();
    for call in calls {
        assert_eq!(text(&call.wait_with_output().unwrap().stdout), first, "nobody waits for the refresh");
    }
    machine.until("the minter brings the next one", || machine.token(&["token", "corp"]) != first);
    assert_eq!(machine.requests(), 2);
}

#[test]
fn a_failing_source_is_asked_as_rarely_as_the_backoff_allows_and_a_new_credential_clears_it() {
    let machine = Machine::new(3600);
    machine.home.write("secret", "wrong");
    for _ in 0..25 {
        let output = machine.run(&["token", "corp"]);
        assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    }
    assert_eq!(machine.requests(), 1);
    let output = machine.run(&["token", "corp"]);
    assert!(text(&output.stderr).contains("next attempt in"), "{}", text(&output.stderr));
    machine.home.write("secret", defaults::CLIENT_SECRET);
    machine.token(&["token", "corp"]);
    assert_eq!(machine.requests(), 2);
}

#[test]
fn an_outage_while_the_token_lives_is_seen_by_no_process() {
    let machine = Machine::new(8);
    let first = machine.token(&["token", "corp"]);
    machine.idp.fault(Fault::status(503).always());
    std::thread::sleep(Duration::from_millis(6_100));
    for _ in 0..10 {
        assert_eq!(machine.token(&["token", "corp"]), first);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(machine.requests() <= 4, "{} requests: waits double", machine.requests());
}

#[test]
fn a_client_that_kills_its_helper_finds_the_token_at_its_next_call() {
    let machine = Machine::new(3600);
    machine.idp.fault(Fault::delay(Duration::from_millis(3_000)).times(1));
    let mut helper = machine.start(&["token", "corp"]);
    // Long enough for the one that stands by.
    std::thread::sleep(Duration::from_millis(2_000));
    helper.kill().unwrap();
    helper.wait().unwrap();
    machine.until("the minter takes over", || {
        machine.run(&["status", "corp", "--json"]).stdout.windows(11).any(|part| part == b"fingerprint")
    });
    let requests = machine.requests();
    machine.token(&["token", "corp"]);
    assert_eq!((machine.requests(), requests), (2, 2), "the one that was cut off, and the minter's");
}

#[test]
fn where_mints_are_known_to_be_slow_a_killed_helper_costs_no_second_one() {
    let machine = Machine::new(4);
    machine.idp.fault(Fault::delay(Duration::from_millis(1_200)).always());
    machine.token(&["token", "corp"]);
    // Expired by now.
    std::thread::sleep(Duration::from_millis(3_900));
    let mut helper = machine.start(&["token", "corp"]);
    std::thread::sleep(Duration::from_millis(500));
    helper.kill().unwrap();
    helper.wait().unwrap();
    machine.token(&["token", "corp"]);
    assert_eq!(machine.requests(), 2);
}

#[test]
fn a_rotating_refresh_token_survives_helpers_that_are_killed_at_any_moment() {
    let machine = Machine::new(2);
    let mut killed = 0;
    for round in 0..150_u64 {
        let mut helper = machine.start(&["token", "rotating", "--fresh"]);
        // From before it has begun until after it has ended.
        std::thread::sleep(Duration::from_micros(round * 7919 % 40_000));
        if matches!(helper.try_wait(), Ok(None)) {
            killed += 1;
        }
        let _ = helper.kill();
        let _ = helper.wait();
    }
    assert!(killed > 20, "{killed} of 150 were killed in the middle");
    machine.token(&["token", "rotating", "--fresh"]);
    let answers: BTreeSet<Option<u16>> =
        machine.idp.requests_at(Endpoint::OAuth).iter().map(|request| request.status()).collect();
    assert_eq!(answers, BTreeSet::from([Some(200)]), "no token was sent twice, and the family lives");
}

#[test]
fn a_rejection_costs_one_mint_and_a_second_in_a_row_none() {
    let machine = Machine::new(3600);
    let first = machine.token(&["token", "corp"]);
    assert_eq!(machine.reject("corp", first.trim()), Some(0));
    assert_eq!(machine.reject("corp", first.trim()), Some(0), "a late report changes nothing");
    let second = machine.token(&["token", "corp"]);
    assert_ne!(second, first);
    assert_eq!(machine.reject("corp", second.trim()), Some(4), "the token is not the problem");
    assert_eq!(machine.token(&["token", "corp"]), second);
    assert_eq!(machine.reject("corp", "two words"), Some(2));
    assert_eq!(machine.requests(), 2);
}

#[test]
fn fresh_is_one_mint_for_all_who_ask_at_once_and_falls_back_to_what_lives() {
    let machine = Machine::new(3600);
    let first = machine.token(&["token", "corp"]);
    machine.idp.fault(Fault::delay(Duration::from_millis(500)).times(1));
    let calls: Vec<Child> = (0..20).map(|_| machine.start(&["token", "corp", "--fresh"])).collect();
    let tokens: BTreeSet<String> =
        calls.into_iter().map(|call| text(&call.wait_with_output().unwrap().stdout)).collect();
    assert_eq!(tokens.len(), 1);
    assert!(!tokens.contains(&first));
    assert_eq!(machine.requests(), 2);
    machine.idp.fault(Fault::status(503).always());
    let output = machine.run(&["token", "corp", "--fresh"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(tokens.contains(&text(&output.stdout)), "the one that lives");
    assert!(text(&output.stderr).starts_with("warning:"), "{}", text(&output.stderr));
}

#[test]
fn min_ttl_is_kept_by_a_new_mint_and_too_much_is_asked_for_once() {
    let machine = Machine::new(20);
    let first = machine.token(&["token", "corp"]);
    std::thread::sleep(Duration::from_millis(3_000));
    let second = machine.token(&["token", "corp", "--min-ttl", "18s"]);
    assert_ne!(second, first);
    for _ in 0..5 {
        let output = machine.run(&["token", "corp", "--min-ttl", "10m"]);
        assert_eq!(output.status.code(), Some(0));
        assert!(text(&output.stderr).starts_with("warning: the token lives"), "{}", text(&output.stderr));
    }
    assert_eq!(machine.requests(), 3);
}

#[test]
fn what_must_not_leave_the_process_is_not_kept_either() {
    let machine = Machine::new(3600);
    assert_eq!(machine.run(&["token", "never"]).status.code(), Some(5));
    assert_eq!(machine.run(&["mint", "never"]).status.code(), Some(5));
    assert!(!machine.home.path().join("store").exists());
}

#[test]
fn a_store_that_cannot_be_used_costs_nobody_a_token() {
    let machine = Machine::new(3600);
    machine.home.write("store", "a file where the folder should be");
    machine.token(&["token", "corp"]);
    machine.token(&["token", "corp"]);
    assert_eq!(machine.requests(), 2);
    let output = machine.run(&["token", "corp", "--verbose"]);
    assert!(text(&output.stderr).contains("not shared with other processes"), "{}", text(&output.stderr));
}
