//! Whom to ask: a cloud's own login host, or an authority that was named outright.

use crate::client_secret::misconfigured;
use crate::cloud::{Cloud, is_or_under};
use unexpired_core::MintError;
use unexpired_http::Endpoint;

/// The token endpoint, and the cloud it belongs to if that is known.
#[derive(Clone, Debug)]
pub(crate) struct Authority {
    pub(crate) endpoint: Endpoint,
    pub(crate) cloud: Option<Cloud>,
}

impl Authority {
    /// `cloud` and `authority` as the user set them, if he did.
    ///
    /// A custom authority on a host that belongs to no cloud is the user's word: then only a `cloud` set beside it can be compared with.
    pub(crate) fn resolve(cloud: Option<Cloud>, authority: Option<&str>, tenant: &str) -> Result<Self, MintError> {
        let Some(address) = authority else {
            let cloud = cloud.unwrap_or_default();
            let base = Endpoint::parse(&format!("https://{}", cloud.login_host()))?;
            return Ok(Self { endpoint: token_endpoint(&base, "", tenant), cloud: Some(cloud) });
        };
        let base = Endpoint::parse(address)?;
        let wrong = |message: &str, remedy: &str| Err(misconfigured(message, remedy).host(base.host()));
        if !base.as_str().starts_with("https:") && !base.is_loopback() {
            return wrong("plain HTTP would show the client secret to the network", "use https://");
        }
        if is_or_under(base.host(), "login.microsoftonline.de") {
            return wrong("the German cloud was closed in 2021", "remove authority, or set cloud");
        }
        let known = Cloud::of_login_host(base.host());
        if let (Some(wanted), Some(known)) = (cloud, known)
            && wanted != known
        {
            let message = format!("cloud is {wanted}, and the authority is the {known} cloud's login host");
            return wrong(&message, "remove authority, or set cloud to where the tenant lives");
        }
        let path = base_path(&base, tenant)?;
        Ok(Self { endpoint: token_endpoint(&base, &path, tenant), cloud: known.or(cloud) })
    }

    /// Refuses a tenant or a scope of one cloud with the authority of another.
    pub(crate) fn check(&self, tenant: &str, scope: &str) -> Result<(), MintError> {
        let Some(here) = self.cloud else { return Ok(()) };
        let resource = scope.strip_suffix("/.default").unwrap_or(scope);
        let tenant_lives = Cloud::of_tenant(tenant);
        if let Some(there) = tenant_lives.filter(|there| *there != here) {
            let message = format!("the tenant lives in the {there} cloud, and the authority is the {here} cloud's");
            return Err(misconfigured(&message, &format!("set cloud to {there}")).host(self.endpoint.host()));
        }
        if here == Cloud::China && is_or_under(tenant, "onmicrosoft.com") {
            let message = "the tenant does not live in the china cloud, and the authority is the china cloud's";
            return Err(
                misconfigured(message, "set cloud to public, or tenant to the one in china").host(self.endpoint.host())
            );
        }
        if let Some(there) = Cloud::of_resource(resource).filter(|there| *there != here) {
            let message = format!("the scope is of the {there} cloud, and the authority is the {here} cloud's");
            let remedy = match tenant_lives {
                Some(_) => format!("set scope to the resource's name in the {here} cloud"),
                None => format!("set cloud to {there}, or scope to the resource's name in the {here} cloud"),
            };
            return Err(misconfigured(&message, &remedy).host(self.endpoint.host()));
        }
        Ok(())
    }
}

/// `POST {authority}/{tenant}/oauth2/v2.0/token`.
fn token_endpoint(base: &Endpoint, path: &str, tenant: &str) -> Endpoint {
    base.with_path(&format!("{path}/{tenant}/oauth2/v2.0/token"))
}

/// The authority's own path without a final slash; most have none. The tenant may stand in it, as MSAL writes authorities.
fn base_path(base: &Endpoint, tenant: &str) -> Result<String, MintError> {
    let wrong = |message: &str, remedy: &str| Err(misconfigured(message, remedy).host(base.host()));
    let after_scheme = base.as_str().split_once("://").map_or("", |(_, rest)| rest);
    let path = after_scheme.split_once('/').map_or("", |(_, path)| path);
    if path.contains('?') {
        return wrong("the authority has a query", "remove the ? and what follows");
    }
    let path = path.trim_matches('/');
    if path.split('/').any(|segment| segment.eq_ignore_ascii_case("oauth2")) {
        return wrong("the authority is a whole token endpoint", "set authority to what stands before the tenant");
    }
    let (before, last) = path.rsplit_once('/').unwrap_or(("", path));
    let rest = if last.eq_ignore_ascii_case(tenant) { before } else { path };
    if !rest.is_empty() && Cloud::of_login_host(base.host()).is_some() {
        return wrong(
            "the authority names another tenant than the tenant that is set",
            "set authority to the login host alone",
        );
    }
    Ok(if rest.is_empty() { String::new() } else { format!("/{rest}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use unexpired_core::ErrorKind;

    const TENANT: &str = "11111111-2222-4333-8444-555555555555";

    #[test]
    fn an_authority_is_a_login_host_with_or_without_the_tenant() {
        for (cloud, authority, host_and_path) in [
            (None, None, "https://login.microsoftonline.com/"),
            (Some(Cloud::China), None, "https://login.partner.microsoftonline.cn/"),
            (None, Some("https://login.microsoftonline.us"), "https://login.microsoftonline.us/"),
            (Some(Cloud::UsGovernment), Some("https://login.microsoftonline.us/"), "https://login.microsoftonline.us/"),
            (
                None,
                Some("https://login.microsoftonline.us/11111111-2222-4333-8444-555555555555/"),
                "https://login.microsoftonline.us/",
            ),
            (None, Some("https://login.sovcloud-identity.fr/"), "https://login.sovcloud-identity.fr/"),
            (None, Some("https://gateway.example.com/entra/"), "https://gateway.example.com/entra/"),
            (None, Some("http://127.0.0.1:8080"), "http://127.0.0.1:8080/"),
        ] {
            let authority = Authority::resolve(cloud, authority, TENANT).unwrap();
            assert_eq!(authority.endpoint.as_str(), format!("{host_and_path}{TENANT}/oauth2/v2.0/token"));
        }
    }

    #[test]
    fn authorities_that_cannot_work_are_refused() {
        for (cloud, authority) in [
            (None, "login.microsoftonline.us"),
            (None, "http://login.microsoftonline.us"),
            (None, "http://169.254.169.254"),
            (None, "https://u:p@login.microsoftonline.us"),
            (None, "https://login.microsoftonline.us/?x=1"),
            (None, "https://login.microsoftonline.us/other-tenant"),
            (None, "https://login.microsoftonline.us/11111111-2222-4333-8444-555555555555/oauth2/v2.0/token"),
            (None, "https://login.microsoftonline.de"),
            (Some(Cloud::Public), "https://login.microsoftonline.us"),
            (Some(Cloud::UsGovernment), "https://LOGIN.windows.net"),
            (Some(Cloud::China), "https://eastus.login.microsoft.com"),
        ] {
            let error = Authority::resolve(cloud, Some(authority), TENANT).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{authority}");
        }
    }

    #[test]
    fn clouds_do_not_mix() {
        const PUBLIC: &str = "https://graph.microsoft.com/.default";
        const GOV: &str = "https://cognitiveservices.azure.us/.default";
        const CHINA: &str = "https://vault.azure.cn/.default";
        const ANY: &str = "https://storage.azure.com/.default";
        let cloud = |cloud| (Some(cloud), None);
        let custom = |authority| (None, Some(authority));
        // Authority, tenant, scope, and what the remedy says (nothing: it fits).
        for ((cloud, authority), tenant, scope, says) in [
            (cloud(Cloud::Public), TENANT, PUBLIC, None),
            (cloud(Cloud::Public), TENANT, GOV, Some("set cloud to us-government")),
            (cloud(Cloud::Public), TENANT, CHINA, Some("set cloud to china")),
            (cloud(Cloud::Public), "contoso.onmicrosoft.us", ANY, Some("set cloud to us-government")),
            (cloud(Cloud::Public), "contoso.partner.onmschina.cn", ANY, Some("set cloud to china")),
            (cloud(Cloud::Public), "contoso.onmicrosoft.cn", ANY, Some("set cloud to china")),
            (cloud(Cloud::Public), "contoso.onmicrosoft.com", ANY, None),
            (cloud(Cloud::UsGovernment), "contoso.onmicrosoft.us", GOV, None),
            (cloud(Cloud::UsGovernment), TENANT, ANY, None),
            (cloud(Cloud::UsGovernment), TENANT, PUBLIC, Some("set cloud to public")),
            (cloud(Cloud::UsGovernment), "contoso.onmicrosoft.us", PUBLIC, Some("name in the us-government cloud")),
            (cloud(Cloud::UsGovernment), "contoso.partner.onmschina.cn", GOV, Some("set cloud to china")),
            (cloud(Cloud::UsGovernment), "early.onmicrosoft.com", GOV, None),
            (cloud(Cloud::China), "contoso.partner.onmschina.cn", CHINA, None),
            (cloud(Cloud::China), "contoso.onmicrosoft.com", ANY, Some("set cloud to public")),
            (cloud(Cloud::China), TENANT, GOV, Some("set cloud to us-government")),
            (custom("https://login.windows.net"), TENANT, GOV, Some("set cloud to us-government")),
            (custom("https://login.usgovcloudapi.net"), TENANT, PUBLIC, Some("set cloud to public")),
            (
                custom("https://login.chinacloudapi.cn"),
                "contoso.onmicrosoft.us",
                ANY,
                Some("set cloud to us-government"),
            ),
            (custom("https://westus.login.microsoft.com"), TENANT, CHINA, Some("set cloud to china")),
            (custom("https://login.example.com"), "contoso.onmicrosoft.us", PUBLIC, None),
            (
                (Some(Cloud::UsGovernment), Some("https://gateway.example.com")),
                TENANT,
                PUBLIC,
                Some("set cloud to public"),
            ),
        ] {
            let result = Authority::resolve(cloud, authority, tenant).unwrap().check(tenant, scope);
            match (result, says) {
                (Ok(()), None) => {}
                (Err(error), Some(says)) => {
                    assert_eq!(error.kind(), ErrorKind::Misconfigured);
                    assert!(error.to_string().contains(says), "{error}");
                }
                (result, _) => panic!("{cloud:?} {authority:?} {tenant} {scope}: {result:?}"),
            }
        }
    }
}
