//! What users type: tenant, client id, scope. Checked before a URL is built of them.

use crate::client_secret::misconfigured;
use crate::cloud::Cloud;
use unexpired_core::MintError;

/// A tenant for an app-only token: an id or a verified domain.
///
/// Letters, digits, `.` and `-` only, as Microsoft's libraries have it: a slash or `..` would make another URL of it.
pub(crate) fn tenant(tenant: &str) -> Result<String, MintError> {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'.' || b == b'-';
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = tenant.as_bytes();
    if tenant.is_empty() {
        return Err(misconfigured("the tenant is empty", "set tenant to the directory's id or to one of its domains"));
    }
    if bytes.len() > 253
        || !edge(bytes.first())
        || !edge(bytes.last())
        || !tenant.bytes().all(inner)
        || tenant.contains("..")
    {
        return Err(misconfigured(
            "the tenant holds characters that no tenant has",
            "set tenant to the directory's id or to one of its domains",
        ));
    }
    if SHARED.iter().any(|shared| shared.eq_ignore_ascii_case(tenant)) {
        let message =
            format!("the tenant {tenant} stands for whoever signs in, and an app-only token has nobody who does");
        return Err(misconfigured(
            &message,
            "set tenant to the id or a domain of the directory whose resources are used",
        ));
    }
    if tenant.eq_ignore_ascii_case("adfs") {
        return Err(misconfigured(
            "the tenant adfs means AD FS, which has another endpoint",
            "use the generic OAuth source for AD FS",
        ));
    }
    Ok(tenant.to_owned())
}

/// The application's id. Entra's are UUIDs; other authorities that speak the protocol are freer.
pub(crate) fn client_id(client_id: &str) -> Result<String, MintError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/".contains(&b);
    if client_id.is_empty() || client_id.len() > 200 || !client_id.bytes().all(good) {
        return Err(misconfigured(
            "the client_id is empty or holds characters that no id has",
            "set client_id to the application (client) id, a UUID",
        ));
    }
    Ok(client_id.to_owned())
}

/// An app-only scope: one resource and `/.default`, kept to the letter. A resource that ends in `/` has two slashes there.
pub(crate) fn scope(scope: &str, cloud: Option<Cloud>) -> Result<String, MintError> {
    let example =
        format!("set scope to one resource and /.default, such as {}/.default", cloud.unwrap_or_default().graph());
    if scope.is_empty() {
        return Err(misconfigured("no scope is set", &example));
    }
    if scope.split_whitespace().nth(1).is_some() {
        let message = "the scope holds several values, and a token is for one resource (AADSTS700022 otherwise)";
        return Err(misconfigured(message, "configure one token for each resource, each with its /.default"));
    }
    if !scope.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
        return Err(misconfigured("the scope holds characters that no scope has", &example));
    }
    match scope.strip_suffix("/.default") {
        Some("" | "/") => Err(misconfigured("the scope names no resource", &example)),
        Some(_) => Ok(scope.to_owned()),
        None => {
            let remedy = match default_of(scope) {
                Some(right) => format!("set scope to {right}"),
                None => example,
            };
            Err(misconfigured("the scope does not end in /.default, as app-only scopes must", &remedy))
        }
    }
}

/// What the user most likely meant.
fn default_of(scope: &str) -> Option<String> {
    let bare = scope.trim_end_matches('/');
    if bare.to_ascii_lowercase().ends_with("/.default") {
        // `/.default/` and `/.Default`.
        return bare
            .get(..bare.len().checked_sub("/.default".len())?)
            .filter(|resource| !resource.is_empty())
            .map(with_default);
    }
    let is_id = |text: &str| text.len() == 36 && text.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let Some((scheme, path)) = scope.split_once("://") else {
        return is_id(bare).then(|| with_default(bare));
    };
    match path.trim_end_matches('/').rsplit_once('/') {
        // A resource as v1.0 and the CLI write it. Its final slash belongs to it.
        None => (!path.is_empty()).then(|| with_default(scope)),
        Some((_, last)) if is_id(last) => Some(with_default(scope)),
        // A delegated scope such as https://graph.microsoft.com/User.Read.
        Some((resource, _)) => Some(with_default(&format!("{scheme}://{resource}"))),
    }
}

fn with_default(resource: &str) -> String {
    format!("{resource}/.default")
}

const SHARED: [&str; 3] = ["common", "consumers", "organizations"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_are_ids_and_domains() {
        for good in ["11111111-2222-4333-8444-555555555555", "contoso.onmicrosoft.com", "contoso.com", "a"] {
            assert_eq!(tenant(good).unwrap(), good);
        }
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "a%2fb",
            "a b",
            "-a",
            "a.",
            "a..b",
            "a?b",
            "a#b",
            "a\\b",
            "ä.com",
            "a\n",
            &"a".repeat(254),
            "adfs",
        ] {
            assert!(tenant(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn shared_tenants_are_refused_with_the_reason() {
        for shared in ["common", "Consumers", "organizations"] {
            assert!(tenant(shared).unwrap_err().to_string().contains("whoever signs in"), "{shared}");
        }
    }

    #[test]
    fn client_ids_fit_into_a_form_and_a_log() {
        assert!(client_id("aaaaaaaa-0000-4000-8000-000000000001").is_ok());
        for bad in ["", "a b", "a&b", "a\r\nb", "é", &"a".repeat(201)] {
            assert!(client_id(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn app_only_scopes_are_kept_to_the_letter() {
        for good in [
            "https://management.azure.com/.default",
            "https://management.azure.com//.default",
            "api://eeeeeeee-0000-4000-8000-000000000005/.default",
            "6dae42f8-4368-4678-94ff-3960e28e3630/.default",
            "https://contoso.onmicrosoft.com/0000aaaa/.default",
        ] {
            assert_eq!(scope(good, None).unwrap(), good);
        }
    }

    #[test]
    fn other_scopes_are_refused_with_the_right_one() {
        for (given, right) in [
            ("https://management.azure.com/", "set scope to https://management.azure.com//.default"),
            ("https://management.azure.com", "set scope to https://management.azure.com/.default"),
            ("https://graph.microsoft.com/User.Read", "set scope to https://graph.microsoft.com/.default"),
            ("https://management.azure.com/user_impersonation", "set scope to https://management.azure.com/.default"),
            (
                "https://contoso.com/6dae42f8-4368-4678-94ff-3960e28e3630",
                "6dae42f8-4368-4678-94ff-3960e28e3630/.default",
            ),
            (
                "api://eeeeeeee-0000-4000-8000-000000000005",
                "set scope to api://eeeeeeee-0000-4000-8000-000000000005/.default",
            ),
            ("6dae42f8-4368-4678-94ff-3960e28e3630", "set scope to 6dae42f8-4368-4678-94ff-3960e28e3630/.default"),
            ("https://graph.microsoft.us/.default/", "set scope to https://graph.microsoft.us/.default"),
            ("https://graph.microsoft.us/.Default", "set scope to https://graph.microsoft.us/.default"),
            ("User.Read", "such as https://graph.microsoft.us/.default"),
            (".default", "such as https://graph.microsoft.us/.default"),
            ("/.default", "such as https://graph.microsoft.us/.default"),
            ("//.default", "such as https://graph.microsoft.us/.default"),
            ("https://", "such as https://graph.microsoft.us/.default"),
            ("", "such as https://graph.microsoft.us/.default"),
            ("https://a.example/.default https://b.example/.default", "one token for each resource"),
            ("https://a.example/\"/.default", "such as"),
        ] {
            let error = scope(given, Some(Cloud::UsGovernment)).unwrap_err().to_string();
            assert!(error.contains(right), "{given}: {error}");
        }
    }
}
