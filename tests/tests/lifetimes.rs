//! Through many lifetimes at servers that this project did not write: no request is refused. These tests take real time, since the servers'
//! clocks cannot be driven; tokens live 2 or 3 s.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

use serde_json::json;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use unexpired_core::jwt::Times;
use unexpired_core::*;
use unexpired_http::Client;
use unexpired_oauth::{ClientAuth, ClientCredentials, RefreshToken, Server};
use unexpired_tests::servers::{Azurite, CLIENT_BASIC, CLIENT_POST, Glewlwyd, OidcProvider, SECRET, USER_BASIC};

/// Calls the API again and again for so long, and gives back the tokens that were used.
fn session(manager: &TokenManager, lasts: Duration, mut api: impl FnMut(&Token)) -> HashSet<String> {
    let end = Instant::now() + lasts;
    let mut used = HashSet::new();
    while Instant::now() < end {
        let token = manager.blocking_token().unwrap();
        used.insert(token.fingerprint());
        api(&token);
        std::thread::sleep(Duration::from_millis(25));
    }
    used
}

/// The token is a JWT whose own `exp` has not come.
fn alive(token: &Token) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!(Times::of(token.secret()).exp.unwrap() > now, "an expired token was handed out");
}

#[test]
fn azurite_refuses_no_request_in_ten_lifetimes() {
    let Some(storage) = Azurite::start() else { return };
    let Some(issuer) = OidcProvider::start_as_entra("11111111-2222-4333-8444-555555555555") else { return };
    let client = Client::builder().ca_file(issuer.ca().ca_file()).build().unwrap();
    let server = Server::token_url(&format!("{}/token", issuer.https_url())).unwrap();
    let source = ClientCredentials::builder(server, CLIENT_BASIC)
        .client_secret(Arc::new(Secret::new(SECRET)))
        .resource(&Azurite::resource(2))
        .client(client)
        .build()
        .unwrap();
    let manager = TokenManager::builder("storage", source).build();
    let mut requests = 0;
    let tokens = session(&manager, Duration::from_secs(21), |token| {
        let answer = storage.list(token.authorization().to_str().unwrap()).unwrap();
        assert_eq!(answer.status, 200, "request {requests}");
        requests += 1;
    });
    assert!(tokens.len() >= 10, "{} tokens in ten lifetimes", tokens.len());
    assert!(requests > 100, "{requests} requests");
    // About one mint a lifetime, and no more: each is used.
    assert_eq!(issuer.stats()["granted"]["client_credentials"], json!(manager.status().mints));
    assert!(manager.status().mints <= 40, "{} mints", manager.status().mints);
}

#[test]
fn azurite_refuses_no_request_while_a_rotating_family_lives_through_ten_lifetimes_and_an_outage() {
    let Some(storage) = Azurite::start() else { return };
    let Some(issuer) = OidcProvider::start_as_entra("11111111-2222-4333-8444-555555555555") else { return };
    let first = issuer.first_refresh_token(USER_BASIC, Some(&Azurite::resource(3)));
    let store = Arc::new(MemoryStore::new());
    let manager = |name: &str| {
        let source = RefreshToken::builder(Server::token_url(&issuer.token_endpoint()).unwrap(), USER_BASIC)
            .client_secret(Arc::new(Secret::new(SECRET)))
            .refresh_token(Arc::new(Secret::new(first.clone())))
            .store(store.clone())
            .build()
            .unwrap();
        TokenManager::builder(name, source).build()
    };
    // Two managers share one refresh token: they redeem it in turns.
    let (one, two) = (manager("one"), manager("two"));
    let half = |manager: &TokenManager| {
        session(manager, Duration::from_secs(15), |token| {
            alive(token);
            assert_eq!(storage.list(token.authorization().to_str().unwrap()).unwrap().status, 200);
        })
    };
    let (a, b) = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(&two));
        (half(&one), other.join().unwrap())
    });
    // An outage shorter than what is left of the tokens' lives is seen by nobody.
    issuer.faults(&json!([{ "status": 503, "times": 1 }]));
    let (c, d) = std::thread::scope(|scope| {
        let other = scope.spawn(|| half(&two));
        (half(&one), other.join().unwrap())
    });
    assert!(a.union(&c).count() >= 10 && b.union(&d).count() >= 10, "ten lifetimes each");
    let stats = issuer.stats();
    assert_eq!(stats["answers"]["/token 503"], 1, "the outage was met");
    let refused = &stats["refused"];
    assert!(refused.get("refresh_token invalid_grant").is_none(), "no used token was presented again: {refused}");
}

#[test]
fn oidc_provider_takes_every_way_to_send_the_secret() {
    let Some(issuer) = OidcProvider::start() else { return };
    for (client_id, auth) in [(CLIENT_BASIC, ClientAuth::Basic), (CLIENT_POST, ClientAuth::Post)] {
        for server in [Server::issuer(&issuer.url()).unwrap(), Server::token_url(&issuer.token_endpoint()).unwrap()] {
            let source = ClientCredentials::builder(server, client_id)
                .client_auth(auth)
                .client_secret(Arc::new(Secret::new(SECRET)))
                .scope("api:read")
                .resource("https://api.example/ttl=2")
                .build()
                .unwrap();
            alive(&TokenManager::builder(client_id, source).build().blocking_token().unwrap());
        }
    }
    let wrong = ClientCredentials::builder(Server::issuer(&issuer.url()).unwrap(), CLIENT_BASIC)
        .client_secret(Arc::new(Secret::new("wrong")))
        .build()
        .unwrap();
    let error = TokenManager::builder("wrong", wrong).build().blocking_token().unwrap_err();
    assert_eq!((error.kind(), error.cause().provider_code()), (ErrorKind::Denied, Some("invalid_client")), "{error}");
}

#[test]
fn oidc_provider_in_trouble() {
    let Some(issuer) = OidcProvider::start() else { return };
    let manager = || {
        let source = ClientCredentials::builder(Server::token_url(&issuer.token_endpoint()).unwrap(), CLIENT_BASIC)
            .client_secret(Arc::new(Secret::new(SECRET)))
            .build()
            .unwrap();
        TokenManager::builder("trouble", source).build()
    };
    // Busy for a moment: the flight tries again for those who wait.
    issuer.faults(&json!([{ "status": 503, "headers": { "retry-after": "1" } }, { "status": 500 }]));
    let start = Instant::now();
    assert!(manager().blocking_token().is_ok());
    assert!(start.elapsed() >= Duration::from_secs(1), "Retry-After was obeyed");
    // Busy for an hour: the error comes at once and is remembered.
    issuer.faults(&json!([{ "status": 429, "headers": { "retry-after": "3600" } }]));
    let manager = manager();
    for _ in 0..3 {
        assert_eq!(manager.blocking_token().unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert_eq!(issuer.stats()["answers"]["/token 429"], 1);
}

#[test]
fn a_lost_rotation_is_tried_once_more_and_then_needs_a_sign_in() {
    let Some(issuer) = OidcProvider::start() else { return };
    let first = issuer.first_refresh_token(USER_BASIC, None);
    let source = RefreshToken::builder(Server::token_url(&issuer.token_endpoint()).unwrap(), USER_BASIC)
        .client_secret(Arc::new(Secret::new(SECRET)))
        .refresh_token(Arc::new(Secret::new(first)))
        .store(Arc::new(MemoryStore::new()))
        .build()
        .unwrap();
    // The server rotates and the answer is lost: this server has no grace, so only a sign-in helps.
    issuer.faults(&json!([{ "drop": true }]));
    let manager = TokenManager::builder("lost", source).build();
    let error = manager.blocking_token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("sign in"), "{error}");
    let presented = issuer.stats()["requests"]["/token"].as_u64().unwrap();
    assert_eq!(presented, 2, "the old token was sent again once");
    assert_eq!(manager.blocking_token().unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(issuer.stats()["requests"]["/token"], json!(presented));
}

#[test]
fn glewlwyd_with_its_lower_case_bearer_and_its_empty_errors() {
    let Some(issuer) = Glewlwyd::start() else { return };
    let credentials = |secret: &str| {
        ClientCredentials::builder(Server::token_url(&issuer.token_endpoint()).unwrap(), Glewlwyd::CLIENT)
            .client_auth(ClientAuth::Post)
            .client_secret(Arc::new(Secret::new(secret)))
            .scope("api")
            .build()
            .unwrap()
    };
    let manager = TokenManager::builder("glewlwyd", credentials(SECRET)).build();
    let tokens = session(&manager, Duration::from_secs(7), |token| {
        assert_eq!(token.scheme(), "Bearer");
        alive(token);
    });
    assert!(tokens.len() >= 3, "{} tokens", tokens.len());
    let error = TokenManager::builder("wrong", credentials("wrong")).build().blocking_token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let first = issuer.first_refresh_token();
    let person = || {
        RefreshToken::builder(Server::token_url(&issuer.token_endpoint()).unwrap(), Glewlwyd::CLIENT)
            .client_auth(ClientAuth::Post)
            .client_secret(Arc::new(Secret::new(SECRET)))
            .refresh_token(Arc::new(Secret::new(first.clone())))
            .store(Arc::new(MemoryStore::new()))
            .build()
            .unwrap()
    };
    let tokens = session(&TokenManager::builder("rotating", person()).build(), Duration::from_secs(7), alive);
    assert!(tokens.len() >= 3, "{} tokens", tokens.len());

    // With a store that knows nothing of the rotation: the used token gets an empty 400.
    let error = TokenManager::builder("used", person()).build().blocking_token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("400") && error.to_string().contains("sign in again"), "{error}");
    // It does not decode what Basic's parts are encoded by, and answers an empty 403.
    let basic = ClientCredentials::builder(Server::token_url(&issuer.token_endpoint()).unwrap(), Glewlwyd::CLIENT)
        .client_secret(Arc::new(Secret::new(SECRET)))
        .scope("api")
        .build()
        .unwrap();
    let error = TokenManager::builder("basic", basic).build().blocking_token().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("set client_auth to client_secret_post: some servers do not decode"), "{error}");
}
