//! The proxy's own pages, under `/-/`.

use crate::answer::plain;
use crate::body::OutBody;
use crate::credential;
use crate::door::House;
use crate::{Route, metrics};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use unexpired_core::Phase;

/// The page of this path.
pub(crate) fn page(method: &Method, path: &str, headers: &mut HeaderMap, house: &House) -> Response<OutBody> {
    if method != Method::GET && method != Method::HEAD {
        return plain(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n");
    }
    match path {
        "/healthz" => plain(StatusCode::OK, TEXT, "ok\n"),
        "/readyz" if house.routes.iter().all(is_ready) => plain(StatusCode::OK, TEXT, "ready\n"),
        "/readyz" => plain(StatusCode::SERVICE_UNAVAILABLE, TEXT, "a route has no token\n"),
        "/metrics" => match house.admin.as_deref() {
            Some(key) if credential::take(headers, key) => {
                plain(StatusCode::OK, "text/plain; version=0.0.4", metrics::page(house))
            }
            _ => {
                let mut response = plain(
                    StatusCode::UNAUTHORIZED,
                    TEXT,
                    "this page needs the key of: unexpired proxy key --metrics\n",
                );
                let challenge = HeaderValue::from_static("Bearer realm=\"unexpired metrics\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                response
            }
        },
        _ => plain(StatusCode::NOT_FOUND, TEXT, "there are /-/healthz, /-/readyz and /-/metrics\n"),
    }
}

/// A token that can be used is held, or nothing has gone wrong yet: before the first request no token is asked for.
fn is_ready(route: &Route) -> bool {
    let status = route.manager().status();
    status.phase != Phase::Expired || status.last_error.is_none()
}

const TEXT: &str = "text/plain; charset=utf-8";
