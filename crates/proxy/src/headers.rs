//! Headers that belong to one hop only.

use crate::answer::Api;
use crate::decode::readable;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Takes out what is meant for us and not for the other side: the headers of RFC 9110 section 7.6.1 and those that `Connection` names.
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    remove_where(headers, is_hop_by_hop);
}

/// What a request's head holds that is of interest, found in one look: to ask for each name costs a hash.
#[derive(Default)]
pub(crate) struct Look {
    /// `Host`, if there is one and no more.
    pub(crate) host: Option<HeaderValue>,
    hosts: usize,
    /// What is for one hop, or answered here.
    has_ours: bool,
    has_upgrade: bool,
    has_codings: bool,
    /// Whose client it is, by headers that only that API's clients send.
    pub(crate) api: Option<Api>,
}

impl Look {
    pub(crate) fn at(headers: &HeaderMap) -> Self {
        let mut look = Self::default();
        for (name, value) in headers {
            match name.as_str() {
                "host" => {
                    look.hosts = look.hosts.saturating_add(1);
                    look.host = Some(value).filter(|_| look.hosts == 1).cloned();
                }
                "upgrade" => look.has_upgrade = true,
                "expect" => look.has_ours = true,
                "accept-encoding" => look.has_codings = true,
                name => {
                    look.has_ours |= is_hop_by_hop(name);
                    look.api = look.api.or_else(|| Api::of_header(name));
                }
            }
        }
        look
    }

    /// What the client wants its connection to become, if it asks for that: the value of `Upgrade`.
    pub(crate) fn upgrade(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.has_upgrade { upgrade(headers) } else { None }
    }

    /// Takes out what the proxy answers for on the way to an upstream, but for `Host`, which is written over; and codings in which it could not read a
    /// refusal.
    pub(crate) fn remove_ours(&self, headers: &mut HeaderMap) {
        if self.has_codings {
            let accepted: Vec<&[u8]> =
                headers.get_all(header::ACCEPT_ENCODING).iter().map(HeaderValue::as_bytes).collect();
            if let Some(value) = readable(&accepted).and_then(|value| HeaderValue::from_bytes(&value).ok()) {
                headers.insert(header::ACCEPT_ENCODING, value);
            }
        }
        if self.has_ours || self.has_upgrade {
            remove_hop_by_hop(headers);
            // The server below has answered an expectation, or does as soon as the body is wanted.
            headers.remove(header::EXPECT);
        }
    }
}

/// What an answer said to us, or of other places.
pub(crate) struct Cleaned {
    pub(crate) has_places: bool,
    /// How long the upstream keeps its connection.
    pub(crate) keep_alive: Option<HeaderValue>,
}

/// Takes out of an answer what is not for the client.
pub(crate) fn clean_answer(headers: &mut HeaderMap) -> Cleaned {
    let (mut has_hop, mut has_permissions, mut has_places) = (false, false, false);
    for name in headers.keys() {
        match name.as_str() {
            "location" | "content-location" => has_places = true,
            name if is_permission(name) => has_permissions = true,
            name => has_hop |= is_hop_by_hop(name),
        }
    }
    let mut keep_alive = None;
    if has_hop {
        keep_alive = headers.get("keep-alive").cloned();
        remove_hop_by_hop(headers);
    }
    if has_permissions {
        remove_where(headers, is_permission);
    }
    Cleaned { has_places, keep_alive }
}

/// Looks at the names that are there: a message has a dozen, and each that is asked for by its name costs a hash.
pub(crate) fn remove_where(headers: &mut HeaderMap, is_meant: impl Fn(&str) -> bool) {
    while let Some(name) = headers.keys().find(|name| is_meant(name.as_str())).cloned() {
        headers.remove(name);
    }
}

fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let wanted = headers.get(header::UPGRADE)?;
    let asked = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"));
    asked.then(|| wanted.clone())
}

/// `CORS` headers of an upstream would let pages of other sites read through this proxy what they could not ask for themselves.
fn is_permission(name: &str) -> bool {
    name.starts_with("access-control-")
        && (name.starts_with("access-control-allow-") || name == "access-control-expose-headers")
}

/// Whether a header is the proxy's own affair, so that a configuration cannot set it.
pub(crate) fn is_reserved(name: &HeaderName) -> bool {
    is_hop_by_hop(name.as_str())
        || [header::HOST, header::CONTENT_LENGTH, header::EXPECT, header::COOKIE].contains(name)
}

fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn what_is_for_one_hop_stays_there() {
        let mut headers = map(&[
            ("connection", "keep-alive, X-Secret-Hop"),
            ("connection", "close,, te"),
            ("x-secret-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "Basic x"),
            ("trailer", "x"),
            ("x-kept", "1"),
        ]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(headers, map(&[("x-kept", "1")]));
    }

    #[test]
    fn an_upgrade_must_be_asked_for_twice() {
        assert!(upgrade(&map(&[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")])).is_some());
        assert!(upgrade(&map(&[("upgrade", "websocket")])).is_none());
        assert!(upgrade(&map(&[("connection", "upgrade")])).is_none());
    }
}
