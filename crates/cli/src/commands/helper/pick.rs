//! Which token a client gets.

use super::place::Place;
use crate::failure::{Failure, USAGE};
use crate::project::Project;
use unexpired::config::{Export, HostPattern, TokenConfig, hosts_allow};
use unexpired::text::one_line;

/// The token for a place: of those whose `hosts` cover it the one that names it exactly, else the only one; `named` is the only one that
/// counts, if it is given. `None`: no token is for it.
pub(super) fn by_place<'a>(
    project: &'a Project,
    place: &Place,
    named: Option<&str>,
) -> Result<Option<&'a TokenConfig>, Failure> {
    let host = place.host();
    if let Some(name) = named {
        let token = project.token(name)?;
        return Ok(hosts_allow(token.hosts(), host).then_some(token));
    }
    let covering: Vec<_> = project.config.tokens().filter(|token| hosts_allow(token.hosts(), host)).collect();
    let exactly: Vec<_> = covering.iter().copied().filter(|token| token.hosts().iter().any(exact(host))).collect();
    only(if exactly.is_empty() { covering } else { exactly }, host, ", or make their `hosts` differ")
}

/// The token of the resource that Azure's clients name; `named` is the only one that counts, if it is given, and then may have no scope.
pub(super) fn by_resource<'a>(
    project: &'a Project,
    resource: &str,
    tenant: Option<&str>,
    named: Option<&str>,
) -> Result<Option<&'a TokenConfig>, Failure> {
    let asked = resource_of(resource);
    let fits = |token: &TokenConfig| {
        let scope = token.scope();
        let resource = match &scope {
            Some(scope) => resource_of(scope).eq_ignore_ascii_case(asked),
            None => named.is_some(),
        };
        resource && tenant.is_none_or(|tenant| token.tenant().is_none_or(|own| may_be_same_tenant(own, tenant)))
    };
    if let Some(name) = named {
        return Ok(Some(project.token(name)?).filter(|token| fits(token)));
    }
    only(project.config.tokens().filter(|token| fits(token)).collect(), asked, "")
}

/// The only token of a provider.
pub(super) fn by_provider<'a>(project: &'a Project, provider: &str) -> Result<Option<&'a TokenConfig>, Failure> {
    only(project.config.tokens().filter(|token| token.provider() == provider).collect(), provider, "")
}

/// One, none, or a word about why that cannot be said. Tokens that may not leave count only where there is no other.
fn only<'a>(tokens: Vec<&'a TokenConfig>, what: &str, remedy: &str) -> Result<Option<&'a TokenConfig>, Failure> {
    let free: Vec<_> = tokens.iter().copied().filter(|token| token.export() != Export::Never).collect();
    match (free.as_slice(), tokens.as_slice()) {
        ([one], _) | ([], [one, ..]) => Ok(Some(one)),
        ([], []) => Ok(None),
        (several, _) => {
            let names: Vec<&str> = several.iter().take(NAMES_SHOWN).map(|token| token.name()).collect();
            let what = one_line(what, 80);
            Err(Failure::new(USAGE, format!("more than one token is for {what}: {}", names.join(", ")))
                .hint(format!("name one by --token NAME or UNEXPIRED_TOKEN_NAME{remedy}")))
        }
    }
}

fn exact(host: &str) -> impl Fn(&HostPattern) -> bool {
    move |pattern| !pattern.to_string().starts_with('*') && pattern.covers(host)
}

/// A v2 scope is the v1 resource and `/.default`; both are written with and without a slash at the end.
pub(super) fn resource_of(scope: &str) -> &str {
    let scope = scope.trim();
    scope.strip_suffix("/.default").unwrap_or(scope).trim_end_matches('/')
}

/// Whether two ways to name a tenant may mean the same: an id and a domain may.
fn may_be_same_tenant(one: &str, other: &str) -> bool {
    let is_domain = |tenant: &str| tenant.contains('.');
    is_domain(one) != is_domain(other) || one.eq_ignore_ascii_case(other)
}

const NAMES_SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use unexpired::config::Config;

    fn project() -> Project {
        let ibm =
            |name: &str, more: &str| format!("[token.{name}]\nprovider = 'ibm'\napi_key = {{ env = 'K' }}\n{more}\n");
        let entra = |name: &str, scope: &str, tenant: &str| {
            format!(
                "[token.{name}]\nprovider = 'entra'\ntenant = '{tenant}'\nclient_id = 'aaaaaaaa-0000-4000-8000-000000000001'\nclient_secret = {{ env = 'K' }}\nscope = '{scope}'\n"
            )
        };
        let text = [
            ibm("wide", "hosts = ['*.example.com']"),
            ibm("exact", "hosts = ['api.example.com']"),
            ibm("one", "hosts = ['both.example.org']"),
            ibm("two", "hosts = ['both.example.org', 'two.example.org']"),
            ibm("kept", "hosts = ['kept.example.org', 'two.example.org']\nexport = 'never'"),
            entra("arm", "https://management.azure.com/.default", "contoso.onmicrosoft.com"),
            entra("arm-other", "https://management.azure.com/.default", "fabrikam.onmicrosoft.com"),
            entra("storage", "https://storage.azure.com//.default", "11111111-2222-4333-8444-555555555555"),
        ];
        Project {
            config: Config::parse(&text.join("\n"), "c").unwrap(),
            path: PathBuf::from("c"),
            command: "unexpired".into(),
        }
    }

    fn name(found: Result<Option<&TokenConfig>, Failure>) -> String {
        match found {
            Ok(Some(token)) => token.name().to_owned(),
            Ok(None) => "-".to_owned(),
            Err(failure) => failure.line().to_owned(),
        }
    }

    #[test]
    fn a_host_picks_the_token_that_is_for_it() {
        let project = project();
        for (host, named, picked) in [
            ("a.example.com", None, "wide"),
            ("api.example.com", None, "exact"),
            ("api.example.com", Some("wide"), "wide"),
            ("example.com", None, "-"),
            ("example.net", None, "-"),
            ("example.net", Some("wide"), "-"),
            ("both.example.org", None, "more than one token is for both.example.org: one, two"),
            ("both.example.org", Some("two"), "two"),
            ("two.example.org", None, "two"),
            ("kept.example.org", None, "kept"),
            (
                "kept.example.org",
                Some("absent"),
                "c has no token `absent`; it has wide, exact, one, two, kept, arm, arm-other, storage",
            ),
        ] {
            let place = Place::authority("https", host).unwrap();
            assert_eq!(name(by_place(&project, &place, named)), picked, "{host} {named:?}");
        }
    }

    #[test]
    fn a_resource_picks_the_token_with_that_scope() {
        let project = project();
        for (resource, tenant, named, picked) in [
            ("https://storage.azure.com", None, None, "storage"),
            ("https://storage.azure.com/", None, None, "storage"),
            ("https://storage.azure.com/.default", None, None, "storage"),
            ("https://storage.azure.com", Some("contoso.onmicrosoft.com"), None, "storage"),
            ("https://storage.azure.com", Some("99999999-2222-4333-8444-555555555555"), None, "-"),
            (
                "https://management.azure.com",
                None,
                None,
                "more than one token is for https://management.azure.com: arm, arm-other",
            ),
            ("https://management.azure.com", Some("Contoso.onmicrosoft.com"), None, "arm"),
            ("https://management.azure.com", None, Some("arm-other"), "arm-other"),
            ("https://vault.azure.net", None, None, "-"),
            ("https://vault.azure.net", None, Some("arm"), "-"),
            ("https://vault.azure.net", None, Some("wide"), "wide"),
        ] {
            assert_eq!(name(by_resource(&project, resource, tenant, named)), picked, "{resource} {tenant:?} {named:?}");
        }
    }
}
