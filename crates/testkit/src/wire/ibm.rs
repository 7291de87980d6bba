//! IBM Cloud IAM: an API key, or a refresh token, for an IAM token.

use serde_json::{Map, json};
use unexpired_crypto::uuid_v4;

use super::auth::Credentials;
use super::base;
use crate::answer::{Answer, Members};
use crate::clock::Civil;
use crate::fault::Script;
use crate::refresh::{Holder, Useless};
use crate::shared::{Shared, State, internal};
use crate::token::Grant;
use crate::{Endpoint, RecordedRequest};

pub(crate) fn token(shared: &Shared, request: &RecordedRequest, script: &Script) -> Answer {
    let mut state = shared.lock();
    match redeem(shared, &mut state, request) {
        Ok(redeemed) => success(shared, &mut state, &redeemed, request, script),
        Err((status, code, message)) => error(shared, request, status, Some(code), &message),
    }
}

/// What the request is good for.
struct Redeemed {
    client: Option<String>,
    subject: String,
    grant_type: &'static str,
    family: Option<Holder>,
}

type Refusal = (u16, &'static str, String);

fn redeem(shared: &Shared, state: &mut State, request: &RecordedRequest) -> Result<Redeemed, Refusal> {
    let missing = |name: &str| (400, "BXNIM0109E", format!("Property missing or empty: '{name}'."));
    let property = |name: &str| request.field(name).filter(|value| !value.is_empty()).ok_or_else(|| missing(name));
    let grant_type = property("grant_type")?;
    let credentials = match request.header("authorization") {
        Some(_) => Credentials::of(request),
        None => Credentials::Absent,
    };
    let client = match credentials {
        Credentials::Absent => None,
        given => match given.client(&state.registry) {
            Some(client) => Some(client.id.clone()),
            None => return Err((401, "BXNIM0310E", "The client id is not known, or its secret is wrong.".into())),
        },
    };
    match grant_type {
        API_KEY => {
            let key = property("apikey")?;
            if !state.registry.api_keys.iter().any(|known| known.expose() == key) {
                return Err((400, "BXNIM0415E", "Provided API key could not be found.".into()));
            }
            let subject = "iam-ServiceId-00000000-0000-4000-8000-000000000001".into();
            Ok(Redeemed { client, subject, grant_type: API_KEY, family: None })
        }
        "refresh_token" => {
            let Some(client) = client else {
                return Err((401, "BXNIM0308E", "No authorization header found.".into()));
            };
            let token = property("refresh_token")?;
            match state.refresh.check(token, &client, shared.clock.now()) {
                Ok(holder) => {
                    if shared.settings.rotate {
                        state.refresh.use_up(token);
                    }
                    let subject = holder.subject.clone();
                    Ok(Redeemed { client: Some(client), subject, grant_type: "refresh_token", family: Some(holder) })
                }
                Err(Useless::Expired) => Err((400, "BXNIM0408E", "Provided refresh token is expired".into())),
                Err(Useless::Reused { family }) => {
                    state.tokens.revoke_family(family);
                    Err((400, "BXNIM0407E", "Provided refresh token is invalid".into()))
                }
                Err(Useless::Unknown) => Err((400, "BXNIM0407E", "Provided refresh token is invalid".into())),
            }
        }
        other => Err((400, "BXNIM0106E", format!("Property 'grant_type' has an invalid value: {other}."))),
    }
}

fn success(
    shared: &Shared,
    state: &mut State,
    redeemed: &Redeemed,
    request: &RecordedRequest,
    script: &Script,
) -> Answer {
    let refresh_token = match (&redeemed.family, &redeemed.client) {
        (Some(holder), _) if shared.settings.rotate => state.refresh.next(holder.clone()).map(Some),
        (Some(_), _) => Ok(request.field("refresh_token").map(str::to_owned)),
        (None, Some(client)) => {
            let until = shared.settings.refresh_lifetime.map(|life| shared.clock.now().saturating_add(life));
            let holder = Holder {
                family: 0,
                client_id: client.clone(),
                subject: redeemed.subject.clone(),
                scope: SCOPE.into(),
                audience: Vec::new(),
                until,
            };
            state.refresh.first(holder).map(Some)
        }
        (None, None) => Ok(None),
    };
    let mut extra = Map::new();
    extra.insert("iam_id".into(), redeemed.subject.as_str().into());
    extra.insert("grant_type".into(), redeemed.grant_type.into());
    extra.insert("account".into(), json!({ "bss": "0123456789abcdef0123456789abcdef" }));
    let grant = Grant {
        endpoint: Endpoint::Ibm,
        issuer: shared.settings.issuer.clone().unwrap_or_else(|| format!("{}/identity", base(request))),
        subject: redeemed.subject.clone(),
        client_id: redeemed.client.clone().unwrap_or_else(|| "default".into()),
        audience: vec!["https://cloud.ibm.com".into()],
        scope: SCOPE.into(),
        claims: None,
        extra,
        family: redeemed.family.as_ref().map(|holder| holder.family),
    };
    let minted = refresh_token.and_then(|refresh| Ok((refresh, shared.mint(state, &grant, script)?)));
    let (refresh_token, issued) = match minted {
        Ok(minted) => minted,
        Err(error) => return internal(error),
    };
    let body = Members::new()
        .text("access_token", &issued.token)
        .text("refresh_token", refresh_token.as_deref().unwrap_or("not_supported"))
        .text("token_type", "Bearer")
        .expires_in(&issued.expires_in(), script.expires_in.as_ref())
        .value("expiration", &issued.expiration())
        .text("scope", SCOPE);
    let transaction = uuid_v4().unwrap_or_default();
    Answer::json(200, body.to_json())
        .header("transaction-id", transaction.clone())
        .header("x-correlation-id", transaction)
        .header("cache-control", "no-cache, no-store, must-revalidate")
}

pub(crate) fn wrong_method(shared: &Shared, request: &RecordedRequest) -> Answer {
    error(shared, request, 405, Some("BXNIM0060E"), "Method or path is not supported.").header("allow", "POST")
}

pub(crate) fn error(
    shared: &Shared,
    request: &RecordedRequest,
    status: u16,
    code: Option<&str>,
    message: &str,
) -> Answer {
    let transaction = uuid_v4().unwrap_or_default();
    let time = Civil::of(shared.clock.now()).ibm();
    let context = json!({
        "requestId": transaction,
        "requestType": "incoming.Identity_Token",
        "userAgent": request.header("user-agent").unwrap_or_default(),
        "url": base(request),
        "startTime": time,
        "endTime": time,
        "elapsedTime": "0",
        "locale": "en_US",
    });
    let body = Members::new().value("context", &context).maybe_text("errorCode", code).text("errorMessage", message);
    Answer::json(status, body.to_json())
        .header("content-language", "en-US")
        .header("cache-control", "no-cache, no-store, must-revalidate")
        .header("transaction-id", transaction.clone())
        .header("x-correlation-id", transaction)
}

const API_KEY: &str = "urn:ibm:params:oauth:grant-type:apikey";
const SCOPE: &str = "ibm openid";
