//! How a client says who it is (RFC 6749 §2.3.1).

use unexpired_crypto::{b64, constant_time_eq};

use crate::RecordedRequest;
use crate::registry::{Client, Registry};

/// What the request said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// `client_secret_basic`.
    Basic { id: String, secret: String },
    /// `client_secret_post`.
    Post { id: String, secret: String },
    /// `client_id` alone.
    Public { id: String },
    /// Nothing.
    Absent,
    /// A header that cannot be read, or two methods at once.
    Unreadable(&'static str),
}

impl Credentials {
    pub(crate) fn of(request: &RecordedRequest) -> Self {
        let (id, secret) = (request.field("client_id"), request.field("client_secret"));
        let Some(header) = request.header("authorization") else {
            return match (id, secret) {
                (Some(id), Some(secret)) => Self::Post { id: id.into(), secret: secret.into() },
                (Some(id), None) => Self::Public { id: id.into() },
                (None, _) => Self::Absent,
            };
        };
        let Some((scheme, value)) = header.split_once(' ') else {
            return Self::Unreadable("the Authorization header has no value");
        };
        if !scheme.eq_ignore_ascii_case("basic") {
            return Self::Unreadable("the Authorization header is not of the Basic scheme");
        }
        let pair = b64::std_decode(value.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((user, password)) = pair.as_deref().and_then(|pair| pair.split_once(':')) else {
            return Self::Unreadable("the Basic credentials are not base64 of id, colon, secret");
        };
        let (Some(user), Some(password)) = (form_decode(user), form_decode(password)) else {
            return Self::Unreadable("id and secret must be form-encoded before base64 (RFC 6749 section 2.3.1)");
        };
        if secret.is_some() {
            return Self::Unreadable("a client must not use two ways to authenticate (RFC 6749 section 2.3)");
        }
        if id.is_some_and(|id| id != user) {
            return Self::Unreadable("the client_id of the form is not that of the Authorization header");
        }
        Self::Basic { id: user, secret: password }
    }

    pub(crate) fn id(&self) -> Option<&str> {
        match self {
            Self::Basic { id, .. } | Self::Post { id, .. } | Self::Public { id } => Some(id),
            Self::Absent | Self::Unreadable(_) => None,
        }
    }

    pub(crate) fn secret(&self) -> Option<&str> {
        match self {
            Self::Basic { secret, .. } | Self::Post { secret, .. } => Some(secret),
            Self::Public { .. } | Self::Absent | Self::Unreadable(_) => None,
        }
    }

    /// The client, if it is known and the secret is its own and valid; a public client must not send one.
    pub(crate) fn client<'a>(&self, registry: &'a Registry) -> Option<&'a Client> {
        let client = registry.client(self.id()?)?;
        let right = match (&client.secret, self.secret()) {
            (Some(secret), Some(given)) => constant_time_eq(secret.expose().as_bytes(), given.as_bytes()),
            (None, None) => true,
            _ => false,
        };
        (right && !client.secret_expired).then_some(client)
    }
}

/// Undoes `application/x-www-form-urlencoded`; `None` if `%` stands without two hexadecimal digits or the result is no UTF-8.
fn form_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16));
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_parts_are_form_encoded() {
        assert_eq!(form_decode("p%40ss%2Fw%2Brd%25%26%C3%A9").as_deref(), Some("p@ss/w+rd%&é"));
        assert_eq!(form_decode("my+client%3A1").as_deref(), Some("my client:1"));
        for bad in ["100%", "%zz", "%1", "%ff"] {
            assert_eq!(form_decode(bad), None, "{bad}");
        }
    }
}
