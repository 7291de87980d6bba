//! Microsoft Entra ID, v2.0 endpoint: client credentials with a secret.

use serde_json::{Map, Value, json};
use unexpired_crypto::uuid_v4;

use super::auth::Credentials;
use super::base;
use crate::answer::{Answer, Members};
use crate::clock::Civil;
use crate::fault::Script;
use crate::shared::{Shared, internal};
use crate::token::{Grant, seconds};
use crate::{Endpoint, RecordedRequest};

/// `/{tenant}/rest`, taken apart.
pub(crate) fn tenant_path(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix('/')?.split_once('/')
}

pub(crate) fn token(shared: &Shared, request: &RecordedRequest, script: &Script) -> Answer {
    let tenant = tenant_path(&request.path).map(|(tenant, _)| tenant).unwrap_or_default();
    match grant(shared, request, tenant) {
        Ok(grant) => success(shared, &grant, script),
        Err(refusal) => refusal.answer(shared, request),
    }
}

fn grant(shared: &Shared, request: &RecordedRequest, tenant: &str) -> Result<Grant, Refusal> {
    let refuse = |status, error, code, message: String| Err(Refusal { status, error, code, message });
    if ["common", "organizations", "consumers"].contains(&tenant) {
        let message = format!("The grant type is not supported over the /{tenant} endpoint. Use the tenant's own.");
        return refuse(400, "invalid_request", 9_001_023, message);
    }
    let state = shared.lock();
    if !state.registry.tenants.iter().any(|known| known.eq_ignore_ascii_case(tenant)) {
        let message = format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the \
             correct cloud."
        );
        return refuse(400, "invalid_request", 90_002, message);
    }
    match request.field("grant_type") {
        Some("client_credentials") => {}
        None | Some("") => return Err(missing("grant_type")),
        Some(other) => {
            let message = format!("The app requested an unsupported grant type '{other}'.");
            return refuse(400, "unsupported_grant_type", 70_003, message);
        }
    }
    let credentials = Credentials::of(request);
    if let Credentials::Unreadable(why) = credentials {
        return refuse(400, "invalid_request", 90_013, format!("Invalid input received: {why}."));
    }
    let Some(id) = credentials.id().filter(|id| !id.is_empty()) else { return Err(missing("client_id")) };
    let Some(client) = state.registry.client(id) else {
        let message = format!("Application with identifier '{id}' was not found in the directory '{tenant}'.");
        return refuse(400, "unauthorized_client", 700_016, message);
    };
    if credentials.secret().is_none() || client.secret.is_none() {
        let message = "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.";
        return refuse(401, "invalid_client", 7_000_218, message.into());
    }
    if client.secret_expired {
        let message = format!("The provided client secret keys for app '{id}' are expired.");
        return refuse(401, "invalid_client", 7_000_222, message);
    }
    if credentials.client(&state.registry).is_none() {
        let message = format!(
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, \
             not the client secret ID, for a secret added to app '{id}'."
        );
        return refuse(401, "invalid_client", 7_000_215, message);
    }
    let scope = request.field("scope").map(str::trim).unwrap_or_default();
    if scope.is_empty() {
        return Err(missing("scope"));
    }
    if scope.split_whitespace().count() > 1 {
        let message =
            format!("The provided value for the input parameter scope is not valid: it names several: {scope}.");
        return refuse(400, "invalid_scope", 700_022, message);
    }
    let Some(audience) = scope.strip_suffix("/.default") else {
        let message = format!(
            "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with \
             /.default suffixed to the resource identifier (application ID URI)."
        );
        return refuse(400, "invalid_scope", 1_002_012, message);
    };
    let claims = request.field("claims");
    if claims.is_some_and(|claims| !matches!(serde_json::from_str(claims), Ok(Value::Object(_)))) {
        return refuse(400, "invalid_request", 90_013, "Invalid input received: claims is no JSON object.".into());
    }
    let extra = json!({ "azp": id, "azpacr": "1", "oid": id, "tid": tenant, "ver": "2.0" });
    Ok(Grant {
        endpoint: Endpoint::Entra,
        issuer: shared.settings.issuer.clone().unwrap_or_else(|| format!("{}/{tenant}/v2.0", base(request))),
        subject: id.into(),
        client_id: id.into(),
        audience: vec![audience.into()],
        scope: String::new(),
        claims: claims.map(str::to_owned),
        extra: members(extra),
        family: None,
    })
}

fn success(shared: &Shared, grant: &Grant, script: &Script) -> Answer {
    let issued = match shared.mint(&mut shared.lock(), grant, script) {
        Ok(issued) => issued,
        Err(error) => return internal(error),
    };
    let life = issued.expires_in();
    let mut body = Members::new().text("token_type", "Bearer").expires_in(&life, script.expires_in.as_ref());
    body = body.value("ext_expires_in", &life);
    // Microsoft sends it with long-lived tokens only, and as half the life.
    if issued.life >= LONG {
        body = body.value("refresh_in", &seconds(std::time::Duration::from_secs(issued.life.as_secs() / 2)));
    }
    let body = body.text("access_token", &issued.token);
    answer(200, body)
}

struct Refusal {
    status: u16,
    error: &'static str,
    code: u64,
    message: String,
}

impl Refusal {
    fn answer(&self, shared: &Shared, request: &RecordedRequest) -> Answer {
        error(shared, request, self.status, self.error, self.code, &self.message)
    }
}

fn missing(parameter: &str) -> Refusal {
    let message = format!("The request body must contain the following parameter: '{parameter}'.");
    Refusal { status: 400, error: "invalid_request", code: 900_144, message }
}

pub(crate) fn error(
    shared: &Shared,
    request: &RecordedRequest,
    status: u16,
    error: &str,
    code: u64,
    message: &str,
) -> Answer {
    let trace = uuid_v4().unwrap_or_default();
    let correlation = match request.header("client-request-id") {
        Some(id) => id.to_owned(),
        None => uuid_v4().unwrap_or_default(),
    };
    let time = Civil::of(shared.clock.now()).entra();
    let description =
        format!("AADSTS{code}: {message} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {time}");
    let body = Members::new()
        .text("error", error)
        .text("error_description", &description)
        .value("error_codes", &json!([code]))
        .text("timestamp", &time)
        .text("trace_id", &trace)
        .text("correlation_id", &correlation)
        .text("error_uri", &format!("{}/error?code={code}", base(request)));
    answer(status, body)
}

fn answer(status: u16, body: Members) -> Answer {
    Answer::json(status, body.to_json())
        .content_type("application/json; charset=utf-8")
        .header("cache-control", "no-store, no-cache")
        .header("pragma", "no-cache")
}

/// `GET /common/discovery/instance`: whether an authority is genuine. Here it is if it is this server.
pub(crate) fn instance_discovery(shared: &Shared, request: &RecordedRequest) -> Answer {
    let query = |name: &str| {
        url::form_urlencoded::parse(request.query.as_bytes()).find(|(n, _)| n == name).map(|(_, v)| v.into_owned())
    };
    let asked = query("authorization_endpoint").and_then(|url| url::Url::parse(&url).ok());
    let here = |url: &url::Url| {
        let authority = url.host_str().map(|host| match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        });
        let ours = base(request).split_once("//").map(|(_, authority)| authority.to_owned());
        (authority == ours).then_some(authority).flatten()
    };
    let Some((url, host)) = asked.as_ref().and_then(|url| Some((url, here(url)?))) else {
        return error(shared, request, 400, "invalid_instance", 50_049, "Unknown or invalid instance.");
    };
    let tenant = url.path().split('/').nth(1).unwrap_or("common");
    let document = json!({
        "tenant_discovery_endpoint": format!("{}/{tenant}/v2.0/.well-known/openid-configuration", base(request)),
        "api-version": "1.1",
        "metadata": [{ "preferred_network": host, "preferred_cache": host, "aliases": [host] }],
    });
    Answer::value(200, &document)
}

/// `GET /{tenant}/v2.0/.well-known/openid-configuration`.
pub(crate) fn discovery(shared: &Shared, request: &RecordedRequest, path: &str) -> Answer {
    let base = base(request);
    let tenant = tenant_path(path).map(|(tenant, _)| tenant).unwrap_or_default();
    if !shared.lock().registry.tenants.iter().any(|known| known.eq_ignore_ascii_case(tenant)) {
        return error(shared, request, 400, "invalid_tenant", 90_002, &format!("Tenant '{tenant}' not found."));
    }
    let issuer = shared.settings.issuer.clone().unwrap_or_else(|| format!("{base}/{tenant}/v2.0"));
    let document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
        "device_authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/devicecode"),
        "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "response_types_supported": ["code"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": [shared.keys.algorithm().as_str()],
    });
    Answer::value(200, &document)
}

fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

const LONG: std::time::Duration = std::time::Duration::from_secs(2 * 3_600);
