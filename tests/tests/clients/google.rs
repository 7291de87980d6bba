//! google-auth, by an executable source and a token exchange.

use serde_json::json;
use unexpired_tests::cli::Lab;
use unexpired_tests::clients::from_pip_as;
use unexpired_tests::resource::{Incoming, Resource, reply};

use crate::{LIFE, good, program, through_lifetimes, use_tokens, write};

#[test]
fn google_auth_exchanges_the_subject_tokens() {
    let Some(python) = from_pip_as("python", "google-auth") else { return };
    let lab = Lab::start(LIFE);
    let (guard, subjects) = (lab.guard(), std::sync::Arc::new(std::sync::Mutex::new(Vec::new())));
    let seen = subjects.clone();
    let server = Resource::open(None, move |request: &Incoming| {
        let form: std::collections::HashMap<String, String> =
            url::form_urlencoded::parse(&request.body).into_owned().collect();
        let subject = form.get("subject_token").cloned().unwrap_or_default();
        let good = guard(&subject);
        seen.lock().unwrap().push((good, subject));
        if !good {
            return reply(400, "application/json", r#"{"error":"invalid_grant","error_description":"expired"}"#);
        }
        let answer = json!({ "access_token": "sts-1", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", "token_type": "Bearer", "expires_in": 3600 });
        reply(200, "application/json", answer.to_string())
    });
    let file = lab.home().join("federated.json");
    let credential = |name: &str| {
        json!({
            "type": "external_account",
            "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("{}/token", server.url()),
            "credential_source": { "executable": { "command": format!("{} helper google-executable {name}", program()), "timeout_millis": 30000 } },
        })
    };
    write(&file, &credential("corp").to_string());
    let environment = [
        ("GOOGLE_APPLICATION_CREDENTIALS", file.to_str().unwrap()),
        ("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1"),
        ("GOOGLE_CLOUD_PROJECT", "p"),
    ];
    good(&lab.run(&[&python, use_tokens(), "google", "--seconds", "9.5"], &environment));
    let seen = subjects.lock().unwrap().clone();
    let different: std::collections::HashSet<_> = seen.iter().map(|(_, subject)| subject).collect();
    assert!(seen.iter().all(|(good, _)| *good) && different.len() >= 3, "{} subjects", different.len());
    // An error reaches the library as an answer, not as a broken one.
    write(&file, &credential("absent").to_string());
    let absent = lab.run(&[&python, use_tokens(), "google"], &environment);
    assert!(!absent.ok && absent.stderr.contains("code: misconfigured, message: "), "{absent:?}");
}

/// Artifact Registry's backend for keyring, as pip and uv use it: it asks gcloud, which is not installed but stood in for.
#[test]
fn a_program_that_calls_gcloud_through_lifetimes() {
    let Some(python) = from_pip_as("python", "keyrings.google-artifactregistry-auth") else { return };
    let lab = Lab::start(LIFE);
    lab.link("gcloud");
    let environment = [("UNEXPIRED_TOKEN_NAME", "corp"), ("NO_GCE_CHECK", "true")];
    let mut tokens = std::collections::HashSet::new();
    through_lifetimes(|| {
        let get = ["-m", "keyring", "get", "https://europe-python.pkg.dev/p/r/simple/", "oauth2accesstoken"];
        let got = lab.run(&[&[python.as_str()], &get[..]].concat(), &environment);
        good(&got);
        let token = got.stdout.trim_end().to_owned();
        assert!(lab.accepts(&token), "{got:?}");
        tokens.insert(token);
    });
    assert!(tokens.len() >= 3, "{} tokens in three lifetimes", tokens.len());
}
