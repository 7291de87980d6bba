//! `unexpired lab`: testkit's servers on loopback, for programs in any language.

use crate::args::LabArgs;
use crate::commands::runtime;
use crate::failure::{Failure, OTHER, USAGE};
use crate::out;
use crate::signals::End;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use unexpired_testkit::lab::{Lab, LabOptions};

pub(crate) fn run(own: &LabArgs) -> Result<(), Failure> {
    let runtime = runtime()?;
    let mut options = LabOptions::new().port(own.port).https(own.https);
    if let Some(lifetime) = own.lifetime {
        options = options.lifetime(lifetime);
    }
    // Listened for before anything is said, so that whoever reads the endpoints may end the lab at once.
    let mut end = runtime.block_on(async { End::listen() })?;
    let lab = Lab::start(options).map_err(|error| {
        Failure::new(OTHER, format!("the lab could not be started: {error}"))
            .hint("if the port is taken, leave --port out: a free one is found")
    })?;
    let text = if own.json { endpoints(&lab)? } else { page(&lab, own) };
    if let Some(path) = &own.config_file {
        write_config(path, lab.config_toml())?;
    }
    let served = out::answer(&text).map(|()| runtime.block_on(end.wait()));
    // The configuration names files that go away with the lab.
    if let Some(path) = &own.config_file {
        let _ = std::fs::remove_file(path);
    }
    served
}

/// Everything as a configuration file whose comments name the endpoints.
fn page(lab: &Lab, own: &LabArgs) -> String {
    let at = lab.endpoints();
    let mut text = format!("{MARK}: serves until it is interrupted. All of this is a configuration file.\n#\n");
    let mut line = |what: &str, url: &str| text.push_str(&format!("#   {what:<18} {url}\n"));
    line("control", &at.lab);
    line("resource server", &at.check);
    line("key set", &at.jwks_uri);
    line("entra", &at.entra.token_url);
    line("google", &at.google.token_url);
    line("ibm", &at.ibm.token_url);
    line("oauth", &at.oauth.token_url);
    line("oauth issuer", &at.oauth.issuer);
    if let (Some(url), Some(ca_file)) = (&at.https_url, &at.ca_file) {
        line("with TLS", url);
        line("its authority", ca_file);
    }
    let file = own.config_file.as_deref().unwrap_or(Path::new("lab.toml")).display().to_string();
    let saved = if own.config_file.is_some() { "" } else { " (save this as lab.toml first)" };
    text.push_str(&format!(
        "#\n# Is a token accepted?      {} probe lab-entra --url {}{saved}\n",
        crate::project::with_config(&file),
        at.check
    ));
    text.push_str("# Take all tokens back:    curl --json '{\"all\": true}' ");
    text.push_str(&format!("{}/revoke\n", at.lab));
    text.push_str(
        "# An outage of 5 s:        curl --json '{\"fault\": \"status\", \"status\": 503, \"lasting\": \"5s\"}' ",
    );
    text.push_str(&format!("{}/faults\n", at.lab));
    text.push_str("# Tokens of 3 s:           curl --json '{\"lifetime\": \"3s\"}' ");
    text.push_str(&format!("{}/lifetime\n\n", at.lab));
    text.push_str(lab.config_toml());
    text
}

fn endpoints(lab: &Lab) -> Result<String, Failure> {
    let text = serde_json::to_string(lab.endpoints()).map_err(|error| Failure::new(OTHER, error))?;
    Ok(format!("{text}\n"))
}

/// Writes the configuration where it was wanted, readable by its owner only. A file that no lab has written is left alone.
fn write_config(path: &Path, config: &str) -> Result<(), Failure> {
    let cannot = |error: &io::Error| Failure::new(OTHER, format!("{} cannot be written: {error}", path.display()));
    match File::open(path) {
        Ok(file) => {
            let mut start = String::new();
            let _ = file.take(MARK.len() as u64).read_to_string(&mut start);
            if start != MARK {
                return Err(Failure::new(USAGE, format!("{} exists, and no lab wrote it", path.display()))
                    .hint("name another file: unexpired lab --config-file FILE"));
            }
            std::fs::remove_file(path).map_err(|error| cannot(&error))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(cannot(&error)),
    }
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(|error| cannot(&error))?;
    write!(file, "{MARK}.\n\n{config}").map_err(|error| cannot(&error))
}

/// The first words of all that a lab writes.
const MARK: &str = "# unexpired lab";
