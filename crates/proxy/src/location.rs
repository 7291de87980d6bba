//! `Location` and `Content-Location`: where the upstream sends a client within itself, the client comes through the proxy again.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::Url;

/// What is needed to tell inside from outside.
pub(crate) struct Places<'a> {
    /// The upstream, without a slash at the end of its path.
    pub(crate) upstream: &'a Url,
    /// The URL that was asked for.
    pub(crate) asked: &'a str,
    /// `http://127.0.0.1:8639/ROUTE`, as the client knows it, without a slash at the end.
    pub(crate) proxy: &'a str,
}

/// Rewrites what leads into the upstream; whatever leads elsewhere stays, but in full: relative to the proxy it would mean something else.
pub(crate) fn rewrite(headers: &mut HeaderMap, places: &Places<'_>) {
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        rewrite_one(headers, &name, places);
    }
}

fn rewrite_one(headers: &mut HeaderMap, name: &HeaderName, places: &Places<'_>) {
    let Some(value) = headers.get(name).and_then(|value| value.to_str().ok()) else { return };
    // Relative to where it stands, it means the same to the client.
    let is_relative =
        !value.starts_with(['/', '\\']) && Url::parse(value) == Err(url::ParseError::RelativeUrlWithoutBase);
    if is_relative {
        return;
    }
    let Some(target) = Url::parse(places.asked).ok().and_then(|asked| asked.join(value).ok()) else { return };
    let new = match inside(&target, places.upstream) {
        Some(rest) => format!("{}{rest}", places.proxy),
        None if value.starts_with(['/', '\\']) => target.into(),
        None => return,
    };
    if let Ok(new) = HeaderValue::from_str(&new) {
        headers.insert(name, new);
    }
}

/// Path, query and fragment of `target` behind the upstream's path.
fn inside<'t>(target: &'t Url, upstream: &Url) -> Option<&'t str> {
    let same = target.scheme() == upstream.scheme()
        && target.host() == upstream.host()
        && target.port_or_known_default() == upstream.port_or_known_default()
        && target.username().is_empty()
        && target.password().is_none();
    let rest = target[url::Position::BeforePath..].strip_prefix(upstream.path().trim_end_matches('/'))?;
    (same && (rest.is_empty() || rest.starts_with(['/', '?', '#']))).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leads_inside_leads_through_the_proxy() {
        for (upstream, given, expected) in [
            ("https://up.example/v1", "https://up.example/v1/files/7?x=1#f", "http://p:1/r/files/7?x=1#f"),
            ("https://up.example/v1", "https://UP.example:443/v1/files", "http://p:1/r/files"),
            ("https://up.example/v1", "/v1/files", "http://p:1/r/files"),
            ("https://up.example/v1", "//up.example/v1", "http://p:1/r"),
            ("https://up.example/", "/x", "http://p:1/r/x"),
            ("https://up.example/v1", "files/7", "files/7"),
            ("https://up.example/v1", "?page=2", "?page=2"),
            ("https://up.example/v1", "", ""),
            // Out of the upstream's folder: in full, for it is no path of the proxy.
            ("https://up.example/v1", "/login", "https://up.example/login"),
            ("https://up.example/v1", "/v1x", "https://up.example/v1x"),
            ("https://up.example/v1", "/v1/../login", "https://up.example/login"),
            ("https://up.example/v1", "//evil.example/v1/x", "https://evil.example/v1/x"),
            ("https://up.example/v1", "https://evil.example/v1/x", "https://evil.example/v1/x"),
            ("https://up.example/v1", "http://up.example/v1/x", "http://up.example/v1/x"),
            ("https://up.example/v1", "https://up.example:444/v1/x", "https://up.example:444/v1/x"),
            ("https://up.example/v1", "https://u@up.example/v1/x", "https://u@up.example/v1/x"),
            ("https://up.example/v1", "https://up.example.evil.example/v1/x", "https://up.example.evil.example/v1/x"),
        ] {
            let upstream = Url::parse(upstream).unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(header::LOCATION, given.parse().unwrap());
            let asked = "https://up.example/v1/asked";
            rewrite(&mut headers, &Places { upstream: &upstream, asked, proxy: "http://p:1/r" });
            assert_eq!(headers[header::LOCATION], expected, "{given}");
        }
    }
}
