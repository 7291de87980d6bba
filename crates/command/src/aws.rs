//! AWS keys, carried where tokens are: a pair of keys that signs requests, with its moments, kept fresh like any token.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use std::fmt;
use unexpired_core::{Secret, Token};
use zeroize::Zeroizing;

/// AWS credentials: what signs requests (SigV4). Not a bearer token: none of it may be sent to anybody.
///
/// A [`Command`](crate::Command) with [`aws_credentials`](crate::CommandBuilder::aws_credentials) packs them into the text of a [`Token`] of
/// the scheme `AWS-Credentials`; [`of`](Self::of) unpacks them.
#[non_exhaustive]
pub struct AwsCredentials {
    /// `AccessKeyId`.
    pub access_key_id: Secret,
    /// `SecretAccessKey`.
    pub secret_access_key: Secret,
    /// `SessionToken`, which temporary keys have.
    pub session_token: Option<Secret>,
    /// `AccountId`, where it is known.
    pub account_id: Option<Secret>,
}

impl AwsCredentials {
    /// The keys in a token; `None` if it is a bearer token or another one.
    ///
    /// ```
    /// use unexpired_command::AwsCredentials;
    /// use unexpired_core::{Clock, SystemClock, Token};
    ///
    /// let bearer = Token::builder("at-1", SystemClock.now()).build()?;
    /// assert!(AwsCredentials::of(&bearer).is_none());
    /// # Ok::<(), unexpired_core::MintError>(())
    /// ```
    pub fn of(token: &Token) -> Option<Self> {
        if token.scheme() != SCHEME {
            return None;
        }
        let mut parts = token.secret().split('.').map(unpacked);
        let mut part = || parts.next().flatten();
        let (id, key) = (part()?, part()?);
        let (session, account) = (part()?, part()?);
        let some = |secret: Secret| Some(secret).filter(|secret| !secret.is_empty());
        Some(Self {
            access_key_id: some(id)?,
            secret_access_key: some(key)?,
            session_token: some(session),
            account_id: some(account),
        })
    }

    /// Four parts in base64 with dots between them, which is a b64token.
    pub(crate) fn pack(&self) -> Secret {
        let nothing = Secret::new("");
        let or_nothing = |secret: &Option<Secret>| secret.clone().unwrap_or_else(|| nothing.clone());
        let parts = [
            self.access_key_id.clone(),
            self.secret_access_key.clone(),
            or_nothing(&self.session_token),
            or_nothing(&self.account_id),
        ];
        let length = parts.iter().map(|part| part.expose().len().saturating_mul(2).saturating_add(4)).sum();
        let mut text = Zeroizing::new(String::with_capacity(length));
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                text.push('.');
            }
            BASE64.encode_string(part.expose(), &mut text);
        }
        text.into()
    }
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsCredentials").finish_non_exhaustive()
    }
}

fn unpacked(part: &str) -> Option<Secret> {
    String::from_utf8(BASE64.decode(part).ok()?).ok().map(Secret::from)
}

/// What stands where a bearer token has `Bearer`.
pub(crate) const SCHEME: &str = "AWS-Credentials";

#[cfg(test)]
mod tests {
    use super::*;
    use unexpired_core::{Clock as _, SystemClock};

    #[test]
    fn what_was_packed_comes_out() {
        for (session, account) in
            [(None, None), (Some("FAKE/SESSION=="), None), (None, Some("123456789012")), (Some("s"), Some("1"))]
        {
            let keys = AwsCredentials {
                access_key_id: "ASIAEXAMPLE1".into(),
                secret_access_key: "fake/se+cret=".into(),
                session_token: session.map(Secret::from),
                account_id: account.map(Secret::from),
            };
            let token =
                |scheme| Token::builder(keys.pack(), SystemClock.now()).scheme(scheme).read_jwt(false).build().unwrap();
            let same = AwsCredentials::of(&token(SCHEME)).unwrap();
            assert_eq!(same.access_key_id.expose(), "ASIAEXAMPLE1");
            assert_eq!(same.secret_access_key.expose(), "fake/se+cret=");
            assert_eq!(same.session_token.as_ref().map(Secret::expose), session);
            assert_eq!(same.account_id.as_ref().map(Secret::expose), account);
            assert!(AwsCredentials::of(&token("Bearer")).is_none());
            assert!(!format!("{same:?}").contains("EXAMPLE1"));
        }
        for other in ["a.b", "QQ.QQ.QQ", "..QQ.QQ", "!.QQ.QQ.QQ"] {
            let token = Token::builder(other, SystemClock.now()).scheme(SCHEME).read_jwt(false).build();
            assert!(token.ok().and_then(|token| AwsCredentials::of(&token)).is_none(), "{other}");
        }
    }
}
