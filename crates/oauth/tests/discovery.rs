//! The token endpoint, found by asking the issuer.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod support;

use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{Idp, Reply, Request, json, mint, mint_at, secret, token};
use unexpired_core::{ErrorKind, MintError, TestClock};
use unexpired_http::Client;
use unexpired_oauth::{ClientAuth, ClientCredentials, Server};

const INSERTED: &str = "/.well-known/oauth-authorization-server/tenant1";
const APPENDED: &str = "/tenant1/.well-known/openid-configuration";
const OIDC_INSERTED: &str = "/.well-known/openid-configuration/tenant1";

/// This server's own name in a request to it.
fn origin(request: &Request) -> String {
    format!("http://{}", request.headers["host"])
}

fn metadata(issuer: &str, token_endpoint: &str) -> Reply {
    json(200, format!(r#"{{"issuer":"{issuer}","token_endpoint":"{token_endpoint}"}}"#))
}

fn machine(server: Server) -> ClientCredentials {
    ClientCredentials::builder(server, "client-123").client_secret(secret("fake-secret")).build().unwrap()
}

fn issuer(idp: &Idp, path: &str) -> Server {
    Server::issuer(&idp.url(path)).unwrap()
}

#[tokio::test]
async fn the_places_in_their_order() {
    for (found_at, asked) in [
        (INSERTED, &[INSERTED, "/token"][..]),
        (APPENDED, &[INSERTED, APPENDED, "/token"]),
        (OIDC_INSERTED, &[INSERTED, APPENDED, OIDC_INSERTED, "/token"]),
    ] {
        let idp = Idp::start(move |request| match request.path() {
            "/token" => token("at-1"),
            path if path == found_at => {
                let origin = origin(request);
                metadata(&format!("{origin}/tenant1"), &format!("{origin}/token"))
            }
            _ => json(404, "<html>not here</html>"),
        })
        .await;
        mint(&machine(issuer(&idp, "/tenant1"))).await.unwrap();
        assert_eq!(idp.paths(), asked, "{found_at}");
        let first = &idp.requests()[0];
        assert_eq!(first.line, format!("GET {INSERTED} HTTP/1.1"));
        assert_eq!(first.headers["accept"], "application/json");
        assert!(!first.headers.contains_key("authorization"), "no secret is shown to a place that was not found yet");
    }
}

#[tokio::test]
async fn a_page_or_another_issuers_document_at_one_place_does_not_hide_the_right_one() {
    for wrong in ["page", "long page", "compressed page", "no HTTP", "other", "busy", "redirect"] {
        let idp = Idp::start(move |request| match request.path() {
            "/token" => token("at-1"),
            APPENDED => metadata(&format!("{}/tenant1", origin(request)), &format!("{}/token", origin(request))),
            _ => match wrong {
                "page" => json(200, "<html>single-page application</html>"),
                "long page" => json(200, "<html>".repeat(200_000)),
                "compressed page" => Reply::With(200, "content-encoding: gzip\r\n".into(), "\u{1f}".into()),
                "no HTTP" => Reply::Raw("220 smtp.example.com ESMTP\r\n".into()),
                "other" => metadata(&origin(request), &format!("{}/other", origin(request))),
                "busy" => json(500, ""),
                _ => Reply::With(302, "location: /login\r\n".into(), String::new()),
            },
        })
        .await;
        mint(&machine(issuer(&idp, "/tenant1"))).await.unwrap();
        assert_eq!(idp.paths(), [INSERTED, APPENDED, "/token"], "{wrong}");
    }
}

#[tokio::test]
async fn no_answer_ends_the_search() {
    let idp = Idp::start(|_| Reply::Break).await;
    let error = mint(&machine(issuer(&idp, "/tenant1"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(idp.paths(), [INSERTED]);
}

#[tokio::test]
async fn a_page_that_is_too_long_everywhere_is_told() {
    let idp = Idp::start(|_| json(200, "<html>".repeat(200_000))).await;
    let error = mint(&machine(issuer(&idp, "/tenant1"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Malformed);
    assert!(
        error.to_string().contains("longer than 1 MiB") && error.to_string().contains("check the issuer"),
        "{error}"
    );
    assert_eq!(idp.paths(), [INSERTED, APPENDED, OIDC_INSERTED]);
}

/// Plain HTTP, so that no certificate is read: which address is asked is what matters.
#[tokio::test]
async fn a_client_with_a_certificate_is_sent_to_the_endpoint_for_those() {
    for (alias, certificate, asked) in
        [(Some("/mtls/token"), true, "/mtls/token"), (Some("/mtls/token"), false, "/token"), (None, true, "/token")]
    {
        let idp = Idp::start(move |request| match request.path() {
            "/token" | "/mtls/token" => token("at-1"),
            _ => {
                let origin = origin(request);
                let aliases = match alias {
                    Some(path) => format!(r#","mtls_endpoint_aliases":{{"token_endpoint":"{origin}{path}"}}"#),
                    None => r#","mtls_endpoint_aliases":{"revocation_endpoint":"https://mtls.example.com/"}"#.into(),
                };
                json(200, format!(r#"{{"issuer":"{origin}","token_endpoint":"{origin}/token"{aliases}}}"#))
            }
        })
        .await;
        let builder = Client::builder();
        let builder = if certificate { builder.client_certificate("/no/chain.pem", "/no/key.pem") } else { builder };
        let source = ClientCredentials::builder(issuer(&idp, ""), "client-123")
            .client_auth(ClientAuth::None)
            .client(builder.build().unwrap());
        mint(&source.build().unwrap()).await.unwrap();
        assert_eq!(idp.paths().pop().unwrap(), asked, "{alias:?} {certificate}");
    }
}

#[tokio::test]
async fn a_token_endpoint_with_doubled_slashes() {
    let idp = Idp::start(|request| match request.path() {
        "//api/oidc/token" => token("at-1"),
        "/.well-known/openid-configuration" => {
            metadata(&format!("{}/", origin(request)), &format!("{}//api/oidc/token", origin(request)))
        }
        _ => json(404, ""),
    })
    .await;
    mint(&machine(issuer(&idp, "/"))).await.unwrap();
    assert_eq!(idp.paths().pop().unwrap(), "//api/oidc/token");
}

#[tokio::test]
async fn documents_that_are_not_believed() {
    type Document = fn(&str) -> Reply;
    let rows: &[(&str, Document, ErrorKind, &str)] = &[
        (
            "a slash at the end of the issuer",
            |origin| metadata(&format!("{origin}/"), &format!("{origin}/token")),
            ErrorKind::Misconfigured,
            "calls itself",
        ),
        (
            "another host's name",
            |origin| metadata("https://as.example.com", &format!("{origin}/token")),
            ErrorKind::Misconfigured,
            "calls itself https://as.example.com",
        ),
        (
            "a redirect",
            |_| Reply::With(302, "location: https://evil.example.com/\r\n".into(), String::new()),
            ErrorKind::Misconfigured,
            "redirects are not followed",
        ),
        (
            "a token endpoint in the clear",
            |origin| metadata(origin, "http://as.example.com/token"),
            ErrorKind::Misconfigured,
            "not safe",
        ),
        (
            "the metadata service as token endpoint",
            |origin| metadata(origin, "http://169.254.169.254/token"),
            ErrorKind::Misconfigured,
            "not safe",
        ),
        (
            "a token endpoint with a password",
            |origin| metadata(origin, "https://user:hunter2@as.example.com/token"),
            ErrorKind::Misconfigured,
            "not safe",
        ),
        (
            "an endpoint in the clear for clients with a certificate",
            |origin| {
                let alias = r#""mtls_endpoint_aliases":{"token_endpoint":"http://as.example.com/token"}"#;
                json(200, format!(r#"{{"issuer":"{origin}","token_endpoint":"{origin}/token",{alias}}}"#))
            },
            ErrorKind::Misconfigured,
            "not safe",
        ),
        (
            "no token endpoint",
            |origin| json(200, format!(r#"{{"issuer":"{origin}"}}"#)),
            ErrorKind::Misconfigured,
            "no token_endpoint",
        ),
        ("nothing anywhere", |_| json(404, ""), ErrorKind::Misconfigured, "set token_url"),
        (
            "no success but 200",
            |origin| match metadata(origin, &format!("{origin}/token")) {
                Reply::Answer(_, body) => json(203, body),
                other => other,
            },
            ErrorKind::Misconfigured,
            "no metadata",
        ),
        ("a list", |_| json(200, "[]"), ErrorKind::Malformed, "JSON"),
        ("a page", |_| json(200, "<html>"), ErrorKind::Malformed, "JSON"),
        ("an outage", |_| json(503, ""), ErrorKind::Unavailable, "503"),
    ];
    for (what, document, kind, says) in rows {
        let (document, kind) = (*document, *kind);
        let idp = Idp::start(move |request| document(&origin(request))).await;
        let error = mint(&machine(issuer(&idp, ""))).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{what}: {error}");
        assert!(error.to_string().contains(says), "{what}: {error}");
        assert!(!error.to_string().contains("hunter2"), "{what}: {error}");
        assert!(
            idp.requests().iter().all(|request| request.line.starts_with("GET ") && request.body.is_empty()),
            "{what}: the secret stays here"
        );
    }
}

#[tokio::test]
async fn the_first_supported_way_to_authenticate() {
    for (methods, basic, post) in [
        ("", true, false),
        (r#","token_endpoint_auth_methods_supported":["client_secret_post","client_secret_basic"]"#, true, false),
        (r#","token_endpoint_auth_methods_supported":["private_key_jwt","client_secret_post"]"#, false, true),
    ] {
        let idp = supporting(methods).await;
        mint(&machine(issuer(&idp, ""))).await.unwrap();
        let sent = idp.requests().pop().unwrap();
        assert_eq!(sent.headers.contains_key("authorization"), basic, "{methods}");
        assert_eq!(sent.form("client_secret").is_some(), post, "{methods}");
    }

    let idp = supporting(r#","token_endpoint_auth_methods_supported":["private_key_jwt"]"#).await;
    let error = mint(&machine(issuer(&idp, ""))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misconfigured);
    assert!(error.to_string().contains("private_key_jwt"), "{error}");
    // What the user says counts more.
    let source = ClientCredentials::builder(issuer(&idp, ""), "client-123")
        .client_secret(secret("fake-secret"))
        .client_auth(ClientAuth::Post)
        .build()
        .unwrap();
    mint(&source).await.unwrap();
}

async fn supporting(methods: &'static str) -> Idp {
    Idp::start(move |request| match request.path() {
        "/token" => token("at-1"),
        _ => {
            let origin = origin(request);
            json(200, format!(r#"{{"issuer":"{origin}","token_endpoint":"{origin}/token"{methods}}}"#))
        }
    })
    .await
}

/// A server whose token endpoint, and whose discovery's status, can be changed.
struct Moving {
    idp: Idp,
    endpoint: Arc<Mutex<&'static str>>,
    status: Arc<AtomicU16>,
}

impl Moving {
    async fn start() -> Self {
        let (endpoint, status) = (Arc::new(Mutex::new("/token")), Arc::new(AtomicU16::new(200)));
        let (at, answers) = (endpoint.clone(), status.clone());
        let idp = Idp::start(move |request| {
            let at = *at.lock().unwrap();
            match request.path() {
                path if path == at => token("at-1"),
                path if path.starts_with("/.well-known/oauth") => match answers.load(Ordering::SeqCst) {
                    200 => metadata(&origin(request), &format!("{}{at}", origin(request))),
                    status => json(status, ""),
                },
                _ => json(404, ""),
            }
        })
        .await;
        Self { idp, endpoint, status }
    }

    fn lookups(&self) -> usize {
        self.idp.paths().iter().filter(|path| path.starts_with("/.well-known/oauth")).count()
    }
}

#[tokio::test]
async fn metadata_is_believed_for_a_day() {
    let (moving, clock) = (Moving::start().await, TestClock::new());
    let source = machine(issuer(&moving.idp, ""));
    for (after, lookups) in [(0, 1), (60, 1), (24 * 3600 - 61, 1), (2, 2), (24 * 3600 - 2, 2), (3, 3)] {
        clock.advance(Duration::from_secs(after));
        mint_at(&source, &clock).await.unwrap();
        assert_eq!(moving.lookups(), lookups, "after {after} s more");
    }
    // Siblings share it.
    let sibling = unexpired_core::TokenSource::for_scope(&source, "read").unwrap();
    mint_at(&*sibling, &clock).await.unwrap();
    assert_eq!(moving.lookups(), 3);
}

#[tokio::test]
async fn an_endpoint_that_has_moved_is_looked_for_again() {
    let (moving, clock) = (Moving::start().await, TestClock::new());
    let source = machine(issuer(&moving.idp, ""));
    mint_at(&source, &clock).await.unwrap();

    *moving.endpoint.lock().unwrap() = "/new/token";
    let error = mint_at(&source, &clock).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "worth another attempt: {error}");
    mint_at(&source, &clock).await.unwrap();
    assert_eq!(moving.lookups(), 2);
    assert_eq!(moving.idp.paths().pop().unwrap(), "/new/token");
}

#[tokio::test]
async fn a_fresh_document_that_leads_nowhere_is_the_configurations_fault() {
    let idp = Idp::start(|request| match request.path() {
        "/token" => json(404, ""),
        _ => metadata(&origin(request), &format!("{}/token", origin(request))),
    })
    .await;
    let source = machine(issuer(&idp, ""));
    for _ in 0..2 {
        assert_eq!(mint(&source).await.unwrap_err().kind(), ErrorKind::Misconfigured);
    }
    assert_eq!(idp.requests().len(), 4, "forgotten each time");
}

#[tokio::test]
async fn old_metadata_serves_while_it_cannot_be_read_again() {
    let (moving, clock) = (Moving::start().await, TestClock::new());
    let source = machine(issuer(&moving.idp, ""));
    mint_at(&source, &clock).await.unwrap();
    clock.advance(Duration::from_secs(25 * 3600));
    moving.status.store(503, Ordering::SeqCst);
    mint_at(&source, &clock).await.unwrap();
    moving.status.store(404, Ordering::SeqCst);
    assert_eq!(refused(&source, &clock).await.kind(), ErrorKind::Misconfigured, "it is gone, and that is no outage");
    moving.status.store(200, Ordering::SeqCst);
    mint_at(&source, &clock).await.unwrap();
}

async fn refused(source: &ClientCredentials, clock: &TestClock) -> MintError {
    mint_at(source, clock).await.unwrap_err()
}
