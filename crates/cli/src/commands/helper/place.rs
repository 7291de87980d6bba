//! Where a client wants to go, as it says it.

use unexpired::http::Endpoint;

/// A host that a client named, with the way to it: TLS, or loopback.
pub(super) struct Place(Endpoint);

impl Place {
    /// A URL. `None` for what is none, for user information, and for plain HTTP to anywhere but this machine.
    pub(super) fn url(url: &str) -> Option<Self> {
        // What `Url` would forgive and another reader might not.
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
        let plain =
            !rest.starts_with('/') && url.len() <= MAX && url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
        let place = plain.then(|| Endpoint::parse(url).ok()).flatten()?;
        // Addresses of metadata services are plain, and not loopback.
        (place.as_str().starts_with("https:") || place.is_loopback()).then_some(Self(place))
    }

    /// A host, maybe with its port, that is reached over `scheme`.
    pub(super) fn authority(scheme: &str, authority: &str) -> Option<Self> {
        let plain = authority.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:[]".contains(&b));
        if authority.is_empty() || !plain {
            return None;
        }
        Self::url(&format!("{scheme}://{authority}/"))
    }

    /// A URL, or a host with or without its port, which then is reached over TLS.
    pub(super) fn url_or_authority(text: &str) -> Option<Self> {
        if text.contains("://") { Self::url(text) } else { Self::authority("https", text) }
    }

    /// The host without its port.
    pub(super) fn host(&self) -> &str {
        self.0.host()
    }

    /// Scheme, host and port, without a slash at the end.
    pub(super) fn origin(&self) -> String {
        self.0.with_path("/").as_str().trim_end_matches('/').to_owned()
    }
}

const MAX: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_call_a_place() {
        let url = |text| Place::url(text).map(|place| (place.host().to_owned(), place.origin()));
        let some = |host: &str, origin: &str| Some((host.to_owned(), origin.to_owned()));
        assert_eq!(url("https://a.example/x?y"), some("a.example", "https://a.example"));
        assert_eq!(url("https://A.example:8443/"), some("a.example", "https://a.example:8443"));
        assert_eq!(url("http://127.0.0.1:80/x"), some("127.0.0.1", "http://127.0.0.1"));
        assert_eq!(url("http://[::1]:81/x"), some("[::1]", "http://[::1]:81"));
        for bad in [
            "",
            "a.example",
            "http://a.example/",
            "http://169.254.169.254/",
            "https://me@a.example/",
            "https://me:pw@a.example/",
            "https://a.example/ x",
            "https://a.example\\@b.example/",
            "https://a.example/\n",
            "ssh://a.example/",
            "file:///etc",
            "https:///x",
            "https:a.example",
        ] {
            assert!(url(bad).is_none(), "{bad}");
        }
        for (scheme, authority, host) in [
            ("https", "a.example", Some("a.example")),
            ("https", "a.example:8443", Some("a.example")),
            ("http", "localhost:1", Some("localhost")),
            ("https", "[::1]:1", Some("[::1]")),
            ("http", "a.example", None),
            ("https", "a.example/x", None),
            ("https", "me@a.example", None),
            ("https", "a.example:x", None),
            ("https", "a%2eexample", None),
            ("https", "a.example?b.example", None),
            ("https", "", None),
            ("ftp", "a.example", None),
        ] {
            let place = Place::authority(scheme, authority);
            assert_eq!(place.as_ref().map(Place::host), host, "{scheme} {authority}");
        }
    }
}
