//! Names to addresses, with two rules of our own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::endpoint::{METADATA_NAMES, is_near};

/// The system's resolver, except that `localhost` is this machine whatever a resolver says (RFC 6761 section 6.3, and it saves a thread),
/// and that a metadata name is believed only where it leads to an address near by: plain HTTP is spoken to both.
pub(crate) struct Resolver;

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let name = name.as_str();
            let found: Vec<SocketAddr> = if name == "localhost" {
                let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
                both.map(|address| SocketAddr::new(address, 0)).into()
            } else {
                // The port is set by whoever connects.
                tokio::net::lookup_host((name, 0)).await?.collect()
            };
            let found = allowed(name, found);
            if found.is_empty() {
                return Err(io::Error::from(io::ErrorKind::NotFound).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

fn allowed(name: &str, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    if METADATA_NAMES.contains(&name) {
        addresses.retain(|address| is_near(address.ip()));
    }
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metadata_name_leads_nowhere_far() {
        let addresses: Vec<SocketAddr> = ["169.254.169.254:0", "203.0.113.7:0", "[fd20:ce::254]:0", "[2001:db8::1]:0"]
            .map(|a| a.parse().unwrap())
            .into();
        assert_eq!(
            allowed("metadata.google.internal", addresses.clone()),
            ["169.254.169.254:0".parse().unwrap(), "[fd20:ce::254]:0".parse().unwrap()]
        );
        assert_eq!(allowed("as.example.com", addresses.clone()), addresses);
    }

    #[tokio::test]
    async fn localhost_is_this_machine() {
        let found: Vec<SocketAddr> =
            Resolver.resolve("localhost".parse().unwrap()).await.map(Iterator::collect).unwrap_or_default();
        assert_eq!(found, ["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()]);
    }
}
