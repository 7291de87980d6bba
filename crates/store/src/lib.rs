//! Where `unexpired` keeps what must survive a process: crash-safe files, or the operating system's keyring.
//!
//! What [`commit`](unexpired_core::StoreGuard::commit) has accepted survives a crash of the process and of the machine. A reader sees the old
//! record or the new one, never a part of either. One holder at a time changes a record, over all processes.
//!
//! ```
//! use unexpired_core::{Record, RefreshTokenRecord, Secret, StoreKey, TokenStore};
//! use unexpired_store::FileStore;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), unexpired_core::StoreError> {
//! # let folder = tempfile::tempdir().unwrap();
//! # let folder = folder.path().join("state");
//! let store = FileStore::open(folder)?;
//! let key = StoreKey::of(&["oauth", "https://as.example.com", "native-app"]);
//! let mut guard = store.lock(&key).await?;
//! guard.commit(Record::RefreshToken(RefreshTokenRecord::new(Secret::new("rt-1"), "seed"))).await?;
//! drop(guard);
//! assert!(store.load(&key).await?.is_some());
//! # Ok(())
//! # }
//! ```
//!
//! The folder belongs to its owner alone (0700, files 0600); another owner, wider rights and symbolic links are refused. Lock files are never
//! removed: a lock on a removed file would admit a second holder.
//!
//! With the feature `keyring` records can be in the operating system's keyring ([`FileStore::open_keyring`]): the Secret Service on Linux, the
//! Keychain on macOS, the Credential Manager on Windows. Locks stay files.

mod file_store;
mod folder;
mod format;
#[cfg(feature = "keyring")]
pub mod keyring;
mod kind;
mod record_file;
mod sys;
mod thread;
mod token_form;

pub use file_store::{FileStore, Locked};
pub use folder::{default_dir, volatile_dir};
pub use kind::StoreKind;
