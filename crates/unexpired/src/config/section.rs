//! From TOML to values: every table is read by the table of keys, and nothing else is let through.

use super::duration::parse_duration;
use super::keys::{self, Key, Shape};
use super::suggest::nearest;
use super::{ConfigError, is_name};
use crate::HostPattern;
use crate::SecretRef;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeArray, DeString, DeTable, DeValue};
use unexpired_core::text::mask;

/// One table, read: its values by key, each with its line.
#[derive(Clone, Default)]
pub(super) struct Section {
    /// The table's name with those around it: `token.corp`, `token.corp.fallback`.
    pub(super) path: String,
    pub(super) line: u32,
    values: BTreeMap<&'static str, (u32, Value)>,
}

#[derive(Clone)]
enum Value {
    Text(String),
    Texts(Vec<String>),
    Hosts(Vec<HostPattern>),
    Bool(bool),
    Duration(Duration),
    Path(PathBuf),
    Secret(SecretRef),
    Map(BTreeMap<String, String>),
    Port(u16),
    Statuses(Vec<u16>),
    Fallback(Box<Section>),
}

impl Section {
    pub(super) fn has(&self, key: &str) -> bool {
        self.values.contains_key(key)
    }

    /// The line of this key, or of the table if it is not there.
    pub(super) fn line_of(&self, key: &str) -> u32 {
        self.values.get(key).map_or(self.line, |(line, _)| *line)
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.value(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn texts(&self, key: &str) -> &[String] {
        match self.value(key) {
            Some(Value::Texts(texts)) => texts,
            _ => &[],
        }
    }

    pub(super) fn hosts(&self, key: &str) -> &[HostPattern] {
        match self.value(key) {
            Some(Value::Hosts(hosts)) => hosts,
            _ => &[],
        }
    }

    pub(super) fn bool(&self, key: &str) -> Option<bool> {
        match self.value(key)? {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        match self.value(key)? {
            Value::Duration(duration) => Some(*duration),
            _ => None,
        }
    }

    pub(super) fn path(&self, key: &str) -> Option<&Path> {
        match self.value(key)? {
            Value::Path(path) => Some(path),
            _ => None,
        }
    }

    pub(super) fn secret(&self, key: &str) -> Option<&SecretRef> {
        match self.value(key)? {
            Value::Secret(secret) => Some(secret),
            _ => None,
        }
    }

    pub(super) fn map(&self, key: &str) -> impl Iterator<Item = (&str, &str)> {
        let map = match self.value(key) {
            Some(Value::Map(map)) => Some(map),
            _ => None,
        };
        map.into_iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn port(&self, key: &str) -> Option<u16> {
        match self.value(key)? {
            Value::Port(port) => Some(*port),
            _ => None,
        }
    }

    pub(super) fn statuses(&self, key: &str) -> &[u16] {
        match self.value(key) {
            Some(Value::Statuses(statuses)) => statuses,
            _ => &[],
        }
    }

    pub(super) fn fallback(&self) -> Option<&Section> {
        match self.value("fallback")? {
            Value::Fallback(section) => Some(section),
            _ => None,
        }
    }

    /// The provider's name. Of a table that was accepted it is never empty.
    pub(super) fn provider(&self) -> &str {
        self.text("provider").unwrap_or_default()
    }

    /// Every secret reference here and in the fallbacks, with its key.
    pub(super) fn secrets(&self) -> Vec<(String, u32, &SecretRef)> {
        let mut found = Vec::new();
        for (key, (line, value)) in &self.values {
            match value {
                Value::Secret(secret) => found.push((format!("{}.{key}", self.path), *line, secret)),
                Value::Fallback(section) => found.extend(section.secrets()),
                _ => {}
            }
        }
        found
    }

    /// Everything here and in the fallbacks that makes a token what it is, text by text. Of secrets the place, and of a variable a digest of what
    /// it holds: two processes with different ones must not share a token.
    pub(super) fn identity(&self) -> Vec<String> {
        let mut texts = Vec::new();
        for (key, (_, value)) in &self.values {
            if ABOUT_HANDING_OUT.contains(key) {
                continue;
            }
            texts.push(format!("key:{key}"));
            match value {
                Value::Text(text) => texts.push(text.clone()),
                Value::Texts(values) => texts.extend(values.iter().cloned()),
                // A route's: a route is no token.
                Value::Hosts(_) | Value::Port(_) | Value::Statuses(_) => {}
                Value::Bool(value) => texts.push(value.to_string()),
                Value::Duration(duration) => texts.push(duration.as_nanos().to_string()),
                Value::Path(path) => texts.push(path.to_string_lossy().into_owned()),
                Value::Secret(SecretRef::File(path)) => {
                    texts.extend(["file".to_owned(), path.to_string_lossy().into_owned()]);
                }
                Value::Secret(SecretRef::Env(name)) => {
                    texts.extend(["env".to_owned(), name.clone(), variable_digest(name)]);
                }
                Value::Secret(SecretRef::Command(argv)) => {
                    texts.push("command".to_owned());
                    texts.extend(argv.iter().cloned());
                }
                #[cfg(feature = "keyring")]
                Value::Secret(SecretRef::Keyring { service, account }) => {
                    texts.extend(["keyring".to_owned(), service.clone(), account.clone()]);
                }
                Value::Map(map) => texts.extend(map.iter().flat_map(|(name, value)| [name.clone(), value.clone()])),
                Value::Fallback(section) => texts.extend(section.identity()),
            }
        }
        texts
    }

    /// The files here and in the fallbacks that hold credentials.
    pub(super) fn credential_files(&self) -> Vec<&Path> {
        let mut files = Vec::new();
        for (key, (_, value)) in &self.values {
            match value {
                Value::Secret(SecretRef::File(path)) => files.push(path.as_path()),
                Value::Path(path) if *key == "refresh_token_file" => files.push(path.as_path()),
                Value::Fallback(section) => files.extend(section.credential_files()),
                _ => {}
            }
        }
        files
    }

    /// The environment variables here and in the fallbacks that hold credentials.
    pub(super) fn credential_variables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for (_, value) in self.values.values() {
            match value {
                Value::Secret(SecretRef::Env(name)) => names.push(name.as_str()),
                Value::Fallback(section) => names.extend(section.credential_variables()),
                _ => {}
            }
        }
        names
    }

    /// Whether a program prints the token or a secret, here or in the fallbacks.
    pub(super) fn runs_commands(&self) -> bool {
        self.provider() == "command"
            || self.secrets().iter().any(|(_, _, secret)| matches!(secret, SecretRef::Command(_)))
            || self.fallback().is_some_and(Self::runs_commands)
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.values.get(key).map(|(_, value)| value)
    }
}

/// Tables with their names.
type Named = Vec<(String, Section)>;
type Table<'i> = DeTable<'i>;
type Name<'i> = Spanned<DeString<'i>>;
type Item<'i> = Spanned<DeValue<'i>>;

/// Reads a document and gathers everything that is wrong with it.
pub(super) struct Reader {
    /// Where each line but the first begins.
    breaks: Vec<usize>,
    pub(super) errors: Vec<ConfigError>,
    /// Keys that are there under a misspelt name, as full paths.
    pub(super) meant: Vec<String>,
}

impl Reader {
    pub(super) fn new(text: &str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        Self { breaks, errors: Vec::new(), meant: Vec::new() }
    }

    /// The line of a byte, counted from 1.
    pub(super) fn line(&self, at: usize) -> u32 {
        let before = self.breaks.partition_point(|end| *end < at);
        u32::try_from(before).unwrap_or(u32::MAX).saturating_add(1)
    }

    fn line_of_name(&self, name: &Name<'_>) -> u32 {
        self.line(name.span().start)
    }

    pub(super) fn wrong(&mut self, line: u32, key: impl Into<String>, what: impl AsRef<str>, remedy: impl AsRef<str>) {
        self.errors.push(ConfigError::new(what, remedy).at(line, key));
    }

    /// The keys above all tables, and the tables `[token.…]` and `[route.…]`.
    pub(super) fn document(&mut self, root: &Table<'_>) -> (Section, Named, Named) {
        let (mut tokens, mut routes) = (Vec::new(), Vec::new());
        let mut top = Section::default();
        for (name, item) in root {
            let key: &str = name.get_ref();
            let line = self.line_of_name(name);
            match key {
                "token" => self
                    .named(name, item, &mut tokens, |reader, table, line, path| reader.token(table, line, path, false)),
                "route" => self.named(name, item, &mut routes, Self::route),
                _ if let Some(key) = keys::TOP.iter().find(|top| top.name == key) => {
                    if let Some(value) = self.value(key, item, line, key.name) {
                        top.values.insert(key.name, (line, value));
                    }
                }
                _ if keys::token_key(key).is_some() => {
                    self.wrong(line, shown(key), "this key stands outside of a token", "put it under [token.NAME]");
                }
                _ => self.unknown(line, "", key, &["token", "route", "store"]),
            }
        }
        (top, tokens, routes)
    }

    fn named(
        &mut self,
        name: &Name<'_>,
        item: &Item<'_>,
        into: &mut Named,
        read: impl Fn(&mut Self, &Table<'_>, u32, String) -> Section,
    ) {
        let family: &str = name.get_ref();
        let line = self.line_of_name(name);
        let DeValue::Table(tables) = item.get_ref() else {
            return self.wrong(line, family, wrong_type("a table", item), format!("write [{family}.NAME]"));
        };
        for (name, item) in tables {
            let line = self.line_of_name(name);
            let key: &str = name.get_ref();
            let path = format!("{family}.{}", shown(key));
            let DeValue::Table(table) = item.get_ref() else {
                // `[token]` with the keys of a token under it: the name was left out.
                let remedy = match keys::token_key(key) {
                    Some(_) => format!("give it a name: [{family}.NAME]"),
                    None => format!("write [{path}] and its keys below"),
                };
                self.wrong(line, path, wrong_type("a table", item), remedy);
                continue;
            };
            if !is_name(key) {
                let remedy = "names are up to 64 letters, digits, '-', '_' and '.', and begin with a letter or a digit";
                self.wrong(line, path, "no such name can be", remedy);
                continue;
            }
            let section = read(self, table, line, path);
            into.push((key.to_owned(), section));
        }
    }

    fn token(&mut self, table: &Table<'_>, line: u32, path: String, nested: bool) -> Section {
        let provider = table.iter().find(|(name, _)| name.get_ref() == "provider").map(|(_, item)| item);
        let provider = provider.and_then(|item| item.get_ref().as_str()).unwrap_or_default();
        let provider = keys::PROVIDER_NAMES.iter().copied().find(|name| *name == provider);
        let fits = |key: &Key| provider.is_none_or(|provider| key.is_for(provider)) && !(nested && key.outermost);

        let mut section = Section { path, line, values: BTreeMap::new() };
        for (name, item) in table {
            let text: &str = name.get_ref();
            let line = self.line_of_name(name);
            let Some(key) = keys::token_key(text) else {
                let known: Vec<&str> = keys::TOKEN.iter().filter(|key| fits(key)).map(|key| key.name).collect();
                self.unknown(line, &section.path, text, &known);
                continue;
            };
            let at = format!("{}.{}", section.path, key.name);
            if nested && key.outermost {
                self.wrong(line, at, "a fallback has no such key", "put it with the token itself");
                continue;
            }
            if let Some(provider) = provider.filter(|provider| !key.is_for(provider)) {
                let what = format!("is a key of {}, and the provider is {provider}", key.providers.join(", "));
                self.wrong(line, at, what, stranger_remedy(key, provider));
                continue;
            }
            if let Some(value) = self.value(key, item, line, &at) {
                section.values.insert(key.name, (line, value));
            }
        }
        self.required(
            &section,
            keys::TOKEN.iter().filter(|key| fits(key) && (provider.is_some() || key.providers.is_empty())),
            table,
        );
        section
    }

    fn route(&mut self, table: &Table<'_>, line: u32, path: String) -> Section {
        let mut section = Section { path, line, values: BTreeMap::new() };
        for (name, item) in table {
            let text: &str = name.get_ref();
            let line = self.line_of_name(name);
            let Some(key) = keys::ROUTE.iter().find(|key| key.name == text) else {
                let known: Vec<&str> = keys::ROUTE.iter().map(|key| key.name).collect();
                self.unknown(line, &section.path, text, &known);
                continue;
            };
            let at = format!("{}.{}", section.path, key.name);
            if let Some(value) = self.value(key, item, line, &at) {
                section.values.insert(key.name, (line, value));
            }
        }
        self.required(&section, keys::ROUTE.iter(), table);
        section
    }

    fn required<'k>(&mut self, section: &Section, keys: impl Iterator<Item = &'k Key>, table: &Table<'_>) {
        for key in keys.filter(|key| key.required) {
            // A key that is there and wrong was told of already.
            let at = format!("{}.{}", section.path, key.name);
            if !table.iter().any(|(name, _)| name.get_ref() == key.name) && !self.meant.contains(&at) {
                self.wrong(section.line, at, "is missing", format!("add {} = {}", key.name, key.example));
            }
        }
    }

    fn unknown(&mut self, line: u32, path: &str, key: &str, known: &[&str]) {
        let at = if path.is_empty() { shown(key) } else { format!("{path}.{}", shown(key)) };
        let remedy = match nearest(key, known.iter().copied()) {
            Some(meant) => {
                self.meant.push(format!("{path}.{meant}"));
                format!("did you mean `{meant}`?")
            }
            None => format!("known here: {}", known.join(", ")),
        };
        self.wrong(line, at, "there is no such key", remedy);
    }

    fn value(&mut self, key: &Key, item: &Item<'_>, line: u32, at: &str) -> Option<Value> {
        let value = item.get_ref();
        match key.shape {
            Shape::Text | Shape::Entry => self.text(key, item, line, at).map(Value::Text),
            Shape::Script => match value.as_str() {
                Some(text) if !text.trim().is_empty() && !text.contains('\0') => Some(Value::Text(text.to_owned())),
                Some(_) => self.no(line, at, "is empty, or holds a NUL character", &example(key)),
                None => self.no(line, at, &wrong_type("a string", item), &example(key)),
            },
            Shape::Texts => match value.as_array() {
                Some(array) => self.array(key, array, line, at).map(Value::Texts),
                None if value.is_str() => self.text(key, item, line, at).map(|text| Value::Texts(vec![text])),
                None => self.no(line, at, &wrong_type("a string or an array of strings", item), &example(key)),
            },
            Shape::Hosts => {
                let Some(array) = value.as_array() else {
                    return self.no(line, at, &wrong_type("an array of strings", item), &example(key));
                };
                self.hosts(key, array, line, at).map(Value::Hosts)
            }
            Shape::Bool => match value.as_bool() {
                Some(value) => Some(Value::Bool(value)),
                None => self.no(line, at, &wrong_type("true or false", item), "write true or false, without quotes"),
            },
            Shape::Duration => match value.as_str().map(parse_duration) {
                Some(Some(duration)) if !duration.is_zero() => Some(Value::Duration(duration)),
                Some(_) => self.no(line, at, "is no duration of more than nothing", DURATION_REMEDY),
                None => self.no(line, at, &wrong_type("a duration", item), DURATION_REMEDY),
            },
            Shape::Choice(choices) => self.choice(choices, item, line, at).map(|text| Value::Text(text.to_owned())),
            Shape::Choices(choices) => {
                let Some(array) = value.as_array() else {
                    return self.no(line, at, &wrong_type("an array of strings", item), &example(key));
                };
                let mut chosen = Vec::new();
                for item in array.iter() {
                    let line = self.line(item.span().start);
                    chosen.push(self.choice(choices, item, line, at)?.to_owned());
                }
                Some(Value::Texts(chosen))
            }
            Shape::Path => self.path(item, line, at, &example(key)).map(Value::Path),
            Shape::Url => self.url(key, item, line, at).map(Value::Text),
            Shape::Secret => self.secret(item, line, at).map(Value::Secret),
            Shape::SecretOrPath if value.is_str() => {
                // Somebody may have pasted the key itself: it is not shown, and told apart by its first letter.
                if value.as_str().is_some_and(|text| text.trim_start().starts_with(['{', '-'])) {
                    return self.no(line, at, "the key itself stands here", SECRET_REMEDY);
                }
                self.path(item, line, at, &example(key)).map(|path| Value::Secret(SecretRef::File(path)))
            }
            Shape::SecretOrPath => self.secret(item, line, at).map(Value::Secret),
            Shape::Argv => self.argv(item, line, at, &example(key)).map(Value::Texts),
            Shape::Map => self.map(key, item, line, at).map(Value::Map),
            Shape::Port => match number(value).filter(|port| *port > 0) {
                Some(port) => Some(Value::Port(port)),
                None => self.no(line, at, "is no port from 1 to 65535", &example(key)),
            },
            Shape::Statuses => {
                let Some(array) = value.as_array().filter(|array| !array.is_empty()) else {
                    return self.no(line, at, "must be an array of statuses", &example(key));
                };
                let statuses =
                    array.iter().map(|item| number(item.get_ref()).filter(|status| (400..500).contains(status)));
                match statuses.collect() {
                    Some(statuses) => Some(Value::Statuses(statuses)),
                    None => self.no(line, at, "holds something else than statuses from 400 to 499", &example(key)),
                }
            }
            Shape::Fallback => match value.as_table() {
                Some(table) => {
                    let section = self.token(table, line, at.to_owned(), true);
                    Some(Value::Fallback(Box::new(section)))
                }
                None => self.no(line, at, &wrong_type("a table", item), &format!("write [{at}] and its keys below")),
            },
        }
    }

    fn no<T>(&mut self, line: u32, at: &str, what: &str, remedy: &str) -> Option<T> {
        self.wrong(line, at, what, remedy);
        None
    }

    fn text(&mut self, key: &Key, item: &Item<'_>, line: u32, at: &str) -> Option<String> {
        match item.get_ref().as_str() {
            Some(text) if text.trim().is_empty() => self.no(line, at, "is empty", &example(key)),
            Some(text) if text.chars().any(char::is_control) => {
                self.no(line, at, "holds a line break or another control character", &example(key))
            }
            Some(text) => Some(text.to_owned()),
            None => self.no(line, at, &wrong_type("a string", item), &example(key)),
        }
    }

    fn array(&mut self, key: &Key, array: &DeArray<'_>, line: u32, at: &str) -> Option<Vec<String>> {
        if array.is_empty() {
            return self.no(line, at, "is empty", &format!("remove it, or {}", example(key)));
        }
        let mut texts = Vec::new();
        for item in array.iter() {
            texts.push(self.text(key, item, self.line(item.span().start), at)?);
        }
        Some(texts)
    }

    fn hosts(&mut self, key: &Key, array: &DeArray<'_>, line: u32, at: &str) -> Option<Vec<HostPattern>> {
        let mut hosts = Vec::new();
        for text in self.array(key, array, line, at)?.iter().zip(array.iter()) {
            let (text, item) = text;
            match HostPattern::parse(text) {
                Ok(pattern) => hosts.push(pattern),
                Err(remedy) => return self.no(self.line(item.span().start), at, "is no host pattern", remedy),
            }
        }
        Some(hosts)
    }

    fn choice(&mut self, choices: &[&'static str], item: &Item<'_>, line: u32, at: &str) -> Option<&'static str> {
        let allowed = format!("write one of \"{}\"", choices.join("\", \""));
        let Some(text) = item.get_ref().as_str() else {
            return self.no(line, at, &wrong_type("a string", item), &allowed);
        };
        if let Some(choice) = choices.iter().find(|choice| **choice == text) {
            return Some(choice);
        }
        let remedy = nearest(text, choices.iter().copied()).map(|meant| format!("did you mean \"{meant}\"?"));
        self.no(line, at, "there is no such value", &remedy.unwrap_or(allowed))
    }

    fn path(&mut self, item: &Item<'_>, line: u32, at: &str, remedy: &str) -> Option<PathBuf> {
        match item.get_ref().as_str() {
            Some(text) if text.contains('\0') => self.no(line, at, "holds a NUL character", remedy),
            Some(text) if Path::new(text).is_absolute() => Some(PathBuf::from(text)),
            // Where a relative path leads depends on the working folder, and a repository must not choose it.
            Some(_) => self.no(line, at, "is no path from the root", "write the whole path, beginning at the root"),
            None => self.no(line, at, &wrong_type("a path", item), remedy),
        }
    }

    fn url(&mut self, key: &Key, item: &Item<'_>, line: u32, at: &str) -> Option<String> {
        let text = self.text(key, item, line, at)?;
        match unexpired_http::Endpoint::parse(&text) {
            Ok(endpoint) if text.starts_with("http:") && !endpoint.is_loopback() => {
                self.no(line, at, "plain HTTP is for loopback only", "write https://")
            }
            Ok(_) => Some(text),
            Err(error) => {
                self.errors.push(ConfigError::new(error.to_string(), "").at(line, at));
                None
            }
        }
    }

    fn secret(&mut self, item: &Item<'_>, line: u32, at: &str) -> Option<SecretRef> {
        let Some(table) = item.get_ref().as_table() else {
            let what = match item.get_ref() {
                DeValue::String(_) => "a secret does not stand in this file".to_owned(),
                _ => wrong_type("a secret reference", item),
            };
            return self.no(line, at, &what, SECRET_REMEDY);
        };
        let known: Vec<&str> = keys::SECRET.iter().map(|key| key.name).collect();
        let before = self.errors.len();
        let mut found = Vec::new();
        for (name, item) in table {
            let text: &str = name.get_ref();
            let line = self.line_of_name(name);
            let Some(key) = keys::SECRET.iter().find(|key| key.name == text) else {
                self.unknown(line, at, text, &known);
                continue;
            };
            let inner = format!("{at}.{}", key.name);
            let secret = match key.name {
                "file" => self.path(item, line, &inner, &example(key)).map(SecretRef::File),
                "env" => self.env_name(key, item, line, &inner).map(SecretRef::Env),
                "command" => self.secret_command(key, item, line, &inner),
                _ => self.keyring(key, item, line, &inner),
            };
            found.extend(secret);
        }
        match (found.len(), self.errors.len() > before) {
            (_, true) => None,
            (1, _) => found.pop(),
            (0, _) => self.no(line, at, "the secret reference is empty", SECRET_REMEDY),
            _ => self.no(line, at, "the secret reference names more than one place", SECRET_REMEDY),
        }
    }

    fn secret_command(&mut self, key: &Key, item: &Item<'_>, line: u32, at: &str) -> Option<SecretRef> {
        let argv = self.argv(item, line, at, &example(key))?;
        match unexpired_command::Command::argv(argv.clone()).build() {
            Ok(_) => Some(SecretRef::Command(argv)),
            Err(error) => {
                self.errors.push(ConfigError::new(error.to_string(), "").at(line, at));
                None
            }
        }
    }

    #[cfg(feature = "keyring")]
    fn keyring(&mut self, key: &Key, item: &Item<'_>, line: u32, at: &str) -> Option<SecretRef> {
        let text = self.text(key, item, line, at)?;
        match text.rsplit_once('/') {
            Some((service, account)) if !service.is_empty() && !account.is_empty() => {
                Some(SecretRef::keyring(service, account))
            }
            // What is none may be the secret itself: it is not shown.
            _ => self.no(line, at, "is not of the form SERVICE/ACCOUNT", &example(key)),
        }
    }

    #[cfg(not(feature = "keyring"))]
    fn keyring(&mut self, _: &Key, _: &Item<'_>, line: u32, at: &str) -> Option<SecretRef> {
        self.no(
            line,
            at,
            NO_KEYRING,
            "build it with --features keyring, or write { file = \"/path\" } or { env = \"NAME\" }",
        )
    }

    fn env_name(&mut self, key: &Key, item: &Item<'_>, line: u32, at: &str) -> Option<String> {
        let text = self.text(key, item, line, at)?;
        // What is no plain name is more likely the secret itself.
        let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if plain && !text.starts_with(|c: char| c.is_ascii_digit()) {
            return Some(text);
        }
        self.no(line, at, "is no name of an environment variable", &example(key))
    }

    fn argv(&mut self, item: &Item<'_>, line: u32, at: &str, remedy: &str) -> Option<Vec<String>> {
        let Some(array) = item.get_ref().as_array() else {
            return self.no(line, at, &wrong_type("an array of strings", item), remedy);
        };
        let mut argv = Vec::new();
        for item in array.iter() {
            match item.get_ref().as_str() {
                Some(text) if !text.contains('\0') => argv.push(text.to_owned()),
                Some(_) => return self.no(line, at, "holds a NUL character", remedy),
                None => {
                    let line = self.line(item.span().start);
                    return self.no(line, at, &wrong_type("a string", item), remedy);
                }
            }
        }
        if argv.first().is_none_or(|program| program.trim().is_empty()) {
            return self.no(line, at, "names no program", remedy);
        }
        Some(argv)
    }

    fn map(&mut self, key: &Key, item: &Item<'_>, line: u32, at: &str) -> Option<BTreeMap<String, String>> {
        let Some(table) = item.get_ref().as_table() else {
            return self.no(line, at, &wrong_type("a table of strings", item), &example(key));
        };
        let mut map = BTreeMap::new();
        for (name, item) in table {
            let line = self.line_of_name(name);
            let text: &str = name.get_ref();
            let inner = format!("{at}.{}", shown(text));
            if text.is_empty() || text.chars().any(|c| c.is_control() || c == '=') {
                return self.no(line, &inner, "no such name can be", &example(key));
            }
            match item.get_ref().as_str() {
                Some(value) if !value.contains('\0') => map.insert(text.to_owned(), value.to_owned()),
                Some(_) => return self.no(line, &inner, "holds a NUL character", &example(key)),
                None => return self.no(line, &inner, &wrong_type("a string", item), &example(key)),
            };
        }
        Some(map)
    }
}

/// A key as it is shown. What does not look like a key may be anything, a secret too.
pub(super) fn shown(key: &str) -> String {
    let plain =
        key.len() <= 40 && !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if plain && mask(key) == key { key.to_owned() } else { "?".to_owned() }
}

/// A whole number that is written in decimal.
fn number(value: &DeValue<'_>) -> Option<u16> {
    let integer = value.as_integer().filter(|integer| integer.radix() == 10)?;
    integer.as_str().replace('_', "").parse().ok()
}

fn wrong_type(wanted: &str, item: &Item<'_>) -> String {
    let found = match item.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    format!("must be {wanted}, and is {found}")
}

fn example(key: &Key) -> String {
    format!("write it as {} = {}", key.name, key.example)
}

/// What to do with a key of another provider.
fn stranger_remedy(key: &Key, provider: &str) -> String {
    let near = keys::TOKEN
        .iter()
        .find(|other| other.is_for(provider) && other.providers.len() == 1 && alike(other.name, key.name))
        .map(|other| format!("use {}", other.name));
    match (key.name, provider) {
        ("scope" | "audience", "command") => "remove it, and give it to the program among its arguments".to_owned(),
        ("audience" | "resource", "entra") => "remove it, and write it as scope = \"RESOURCE/.default\"".to_owned(),
        _ => near.unwrap_or_else(|| "remove it, or correct provider".to_owned()),
    }
}

/// Keys of different providers that mean the same thing.
fn alike(one: &str, other: &str) -> bool {
    const SECRETS: [&str; 3] = ["api_key", "credentials", "client_secret"];
    const ADDRESSES: [&str; 5] = ["authority", "endpoint", "token_url", "issuer", "cloud"];
    [&SECRETS[..], &ADDRESSES[..]].iter().any(|family| family.contains(&one) && family.contains(&other))
}

/// A digest of what an environment variable holds now; empty if it is not set.
fn variable_digest(name: &str) -> String {
    std::env::var_os(name).map_or_else(String::new, |value| crate::Digest::of(&value.to_string_lossy()).to_hex())
}

/// Keys that say who gets a token, not what it is.
const ABOUT_HANDING_OUT: [&str; 3] = ["hosts", "export", "username"];

const DURATION_REMEDY: &str = "write it as \"10m\", \"90s\" or \"1h30m\"";

pub(super) const SECRET_REMEDY: &str =
    "write { file = \"/path\" }, { env = \"NAME\" } or { command = [\"program\", \"argument\"] }";

#[cfg(not(feature = "keyring"))]
pub(super) const NO_KEYRING: &str = "this build has no keyring";
