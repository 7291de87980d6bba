//! The servers. Each `start` gives [`None`] (and counts a skip) if the server is not installed, and panics if it is
//! installed but does not come up.

mod azurite;
mod glewlwyd;
#[cfg(unix)]
mod gnome_keyring;
mod oidc_provider;

pub use azurite::Azurite;
pub use glewlwyd::Glewlwyd;
#[cfg(unix)]
pub use gnome_keyring::{GnomeKeyring, SessionBus};
pub use oidc_provider::{CLIENT_BASIC, CLIENT_POST, OidcProvider, USER_BASIC, USER_PUBLIC};

/// The fake secret of every client that has one. RFC 6749 allows all printable ASCII; these characters break clients
/// that forget to form-encode the parts of `client_secret_basic`. It stands in `oidc-provider.mjs` too.
pub const SECRET: &str = "fake:/+%& secret";
