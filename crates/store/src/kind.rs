//! Which kind of store there is.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use unexpired_core::StoreError;

/// Where tokens, refresh tokens, failures and rejections are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreKind {
    /// In crash-safe files of this user.
    #[default]
    File,
    /// In the operating system's keyring; only the locks are files.
    Keyring,
    /// Nowhere but in the memory of the process.
    Memory,
}

impl StoreKind {
    /// The kind of this name: `file`, `keyring` or `memory`.
    ///
    /// ```
    /// use unexpired_store::StoreKind;
    ///
    /// assert_eq!(StoreKind::named("memory"), Some(StoreKind::Memory));
    /// assert_eq!(StoreKind::named("/srv/state"), None);
    /// ```
    pub fn named(name: &str) -> Option<Self> {
        [Self::File, Self::Keyring, Self::Memory].into_iter().find(|kind| kind.name() == name)
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Keyring => "keyring",
            Self::Memory => "memory",
        }
    }

    /// What `UNEXPIRED_STORE` says: a name, the absolute path of a folder for files, or both: `keyring:/srv/locks`. `None` where it says nothing: what is
    /// configured counts then.
    pub fn of_environment() -> Option<Self> {
        said_by(std::env::var_os("UNEXPIRED_STORE")).map(|(kind, _)| kind)
    }

    /// Whether `UNEXPIRED_STORE` is unset, empty, or says something: nothing is kept anywhere while it says what nobody understands.
    ///
    /// # Errors
    ///
    /// It does not. The error names it and what it may be.
    pub fn check_environment() -> Result<(), StoreError> {
        let set = std::env::var_os("UNEXPIRED_STORE").filter(|text| !text.is_empty());
        if set.is_none() || Self::of_environment().is_some() {
            return Ok(());
        }
        Err(StoreError::new(
            "UNEXPIRED_STORE is no absolute path of a folder, and none of file, keyring and memory (or keyring:/a/folder); set it to one of these, or unset it",
        ))
    }
}

/// The folder that `UNEXPIRED_STORE` names.
pub(crate) fn folder_of_environment() -> Option<PathBuf> {
    said_by(std::env::var_os("UNEXPIRED_STORE"))?.1
}

fn said_by(text: Option<OsString>) -> Option<(StoreKind, Option<PathBuf>)> {
    let path = |text: &OsStr| Some(PathBuf::from(text)).filter(|path| path.is_absolute());
    let text = text?;
    if let Some(folder) = path(&text) {
        return Some((StoreKind::File, Some(folder)));
    }
    let text = text.to_str()?;
    match text.split_once(':') {
        Some((name, folder)) => Some((StoreKind::named(name)?, Some(path(folder.as_ref())?))),
        None => Some((StoreKind::named(text)?, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_an_absolute_path_or_both_say_it() {
        let folder = std::env::temp_dir();
        let here = folder.to_str().unwrap();
        for (text, kind, there) in [
            ("memory", Some(StoreKind::Memory), false),
            ("keyring", Some(StoreKind::Keyring), false),
            ("file", Some(StoreKind::File), false),
            (here, Some(StoreKind::File), true),
            (&format!("keyring:{here}"), Some(StoreKind::Keyring), true),
            (&format!("memory:{here}"), Some(StoreKind::Memory), true),
            ("keyring:state", None, false),
            ("disk:/state", None, false),
            ("Memory", None, false),
            ("state", None, false),
            ("", None, false),
        ] {
            let said = said_by(Some(text.into()));
            assert_eq!(said.clone().map(|(kind, _)| kind), kind, "{text}");
            assert_eq!(said.and_then(|(_, folder)| folder), there.then(|| folder.clone()), "{text}");
        }
        assert_eq!(said_by(None), None);
    }
}
