//! What each answer of a token endpoint becomes.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod support;

use std::net::TcpListener;
use std::sync::Mutex;
use std::time::Duration;
use support::{Idp, Reply, json, mint, secret};
use unexpired_core::{ErrorKind, MintError, Token, TokenSource};
use unexpired_oauth::{ClientAuth, ClientCredentials, RefreshToken, Server};

fn life(token: &Token) -> u64 {
    token.lifetime().life.unwrap().as_secs()
}

async fn answered(reply: Reply) -> Result<Token, MintError> {
    let idp = answering(reply).await;
    mint(&machine(idp.server())).await
}

async fn answering(reply: Reply) -> Idp {
    let reply = Mutex::new(Some(reply));
    Idp::start(move |_| reply.lock().unwrap().take().unwrap()).await
}

fn machine(server: Server) -> ClientCredentials {
    ClientCredentials::builder(server, "client-123").client_secret(secret("fake-secret")).build().unwrap()
}

#[tokio::test]
async fn tokens() {
    for (body, scheme, seconds) in [
        (r#"{"access_token":"at-1","token_type":"bearer","expires_in":"3600","scope":"read"}"#, "Bearer", 3600),
        (r#"{"access_token":"at-1","token_type":"BEARER","expires_in":3599.7}"#, "Bearer", 3599),
        (r#"{"access_token":"at-1","token_type":"Bearer"}"#, "Bearer", 300),
        (r#"{"access_token":"at-1","expires_in":"soon"}"#, "Bearer", 300),
        (r#"{"access_token":"at-1","expires_in":1e300}"#, "Bearer", 300),
        (r#"{"access_token":"at-1","expires_in":60}"#, "Bearer", 60),
        (r#"{"access_token":"at-1","token_type":"Bearer","expires_in":60,"refresh_token":"ignored"}"#, "Bearer", 60),
    ] {
        let token = answered(json(200, body)).await.unwrap();
        assert_eq!((token.secret(), token.scheme(), life(&token)), ("at-1", scheme, seconds), "{body}");
    }
}

#[tokio::test]
async fn how_long_a_token_lives_that_does_not_say_can_be_set() {
    for (body, seconds) in [(r#"{"access_token":"at-1"}"#, 7200), (r#"{"access_token":"at-1","expires_in":60}"#, 60)] {
        let idp = answering(json(200, body)).await;
        let source = ClientCredentials::builder(idp.server(), "client-123")
            .client_secret(secret("fake-secret"))
            .default_life(Duration::from_secs(7200))
            .build()
            .unwrap();
        assert_eq!(life(&mint(&source).await.unwrap()), seconds, "{body}");
    }
}

#[tokio::test]
async fn types_that_are_no_bearer_tokens_are_refused() {
    for kind in ["N_A", "n_a", "DPoP", "PoP", "mac"] {
        let body = format!(r#"{{"access_token":"at-1","token_type":"{kind}","expires_in":60}}"#);
        let error = answered(json(200, body)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misconfigured, "{kind}");
        assert!(error.to_string().contains(kind), "{error}");
    }
}

#[tokio::test]
async fn refusals() {
    use ErrorKind::{Denied, Malformed, Misconfigured, Unavailable};
    let oauth =
        |status, code: &str| json(status, format!(r#"{{"error":"{code}","error_description":"said the server"}}"#));
    for (what, reply, kind, remedy) in [
        ("a wrong secret", oauth(401, "invalid_client"), Denied, "check client_id and client_secret"),
        ("a grant not allowed", oauth(400, "unauthorized_client"), Denied, "allow the grant client_credentials"),
        ("a grant unknown", oauth(400, "unsupported_grant_type"), Denied, "allow the grant client_credentials"),
        ("a wrong scope", oauth(400, "invalid_scope"), Denied, "check scope"),
        ("a wrong resource", oauth(400, "invalid_target"), Denied, "check resource and audience"),
        ("no access to the API", oauth(403, "access_denied"), Denied, "grant this client the API"),
        ("a bad request", oauth(400, "invalid_request"), Denied, "check scope, audience"),
        ("DPoP demanded", oauth(400, "use_dpop_nonce"), Misconfigured, "DPoP"),
        ("a code of their own", oauth(400, "quota"), Denied, "said the server"),
        ("a wrong secret, without words", json(401, ""), Denied, "check client_id and client_secret"),
        ("a wrong secret, without words, 403", json(403, ""), Denied, "check client_id and client_secret"),
        ("a bad request, without words", json(400, ""), Denied, "check scope, audience"),
        ("an error with status 200", oauth(200, "invalid_client"), Denied, "check client_id"),
        ("overload", oauth(400, "temporarily_unavailable"), Unavailable, "said the server"),
        ("a gateway", json(503, "<html>upstream</html>"), Unavailable, "503"),
        ("a gateway without words", json(502, ""), Unavailable, "502"),
        ("a proxy's page", json(400, "<html>proxy</html>"), Unavailable, "page"),
        ("a portal's page", json(200, "<html>sign in</html>"), Malformed, "HTML"),
        ("half an answer", json(200, r#"{"access_token":"at-"#), Malformed, "JSON"),
        ("no token", json(200, "{}"), Malformed, "access_token"),
        ("expired on arrival", json(200, r#"{"access_token":"at-1","expires_in":-1}"#), Malformed, "expired"),
        ("another address", json(404, ""), Misconfigured, "address"),
        (
            "a redirect",
            Reply::With(302, "location: https://evil.example.com/\r\n".into(), String::new()),
            Misconfigured,
            "redirects are not followed",
        ),
    ] {
        let error = answered(reply).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error}");
        let line = error.to_string();
        assert!(line.contains(remedy), "{what}: {line}");
        assert!(line.starts_with("oauth at 127.0.0.1: ") && line.chars().count() <= 300, "{what}: {line}");
        assert!(!line.contains("at-1") && !line.contains("fake-secret"), "{what}: {line}");
    }
}

#[tokio::test]
async fn the_hint_to_a_wrong_secret_fits_how_it_was_sent() {
    for (auth, given, hint) in [
        (ClientAuth::Basic, "fake-secret", "or set client_auth to client_secret_post if"),
        (ClientAuth::Basic, "fake+secret", "set client_auth to client_secret_post: some servers"),
        (ClientAuth::Post, "fake+secret", "or set client_auth to client_secret_basic if"),
    ] {
        for reply in [json(401, r#"{"error":"invalid_client"}"#), json(403, "")] {
            let idp = answering(reply).await;
            let source = ClientCredentials::builder(idp.server(), "client-123")
                .client_secret(secret(given))
                .client_auth(auth)
                .build()
                .unwrap();
            let error = mint(&source).await.unwrap_err();
            assert!(error.to_string().contains(hint), "{error}");
        }
    }
    let idp = answering(json(401, r#"{"error":"invalid_client"}"#)).await;
    let public = RefreshToken::builder(idp.server(), "client-123").refresh_token(secret("rt-1")).build().unwrap();
    let error = mint(&public).await.unwrap_err();
    assert!(error.to_string().contains("if the client has a secret"), "{error}");
}

/// Secrets that no rule about their looks would recognise, shown by a server in each way that servers write.
#[tokio::test]
async fn a_secret_that_the_server_repeats_is_not_shown() {
    let describe = |text: &str| {
        let text = serde_json::Value::String(format!("bad credentials: {text}"));
        format!(r#"{{"error":"invalid_client","error_description":{text}}}"#)
    };
    for given in ["hunter-two", "a/b+c", "p@ss wörd"] {
        let encoded = unexpired_http::form_encode(given).to_string();
        let pair = unexpired_crypto::b64::std_encode(format!("app:{encoded}").as_bytes());
        let escaped: String = given.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        for body in [
            describe(given),
            describe(&encoded),
            describe(&encoded.to_lowercase()),
            describe(&describe(given)),
            describe(&format!("Authorization: Basic {pair}")),
            format!(r#"{{"error":"invalid_client","error_description":"not {escaped}"}}"#),
            format!(r#"{{"error":"invalid_client","error_description":"not {}"}}"#, given.replace('/', r"\/")),
            format!(r#"{{"error":"invalid_client","message":"{given}","error_description":"no"}}"#),
            describe("no").replace("invalid_client", given),
        ] {
            for way in ["basic", "post", "refresh"] {
                let idp = answering(json(401, body.clone())).await;
                let error = match way {
                    "refresh" => {
                        let source = RefreshToken::builder(idp.server(), "app").refresh_token(secret(given)).build();
                        mint(&source.unwrap()).await.unwrap_err()
                    }
                    _ => {
                        let source = ClientCredentials::builder(idp.server(), "app")
                            .client_secret(secret(given))
                            .client_auth(if way == "post" { ClientAuth::Post } else { ClientAuth::Basic });
                        mint(&source.build().unwrap()).await.unwrap_err()
                    }
                };
                // The header was not sent.
                if way != "basic" && body.contains("Basic") {
                    continue;
                }
                let line = error.to_string();
                for shown in [given, &encoded, &pair, "bad credentials"] {
                    assert!(!line.contains(shown), "{way} {body}: {line}");
                }
                assert_eq!(error.kind(), ErrorKind::Denied, "{line}");
                assert_eq!(error.provider_code(), body.contains("invalid_client").then_some("invalid_client"));
                assert!(line.contains("repeats a secret") && line.contains("check"), "{line}");
            }
        }
    }
}

#[tokio::test]
async fn refusals_of_a_refresh_token() {
    for (reply, says) in [
        (json(400, r#"{"error":"invalid_grant","error_description":"refresh token already used"}"#), "; sign in again"),
        (json(400, ""), "; sign in again"),
        (json(400, r#"{"error":"invalid_scope"}"#), "no more scopes than were granted"),
        (json(400, r#"{"error":"unauthorized_client"}"#), "allow the grant refresh_token"),
        (json(400, r#"{"error":"interaction_required"}"#), "; sign in again"),
    ] {
        let idp = answering(reply).await;
        let source = RefreshToken::builder(idp.server(), "client-123").refresh_token(secret("rt-1")).build().unwrap();
        let error = mint(&source).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[tokio::test]
async fn what_cannot_be_a_refresh_token_is_not_sent() {
    let idp = Idp::start(|_| unreachable!()).await;
    for given in ["", "\n", "not_supported", "rt\n1", "rt\u{0}"] {
        let source = RefreshToken::builder(idp.server(), "client-123").refresh_token(secret(given)).build().unwrap();
        assert_eq!(mint(&source).await.unwrap_err().kind(), ErrorKind::Misconfigured, "{given:?}");
    }
    assert!(RefreshToken::builder(idp.server(), "client-123").build().is_err());
    assert!(idp.requests().is_empty());
}

#[tokio::test]
async fn overload_says_how_long() {
    let error = answered(Reply::With(429, "retry-after: 7\r\n".into(), String::new())).await.unwrap_err();
    assert_eq!((error.kind(), error.wait()), (ErrorKind::Unavailable, Some(Duration::from_secs(7))));
}

#[tokio::test]
async fn nobody_there() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::token_url(&format!("http://127.0.0.1:{port}/token")).unwrap();
    let source = machine(server);
    assert_eq!(mint(&source).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(source.name(), "oauth");
}
