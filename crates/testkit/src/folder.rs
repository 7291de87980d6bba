//! A temporary folder that nobody else can read.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use unexpired_crypto::uuid_v4;

use crate::StartError;

/// Removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Self, StartError> {
        let name = uuid_v4().map_err(|error| StartError::new(error.to_string()))?;
        let path = std::env::temp_dir().join(format!("unexpired-testkit-{name}"));
        private_dir(&path)
            .map_err(|error| StartError::new(format!("no temporary folder {}: {error}", path.display())))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn write(&self, name: &str, content: &[u8]) -> Result<PathBuf, StartError> {
        let path = self.0.join(name);
        let written = private_file(&path).and_then(|mut file| file.write_all(content));
        written.map_err(|error| StartError::new(format!("cannot write {}: {error}", path.display())))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn private_file(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
