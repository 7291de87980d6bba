//! What the keys of one token must say together.

use super::build;
use super::section::{Reader, Section, shown};
use std::time::Duration;
use unexpired_http::Endpoint;

/// Checks a token's table and its fallbacks.
pub(super) fn check(section: &Section, reader: &mut Reader) {
    match section.provider() {
        "oauth" => oauth(section, reader),
        "google" => google(section, reader),
        "entra" => entra(section, reader),
        "command" => command(section, reader),
        _ => {}
    }
    if section.has("fallback_on") && !section.has("fallback") {
        wrong(section, reader, "fallback_on", "there is no fallback", "add a fallback, or remove fallback_on");
    }
    if let Some(fallback) = section.fallback() {
        check(fallback, reader);
    }
}

/// Checks that a route's token exists.
pub(super) fn check_route(section: &Section, tokens: &[&str], reader: &mut Reader) {
    let Some(token) = section.text("token") else { return };
    if !tokens.contains(&token) {
        let near = super::suggest::nearest(token, tokens.iter().copied());
        let remedy = match near {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => "add [token.NAME], or name one that is there".to_owned(),
        };
        wrong(section, reader, "token", "there is no token of this name", &remedy);
    }
    let query = section
        .text("upstream")
        .and_then(|url| Endpoint::parse(url).ok())
        .is_some_and(|url| url.as_str().contains('?'));
    if query {
        wrong(section, reader, "upstream", "holds a query", "remove the ? and what follows");
    }
}

fn entra(section: &Section, reader: &mut Reader) {
    if !section.has("client_secret") {
        missing(
            section,
            reader,
            "client_secret",
            "add client_secret = { file = \"/path\" }, { env = \"NAME\" } or { command = [\"program\"] }",
        );
    }
    match section.texts("scope").len() {
        0 if !section.has("scope") => {
            missing(section, reader, "scope", "add scope = \"https://RESOURCE/.default\"");
        }
        0 | 1 => {}
        _ => wrong(
            section,
            reader,
            "scope",
            "names more than one scope",
            "name one resource, and add a token for each other",
        ),
    }
}

fn command(section: &Section, reader: &mut Reader) {
    one_of(section, reader, "command", "shell");
    if section.duration("timeout").is_some_and(|timeout| timeout > LONGEST_TIMEOUT) {
        wrong(section, reader, "timeout", "is longer than 20 s, which no mint may take", "set it to 20s or less");
    }
}

fn google(section: &Section, reader: &mut Reader) {
    if section.has("audience") && section.has("scope") {
        let remedy = "remove one of them: a self-signed JWT is for scopes or for one audience";
        wrong(section, reader, "audience", "stands beside scope", remedy);
    }
}

fn oauth(section: &Section, reader: &mut Reader) {
    one_of(section, reader, "issuer", "token_url");
    for (name, value) in section.map("params") {
        if let Some(error) = build::refused_param(name, value) {
            reader.wrong(
                section.line_of("params"),
                format!("{}.params.{}", section.path, shown(name)),
                error.message(),
                error.remedy_text().unwrap_or_default(),
            );
        }
    }
    let public = section.text("client_auth") == Some("none");
    if public && section.has("client_secret") {
        wrong(section, reader, "client_auth", "is none, and there is a client_secret", "remove one of them");
    }
    let refresh = section.text("grant") == Some("refresh_token");
    if refresh {
        one_of(section, reader, "refresh_token", "refresh_token_file");
        if !public && section.has("client_auth") && !section.has("client_secret") {
            missing(section, reader, "client_secret", "add client_secret, or set client_auth = \"none\"");
        }
        return;
    }
    if public {
        wrong(
            section,
            reader,
            "client_auth",
            "is none, and the client credentials grant needs a secret",
            "remove client_auth and add client_secret",
        );
    } else if !section.has("client_secret") {
        missing(
            section,
            reader,
            "client_secret",
            "add client_secret = { file = \"/path\" }, { env = \"NAME\" } or { command = [\"program\"] }",
        );
    }
    for key in ["refresh_token", "refresh_token_file"] {
        if section.has(key) {
            let remedy = "add grant = \"refresh_token\", or remove this key";
            wrong(section, reader, key, "belongs to another grant than client_credentials", remedy);
        }
    }
}

/// Exactly one of two keys must be there. One that is there and wrong counts as there.
fn one_of(section: &Section, reader: &mut Reader, one: &str, other: &str) {
    match (section.has(one), section.has(other)) {
        (true, true) => wrong(section, reader, other, &format!("stands beside {one}"), "remove one of them"),
        (false, false) if !was_told(section, reader, other) => {
            missing(section, reader, one, &format!("add {one} or {other}"));
        }
        _ => {}
    }
}

fn wrong(section: &Section, reader: &mut Reader, key: &str, what: &str, remedy: &str) {
    reader.wrong(section.line_of(key), format!("{}.{key}", section.path), what, remedy);
}

/// A key that is missing; unless it is there and was wrong, which was told of already.
fn missing(section: &Section, reader: &mut Reader, key: &str, remedy: &str) {
    if !was_told(section, reader, key) {
        reader.wrong(section.line, format!("{}.{key}", section.path), "is missing", remedy);
    }
}

/// Whether the key, or what it was probably meant to be, was told to be wrong.
fn was_told(section: &Section, reader: &Reader, key: &str) -> bool {
    let at = format!("{}.{key}", section.path);
    let told = |error: &super::ConfigError| {
        error.key().strip_prefix(at.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    reader.errors.iter().any(told) || reader.meant.contains(&at)
}

/// What a mint may take in all: a program that took longer would never be waited for.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(20);
