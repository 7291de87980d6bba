//! A request's path: what is refused, and how it is put behind the upstream's own. Nothing is decoded, normalised or put together anew: what is
//! sent on is what came, byte by byte, or nothing.

use bytes::{BufMut as _, BytesMut};
use http::uri::PathAndQuery;

/// Why a path is not sent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BadPath(pub(crate) &'static str);

/// Splits `/ROUTE/rest` into the route's name and the rest, which begins with a slash or is empty.
pub(crate) fn split(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix('/')?;
    Some(path.split_at(memchr::memchr(b'/', path.as_bytes()).unwrap_or(path.len())))
}

/// Puts `rest` and the query behind the upstream's path.
pub(crate) fn join(base: &str, rest: &str, query: Option<&str>) -> Result<PathAndQuery, BadPath> {
    check(rest)?;
    let query_length = query.map_or(0, |query| query.len().saturating_add(1));
    let mut joined = BytesMut::with_capacity(base.len().saturating_add(rest.len()).saturating_add(query_length).max(1));
    joined.put_slice(base.as_bytes());
    joined.put_slice(rest.as_bytes());
    if joined.is_empty() {
        joined.put_u8(b'/');
    }
    if let Some(query) = query {
        joined.put_u8(b'?');
        joined.put_slice(query.as_bytes());
    }
    PathAndQuery::from_maybe_shared(joined.freeze()).map_err(|_| BadPath("the path holds characters that no path has"))
}

/// What some server behind may take for a way out of the upstream's folder, or for another host.
fn check(rest: &str) -> Result<(), BadPath> {
    if !rest.is_empty() && !rest.starts_with('/') {
        return Err(BadPath("the path does not begin with a slash"));
    }
    // Nearly all paths hold none of these.
    if !rest.bytes().any(|byte| matches!(byte, b'%' | b'\\' | b'.' | b'\x7f'..)) && !rest.starts_with("//") {
        return Ok(());
    }
    let mut decoded = rest.as_bytes().to_vec();
    // Twice: some servers decode once more than they should.
    for _ in 0..2 {
        check_plain(&decoded)?;
        if !decoded.contains(&b'%') {
            return Ok(());
        }
        decoded = decode(&decoded);
    }
    check_plain(&decoded)
}

fn check_plain(path: &[u8]) -> Result<(), BadPath> {
    if path.iter().any(|byte| *byte < b' ' || *byte == 0x7f) {
        return Err(BadPath("the path holds a control character"));
    }
    if path.contains(&b'\\') {
        return Err(BadPath("the path holds a backslash"));
    }
    if path.starts_with(b"//") {
        return Err(BadPath("the path begins with two slashes"));
    }
    // Parameters (`..;x`) are cut off by some servers before they look at the name.
    let name = |segment: &[u8]| segment.split(|byte| *byte == b';').next().unwrap_or_default().to_vec();
    if path.split(|byte| *byte == b'/').any(|segment| matches!(name(segment).as_slice(), b"." | b"..")) {
        return Err(BadPath("the path holds a segment of dots"));
    }
    Ok(())
}

/// Percent-decodes once; what is no escape stays.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        let escape = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match escape {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = after.get(2..).unwrap_or_default();
            }
            None => decoded.push(*first),
        }
    }
    decoded
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// The query without what is called `key`, and the values that it had. `None` in the first place: nothing is left.
pub(crate) fn take_key(query: &str) -> (Option<String>, Vec<Vec<u8>>) {
    let mut keys = Vec::new();
    let mut kept = String::with_capacity(query.len());
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        // `%6bey` is `key` too, to whoever reads the query.
        if form_decode(name) == b"key" {
            keys.push(form_decode(value));
            continue;
        }
        if !kept.is_empty() {
            kept.push('&');
        }
        kept.push_str(pair);
    }
    (Some(kept).filter(|kept| !kept.is_empty()), keys)
}

/// Whether [`take_key`] might find something; quick.
pub(crate) fn may_hold_key(query: &str) -> bool {
    query.contains("key") || query.contains('%') || query.contains('+')
}

fn form_decode(text: &str) -> Vec<u8> {
    decode(text.replace('+', " ").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_appended_as_they_are() {
        for (base, rest, query, joined) in [
            ("", "", None, "/"),
            ("", "/v1/models", None, "/v1/models"),
            ("/openai/v1", "", None, "/openai/v1"),
            ("/openai/v1", "/", None, "/openai/v1/"),
            ("/openai/v1", "/chat/completions", Some("api-version=1"), "/openai/v1/chat/completions?api-version=1"),
            ("/b", "/a%20b/%C3%BC/a%2Fb", Some("q=%2e%2e/&x"), "/b/a%20b/%C3%BC/a%2Fb?q=%2e%2e/&x"),
            ("/b", "/v1beta/models/gemini:generateContent", None, "/b/v1beta/models/gemini:generateContent"),
            ("/b", "/file.txt/...x/.hidden/a..b", None, "/b/file.txt/...x/.hidden/a..b"),
            ("/b", "/proxy/https://example.com/x", None, "/b/proxy/https://example.com/x"),
            ("/b", "/100%/x%zz", None, "/b/100%/x%zz"),
        ] {
            assert_eq!(join(base, rest, query).unwrap().as_str(), joined);
        }
    }

    #[test]
    fn ways_out_are_refused_in_every_spelling() {
        for rest in [
            "/..",
            "/../admin",
            "/a/../b",
            "/a/..",
            "/./a",
            "/a/.",
            "/%2e%2e/a",
            "/%2E./a",
            "/.%2e/a",
            "/a/%2e",
            "/a%2f..%2fb",
            "/a/..%2fb",
            "/%252e%252e/a",
            "/a%252f..",
            "/..;/a",
            "/..;x=1/a",
            "/%2e%2e;/a",
            "/.;/a",
            "//evil.example",
            "//",
            "/%2fevil.example",
            "/%2f",
            "/\\evil.example",
            "/a\\..\\b",
            "/%5cevil",
            "/a%5c..%5cb",
            "/%255c",
            "/a%00b",
            "/a%0d%0aX-Y:%20z",
            "/a%0a",
            "/%250d%250a",
            "/\x7f",
            "/%7f",
            "nothing",
            "@evil.example/",
        ] {
            assert!(join("/b", rest, None).is_err(), "{rest}");
        }
    }

    #[test]
    fn a_route_is_the_first_segment() {
        assert_eq!(split("/gov/v1/x"), Some(("gov", "/v1/x")));
        assert_eq!(split("/gov"), Some(("gov", "")));
        assert_eq!(split("/"), Some(("", "")));
        assert_eq!(split("//gov"), Some(("", "/gov")));
        assert_eq!(split("*"), None);
    }

    #[test]
    fn a_key_is_taken_out_of_the_query_wherever_it_stands() {
        let taken = |query: &str| {
            assert!(may_hold_key(query) || !query.contains("key"));
            let (rest, keys) = take_key(query);
            (rest, keys.into_iter().map(|key| String::from_utf8(key).unwrap()).collect::<Vec<_>>())
        };
        assert_eq!(taken("key=unx-1"), (None, vec!["unx-1".into()]));
        assert_eq!(taken("alt=sse&key=unx-1"), (Some("alt=sse".into()), vec!["unx-1".into()]));
        assert_eq!(taken("%6bey=a%2Db&x=1&ke%79=2"), (Some("x=1".into()), vec!["a-b".into(), "2".into()]));
        assert_eq!(taken("monkey=1&keys=2&key2=3"), (Some("monkey=1&keys=2&key2=3".into()), vec![]));
        assert_eq!(taken("key"), (None, vec![String::new()]));
        assert_eq!(taken("a=key"), (Some("a=key".into()), vec![]));
    }
}
