//! The lab's interface, as a program in any language uses it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Answer, ask, get, post, request};
use unexpired_testkit::lab::{Lab, LabOptions};
use unexpired_testkit::{Endpoint, defaults};

fn start() -> Lab {
    Lab::start(LabOptions::new()).unwrap()
}

fn tell(lab: &Lab, path: &str, body: &Value) -> Answer {
    send(lab, "POST", path, &body.to_string())
}

fn send(lab: &Lab, method: &str, path: &str, body: &str) -> Answer {
    let url = format!("{}{path}", lab.endpoints().url);
    request(method, &url, &[("content-type", "application/json")], body)
}

fn mint(lab: &Lab) -> Answer {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", defaults::CLIENT_ID),
        ("client_secret", defaults::CLIENT_SECRET),
    ];
    post(&lab.endpoints().oauth.token_url, &form)
}

#[test]
fn it_names_its_endpoints() {
    let lab = start();
    let told = get(&lab.endpoints().lab).json();
    assert_eq!(told, serde_json::to_value(lab.endpoints()).unwrap());
    assert_eq!(told["oauth"]["token_url"], lab.identity_provider().oauth_token_url());
    assert_eq!(told["entra"]["token_url"], lab.identity_provider().entra_token_url());
    assert_eq!(told["google"]["token_url"], lab.identity_provider().google_token_url());
    assert_eq!(told["ibm"]["token_url"], lab.identity_provider().ibm_token_url());
    let key = std::fs::read_to_string(told["google"]["credentials_file"].as_str().unwrap()).unwrap();
    assert_eq!(key, lab.identity_provider().service_account_json().expose());
    assert_eq!(get(told["jwks_uri"].as_str().unwrap()).status, 200);
}

#[test]
fn the_life_of_a_token() {
    let lab = start();
    let wish = json!({ "lifetime": "3s", "audience": ["https://a.example", "https://b.example"], "scope": "read" });
    let minted = tell(&lab, "/lab/mint", &wish).json();
    assert_eq!((&minted["expires_in"], &minted["token_type"]), (&json!(3), &json!("Bearer")));
    let token = minted["access_token"].as_str().unwrap();
    let check = &lab.endpoints().check;
    let good = ask(check, token);
    assert_eq!((good.status, &good.json()["aud"]), (200, &json!(["https://a.example", "https://b.example"])));

    let clock = tell(&lab, "/lab/clock", &json!({ "shift": "3s" })).json();
    assert_eq!(clock["shift_seconds"], 3.0);
    assert_eq!(ask(check, token).text("reason"), "expired");
    assert_eq!(tell(&lab, "/lab/clock", &json!({ "shift": -3 })).json()["shift_seconds"], 0.0);
    assert_eq!(ask(check, token).status, 200);
    assert_eq!(tell(&lab, "/lab/revoke", &json!({ "token": token })).json()["revoked"], 1);
    assert_eq!(ask(check, token).text("reason"), "revoked");
    assert_eq!(tell(&lab, "/lab/revoke", &json!({ "token": "unknown" })).json()["revoked"], 0);
    tell(&lab, "/lab/lifetime", &json!({ "lifetime": 0.25 }));
    assert_eq!(mint(&lab).json()["expires_in"], 0.25);
    assert_eq!(tell(&lab, "/lab/revoke", &json!({ "all": true })).json()["revoked"], 1);
}

#[test]
fn faults_by_name() {
    let lab = start();
    let set = |fault: Value| {
        let answer = tell(&lab, "/lab/faults", &fault);
        assert_eq!(answer.status, 200, "{fault}: {answer:?}");
    };
    set(json!({ "fault": "status", "status": 503, "retry_after": 5, "times": 2, "endpoint": "oauth" }));
    for _ in 0..2 {
        let answer = mint(&lab);
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    }
    assert_eq!(mint(&lab).status, 200);

    set(json!({ "fault": "status", "status": 400, "body": { "error": "invalid_grant" } }));
    assert_eq!(mint(&lab).text("error"), "invalid_grant");
    set(json!({ "fault": "status", "status": 503, "lasting": "1m" }));
    assert_eq!(mint(&lab).status, 503);
    tell(&lab, "/lab/clock", &json!({ "shift": "1m" }));
    set(json!({ "fault": "expires_in", "expires_in": "text", "always": true }));
    assert_eq!(mint(&lab).json()["expires_in"], "3600");
    let cleared = send(&lab, "DELETE", "/lab/faults", "").json();
    assert_eq!(cleared["active"], 0);

    for fault in [
        "never_answer",
        "cut_before",
        "cut_after",
        "cut_body",
        "html",
        "error_with_200",
        "garbage",
        "not_http",
        "same_token",
    ] {
        set(json!({ "fault": fault }));
    }
    for fault in [
        json!({ "fault": "delay", "delay": "1ms" }),
        json!({ "fault": "drip", "delay": "1ms" }),
        json!({ "fault": "redirect", "location": "http://127.0.0.1:9/" }),
        json!({ "fault": "lifetime", "lifetime": "2s" }),
        json!({ "fault": "date", "skew_seconds": -3600 }),
        json!({ "fault": "content_type", "content_type": "text/plain" }),
    ] {
        set(fault);
    }
    assert_eq!(get(&format!("{}/faults", lab.endpoints().lab)).json()["active"], 15);
}

#[test]
fn bad_input_is_refused_and_changes_nothing() {
    let lab = start();
    for (path, body, hint) in [
        ("/lab/mint", "{", "EOF"),
        ("/lab/mint", "[]", "JSON object"),
        ("/lab/mint", r#"{"lifetme":"3s"}"#, "lifetme"),
        ("/lab/mint", r#"{"lifetime":"soon"}"#, "250ms"),
        ("/lab/mint", r#"{"lifetime":"-3s"}"#, "250ms"),
        ("/lab/clock", "{}", "shift"),
        ("/lab/clock", r#"{"shift":null}"#, ""),
        ("/lab/faults", "{}", "fault"),
        ("/lab/faults", r#"{"fault":"earthquake"}"#, "earthquake"),
        ("/lab/faults", r#"{"fault":"status"}"#, "needs status"),
        ("/lab/faults", r#"{"fault":"status","status":99}"#, "between"),
        ("/lab/faults", r#"{"fault":"html","status":503}"#, "does not belong"),
        ("/lab/faults", r#"{"fault":"html","endpoint":"azure"}"#, "entra"),
        ("/lab/faults", r#"{"fault":"html","times":1,"always":true}"#, "one of"),
        ("/lab/faults", r#"{"fault":"status","status":503,"retry_after":"1\r\nx: y"}"#, "header"),
        ("/lab/revoke", "{}", "token"),
        ("/lab/revoke", r#"{"token":"x","all":true}"#, "token"),
        ("/lab/refresh_token", r#"{"client_id":"nobody"}"#, "client"),
        ("/lab/resource", r#"{"refuse":"yes"}"#, "boolean"),
    ] {
        let answer = send(&lab, "POST", path, body);
        assert_eq!((answer.status, answer.text("error").as_str()), (400, "invalid_request"), "{path} {body}");
        let why = answer.text("error_description");
        assert!(why.contains(hint), "{body}: {why}");
    }
    let form = request("POST", &format!("{}/clock", lab.endpoints().lab), &[], r#"{"shift":"1h"}"#);
    assert_eq!(form.status, 400, "what a web form can send");
    assert_eq!(send(&lab, "POST", "/lab/nothing", "{}").status, 404);
    let method = get(&format!("{}/mint", lab.endpoints().lab));
    assert_eq!((method.status, method.header("allow")), (405, Some("POST")));
    let idp = lab.identity_provider();
    assert_eq!((idp.mints(), idp.faults()), (0, 0));
    assert!(idp.requests().is_empty(), "the lab's own requests are not recorded");
}

#[test]
fn other_hosts_and_web_pages_are_refused() {
    let lab = start();
    let url = &lab.endpoints().lab;
    let port = lab.endpoints().url.rsplit_once(':').unwrap().1;
    for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1:1", ""] {
        assert_eq!(request("GET", url, &[("host", host)], "").status, 403, "{host}");
        let token_url = &lab.endpoints().oauth.token_url;
        assert_eq!(request("POST", token_url, &[("host", host)], "x=y").status, 403, "{host}");
    }
    assert_eq!(request("GET", url, &[("host", &format!("localhost:{port}"))], "").status, 200);
    assert_eq!(request("GET", url, &[("origin", "https://evil.example")], "").status, 403);
    assert_eq!(request("GET", url, &[("origin", &lab.endpoints().url)], "").status, 200);
}

#[test]
fn requests_stats_and_reset() {
    let lab = start();
    let token = mint(&lab).text("access_token");
    assert_eq!(ask(&lab.endpoints().check, &token).status, 200);
    tell(&lab, "/lab/clock", &json!({ "shift": "2h" }));
    assert_eq!(ask(&lab.endpoints().check, &token).status, 401);
    tell(&lab, "/lab/faults", &json!({ "fault": "html", "times": 3 }));
    tell(&lab, "/lab/resource", &json!({ "refuse": true, "scope": "x" }));

    let url = format!("{}/stats", lab.endpoints().lab);
    let stats = get(&url).json();
    assert_eq!((&stats["mints"]["oauth"], &stats["mints"]["total"]), (&json!(1), &json!(1)));
    assert_eq!((&stats["resource"]["ok"], &stats["resource"]["expired"]), (&json!(1), &json!(1)));
    assert_eq!((&stats["requests"]["resource"], &stats["faults"]), (&json!(2), &json!(1)));

    let requests = get(&format!("{}/requests", lab.endpoints().lab));
    let text = String::from_utf8_lossy(&requests.body).into_owned();
    assert!(!text.contains(&token) && !text.contains(defaults::CLIENT_SECRET), "{text}");
    assert_eq!(requests.json()["requests"][0]["form"][2], json!(["client_secret", "…"]));
    let shown = get(&format!("{}/requests?secrets=true", lab.endpoints().lab)).json();
    assert_eq!(shown["requests"][0]["form"][2], json!(["client_secret", defaults::CLIENT_SECRET]));
    assert_eq!(shown["requests"][0]["status"], 200);

    let reset = tell(&lab, "/lab/reset", &json!({})).json();
    assert_eq!(
        (&reset["mints"]["total"], &reset["requests"]["oauth"], &reset["faults"]),
        (&json!(0), &json!(0), &json!(0))
    );
    let token = mint(&lab).text("access_token");
    assert_eq!(ask(&lab.endpoints().check, &token).status, 200, "it refuses no longer");
    assert_eq!(lab.identity_provider().mints_at(Endpoint::OAuth), 1);
}

#[test]
fn refresh_tokens_can_be_had() {
    let lab = start();
    let told = tell(&lab, "/lab/refresh_token", &json!({ "scope": "read" })).json();
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", told["client_id"].as_str().unwrap()),
        ("refresh_token", told["refresh_token"].as_str().unwrap()),
    ];
    let answer = post(&lab.endpoints().oauth.token_url, &form).json();
    assert_eq!(answer["scope"], "read");
    let body = json!({ "token": answer["refresh_token"] });
    assert_eq!(tell(&lab, "/lab/revoke", &body).json()["revoked"], 1);
    let access = answer["access_token"].as_str().unwrap();
    assert_eq!(ask(&lab.endpoints().check, access).text("reason"), "revoked");
}

#[test]
fn the_configuration_names_files_that_are_private_and_go_away() {
    let lab = Lab::start(LabOptions::new().lifetime(Duration::from_secs(3))).unwrap();
    let config = lab.config_toml().to_owned();
    for secret in [defaults::CLIENT_SECRET, defaults::API_KEY, "PRIVATE KEY", "fake-rt-"] {
        assert!(!config.contains(secret), "{secret}");
    }
    let folder = lab.identity_provider().folder().to_owned();
    for (file, content) in [
        ("client-secret", defaults::CLIENT_SECRET),
        ("ibm-api-key", defaults::API_KEY),
        ("google-service-account.json", "service_account"),
        ("refresh-token", "fake-rt-"),
    ] {
        let path = folder.join(file);
        assert!(config.contains(&json!(path.to_str().unwrap()).to_string()), "{file}");
        assert!(std::fs::read_to_string(&path).unwrap().contains(content));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }
    drop(lab);
    assert!(!folder.exists());
}

/// Programs in other languages have nothing but the page and the answer of `GET /lab`.
#[test]
fn every_path_and_every_fault_stands_on_the_page() {
    let lab = start();
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lab.md");
    let page = std::fs::read_to_string(page).unwrap();
    let told = get(&lab.endpoints().lab).json();
    let mut paths = 0;
    for control in told["control"].as_array().unwrap() {
        let path = control["path"].as_str().unwrap();
        for method in control["methods"].as_array().unwrap() {
            let method = method.as_str().unwrap();
            paths += 1;
            assert!(page.contains(&format!("| `{method} {path}` |")), "{method} {path}");
            let status = send(&lab, method, path, "{}").status;
            assert!(!matches!(status, 404 | 405), "{method} {path}: {status}");
        }
        assert_eq!(send(&lab, "PUT", path, "{}").status, 405, "{path}");
    }
    let rows = page
        .lines()
        .filter(|line| ["| `GET /", "| `POST /", "| `DELETE /"].iter().any(|start| line.starts_with(start)));
    assert_eq!(rows.count(), paths + 1, "one row for each, and one for `/lab/check`");
    assert!(get(&format!("{}/lab/nothing", lab.endpoints().url)).text("error_description").contains("GET /lab names"));

    // What is no fault is answered with the names of all that are.
    let answer = tell(&lab, "/lab/faults", &json!({ "fault": "?" }));
    let names: Vec<String> =
        answer.text("error_description").split('`').skip(3).step_by(2).map(str::to_owned).collect();
    assert!(names.len() >= 17, "{answer:?}");
    let table = page.split("| `fault` | with |").nth(1).unwrap().split("\n\n").next().unwrap();
    for name in names {
        assert!(table.contains(&format!("`{name}`")), "{name}");
    }
    // And the same tables stand in the crate's documentation.
    let crate_page = include_str!("../src/lab/mod.rs");
    for row in page.lines().filter(|line| line.starts_with("| `") && line.contains("/lab/")) {
        if row.starts_with("| `GET") || row.starts_with("| `POST") || row.starts_with("| `DELETE") {
            assert!(crate_page.contains(row), "{row}");
        }
    }
}
