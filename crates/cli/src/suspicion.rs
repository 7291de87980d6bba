//! Suspicion: a client that keeps tokens came back for the same one too early. Its token was refused, most likely, and nobody says so.
//!
//! A suspicion tries one mint for a token, and none again for 60 s, doubling to 15 min. The token that is suspected stays good for everybody, and is
//! what the client gets again if there is no other.

use crate::clients::Instance;
use crate::clients::Profile;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use unexpired::store::FileStore;
use unexpired::{StoreKey, Timestamp, Token};

/// What this client was given last.
pub(crate) struct Seen {
    place: PathBuf,
    folder: PathBuf,
    key: String,
}

impl Seen {
    /// The note of one client instance on one token.
    pub(crate) fn by(instance: &Instance, store: &FileStore, key: &StoreKey) -> Self {
        let folder = store.records_path().to_owned();
        let place = folder.join(format!("{}.seen-{}", key.as_str(), instance.as_str()));
        Self { place, folder, key: key.as_str().to_owned() }
    }

    /// Whether this client had this very token a while ago, and should have it still.
    pub(crate) fn suspects(&self, token: &Token, profile: &Profile, now: Timestamp) -> bool {
        let Some(keeps) = profile.keeps else { return false };
        let Some((digest, at)) = fs::read_to_string(&self.place).ok().as_deref().and_then(parse) else { return false };
        let ago = now.since(at);
        // A note of another boot lies in the future, or says a time that means nothing here.
        let sensible = at.boot_nanos() <= now.boot_nanos();
        sensible && digest == token.digest().to_hex() && ago >= profile.at_least_apart && ago < keeps
    }

    /// Notes what the client is given now.
    pub(crate) fn note(&self, token: &Token, now: Timestamp) {
        let text = format!("{} {}\n", token.digest().to_hex(), now.boot_nanos());
        let new = self.place.with_extension(format!("seen-new-{}", std::process::id()));
        let written = crate::sys::write_private(&new, text.as_bytes()).and_then(|()| fs::rename(&new, &self.place));
        if written.is_err() {
            // Without the note nothing is suspected.
            let _ = fs::remove_file(&new);
        }
        self.clear_away();
    }

    /// Notes of clients that are long gone.
    fn clear_away(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let ours = format!("{}.seen-", self.key);
        for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(&ours)) {
            let age = entry.metadata().and_then(|found| found.modified()).ok();
            let age = age.and_then(|then| SystemTime::now().duration_since(then).ok());
            if age.is_some_and(|age| age > A_DAY) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

fn parse(text: &str) -> Option<(String, Timestamp)> {
    let (digest, at) = text.trim_end().split_once(' ')?;
    Some((digest.to_owned(), Timestamp::from_nanos(at.parse().ok()?, 0)))
}

const A_DAY: Duration = Duration::from_secs(86_400);
