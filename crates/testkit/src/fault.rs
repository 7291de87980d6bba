use std::time::Duration;

/// Something that goes wrong, and how often.
///
/// A fault is used up by requests to its endpoint: once, unless [`times`](Self::times), [`lasting`](Self::lasting) or
/// [`always`](Self::always) says otherwise. Faults of one group queue up: the oldest that is still active is used, and
/// the next one's turn comes when it is used up. Faults of different groups act together.
///
/// | group | faults |
/// |---|---|
/// | the answer | [`status`](Self::status), [`never_answer`](Self::never_answer), [`cut_before`](Self::cut_before), [`cut_after`](Self::cut_after), [`cut_body`](Self::cut_body), [`html`](Self::html), [`error_with_200`](Self::error_with_200), [`garbage`](Self::garbage), [`not_http`](Self::not_http), [`redirect`](Self::redirect) |
/// | each a group of its own | [`delay`](Self::delay), [`lifetime`](Self::lifetime), [`expires_in`](Self::expires_in), [`same_token`](Self::same_token), [`date`](Self::date), [`content_type`](Self::content_type), [`drip`](Self::drip) |
///
/// ```
/// use std::time::Duration;
/// use unexpired_testkit::Fault;
///
/// let overloaded = Fault::status(429).retry_after("7").times(2);
/// let outage = Fault::status(503).lasting(Duration::from_secs(60));
/// # let _ = (overloaded, outage);
/// ```
#[derive(Debug, Clone)]
pub struct Fault {
    pub(crate) kind: Kind,
    /// How many requests it takes; `None` for any number.
    pub(crate) times: Option<u32>,
    /// How long it lasts on the server's clock.
    pub(crate) lasting: Option<Duration>,
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Status { status: u16, retry_after: Option<String>, body: Option<String> },
    NeverAnswer,
    CutBefore,
    CutAfter,
    CutBody,
    Html,
    ErrorWith200,
    Garbage,
    NotHttp,
    Redirect(String),
    Delay(Duration),
    Lifetime(Duration),
    ExpiresIn(ExpiresIn),
    SameToken,
    Date(DateFault),
    ContentType(String),
    Drip(Duration),
}

/// How `expires_in` is written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpiresIn {
    /// The number in quotes, as older Microsoft endpoints do: `"3600"`.
    Text,
    /// With a fraction: `3599.5`. It is half a second less than the truth.
    Float,
    /// `-1`.
    Negative,
    /// Not there at all (RFC 6749 only recommends it).
    Missing,
    /// `99999999999999999999`, which fits no integer.
    Absurd,
    /// Twice, with different values: the right one, then ten times as long.
    Duplicate,
    /// This text, put into the JSON as it stands.
    Raw(String),
}

/// What is wrong with the `Date` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DateFault {
    /// So many seconds ahead of the server's clock, or behind it if negative.
    Skewed(i64),
    /// `yesterday`, which is no date.
    Garbage,
}

impl Fault {
    /// Answers `status` instead of working. With 429, 500 and 503 the body is an error in the endpoint's own form where it
    /// has one, otherwise empty.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::of(Kind::Status { status, retry_after: None, body: None })
    }

    /// With [`status`](Self::status): a `Retry-After` header of this value, seconds or an HTTP date. Nothing for other faults.
    #[must_use]
    pub fn retry_after(mut self, value: impl Into<String>) -> Self {
        if let Kind::Status { retry_after, .. } = &mut self.kind {
            *retry_after = Some(value.into());
        }
        self
    }

    /// With [`status`](Self::status): this body, as JSON. Nothing for other faults.
    #[must_use]
    pub fn body(mut self, text: impl Into<String>) -> Self {
        if let Kind::Status { body, .. } = &mut self.kind {
            *body = Some(text.into());
        }
        self
    }

    /// Reads the request and never answers; the connection stays open.
    #[must_use]
    pub fn never_answer() -> Self {
        Self::of(Kind::NeverAnswer)
    }

    /// Closes the connection before anything was done.
    #[must_use]
    pub fn cut_before() -> Self {
        Self::of(Kind::CutBefore)
    }

    /// Does the work (mints, rotates the refresh token) and closes the connection without an answer.
    #[must_use]
    pub fn cut_after() -> Self {
        Self::of(Kind::CutAfter)
    }

    /// Does the work and closes the connection in the middle of the body.
    #[must_use]
    pub fn cut_body() -> Self {
        Self::of(Kind::CutBody)
    }

    /// A proxy's login page: HTML with status 200.
    #[must_use]
    pub fn html() -> Self {
        Self::of(Kind::Html)
    }

    /// An OAuth error (`temporarily_unavailable`) with status 200.
    #[must_use]
    pub fn error_with_200() -> Self {
        Self::of(Kind::ErrorWith200)
    }

    /// Bytes that are neither JSON nor text, as `application/json` with status 200.
    #[must_use]
    pub fn garbage() -> Self {
        Self::of(Kind::Garbage)
    }

    /// Bytes that are no HTTP at all.
    #[must_use]
    pub fn not_http() -> Self {
        Self::of(Kind::NotHttp)
    }

    /// 307 to `location`.
    #[must_use]
    pub fn redirect(location: impl Into<String>) -> Self {
        Self::of(Kind::Redirect(location.into()))
    }

    /// Waits (in real time, after the request was read and before any work), then goes on as usual.
    #[must_use]
    pub fn delay(by: Duration) -> Self {
        Self::of(Kind::Delay(by))
    }

    /// Tokens live so long instead. Zero: expired on arrival.
    #[must_use]
    pub fn lifetime(lifetime: Duration) -> Self {
        Self::of(Kind::Lifetime(lifetime))
    }

    /// `expires_in` is written in another way. The token itself does not change.
    #[must_use]
    pub fn expires_in(how: ExpiresIn) -> Self {
        Self::of(Kind::ExpiresIn(how))
    }

    /// The token that this client got last for the same scope and audience is given again, while it lives, even if it was
    /// revoked: what metadata servers do. It counts as no mint.
    #[must_use]
    pub fn same_token() -> Self {
        Self::of(Kind::SameToken)
    }

    /// A wrong `Date` header.
    #[must_use]
    pub fn date(fault: DateFault) -> Self {
        Self::of(Kind::Date(fault))
    }

    /// Another `Content-Type`.
    #[must_use]
    pub fn content_type(value: impl Into<String>) -> Self {
        Self::of(Kind::ContentType(value.into()))
    }

    /// The body comes one byte at a time, with this pause (in real time) before each.
    #[must_use]
    pub fn drip(pause: Duration) -> Self {
        Self::of(Kind::Drip(pause))
    }

    /// For so many requests. Zero: none.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times: Some(times), lasting: None, ..self }
    }

    /// For all requests until the server's clock (shifts included) has moved so far from the moment at which the fault was
    /// set.
    #[must_use]
    pub fn lasting(self, time: Duration) -> Self {
        Self { times: None, lasting: Some(time), ..self }
    }

    /// Until the faults are cleared.
    #[must_use]
    pub fn always(self) -> Self {
        Self { times: None, lasting: None, ..self }
    }

    fn of(kind: Kind) -> Self {
        Self { kind, times: Some(1), lasting: None }
    }
}

impl Kind {
    /// Whether it takes the place of the answer.
    fn is_answer(&self) -> bool {
        matches!(
            self,
            Self::Status { .. }
                | Self::NeverAnswer
                | Self::CutBefore
                | Self::CutAfter
                | Self::CutBody
                | Self::Html
                | Self::ErrorWith200
                | Self::Garbage
                | Self::NotHttp
                | Self::Redirect(_)
        )
    }

    /// Whether the endpoint still does its work.
    fn works(&self) -> bool {
        !self.is_answer() || matches!(self, Self::CutAfter | Self::CutBody)
    }

    fn shapes_tokens(&self) -> bool {
        matches!(self, Self::Lifetime(_) | Self::ExpiresIn(_) | Self::SameToken)
    }

    fn same_group(&self, other: &Self) -> bool {
        (self.is_answer() && other.is_answer()) || std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

/// The faults that are set.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Active>);

#[derive(Debug)]
struct Active {
    /// `None`: every token endpoint.
    endpoint: Option<crate::Endpoint>,
    kind: Kind,
    left: Option<u32>,
    until: Option<Duration>,
}

/// What is to go wrong with one request.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) answer: Option<Kind>,
    pub(crate) delay: Option<Duration>,
    pub(crate) lifetime: Option<Duration>,
    pub(crate) expires_in: Option<ExpiresIn>,
    pub(crate) same_token: bool,
    pub(crate) date: Option<DateFault>,
    pub(crate) content_type: Option<String>,
    pub(crate) drip: Option<Duration>,
}

impl Faults {
    pub(crate) fn set(&mut self, endpoint: Option<crate::Endpoint>, fault: Fault, now: Duration) {
        let until = fault.lasting.map(|time| now.saturating_add(time));
        self.0.push(Active { endpoint, kind: fault.kind, left: fault.times, until });
    }

    pub(crate) fn clear(&mut self, endpoint: Option<crate::Endpoint>) {
        self.0.retain(|fault| endpoint.is_some() && fault.endpoint != endpoint);
    }

    /// How many are set and not used up.
    pub(crate) fn active(&mut self, now: Duration) -> usize {
        self.drop_used(now);
        self.0.len()
    }

    /// Takes what is due for one request to `endpoint`.
    pub(crate) fn take(&mut self, endpoint: crate::Endpoint, now: Duration) -> Script {
        self.drop_used(now);
        let mut due: Vec<Kind> = Vec::new();
        let mut works = true;
        // The answer decides whether the endpoint works, and only then are the faults of its tokens used up.
        for answers in [true, false] {
            for fault in &mut self.0 {
                let here = fault.endpoint.map_or(endpoint.is_token(), |e| e == endpoint);
                let skip = fault.kind.is_answer() != answers || (fault.kind.shapes_tokens() && !works);
                if !here || skip || due.iter().any(|kind| kind.same_group(&fault.kind)) {
                    continue;
                }
                works &= fault.kind.works();
                fault.left = fault.left.map(|left| left.saturating_sub(1));
                due.push(fault.kind.clone());
            }
        }
        self.drop_used(now);
        let mut script = Script::default();
        for kind in due {
            match kind {
                Kind::Delay(by) => script.delay = Some(by),
                Kind::Lifetime(lifetime) => script.lifetime = Some(lifetime),
                Kind::ExpiresIn(how) => script.expires_in = Some(how),
                Kind::SameToken => script.same_token = true,
                Kind::Date(fault) => script.date = Some(fault),
                Kind::ContentType(value) => script.content_type = Some(value),
                Kind::Drip(pause) => script.drip = Some(pause),
                answer => script.answer = Some(answer),
            }
        }
        script
    }

    fn drop_used(&mut self, now: Duration) {
        self.0.retain(|fault| fault.left != Some(0) && fault.until.is_none_or(|until| now < until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Endpoint;

    const NOW: Duration = Duration::from_secs(1_767_225_600);

    fn status(script: &Script) -> Option<u16> {
        match script.answer {
            Some(Kind::Status { status, .. }) => Some(status),
            _ => None,
        }
    }

    #[test]
    fn answers_queue_up_and_other_faults_act_beside_them() {
        let mut faults = Faults::default();
        faults.set(None, Fault::status(503).times(2), NOW);
        faults.set(None, Fault::status(429), NOW);
        faults.set(Some(Endpoint::OAuth), Fault::lifetime(Duration::from_secs(1)), NOW);
        faults.set(None, Fault::delay(Duration::from_secs(2)).times(1), NOW);

        let first = faults.take(Endpoint::OAuth, NOW);
        assert_eq!((status(&first), first.delay), (Some(503), Some(Duration::from_secs(2))));
        assert_eq!(first.lifetime, None, "no token, so its fault waits");
        assert_eq!(status(&faults.take(Endpoint::Ibm, NOW)), Some(503));
        assert_eq!(status(&faults.take(Endpoint::Ibm, NOW)), Some(429));
        let last = faults.take(Endpoint::OAuth, NOW);
        assert!(last.answer.is_none());
        assert_eq!(last.lifetime, Some(Duration::from_secs(1)));
        assert_eq!(faults.active(NOW), 0);
    }

    #[test]
    fn a_lasting_fault_ends_by_the_servers_clock() {
        let mut faults = Faults::default();
        faults.set(None, Fault::status(503).lasting(Duration::from_secs(60)), NOW);
        for second in [0, 59] {
            assert_eq!(status(&faults.take(Endpoint::Entra, NOW + Duration::from_secs(second))), Some(503));
        }
        assert_eq!(status(&faults.take(Endpoint::Entra, NOW + Duration::from_secs(60))), None);
    }

    #[test]
    fn faults_for_all_leave_everything_but_token_endpoints_alone() {
        let mut faults = Faults::default();
        faults.set(None, Fault::status(503).always(), NOW);
        faults.set(Some(Endpoint::Jwks), Fault::html(), NOW);
        assert!(faults.take(Endpoint::Discovery, NOW).answer.is_none());
        assert!(matches!(faults.take(Endpoint::Jwks, NOW).answer, Some(Kind::Html)));
        faults.clear(Some(Endpoint::Jwks));
        assert_eq!(faults.active(NOW), 1);
        faults.clear(None);
        assert_eq!(faults.active(NOW), 0);
    }
}
