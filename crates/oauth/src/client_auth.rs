//! How the client says who it is (RFC 6749 section 2.3).

use std::fmt;
use std::str::FromStr;
use unexpired_core::{ErrorKind, MintError};

/// How the client authenticates itself at the token endpoint.
///
/// Default: `Basic` if there is a client secret; with a discovered server the first of `Basic` and `Post` that it supports. `None` if there is no
/// secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientAuth {
    /// `client_secret_basic`: the `Authorization` header, id and secret form-encoded first (RFC 6749 section 2.3.1). Some servers do not
    /// decode; secrets with other characters than letters, digits and `*-._` then need `Post`.
    Basic,
    /// `client_secret_post`: `client_id` and `client_secret` in the form.
    Post,
    /// `none`: only `client_id`, in the form. For public clients, and for those that the server knows by their TLS certificate (RFC 8705).
    None,
}

impl ClientAuth {
    /// The name in the server's metadata: `client_secret_basic`, `client_secret_post`, `none`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Basic => BASIC,
            Self::Post => "client_secret_post",
            Self::None => "none",
        }
    }

    /// What to use with a secret where the user did not say, at a server that supports `methods` (`None`: unknown).
    pub(crate) fn choose(methods: Option<&[String]>) -> Result<Self, MintError> {
        let Some(methods) = methods else { return Ok(Self::Basic) };
        let supported = |auth: &Self| methods.iter().any(|method| method == auth.as_str());
        [Self::Basic, Self::Post].into_iter().find(supported).ok_or_else(|| {
            let message = format!("the server supports no client secret, only {}", methods.join(", "));
            MintError::new(ErrorKind::Misconfigured, message).remedy("if it takes one nevertheless, set client_auth")
        })
    }
}

impl fmt::Display for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ClientAuth {
    type Err = MintError;

    /// The name in the server's metadata, or its short form: `basic`, `post`, `none`.
    fn from_str(name: &str) -> Result<Self, MintError> {
        match name {
            "basic" | BASIC => Ok(Self::Basic),
            "post" | "client_secret_post" => Ok(Self::Post),
            "none" => Ok(Self::None),
            _ => Err(MintError::new(ErrorKind::Misconfigured, "client_auth is unknown")
                .remedy("set it to client_secret_basic, client_secret_post or none")
                .from_source(crate::NAME)),
        }
    }
}

pub(crate) const BASIC: &str = "client_secret_basic";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_supported_is_chosen() {
        for (methods, chosen) in [
            (None, Some(ClientAuth::Basic)),
            (Some(&["client_secret_basic", "private_key_jwt", "none"][..]), Some(ClientAuth::Basic)),
            (Some(&["client_secret_post", "client_secret_basic"]), Some(ClientAuth::Basic)),
            (Some(&["private_key_jwt", "client_secret_post"]), Some(ClientAuth::Post)),
            (Some(&["private_key_jwt", "none"]), None),
            (Some(&[]), None),
        ] {
            let methods: Option<Vec<String>> = methods.map(|m| m.iter().map(|&method| method.to_owned()).collect());
            assert_eq!(ClientAuth::choose(methods.as_deref()).ok(), chosen, "{methods:?}");
        }
    }

    #[test]
    fn names_read_back() {
        for auth in [ClientAuth::Basic, ClientAuth::Post, ClientAuth::None] {
            assert_eq!(auth.to_string().parse::<ClientAuth>().unwrap(), auth);
        }
        assert_eq!("private_key_jwt".parse::<ClientAuth>().unwrap_err().kind(), ErrorKind::Misconfigured);
    }
}
