//! An answer, read to its end.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use serde::de::DeserializeOwned;
use unexpired_core::{ErrorKind, MintError, Secret, Timestamp};
use zeroize::Zeroizing;

use crate::failure::IN_BETWEEN;
use crate::{Failure, TokenResponse, date, echo};

/// An answer: its status, its headers and its whole body, at most 1 MiB. The body's memory is wiped, and `Debug` shows none of it.
pub struct Response {
    pub(crate) status: u16,
    pub(crate) host: Arc<str>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Zeroizing<Vec<u8>>,
    /// Those of the request.
    pub(crate) secrets: Vec<Secret>,
    pub(crate) requested_at: Timestamp,
    pub(crate) received_at: Timestamp,
}

impl Response {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Whether the status is one of 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The host that answered.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Both clocks, read just before the request was sent: lives are counted from here, which is the safe side.
    pub fn requested_at(&self) -> Timestamp {
        self.requested_at
    }

    /// Both clocks, read when the head of the answer had arrived.
    pub fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// The first header of this name, if it is text. Names are compared without regard to case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// All headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The server's clock (`Date`).
    pub fn date(&self) -> Option<SystemTime> {
        self.header(DATE.as_str()).and_then(date::parse)
    }

    /// How long the server asks to wait (`Retry-After`): seconds, or a date measured by the server's own clock (else by ours).
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.header(RETRY_AFTER.as_str())?.trim();
        if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
            // What does not fit is long enough.
            return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
        }
        // Some servers count with a fraction.
        if let Some(seconds) = value.parse::<f64>().ok().filter(|seconds| seconds.is_finite()) {
            return Some(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX));
        }
        let until = date::parse(value)?;
        let now = self.date().unwrap_or_else(|| self.received_at.system_time());
        Some(until.duration_since(now).unwrap_or_default())
    }

    /// The body, as it came.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The token that a token endpoint answered, read strictly.
    ///
    /// The answer must be a success and one JSON object (a byte order mark is skipped, the content type is not looked at). Unknown members
    /// are ignored, doubled ones refused. See [`TokenResponse`] for the fields.
    ///
    /// # Errors
    ///
    /// For a failure, or an OAuth `error` with status 200: what [`Failure::into_mint_error`] says. Otherwise
    /// [`Malformed`](ErrorKind::Malformed): HTML, no JSON object, no `access_token`, or one with characters that may not stand in a header.
    pub fn token(&self) -> Result<TokenResponse, MintError> {
        if !self.is_success() {
            return Err(self.failure().into_mint_error(self));
        }
        TokenResponse::read(self)
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// [`Malformed`](ErrorKind::Malformed), naming the host and the kind of trouble, never the body.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, MintError> {
        serde_json::from_slice(self.json_text()).map_err(|error| self.malformed(&trouble(&error)))
    }

    /// What the provider said about its refusal.
    ///
    /// Nothing in words if the answer, its headers included, repeats a secret of the request: some gateways show what they were sent.
    pub fn failure(&self) -> Failure {
        let failure = Failure::read(self.json_text());
        let repeats = |text: &[u8]| echo::repeats(text, &self.secrets);
        if repeats(&self.body) || self.headers.values().any(|value| repeats(value.as_bytes())) {
            return failure.without_words(repeats);
        }
        failure
    }

    pub(crate) fn asked_with(self, secrets: impl IntoIterator<Item = Secret>) -> Self {
        Self { secrets: secrets.into_iter().collect(), ..self }
    }

    /// The body without a byte order mark.
    pub(crate) fn json_text(&self) -> &[u8] {
        self.body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.body)
    }

    pub(crate) fn malformed(&self, message: &str) -> MintError {
        let remedy = match self.json_text().trim_ascii_start() {
            [b'<', ..] => IN_BETWEEN,
            _ => "try again; if it lasts, check the address of the endpoint",
        };
        MintError::new(ErrorKind::Malformed, message).host(&*self.host).remedy(remedy)
    }

    /// Why the body is not what was hoped for, without any of its text.
    pub(crate) fn shape(&self) -> &'static str {
        match self.json_text().trim_ascii_start() {
            [] => "an empty answer",
            [b'<', ..] => "an HTML or XML page instead of JSON",
            [b'{', ..] => "broken JSON",
            _ => "something else than a JSON object",
        }
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("host", &self.host)
            .field("body_len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// serde's own text may quote a value; its category and place never do.
fn trouble(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    let what = match error.classify() {
        Category::Io | Category::Syntax => "the answer is no JSON",
        Category::Eof => "the answer ends in the middle of its JSON",
        Category::Data => "the answer is JSON of another shape than expected",
    };
    format!("{what} (line {}, column {})", error.line(), error.column())
}

#[cfg(test)]
pub(crate) mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;
    use unexpired_core::{Clock, SystemClock};

    use super::*;

    pub(crate) fn response(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Response {
        let now = SystemClock.now();
        Response {
            status,
            host: Arc::from("as.example.com"),
            headers: headers
                .iter()
                .map(|(n, v)| (n.parse::<HeaderName>().unwrap(), HeaderValue::from_str(v).unwrap()))
                .collect(),
            body: Zeroizing::new(body.as_ref().to_vec()),
            secrets: Vec::new(),
            requested_at: now,
            received_at: now,
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_by_the_servers_clock() {
        let date = ("date", "Thu, 01 Jan 2026 00:00:00 GMT");
        for (value, seconds) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("0", Some(0)),
            ("Thu, 01 Jan 2026 00:01:30 GMT", Some(90)),
            ("Wed, 31 Dec 2025 23:00:00 GMT", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("1.5", Some(1)),
            ("-5", Some(0)),
            ("soon", None),
            ("NaN", None),
            ("", None),
        ] {
            let response = response(429, &[date, ("retry-after", value)], "");
            assert_eq!(response.retry_after().map(|wait| wait.as_secs()), seconds, "{value}");
        }
        assert_eq!(response(429, &[], "").retry_after(), None);
        // Without a Date our own clock has to do.
        let past = response(503, &[("retry-after", "Thu, 01 Jan 2015 00:00:00 GMT")], "");
        assert_eq!(past.retry_after(), Some(Duration::ZERO));
    }

    #[test]
    fn json_errors_name_the_place_and_never_the_body() {
        #[derive(Debug, serde::Deserialize)]
        struct Shape {
            #[expect(dead_code, reason = "only its type matters")]
            issuer: u64,
        }
        for body in [r#"{"issuer":"hunter2"}"#, "hunter2", r#"{"issuer":"hun"#, r#"{"issuer":1,"issuer":2}"#] {
            let error = response(200, &[], body).json::<Shape>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed);
            assert!(error.to_string().contains("as.example.com") && !error.to_string().contains("hun"), "{error}");
        }
        assert!(response(200, &[], "\u{feff}{\"issuer\":1}").json::<Shape>().is_ok());
    }

    #[test]
    fn debug_shows_no_body() {
        assert!(!format!("{:?}", response(200, &[("x", "hunter2")], "hunter2")).contains("hunter2"));
    }

    proptest! {
        /// Whatever bytes come back, with whatever status and headers, the answer is a value or an error of one short line.
        #[test]
        fn no_answer_panics(
            status in 100_u16..1000,
            retry in "[ -~]{0,40}",
            date in "[ -~]{0,40}",
            body in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                json_like().prop_map(String::into_bytes),
            ],
        ) {
            let response = response(status, &[("retry-after", &retry), ("date", &date)], body);
            let _ = (response.retry_after(), response.date(), response.shape(), response.json::<serde_json::Value>().is_ok());
            let error = response.failure().into_mint_error(&response);
            prop_assert!(error.to_string().chars().count() <= 300);
            match response.token() {
                Ok(token) => {
                    let _ = token.into_builder(&response).build();
                }
                Err(error) => prop_assert!(error.to_string().chars().count() <= 300 && !error.to_string().contains('\n')),
            }
        }
    }

    /// Objects of the right member names with wrong values.
    fn json_like() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec![
            "access_token",
            "token_type",
            "expires_in",
            "expires_on",
            "expiration",
            "refresh_in",
            "refresh_token",
            "scope",
            "error",
            "error_description",
            "error_codes",
            "claims",
            "errorCode",
            "errorMessage",
            "errors",
            "context",
            "trace",
            "code",
            "message",
        ]);
        let value = prop_oneof![
            Just("null".to_owned()),
            Just("{\"code\":7,\"message\":\"m\",\"status\":[]}".to_owned()),
            Just("[{\"code\":\"c\"},3]".to_owned()),
            any::<i64>().prop_map(|n| n.to_string()),
            any::<f64>().prop_filter("JSON", |n| n.is_finite()).prop_map(|n| n.to_string()),
            "[ -~]{0,20}".prop_map(|s| serde_json::Value::String(s).to_string()),
            any::<String>().prop_map(|s| serde_json::Value::String(s).to_string()),
        ];
        prop::collection::vec((name, value), 0..6).prop_map(|members| {
            let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        })
    }
}
