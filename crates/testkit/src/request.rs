use std::fmt;
use std::time::SystemTime;

use url::form_urlencoded;

use crate::Endpoint;

/// A request as it came in, written down on arrival, before any fault.
///
/// `Debug` shows neither the `Authorization` header nor form fields that hold credentials; the accessors do.
#[derive(Clone)]
pub struct RecordedRequest {
    pub(crate) endpoint: Endpoint,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) form: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) received_at: SystemTime,
    pub(crate) status: Option<u16>,
    /// Scheme and authority that the client used: what issuers and URLs in the answer start with.
    pub(crate) base: String,
}

impl RecordedRequest {
    /// What it was for.
    #[must_use]
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    /// `GET`, `POST`, …
    #[must_use]
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The path, as sent.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What came after `?`, as sent; empty if nothing did.
    #[must_use]
    pub fn query(&self) -> &str {
        &self.query
    }

    /// All headers in their order, names in lower case.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The first header of this name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// All fields of an `application/x-www-form-urlencoded` body, decoded, in their order; empty for another body.
    #[must_use]
    pub fn form(&self) -> &[(String, String)] {
        &self.form
    }

    /// The first form field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.form.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// All values of a form field that may be repeated, such as `resource`.
    pub fn fields(&self, name: &str) -> impl Iterator<Item = &str> {
        self.form.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body, byte for byte.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// When it came in, by the server's clock.
    #[must_use]
    pub fn received_at(&self) -> SystemTime {
        self.received_at
    }

    /// The status that was answered; `None` while it is being answered, and if the connection was cut instead.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// The token of an `Authorization: Bearer` header.
    pub(crate) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    }

    pub(crate) fn parse_form(&mut self) {
        let kind = self.header("content-type").unwrap_or_default();
        let media = kind.split(';').next().unwrap_or_default().trim();
        if media.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            self.form = form_urlencoded::parse(&self.body)
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect();
        }
    }
}

impl fmt::Debug for RecordedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |pairs: &[(String, String)], secret: &[&str]| -> Vec<(String, String)> {
            let hide = |(name, value): &(String, String)| {
                let shown = if secret.contains(&name.as_str()) { "…".to_owned() } else { value.clone() };
                (name.clone(), shown)
            };
            pairs.iter().map(hide).collect()
        };
        f.debug_struct("RecordedRequest")
            .field("endpoint", &self.endpoint)
            .field("method", &self.method)
            .field("path", &self.path)
            .field("headers", &hidden(&self.headers, SECRET_HEADERS))
            .field("form", &hidden(&self.form, SECRET_FIELDS))
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

pub(crate) const SECRET_HEADERS: &[&str] = &["authorization", "proxy-authorization", "cookie"];

pub(crate) const SECRET_FIELDS: &[&str] = &[
    "access_token",
    "apikey",
    "assertion",
    "client_assertion",
    "client_secret",
    "code",
    "password",
    "refresh_token",
    "subject_token",
];
