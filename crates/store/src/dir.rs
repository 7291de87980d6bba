//! Where the state folder is.

use crate::sys;
use std::ffi::OsString;
use std::path::PathBuf;
use unexpired_core::StoreError;

/// The folder for locks and refresh tokens.
///
/// | system | folder |
/// |---|---|
/// | any | `UNEXPIRED_STORE`, if it is set: an absolute path |
/// | Linux, BSD | `HOME/.local/state/unexpired` |
/// | macOS | `HOME/Library/Application Support/unexpired` |
/// | Windows | `%LOCALAPPDATA%\unexpired` |
///
/// `HOME` is the home folder in the user's entry of `/etc/passwd`: programs are often started without an environment or with a changed one,
/// and a refresh token must be found again from everywhere. For the same reason `XDG_STATE_HOME` is not looked at. Users who have no entry
/// there (LDAP, macOS) get the variable `HOME`, or where that is unset what the system's own look-up says.
///
/// Nothing is created.
///
/// # Errors
///
/// `UNEXPIRED_STORE` is no absolute path, or no home folder is known.
pub fn default_dir() -> Result<PathBuf, StoreError> {
    choose(std::env::var_os(VARIABLE), sys::state_folder)
}

fn choose(variable: Option<OsString>, state: impl FnOnce() -> Option<PathBuf>) -> Result<PathBuf, StoreError> {
    match variable.filter(|value| !value.is_empty()).map(PathBuf::from) {
        Some(folder) if folder.is_absolute() => Ok(folder),
        Some(_) => Err(StoreError::new(format!("{VARIABLE} is no absolute path; write it in full"))),
        None => state().filter(|folder| folder.is_absolute()).ok_or_else(|| {
            StoreError::new(format!("this user has no home folder; set {VARIABLE} to a folder for the state"))
        }),
    }
}

const VARIABLE: &str = "UNEXPIRED_STORE";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_if_it_is_an_absolute_path() {
        let home = || Some(std::env::temp_dir());
        let other = std::env::temp_dir().join("other");
        assert_eq!(choose(Some(other.clone().into()), home).unwrap(), other);
        assert_eq!(choose(Some("".into()), home).unwrap(), std::env::temp_dir());
        assert_eq!(choose(None, home).unwrap(), std::env::temp_dir());
        assert!(choose(Some("relative".into()), home).unwrap_err().to_string().contains("absolute"));
        assert!(choose(None, || None).unwrap_err().to_string().contains("UNEXPIRED_STORE"));
        assert!(choose(None, || Some("relative".into())).is_err());
    }
}
