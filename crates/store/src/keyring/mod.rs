//! The operating system's keyring: secrets by service and account.
//!
//! | system | keyring | an entry |
//! |---|---|---|
//! | Linux and its like | the Secret Service (GNOME Keyring, KWallet, KeePassXC), over the session bus | an item with the attributes `service` and `account` (or `username`) |
//! | macOS | the login keychain | a generic password |
//! | Windows | the Credential Manager | a generic credential called `ACCOUNT.SERVICE` |
//!
//! Nobody is ever asked to unlock a keyring from here: a program that waits for a prompt may have been started where no person is. A keyring that
//! is locked is an error that says so, and one that does not answer within 4 s is given up.

#[cfg(all(unix, not(target_vendor = "apple")))]
mod bus;
mod entry;
#[cfg(not(all(unix, not(target_vendor = "apple"))))]
mod native;
#[cfg(all(unix, not(target_vendor = "apple")))]
mod secret_service;
#[cfg(test)]
mod tests;

pub(crate) use entry::Entry;

use std::fmt;
use std::time::Duration;
use unexpired_core::text::one_line;
use unexpired_core::{Secret, StoreError};

/// A place for secrets by service and account. Its methods block, for seconds at most.
pub trait Keyring: fmt::Debug + Send + Sync + 'static {
    /// The secret of an entry; `None` if there is no such entry.
    ///
    /// # Errors
    ///
    /// The keyring cannot be reached, is locked, or what it holds is no text.
    fn get(&self, service: &str, account: &str) -> Result<Option<Secret>, KeyringError>;

    /// Puts a secret in the place of what is there. It is there as a whole or not at all.
    ///
    /// # Errors
    ///
    /// The keyring cannot be reached, is locked, or takes no secret of this length.
    fn set(&self, service: &str, account: &str, secret: &str) -> Result<(), KeyringError>;

    /// Takes an entry away; `false` if there is none.
    ///
    /// # Errors
    ///
    /// The keyring cannot be reached, or is locked.
    fn remove(&self, service: &str, account: &str) -> Result<bool, KeyringError>;

    /// Whether it can be used now, without looking at an entry.
    ///
    /// # Errors
    ///
    /// The keyring cannot be reached, or is locked.
    fn check(&self) -> Result<(), KeyringError>;

    /// How many bytes a secret may have.
    fn longest(&self) -> usize;
}

/// The keyring of this system and user.
///
/// ```no_run
/// use unexpired_store::keyring::{Keyring, SystemKeyring};
///
/// let keyring = SystemKeyring::new();
/// keyring.set("corp", "ci", "fake-secret")?;
/// assert!(keyring.get("corp", "ci")?.is_some());
/// # Ok::<(), unexpired_store::keyring::KeyringError>(())
/// ```
#[derive(Debug)]
pub struct SystemKeyring(System);

#[cfg(not(all(unix, not(target_vendor = "apple"))))]
use native::Native as System;
#[cfg(all(unix, not(target_vendor = "apple")))]
use secret_service::SecretService as System;

impl SystemKeyring {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self(System::default())
    }

    /// The keyring on the session bus at this D-Bus address, in place of the one that `DBUS_SESSION_BUS_ADDRESS` or the system names.
    #[cfg(all(unix, not(target_vendor = "apple")))]
    #[must_use]
    pub fn on_bus(address: impl Into<String>) -> Self {
        Self(System::on_bus(address.into()))
    }
}

impl Default for SystemKeyring {
    fn default() -> Self {
        Self::new()
    }
}

impl Keyring for SystemKeyring {
    fn get(&self, service: &str, account: &str) -> Result<Option<Secret>, KeyringError> {
        self.0.get(service, account)
    }

    fn set(&self, service: &str, account: &str, secret: &str) -> Result<(), KeyringError> {
        self.0.set(service, account, secret)
    }

    fn remove(&self, service: &str, account: &str) -> Result<bool, KeyringError> {
        self.0.remove(service, account)
    }

    fn check(&self) -> Result<(), KeyringError> {
        self.0.check()
    }

    fn longest(&self) -> usize {
        self.0.longest()
    }
}

/// Why a keyring did not do what it was asked to. Shown on one line: what is wrong, then the remedy. Never a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {remedy}")]
pub struct KeyringError {
    what: String,
    remedy: String,
}

impl KeyringError {
    /// An error in two parts; neither may hold a secret.
    pub fn new(what: impl AsRef<str>, remedy: impl AsRef<str>) -> Self {
        Self { what: one_line(what.as_ref(), 140), remedy: one_line(remedy.as_ref(), 110) }
    }

    /// What is wrong.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// What to do about it.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    fn locked() -> Self {
        Self::new(
            "the keyring is locked",
            "unlock it (by signing in to the desktop, or with its own program) and try again",
        )
    }

    fn timed_out() -> Self {
        let what = format!("the keyring did not answer within {} s", LIMIT.as_secs());
        Self::new(what, "see whether it waits for a prompt to be answered, and try again")
    }

    fn no_text() -> Self {
        Self::new("what the keyring holds there is no UTF-8", "put the secret there as text")
    }
}

impl From<KeyringError> for StoreError {
    fn from(error: KeyringError) -> Self {
        Self::new(error.to_string())
    }
}

/// Runs what may wait for a person, on a thread of its own; nobody waits for that thread any longer than this.
fn bounded<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (done, wait) = std::sync::mpsc::sync_channel(1);
    let started = std::thread::Builder::new().name("unexpired-keyring".into()).spawn(move || done.send(work()));
    started.ok()?;
    wait.recv_timeout(limit).ok()
}

/// How long one operation may take: less than clients give a helper.
const LIMIT: Duration = Duration::from_secs(4);
