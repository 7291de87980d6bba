use std::fmt;

/// What a request was for: where faults are set and by what requests are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `POST /{tenant}/oauth2/v2.0/token`, as Microsoft Entra ID speaks.
    Entra,
    /// `POST /google/token`, as Google speaks.
    Google,
    /// `POST /identity/token`, as IBM Cloud IAM speaks.
    Ibm,
    /// `POST /oauth2/token`, as RFC 6749 says.
    OAuth,
    /// The discovery documents of Entra and OAuth.
    Discovery,
    /// The key sets.
    Jwks,
    /// The resource servers.
    Resource,
    /// Anything else.
    Other,
}

impl Endpoint {
    /// The four token endpoints.
    pub const TOKEN: [Self; 4] = [Self::Entra, Self::Google, Self::Ibm, Self::OAuth];

    /// Every endpoint.
    pub const ALL: [Self; 8] =
        [Self::Entra, Self::Google, Self::Ibm, Self::OAuth, Self::Discovery, Self::Jwks, Self::Resource, Self::Other];

    /// Whether it gives out tokens.
    #[must_use]
    pub fn is_token(self) -> bool {
        Self::TOKEN.contains(&self)
    }

    /// The name in the lab's interface: `entra`, `google`, `ibm`, `oauth`, `discovery`, `jwks`, `resource`, `other`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Entra => "entra",
            Self::Google => "google",
            Self::Ibm => "ibm",
            Self::OAuth => "oauth",
            Self::Discovery => "discovery",
            Self::Jwks => "jwks",
            Self::Resource => "resource",
            Self::Other => "other",
        }
    }

    /// The endpoint of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.as_str() == name)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
