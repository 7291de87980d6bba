//! The control interface.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use unexpired_core::Secret;

use super::duration::{Length, Shift};
use crate::answer::Answer;
use crate::clock::{Civil, system_time};
use crate::fault::{DateFault, ExpiresIn, Fault};
use crate::request::{SECRET_FIELDS, SECRET_HEADERS};
use crate::shared::{Shared, internal};
use crate::token::seconds;
use crate::{Endpoint, RecordedRequest, defaults, idp};

/// Whether a path belongs to the interface.
pub(crate) fn is_control(path: &str) -> bool {
    path == "/lab" || path.starts_with("/lab/")
}

pub(crate) fn control(shared: &Shared, request: &RecordedRequest) -> Answer {
    // A page from elsewhere may send simple requests to this machine without being asked.
    if request.header("origin").is_some_and(|origin| !origin.eq_ignore_ascii_case(&request.base)) {
        return Answer::oauth_error(403, "invalid_request", "web pages must not control the lab");
    }
    let answer = match (request.path(), request.method()) {
        ("/lab" | "/lab/", "GET") => Ok(endpoints(shared)),
        ("/lab/mint", "POST") => mint(shared, request),
        ("/lab/refresh_token", "POST") => refresh_token(shared, request),
        ("/lab/lifetime", "POST") => body(request).map(|Lifetime { lifetime: Length(lifetime) }| {
            shared.lock().lifetime = lifetime;
            json(&json!({ "lifetime": seconds(lifetime) }))
        }),
        ("/lab/faults", "POST") => set_fault(shared, request),
        ("/lab/faults", "GET") => Ok(active(shared)),
        ("/lab/faults", "DELETE") => {
            shared.lock().faults.clear(None);
            Ok(active(shared))
        }
        ("/lab/revoke", "POST") => revoke(shared, request),
        ("/lab/clock", "POST") => body(request).map(|Clock { shift: Shift(by) }| {
            shared.clock.shift_by(by);
            clock(shared)
        }),
        ("/lab/clock", "GET") => Ok(clock(shared)),
        ("/lab/resource", "POST") => resource(shared, request),
        ("/lab/requests", "GET") => Ok(requests(shared, request.query().split('&').any(|pair| pair == "secrets=true"))),
        ("/lab/stats", "GET") => Ok(stats(shared)),
        ("/lab/reset", "POST") => {
            shared.reset();
            Ok(stats(shared))
        }
        (path, _) => Ok(match PATHS.iter().find(|(known, _)| *known == path) {
            Some((_, methods)) => Answer::only(methods),
            None => {
                Answer::oauth_error(404, "not_found", "the lab has no such path; GET /lab names those that there are")
            }
        }),
    };
    answer.unwrap_or_else(|why| Answer::oauth_error(400, "invalid_request", &why)).header("cache-control", "no-store")
}

/// The body, or what is wrong with it.
fn body<T: DeserializeOwned>(request: &RecordedRequest) -> Result<T, String> {
    if request.body().is_empty() {
        return serde_json::from_str("{}").map_err(|error| reason(&error));
    }
    let kind = request.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err("the body must be JSON, with content-type: application/json (curl --json sends it)".into());
    }
    // A list would be taken for the members in their order.
    if !request.body().trim_ascii_start().starts_with(b"{") {
        return Err("the body must be a JSON object".into());
    }
    serde_json::from_slice(request.body()).map_err(|error| reason(&error))
}

fn reason(error: &serde_json::Error) -> String {
    unexpired_core::text::one_line(&unexpired_core::text::mask(&error.to_string()), 250)
}

fn json(value: &Value) -> Answer {
    Answer::value(200, value)
}

fn endpoints(shared: &Shared) -> Answer {
    match shared.endpoints.get().map(serde_json::to_string) {
        Some(Ok(body)) => Answer::json(200, body),
        _ => Answer::empty(503).header("retry-after", "1"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mint {
    lifetime: Option<Length>,
    #[serde(default)]
    audience: OneOrMore,
    #[serde(default)]
    scope: String,
    subject: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl Default for OneOrMore {
    fn default() -> Self {
        Self::More(Vec::new())
    }
}

impl From<OneOrMore> for Vec<String> {
    fn from(texts: OneOrMore) -> Self {
        match texts {
            OneOrMore::One(text) => vec![text],
            OneOrMore::More(texts) => texts,
        }
    }
}

fn mint(shared: &Shared, request: &RecordedRequest) -> Result<Answer, String> {
    let Mint { lifetime, audience, scope, subject } = body(request)?;
    let issuer = format!("{}/oauth2", request.base);
    let subject = subject.unwrap_or_else(|| defaults::CLIENT_ID.into());
    let lifetime = lifetime.map(|Length(lifetime)| lifetime);
    Ok(match idp::mint(shared, issuer, subject, audience.into(), scope, lifetime) {
        Ok(issued) => json(&json!({
            "access_token": issued.token,
            "token_type": "Bearer",
            "expires_in": issued.expires_in(),
            "expires_at": Civil::of(issued.expires_at).rfc3339(),
        })),
        Err(error) => internal(error),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRefreshToken {
    client_id: Option<String>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    audience: OneOrMore,
}

fn refresh_token(shared: &Shared, request: &RecordedRequest) -> Result<Answer, String> {
    let NewRefreshToken { client_id, scope, audience } = body(request)?;
    let client_id = client_id.unwrap_or_else(|| defaults::PUBLIC_CLIENT_ID.into());
    if shared.lock().registry.client(&client_id).is_none() {
        return Err("client_id: no such client; GET /lab names the clients".into());
    }
    Ok(match shared.refresh_token(&client_id, &scope, audience.into()) {
        Ok(token) => json(&json!({ "refresh_token": token, "client_id": client_id })),
        Err(error) => internal(error),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lifetime {
    lifetime: Length,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Clock {
    shift: Shift,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFault {
    fault: Name,
    endpoint: Option<String>,
    times: Option<u32>,
    lasting: Option<Length>,
    always: Option<bool>,
    status: Option<u16>,
    retry_after: Option<Value>,
    body: Option<Value>,
    delay: Option<Length>,
    location: Option<String>,
    lifetime: Option<Length>,
    expires_in: Option<HowExpiresIn>,
    skew_seconds: Option<i64>,
    content_type: Option<String>,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum Name {
    Status,
    Delay,
    NeverAnswer,
    CutBefore,
    CutAfter,
    CutBody,
    Html,
    #[serde(rename = "error_with_200")]
    ErrorWith200,
    Garbage,
    NotHttp,
    Redirect,
    Lifetime,
    ExpiresIn,
    SameToken,
    Date,
    ContentType,
    Drip,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "snake_case")]
enum HowExpiresIn {
    Text,
    Float,
    Negative,
    Missing,
    Absurd,
    Duplicate,
}

fn set_fault(shared: &Shared, request: &RecordedRequest) -> Result<Answer, String> {
    let mut new: NewFault = body(request)?;
    let endpoint = match new.endpoint.take() {
        None => None,
        Some(name) => Some(Endpoint::from_name(&name).ok_or_else(|| {
            let names: Vec<&str> = Endpoint::ALL.iter().map(|endpoint| endpoint.as_str()).collect();
            format!("endpoint must be one of {}; leave it out for all token endpoints", names.join(", "))
        })?),
    };
    let mut fault = new.kind()?;
    fault = match (new.times, new.lasting, new.always) {
        (None, None, None | Some(false)) => fault,
        (Some(times), None, None | Some(false)) => fault.times(times),
        (None, Some(Length(time)), None | Some(false)) => fault.lasting(time),
        (None, None, Some(true)) => fault.always(),
        _ => return Err("give one of times, lasting, always".into()),
    };
    new.nothing_left()?;
    let now = shared.clock.now();
    shared.lock().faults.set(endpoint, fault, now);
    Ok(active(shared))
}

impl NewFault {
    /// Takes what the fault needs.
    fn kind(&mut self) -> Result<Fault, String> {
        fn need<T>(value: Option<T>, name: &str) -> Result<T, String> {
            value.ok_or_else(|| format!("this fault needs {name}"))
        }
        Ok(match self.fault {
            Name::Status => {
                let status = need(self.status.take(), "status")?;
                if !(200..=599).contains(&status) {
                    return Err("status must be between 200 and 599".into());
                }
                let mut fault = Fault::status(status);
                if let Some(value) = self.retry_after.take() {
                    fault = fault.retry_after(header_value(&value, "retry_after")?);
                }
                if let Some(value) = self.body.take() {
                    fault = fault.body(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
                }
                fault
            }
            Name::Delay => Fault::delay(need(self.delay.take(), "delay")?.0),
            Name::NeverAnswer => Fault::never_answer(),
            Name::CutBefore => Fault::cut_before(),
            Name::CutAfter => Fault::cut_after(),
            Name::CutBody => Fault::cut_body(),
            Name::Html => Fault::html(),
            Name::ErrorWith200 => Fault::error_with_200(),
            Name::Garbage => Fault::garbage(),
            Name::NotHttp => Fault::not_http(),
            Name::Redirect => {
                let location = need(self.location.take(), "location")?;
                Fault::redirect(header_value(&Value::from(location), "location")?)
            }
            Name::Lifetime => Fault::lifetime(need(self.lifetime.take(), "lifetime")?.0),
            Name::ExpiresIn => Fault::expires_in(match need(self.expires_in.take(), "expires_in")? {
                HowExpiresIn::Text => ExpiresIn::Text,
                HowExpiresIn::Float => ExpiresIn::Float,
                HowExpiresIn::Negative => ExpiresIn::Negative,
                HowExpiresIn::Missing => ExpiresIn::Missing,
                HowExpiresIn::Absurd => ExpiresIn::Absurd,
                HowExpiresIn::Duplicate => ExpiresIn::Duplicate,
            }),
            Name::SameToken => Fault::same_token(),
            Name::Date => Fault::date(DateFault::Skewed(need(self.skew_seconds.take(), "skew_seconds")?)),
            Name::ContentType => {
                let value = need(self.content_type.take(), "content_type")?;
                Fault::content_type(header_value(&Value::from(value), "content_type")?)
            }
            Name::Drip => Fault::drip(need(self.delay.take(), "delay")?.0),
        })
    }

    /// What was not taken belongs to another fault.
    fn nothing_left(&self) -> Result<(), String> {
        let left = [
            ("status", self.status.is_some()),
            ("retry_after", self.retry_after.is_some()),
            ("body", self.body.is_some()),
            ("delay", self.delay.is_some()),
            ("location", self.location.is_some()),
            ("lifetime", self.lifetime.is_some()),
            ("expires_in", self.expires_in.is_some()),
            ("skew_seconds", self.skew_seconds.is_some()),
            ("content_type", self.content_type.is_some()),
        ];
        match left.iter().find(|(_, left)| *left) {
            Some((name, _)) => Err(format!("{name} does not belong to this fault")),
            None => Ok(()),
        }
    }
}

/// A text or a number that can stand in a header.
fn header_value(value: &Value, name: &str) -> Result<String, String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return Err(format!("{name} must be a text or a number")),
    };
    match http::HeaderValue::from_str(&text) {
        Ok(_) => Ok(text),
        Err(_) => Err(format!("{name} must fit into a header: no line breaks or control characters")),
    }
}

fn active(shared: &Shared) -> Answer {
    let now = shared.clock.now();
    json(&json!({ "active": shared.lock().faults.active(now) }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Revoke {
    token: Option<Text>,
    all: Option<bool>,
}

/// A text that no error message repeats.
struct Text(Secret);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::new(text)))
    }
}

fn revoke(shared: &Shared, request: &RecordedRequest) -> Result<Answer, String> {
    let revoked = match body(request)? {
        Revoke { token: Some(Text(token)), all: None | Some(false) } => usize::from(shared.revoke(token.expose())),
        Revoke { token: None, all: Some(true) } => shared.lock().tokens.revoke_all(),
        _ => return Err("give token, or \"all\": true".into()),
    };
    Ok(json(&json!({ "revoked": revoked })))
}

fn clock(shared: &Shared) -> Answer {
    let shift = std::time::Duration::from_nanos(shared.clock.shift().unsigned_abs()).as_secs_f64();
    let shift = if shared.clock.shift() < 0 { -shift } else { shift };
    json(&json!({ "now": Civil::of(shared.clock.now()).rfc3339(), "shift_seconds": shift }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wants {
    refuse: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    claims: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    scope: Option<Option<String>>,
}

/// Tells `null` from nothing.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn resource(shared: &Shared, request: &RecordedRequest) -> Result<Answer, String> {
    let Wants { refuse, claims, scope } = body(request)?;
    let mut state = shared.lock();
    let resource = state.resources.entry(String::new()).or_default();
    if let Some(refuse) = refuse {
        resource.refuse(refuse);
    }
    if let Some(claims) = claims {
        resource.demand_claims(claims);
    }
    if let Some(scope) = scope {
        resource.demand_scope(scope);
    }
    Ok(json(&resource.wants()))
}

fn requests(shared: &Shared, secrets: bool) -> Answer {
    let pairs = |pairs: &[(String, String)], secret: &[&str]| -> Vec<Value> {
        let show = |(name, value): &(String, String)| match !secrets && secret.contains(&name.as_str()) {
            true => json!([name, "…"]),
            false => json!([name, value]),
        };
        pairs.iter().map(show).collect()
    };
    let state = shared.lock();
    let requests: Vec<Value> = state
        .requests
        .iter()
        .map(|request| {
            let received =
                request.received_at.duration_since(system_time(std::time::Duration::ZERO)).unwrap_or_default();
            json!({
                "endpoint": request.endpoint.as_str(),
                "method": request.method,
                "path": request.path,
                "query": request.query,
                "headers": pairs(&request.headers, SECRET_HEADERS),
                "form": pairs(&request.form, SECRET_FIELDS),
                "status": request.status,
                "received_at": Civil::of(received).rfc3339(),
            })
        })
        .collect();
    json(&json!({ "requests": requests }))
}

fn stats(shared: &Shared) -> Answer {
    let now = shared.clock.now();
    let mut state = shared.lock();
    let mut mints = Map::new();
    let mut requests = Map::new();
    for endpoint in Endpoint::ALL {
        let count = state.requests.iter().filter(|request| request.endpoint == endpoint).count();
        requests.insert(endpoint.as_str().into(), count.into());
        if endpoint.is_token() {
            mints.insert(endpoint.as_str().into(), state.minted_at(endpoint).into());
        }
    }
    mints.insert("total".into(), (*shared.mints.borrow()).into());
    let counts = state.resources.get("").map(|resource| resource.counts).unwrap_or_default();
    let faults = state.faults.active(now);
    json(&json!({ "mints": mints, "requests": requests, "resource": counts, "faults": faults }))
}

/// What exists, and how it is asked for.
pub(super) const PATHS: &[(&str, &str)] = &[
    ("/lab", "GET"),
    ("/lab/mint", "POST"),
    ("/lab/refresh_token", "POST"),
    ("/lab/lifetime", "POST"),
    ("/lab/faults", "GET, POST, DELETE"),
    ("/lab/revoke", "POST"),
    ("/lab/clock", "GET, POST"),
    ("/lab/resource", "POST"),
    ("/lab/requests", "GET"),
    ("/lab/stats", "GET"),
    ("/lab/reset", "POST"),
];
