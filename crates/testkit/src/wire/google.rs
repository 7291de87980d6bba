//! Google: a service account's signed assertion for an access token, or an ID token (RFC 7523).

use std::time::Duration;

use serde_json::{Map, Value};
use unexpired_crypto::Algorithm;

use super::base;
use crate::answer::{Answer, Members};
use crate::fault::Script;
use crate::shared::{Shared, internal};
use crate::token::{Grant, Parsed, numeric};
use crate::{Endpoint, RecordedRequest};

pub(crate) fn token(shared: &Shared, request: &RecordedRequest, script: &Script) -> Answer {
    let answer = match grant(shared, request) {
        Ok(grant) => success(shared, &grant, script),
        Err((status, error, description)) => Answer::oauth_error(status, error, description),
    };
    answer.content_type("application/json; charset=UTF-8")
}

type Refusal = (u16, &'static str, &'static str);

fn grant(shared: &Shared, request: &RecordedRequest) -> Result<Grant, Refusal> {
    match request.field("grant_type") {
        Some(GRANT_TYPE) => {}
        None | Some("") => return Err((400, "invalid_request", "Missing required parameter: grant_type")),
        Some(_) => return Err((400, "unsupported_grant_type", "Invalid grant_type")),
    }
    let Some(assertion) = request.field("assertion").filter(|text| !text.is_empty()) else {
        return Err((400, "invalid_request", "Missing required parameter: assertion"));
    };
    let bad = |description| Err((400, "invalid_grant", description));
    let Some(parsed) = Parsed::of(assertion) else { return bad("Bad Request") };
    let claim = |name: &str| parsed.claims.get(name).and_then(Value::as_str);

    let state = shared.lock();
    let issuer = claim("iss").unwrap_or_default();
    let Some(account) = state.registry.accounts.iter().find(|account| account.account.email == issuer) else {
        return bad("Invalid grant: account not found");
    };
    let kid = parsed.header.get("kid").and_then(Value::as_str);
    if kid.is_some_and(|kid| kid != account.account.key_id) || !parsed.signed_by(&account.public, Algorithm::Rs256) {
        return bad("Invalid JWT Signature.");
    }
    let ours = shared.settings.bases.iter().any(|base| claim("aud") == Some(&format!("{base}/google/token")));
    if !ours && claim("aud") != Some(GOOGLE) && claim("aud") != Some(&format!("{}/google/token", base(request))) {
        return bad("Invalid JWT: Failed audience check.");
    }
    let now = shared.clock.now();
    let (Some(iat), Some(exp)) = (numeric(&parsed.claims, "iat"), numeric(&parsed.claims, "exp")) else {
        return bad(TIMEFRAME);
    };
    if exp.saturating_sub(iat) > LONGEST
        || exp <= iat
        || iat > now.saturating_add(SKEW)
        || exp.saturating_add(SKEW) <= now
    {
        return bad(TIMEFRAME);
    }
    let subject = claim("sub").unwrap_or(issuer);
    if subject != issuer && !account.account.delegated {
        let why = "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any \
                   of the scopes requested.";
        return Err((401, "unauthorized_client", why));
    }
    let target = claim("target_audience");
    let scope = claim("scope").map(str::trim).unwrap_or_default();
    if target.is_none() && scope.is_empty() {
        return Err((400, "invalid_scope", "Invalid OAuth scope or ID token audience provided."));
    }
    let mut extra = Map::new();
    extra.insert("azp".into(), issuer.into());
    extra.insert("email".into(), subject.into());
    if target.is_some() {
        extra.insert("email_verified".into(), true.into());
    }
    Ok(Grant {
        endpoint: Endpoint::Google,
        issuer: shared.settings.issuer.clone().unwrap_or_else(|| format!("{}/google", base(request))),
        subject: subject.into(),
        client_id: issuer.into(),
        audience: vec![target.unwrap_or("https://googleapis.com/").into()],
        scope: if target.is_some() { String::new() } else { scope.into() },
        claims: None,
        extra,
        family: None,
    })
}

fn success(shared: &Shared, grant: &Grant, script: &Script) -> Answer {
    let issued = match shared.mint(&mut shared.lock(), grant, script) {
        Ok(issued) => issued,
        Err(error) => return internal(error),
    };
    if grant.extra.contains_key("email_verified") {
        return Answer::json(200, Members::new().text("id_token", &issued.token).to_json());
    }
    let body = Members::new()
        .text("access_token", &issued.token)
        .expires_in(&issued.expires_in(), script.expires_in.as_ref())
        .text("token_type", "Bearer");
    Answer::json(200, body.to_json()).header("cache-control", "no-cache, no-store, max-age=0, must-revalidate")
}

const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// What Google's Python library signs whatever the key file's `token_uri` says.
const GOOGLE: &str = "https://oauth2.googleapis.com/token";

const TIMEFRAME: &str = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. \
    Check your iat and exp values in the JWT claim.";

const LONGEST: Duration = Duration::from_secs(3_600);

/// By how much a client's clock may be off. Google does not say.
const SKEW: Duration = Duration::from_secs(30);
