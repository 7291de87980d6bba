//! The demo keeps its promise, and says so to people and to machines.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the report")]

mod support;

use support::{Home, text};

/// Ten seconds of real time, for all forms at once: the session is the one thing here that lives by the real clock.
#[test]
fn a_session_that_never_sees_a_401() {
    let home = Home::new();
    let spawn = |args: &[&str]| {
        let mut command = home.unexpired(args);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).env("TERM", "xterm-256color");
        command.spawn().unwrap()
    };
    let plain = spawn(&["demo", "--seconds", "10"]);
    let json = spawn(&["demo", "--seconds", "10", "--json"]);

    let plain = plain.wait_with_output().unwrap();
    let (stdout, stderr) = (text(&plain.stdout), text(&plain.stderr));
    assert!(plain.status.success(), "{stdout}{stderr}");
    assert_eq!(stderr, "");
    assert!(!stdout.contains('\x1b'), "no terminal, no escapes");
    assert!(stdout.lines().next().unwrap().contains("tokens that live 3 s"), "{stdout}");
    for word in ["minted", "refreshed", "outage     the", "failed", "is over", "revoked", "401", "made good"] {
        assert!(stdout.contains(word), "{word}: {stdout}");
    }
    assert!(stdout.ends_with("Nobody who used a token saw a 401 or an error.\n"), "{stdout}");

    let json = json.wait_with_output().unwrap();
    let stdout = text(&json.stdout);
    assert!(json.status.success(), "{stdout}");
    let lines: Vec<serde_json::Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.last().unwrap();
    assert_eq!(summary["event"], "summary");
    assert_eq!(summary["kept"], true);
    assert_eq!((&summary["user_saw_rejected"], &summary["user_saw_errors"]), (&0.into(), &0.into()));
    assert_eq!(summary["accepted"], summary["requests"]);
    for (field, least) in
        [("requests", 100), ("tokens", 4), ("failed_mints", 1), ("made_good", 1), ("requests_during_outage", 10)]
    {
        assert!(summary[field].as_u64().unwrap() >= least, "{field}: {summary}");
    }
    let events: Vec<&str> = lines.iter().filter_map(|line| line["event"].as_str()).collect();
    for event in
        ["minted", "refreshed", "outage_began", "mint_failed", "outage_ended", "revoked", "refused", "made_good"]
    {
        assert!(events.contains(&event), "{event}: {stdout}");
    }
}
