//! The national clouds: who signs in where, and which names belong to which.

use std::fmt;
use std::str::FromStr;
use unexpired_core::{ErrorKind, MintError};

/// A national cloud of Microsoft. Each has its own login host, its own tenants and its own resources; nothing works across.
///
/// | cloud | login host | other names of it |
/// |---|---|---|
/// | [`Public`](Self::Public) | `login.microsoftonline.com` | `login.microsoft.com`, `login.windows.net`, `sts.windows.net` |
/// | [`UsGovernment`](Self::UsGovernment) | `login.microsoftonline.us` | `login.usgovcloudapi.net`, `login-us.microsoftonline.com` |
/// | [`China`](Self::China) | `login.partner.microsoftonline.cn` | `login.chinacloudapi.cn` |
///
/// GCC (moderate) lives in the public cloud; GCC High and DoD share the US Government one.
///
/// ```
/// use unexpired_entra::Cloud;
///
/// assert_eq!("us-government".parse::<Cloud>().ok(), Some(Cloud::UsGovernment));
/// assert_eq!(Cloud::of_resource("https://vault.azure.cn"), Some(Cloud::China));
/// assert_eq!(Cloud::of_resource("https://storage.azure.com"), None); // the same in every cloud
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cloud {
    /// The worldwide cloud.
    #[default]
    Public,
    /// Azure Government of the United States.
    UsGovernment,
    /// Azure in China, operated by 21Vianet.
    China,
}

impl Cloud {
    /// The host that tokens are asked of.
    pub const fn login_host(self) -> &'static str {
        match self {
            Self::Public => "login.microsoftonline.com",
            Self::UsGovernment => "login.microsoftonline.us",
            Self::China => "login.partner.microsoftonline.cn",
        }
    }

    /// Other hosts that are the same authority, older names among them.
    pub const fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Public => &["login.microsoft.com", "login.windows.net", "sts.windows.net"],
            Self::UsGovernment => &["login.usgovcloudapi.net", "login-us.microsoftonline.com"],
            Self::China => &["login.chinacloudapi.cn"],
        }
    }

    /// The name in configurations: `public`, `us-government`, `china`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::UsGovernment => "us-government",
            Self::China => "china",
        }
    }

    /// Microsoft Graph's resource. (DoD has its own beside it: `https://dod-graph.microsoft.us`.)
    pub const fn graph(self) -> &'static str {
        match self {
            Self::Public => "https://graph.microsoft.com",
            Self::UsGovernment => "https://graph.microsoft.us",
            Self::China => "https://microsoftgraph.chinacloudapi.cn",
        }
    }

    /// Whose login host this is, by name or alias, with or without a region before it. `None`: nobody's of these.
    pub fn of_login_host(host: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cloud| {
            std::iter::once(cloud.login_host())
                .chain(cloud.aliases().iter().copied())
                .any(|name| is_or_under(host, name))
        })
    }

    /// In which cloud a tenant of this name lives. `None` if the name does not tell: ids and companies' own domains do not, and neither does
    /// `*.onmicrosoft.com` alone, which early tenants of Azure Government have too.
    pub fn of_tenant(tenant: &str) -> Option<Self> {
        TENANT_SUFFIXES.iter().find(|(suffix, _)| is_or_under(tenant, suffix)).map(|&(_, cloud)| cloud)
    }

    /// In which cloud a resource lives, by its App ID URI. `None` if the name does not tell (ids, `api://…`, companies' own domains) or is the
    /// same in all clouds, as `https://storage.azure.com` is.
    pub fn of_resource(resource: &str) -> Option<Self> {
        let rest = resource
            .get(..8)
            .filter(|scheme| scheme.eq_ignore_ascii_case("https://"))
            .and_then(|_| resource.get(8..))?;
        let host = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
        RESOURCE_SUFFIXES
            .iter()
            .find(|(suffix, _)| is_or_under(host, suffix))
            .map(|&(_, cloud)| cloud)
            .or_else(|| Self::of_tenant(host))
    }

    const ALL: [Self; 3] = [Self::Public, Self::UsGovernment, Self::China];
}

impl fmt::Display for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Cloud {
    type Err = MintError;

    fn from_str(name: &str) -> Result<Self, MintError> {
        Self::ALL.into_iter().find(|cloud| cloud.as_str() == name).ok_or_else(|| {
            MintError::new(ErrorKind::Misconfigured, "there is no cloud of this name")
                .remedy("cloud is public, us-government or china; name any other login host by authority")
        })
    }
}

/// Whether `name` is `suffix` or a name below it, without regard to case or a final dot.
pub(crate) fn is_or_under(name: &str, suffix: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.len().checked_sub(suffix.len()) {
        None => false,
        Some(at) => {
            name.get(at..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
                && (at == 0 || name.get(..at).is_some_and(|start| start.ends_with('.')))
        }
    }
}

const TENANT_SUFFIXES: [(&str, Cloud); 3] =
    [("onmicrosoft.us", Cloud::UsGovernment), ("onmschina.cn", Cloud::China), ("onmicrosoft.cn", Cloud::China)];

/// Of the public cloud only names that the other clouds are known to have another name for: many `*.azure.com` and `*.azure.net` resources
/// (storage, Event Hubs, Service Bus) are the same everywhere. The other clouds' suffixes are theirs alone.
const RESOURCE_SUFFIXES: [(&str, Cloud); 20] = [
    ("management.azure.com", Cloud::Public),
    ("core.windows.net", Cloud::Public),
    ("graph.microsoft.com", Cloud::Public),
    ("vault.azure.net", Cloud::Public),
    ("managedhsm.azure.net", Cloud::Public),
    ("cognitiveservices.azure.com", Cloud::Public),
    ("openai.azure.com", Cloud::Public),
    ("azurecr.io", Cloud::Public),
    ("database.windows.net", Cloud::Public),
    ("api.loganalytics.io", Cloud::Public),
    ("usgovcloudapi.net", Cloud::UsGovernment),
    ("azure.us", Cloud::UsGovernment),
    ("microsoft.us", Cloud::UsGovernment),
    ("microsoftonline.us", Cloud::UsGovernment),
    ("azurecr.us", Cloud::UsGovernment),
    ("loganalytics.us", Cloud::UsGovernment),
    ("chinacloudapi.cn", Cloud::China),
    ("azure.cn", Cloud::China),
    ("azurecr.cn", Cloud::China),
    ("microsoftonline.cn", Cloud::China),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn login_hosts_are_known_by_name_alias_and_region() {
        for (host, cloud) in [
            ("login.microsoftonline.com", Some(Cloud::Public)),
            ("LOGIN.Windows.NET.", Some(Cloud::Public)),
            ("westus2.login.microsoft.com", Some(Cloud::Public)),
            ("login.microsoftonline.us", Some(Cloud::UsGovernment)),
            ("login-us.microsoftonline.com", Some(Cloud::UsGovernment)),
            ("login.usgovcloudapi.net", Some(Cloud::UsGovernment)),
            ("login.partner.microsoftonline.cn", Some(Cloud::China)),
            ("login.chinacloudapi.cn", Some(Cloud::China)),
            ("evil-login.microsoftonline.com", None),
            ("login.microsoftonline.com.example.com", None),
            ("127.0.0.1", None),
            ("", None),
        ] {
            assert_eq!(Cloud::of_login_host(host), cloud, "{host}");
        }
    }

    #[test]
    fn a_name_tells_its_cloud_or_nothing() {
        for (resource, cloud) in [
            ("https://management.azure.com/", Some(Cloud::Public)),
            ("https://management.core.windows.net/", Some(Cloud::Public)),
            ("https://contoso.vault.azure.net", Some(Cloud::Public)),
            ("HTTPS://Graph.Microsoft.com:443", Some(Cloud::Public)),
            ("https://cognitiveservices.azure.us", Some(Cloud::UsGovernment)),
            ("https://dod-graph.microsoft.us", Some(Cloud::UsGovernment)),
            ("https://management.core.usgovcloudapi.net/", Some(Cloud::UsGovernment)),
            ("https://contoso.onmicrosoft.us/app", Some(Cloud::UsGovernment)),
            ("https://microsoftgraph.chinacloudapi.cn", Some(Cloud::China)),
            ("https://vault.azure.cn", Some(Cloud::China)),
            ("https://storage.azure.com", None),
            ("https://servicebus.azure.net", None),
            ("https://notazure.us", None),
            ("api://eeeeeeee-0000-4000-8000-000000000005", None),
            ("6dae42f8-4368-4678-94ff-3960e28e3630", None),
            ("https://ünïcödé", None),
            ("https:/é", None),
        ] {
            assert_eq!(Cloud::of_resource(resource), cloud, "{resource}");
        }
        assert_eq!(Cloud::of_tenant("contoso.onmicrosoft.us"), Some(Cloud::UsGovernment));
        assert_eq!(Cloud::of_tenant("contoso.partner.onmschina.cn"), Some(Cloud::China));
        assert_eq!(Cloud::of_tenant("contoso.onmicrosoft.com"), None);
    }

    #[test]
    fn names_are_read_back() {
        for cloud in Cloud::ALL {
            assert_eq!(cloud.to_string().parse::<Cloud>().unwrap(), cloud);
            assert_eq!(Cloud::of_login_host(cloud.login_host()), Some(cloud));
            assert_eq!(Cloud::of_resource(cloud.graph()), Some(cloud));
        }
        assert_eq!("Germany".parse::<Cloud>().unwrap_err().kind(), ErrorKind::Misconfigured);
    }
}
