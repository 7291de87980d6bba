//! `unexpired probe`: mints a token and asks whether it is accepted, at a host that the token is for.

use crate::args::{Args, ProbeArgs};
use crate::commands::runtime;
use crate::failure::{Failure, USAGE};
use crate::out;
use crate::project::{Narrator, Project};
use unexpired::config::{TokenConfig, hosts_allow};
use unexpired::http::{Client, Endpoint, Response};
use unexpired::text::{mask, one_line};
use unexpired::{Challenge, ErrorKind, MintError, MintRequest, Token, TokenOptions, parse_www_authenticate};

pub(crate) fn run(args: &Args, own: &ProbeArgs) -> Result<(), Failure> {
    let project = Project::load(args)?;
    let name = &own.name;
    let config = project.token(name)?;
    let endpoint = endpoint(&project, name, config, own.url.as_deref())?;
    let builder = project.config.manager(name)?;
    let (manager, narrator) = Narrator::watch(args, builder);
    let token = narrator.finish(manager.blocking_token_with(TokenOptions::new()))?.token;
    let client = project.config.client(name)?;
    let response = runtime()?.block_on(ask(&client, &endpoint, &token)).map_err(|error| {
        let url = one_line(endpoint.as_str(), 120);
        let line = format!("{name}: the token was minted, but {url} could not be asked: {}", told(&error));
        let failure = Failure::of(error.kind(), line);
        let other = format!("name a page of the resource: {} probe {name} --url https://HOST/PATH", project.command);
        if own.url.is_none() { failure.hint(other) } else { failure }
    })?;
    judge(&project, name, &endpoint, &token, &response)
}

/// Where to send the token: what was named, else the root of the only host that the token is for. Never anywhere else.
fn endpoint(project: &Project, name: &str, config: &TokenConfig, url: Option<&str>) -> Result<Endpoint, Failure> {
    let command = &project.command;
    let hosts = config.hosts();
    let url = match url {
        Some(url) => url.to_owned(),
        None => match hosts {
            [only] if !only.to_string().contains('*') => format!("https://{only}/"),
            _ => {
                return Err(Failure::new(USAGE, format!("{name}: `hosts` does not name exactly one host to ask"))
                    .hint(format!("name a page of the resource: {command} probe {name} --url https://HOST/PATH")));
            }
        },
    };
    let endpoint = Endpoint::parse(&url).map_err(|error| {
        // Its words are for token endpoints.
        let line = format!("--url: {}", told(&error).replace("the endpoint", "the address"));
        Failure::new(USAGE, line)
            .hint(format!("name a page of the resource: {command} probe {name} --url https://HOST/PATH"))
    })?;
    if !hosts_allow(hosts, endpoint.host()) {
        let line =
            format!("{name}: the token is not for {}; nothing was minted or sent", one_line(endpoint.host(), 80));
        let hint = format!("if it is, add the host to `hosts` of [token.{name}]");
        return Err(Failure::of(ErrorKind::Forbidden, line).hint(hint));
    }
    Ok(endpoint)
}

async fn ask(client: &Client, endpoint: &Endpoint, token: &Token) -> Result<Response, MintError> {
    // A token is a b64token, and so is text.
    let authorization =
        token.authorization().to_str().map_err(|_| MintError::new(ErrorKind::Malformed, "the token is no text"))?;
    let headers = [("authorization", authorization), ("accept", "*/*")];
    Ok(client.get(endpoint, &headers, None, &MintRequest::standalone()).await?)
}

/// What an error says, without the host that the line names already; and what to do, but for an example of a token endpoint.
fn told(error: &MintError) -> String {
    match error.remedy_text().filter(|remedy| !remedy.contains("such as")) {
        Some(remedy) => format!("{}; {remedy}", error.message()),
        None => error.message().to_owned(),
    }
}

fn judge(
    project: &Project,
    name: &str,
    endpoint: &Endpoint,
    token: &Token,
    response: &Response,
) -> Result<(), Failure> {
    let command = &project.command;
    let host = one_line(endpoint.host(), 80);
    let status = response.status();
    let other = || {
        let page = one_line(endpoint.with_path("/PATH").as_str(), 120);
        format!("name a page that needs the token: {command} probe {name} --url {page}")
    };
    match status {
        200..=299 => out::answer(&format!(
            "accepted: {host} answers {status} to token {} of {}\n",
            token.fingerprint(),
            token.source()
        )),
        300..=399 => Err(Failure::of(
            ErrorKind::Malformed,
            format!(
                "{name}: {host} answers {status}, a redirect, which is not followed: the token is for named hosts only"
            ),
        )
        .hint(other())),
        401 | 403 => {
            let lines = response.headers().get_all("www-authenticate");
            let lines: Vec<&str> = lines.iter().filter_map(|line| line.to_str().ok()).collect();
            let said = said(&lines, token);
            let (kind, meaning, hint) = match Challenge::of(status, lines) {
                Challenge::Permission => (
                    ErrorKind::Denied,
                    "accepts the token but not for this",
                    "grant the permission, or ask for another scope".to_owned(),
                ),
                Challenge::Claims(_) => (
                    ErrorKind::Rejected,
                    "demands a token with other claims",
                    "the account must meet what the resource demands; ask its administrator".to_owned(),
                ),
                _ => (
                    ErrorKind::Rejected,
                    "refuses a token that was minted a moment ago",
                    format!("check scope and audience: {command} status {name}"),
                ),
            };
            Err(Failure::of(kind, format!("{name}: {host} {meaning}: {status}{said}")).hint(hint))
        }
        429 | 500..=599 => {
            Err(Failure::of(ErrorKind::Unavailable, format!("{name}: {host} answers {status}: ask again later")))
        }
        _ => Err(Failure::of(
            ErrorKind::Malformed,
            format!("{name}: {host} answers {status}, which says nothing about the token"),
        )
        .hint(other())),
    }
}

/// What a challenge says, in a few words: scheme, error, description. It comes from elsewhere, so it is masked and kept short.
fn said(lines: &[&str], token: &Token) -> String {
    let challenges = lines.iter().flat_map(|line| parse_www_authenticate(line));
    let words: Vec<String> = challenges
        .take(3)
        .map(|challenge| {
            let parts = ["error", "error_description", "scope"].into_iter().filter_map(|key| challenge.parameter(key));
            let parts: Vec<&str> = std::iter::once(challenge.scheme.as_str()).chain(parts).collect();
            parts.join(" ")
        })
        .collect();
    if words.is_empty() {
        String::new()
    } else {
        format!(" ({})", one_line(&mask(&words.join("; ").replace(token.secret(), "[the token]")), 160))
    }
}
