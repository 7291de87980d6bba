//! Who may connect to a Unix socket.
#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

mod support;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use unexpired_proxy::{Listen, LocalKey, Proxy};

async fn ask(socket: &Path, path: &str, key: &str) -> Answer {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\r\n");
    // One who is turned away may be so before this is written.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    Answer::parse(&answer)
}

#[tokio::test]
async fn only_listed_users_may_connect_and_the_others_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    // Who makes a file is who connects.
    let own = std::fs::metadata(folder.path()).unwrap().uid();
    let upstream = Upstream::start(|_, _| ok()).await;
    let socket = folder.path().join("s");
    for (users, admitted) in [(vec![own], true), (vec![own + 1, own], true), (vec![own + 1], false), (vec![], false)] {
        let (_, manager) = scripted();
        let told = Arc::new(Mutex::new(Vec::new()));
        let seen = told.clone();
        let builder = Proxy::builder()
            .route(route(manager, &upstream.url("")).build().unwrap())
            .listen(Listen::Socket(socket.clone()))
            .admin_key(LocalKey::new("admin-key"))
            .allow_uids(users.clone())
            .on_stranger(move |user| seen.lock().unwrap().push(user));
        let mut proxy = Running::start(builder);
        let answer = ask(&socket, "/r/x", KEY).await;
        if admitted {
            assert_eq!(answer.status, 200, "{users:?}");
            let metrics = ask(&socket, "/-/metrics", "admin-key").await.text();
            assert!(metrics.contains("\nunexpired_proxy_strangers_total 0\n"), "{metrics}");
            assert!(told.lock().unwrap().is_empty());
        } else {
            assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (403, Some("forbidden")), "{users:?}");
            assert_eq!(answer.header("content-length"), Some(answer.body.len().to_string().as_str()));
            assert_eq!(*told.lock().unwrap(), [Some(own)]);
        }
        proxy.stop();
        (&mut proxy.task).await.unwrap().unwrap();
    }
    assert_eq!(upstream.seen().len(), 2, "nothing of a stranger reaches the upstream");
}

#[tokio::test]
async fn users_are_not_listed_where_nobody_can_tell_who_connects() {
    let (_, manager) = scripted();
    let builder = Proxy::builder().route(route(manager, "http://127.0.0.1:1").build().unwrap()).listen(Listen::Port(0));
    let error = builder.allow_uids([0]).bind().unwrap_err().to_string();
    assert!(error.contains("nobody can tell") && error.contains("Unix sockets alone"), "{error}");
}

#[tokio::test]
async fn a_route_may_have_several_places() {
    let (_, manager) = scripted();
    let upstream = Upstream::start(|_, _| ok()).await;
    let places = Listen::Several(vec![Listen::Port(0), Listen::Port(0)]);
    let route = route(manager, &upstream.url("")).listen(places).build().unwrap();
    let proxy = Proxy::builder().route(route).bind().unwrap();
    let places = proxy.places_of("r");
    assert_eq!((places.len(), proxy.places().len()), (2, 0));
    assert_ne!(places[0], places[1]);
}
