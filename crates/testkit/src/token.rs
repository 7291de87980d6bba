//! Tokens: issued, written down, checked.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Map, Value, json};
use unexpired_crypto::{Algorithm, CryptoError, SigningKey, VerifyingKey, b64, jwt, sha256, uuid_v4};

use crate::Endpoint;
use crate::registry::Registry;

/// What a token is to say.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    pub(crate) endpoint: Endpoint,
    pub(crate) issuer: String,
    pub(crate) subject: String,
    pub(crate) client_id: String,
    pub(crate) audience: Vec<String>,
    pub(crate) scope: String,
    /// The claims challenge that the request carried.
    pub(crate) claims: Option<String>,
    /// Members that only this provider's tokens have.
    pub(crate) extra: Map<String, Value>,
    /// The refresh token's family, if it came from one.
    pub(crate) family: Option<u64>,
}

/// A token as it is handed out.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) token: String,
    /// What is left of its life.
    pub(crate) life: Duration,
    pub(crate) expires_at: Duration,
}

impl Issued {
    /// `expires_in`: whole seconds where the life is whole (which it is unless a test asks otherwise).
    pub(crate) fn expires_in(&self) -> Value {
        seconds(self.life)
    }

    /// The absolute expiry, not before the exact moment.
    pub(crate) fn expiration(&self) -> Value {
        if self.life.subsec_nanos() == 0 { Value::from(ceil(self.expires_at)) } else { seconds(self.expires_at) }
    }
}

/// The signing key and its public half.
pub(crate) struct Keys {
    signing: SigningKey,
    algorithm: Algorithm,
    verifying: VerifyingKey,
    kid: String,
    jwks: String,
}

impl Keys {
    pub(crate) fn new(signing: SigningKey, algorithm: Algorithm) -> Result<Self, CryptoError> {
        let verifying = signing.verifying_key()?;
        // Both kinds of key that `start` makes are pairs.
        let jwk = signing.public_jwk().ok_or(CryptoError::BadKey("the signing key has no public half"))?;
        let kid = jwk.thumbprint();
        let jwk = jwk.to_json(&[("kid", &kid), ("use", "sig"), ("alg", algorithm.as_str())]);
        Ok(Self { signing, algorithm, verifying, kid, jwks: format!(r#"{{"keys":[{jwk}]}}"#) })
    }

    pub(crate) fn jwks(&self) -> &str {
        &self.jwks
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// Every token that was given out and may still be of interest.
#[derive(Default)]
pub(crate) struct Tokens {
    records: HashMap<[u8; 32], Record>,
    /// The last token of each kind, for servers that repeat themselves.
    last: HashMap<(Endpoint, String, String, Vec<String>), [u8; 32]>,
    issued: u64,
}

struct Record {
    token: String,
    expires_at: Duration,
    revoked: bool,
    claims: Option<String>,
    family: Option<u64>,
}

impl Tokens {
    pub(crate) fn issue(
        &mut self,
        keys: &Keys,
        grant: &Grant,
        now: Duration,
        lifetime: Duration,
    ) -> Result<Issued, CryptoError> {
        let expires_at = now.saturating_add(lifetime);
        // NumericDate may have a fraction (RFC 7519 §2), but few readers expect one. A whole life is written in whole
        // seconds, rounded so that the token never says that it dies before `expires_in` does.
        let whole = lifetime.subsec_nanos() == 0;
        let (iat, exp) = if whole {
            (Value::from(now.as_secs()), Value::from(ceil(expires_at)))
        } else {
            (seconds(now), seconds(expires_at))
        };
        let audience = match grant.audience.as_slice() {
            [one] => Value::from(one.as_str()),
            several => Value::from(several),
        };
        let mut claims = Map::new();
        for (name, value) in [
            ("iss", Value::from(grant.issuer.as_str())),
            ("sub", Value::from(grant.subject.as_str())),
            ("aud", audience),
            ("iat", iat.clone()),
            ("nbf", iat),
            ("exp", exp),
            ("jti", Value::from(uuid_v4()?)),
        ] {
            claims.insert(name.to_owned(), value);
        }
        if !grant.scope.is_empty() {
            claims.insert("scope".into(), Value::from(grant.scope.as_str()));
        }
        claims.extend(grant.extra.clone());
        let typ = if grant.endpoint == Endpoint::OAuth { "at+jwt" } else { "JWT" }; // RFC 9068 §2.1
        let header = [("typ", typ), ("kid", keys.kid.as_str())];
        let token = jwt::sign(&keys.signing, keys.algorithm, &header, &Value::Object(claims).to_string())?;

        let digest = sha256(token.as_bytes());
        self.forget_old(now);
        self.last.insert(kind(grant), digest);
        self.issued = self.issued.saturating_add(1);
        self.records.insert(
            digest,
            Record {
                token: (*token).clone(),
                expires_at,
                revoked: false,
                claims: grant.claims.clone(),
                family: grant.family,
            },
        );
        Ok(Issued { token: (*token).clone(), life: lifetime, expires_at })
    }

    /// The last token that this client got for the same, if it lives.
    pub(crate) fn last(&self, grant: &Grant, now: Duration) -> Option<Issued> {
        let record = self.records.get(self.last.get(&kind(grant))?)?;
        if record.expires_at <= now {
            return None;
        }
        let left = record.expires_at.saturating_sub(now);
        let life = if left >= Duration::from_secs(1) { Duration::from_secs(left.as_secs()) } else { left };
        Some(Issued { token: record.token.clone(), life, expires_at: record.expires_at })
    }

    /// Whether the token was known.
    pub(crate) fn revoke(&mut self, token: &str) -> bool {
        let record = self.records.get_mut(&sha256(token.as_bytes()));
        record.map(|record| record.revoked = true).is_some()
    }

    pub(crate) fn revoke_all(&mut self) -> usize {
        self.revoke_where(|_| true)
    }

    pub(crate) fn revoke_family(&mut self, family: u64) {
        self.revoke_where(|record| record.family == Some(family));
    }

    fn revoke_where(&mut self, which: impl Fn(&Record) -> bool) -> usize {
        let mut revoked = 0_usize;
        for record in self.records.values_mut().filter(|record| !record.revoked && which(record)) {
            record.revoked = true;
            revoked = revoked.saturating_add(1);
        }
        revoked
    }

    /// Every token that is on record.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        self.records.values().map(|record| record.token.as_str())
    }

    /// Checks a token as a resource server does: signature, issuer, time, revocation.
    pub(crate) fn check(
        &self,
        keys: &Keys,
        registry: &Registry,
        token: &str,
        now: Duration,
    ) -> Result<Checked, Refusal> {
        let parsed = Parsed::of(token).ok_or(Refusal::Malformed("it is no JWT"))?;
        let claims = &parsed.claims;
        let record = self.records.get(&sha256(token.as_bytes()));
        let issuer = claims.get("iss").and_then(Value::as_str).unwrap_or_default();
        // A service account's own JWT (AIP-4111) says who signed it in `iss`.
        let account = registry.accounts.iter().find(|account| account.account.email == issuer);
        let signed = match account {
            Some(account) => parsed.signed_by(&account.public, Algorithm::Rs256),
            None => parsed.signed_by(&keys.verifying, keys.algorithm),
        };
        if !signed {
            return Err(Refusal::Malformed("its signature is not this identity provider's"));
        }
        if account.is_none() && record.is_none() && numeric(claims, "exp").is_some_and(|exp| exp > now) {
            return Err(Refusal::Malformed("this identity provider forgot it or never issued it"));
        }
        let exp = numeric(claims, "exp").ok_or(Refusal::Malformed("it has no exp"))?;
        let expires_at = record.map_or(exp, |record| record.expires_at.min(exp));
        if expires_at <= now {
            return Err(Refusal::Expired);
        }
        if numeric(claims, "nbf").is_some_and(|nbf| nbf > now) {
            return Err(Refusal::NotYet);
        }
        if record.is_some_and(|record| record.revoked) {
            return Err(Refusal::Revoked);
        }
        let audience = match claims.get("aud") {
            Some(Value::String(one)) => vec![one.clone()],
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let scope = claims.get("scope").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Checked {
            subject: claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned(),
            audience,
            scope,
            claims: record.and_then(|record| record.claims.clone()),
            life: expires_at.saturating_sub(now),
        })
    }

    /// A lab may run for days.
    fn forget_old(&mut self, now: Duration) {
        if self.records.len() < MAX_RECORDS {
            return;
        }
        self.records.retain(|_, record| record.expires_at > now);
        if self.records.len() >= MAX_RECORDS {
            self.records.clear();
        }
        let records = &self.records;
        self.last.retain(|_, digest| records.contains_key(digest));
    }
}

/// A token that a resource server may accept.
#[derive(Debug, Clone)]
pub(crate) struct Checked {
    pub(crate) subject: String,
    pub(crate) audience: Vec<String>,
    pub(crate) scope: String,
    pub(crate) claims: Option<String>,
    pub(crate) life: Duration,
}

/// Why it may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed(&'static str),
    Expired,
    NotYet,
    Revoked,
}

/// A JWT, taken apart.
pub(crate) struct Parsed<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
}

impl<'a> Parsed<'a> {
    pub(crate) fn of(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let object = |part: &str| match serde_json::from_slice(&b64::url_decode(part).ok()?) {
            Ok(Value::Object(members)) => Some(members),
            _ => None,
        };
        Some(Self {
            signed,
            signature: b64::url_decode(signature).ok()?,
            header: object(header)?,
            claims: object(claims)?,
        })
    }

    pub(crate) fn signed_by(&self, key: &VerifyingKey, algorithm: Algorithm) -> bool {
        self.header.get("alg").and_then(Value::as_str) == Some(algorithm.as_str())
            && key.verify(algorithm, self.signed.as_bytes(), &self.signature)
    }
}

/// A NumericDate.
pub(crate) fn numeric(claims: &Map<String, Value>, name: &str) -> Option<Duration> {
    claims.get(name)?.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

/// A duration as a number: whole if it is, to the millisecond otherwise.
pub(crate) fn seconds(duration: Duration) -> Value {
    if duration.subsec_nanos() == 0 {
        Value::from(duration.as_secs())
    } else {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds since 1970 have 41 bits")]
        let seconds = duration.as_millis() as f64 / 1000.0;
        json!(seconds)
    }
}

fn ceil(moment: Duration) -> u64 {
    moment.as_secs().saturating_add(u64::from(moment.subsec_nanos() > 0))
}

fn kind(grant: &Grant) -> (Endpoint, String, String, Vec<String>) {
    (grant.endpoint, format!("{} {}", grant.client_id, grant.subject), grant.scope.clone(), grant.audience.clone())
}

const MAX_RECORDS: usize = 50_000;
