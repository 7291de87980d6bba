//! The server's metadata: where it may be, and what is believed of it.

use crate::server::{is_https, safe};
use serde::Deserialize;
use unexpired_core::{ErrorKind, MintError, MintRequest};
use unexpired_http::{Client, Endpoint, Response};

/// What is used of a server's metadata.
#[derive(Clone)]
pub(crate) struct Metadata {
    pub(crate) token_endpoint: Endpoint,
    /// `mtls_endpoint_aliases.token_endpoint`: for clients that show a certificate (RFC 8705 section 5).
    pub(crate) mtls_token_endpoint: Option<Endpoint>,
    /// `token_endpoint_auth_methods_supported`. Absent means `client_secret_basic` (RFC 8414 section 2).
    pub(crate) auth_methods: Vec<String>,
}

/// Looks in all places, one after the other. No answer at all ends the search: the places are on one host.
pub(crate) async fn discover(
    issuer: &str,
    base: &Endpoint,
    client: &Client,
    request: &MintRequest,
) -> Result<Metadata, MintError> {
    let mut worst: Option<Miss> = None;
    for place in places(base) {
        let found = match client.get(&place, &[("accept", "application/json")], None, request).await {
            Ok(response) => read(&response, issuer, base),
            // Something has answered, but no metadata: it is too long, or compressed, or no HTTP.
            Err(error) if error.kind() == ErrorKind::Malformed => {
                Err(Miss { weight: 2, error: MintError::from(error).remedy(CHECK_ISSUER) })
            }
            Err(error) => return Err(error.into()),
        };
        match found {
            Ok(metadata) => return Ok(metadata),
            Err(miss) if worst.as_ref().is_none_or(|worst| miss.weight > worst.weight) => worst = Some(miss),
            Err(_) => {}
        }
    }
    Err(worst.unwrap_or_else(|| Miss::nothing(base.host())).error)
}

/// Where metadata may be, for an issuer with the path `/tenant1`.
fn places(base: &Endpoint) -> Vec<Endpoint> {
    let path = url::Url::parse(base.as_str()).map(|url| url.path().to_owned()).unwrap_or_default();
    let path = path.strip_suffix('/').unwrap_or(&path);
    let mut places = vec![
        base.with_path(&format!("/.well-known/oauth-authorization-server{path}")),
        base.with_path(&format!("{path}/.well-known/openid-configuration")),
    ];
    if !path.is_empty() {
        places.push(base.with_path(&format!("/.well-known/openid-configuration{path}")));
    }
    places
}

fn read(response: &Response, issuer: &str, base: &Endpoint) -> Result<Metadata, Miss> {
    let host = response.host();
    match response.status() {
        200 => {}
        408 | 425 | 429 | 500..=599 => return Err(Miss::busy(response)),
        300..=399 => return Err(Miss::redirect(response)),
        _ => return Err(Miss::nothing(host)),
    }
    let document: Document = response.json().map_err(|error| Miss { weight: 2, error: error.remedy(CHECK_ISSUER) })?;
    if document.issuer != issuer {
        return Err(Miss::other(host, issuer, &document.issuer));
    }
    let unusable = |message: &str| Miss {
        weight: 4,
        error: MintError::new(ErrorKind::Misconfigured, message).host(host).remedy("set token_url in place of issuer"),
    };
    let endpoint = |address: &str| {
        let endpoint =
            safe(address).map_err(|_| unusable("the server's metadata names a token_endpoint that is not safe"))?;
        // A server on the network has no business with plain HTTP ports of this machine.
        if !is_https(&endpoint) && !base.is_loopback() {
            return Err(unusable("the server's metadata names a token_endpoint on this machine"));
        }
        Ok(endpoint)
    };
    let Some(token_endpoint) = document.token_endpoint else {
        return Err(unusable("the server's metadata names no token_endpoint"));
    };
    let token_endpoint = endpoint(&token_endpoint)?;
    let aliases = document.mtls_endpoint_aliases.unwrap_or_default();
    let mtls_token_endpoint = aliases.token_endpoint.as_deref().map(endpoint).transpose()?;
    let auth_methods =
        document.token_endpoint_auth_methods_supported.unwrap_or_else(|| vec![crate::client_auth::BASIC.to_owned()]);
    Ok(Metadata { token_endpoint, mtls_token_endpoint, auth_methods })
}

#[derive(Deserialize)]
struct Document {
    issuer: String,
    token_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    mtls_endpoint_aliases: Option<Aliases>,
}

#[derive(Default, Deserialize)]
struct Aliases {
    token_endpoint: Option<String>,
}

/// Why a place gave nothing. The heaviest of all is what the user hears.
struct Miss {
    weight: u8,
    error: MintError,
}

impl Miss {
    fn nothing(host: &str) -> Self {
        let error = MintError::new(ErrorKind::Misconfigured, "no metadata of an OAuth server found")
            .host(host)
            .remedy("check the issuer, or set token_url in its place");
        Self { weight: 0, error }
    }

    fn redirect(response: &Response) -> Self {
        let message = format!("the place of the server's metadata answers {}, a redirect", response.status());
        let error = MintError::new(ErrorKind::Misconfigured, message)
            .host(response.host())
            .remedy("redirects are not followed: set the issuer to what the server calls itself");
        Self { weight: 1, error }
    }

    fn other(host: &str, issuer: &str, found: &str) -> Self {
        let message = format!("issuer is set to {issuer} but the server calls itself {found}");
        let error = MintError::new(ErrorKind::Misconfigured, message)
            .host(host)
            .remedy("if that is the right server, set issuer to exactly its own name");
        Self { weight: 3, error }
    }

    /// Whether the metadata is there is not known: try later.
    fn busy(response: &Response) -> Self {
        let message = format!("the place of the server's metadata answers {}", response.status());
        let error =
            MintError::new(ErrorKind::Unavailable, message).host(response.host()).retry_after(response.retry_after());
        Self { weight: 5, error }
    }
}

const CHECK_ISSUER: &str = "check the issuer";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_standard_inserts_and_the_other_appends() {
        for (issuer, expected) in [
            (
                "https://as.example.com",
                &[
                    "https://as.example.com/.well-known/oauth-authorization-server",
                    "https://as.example.com/.well-known/openid-configuration",
                ][..],
            ),
            (
                "https://as.example.com/",
                &[
                    "https://as.example.com/.well-known/oauth-authorization-server",
                    "https://as.example.com/.well-known/openid-configuration",
                ],
            ),
            (
                "https://as.example.com/tenant1/",
                &[
                    "https://as.example.com/.well-known/oauth-authorization-server/tenant1",
                    "https://as.example.com/tenant1/.well-known/openid-configuration",
                    "https://as.example.com/.well-known/openid-configuration/tenant1",
                ],
            ),
            (
                "https://as.example.com:8443/a%20b/c",
                &[
                    "https://as.example.com:8443/.well-known/oauth-authorization-server/a%20b/c",
                    "https://as.example.com:8443/a%20b/c/.well-known/openid-configuration",
                    "https://as.example.com:8443/.well-known/openid-configuration/a%20b/c",
                ],
            ),
        ] {
            let base = Endpoint::parse(issuer).unwrap();
            let found: Vec<String> = places(&base).iter().map(|place| place.as_str().to_owned()).collect();
            assert_eq!(found, expected, "{issuer}");
        }
    }
}
