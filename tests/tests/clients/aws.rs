//! The aws command, by `credential_process`.

use std::time::{Duration, Instant};

use serde_json::json;
use unexpired_tests::cli::Lab;
use unexpired_tests::clients::from_pip;
use unexpired_tests::resource::{Incoming, Reply, Resource, reply};

use crate::{LIFE, good, program, write};

/// The security token service. Keys say in their id when they expire.
fn sts(request: &Incoming) -> Reply {
    let authorization = request.header("authorization").unwrap_or_default();
    let key = authorization.split("Credential=ASIA").nth(1).and_then(|rest| rest.split('/').next());
    let end = key.and_then(|end| end.parse().ok()).unwrap_or(0);
    if now() >= end || request.header("x-amz-security-token") != Some("fake-session") {
        let error = "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>expired</Message></Error></ErrorResponse>";
        return reply(403, "text/xml", error);
    }
    let who = "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/r/s</Arn><UserId>u</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>";
    reply(200, "text/xml", who)
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn aws_signs_with_keys_that_are_alive() {
    let Some(aws) = from_pip("aws") else { return };
    let lab = Lab::start(LIFE);
    let script = "end=$(($(date +%s) + 6)); printf '{\"Version\":1,\"AccessKeyId\":\"ASIA%s\",\"SecretAccessKey\":\"fake/secret\",\"SessionToken\":\"fake-session\",\"Expiration\":\"%s\"}' $end $(date -u -d @$end +%Y-%m-%dT%H:%M:%SZ)";
    lab.configure(
        "lab-oauth",
        &format!("[token.dev]\nprovider = 'command'\nshell = {}\nanswer = 'aws-credentials'\n", json!(script)),
    );
    let keys = std::sync::Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    let seen = keys.clone();
    let server = Resource::open(None, move |request: &Incoming| {
        let answer = sts(request);
        let key = request.header("authorization").unwrap_or_default().split('/').next().unwrap_or_default().to_owned();
        seen.lock().unwrap().insert((answer.0, key));
        answer
    });
    let config = format!("[profile dev]\nregion = us-east-1\ncredential_process = {} helper aws dev\n", program());
    write(&lab.home().join(".aws/config"), &config);
    let url = server.url();
    let environment = [
        ("AWS_PROFILE", "dev"),
        ("AWS_ENDPOINT_URL_STS", url.as_str()),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_MAX_ATTEMPTS", "1"),
    ];
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        let who = lab.run(&[&aws, "sts", "get-caller-identity", "--output", "json"], &environment);
        good(&who);
        assert!(who.stdout.contains("assumed-role/r/s"), "{who:?}");
    }
    let keys = keys.lock().unwrap().clone();
    assert!(keys.len() >= 3 && keys.iter().all(|(status, _)| *status == 200), "{keys:?}");
    // What is no pair of keys is told so, by our words.
    write(&lab.home().join(".aws/config"), &config.replace("aws dev", "aws corp"));
    let refused = lab.run(&[&aws, "sts", "get-caller-identity"], &environment);
    assert!(!refused.ok && refused.stderr.contains("corp: a bearer token is no pair of AWS keys"), "{refused:?}");
}
