//! Where a request may go.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use unexpired_core::{ErrorKind, MintError};
use url::{Host, Url};

/// The address of a token endpoint, checked once: HTTPS, or HTTP where no network lies in between.
///
/// ```
/// use unexpired_http::Endpoint;
///
/// # fn main() -> Result<(), unexpired_core::MintError> {
/// let metadata = Endpoint::parse("http://169.254.169.254")?.with_path("/metadata/identity/oauth2/token");
/// let metadata = metadata.with_query(&[("api-version", "2018-02-01"), ("resource", "https://management.azure.com/")]);
/// assert_eq!(metadata.host(), "169.254.169.254");
/// assert!(Endpoint::parse("http://login.example.com/token").is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    url: Url,
    host: String,
    reach: Reach,
}

/// How far away an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reach {
    /// On a network.
    Network,
    /// On this machine: `127.0.0.0/8`, `::1`, `localhost`.
    Loopback,
    /// On this link: the metadata service of a virtual machine or a container.
    Metadata,
}

impl Endpoint {
    /// Checks an address.
    ///
    /// Plain `http` is allowed for loopback (`127.0.0.0/8`, `[::1]`, `localhost`), for link-local addresses (`169.254.0.0/16`,
    /// `fe80::/10`), for the metadata services' own IPv6 addresses (`fd00:ec2::254`, `fd00:ec2::23`, `fd20:ce::254`), and for the names
    /// `metadata.google.internal` and `api.metadata.cloud.ibm.com`, which are connected to only if they resolve to no public address.
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](ErrorKind::Misconfigured) for any other plain `http`, for another scheme, for user information and for a fragment.
    /// The error shows the host at most: the rest may hold a secret.
    pub fn parse(address: &str) -> Result<Self, MintError> {
        let wrong = |message: &str| MintError::new(ErrorKind::Misconfigured, message);
        let url = Url::parse(address.trim()).map_err(|error| {
            wrong(&format!("the endpoint is no URL: {error}"))
                .remedy("write it in full, such as https://login.example.com/token")
        })?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err(wrong("the endpoint is not an HTTPS URL").remedy("it must start with https://"));
        }
        let Some(host) = url.host_str().map(str::to_owned) else {
            return Err(wrong("the endpoint names no host"));
        };
        let wrong = |message: &str| wrong(message).host(&host);
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("the endpoint holds a user name or a password").remedy("remove what stands before the @"));
        }
        if url.fragment().is_some() {
            return Err(wrong("the endpoint holds a fragment").remedy("remove the # and what follows"));
        }
        let reach = url.host().map_or(Reach::Network, |host| reach(&host));
        if url.scheme() == "http" && reach == Reach::Network {
            return Err(wrong("plain HTTP would show the credential to the network").remedy("use https://"));
        }
        Ok(Self { url, host, reach })
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// The host, as it stands in the address (an IPv6 address in brackets), without the port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The same host with another path and no query.
    #[must_use]
    pub fn with_path(&self, path: &str) -> Self {
        let mut endpoint = self.clone();
        endpoint.url.set_path(path);
        endpoint.url.set_query(None);
        endpoint
    }

    /// The same address with these pairs added to its query, form-encoded.
    #[must_use]
    pub fn with_query(&self, pairs: &[(&str, &str)]) -> Self {
        let mut endpoint = self.clone();
        if !pairs.is_empty() {
            endpoint.url.query_pairs_mut().extend_pairs(pairs);
        }
        endpoint
    }

    /// Whether the host is this machine.
    pub fn is_loopback(&self) -> bool {
        self.reach == Reach::Loopback
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    pub(crate) fn reach(&self) -> Reach {
        self.reach
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = if self.url.query().is_some() { "?…" } else { "" };
        write!(f, "Endpoint({}{}{query})", self.url.origin().ascii_serialization(), self.url.path())
    }
}

impl std::str::FromStr for Endpoint {
    type Err = MintError;

    fn from_str(address: &str) -> Result<Self, MintError> {
        Self::parse(address)
    }
}

fn reach(host: &Host<&str>) -> Reach {
    match host {
        Host::Domain(name) if *name == "localhost" => Reach::Loopback,
        Host::Domain(name) if METADATA_NAMES.contains(name) => Reach::Metadata,
        Host::Domain(_) => Reach::Network,
        Host::Ipv4(address) if address.is_loopback() => Reach::Loopback,
        Host::Ipv4(address) if address.is_link_local() => Reach::Metadata,
        Host::Ipv6(address) if address.is_loopback() => Reach::Loopback,
        Host::Ipv6(address) if address.is_unicast_link_local() || METADATA_ADDRESSES.contains(address) => {
            Reach::Metadata
        }
        Host::Ipv4(_) | Host::Ipv6(_) => Reach::Network,
    }
}

/// Whether plain HTTP to a metadata name may go to this address: it must be one that no router carries to the internet.
pub(crate) fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_near_v4(v4),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unique_local(),
    }
}

fn is_near_v4(address: Ipv4Addr) -> bool {
    address.is_link_local() || address.is_loopback() || address.is_private()
}

/// Names that the clouds document for plain HTTP inside a machine: Google Compute Engine, IBM Cloud VPC.
pub(crate) const METADATA_NAMES: [&str; 2] = ["metadata.google.internal", "api.metadata.cloud.ibm.com"];

/// AWS EC2 and EKS Pod Identity, Google Compute Engine on IPv6.
const METADATA_ADDRESSES: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_the_machine_or_the_link() {
        for (address, expected) in [
            ("http://127.0.0.1:8080/t", Reach::Loopback),
            ("http://127.200.3.4/t", Reach::Loopback),
            ("http://127.1/t", Reach::Loopback),
            ("http://[::1]:1/t", Reach::Loopback),
            ("http://LOCALHOST/t", Reach::Loopback),
            ("http://169.254.169.254/t", Reach::Metadata),
            ("http://169.254.129.3:8081/msi/token", Reach::Metadata),
            ("http://[fd00:ec2::254]/t", Reach::Metadata),
            ("http://[fd20:ce::254]/t", Reach::Metadata),
            ("http://metadata.google.internal/t", Reach::Metadata),
            ("https://metadata.google.internal/t", Reach::Metadata),
            ("https://login.microsoftonline.us/t", Reach::Network),
            ("https://10.0.0.1/t", Reach::Network),
        ] {
            assert_eq!(Endpoint::parse(address).unwrap().reach(), expected, "{address}");
        }
        for address in [
            "http://login.example.com/t",
            "http://10.0.0.1/t",
            "http://[::ffff:127.0.0.1]/t",
            "http://0.0.0.0/t",
            "http://[fd00:ec2::255]/t",
            "http://localhost.example.com/t",
            "http://127.0.0.1.example.com/t",
            "http://metadata.google.internal.example.com/",
            "ftp://localhost/t",
            "file:///etc/passwd",
            "unix:/x",
            "https://",
            "login.example.com/t",
            "",
            "https://user@as.example.com/t",
            "https://as.example.com/t#f",
            "http://localhost@evil.example.com/",
        ] {
            let error = Endpoint::parse(address).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{address}");
        }
    }

    #[test]
    fn neither_debug_nor_errors_show_what_may_be_secret() {
        let endpoint = Endpoint::parse("https://as.example.com/t?code=hunter2").unwrap();
        assert_eq!(format!("{endpoint:?}"), "Endpoint(https://as.example.com/t?…)");
        let error = Endpoint::parse("https://user:hunter2@as.example.com/t").unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(error.to_string().contains("as.example.com"), "{error}");
    }

    #[test]
    fn a_path_replaces_the_query_and_never_the_host() {
        let endpoint = Endpoint::parse("https://as.example.com/t?x=1").unwrap();
        for path in ["/v1/token", "v1/token", "//evil.example.com/", "/a?b#c", "\\evil", "/../../x"] {
            let moved = endpoint.with_path(path);
            assert_eq!(moved.host(), "as.example.com");
            assert_eq!(moved.url().host_str(), Some("as.example.com"), "{path}");
            assert_eq!(moved.url().query(), None, "{path}");
        }
        assert_eq!(endpoint.with_query(&[("a", "b c&")]).as_str(), "https://as.example.com/t?x=1&a=b+c%26");
    }
}
