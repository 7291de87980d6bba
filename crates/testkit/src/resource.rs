//! A resource server: says 200 to a good token, 401 to any other, and counts both.

use serde_json::{Value, json};
use unexpired_crypto::b64;

use crate::answer::Answer;
use crate::idp::IdentityProvider;
use crate::shared::Shared;
use crate::token::{Checked, Refusal, seconds};
use crate::{RecordedRequest, StartError};

/// A server that wants a token of its [`IdentityProvider`]: signature, expiry and revocation are checked, audience and
/// scope if it was told so. Cheap to clone; clones are the same server.
///
/// Every path and method below its URL is answered: 200 with a little JSON, or 401 with the `WWW-Authenticate` that
/// RFC 6750 asks for, or 403 where the token lacks a scope.
///
/// ```
/// # fn main() -> Result<(), unexpired_testkit::StartError> {
/// use unexpired_testkit::IdentityProvider;
///
/// let idp = IdentityProvider::blocking_start()?;
/// let api = idp.resource_server();
/// let token = idp.token().audience("https://api.example").mint()?;
/// // … the program under test sends requests to api.url() …
/// assert_eq!(api.counts().ok, 0);
/// # let _ = token;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ResourceServer {
    idp: IdentityProvider,
    name: String,
    url: String,
}

impl ResourceServer {
    /// A resource server of its own, with its own counts, at `/resource/{name}` of the identity provider. `name` must be
    /// letters, digits, `-` or `_`. An existing one of that name is replaced.
    #[must_use]
    pub fn builder(idp: &IdentityProvider, name: impl Into<String>) -> ResourceServerBuilder {
        ResourceServerBuilder { idp: idp.clone(), name: name.into(), resource: Resource::default(), own_port: false }
    }

    pub(crate) fn default_of(idp: &IdentityProvider) -> Self {
        Self { idp: idp.clone(), name: String::new(), url: format!("{}/resource", idp.url()) }
    }

    /// Where it is, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// How many requests were answered, by what became of them.
    #[must_use]
    pub fn counts(&self) -> ResourceCounts {
        self.with(|resource| resource.counts)
    }

    /// How many requests were answered with 200.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.counts().ok
    }

    /// How many requests were answered with 401.
    #[must_use]
    pub fn unauthorized(&self) -> usize {
        self.counts().unauthorized()
    }

    /// Refuses every token from now on, however good: 401 `invalid_token`. Or stops doing so.
    pub fn refuse_everything(&self, refuse: bool) {
        self.with(|resource| resource.refuse(refuse));
    }

    /// Refuses the next `times` requests that would be accepted.
    pub fn refuse_next(&self, times: usize) {
        self.with(|resource| resource.refuse_next = times);
    }

    /// Wants tokens that were minted with exactly this `claims` parameter (JSON); others get a claims challenge, as Entra's
    /// continuous access evaluation sends it. `None`: no longer.
    pub fn demand_claims(&self, claims: Option<&str>) {
        self.with(|resource| resource.demand_claims(claims.map(str::to_owned)));
    }

    /// Wants this scope; a token without it gets 403 `insufficient_scope`. `None`: no longer.
    pub fn demand_scope(&self, scope: Option<&str>) {
        self.with(|resource| resource.demand_scope(scope.map(str::to_owned)));
    }

    /// Panics, and says how the requests were answered, if any was answered with 401 or 403.
    #[track_caller]
    #[expect(clippy::panic, reason = "it is an assertion")]
    pub fn assert_no_rejections(&self) {
        let counts = self.counts();
        if counts.unauthorized() + counts.insufficient_scope > 0 {
            panic!("the resource server at {} refused requests: {counts:?}", self.url);
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Resource) -> T) -> T {
        act(self.idp.shared().lock().resources.entry(self.name.clone()).or_default())
    }
}

/// Builds a [`ResourceServer`].
#[derive(Debug)]
pub struct ResourceServerBuilder {
    idp: IdentityProvider,
    name: String,
    resource: Resource,
    own_port: bool,
}

impl ResourceServerBuilder {
    /// The token's `aud` must be, or hold, this one. Default: any.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.resource.audience = Some(audience.into());
        self
    }

    /// The token must have this scope. Default: none.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.resource.scope = Some(scope.into());
        self.resource.own_scope = self.resource.scope.clone();
        self
    }

    /// Served on a port of its own, plain http, so that it is another host to its clients. Default: below the identity
    /// provider's URL.
    #[must_use]
    pub fn own_port(mut self) -> Self {
        self.own_port = true;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the name is not allowed or no port can be had.
    pub fn start(self) -> Result<ResourceServer, StartError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || !self.name.chars().all(allowed) {
            return Err(StartError::new("a resource server's name must be letters, digits, - or _"));
        }
        self.idp.shared().lock().resources.insert(self.name.clone(), self.resource);
        let url = match self.own_port {
            true => format!("http://{}", self.idp.listen_for(&self.name)?),
            false => format!("{}/resource/{}", self.idp.url(), self.name),
        };
        Ok(ResourceServer { idp: self.idp, name: self.name, url })
    }
}

/// How the requests to a resource server were answered. All but `ok` and `insufficient_scope` were 401.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct ResourceCounts {
    /// 200.
    pub ok: usize,
    /// The token's time was over (or had not come).
    pub expired: usize,
    /// The token was taken back.
    pub revoked: usize,
    /// No token was sent.
    pub missing: usize,
    /// No JWT, or not signed by this identity provider.
    pub malformed: usize,
    /// The token is for somebody else.
    pub wrong_audience: usize,
    /// A good token, refused because a test wants it so.
    pub refused: usize,
    /// A good token, without the claims that are demanded.
    pub insufficient_claims: usize,
    /// A good token, without the scope: 403.
    pub insufficient_scope: usize,
}

impl ResourceCounts {
    /// All 401s.
    #[must_use]
    pub fn unauthorized(&self) -> usize {
        [
            self.expired,
            self.revoked,
            self.missing,
            self.malformed,
            self.wrong_audience,
            self.refused,
            self.insufficient_claims,
        ]
        .into_iter()
        .fold(0, usize::saturating_add)
    }
}

/// What one resource server wants, and what it has seen.
#[derive(Debug, Default)]
pub(crate) struct Resource {
    audience: Option<String>,
    /// What the builder said, for `reset`.
    own_scope: Option<String>,
    scope: Option<String>,
    claims: Option<String>,
    refuse: bool,
    refuse_next: usize,
    pub(crate) counts: ResourceCounts,
}

impl Resource {
    pub(crate) fn reset(&mut self) {
        let (audience, scope) = (self.audience.take(), self.own_scope.take());
        *self = Self { audience, scope: scope.clone(), own_scope: scope, ..Self::default() };
    }

    pub(crate) fn refuse(&mut self, refuse: bool) {
        self.refuse = refuse;
    }

    pub(crate) fn demand_claims(&mut self, claims: Option<String>) {
        self.claims = claims;
    }

    pub(crate) fn demand_scope(&mut self, scope: Option<String>) {
        self.scope = scope;
    }

    pub(crate) fn wants(&self) -> Value {
        json!({ "refuse": self.refuse, "claims": self.claims, "scope": self.scope })
    }

    fn judge(&mut self, checked: &Checked) -> Result<(), Denial> {
        if self.audience.as_ref().is_some_and(|audience| !checked.audience.contains(audience)) {
            return Err(Denial::WrongAudience);
        }
        if self.refuse {
            return Err(Denial::Refused);
        }
        if let Some(left) = self.refuse_next.checked_sub(1) {
            self.refuse_next = left;
            return Err(Denial::Refused);
        }
        if let Some(claims) = self.claims.as_ref().filter(|claims| checked.claims.as_ref() != Some(*claims)) {
            return Err(Denial::Claims(claims.clone()));
        }
        if let Some(scope) = &self.scope
            && !checked.scope.split_whitespace().any(|one| one == scope)
        {
            return Err(Denial::Scope(scope.clone()));
        }
        Ok(())
    }

    fn count(&mut self, denial: &Denial) {
        let counts = &mut self.counts;
        let count = match denial {
            Denial::Missing => &mut counts.missing,
            Denial::Bad(Refusal::Malformed(_)) => &mut counts.malformed,
            Denial::Bad(Refusal::Expired | Refusal::NotYet) => &mut counts.expired,
            Denial::Bad(Refusal::Revoked) => &mut counts.revoked,
            Denial::WrongAudience => &mut counts.wrong_audience,
            Denial::Refused => &mut counts.refused,
            Denial::Claims(_) => &mut counts.insufficient_claims,
            Denial::Scope(_) => &mut counts.insufficient_scope,
        };
        *count = count.saturating_add(1);
    }
}

enum Denial {
    Missing,
    Bad(Refusal),
    WrongAudience,
    Refused,
    Claims(String),
    Scope(String),
}

impl Denial {
    /// The reason in one word, and in a sentence.
    fn reason(&self) -> (&'static str, &'static str) {
        match self {
            Self::Missing => ("missing", "No token was sent"),
            Self::Bad(Refusal::Malformed(why)) => ("malformed", why),
            Self::Bad(Refusal::Expired) => ("expired", "The token expired"),
            Self::Bad(Refusal::NotYet) => ("expired", "The token is not valid yet"),
            Self::Bad(Refusal::Revoked) => ("revoked", "The token was revoked"),
            Self::WrongAudience => ("wrong_audience", "The token is for another audience"),
            Self::Refused => ("refused", "The token is refused"),
            Self::Claims(_) => ("insufficient_claims", "The token lacks the demanded claims"),
            Self::Scope(_) => ("insufficient_scope", "The token lacks the scope"),
        }
    }

    /// The challenge (RFC 6750 §3).
    fn challenge(&self, base: &str) -> String {
        let (_, description) = self.reason();
        match self {
            // RFC 6750 §3.1: nothing about errors to a client that sent no token.
            Self::Missing => r#"Bearer realm="testkit""#.to_owned(),
            Self::Claims(claims) => format!(
                r#"Bearer realm="", authorization_uri="{base}/common/oauth2/authorize", error="insufficient_claims", claims="{}""#,
                b64::std_encode(claims.as_bytes())
            ),
            Self::Scope(scope) => {
                format!(
                    r#"Bearer realm="testkit", error="insufficient_scope", scope="{}""#,
                    scope.replace(['"', '\\'], "")
                )
            }
            _ => format!(r#"Bearer realm="testkit", error="invalid_token", error_description="{description}""#),
        }
    }
}

/// `mount` is the resource server whose own port the request came in on.
pub(crate) fn answer(shared: &Shared, request: &RecordedRequest, mount: Option<&str>) -> Answer {
    let now = shared.clock.now();
    let mut state = shared.lock();
    let state = &mut *state;
    let below = request.path.strip_prefix("/resource/").and_then(|path| path.split('/').next());
    let name = mount.or(below).filter(|name| state.resources.contains_key(*name)).unwrap_or_default();
    let resource = state.resources.entry(name.to_owned()).or_default();
    let judged = match request.bearer() {
        None => Err(Denial::Missing),
        Some(token) => match state.tokens.check(&shared.keys, &state.registry, token, now) {
            Err(refusal) => Err(Denial::Bad(refusal)),
            Ok(checked) => resource.judge(&checked).map(|()| checked),
        },
    };
    match judged {
        Ok(checked) => {
            resource.counts.ok = resource.counts.ok.saturating_add(1);
            let body = json!({
                "ok": true,
                "sub": checked.subject,
                "aud": checked.audience,
                "scope": checked.scope,
                "expires_in": seconds(checked.life),
            });
            Answer::value(200, &body)
        }
        Err(denial) => {
            resource.count(&denial);
            let status = if matches!(denial, Denial::Scope(_)) { 403 } else { 401 };
            let (reason, description) = denial.reason();
            let body: Value = json!({ "ok": false, "reason": reason, "description": description });
            Answer::value(status, &body).header("www-authenticate", denial.challenge(&request.base))
        }
    }
}
