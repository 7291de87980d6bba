//! macOS and Windows, by the crate `keyring`.

use super::{Keyring, KeyringError, LIMIT, bounded};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use unexpired_core::Secret;

/// The system may ask the person at the screen; nobody waits for the answer longer than for any other.
#[derive(Debug, Default)]
pub(super) struct Native;

impl Keyring for Native {
    fn get(&self, service: &str, account: &str) -> Result<Option<Secret>, KeyringError> {
        on_entry(service, account, |entry| match entry.get_password() {
            Ok(text) => Ok(Some(Secret::from(text))),
            Err(keyring::Error::NoEntry) => Ok(None),
            Err(error) => Err(told(error)),
        })
    }

    fn set(&self, service: &str, account: &str, secret: &str) -> Result<(), KeyringError> {
        let secret = Secret::new(secret);
        on_entry(service, account, move |entry| entry.set_password(secret.expose()).map_err(told))
    }

    fn remove(&self, service: &str, account: &str) -> Result<bool, KeyringError> {
        on_entry(service, account, |entry| match entry.delete_credential() {
            Ok(()) => Ok(true),
            Err(keyring::Error::NoEntry) => Ok(false),
            Err(error) => Err(told(error)),
        })
    }

    fn check(&self) -> Result<(), KeyringError> {
        self.get("unexpired", "check").map(drop)
    }

    fn longest(&self) -> usize {
        // 2,560 bytes in UTF-16, which has at most one unit for each byte of UTF-8.
        if cfg!(windows) { 2_560 / 2 } else { 1 << 20 }
    }
}

fn on_entry<T: Send + 'static>(
    service: &str,
    account: &str,
    work: impl FnOnce(&keyring::Entry) -> Result<T, KeyringError> + Send + 'static,
) -> Result<T, KeyringError> {
    let entry = keyring::Entry::new(service, account).map_err(told)?;
    let given_up = Arc::new(AtomicBool::new(false));
    let abandoned = given_up.clone();
    let done = bounded(LIMIT, move || {
        // One after the other: what waits for a person could be done after what came later, and put an old secret in a new one's place.
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        if abandoned.load(Ordering::Acquire) { Err(KeyringError::timed_out()) } else { work(&entry) }
    });
    done.unwrap_or_else(|| {
        given_up.store(true, Ordering::Release);
        Err(KeyringError::timed_out())
    })
}

static TURN: Mutex<()> = Mutex::new(());

/// Not its `Debug`: of one error that shows what was read.
fn told(error: keyring::Error) -> KeyringError {
    use zeroize::Zeroize as _;
    match error {
        keyring::Error::BadEncoding(mut bytes) => {
            bytes.zeroize();
            KeyringError::no_text()
        }
        keyring::Error::NoStorageAccess(_) => KeyringError::locked(),
        keyring::Error::TooLong(what, most) => KeyringError::new(
            format!("the keyring takes no {what} of more than {most}"),
            "shorten it, or keep it in a file",
        ),
        other => KeyringError::new(format!("the keyring fails: {other}"), "see to it with the system's own program"),
    }
}
