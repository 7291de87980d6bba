//! What each option puts on the wire.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod support;

use std::sync::Arc;
use support::{Idp, mint, secret, token};
use unexpired_core::{MintRequest, TokenSource};
use unexpired_oauth::{
    Builder, ClientAuth, ClientCredentials, ClientCredentialsGrant, RefreshToken, RefreshTokenGrant,
};

type Machine = Builder<ClientCredentialsGrant>;
type Person = Builder<RefreshTokenGrant>;

/// `Basic` and the base64 of `client-123:fake-secret`.
const BASIC: Option<&str> = Some("Basic Y2xpZW50LTEyMzpmYWtlLXNlY3JldA==");

#[tokio::test]
async fn client_credentials() {
    type Row = (&'static str, fn(Machine) -> Machine, Option<&'static str>, &'static str);
    let rows: &[Row] = &[
        ("nothing but the secret", |b| b, BASIC, "grant_type=client_credentials"),
        ("basic, said outright", |b| b.client_auth(ClientAuth::Basic), BASIC, "grant_type=client_credentials"),
        (
            "post",
            |b| b.client_auth(ClientAuth::Post),
            None,
            "grant_type=client_credentials&client_id=client-123&client_secret=fake-secret",
        ),
        (
            "a secret with reserved characters by post",
            |b| b.client_auth(ClientAuth::Post).client_secret(secret("s3cr&t +%é")),
            None,
            "grant_type=client_credentials&client_id=client-123&client_secret=s3cr%26t+%2B%25%C3%A9",
        ),
        ("scope", |b| b.scope("read write:all"), BASIC, "grant_type=client_credentials&scope=read+write%3Aall"),
        (
            "audience",
            |b| b.audience("https://api.example/"),
            BASIC,
            "grant_type=client_credentials&audience=https%3A%2F%2Fapi.example%2F",
        ),
        (
            "resources, as they are written",
            |b| b.resource("https://a.example").resource("urn:b"),
            BASIC,
            "grant_type=client_credentials&resource=https%3A%2F%2Fa.example&resource=urn%3Ab",
        ),
        (
            "extra parameters",
            |b| b.param("organization", "org 1").param("x&y", "="),
            BASIC,
            "grant_type=client_credentials&organization=org+1&x%26y=%3D",
        ),
        (
            "everything, in this order",
            |b| {
                b.param("organization", "1")
                    .resource("urn:b")
                    .audience("api")
                    .scope("read")
                    .client_auth(ClientAuth::Post)
            },
            None,
            "grant_type=client_credentials&client_id=client-123&client_secret=fake-secret&scope=read&audience=api&resource=urn%3Ab&organization=1",
        ),
        (
            "a line break at the end of the secret's file",
            |b| b.client_secret(secret("fake-secret\r\n")),
            BASIC,
            "grant_type=client_credentials",
        ),
    ];
    let idp = Idp::start(|_| token("at-1")).await;
    for (what, options, authorization, body) in rows {
        let builder = ClientCredentials::builder(idp.server(), "client-123").client_secret(secret("fake-secret"));
        let token = mint(&options(builder).build().unwrap()).await.unwrap();
        assert_eq!((token.secret(), token.source()), ("at-1", "oauth"), "{what}");

        let sent = idp.requests().pop().unwrap();
        assert_eq!(sent.line, "POST /token HTTP/1.1", "{what}");
        assert_eq!(sent.headers["content-type"], "application/x-www-form-urlencoded", "{what}");
        assert_eq!(sent.headers["accept"], "application/json", "{what}");
        assert_eq!(sent.headers.get("authorization").map(String::as_str), *authorization, "{what}");
        assert_eq!(sent.body, *body, "{what}");
    }
    assert_eq!(idp.requests().len(), rows.len(), "one request each");
}

#[tokio::test]
async fn refresh_token() {
    type Row = (&'static str, fn(Person) -> Person, Option<&'static str>, &'static str);
    let rows: &[Row] = &[
        ("a public client", |b| b, None, "grant_type=refresh_token&client_id=client-123&refresh_token=rt-1"),
        (
            "a public client, said outright",
            |b| b.client_auth(ClientAuth::None),
            None,
            "grant_type=refresh_token&client_id=client-123&refresh_token=rt-1",
        ),
        (
            "a client with a secret",
            |b| b.client_secret(secret("fake-secret")).scope("read"),
            BASIC,
            "grant_type=refresh_token&refresh_token=rt-1&scope=read",
        ),
        (
            "post and a resource",
            |b| b.client_secret(secret("fake-secret")).client_auth(ClientAuth::Post).resource("urn:b"),
            None,
            "grant_type=refresh_token&client_id=client-123&client_secret=fake-secret&refresh_token=rt-1&resource=urn%3Ab",
        ),
        (
            "from a file, and with reserved characters",
            |b| b.refresh_token(secret("1//rt+1=\n")),
            None,
            "grant_type=refresh_token&client_id=client-123&refresh_token=1%2F%2Frt%2B1%3D",
        ),
    ];
    let idp = Idp::start(|_| token("at-1")).await;
    for (what, options, authorization, body) in rows {
        let builder = RefreshToken::builder(idp.server(), "client-123").refresh_token(secret("rt-1"));
        mint(&options(builder).build().unwrap()).await.unwrap();
        let sent = idp.requests().pop().unwrap();
        assert_eq!(sent.headers.get("authorization").map(String::as_str), *authorization, "{what}");
        assert_eq!(sent.body, *body, "{what}");
    }
}

#[tokio::test]
async fn id_and_secret_are_encoded_before_base64() {
    let idp = Idp::start(|_| token("at-1")).await;
    let source = ClientCredentials::builder(idp.server(), "my client:1").client_secret(secret("p@ss/w+rd%&é"));
    mint(&source.build().unwrap()).await.unwrap();
    assert_eq!(
        idp.requests()[0].headers["authorization"],
        "Basic bXkrY2xpZW50JTNBMTpwJTQwc3MlMkZ3JTJCcmQlMjUlMjYlQzMlQTk="
    );
}

#[tokio::test]
async fn a_claims_challenge_is_sent_along() {
    let idp = Idp::start(|_| token("at-1")).await;
    let source =
        ClientCredentials::builder(idp.server(), "client-123").client_secret(secret("fake-secret")).build().unwrap();
    let request = MintRequest::standalone().with_claims(r#"{"access_token":{}}"#);
    source.mint(request).await.unwrap();
    assert_eq!(idp.requests()[0].body, "grant_type=client_credentials&claims=%7B%22access_token%22%3A%7B%7D%7D");
}

#[tokio::test]
async fn a_sibling_differs_in_scope_alone() {
    let idp = Idp::start(|_| token("at-1")).await;
    let source = ClientCredentials::builder(idp.server(), "client-123")
        .client_secret(secret("fake-secret"))
        .scope("read")
        .audience("api")
        .build()
        .unwrap();
    let sibling = source.for_scope("write").unwrap();
    mint(&*sibling).await.unwrap();
    assert_eq!(idp.requests()[0].body, "grant_type=client_credentials&scope=write&audience=api");
    assert!(source.for_scope("a\nb").is_none());
    mint(&source).await.unwrap();
    assert_eq!(idp.requests()[1].body, "grant_type=client_credentials&scope=read&audience=api");
}

#[tokio::test]
async fn a_replaced_secret_is_used_at_once_and_changes_the_revision() {
    let idp = Idp::start(|_| token("at-1")).await;
    let changing = support::Changing::new("fake-secret");
    let source = ClientCredentials::builder(idp.server(), "client-123")
        .client_secret(Arc::new(changing.clone()))
        .client_auth(ClientAuth::Post)
        .build()
        .unwrap();
    let before = source.revision();
    mint(&source).await.unwrap();
    changing.set("fake-other");
    assert_ne!(source.revision(), before);
    mint(&source).await.unwrap();
    let sent: Vec<_> = idp.requests().iter().map(|request| request.form("client_secret").unwrap()).collect();
    assert_eq!(sent, ["fake-secret", "fake-other"]);

    changing.set("\n");
    let error = mint(&source).await.unwrap_err();
    assert!(error.to_string().contains("client_secret is empty"), "{error}");
    assert_eq!(idp.requests().len(), 2, "nothing is sent without it");
}

#[tokio::test]
async fn odd_paths_and_queries_stay_as_they_are() {
    let idp = Idp::start(|_| token("at-1")).await;
    for path in ["//api//oidc/token", "/token?tenant=a%20b", "/"] {
        let server = unexpired_oauth::Server::token_url(&idp.url(path)).unwrap();
        let source = ClientCredentials::builder(server, "c").client_secret(secret("fake-secret")).build().unwrap();
        mint(&source).await.unwrap();
        assert_eq!(idp.paths().pop().unwrap(), path);
    }
}
