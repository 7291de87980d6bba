//! What the proxy itself has to say, in the shape of the API that it stands for: clients show the message, or read its kind.

use crate::body::OutBody;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use serde_json::json;

/// Whose errors a client understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    OpenAi,
    Anthropic,
    Google,
}

impl Api {
    /// By a header that only that API's clients send.
    pub(crate) fn of_header(name: &str) -> Option<Self> {
        match name {
            "anthropic-version" => Some(Self::Anthropic),
            "x-goog-api-key" | "x-goog-api-client" => Some(Self::Google),
            _ => None,
        }
    }

    /// By the path and the query, where the headers say nothing.
    pub(crate) fn of_path(path: &str, query: Option<&str>) -> Self {
        let has_key = || query.is_some_and(|query| query.split('&').any(|pair| pair.starts_with("key=")));
        if path.trim_end_matches('/').ends_with("/v1/messages") || path.contains("/v1/messages/") {
            Self::Anthropic
        } else if path.contains(":generateContent") || path.contains(":streamGenerateContent") || has_key() {
            Self::Google
        } else {
            Self::OpenAi
        }
    }
}

/// What is wrong, as a status and the words that each API has for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The request is not one that is sent on.
    BadRequest,
    /// CONNECT and its like.
    Method,
    /// The local key is missing or wrong.
    Key,
    /// There is no such route.
    Route,
    /// The request was meant for somebody else.
    Misdirected,
    /// No token can be had.
    Token,
    /// The upstream gave no answer.
    Upstream,
}

impl Fault {
    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Key => StatusCode::UNAUTHORIZED,
            Self::Route => StatusCode::NOT_FOUND,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Token | Self::Upstream => StatusCode::BAD_GATEWAY,
        }
    }

    /// OpenAI's `code`; ours where it has none.
    const fn code(self) -> &'static str {
        match self {
            Self::BadRequest | Self::Method => "invalid_request",
            Self::Key => "invalid_api_key",
            Self::Route => "unknown_route",
            Self::Misdirected => "misdirected_request",
            Self::Token => "no_token",
            Self::Upstream => "upstream_unreachable",
        }
    }

    const fn openai(self) -> &'static str {
        match self {
            Self::Key => "authentication_error",
            Self::Token | Self::Upstream => "server_error",
            _ => "invalid_request_error",
        }
    }

    const fn anthropic(self) -> &'static str {
        match self {
            Self::Key => "authentication_error",
            Self::Route => "not_found_error",
            Self::Token | Self::Upstream => "api_error",
            _ => "invalid_request_error",
        }
    }

    const fn google(self) -> &'static str {
        match self {
            Self::Key => "UNAUTHENTICATED",
            Self::Route => "NOT_FOUND",
            Self::Token | Self::Upstream => "UNAVAILABLE",
            _ => "INVALID_ARGUMENT",
        }
    }
}

/// An error of ours. The message is one line and holds no secret.
pub(crate) fn error(api: Api, fault: Fault, message: &str) -> Response<OutBody> {
    let message = format!("unexpired: {message}");
    let body = match api {
        Api::OpenAi => {
            json!({ "error": { "message": message, "type": fault.openai(), "param": null, "code": fault.code() } })
        }
        Api::Anthropic => json!({ "type": "error", "error": { "type": fault.anthropic(), "message": message } }),
        Api::Google => {
            json!({ "error": { "code": fault.status().as_u16(), "message": message, "status": fault.google() } })
        }
    };
    let mut response = plain(fault.status(), "application/json", body.to_string());
    if fault == Fault::Key {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"unexpired\""));
    }
    response
}

/// An answer of ours.
pub(crate) fn plain(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<OutBody> {
    let body = body.into();
    let mut response = Response::new(OutBody::Own(Some(body).filter(|body| !body.is_empty())));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // Nothing that a browser should keep or guess about.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
