//! What the keys of one token must say together.

use super::section::{Reader, Section, shown};
use super::{ConfigError, build, hosts_allow};
use crate::ErrorKind;
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

/// Checks the keys above all tables.
#[cfg_attr(feature = "keyring", allow(unused_variables, reason = "then every store is built in"))]
pub(super) fn check_top(section: &Section, reader: &mut Reader) {
    #[cfg(not(feature = "keyring"))]
    if section.text("store") == Some("keyring") {
        let remedy = "build it with --features keyring, or set store to \"file\" or \"memory\"";
        reader.wrong(section.line_of("store"), "store", super::section::NO_KEYRING, remedy);
    }
}

/// Checks a route: that its token exists and may go there, and what its keys must say together.
pub(super) fn check_route(section: &Section, tokens: &[(String, Section)], reader: &mut Reader) {
    let Some(token) = section.text("token") else { return };
    let found = tokens.iter().find(|(name, _)| name == token);
    if found.is_none() {
        let near = super::suggest::nearest(token, tokens.iter().map(|(name, _)| name.as_str()));
        let remedy = match near {
            Some(name) => format!("did you mean \"{name}\"?"),
            None => "add [token.NAME], or name one that is there".to_owned(),
        };
        wrong(section, reader, "token", "there is no token of this name", &remedy);
    }
    let upstream = section.text("upstream").and_then(|url| Endpoint::parse(url).ok());
    if upstream.as_ref().is_some_and(|url| url.as_str().contains('?')) {
        wrong(section, reader, "upstream", "holds a query", "remove the ? and what follows");
    }
    let hosts = found.map(|(_, token)| token.hosts("hosts")).unwrap_or_default();
    if let Some(upstream) = &upstream
        && !hosts.is_empty()
        && !hosts_allow(hosts, upstream.host())
    {
        let at = format!("{}.upstream", section.path);
        let remedy = format!("if it is, add the host to `hosts` of [token.{token}]");
        let error = ConfigError::new("leads to a host that the token is not for", remedy);
        reader.errors.push(error.with_kind(ErrorKind::Forbidden).at(section.line_of("upstream"), at));
    }
    route_headers(section, reader);
    if section.has("port") && section.has("socket") {
        wrong(section, reader, "socket", "stands beside port", "remove one of them");
    }
    for (one, other) in [("client_cert", "client_key"), ("client_key", "client_cert")] {
        if section.has(one) && !section.has(other) {
            missing(section, reader, other, &format!("add {other} = \"/path\", or remove {one}"));
        }
    }
}

/// The names of headers, and which of them a configuration may set.
fn route_headers(section: &Section, reader: &mut Reader) {
    let header = section.text("header").unwrap_or("authorization");
    if !is_header_name(header) || is_own_affair(header) {
        wrong(section, reader, "header", "is no header for a token", "write it as header = \"api-key\"");
    }
    if section.text("scheme").is_some_and(|scheme| !is_header_name(scheme)) {
        wrong(section, reader, "scheme", "is no single word", "write it as scheme = \"Bearer\", or \"none\"");
    }
    let mut set = section.map("set_headers");
    let remedy =
        "name headers such as x-team; the token's own, Host and those of the connection are the proxy's affair";
    let bad = |(name, value): (&str, &str)| {
        let own =
            is_own_affair(name) || name.eq_ignore_ascii_case(header) || name.eq_ignore_ascii_case("authorization");
        own || !is_header_name(name) || value.chars().any(|c| c.is_control() || !c.is_ascii())
    };
    if set.any(bad) {
        wrong(section, reader, "set_headers", "holds what cannot be set", remedy);
    }
}

/// RFC 9110 section 5.6.2.
fn is_header_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn is_own_affair(name: &str) -> bool {
    const OWN: [&str; 13] = [
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "cookie",
    ];
    OWN.iter().any(|own| own.eq_ignore_ascii_case(name))
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
    if is_aws_credentials(section) {
        for key in ["hosts", "fallback"] {
            if section.has(key) {
                wrong(section, reader, key, "stands beside answer = \"aws-credentials\"", "remove one of them");
            }
        }
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
