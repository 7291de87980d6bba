//! A token: a secret with a scheme, its moments, and where it came from.

use crate::jwt::Times;
use crate::{ErrorKind, MintError, Moments, Secret, Timestamp, text};
use bytes::Bytes;
use http::HeaderValue;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use zeroize::Zeroizing;

/// An access token. One `Arc`: cloning is free.
///
/// It holds the value of its `Authorization` header ready made, marked sensitive, in one buffer that is overwritten when the last clone (of
/// the token or of the header value) is dropped. `Debug` shows scheme, expiry and a short fingerprint.
///
/// ```
/// use std::time::Duration;
/// use unexpired_core::{Clock, SystemClock, Token};
///
/// # fn main() -> Result<(), unexpired_core::MintError> {
/// let token = Token::builder("at-1", SystemClock.now()).expires_in(Duration::from_secs(3600)).build()?;
/// assert_eq!(token.authorization(), "Bearer at-1");
/// assert!(!format!("{token:?}").contains("at-1"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Token(Arc<Inner>);

struct Inner {
    /// `SCHEME SECRET`.
    authorization: HeaderValue,
    scheme_len: usize,
    digest: Digest,
    source: Arc<str>,
    lifetime: Lifetime,
    moments: Moments,
    /// The moments are shared with others and are not to be computed again.
    settled: bool,
}

/// The SHA-256 digest of a token's text. What is compared and remembered in the token's stead.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of a token's text.
    pub fn of(token: &str) -> Self {
        Self(unexpired_crypto::sha256(token.as_bytes()))
    }

    /// A digest that was kept elsewhere.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// All 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// All of it as 64 hexadecimal digits.
    ///
    /// ```
    /// use unexpired_core::Digest;
    ///
    /// let digest = Digest::of("at-1");
    /// assert_eq!(Digest::from_hex(&digest.to_hex()), Some(digest));
    /// ```
    pub fn to_hex(&self) -> String {
        crate::text::hex(&self.0)
    }

    /// The digest that [`to_hex`](Self::to_hex) gave; `None` if it is not 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut bytes = [0; 32];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
        }
        Some(Self(bytes))
    }

    /// The first four bytes in hexadecimal: enough to tell tokens apart in a log.
    pub fn fingerprint(&self) -> String {
        let [a, b, c, d, ..] = self.0;
        format!("{a:02x}{b:02x}{c:02x}{d:02x}")
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.fingerprint())
    }
}

/// How long a token lives, as it was stated when it arrived.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Lifetime {
    /// When the request was sent that brought the token: lives are counted from here, which is the safe side.
    pub counted_from: Timestamp,
    /// How long it lives from then; `None` if it never expires.
    pub life: Option<Duration>,
    /// When the server advises to refresh (`refresh_in`), counted from the same moment.
    pub refresh_in: Option<Duration>,
    /// How long before expiry a refresh may start at most.
    pub cap: WindowCap,
}

/// The longest time before expiry at which a source's tokens are worth refreshing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowCap {
    /// No cap but the engine's own.
    #[default]
    None,
    /// At most so long before expiry. (Google's metadata server answers the same token until 225 s before its end.)
    AtMost(Duration),
    /// At most this fraction of the life: 5 for a fifth. (IBM's libraries refresh at 80 %.)
    OneIn(u32),
}

impl Token {
    /// Starts a token of the scheme `Bearer`. `requested_at` is the moment *before* the request was sent.
    pub fn builder(secret: impl Into<Secret>, requested_at: Timestamp) -> TokenBuilder {
        TokenBuilder {
            secret: secret.into(),
            scheme: "Bearer".into(),
            source: Arc::from(""),
            requested_at,
            expires_in: None,
            expires_at: None,
            date: None,
            default_life: None,
            refresh_in: None,
            cap: WindowCap::None,
            read_jwt: true,
        }
    }

    /// The token's text, to be shown to nobody but the host it is for.
    pub fn secret(&self) -> &str {
        let text = self.0.authorization.as_bytes();
        let start = self.0.scheme_len.saturating_add(1);
        // Built from text, so it is text; an empty answer would be refused anywhere.
        text.get(start..).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
    }

    /// The value of the `Authorization` header: the scheme, a blank, the token. Marked sensitive; cloning it does not copy it.
    #[inline]
    pub fn authorization(&self) -> &HeaderValue {
        &self.0.authorization
    }

    /// The scheme: `Bearer`, unless the server said otherwise.
    pub fn scheme(&self) -> &str {
        self.0
            .authorization
            .as_bytes()
            .get(..self.0.scheme_len)
            .and_then(|s| std::str::from_utf8(s).ok())
            .unwrap_or_default()
    }

    /// When it expires by the wall clock; `None` if it does not.
    pub fn expires_at(&self) -> Option<SystemTime> {
        let expiry = self.0.moments.expires_at;
        (!expiry.is_never()).then(|| expiry.system_time())
    }

    /// The moments of its life, computed once when it arrived.
    #[inline]
    pub fn moments(&self) -> &Moments {
        &self.0.moments
    }

    /// What was stated about its life when it arrived.
    pub fn lifetime(&self) -> &Lifetime {
        &self.0.lifetime
    }

    /// The name of the source that gave it.
    pub fn source(&self) -> &str {
        &self.0.source
    }

    pub(crate) fn source_name(&self) -> Arc<str> {
        self.0.source.clone()
    }

    /// The digest of its text.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// A short text that tells it from other tokens and says nothing about it.
    pub fn fingerprint(&self) -> String {
        self.0.digest.fingerprint()
    }

    /// Whether both are the very same object.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The same token with its moments as the manager wants them.
    pub(crate) fn with_moments(&self, moments: Moments) -> Self {
        let inner = &*self.0;
        self.with(inner.source.clone(), moments, inner.settled)
    }

    /// The same token with moments that everybody who shares it goes by.
    pub(crate) fn settled(&self, moments: Moments) -> Self {
        self.with(self.0.source.clone(), moments, true)
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.0.settled
    }

    fn with(&self, source: Arc<str>, moments: Moments, settled: bool) -> Self {
        let inner = &*self.0;
        Self(Arc::new(Inner {
            authorization: inner.authorization.clone(),
            scheme_len: inner.scheme_len,
            digest: inner.digest,
            source,
            lifetime: inner.lifetime,
            moments,
            settled,
        }))
    }

    /// A token that was kept in a store, with the moments that were computed when it arrived. Everyone who restores it goes by those.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) if the text is no `b64token` or the scheme is none.
    pub fn restore(secret: Secret, scheme: &str, source: &str, moments: Moments) -> Result<Self, MintError> {
        let life = (!moments.expires_at.is_never()).then(|| moments.life().max(Duration::from_nanos(1)));
        let mut builder = Self::builder(secret, moments.minted_at).read_jwt(false).source(source).expires_in(life);
        builder.scheme = scheme.to_owned();
        Ok(builder.build()?.settled(moments))
    }

    /// The same token, said to come from `source`: for sources made of sources.
    #[must_use]
    pub fn with_source(&self, source: impl Into<Arc<str>>) -> Self {
        self.with(source.into(), self.0.moments, self.0.settled)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("scheme", &self.scheme())
            .field("fingerprint", &self.fingerprint())
            .field("source", &self.source())
            .field("expires_at", &self.expires_at())
            .finish()
    }
}

/// Makes a [`Token`] from what a server answered. Of several statements about its life the shortest counts.
#[derive(Debug)]
pub struct TokenBuilder {
    secret: Secret,
    scheme: String,
    source: Arc<str>,
    requested_at: Timestamp,
    expires_in: Option<Duration>,
    expires_at: Option<SystemTime>,
    date: Option<SystemTime>,
    default_life: Option<Duration>,
    refresh_in: Option<Duration>,
    cap: WindowCap,
    read_jwt: bool,
}

impl TokenBuilder {
    /// `token_type`. `bearer` in any case becomes `Bearer`.
    #[must_use]
    pub fn scheme(mut self, scheme: &str) -> Self {
        self.scheme = if scheme.eq_ignore_ascii_case("bearer") { "Bearer".into() } else { scheme.into() };
        self
    }

    /// The name of the source.
    #[must_use]
    pub fn source(mut self, source: impl Into<Arc<str>>) -> Self {
        self.source = source.into();
        self
    }

    /// The server's relative lifetime (`expires_in`), counted from before the request was sent.
    #[must_use]
    pub fn expires_in(mut self, life: impl Into<Option<Duration>>) -> Self {
        self.expires_in = life.into();
        self
    }

    /// The server's absolute expiry (`expiration`, `expires_on`), compared with the server's `Date`, or else with the wall clock.
    #[must_use]
    pub fn expires_at(mut self, expiry: impl Into<Option<SystemTime>>) -> Self {
        self.expires_at = expiry.into();
        self
    }

    /// The `Date` header of the answer: the server's clock, against which `exp` is measured.
    #[must_use]
    pub fn date(mut self, date: impl Into<Option<SystemTime>>) -> Self {
        self.date = date.into();
        self
    }

    /// The life of a token that says nothing. Without this it never expires.
    #[must_use]
    pub fn default_life(mut self, life: impl Into<Option<Duration>>) -> Self {
        self.default_life = life.into();
        self
    }

    /// When the server advises to refresh (`refresh_in`).
    #[must_use]
    pub fn refresh_in(mut self, after: impl Into<Option<Duration>>) -> Self {
        self.refresh_in = after.into();
        self
    }

    /// The longest time before expiry at which a refresh is worth trying.
    #[must_use]
    pub fn window_cap(mut self, cap: WindowCap) -> Self {
        self.cap = cap;
        self
    }

    /// Whether a JWT's own `exp` counts as a witness; it does unless this says otherwise.
    #[must_use]
    pub fn read_jwt(mut self, read: bool) -> Self {
        self.read_jwt = read;
        self
    }

    /// The token.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed) if the text is no RFC 6750 `b64token` (line breaks, NUL and blanks would split a header), the
    /// scheme is no token, or the token has expired on arrival.
    pub fn build(self) -> Result<Token, MintError> {
        let malformed = |message: &str| MintError::new(ErrorKind::Malformed, message).from_source(self.source.clone());
        if !text::is_b64token(self.secret.expose()) {
            return Err(malformed("the token holds characters that may not stand in a header"));
        }
        if self.scheme.is_empty() || !self.scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)) {
            return Err(malformed("the token type is no authentication scheme"));
        }
        let life = self.life();
        if life == Some(Duration::ZERO) {
            return Err(
                malformed("the token has expired on arrival").remedy("compare this machine's clock with the server's")
            );
        }
        let mut buffer = Zeroizing::new(Vec::with_capacity(self.scheme.len() + 1 + self.secret.expose().len()));
        buffer.extend_from_slice(self.scheme.as_bytes());
        buffer.push(b' ');
        buffer.extend_from_slice(self.secret.expose().as_bytes());
        let mut authorization = HeaderValue::from_maybe_shared(Bytes::from_owner(buffer))
            .map_err(|_| malformed("the token holds characters that may not stand in a header"))?;
        authorization.set_sensitive(true);
        let lifetime = Lifetime { counted_from: self.requested_at, life, refresh_in: self.refresh_in, cap: self.cap };
        Ok(Token(Arc::new(Inner {
            authorization,
            scheme_len: self.scheme.len(),
            digest: Digest::of(self.secret.expose()),
            source: self.source.clone(),
            moments: Moments::of(&lifetime, Duration::ZERO, 0.0),
            lifetime,
            settled: false,
        })))
    }

    /// The shortest of what the server and the token itself say.
    fn life(&self) -> Option<Duration> {
        let wall = self.requested_at.system_time();
        // `Date` names a second: the server's clock stood somewhere within it. Where in it our own clock tells, if the two agree.
        let server_now = self.date.map_or(wall, |date| wall.max(date).min(date + ONE_SECOND));
        let absolute = self.expires_at.map(|expiry| expiry.duration_since(server_now).unwrap_or_default());
        let times = if self.read_jwt { Times::of(self.secret.expose()) } else { Times::default() };
        let claimed = times.exp.map(|exp| {
            let by_clock = seconds(exp - unix(server_now));
            // Without the server's clock a token that says when it was issued is the witness against a wrong clock of ours.
            let by_issue = times.iat.filter(|_| self.date.is_none()).map(|iat| seconds(exp - iat));
            by_issue.map_or(by_clock, |issued| by_clock.min(issued))
        });
        [self.expires_in, absolute, claimed].into_iter().flatten().min().or(self.default_life)
    }
}

fn unix(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Seconds as a duration; what is negative or not a number is zero, what is absurd is a hundred years.
fn seconds(seconds: f64) -> Duration {
    if seconds > 0.0 { Duration::from_secs_f64(seconds.min(3.2e9)) } else { Duration::ZERO }
}

const ONE_SECOND: Duration = Duration::from_secs(1);
