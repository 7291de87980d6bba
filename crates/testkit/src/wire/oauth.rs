//! Any OAuth 2.0 server: client credentials and rotating refresh tokens (RFC 6749), resource indicators (RFC 8707),
//! discovery (OpenID Connect Discovery 1.0, RFC 8414).

use serde_json::{Map, json};

use super::auth::Credentials;
use super::base;
use crate::answer::{Answer, Members};
use crate::fault::Script;
use crate::refresh::{Holder, Useless};
use crate::registry::Client;
use crate::shared::{Shared, State, internal};
use crate::token::Grant;
use crate::{Endpoint, RecordedRequest};

pub(crate) fn token(shared: &Shared, request: &RecordedRequest, script: &Script) -> Answer {
    let mut state = shared.lock();
    match redeem(shared, &mut state, request) {
        Ok(redeemed) => success(shared, &mut state, &redeemed, request, script),
        Err(refusal) => refusal.answer(request),
    }
}

/// What the request is good for.
struct Redeemed {
    client_id: String,
    subject: String,
    scope: String,
    audience: Vec<String>,
    family: Option<Holder>,
}

fn redeem(shared: &Shared, state: &mut State, request: &RecordedRequest) -> Result<Redeemed, Refusal> {
    for (name, _) in request.form() {
        // RFC 6749 §3.2, RFC 8707 §2, RFC 8693 §2.1.
        if !["resource", "audience"].contains(&name.as_str()) && request.fields(name).count() > 1 {
            return Err(Refusal::new("invalid_request", format!("the parameter {name} is repeated")));
        }
    }
    let credentials = Credentials::of(request);
    if let Credentials::Unreadable(why) = credentials {
        return Err(Refusal::new("invalid_request", why));
    }
    let Some(client) = credentials.client(&state.registry).cloned() else {
        return Err(Refusal::new("invalid_client", "client authentication failed"));
    };
    let audience = audience(request)?;
    match request.field("grant_type") {
        Some("client_credentials") => {
            if client.secret.is_none() {
                let why = "client_credentials is for confidential clients";
                return Err(Refusal::new("unauthorized_client", why));
            }
            let scope = request.field("scope").unwrap_or_default().to_owned();
            allowed(&client, &scope)?;
            Ok(Redeemed { subject: client.id.clone(), client_id: client.id, scope, audience, family: None })
        }
        Some("refresh_token") => refresh(shared, state, request, client, audience),
        None | Some("") => Err(Refusal::new("invalid_request", "grant_type is missing")),
        Some(other) => Err(Refusal::new("unsupported_grant_type", format!("grant_type {other} is not supported"))),
    }
}

fn refresh(
    shared: &Shared,
    state: &mut State,
    request: &RecordedRequest,
    client: Client,
    audience: Vec<String>,
) -> Result<Redeemed, Refusal> {
    let Some(token) = request.field("refresh_token").filter(|token| !token.is_empty()) else {
        return Err(Refusal::new("invalid_request", "refresh_token is missing"));
    };
    let holder = match state.refresh.check(token, &client.id, shared.clock.now()) {
        Ok(holder) => holder,
        Err(Useless::Reused { family }) => {
            state.tokens.revoke_family(family);
            return Err(Refusal::new("invalid_grant", "refresh token already used"));
        }
        Err(Useless::Expired) => return Err(Refusal::new("invalid_grant", "refresh token is expired")),
        Err(Useless::Unknown) => return Err(Refusal::new("invalid_grant", "grant request is invalid")),
    };
    let scope = match request.field("scope").map(str::trim).filter(|scope| !scope.is_empty()) {
        None => holder.scope.clone(),
        Some(scope) => {
            let granted: Vec<&str> = holder.scope.split_whitespace().collect();
            if !scope.split_whitespace().all(|one| granted.contains(&one)) {
                return Err(Refusal::new("invalid_scope", "refresh token missing requested scope"));
            }
            scope.to_owned()
        }
    };
    if shared.settings.rotate {
        state.refresh.use_up(token);
    }
    let audience = if audience.is_empty() { holder.audience.clone() } else { audience };
    Ok(Redeemed { client_id: client.id, subject: holder.subject.clone(), scope, audience, family: Some(holder) })
}

/// `resource` as RFC 8707 §2 has it, and `audience` as Auth0 and others do.
fn audience(request: &RecordedRequest) -> Result<Vec<String>, Refusal> {
    let mut audience = Vec::new();
    for resource in request.fields("resource") {
        if url::Url::parse(resource).is_err() || resource.contains('#') {
            return Err(Refusal::new("invalid_target", "resource must be an absolute URI without a fragment"));
        }
        audience.push(resource.to_owned());
    }
    audience.extend(request.fields("audience").filter(|name| !name.is_empty()).map(str::to_owned));
    Ok(audience)
}

fn allowed(client: &Client, scope: &str) -> Result<(), Refusal> {
    let Some(scopes) = &client.scopes else { return Ok(()) };
    match scope.split_whitespace().find(|one| !scopes.iter().any(|known| known == one)) {
        Some(other) => Err(Refusal::new("invalid_scope", format!("the client may not ask for {other}"))),
        None => Ok(()),
    }
}

fn success(
    shared: &Shared,
    state: &mut State,
    redeemed: &Redeemed,
    request: &RecordedRequest,
    script: &Script,
) -> Answer {
    let mut extra = Map::new();
    extra.insert("client_id".into(), redeemed.client_id.as_str().into());
    let audience =
        if redeemed.audience.is_empty() { vec![DEFAULT_AUDIENCE.to_owned()] } else { redeemed.audience.clone() };
    let grant = Grant {
        endpoint: Endpoint::OAuth,
        issuer: issuer(shared, request),
        subject: redeemed.subject.clone(),
        client_id: redeemed.client_id.clone(),
        audience,
        scope: redeemed.scope.clone(),
        claims: request.field("claims").map(str::to_owned),
        extra,
        family: redeemed.family.as_ref().map(|holder| holder.family),
    };
    let rotated = match &redeemed.family {
        Some(holder) if shared.settings.rotate => state.refresh.next(holder.clone()).map(Some),
        _ => Ok(None),
    };
    let minted = rotated.and_then(|rotated| Ok((rotated, shared.mint(state, &grant, script)?)));
    let (rotated, issued) = match minted {
        Ok(minted) => minted,
        Err(error) => return internal(error),
    };
    let body = Members::new()
        .text("access_token", &issued.token)
        .text("token_type", "Bearer")
        .expires_in(&issued.expires_in(), script.expires_in.as_ref())
        .maybe_text("scope", Some(redeemed.scope.as_str()).filter(|scope| !scope.is_empty()))
        .maybe_text("refresh_token", rotated.as_deref());
    no_store(Answer::json(200, body.to_json()))
}

struct Refusal {
    error: &'static str,
    description: String,
}

impl Refusal {
    fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self { error, description: description.into() }
    }

    fn answer(&self, request: &RecordedRequest) -> Answer {
        let status = if self.error == "invalid_client" { 401 } else { 400 };
        let answer = no_store(Answer::oauth_error(status, self.error, &self.description));
        // RFC 6749 §5.2: a client that used the header gets a challenge.
        match status == 401 && request.header("authorization").is_some() {
            true => answer.header("www-authenticate", r#"Basic realm="testkit""#),
            false => answer,
        }
    }
}

fn no_store(answer: Answer) -> Answer {
    answer.header("cache-control", "no-store").header("pragma", "no-cache")
}

pub(crate) fn issuer(shared: &Shared, request: &RecordedRequest) -> String {
    shared.settings.issuer.clone().unwrap_or_else(|| format!("{}/oauth2", base(request)))
}

/// One document for all three places.
pub(crate) fn discovery(shared: &Shared, request: &RecordedRequest) -> Answer {
    let base = base(request);
    let document = json!({
        "issuer": issuer(shared, request),
        "token_endpoint": format!("{base}/oauth2/token"),
        "jwks_uri": format!("{base}/oauth2/jwks"),
        "authorization_endpoint": format!("{base}/oauth2/authorize"),
        "grant_types_supported": ["client_credentials", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [shared.keys.algorithm().as_str()],
        "code_challenge_methods_supported": ["S256"],
    });
    Answer::value(200, &document)
}

pub(crate) const OIDC_DISCOVERY: &str = "/oauth2/.well-known/openid-configuration";
pub(crate) const RFC8414_DISCOVERY: &str = "/.well-known/oauth-authorization-server/oauth2";
pub(crate) const OIDC_INSERTED: &str = "/.well-known/openid-configuration/oauth2";

/// Who a token is for where the request does not say.
const DEFAULT_AUDIENCE: &str = "urn:testkit:default";
