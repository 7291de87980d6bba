//! From a table to a source: the keys handed to the provider's builder.

use super::placed::{self, PlacedSecret};
use super::section::Section;
use super::{ConfigError, token_file::TokenFile};
use crate::{Chain, ErrorKind, MemoryStore, MintError, SecretRef, SecretSource, StoreError, TokenSource, TokenStore};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use unexpired_http::{Client, Roots};
use unexpired_store::{FileStore, StoreKind};

/// Where refresh tokens are kept.
pub(super) enum Stores {
    /// Nowhere: the source is only built to see whether it can be. No file is touched.
    None,
    /// In crash-safe files.
    Files,
    /// In the operating system's keyring.
    Keyring,
    /// In memory: what a server puts in the place of a refresh token would be lost with the process.
    Memory,
}

/// One HTTP client for all that trust the same authorities: they share connections. Knows the file's name, for errors.
#[derive(Clone)]
pub(super) struct Clients {
    file: Arc<str>,
    known: Arc<Mutex<Vec<(Trust, Client)>>>,
}

type Trust = (Roots, Option<PathBuf>);

impl Clients {
    pub(super) fn new(file: &str) -> Self {
        Self { file: file.into(), known: Arc::default() }
    }

    pub(super) fn client(&self, section: &Section) -> Result<Client, MintError> {
        let roots = if section.text("roots") == Some("bundled") { Roots::Bundled } else { Roots::System };
        let trust = (roots, section.path("ca_file").map(Path::to_path_buf));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = known.iter().find(|(other, _)| *other == trust) {
            return Ok(client.clone());
        }
        let mut builder = Client::builder().roots(roots);
        if let Some(file) = &trust.1 {
            builder = builder.ca_file(file);
        }
        let client = builder.build()?;
        known.push((trust, client.clone()));
        Ok(client)
    }
}

/// The source of a table and its fallbacks.
pub(super) fn source(
    section: &Section,
    clients: &Clients,
    stores: &Stores,
) -> Result<Arc<dyn TokenSource>, ConfigError> {
    let primary = match section.provider() {
        "entra" => entra(section, clients),
        "google" => google(section, clients),
        "ibm" => ibm(section, clients),
        "oauth" => oauth(section, clients, stores),
        _ => command(section),
    };
    let mut primary = primary.map_err(|error| located(section, &error))?;
    if section.has("ca_file") {
        primary = placed::ca_file(primary, place(section, "ca_file", clients));
    }
    let Some(fallback) = section.fallback() else { return Ok(primary) };
    let kinds = section.texts("fallback_on").iter().filter_map(|name| {
        [ErrorKind::Denied, ErrorKind::Unavailable, ErrorKind::TimedOut, ErrorKind::Malformed]
            .into_iter()
            .find(|kind| kind.as_str() == name)
    });
    Ok(Arc::new(Chain::fallback(primary, source(fallback, clients, stores)?).fallback_on(kinds)))
}

/// Scopes on one line; `None` if there are none.
pub(super) fn scope(section: &Section) -> Option<String> {
    Some(section.texts("scope").join(" ")).filter(|scope| !scope.is_empty())
}

type Built = Result<Arc<dyn TokenSource>, MintError>;

fn entra(section: &Section, clients: &Clients) -> Built {
    let text = |key| section.text(key).unwrap_or_default();
    let mut builder = unexpired_entra::ClientSecret::builder(
        text("tenant"),
        text("client_id"),
        secret(section, "client_secret", clients)?,
    )
    .scope(&scope(section).unwrap_or_default())
    .client(clients.client(section)?);
    if let Some(cloud) = section.text("cloud") {
        builder = builder.cloud(cloud.parse()?);
    }
    if let Some(authority) = section.text("authority") {
        builder = builder.authority(authority);
    }
    Ok(Arc::new(builder.build()?))
}

fn google(section: &Section, clients: &Clients) -> Built {
    let mut builder = unexpired_google::ServiceAccount::builder(secret(section, "credentials", clients)?)
        .client(clients.client(section)?);
    for scope in section.texts("scope").iter().flat_map(|text| text.split_ascii_whitespace()) {
        builder = builder.scope(scope);
    }
    if let Some(audience) = section.text("audience") {
        builder = builder.audience(audience);
    }
    if let Some(subject) = section.text("subject") {
        builder = builder.subject(subject);
    }
    if let Some(self_signed) = section.bool("self_signed") {
        builder = builder.self_signed(self_signed);
    }
    if let Some(url) = section.text("token_url") {
        builder = builder.token_url(url);
    }
    Ok(Arc::new(builder.build()?))
}

fn ibm(section: &Section, clients: &Clients) -> Built {
    let mut builder =
        unexpired_ibm::ApiKey::builder(secret(section, "api_key", clients)?).client(clients.client(section)?);
    if let Some(scope) = scope(section) {
        builder = builder.scope(&scope);
    }
    if let Some(endpoint) = section.text("endpoint") {
        builder = builder.endpoint(endpoint);
    }
    Ok(Arc::new(builder.build()?))
}

fn oauth(section: &Section, clients: &Clients, stores: &Stores) -> Built {
    use unexpired_oauth::{ClientCredentials, RefreshToken, Server};
    let server = match (section.text("issuer"), section.text("token_url")) {
        (Some(issuer), _) => Server::issuer(issuer)?,
        (None, url) => Server::token_url(url.unwrap_or_default())?,
    };
    let client_id = section.text("client_id").unwrap_or_default();
    let client = clients.client(section)?;
    if section.text("grant") != Some("refresh_token") {
        let builder = oauth_common(section, clients, ClientCredentials::builder(server, client_id).client(client))?;
        return Ok(Arc::new(builder.build()?));
    }
    let builder = oauth_common(section, clients, RefreshToken::builder(server, client_id).client(client))?;
    let builder = match section.path("refresh_token_file") {
        Some(path) => {
            let records = match stores {
                Stores::None => memory(),
                // This file is where the user wants it, whatever the store is.
                _ => open_beside(path)?,
            };
            let file = TokenFile::new(path, records);
            let secret = PlacedSecret::new(file.secret(), place(section, "refresh_token_file", clients));
            builder.refresh_token(Arc::new(secret)).store(Arc::new(file))
        }
        None => {
            let store = match stores {
                Stores::None => memory(),
                Stores::Files => open_default()?,
                Stores::Keyring => Arc::new(FileStore::open_keyring().map_err(|error| {
                    MintError::new(
                        ErrorKind::Unavailable,
                        format!("the store of refresh_token cannot be used: {error}"),
                    )
                })?),
                Stores::Memory => return Err(needs_a_store()),
            };
            let place = section.secret("refresh_token").map(SecretRef::place).unwrap_or_default();
            builder.refresh_token(secret(section, "refresh_token", clients)?).place(&place).store(store)
        }
    };
    Ok(Arc::new(builder.build()?))
}

/// What both grants know.
fn oauth_common<G>(
    section: &Section,
    clients: &Clients,
    mut builder: unexpired_oauth::Builder<G>,
) -> Result<unexpired_oauth::Builder<G>, MintError> {
    if section.has("client_secret") {
        builder = builder.client_secret(secret(section, "client_secret", clients)?);
    }
    if let Some(client_auth) = section.text("client_auth") {
        builder = builder.client_auth(client_auth.parse()?);
    }
    if let Some(scope) = scope(section) {
        builder = builder.scope(&scope);
    }
    if let Some(audience) = section.text("audience") {
        builder = builder.audience(audience);
    }
    for resource in section.texts("resource") {
        builder = builder.resource(resource);
    }
    for (name, value) in section.map("params") {
        builder = builder.param(name, value);
    }
    Ok(builder)
}

/// Why the token request takes no such parameter. Nothing but it is asked about, so the answer is about it.
pub(super) fn refused_param(name: &str, value: &str) -> Option<MintError> {
    let server = unexpired_oauth::Server::token_url("https://localhost/token").ok()?;
    let secret = Arc::new(crate::Secret::new("any"));
    let builder = unexpired_oauth::ClientCredentials::builder(server, "any").client_secret(secret);
    builder.param(name, value).build().err()
}

fn command(section: &Section) -> Built {
    let mut builder = match section.text("shell") {
        Some(line) => unexpired_command::Command::shell(line),
        None => unexpired_command::Command::argv(section.texts("command").iter().cloned()),
    };
    if let Some(timeout) = section.duration("timeout") {
        builder = builder.timeout(timeout);
    }
    if let Some(ttl) = section.duration("ttl") {
        builder = builder.ttl(ttl);
    }
    for (name, value) in section.map("env") {
        builder = builder.env(name, value);
    }
    if let Some(cwd) = section.path("cwd") {
        builder = builder.cwd(cwd);
    }
    let builder = builder.aws_credentials(super::rules::is_aws_credentials(section));
    Ok(Arc::new(builder.build()?))
}

fn secret(section: &Section, key: &str, clients: &Clients) -> Result<Arc<dyn SecretSource>, MintError> {
    match section.secret(key) {
        Some(secret) => Ok(Arc::new(PlacedSecret::new(Arc::new(secret.clone()), place(section, key, clients)))),
        None => Err(MintError::new(ErrorKind::Misconfigured, format!("{key} is missing")).remedy(format!("add {key}"))),
    }
}

/// `FILE:LINE: KEY`. Of a long file name the end tells more.
fn place(section: &Section, key: &str, clients: &Clients) -> String {
    let skip = clients.file.chars().count().saturating_sub(LONGEST_FILE);
    let file: String = clients.file.chars().skip(skip).collect();
    let cut = if skip > 0 { "…" } else { "" };
    format!("{cut}{file}:{}: {}.{key}", section.line_of(key), section.path)
}

fn memory() -> Arc<dyn TokenStore> {
    Arc::new(MemoryStore::new())
}

/// What a provider does not accept, with the line of the key that it speaks of.
fn located(section: &Section, error: &MintError) -> ConfigError {
    let text = error.to_string();
    // The host is made of words, too.
    let said = error.endpoint_host().map_or_else(|| text.clone(), |host| text.replace(host, ""));
    let words: Vec<&str> = said.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let key = words.into_iter().find(|word| section.has(word)).unwrap_or("provider");
    ConfigError::new(&text, "").with_kind(error.kind()).at(section.line_of(key), format!("{}.{key}", section.path))
}

/// For `refresh_token_file`: a folder beside the file, so that all who use the file share its lock.
fn open_beside(path: &Path) -> Result<Arc<dyn TokenStore>, MintError> {
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    open(&path.parent().unwrap_or(Path::new("/")).join(".unexpired"))
}

/// For `refresh_token`: the state folder.
fn open_default() -> Result<Arc<dyn TokenStore>, MintError> {
    let set = std::env::var_os("UNEXPIRED_STORE").filter(|folder| !folder.is_empty());
    if set.is_some() && StoreKind::of_environment().is_none() {
        return Err(MintError::new(
            ErrorKind::Misconfigured,
            "UNEXPIRED_STORE, where refresh_token is kept when it rotates, is no absolute path",
        )
        .remedy("set it to the absolute path of a folder of yours, or unset it"));
    }
    let folder = unexpired_store::default_dir().into_iter().next().ok_or_else(|| {
        MintError::new(ErrorKind::Misconfigured, "there is no folder to keep refresh_token in when it rotates")
            .remedy("set UNEXPIRED_STORE to the absolute path of a folder of yours")
    })?;
    open(&folder)
}

fn open(folder: &Path) -> Result<Arc<dyn TokenStore>, MintError> {
    Ok(Arc::new(FileStore::open(folder).map_err(|error| unusable(&error))?))
}

/// Where the server rotates, the configured token is used up with the first mint, and the next one would be known to nobody once this process ends:
/// whoever sends a used one has the whole sign-in revoked.
pub(super) fn needs_a_store() -> MintError {
    let what = "store = \"memory\" would lose what the server puts in the place of refresh_token";
    let remedy = "name a refresh_token_file, or set store (or UNEXPIRED_STORE) to \"file\" or \"keyring\"";
    MintError::new(ErrorKind::Misconfigured, what).remedy(remedy)
}

fn unusable(error: &StoreError) -> MintError {
    MintError::new(ErrorKind::Misconfigured, error.to_string())
}

/// Leaves room in an error's line for what is wrong.
const LONGEST_FILE: usize = 48;
