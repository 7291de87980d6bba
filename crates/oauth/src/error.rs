//! What a refusal means for the person who gets it.

use crate::ClientAuth;
use unexpired_core::{ErrorKind, MintError};
use unexpired_http::Response;

/// What the refused request was.
pub(crate) struct Asked {
    pub(crate) refresh: bool,
    pub(crate) auth: ClientAuth,
    /// Whether form-encoding changes the client's id or secret: what some servers forget to undo.
    pub(crate) escaped: bool,
}

/// `error` with a remedy that fits this request. `error` is what the answer means by itself.
pub(crate) fn refine(error: MintError, response: &Response, asked: &Asked) -> MintError {
    let failure = response.failure();
    let wordless = failure.is_empty && matches!(response.status(), 400 | 401 | 403);
    let error = if wordless { error.with_kind(ErrorKind::Denied) } else { error };
    if error.kind() != ErrorKind::Denied {
        return error;
    }
    let code = failure.error.as_deref().unwrap_or_default();
    match code {
        // Both say that this client is set up for another protocol than this one.
        "use_dpop_nonce" | "invalid_dpop_proof" => error
            .with_kind(ErrorKind::Misconfigured)
            .remedy("the server demands DPoP, which is not supported: allow bearer tokens for this client"),
        _ => match remedy(code, response.status(), asked) {
            Some(remedy) => error.remedy(remedy),
            None => error,
        },
    }
}

/// Whether the answer says that the refresh token is of no use, with or without words.
pub(crate) fn is_invalid_grant(response: &Response) -> bool {
    let failure = response.failure();
    failure.error.as_deref() == Some("invalid_grant") || (failure.is_empty && response.status() == 400)
}

fn remedy(code: &str, status: u16, asked: &Asked) -> Option<&'static str> {
    Some(match (code, status) {
        ("invalid_client", _) | ("", 401 | 403) => match asked.auth {
            ClientAuth::Basic if asked.escaped => {
                "check client_id and client_secret; if they are right, set client_auth to client_secret_post: \
                 some servers do not decode special characters"
            }
            ClientAuth::Basic => {
                "check client_id and client_secret; or set client_auth to client_secret_post if the server wants that"
            }
            ClientAuth::Post => {
                "check client_id and client_secret; or set client_auth to client_secret_basic if the server wants that"
            }
            ClientAuth::None => "check client_id; if the client has a secret, set client_secret",
        },
        ("invalid_grant", _) | ("", 400) if asked.refresh => SIGN_IN,
        ("interaction_required" | "login_required" | "consent_required", _) => SIGN_IN,
        ("invalid_scope", _) if asked.refresh => "ask for no more scopes than were granted at the sign-in, or set none",
        ("invalid_scope", _) => "check scope",
        ("invalid_target", _) => "check resource and audience",
        ("unauthorized_client" | "unsupported_grant_type", _) if asked.refresh => {
            "allow the grant refresh_token for this client at the server"
        }
        ("unauthorized_client" | "unsupported_grant_type", _) => {
            "allow the grant client_credentials for this client at the server"
        }
        ("access_denied", _) => "grant this client the API (scope, audience, resource) at the server",
        ("invalid_request", _) | ("", 400) => "check scope, audience, resource and the extra parameters",
        _ => return None,
    })
}

/// What helps when a refresh token is of no use any more.
pub(crate) const SIGN_IN: &str = "sign in again";
