//! A text that is never shown.

use crate::{BoxFuture, MintError};
use std::fmt;
use zeroize::Zeroizing;

/// A secret text: a client secret, an API key, a refresh token, the text of an access token.
///
/// Its memory is overwritten when it is dropped, and `Debug` shows none of it. There is no `Display`: whoever needs the text says
/// [`expose`](Secret::expose), which is easy to search for.
///
/// ```
/// use unexpired_core::Secret;
///
/// let secret = Secret::new("hunter2");
/// assert_eq!(secret.expose(), "hunter2");
/// assert_eq!(format!("{secret:?}"), "Secret(…)");
/// ```
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over. The caller's own copies, if there are any, are the caller's to erase.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<Zeroizing<String>> for Secret {
    fn from(text: Zeroizing<String>) -> Self {
        Self(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// Yields a secret when asked, at every mint: a file that is replaced is read anew.
///
/// A [`Secret`] is the source that always yields itself.
pub trait SecretSource: Send + Sync + 'static {
    /// The secret as it is now. An error is of kind [`Misconfigured`](crate::ErrorKind::Misconfigured) where the place holds nothing.
    fn secret(&self) -> BoxFuture<'_, Result<Secret, MintError>>;

    /// Changes when the secret may have changed. Must be cheap (a `stat`, not a read); the default says "never".
    fn revision(&self) -> u64 {
        0
    }
}

impl SecretSource for Secret {
    fn secret(&self) -> BoxFuture<'_, Result<Secret, MintError>> {
        Box::pin(std::future::ready(Ok(self.clone())))
    }
}
