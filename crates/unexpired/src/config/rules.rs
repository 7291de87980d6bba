//! What the keys of one token must say together.

use super::section::{Reader, Section};
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

/// Checks that a route's token is one that may stand in a header.
pub(super) fn check_bearer(route: &Section, tokens: &[(String, Section)], reader: &mut Reader) {
    let Some((name, section)) = tokens.iter().find(|(name, _)| route.text("token") == Some(name)) else { return };
    if is_aws_credentials(section) {
        let what = format!("{name} is AWS keys, which sign requests and are sent to nobody");
        wrong(route, reader, "token", &what, "name a token that is a bearer token");
    }
}

/// Whether a token's table yields AWS keys in the place of a bearer token.
pub(super) fn is_aws_credentials(section: &Section) -> bool {
    section.text("answer") == Some("aws-credentials")
}

fn command(section: &Section, reader: &mut Reader) {
    one_of(section, reader, "command", "shell");
    if is_aws_credentials(section) {
        for key in ["hosts", "fallback"] {
            if section.has(key) {
                wrong(section, reader, key, "stands beside answer = \"aws-credentials\"", "remove one of them");
            }
        }
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

fn google(section: &Section, reader: &mut Reader) {
    if section.has("audience") && section.has("scope") {
        let remedy = "remove one of them: a self-signed JWT is for scopes or for one audience";
        wrong(section, reader, "audience", "stands beside scope", remedy);
    }
}

fn oauth(section: &Section, reader: &mut Reader) {
    one_of(section, reader, "issuer", "token_url");
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

/// Exactly one of two keys must be there.
fn one_of(section: &Section, reader: &mut Reader, one: &str, other: &str) {
    match (section.has(one), section.has(other)) {
        (true, true) => wrong(section, reader, other, &format!("stands beside {one}"), "remove one of them"),
        (false, false) => missing(section, reader, one, &format!("add {one} or {other}")),
        _ => {}
    }
}

fn wrong(section: &Section, reader: &mut Reader, key: &str, what: &str, remedy: &str) {
    reader.wrong(section.line_of(key), format!("{}.{key}", section.path), what, remedy);
}

/// A key that is missing; unless it is there and was wrong, which was told of already.
fn missing(section: &Section, reader: &mut Reader, key: &str, remedy: &str) {
    let at = format!("{}.{key}", section.path);
    let told = |error: &super::ConfigError| {
        error.key().strip_prefix(at.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    if !reader.errors.iter().any(told) && !reader.meant.contains(&at) {
        reader.wrong(section.line, at, "is missing", remedy);
    }
}
