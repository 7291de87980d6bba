//! To which hosts a token may be sent.

use std::fmt;
use std::net::Ipv6Addr;

/// One entry of a token's `hosts`: a host name or address, or `*.` and a name of at least two labels.
///
/// `*.example.com` covers every name below `example.com`, at any depth, and not `example.com` itself. Case makes no difference; ports are not
/// looked at.
///
/// ```
/// use unexpired::HostPattern;
///
/// let pattern = HostPattern::parse("*.openai.azure.us")?;
/// assert!(pattern.covers("contoso.openai.azure.us"));
/// assert!(!pattern.covers("openai.azure.us") && !pattern.covers("openai.azure.us.example.com"));
/// # Ok::<(), &'static str>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HostPattern {
    /// In lower case, without the `*.` and without brackets.
    host: String,
    below: bool,
}

impl HostPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.contains("://") || text.contains('/') {
            return Err("write the host alone, without scheme and path");
        }
        if let Some(address) = address_v6(text) {
            return Ok(Self { host: address, below: false });
        }
        if text.contains(':') {
            return Err("write the host alone, without a port");
        }
        if !text.is_ascii() {
            return Err("write the name in its ASCII form (xn--…)");
        }
        let (name, below) = text.strip_prefix("*.").map_or((text, false), |name| (name, true));
        if name.contains('*') {
            return Err("a star stands for whole labels and only at the front: *.example.com");
        }
        let name = normal(name);
        let labels: Vec<&str> = name.split('.').collect();
        if labels.iter().any(|label| !is_label(label)) {
            return Err("write a host name, such as api.example.com or *.example.com");
        }
        let last_is_number = labels.last().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if below && (labels.len() < 2 || last_is_number) {
            return Err("name at least two labels after the star: *.example.com");
        }
        Ok(Self { host: name, below })
    }

    /// Whether a request to `host` (without port; an IPv6 address with or without brackets) is allowed by this pattern.
    pub fn covers(&self, host: &str) -> bool {
        let host = address_v6(host).unwrap_or_else(|| normal(host));
        if !self.below {
            return host == self.host;
        }
        host.strip_suffix(self.host.as_str())
            .and_then(|front| front.strip_suffix('.'))
            .is_some_and(|front| front.split('.').all(is_label))
    }
}

impl std::str::FromStr for HostPattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        Self::parse(text)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.below, self.host.contains(':')) {
            (true, _) => write!(f, "*.{}", self.host),
            (false, true) => write!(f, "[{}]", self.host),
            (false, false) => f.write_str(&self.host),
        }
    }
}

impl fmt::Debug for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostPattern({self})")
    }
}

/// Whether any of `patterns` covers `host`. Without patterns no host is allowed.
///
/// ```
/// use unexpired::{HostPattern, hosts_allow};
///
/// let hosts = [HostPattern::parse("api.example.com")?];
/// assert!(hosts_allow(&hosts, "API.example.com."));
/// assert!(!hosts_allow(&[], "api.example.com"));
/// # Ok::<(), &'static str>(())
/// ```
pub fn hosts_allow(patterns: &[HostPattern], host: &str) -> bool {
    patterns.iter().any(|pattern| pattern.covers(host))
}

/// Whether `host` is this machine: `localhost`, `127.0.0.0/8`, `::1`. Names are not resolved.
#[cfg(any(feature = "reqwest-middleware", feature = "tower"))]
pub(crate) fn is_loopback(host: &str) -> bool {
    let host = normal(host);
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&host);
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// In lower case and without the dot of the root.
fn normal(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn address_v6(text: &str) -> Option<String> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse::<Ipv6Addr>().ok().map(|address| address.to_string())
}

fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_it_says_and_nothing_else() {
        for (pattern, yes, no) in [
            ("api.example.com", "api.example.com", "xapi.example.com"),
            ("API.Example.com.", "api.example.COM", "api.example.com.evil.test"),
            ("*.example.com", "a.b.example.com", "example.com"),
            ("*.example.com", "a.example.com.", "aexample.com"),
            ("*.example.com", "a.example.com", ".example.com"),
            ("*.example.com", "a-b.example.com", "a b.example.com"),
            ("*.example.com", "a.example.com", "evil.test/.example.com"),
            ("*.example.com", "a.example.com", "evil.test#.example.com"),
            ("localhost", "LOCALHOST", "localhost.example.com"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.11"),
            ("::1", "[::1]", "[::2]"),
            ("[0:0:0:0:0:0:0:1]", "::1", "1"),
        ] {
            let parsed = HostPattern::parse(pattern).unwrap();
            assert!(parsed.covers(yes), "{pattern} {yes}");
            assert!(!parsed.covers(no), "{pattern} {no}");
            assert_eq!(HostPattern::parse(&parsed.to_string()), Ok(parsed));
        }
    }

    #[test]
    fn patterns_that_say_too_much_or_nothing_are_refused() {
        for text in [
            "",
            "*",
            "*.",
            "*.com",
            "*.0.0.1",
            "a.*.com",
            "**.example.com",
            "a*.example.com",
            "https://example.com",
            "example.com/v1",
            "example.com:443",
            "exa mple.com",
            "münchen.example",
            "..",
            ".example.com",
            "user@example.com",
        ] {
            assert!(HostPattern::parse(text).is_err(), "{text}");
        }
    }
}
