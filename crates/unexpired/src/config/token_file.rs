//! `refresh_token_file`: a plain file that always holds the refresh token to use next.
//!
//! A store of records keeps the lock between processes, and the note that a token was sent; the file keeps the token itself, for people and
//! for other programs. A new token is durable in the record before the file is replaced. So after a crash in between the file is the older of
//! the two: the record remembers over which content it was written, and is believed while the file still has that content. Any other
//! content was put there by somebody who signed in again, before a token was redeemed or meanwhile: it is not overwritten. Neither is a file put
//! back that somebody has taken away.

use crate::secret_ref::{off_thread, read_now, shown, stamp};
use crate::{
    BoxFuture, MintError, Record, RefreshTokenRecord, Secret, SecretRef, SecretSource, StoreError, StoreGuard,
    StoreKey, TokenStore,
};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The store whose only record is the file's.
pub(super) struct TokenFile {
    path: PathBuf,
    records: Arc<dyn TokenStore>,
    key: StoreKey,
}

impl TokenFile {
    /// `records` is for locks and notes; everyone who uses the file must use the same.
    pub(super) fn new(path: &Path, records: Arc<dyn TokenStore>) -> Self {
        // A link stays a link: what is replaced is what it leads to.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let key = StoreKey::of(&["refresh_token_file", &name]);
        Self { path, records, key }
    }

    /// What stands for the configured refresh token. It is a constant and never sent, for [`TokenFile`] always has a record: which token is next
    /// is decided under the lock, not by what was read before it.
    pub(super) fn secret(&self) -> Arc<dyn SecretSource> {
        Arc::new(Placeholder(self.path.clone()))
    }
}

impl TokenStore for TokenFile {
    fn load(&self, _key: &StoreKey) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        Box::pin(async move {
            let noted = self.records.load(&self.key).await?;
            Ok(Some(Record::RefreshToken(newest(noted, read(&self.path).await?).0)))
        })
    }

    fn lock(&self, _key: &StoreKey) -> BoxFuture<'_, Result<Box<dyn StoreGuard>, StoreError>> {
        Box::pin(async move {
            let records = self.records.lock(&self.key).await?;
            Ok(Box::new(Guard { path: self.path.clone(), records, over: None }) as Box<dyn StoreGuard>)
        })
    }
}

struct Guard {
    path: PathBuf,
    records: Box<dyn StoreGuard>,
    /// The digest of what the file held when it was loaded, or what was written there since: only that may be replaced.
    over: Option<String>,
}

impl StoreGuard for Guard {
    fn load(&mut self) -> BoxFuture<'_, Result<Option<Record>, StoreError>> {
        Box::pin(async move {
            let in_file = read(&self.path).await?;
            let over = digest(in_file.expose());
            let (record, stale) = newest(self.records.load().await?, in_file);
            let first = self.over.is_none();
            self.over.get_or_insert(over);
            if stale && first {
                // Best effort: the record is believed either way.
                let _ = self.put_in_file(&record.token).await;
            }
            Ok(Some(Record::RefreshToken(record)))
        })
    }

    fn commit(&mut self, record: Record) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let Record::RefreshToken(record) = record else {
                return Err(StoreError::new("a refresh_token_file keeps refresh tokens only"));
            };
            let over = match &self.over {
                Some(over) => over.clone(),
                None => self.over.insert(digest(read(&self.path).await?.expose())).clone(),
            };
            let mut noted = RefreshTokenRecord::new(record.token.clone(), over);
            (noted.unanswered, noted.rotates) = (record.unanswered, record.rotates);
            // Before anything is asked of the file: from here on the token is durable.
            self.records.commit(Record::RefreshToken(noted)).await?;
            self.put_in_file(&record.token).await
        })
    }
}

impl Guard {
    /// Replaces the file, unless somebody else has.
    async fn put_in_file(&mut self, token: &Secret) -> Result<(), StoreError> {
        let ours = digest(token.expose());
        let Ok(found) = read(&self.path).await.map(|found| digest(found.expose())) else {
            // Gone, or empty: somebody signs out or in at this moment. The record holds the token.
            return Ok(());
        };
        if found != ours {
            if self.over.as_ref() != Some(&found) {
                return Ok(());
            }
            replace(&self.path, token.clone()).await?;
        }
        self.over = Some(ours);
        Ok(())
    }
}

/// The record to go by, and whether the file is older than it.
fn newest(noted: Option<Record>, in_file: Secret) -> (RefreshTokenRecord, bool) {
    if let Some(Record::RefreshToken(mut noted)) = noted {
        let same = noted.token.expose() == in_file.expose();
        if same || noted.seed == digest(in_file.expose()) {
            noted.seed = digest(PLACEHOLDER);
            return (noted, !same);
        }
    }
    (RefreshTokenRecord::new(in_file, digest(PLACEHOLDER)), false)
}

async fn read(path: &Path) -> Result<Secret, StoreError> {
    SecretRef::file(path).secret().await.map_err(|error| StoreError::new(error.to_string()))
}

async fn replace(path: &Path, token: Secret) -> Result<(), StoreError> {
    let owned = path.to_path_buf();
    let written = off_thread(move || replace_now(&owned, &token)).await;
    let written = written.unwrap_or_else(|| Err(std::io::Error::other("given up")));
    written.map_err(|error| {
        let message = format!(
            "the refresh token cannot be written to {}: {}; let this user write in its folder",
            shown(path),
            error.kind()
        );
        StoreError::new(message)
    })
}

/// The new content is durable under another name before it takes the file's: at no moment is there no token.
fn replace_now(path: &Path, token: &Secret) -> std::io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".unexpired-new");
    let new = folder.join(name);
    // What an earlier crash left; nobody else writes it, for the lock is held.
    let _ = fs::remove_file(&new);
    let written = (|| {
        let mut file = crate::sys::private_file().open(&new)?;
        file.write_all(token.expose().as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&new, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written?;
    crate::sys::sync_folder(folder)
}

struct Placeholder(PathBuf);

impl SecretSource for Placeholder {
    fn secret(&self) -> BoxFuture<'_, Result<Secret, MintError>> {
        let path = self.0.clone();
        Box::pin(async move {
            // A file that is not there is for the user to put there; a store that fails would be for waiting.
            match off_thread(move || read_now(&path)).await {
                Some(Err(error)) => Err(error),
                _ => Ok(Secret::new(PLACEHOLDER)),
            }
        })
    }

    fn revision(&self) -> u64 {
        fs::metadata(&self.0).map_or(0, |metadata| stamp(&metadata))
    }
}

fn digest(text: &str) -> String {
    crate::text::hex(&unexpired_crypto::sha256(text.as_bytes()))
}

const PLACEHOLDER: &str = "what-the-refresh_token_file-holds";

#[cfg(test)]
mod tests {
    use super::*;
    use unexpired_core::MemoryStore;

    fn record(token: &str, unanswered: u32) -> Record {
        let mut record = RefreshTokenRecord::new(Secret::new(token), digest(PLACEHOLDER));
        record.unanswered = unanswered;
        Record::RefreshToken(record)
    }

    async fn held(store: &TokenFile) -> (String, u32) {
        let key = StoreKey::of(&["any"]);
        match store.lock(&key).await.unwrap().load().await.unwrap() {
            Some(Record::RefreshToken(record)) => {
                assert_eq!(record.seed, digest(PLACEHOLDER));
                (record.token.expose().to_owned(), record.unanswered)
            }
            _ => panic!("there is always a record"),
        }
    }

    async fn commit(store: &TokenFile, what: Record) {
        store.lock(&StoreKey::of(&["any"])).await.unwrap().commit(what).await.unwrap();
    }

    #[tokio::test]
    async fn the_file_holds_the_token_to_use_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rt");
        fs::write(&path, "rt-1\n").unwrap();
        let records: Arc<dyn TokenStore> = Arc::new(MemoryStore::new());
        let store = TokenFile::new(&path, records.clone());
        assert_eq!(held(&store).await, ("rt-1".into(), 0));
        commit(&store, record("rt-1", 1)).await;
        assert_eq!(held(&store).await, ("rt-1".into(), 1), "a token that was sent is noted, and the file stays");
        commit(&store, record("rt-2", 0)).await;
        assert_eq!(fs::read_to_string(&path).unwrap(), "rt-2\n");
        assert_eq!(held(&TokenFile::new(&path, records.clone())).await, ("rt-2".into(), 0));

        // Somebody signs in again.
        commit(&store, record("rt-2", 1)).await;
        fs::write(&path, "rt-new").unwrap();
        assert_eq!(held(&store).await, ("rt-new".into(), 0));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[tokio::test]
    async fn a_crash_between_record_and_file_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rt");
        fs::write(&path, "rt-1\n").unwrap();
        let records: Arc<dyn TokenStore> = Arc::new(MemoryStore::new());
        let store = TokenFile::new(&path, records.clone());
        commit(&store, record("rt-2", 0)).await;
        // As if the file had not been replaced yet.
        fs::write(&path, "rt-1\n").unwrap();
        assert_eq!(held(&store).await, ("rt-2".into(), 0));
        assert_eq!(fs::read_to_string(&path).unwrap(), "rt-2\n", "and the file is put right");
    }

    #[tokio::test]
    async fn who_signs_in_again_while_a_token_is_redeemed_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rt");
        fs::write(&path, "rt-1\n").unwrap();
        let store = TokenFile::new(&path, Arc::new(MemoryStore::new()));
        let mut guard = store.lock(&StoreKey::of(&["any"])).await.unwrap();
        guard.load().await.unwrap();
        guard.commit(record("rt-1", 1)).await.unwrap();
        fs::write(&path, "rt-new\n").unwrap();
        // As after an error, when the record is looked at again.
        guard.load().await.unwrap();
        guard.commit(record("rt-2", 0)).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "rt-new\n");
        drop(guard);
        assert_eq!(held(&store).await, ("rt-new".into(), 0));

        // The file has had the content of the record's token before: it is ours to replace.
        commit(&store, record("rt-newer", 0)).await;
        assert_eq!(fs::read_to_string(&path).unwrap(), "rt-newer\n");
    }

    #[tokio::test]
    async fn a_file_that_goes_away_while_a_token_is_redeemed_costs_no_token() {
        for (what, away) in [("gone", None), ("empty", Some("")), ("half written", Some("\n"))] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("rt");
            fs::write(&path, "rt-1\n").unwrap();
            let records = MemoryStore::new();
            let store = TokenFile::new(&path, Arc::new(records.clone()));
            let mut guard = store.lock(&StoreKey::of(&["any"])).await.unwrap();
            guard.load().await.unwrap();
            match away {
                None => fs::remove_file(&path).unwrap(),
                Some(text) => fs::write(&path, text).unwrap(),
            }
            guard.commit(record("rt-2", 0)).await.unwrap();
            drop(guard);
            assert_eq!(fs::read_to_string(&path).ok().as_deref(), away, "{what}: signed out is signed out");
            // Whoever puts the old content back (an editor, a backup) finds the new token.
            fs::write(&path, "rt-1\n").unwrap();
            assert_eq!(held(&store).await, ("rt-2".into(), 0), "{what}");
            assert_eq!(fs::read_to_string(&path).unwrap(), "rt-2\n", "{what}");
        }
    }

    #[tokio::test]
    async fn whether_the_server_rotates_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rt");
        fs::write(&path, "rt-1\n").unwrap();
        let store = TokenFile::new(&path, Arc::new(MemoryStore::new()));
        let mut kept = RefreshTokenRecord::new(Secret::new("rt-1"), digest(PLACEHOLDER));
        kept.rotates = Some(false);
        commit(&store, Record::RefreshToken(kept)).await;
        let found = store.load(&StoreKey::of(&["any"])).await.unwrap();
        assert!(matches!(found, Some(Record::RefreshToken(found)) if found.rotates == Some(false)));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_stays_a_link_and_the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::write(&real, "rt-1").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let store = TokenFile::new(&link, Arc::new(MemoryStore::new()));
        commit(&store, record("rt-2", 0)).await;
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "rt-2\n");
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_file_that_is_not_there_is_the_users_to_put_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = TokenFile::new(&folder.path().join("rt"), Arc::new(MemoryStore::new()));
        let error = store.secret().secret().await.unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Misconfigured);
        assert!(store.lock(&StoreKey::of(&["any"])).await.unwrap().load().await.is_err());
    }
}
