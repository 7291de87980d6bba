//! The forms in which each provider is asked and answers.

mod auth;
mod entra;
mod google;
mod ibm;
mod oauth;

use crate::answer::Answer;
use crate::fault::Script;
use crate::shared::Shared;
use crate::{Endpoint, RecordedRequest, resource};

/// Which endpoint a path belongs to.
pub(crate) fn endpoint(path: &str) -> Endpoint {
    match path {
        "/google/token" => Endpoint::Google,
        "/identity/token" => Endpoint::Ibm,
        "/oauth2/token" => Endpoint::OAuth,
        "/oauth2/jwks" | "/google/certs" | "/identity/keys" => Endpoint::Jwks,
        "/common/discovery/instance" => Endpoint::Discovery,
        oauth::OIDC_DISCOVERY | oauth::RFC8414_DISCOVERY | oauth::OIDC_INSERTED => Endpoint::Discovery,
        "/resource" => Endpoint::Resource,
        _ if path.starts_with("/resource/") => Endpoint::Resource,
        _ => match entra::tenant_path(path) {
            Some((_, "oauth2/v2.0/token")) => Endpoint::Entra,
            Some((_, "v2.0/.well-known/openid-configuration")) => Endpoint::Discovery,
            Some((_, "discovery/v2.0/keys")) => Endpoint::Jwks,
            _ => Endpoint::Other,
        },
    }
}

/// Does what the request asks for. `mount` is the resource server whose own port the request came in on.
pub(crate) fn answer(shared: &Shared, request: &RecordedRequest, script: &Script, mount: Option<&str>) -> Answer {
    match request.endpoint {
        Endpoint::Resource => resource::answer(shared, request, mount),
        endpoint if endpoint.is_token() && request.method != "POST" => match endpoint {
            Endpoint::Ibm => ibm::wrong_method(shared, request),
            _ => Answer::only("POST"),
        },
        Endpoint::Entra => entra::token(shared, request, script),
        Endpoint::Google => google::token(shared, request, script),
        Endpoint::Ibm => ibm::token(shared, request, script),
        Endpoint::OAuth => oauth::token(shared, request, script),
        Endpoint::Jwks | Endpoint::Discovery if request.method != "GET" => Answer::only("GET"),
        Endpoint::Jwks => shared.jwks(),
        Endpoint::Discovery => match request.path.as_str() {
            "/common/discovery/instance" => entra::instance_discovery(shared, request),
            oauth::OIDC_DISCOVERY | oauth::RFC8414_DISCOVERY | oauth::OIDC_INSERTED => {
                oauth::discovery(shared, request)
            }
            path => entra::discovery(shared, request, path),
        },
        Endpoint::Other => Answer::not_found(),
    }
}

/// An overload in the endpoint's own words.
pub(crate) fn trouble(shared: &Shared, request: &RecordedRequest, status: u16) -> Answer {
    match (request.endpoint, status) {
        (Endpoint::Entra, 429 | 500..) => {
            let message = "A transient error has occurred. Please try again.";
            entra::error(shared, request, status, "temporarily_unavailable", 90033, message)
        }
        (Endpoint::Ibm, 429 | 500..) => ibm::error(shared, request, status, None, "The service is overloaded."),
        (Endpoint::Google | Endpoint::OAuth, 500) => Answer::oauth_error(500, "server_error", "the server failed"),
        (Endpoint::Google | Endpoint::OAuth, 429 | 500..) => {
            Answer::oauth_error(status, "temporarily_unavailable", "the server is overloaded")
        }
        _ => Answer::empty(status),
    }
}

/// The server's base URL, as the request spelled it.
fn base(request: &RecordedRequest) -> &str {
    &request.base
}
