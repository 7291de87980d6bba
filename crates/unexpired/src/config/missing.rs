//! What the configuration names and this machine does not have. Nothing is read and no program is run.

use super::ConfigError;
use super::section::Section;
use crate::MintError;
use crate::secret_ref::shown;
use std::path::Path;

/// The errors of a token and its fallbacks.
pub(super) fn missing(section: &Section) -> Vec<ConfigError> {
    let mut missing = Vec::new();
    for (key, line, secret) in section.secrets() {
        if let Err(error) = secret.check() {
            missing.push(placed(&error, line, key));
        }
    }
    let mut next = Some(section);
    while let Some(section) = next {
        for key in ["ca_file", "refresh_token_file"] {
            let Some(path) = section.path(key) else { continue };
            let at = format!("{}.{key}", section.path);
            if key == "refresh_token_file" {
                if let Err(error) = crate::SecretRef::file(path).check() {
                    missing.push(placed(&error, section.line_of(key), at));
                }
            } else if let Err(error) = readable(path) {
                let what = format!("{} cannot be read: {error}", shown(path));
                let remedy = "put the PEM file there, readable for this user";
                missing.push(ConfigError::new(what, remedy).at(section.line_of(key), at));
            }
        }
        next = section.fallback();
    }
    missing
}

/// The refresh tokens of a token and its fallbacks that a store in memory would lose.
pub(super) fn store(section: &Section) -> Vec<ConfigError> {
    let mut lost = Vec::new();
    let mut next = Some(section);
    while let Some(section) = next {
        if section.text("grant") == Some("refresh_token") && section.has("refresh_token") {
            let at = format!("{}.refresh_token", section.path);
            lost.push(placed(&super::build::needs_a_store(), section.line_of("refresh_token"), at));
        }
        next = section.fallback();
    }
    lost
}

fn placed(error: &MintError, line: u32, key: String) -> ConfigError {
    ConfigError::new(error.message(), error.remedy_text().unwrap_or_default()).at(line, key)
}

/// Opens it, so that a file which this user may not read is told of, too.
fn readable(path: &Path) -> Result<(), String> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            std::fs::File::open(path).map(drop).map_err(|error| error.kind().to_string())
        }
        Ok(_) => Err("it is no regular file".to_owned()),
        Err(error) => Err(error.kind().to_string()),
    }
}
