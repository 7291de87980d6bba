//! What comes in: who may, to which route, and in which form.

use crate::admin;
use crate::answer::{Api, Fault, error};
use crate::body::OutBody;
use crate::credential::{self, KeySource};
use crate::forward::{Outgoing, Shared, forward, may_upgrade};
use crate::headers::Look;
use crate::line::Line;
use crate::{Route, path};
use http::header::HeaderMap;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use std::borrow::Cow;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::time::Instant;

/// What all listeners share.
pub(crate) struct House {
    pub(crate) routes: Vec<Route>,
    pub(crate) admin: Option<Box<dyn KeySource>>,
    pub(crate) shared: Shared,
    pub(crate) connections: AtomicUsize,
    /// Connections of users who may not connect.
    pub(crate) strangers: AtomicU64,
    /// Set before the connections are told to end.
    pub(crate) stopping: AtomicBool,
}

/// One listener's view of it.
pub(crate) struct Door {
    pub(crate) house: Arc<House>,
    /// The only route here, served without its name in the path.
    pub(crate) only: Option<Route>,
    /// The port that `Host` must name; `None` on a Unix socket, where no browser comes and clients write what they like.
    pub(crate) port: Option<u16>,
    /// What nearly all `Host` headers say.
    names: [Box<[u8]>; 2],
}

impl Door {
    pub(crate) fn new(house: Arc<House>, only: Option<Route>, port: Option<u16>) -> Self {
        let name = |name: &str| format!("{name}:{}", port.unwrap_or(0)).into_bytes().into_boxed_slice();
        Self { house, only, port, names: [name("127.0.0.1"), name("localhost")] }
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, request: Request<Incoming>, line: &Line) -> Response<OutBody> {
        let since = Instant::now();
        let (mut head, body) = request.into_parts();
        let (path, query) = (head.uri.path(), head.uri.query());
        let look = Look::at(&head.headers);
        let api = look.api;
        let no = |fault, message: &str| error(api.unwrap_or_else(|| Api::of_path(path, query)), fault, message);
        // TRACE would have the upstream repeat the token to the client.
        if head.method == Method::CONNECT || head.method == Method::TRACE {
            return no(Fault::Method, "this method is not sent on");
        }
        // Host and upstream are never the request's to choose.
        if head.uri.scheme().is_some() || head.uri.authority().is_some() {
            return no(Fault::BadRequest, "a request names its path alone, not a host");
        }
        let Some(host) = look.host.clone() else {
            return no(Fault::BadRequest, "a request has one Host header");
        };
        if let Some(port) = self.port
            && !self.names.iter().any(|name| **name == *host.as_bytes())
            && !is_ours(host.as_bytes(), port)
        {
            return no(Fault::Misdirected, "the Host header names another host than this proxy");
        }
        let named = match &self.only {
            Some(route) => Some((route, path)),
            None => match path::split(path) {
                Some(("-", page)) => {
                    let page = page.to_owned();
                    return self.page(&head.method, &page, &mut head.headers);
                }
                Some((name, rest)) => self
                    .house
                    .routes
                    .iter()
                    .find(|route| route.name() == name && route.listen().is_none())
                    .map(|route| (route, rest)),
                None => return no(Fault::BadRequest, "a request's path begins with a slash"),
            },
        };
        // Without a key nobody learns which routes there are.
        let Some((route, rest)) = named else {
            return no(Fault::Route, "there is no such route here; a path begins with the name of one: /ROUTE/…");
        };

        let (kept, in_query) = match query {
            Some(query) if path::may_hold_key(query) => {
                let (kept, keys) = path::take_key(query);
                (kept.map(Cow::Owned), keys)
            }
            query => (query.map(Cow::Borrowed), Vec::new()),
        };
        // Not `any`: how many are looked at must not depend on which is right.
        let mut opened = credential::take(&mut head.headers, route.keys());
        for key in &in_query {
            opened |= route.keys().opens(key);
        }
        if !opened {
            let message =
                format!("the key of route {} is missing or wrong; print it: unexpired proxy key {0}", route.name());
            return no(Fault::Key, &message);
        }
        line.know();
        let joined = match route.path(rest, kept.as_deref()) {
            Ok(joined) => joined,
            Err(bad) => return no(Fault::BadRequest, bad.0),
        };

        // On a Unix socket a client may write any host; there a path says where the route is.
        let host = Some(host).filter(|_| self.port.is_some());
        let upgrade = look.upgrade(&head.headers).filter(may_upgrade);
        look.remove_ours(&mut head.headers);
        let api = api.or((!in_query.is_empty()).then_some(Api::Google));
        let upgrade = upgrade.and_then(|protocol| Some((protocol, head.extensions.remove::<OnUpgrade>()?)));
        let mut outgoing = Outgoing {
            method: head.method,
            path: joined,
            headers: head.headers,
            upgrade,
            host,
            in_path: self.only.is_none(),
            api,
            since,
        };
        forward(route, &self.house.shared, &mut outgoing, body).await
    }

    fn page(&self, method: &Method, page: &str, headers: &mut HeaderMap) -> Response<OutBody> {
        admin::page(method, page, headers, &self.house)
    }
}

/// Whether a `Host` is a name of loopback with our port. A page of another site, whose name was made to lead here, says its own.
fn is_ours(host: &[u8], port: u16) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let (name, given) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, "")) => (name, None),
        Some((name, rest)) => (name, rest.strip_prefix(':').or(Some("-"))),
        None => host.split_once(':').map_or((host, None), |(name, given)| (name, Some(given))),
    };
    let right_port = match given {
        Some(given) => given.bytes().all(|byte| byte.is_ascii_digit()) && given.parse() == Ok(port),
        None => port == 80,
    };
    let is_loopback = if host.starts_with('[') {
        name.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback())
    } else {
        name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
    };
    right_port && is_loopback
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_loopback_with_the_right_port_are_ours() {
        for host in ["127.0.0.1:8639", "localhost:8639", "LOCALHOST:8639", "127.1.2.3:8639", "[::1]:8639"] {
            assert!(is_ours(host.as_bytes(), 8639), "{host}");
        }
        assert!(is_ours(b"localhost", 80) && is_ours(b"[::1]", 80));
        for host in [
            "",
            "localhost",
            "localhost:80",
            "localhost:8638",
            "localhost:",
            "localhost:+8639",
            "evil.example:8639",
            "127.0.0.1.evil.example:8639",
            "localhost.evil.example:8639",
            "10.0.0.1:8639",
            "[::2]:8639",
            "::1:8639",
            "[::1:8639",
            "[127.0.0.1]:8639",
            "127.1:8639",
            "user@localhost:8639",
            "localhost:8639:8639",
            " localhost:8639",
            "0.0.0.0:8639",
        ] {
            assert!(!is_ours(host.as_bytes(), 8639), "{host}");
        }
    }
}
