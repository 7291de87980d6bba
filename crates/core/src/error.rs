//! What can go wrong, and what each kind means for whoever meets it.

use crate::text::one_line;
use crate::{Timestamp, text};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What an error means: for the caller, for the engine's memory and for a fallback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing to try: no credential is configured. Not remembered; every chain goes on to its next source.
    NotConfigured,
    /// The configuration cannot work. Remembered as a refusal; no fallback steps in.
    Misconfigured,
    /// The provider says no: sign in, rotate the secret, grant the permission. Remembered as a refusal; a fallback steps in only where
    /// the chain was told so.
    Denied,
    /// A resource refuses even fresh tokens.
    Rejected,
    /// The provider cannot be reached or says that it is overloaded. Transient: try later; fallbacks step in.
    Unavailable,
    /// No answer within the time allowed. Transient.
    TimedOut,
    /// An answer that makes no sense. Transient: a proxy's error page looks like this.
    Malformed,
    /// Policy forbids it: a host that the token is not for, a token that may not be exported.
    Forbidden,
}

impl ErrorKind {
    /// Whether waiting may help: `Unavailable`, `TimedOut`, `Malformed`.
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::Unavailable | Self::TimedOut | Self::Malformed)
    }

    /// Whether the engine remembers it as a refusal: `Misconfigured`, `Denied`.
    pub const fn is_refusal(self) -> bool {
        matches!(self, Self::Misconfigured | Self::Denied)
    }

    /// The command's exit code: 2 configuration, 3 try later, 4 refused, 5 forbidden.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::NotConfigured | Self::Misconfigured => 2,
            Self::Unavailable | Self::TimedOut | Self::Malformed => 3,
            Self::Denied | Self::Rejected => 4,
            Self::Forbidden => 5,
        }
    }

    /// The kind's name in snake case, for logs, metrics and the config's `fallback_on`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::Misconfigured => "misconfigured",
            Self::Denied => "denied",
            Self::Rejected => "rejected",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
            Self::Malformed => "malformed",
            Self::Forbidden => "forbidden",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a source did not mint. Built by sources; callers get an [`Error`] made of it.
///
/// ```
/// use unexpired_core::{ErrorKind, MintError};
///
/// let error = MintError::new(ErrorKind::Denied, "the client secret is wrong")
///     .code("AADSTS7000215")
///     .host("login.microsoftonline.us")
///     .remedy("set client_secret to the secret's value, not its id");
/// assert_eq!(error.kind(), ErrorKind::Denied);
/// ```
#[derive(Clone)]
pub struct MintError(Box<Parts>);

#[derive(Clone)]
struct Parts {
    kind: ErrorKind,
    message: String,
    code: Option<String>,
    host: Option<String>,
    remedy: Option<String>,
    source: Option<Arc<str>>,
    retry_after: Option<Duration>,
}

impl MintError {
    /// An error of `kind`. `message` says what failed; it is shown on one line, with token-shaped runs masked, and must not hold a secret.
    pub fn new(kind: ErrorKind, message: impl AsRef<str>) -> Self {
        Self(Box::new(Parts {
            kind,
            message: one_line(&text::mask(message.as_ref()), 200),
            code: None,
            host: None,
            remedy: None,
            source: None,
            retry_after: None,
        }))
    }

    /// The provider's own code, such as `AADSTS7000215` or `invalid_client`.
    #[must_use]
    pub fn code(mut self, code: impl AsRef<str>) -> Self {
        self.0.code = Some(one_line(&text::mask(code.as_ref()), 60));
        self
    }

    /// The host that was asked.
    #[must_use]
    pub fn host(mut self, host: impl AsRef<str>) -> Self {
        self.0.host = Some(one_line(host.as_ref(), 80));
        self
    }

    /// What to do now, as an instruction.
    #[must_use]
    pub fn remedy(mut self, remedy: impl AsRef<str>) -> Self {
        self.0.remedy = Some(one_line(remedy.as_ref(), 140));
        self
    }

    /// The name of the source that failed, if none is set yet.
    #[must_use]
    pub fn from_source(mut self, source: impl Into<Arc<str>>) -> Self {
        let source = source.into();
        if !source.is_empty() {
            self.0.source.get_or_insert(source);
        }
        self
    }

    /// How long the server asked to wait (`Retry-After`). The engine obeys it up to an hour.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.0.retry_after = wait;
        self
    }

    /// Changes the kind, for a source that knows better than the layer below it.
    #[must_use]
    pub fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What the error means.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The provider's own code, if it gave one.
    pub fn provider_code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The text of [`MintError::new`], as it is shown.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The name of the source that failed.
    pub fn source_name(&self) -> Option<&str> {
        self.0.source.as_deref()
    }

    /// The host that was asked.
    pub fn endpoint_host(&self) -> Option<&str> {
        self.0.host.as_deref()
    }

    /// What to do now.
    pub fn remedy_text(&self) -> Option<&str> {
        self.0.remedy.as_deref()
    }

    /// How long the server asked to wait.
    pub fn wait(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The same error, with what a source that stepped in had to say.
    #[must_use]
    pub(crate) fn and_also(mut self, other: &Self) -> Self {
        let mut line = std::mem::take(&mut self.0.message);
        line.push_str("; then ");
        other.write(&mut line);
        self.0.message = one_line(&line, 200);
        self
    }

    fn write(&self, out: &mut String) {
        let parts = &self.0;
        match (&parts.source, &parts.host) {
            (Some(source), Some(host)) => out.push_str(&format!("{source} at {host}: ")),
            (Some(source), None) => out.push_str(&format!("{source}: ")),
            (None, Some(host)) => out.push_str(&format!("{host}: ")),
            (None, None) => {}
        }
        if let Some(code) = &parts.code {
            out.push_str(code);
            out.push_str(": ");
        }
        out.push_str(&parts.message);
    }
}

impl fmt::Display for MintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = String::new();
        self.write(&mut line);
        f.write_str(&with_remedy(line, self.0.remedy.as_deref()))
    }
}

impl fmt::Debug for MintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MintError({}: {self})", self.0.kind)
    }
}

impl std::error::Error for MintError {}

/// Why a caller gets no token. Cheap to clone: everyone who waited gets the same one.
///
/// Its text is one line of at most 300 characters: the token's name, the source, the endpoint's host, the provider's own code, what to do.
#[derive(Clone)]
pub struct Error(Arc<Shown>);

struct Shown {
    name: Arc<str>,
    cause: MintError,
    next_attempt: Option<Timestamp>,
    wait: Option<Duration>,
}

impl Error {
    /// The error that callers of the token `name` see.
    pub fn new(name: impl Into<Arc<str>>, cause: MintError) -> Self {
        Self(Arc::new(Shown { name: name.into(), cause, next_attempt: None, wait: None }))
    }

    /// An error that was remembered elsewhere, until the source is asked again at `next_attempt`.
    pub fn remembered(name: impl Into<Arc<str>>, cause: MintError, next_attempt: Timestamp, now: Timestamp) -> Self {
        Self::new(name, cause).until(next_attempt, now)
    }

    /// The same error with the moment at which the source is asked again, and how far off that is.
    pub(crate) fn until(&self, next_attempt: Timestamp, now: Timestamp) -> Self {
        Self(Arc::new(Shown {
            name: self.0.name.clone(),
            cause: self.0.cause.clone(),
            next_attempt: Some(next_attempt),
            wait: Some(next_attempt.since(now)),
        }))
    }

    /// What the error means.
    pub fn kind(&self) -> ErrorKind {
        self.0.cause.kind()
    }

    /// The token's name.
    pub fn token_name(&self) -> &str {
        &self.0.name
    }

    /// What the source said.
    pub fn cause(&self) -> &MintError {
        &self.0.cause
    }

    /// When the source is asked again, if it is known. Until then every call gets this error at once.
    pub fn next_attempt(&self) -> Option<Timestamp> {
        self.0.next_attempt
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = format!("{}: ", one_line(&self.0.name, 40));
        self.0.cause.write(&mut line);
        let mut line = with_remedy(line, self.0.cause.0.remedy.as_deref());
        if let Some(wait) = self.0.wait.filter(|_| line.chars().count() < 270) {
            let seconds = wait.as_secs_f64().ceil();
            line.push_str(&format!(" (next attempt in {seconds} s)"));
        }
        f.write_str(&line)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}: {self})", self.kind())
    }
}

impl std::error::Error for Error {}

/// Adds the remedy, and keeps the whole within one line of 300 characters; the remedy is never what is cut.
fn with_remedy(line: String, remedy: Option<&str>) -> String {
    match remedy {
        None => one_line(&line, MAX_LINE),
        Some(remedy) => {
            let room = MAX_LINE.saturating_sub(remedy.chars().count()).saturating_sub(2);
            format!("{}; {remedy}", one_line(&line, room))
        }
    }
}

const MAX_LINE: usize = 300;
