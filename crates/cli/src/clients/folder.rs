//! A private folder for one program's life: what a configuration folder holds is seen through it, and one file in it is ours.

use crate::failure::{Failure, OTHER};
use crate::{out, sys};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder, which is gone when this is dropped. What the program made anew in it is moved to where it belongs.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    over: Option<Over>,
}

#[derive(Debug)]
struct Over {
    /// The real folder.
    real: PathBuf,
    /// Where it is seen.
    seen: PathBuf,
    /// The name of the file that is ours.
    own: &'static str,
}

impl Folder {
    /// An empty one in `parent`.
    pub(crate) fn new(parent: &Path) -> Result<Self, Failure> {
        let random = unexpired_proxy::LocalKey::random()?;
        let random = random.expose().get(4..20).unwrap_or_default();
        let path = parent.join(format!(".unexpired-run-{random}"));
        sys::create_private_folder(&path).map_err(|error| cannot("make", &path, &error))?;
        Ok(Self { path, over: None })
    }

    /// One through which `real` is seen, but for the file `own`.
    pub(crate) fn over(real: &Path, own: &'static str) -> Result<Self, Failure> {
        // Beside it: what the program makes can then be moved there in one step.
        let parent = real.parent().unwrap_or(real);
        fs::create_dir_all(real).map_err(|error| cannot("make", real, &error))?;
        Self::new(parent)?.with(real, "", own)
    }

    /// One in which `real` is seen as `name`, but for the file `own`: a home of its own for a program.
    pub(crate) fn home(real: &Path, name: &str, own: &'static str) -> Result<Self, Failure> {
        let parent = real.parent().unwrap_or(real);
        fs::create_dir_all(real).map_err(|error| cannot("make", real, &error))?;
        Self::new(parent)?.with(real, name, own)
    }

    fn with(mut self, real: &Path, name: &str, own: &'static str) -> Result<Self, Failure> {
        let seen = self.path.join(name);
        if !name.is_empty() {
            sys::create_private_folder(&seen).map_err(|error| cannot("make", &seen, &error))?;
        }
        for entry in fs::read_dir(real).map_err(|error| cannot("read", real, &error))? {
            let entry = entry.map_err(|error| cannot("read", real, &error))?;
            if entry.file_name() != own {
                let link = seen.join(entry.file_name());
                sys::link(&entry.path(), &link).map_err(|error| cannot("make", &link, &error))?;
            }
        }
        self.over = Some(Over { real: real.to_path_buf(), seen, own });
        Ok(self)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes our file.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.over.as_ref().map_or(&self.path, |over| &over.seen).join(name);
        sys::write_private(&path, text.as_bytes()).map_err(|error| cannot("write", &path, &error))?;
        Ok(path)
    }

    /// Moves what is no link and not ours to the real folder: a first sign-in, or a file that was replaced by renaming.
    fn bring_back(&self) -> io::Result<()> {
        let Some(Over { real, seen, own }) = &self.over else { return Ok(()) };
        for entry in fs::read_dir(seen)? {
            let entry = entry?;
            if entry.file_name() != *own && !entry.file_type()?.is_symlink() {
                fs::rename(entry.path(), real.join(entry.file_name()))?;
            }
        }
        Ok(())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = self.bring_back() {
            // Left where it is rather than lost.
            out::to_stderr(&format!("warning: what was written to {} stays there: {error}", self.path.display()));
            return;
        }
        // Links are removed, not what they lead to.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::new(OTHER, format!("cannot {what} {}: {error}", path.display()))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_real_folder_is_seen_through_it_and_gets_what_is_made() {
        let home = tempfile::tempdir().unwrap();
        let real = home.path().join("agent");
        fs::create_dir_all(real.join("sessions")).unwrap();
        for name in ["auth.json", "models.json", "settings.json"] {
            fs::write(real.join(name), name).unwrap();
        }
        let folder = Folder::over(&real, "models.json").unwrap();
        folder.write("models.json", "ours").unwrap();
        let path = folder.path().to_path_buf();
        assert_eq!(fs::read_to_string(path.join("auth.json")).unwrap(), "auth.json");
        // Through a link, by renaming, and new.
        fs::write(path.join("auth.json"), "signed in").unwrap();
        fs::write(path.join("tmp"), "changed").unwrap();
        fs::rename(path.join("tmp"), path.join("settings.json")).unwrap();
        fs::write(path.join("sessions/1"), "session").unwrap();
        fs::create_dir(path.join("extensions")).unwrap();
        drop(folder);
        assert!(!path.exists());
        for (name, text) in [
            ("auth.json", "signed in"),
            ("settings.json", "changed"),
            ("sessions/1", "session"),
            ("models.json", "models.json"),
        ] {
            assert_eq!(fs::read_to_string(real.join(name)).unwrap(), text);
        }
        assert!(real.join("extensions").is_dir());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
    }
}
