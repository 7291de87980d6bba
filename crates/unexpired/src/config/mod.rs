//! The configuration file: named tokens, where their secrets are, where they may go.
//!
//! ```toml
//! [token.corp]
//! provider      = "entra"
//! cloud         = "us-government"
//! tenant        = "contoso.onmicrosoft.us"
//! client_id     = "aaaaaaaa-0000-4000-8000-000000000001"
//! client_secret = { file = "/run/secrets/corp" }
//! scope         = "https://cognitiveservices.azure.us/.default"
//! hosts         = ["*.openai.azure.us"]
//!
//! [token.corp.fallback]
//! provider = "command"
//! command  = ["az", "account", "get-access-token", "--scope", "https://cognitiveservices.azure.us/.default", "--output", "json"]
//! ```
//!
//! - **All keys** with their defaults are in [`reference()`], and for editors in [`schema()`]. What is not known is refused, with the line and
//!   with what to write instead.
//! - **Secrets do not stand in the file.** They are named by reference ([`SecretRef`]) and read when a token is minted. Errors
//!   show no value of the file.
//! - **Whoever can write the file decides** where secrets go and which commands run. So [`Config::load`] refuses a file that the world, or a
//!   group other than the owner's private one, can write, and one that belongs to anybody but this user or root. (Not looked at: the folders
//!   above it; and on Windows the access lists.) Nothing is ever picked up from the working folder, and paths begin at the root.
//! - **Nothing happens on loading**: no secret is read, no command is run, nothing is sent.
//!
//! ```
//! use unexpired::config::Config;
//!
//! let text = r#"
//!     [token.ci]
//!     provider = "ibm"
//!     api_key  = { env = "CI_IBM_KEY" }
//!     hosts    = ["*.ml.cloud.ibm.com"]
//! "#;
//! let config = Config::parse(text, "config.toml")?;
//! let manager = config.manager("ci")?.build();
//! assert_eq!(manager.name(), "ci");
//! # Ok::<(), unexpired::config::ConfigError>(())
//! ```

mod build;
mod duration;
mod error;
mod keys;
mod missing;
mod placed;
mod reference;
mod rules;
mod schema;
mod section;
mod suggest;
mod token_file;

pub use duration::parse_duration;
pub use error::ConfigError;
pub use reference::reference;
pub use schema::schema;

pub use crate::{HostPattern, hosts_allow};

use crate::{
    ErrorKind, MemoryStore, SecretRef, StoredSource, TokenManager, TokenManagerBuilder, TokenSource, TokenStore,
};
use section::{Reader, Section};
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use toml::de::DeTable;
use unexpired_store::{FileStore, StoreKind};

/// A configuration that was read and checked.
#[derive(Clone)]
pub struct Config {
    file: String,
    tokens: Vec<TokenConfig>,
    routes: Vec<RouteConfig>,
    clients: build::Clients,
    top: Section,
    /// What there is with `store = "memory"`: one for all tokens.
    memory: MemoryStore,
}

impl Config {
    /// Reads a file. See the [module's page](self) for whose files are refused. A symbolic link is followed, and what it leads to is checked.
    ///
    /// # Errors
    ///
    /// Of kind [`NotConfigured`](ErrorKind::NotConfigured) if there is no such file, else [`Misconfigured`](ErrorKind::Misconfigured): the first of
    /// the [`problems`](Self::problems), or why the file is not trusted.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let name = path.display().to_string();
        let text = read_trusted(path).map_err(|error| error.in_file(&name))?;
        Self::parse(&text, &name)
    }

    /// Reads a text. `name` is what errors call it. Nothing is checked about where the text is from.
    ///
    /// # Errors
    ///
    /// The first of the [`problems`](Self::problems).
    pub fn parse(text: &str, name: &str) -> Result<Self, ConfigError> {
        Self::read(text, name).map_err(|mut errors| errors.swap_remove(0))
    }

    /// Everything that is wrong with a text, in the order of its lines; empty if it is fine.
    pub fn problems(text: &str, name: &str) -> Vec<ConfigError> {
        Self::read(text, name).err().unwrap_or_default()
    }

    /// The errors are in the order of their lines, and never none.
    fn read(text: &str, name: &str) -> Result<Self, Vec<ConfigError>> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut reader = Reader::new(text);
        let parsed = match DeTable::parse(text) {
            Ok(parsed) => parsed,
            Err(error) => {
                // Not its `Display`: that shows the line, and a secret may stand there.
                let span = error.span().unwrap_or_default();
                let line = reader.line(span.start);
                let mut wrong = ConfigError::new(
                    error.message(),
                    "strings stand in quotes, tables in [brackets]: see https://toml.io",
                );
                if error.message() == "duplicate key" {
                    let key = text.get(span).unwrap_or_default().trim_matches(['"', '\'']);
                    let what = format!("the key {} stands here a second time", section::shown(key));
                    wrong = ConfigError::new(what, "remove one of the two");
                }
                return Err(vec![wrong.at(line, "").in_file(name)]);
            }
        };
        let (top, tokens, routes) = reader.document(parsed.get_ref());
        rules::check_top(&top, &mut reader);
        for (_, route) in &routes {
            rules::check_route(route, &tokens, &mut reader);
            rules::check_bearer(route, &tokens, &mut reader);
        }
        let clients = build::Clients::new(name);
        for (_, section) in &tokens {
            let before = reader.errors.len();
            rules::check(section, &mut reader);
            // What the provider itself has to say, once the keys are right.
            let clean = reader.errors.len() == before
                && !reader.errors.iter().any(|error| error.key().starts_with(&format!("{}.", section.path)));
            if clean && let Err(error) = build::source(section, &clients, &build::Stores::None) {
                reader.errors.push(error);
            }
        }
        let mut errors = reader.errors;
        if errors.is_empty() {
            let token = |(name, section): (String, Section)| TokenConfig { name, section };
            let route = |(name, section): (String, Section)| RouteConfig { name, section };
            return Ok(Self {
                file: name.to_owned(),
                tokens: in_order(tokens).map(token).collect(),
                routes: in_order(routes).map(route).collect(),
                clients,
                top,
                memory: MemoryStore::new(),
            });
        }
        errors.sort_by_key(|error| error.line());
        Err(errors.into_iter().map(|error| error.in_file(name)).collect())
    }

    /// The file's name, as it was given.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The tokens' names, in the order of the file.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(|token| token.name.as_str())
    }

    /// The tokens, in the order of the file.
    pub fn tokens(&self) -> impl Iterator<Item = &TokenConfig> {
        self.tokens.iter()
    }

    /// The token of this name.
    pub fn token(&self, name: &str) -> Option<&TokenConfig> {
        self.tokens.iter().find(|token| token.name == name)
    }

    /// The route of this name.
    pub fn route(&self, name: &str) -> Option<&RouteConfig> {
        self.routes.iter().find(|route| route.name == name)
    }

    /// The routes, in the order of the file.
    pub fn routes(&self) -> impl Iterator<Item = &RouteConfig> {
        self.routes.iter()
    }

    /// What works, and should not stay so: files with secrets that everybody can read. Looks at those files, and reads none.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (key, line, secret) in self.tokens.iter().flat_map(|token| token.section.secrets()) {
            if let SecretRef::File(path) = secret
                && std::fs::metadata(path).is_ok_and(|metadata| crate::sys::is_world_readable(&metadata))
            {
                let path = crate::secret_ref::shown(path);
                warnings.push(format!("{}:{line}: {key}: everybody can read {path}; run chmod o-r on it", self.file));
            }
        }
        warnings
    }

    /// What the configuration names and this machine does not have, or this user may not read: files of secrets, `ca_file`,
    /// `refresh_token_file`, environment variables; and a store that a refresh token needs. In the order of the lines. Nothing is read and no program is run; so a secret that a program
    /// prints is not looked for.
    ///
    /// ```
    /// let text = "[token.ci]\nprovider = 'ibm'\napi_key = { file = '/no/such/file' }";
    /// let config = unexpired::config::Config::parse(text, "config.toml")?;
    /// assert_eq!(
    ///     config.missing()[0].to_string(),
    ///     "config.toml:3: token.ci.api_key: the secret's file /no/such/file does not exist; put the secret there, readable for this user",
    /// );
    /// # Ok::<(), unexpired::config::ConfigError>(())
    /// ```
    pub fn missing(&self) -> Vec<ConfigError> {
        let mut missing: Vec<ConfigError> =
            self.tokens.iter().flat_map(|token| missing::missing(&token.section)).collect();
        if self.store() == StoreKind::Memory {
            missing.extend(self.tokens.iter().flat_map(|token| missing::store(&token.section)));
        }
        missing.sort_by_key(ConfigError::line);
        missing.into_iter().map(|error| error.in_file(&self.file)).collect()
    }

    /// The source of a token, fallbacks and all. Secrets are read when it mints.
    ///
    /// # Errors
    ///
    /// [`NotConfigured`](ErrorKind::NotConfigured) if there is no such token; [`Misconfigured`](ErrorKind::Misconfigured) if the place for its
    /// refresh tokens cannot be used.
    pub fn source(&self, name: &str) -> Result<Arc<dyn TokenSource>, ConfigError> {
        let token = self.existing(name)?;
        build::source(&token.section, &self.clients, &self.stores()).map_err(|error| error.in_file(&self.file))
    }

    /// Where tokens are kept: what `UNEXPIRED_STORE` says, else what `store` says.
    ///
    /// ```
    /// use unexpired::config::Config;
    /// use unexpired::store::StoreKind;
    ///
    /// # if std::env::var_os("UNEXPIRED_STORE").is_none() {
    /// assert_eq!(Config::parse("store = 'memory'", "config.toml")?.store(), StoreKind::Memory);
    /// # }
    /// # Ok::<(), unexpired::config::ConfigError>(())
    /// ```
    pub fn store(&self) -> StoreKind {
        StoreKind::of_environment().unwrap_or_else(|| self.configured_store())
    }

    /// Where tokens are kept where `UNEXPIRED_STORE` does not say otherwise.
    pub fn configured_store(&self) -> StoreKind {
        self.top.text("store").and_then(StoreKind::named).unwrap_or_default()
    }

    /// The [`store`](Self::store) itself. The one in memory is the same at each call, and for each clone of this configuration; it ends with the process.
    ///
    /// ```no_run
    /// # fn example(config: unexpired::config::Config) -> Result<(), unexpired::config::ConfigError> {
    /// let source = config.stored_source("corp", config.open_store()?)?;
    /// # let _ = source;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](ErrorKind::Misconfigured) or [`Unavailable`](ErrorKind::Unavailable): the folder cannot be used; the keyring cannot be
    /// reached, is locked, or is not built in. Another kind of store never takes the place of the one that is wanted.
    pub fn open_store(&self) -> Result<Arc<dyn TokenStore>, ConfigError> {
        let opened: Result<Arc<dyn TokenStore>, _> = match self.store() {
            StoreKind::Memory => return Ok(Arc::new(self.memory.clone())),
            StoreKind::Keyring => FileStore::open_keyring().map(|store| Arc::new(store) as _),
            _ => FileStore::open_default().map(|store| Arc::new(store) as _),
        };
        opened.map_err(|error| {
            let error = ConfigError::new(error.to_string(), "").with_kind(ErrorKind::Unavailable).in_file(&self.file);
            if self.top.has("store") { error.at(self.top.line_of("store"), "store") } else { error }
        })
    }

    fn stores(&self) -> build::Stores {
        match self.store() {
            StoreKind::Memory => build::Stores::Memory,
            StoreKind::Keyring => build::Stores::Keyring,
            _ => build::Stores::Files,
        }
    }

    /// A manager of a token, with its `min_ttl`: to be built, after clock, runtime or observer are set where they are wanted.
    ///
    /// # Errors
    ///
    /// As [`source`](Self::source).
    pub fn manager(&self, name: &str) -> Result<TokenManagerBuilder, ConfigError> {
        let builder = TokenManager::builder(name, self.source(name)?);
        Ok(match self.existing(name)?.min_ttl() {
            Some(min_ttl) => builder.min_ttl(min_ttl),
            None => builder,
        })
    }

    /// The source of a token whose tokens everyone shares who uses the same store: see [`StoredSource`].
    ///
    /// # Errors
    ///
    /// As [`source`](Self::source).
    pub fn stored_source(&self, name: &str, store: Arc<dyn TokenStore>) -> Result<StoredSource, ConfigError> {
        let token = self.existing(name)?;
        let stored = StoredSource::new(self.source(name)?, store, token.identity());
        Ok(stored.min_ttl(token.min_ttl().unwrap_or_default()))
    }

    /// The HTTP client of a token, with its `ca_file` and `roots`. Tokens that trust the same authorities share one.
    ///
    /// # Errors
    ///
    /// As [`source`](Self::source).
    pub fn client(&self, name: &str) -> Result<unexpired_http::Client, ConfigError> {
        let section = &self.existing(name)?.section;
        self.clients.client(section).map_err(|error| {
            ConfigError::new(error.to_string(), "").at(section.line, section.path.as_str()).in_file(&self.file)
        })
    }

    fn existing(&self, name: &str) -> Result<&TokenConfig, ConfigError> {
        self.token(name).ok_or_else(|| {
            let remedy = match suggest::nearest(name, self.names()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if self.tokens.is_empty() => "add [token.NAME]".to_owned(),
                None => format!("there are: {}", self.names().collect::<Vec<_>>().join(", ")),
            };
            let error = ConfigError::new("there is no token of this name", remedy);
            error.with_kind(ErrorKind::NotConfigured).in_file(&self.file)
        })
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("file", &self.file)
            .field("tokens", &self.tokens)
            .field("routes", &self.routes)
            .finish()
    }
}

/// One `[token.NAME]`.
#[derive(Clone)]
pub struct TokenConfig {
    name: String,
    section: Section,
}

impl TokenConfig {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The line on which it begins.
    pub fn line(&self) -> u32 {
        self.section.line
    }

    /// `entra`, `google`, `ibm`, `oauth` or `command`.
    pub fn provider(&self) -> &str {
        self.section.provider()
    }

    /// The providers of its fallbacks, in the order in which they step in.
    pub fn fallbacks(&self) -> Vec<&str> {
        let mut providers = Vec::new();
        let mut next = self.section.fallback();
        while let Some(section) = next {
            providers.push(section.provider());
            next = section.fallback();
        }
        providers
    }

    /// The scopes, separated by blanks; `None` if none is set.
    pub fn scope(&self) -> Option<String> {
        build::scope(&self.section)
    }

    /// The audience.
    pub fn audience(&self) -> Option<&str> {
        self.section.text("audience")
    }

    /// Where it may be sent; see [`hosts_allow`].
    pub fn hosts(&self) -> &[HostPattern] {
        self.section.hosts("hosts")
    }

    /// Whether it may leave the process.
    pub fn export(&self) -> Export {
        if self.section.text("export") == Some("never") { Export::Never } else { Export::Allowed }
    }

    /// Everything that makes its tokens what they are: provider, authority, tenant, client, scopes, subject, where its secrets are; of environment
    /// variables with secrets a digest of what they hold now. Not its name, and not who gets it.
    pub fn identity(&self) -> Vec<String> {
        self.section.identity()
    }

    /// The files that hold its credentials, those of fallbacks included.
    pub fn credential_files(&self) -> Vec<&Path> {
        self.section.credential_files()
    }

    /// The environment variables that hold its credentials, those of fallbacks included.
    pub fn credential_variables(&self) -> Vec<&str> {
        self.section.credential_variables()
    }

    /// Whether programs are run for it: to print it, or one of its secrets, those of fallbacks included.
    pub fn runs_commands(&self) -> bool {
        self.section.runs_commands()
    }

    /// Whether minting may use up a credential that cannot be had again: a refresh token that the server rotates.
    pub fn rotates(&self) -> bool {
        let mut next = Some(&self.section);
        while let Some(section) = next {
            if section.text("grant") == Some("refresh_token") {
                return true;
            }
            next = section.fallback();
        }
        false
    }

    /// The user name that goes beside it where a client wants one: what is configured, else what the provider's resources take.
    pub fn username(&self) -> &str {
        self.section.text("username").unwrap_or(match self.provider() {
            "entra" => "00000000-0000-0000-0000-000000000000",
            "google" => "oauth2accesstoken",
            "ibm" => "iambearer",
            _ => "oauth2",
        })
    }

    /// Whether it is AWS keys, which sign requests: no bearer token.
    pub fn is_aws_credentials(&self) -> bool {
        rules::is_aws_credentials(&self.section)
    }

    /// The directory of an Entra token: its id or a domain.
    pub fn tenant(&self) -> Option<&str> {
        self.section.text("tenant")
    }

    /// The least life that it should have left when it is handed out.
    pub fn min_ttl(&self) -> Option<Duration> {
        self.section.duration("min_ttl")
    }
}

impl fmt::Debug for TokenConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenConfig")
            .field("name", &self.name)
            .field("provider", &self.provider())
            .field("hosts", &self.hosts())
            .finish_non_exhaustive()
    }
}

/// Whether a token may be printed, stored and written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Export {
    /// Yes.
    #[default]
    Allowed,
    /// No: it stays in the process that minted it.
    Never,
}

/// One `[route.NAME]`.
#[derive(Clone)]
pub struct RouteConfig {
    name: String,
    section: Section,
}

impl RouteConfig {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its token, which there is.
    pub fn token(&self) -> &str {
        self.section.text("token").unwrap_or_default()
    }

    /// Where its requests go.
    pub fn upstream(&self) -> &str {
        self.section.text("upstream").unwrap_or_default()
    }

    /// The line on which it begins.
    pub fn line(&self) -> u32 {
        self.section.line
    }

    /// The header in which the upstream wants the token; `None` for `Authorization`.
    pub fn header(&self) -> Option<&str> {
        self.section.text("header")
    }

    /// What stands before the token; `none` for nothing, `None` for the header's usual.
    pub fn scheme(&self) -> Option<&str> {
        self.section.text("scheme")
    }

    /// Headers that every request has.
    pub fn set_headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.section.map("set_headers")
    }

    /// Certificate authorities that are trusted for the upstream beside the system's.
    pub fn ca_file(&self) -> Option<&Path> {
        self.section.path("ca_file")
    }

    /// The certificate and the key that the upstream asks for.
    pub fn client_certificate(&self) -> Option<(&Path, &Path)> {
        Some((self.section.path("client_cert")?, self.section.path("client_key")?))
    }

    /// The port at which it is served alone.
    pub fn port(&self) -> Option<u16> {
        self.section.port("port")
    }

    /// The Unix socket at which it is served alone.
    pub fn socket(&self) -> Option<&Path> {
        self.section.path("socket")
    }

    /// Statuses beside 401 that mean an expired token.
    pub fn expired_statuses(&self) -> &[u16] {
        self.section.statuses("expired_status")
    }
}

impl fmt::Debug for RouteConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RouteConfig").field("name", &self.name).field("token", &self.token()).finish_non_exhaustive()
    }
}

/// Where the configuration is, if nobody says otherwise: the file that `UNEXPIRED_CONFIG` names, else `unexpired/config.toml` in
/// `$XDG_CONFIG_HOME` (if that is an absolute path), else in the platform's own folder: `~/.config`, on macOS `~/Library/Application Support`,
/// on Windows `%APPDATA%`. The home is `$HOME`, else that of the passwd entry. The file need not exist. `None` if there is no home.
pub fn default_path() -> Option<PathBuf> {
    default_path_by(&|name| std::env::var(name).ok().filter(|text| !text.is_empty()))
}

fn default_path_by(variable: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    match variable("UNEXPIRED_CONFIG") {
        Some(path) => Some(PathBuf::from(path)),
        None => crate::sys::config_folder(variable).map(|folder| folder.join("unexpired").join("config.toml")),
    }
}

/// The text of a file that nobody else can write.
fn read_trusted(path: &Path) -> Result<String, ConfigError> {
    let cannot = |error: std::io::Error| {
        let absent = error.kind() == std::io::ErrorKind::NotFound;
        let what =
            if absent { "there is no such file".to_owned() } else { format!("cannot be read: {}", error.kind()) };
        let kind = if absent { ErrorKind::NotConfigured } else { ErrorKind::Misconfigured };
        ConfigError::new(what, "create it, or name another by --config or UNEXPIRED_CONFIG").with_kind(kind)
    };
    // A pipe would have to be opened to learn that it is one, and that waits for a writer.
    if !std::fs::metadata(path).map_err(cannot)?.is_file() {
        return Err(ConfigError::new("is no regular file", "name a file"));
    }
    // What is checked is what is read: the open file, not its name.
    let file = std::fs::File::open(path).map_err(cannot)?;
    crate::sys::check_config_file(&file).map_err(|(what, remedy)| ConfigError::new(what, remedy))?;
    let mut bytes = Vec::new();
    file.take(MAX_SIZE.saturating_add(1)).read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(ConfigError::new("is larger than 1 MiB", "name a configuration of unexpired"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count();
        let line = u32::try_from(line).unwrap_or(u32::MAX).saturating_add(1);
        ConfigError::new("is not UTF-8", "save it as UTF-8").at(line, "")
    })
}

fn in_order(mut sections: Vec<(String, Section)>) -> impl Iterator<Item = (String, Section)> {
    sections.sort_by_key(|(_, section)| section.line);
    sections.into_iter()
}

/// Letters, digits and `-_.`, not at the front: fit for a command line and for a file's name.
fn is_name(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

const MAX_SIZE: u64 = 1 << 20;

#[cfg(test)]
mod tests;
