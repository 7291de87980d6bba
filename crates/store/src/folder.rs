//! The folder: its owner's alone.

use crate::kind::folder_of_environment;
use crate::record_file::failed;
use crate::sys;
use std::path::{Path, PathBuf};
use unexpired_core::StoreError;

#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn open(path: PathBuf) -> Result<Self, StoreError> {
        if !path.is_absolute() {
            let place = path.display();
            return Err(StoreError::new(format!(
                "the folder {place} of the store must be an absolute path; a working folder must not choose it"
            )));
        }
        sys::create_folder(&path).map_err(|error| {
            let failed = failed("create", &path, &error);
            StoreError::new(format!("{failed}; set UNEXPIRED_STORE to a folder that can be written"))
        })?;
        let folder = Self(path);
        folder.check()?;
        Ok(folder)
    }

    /// The folder, if it is there and ours.
    pub(crate) fn existing(path: PathBuf) -> Option<Self> {
        let folder = Self(path);
        folder.check().is_ok().then_some(folder)
    }

    pub(crate) fn check(&self) -> Result<(), StoreError> {
        sys::check_folder(&self.0)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

/// The folder for state of the user whose process this is: what `UNEXPIRED_STORE` names, if that is absolute; else under the home of the passwd entry
/// (helpers are often started without an environment) `.local/state/unexpired`, on Apple's systems `Library/Application Support/unexpired`; on
/// Windows `%LOCALAPPDATA%\unexpired`. Without a passwd file that lists the user (a directory service does) `HOME` counts.
///
/// `None` if there is no home either.
pub fn default_dir() -> Option<PathBuf> {
    folder_of_environment().or_else(state_dir)
}

/// The same without `UNEXPIRED_STORE`.
pub(crate) fn state_dir() -> Option<PathBuf> {
    Some(sys::home()?.join(sys::STATE))
}

/// The folder for records that need not outlive a boot, access tokens above all: in memory, of this user alone, and found without an environment.
/// On Linux `/run/user/UID/unexpired` if that is ours, else `/dev/shm/unexpired-UID`. `None` where there is no such place, or `UNEXPIRED_STORE` names
/// a folder: then they lie with everything else.
pub fn volatile_dir() -> Option<PathBuf> {
    if folder_of_environment().is_some() {
        return None;
    }
    // A place that cannot be used (another's folder lies there) is passed over.
    sys::volatile().into_iter().find(|place| Folder::open(place.clone()).is_ok())
}

/// Where records are that were written by default, without creating anything.
pub(crate) fn default_records() -> Option<PathBuf> {
    match folder_of_environment() {
        Some(set) => Some(set),
        None => sys::volatile().into_iter().find(|place| sys::check_folder(place).is_ok()).or_else(default_dir),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_folder_must_be_absolute() {
        assert!(Folder::open("state".into()).unwrap_err().to_string().contains("absolute"));
    }
}
