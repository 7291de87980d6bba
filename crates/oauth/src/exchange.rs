//! One request to the token endpoint and the reading of its answer: what both grants share.

use crate::builder::misconfigured;
use crate::error::{self, Asked};
use crate::server::Place;
use crate::{ClientAuth, Server};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use unexpired_core::{ErrorKind, MintError, MintRequest, Secret, SecretSource, Token};
use unexpired_http::{BasicAuth, Client, Form, Response, SendError, TokenResponse, form_encode};

/// All that is set, whatever the grant.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub(crate) server: Server,
    pub(crate) client_id: String,
    pub(crate) client_secret: Option<Arc<dyn SecretSource>>,
    pub(crate) client_auth: Option<ClientAuth>,
    pub(crate) scope: Option<String>,
    pub(crate) audience: Option<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) default_life: Duration,
    pub(crate) client: Client,
}

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Grant<'a> {
    ClientCredentials,
    RefreshToken(&'a Secret),
}

/// Everything that had to be asked or read before the request itself.
pub(crate) struct Prepared {
    place: Place,
    auth: ClientAuth,
    secret: Secret,
}

impl Prepared {
    pub(crate) fn host(&self) -> &str {
        self.place.endpoint.host()
    }
}

impl Exchange {
    /// Finds the endpoint and reads the secret: all that can fail before the grant is shown to anyone.
    pub(crate) async fn prepare(&self, request: &MintRequest) -> Result<Prepared, MintError> {
        let place = Box::pin(self.server.locate(&self.client, request)).await?;
        let (auth, secret) = match &self.client_secret {
            None => (ClientAuth::None, Secret::new("")),
            Some(source) => {
                let auth = match self.client_auth {
                    Some(auth) => auth,
                    None => ClientAuth::choose(place.auth_methods.as_deref())
                        .map_err(|error| error.host(place.endpoint.host()))?,
                };
                (auth, trimmed(&source.secret().await?, "client_secret")?)
            }
        };
        Ok(Prepared { place, auth, secret })
    }

    /// `POST`.
    pub(crate) async fn send(
        &self,
        grant: Grant<'_>,
        prepared: &Prepared,
        request: &MintRequest,
    ) -> Result<Response, SendError> {
        let form = self.form(grant, prepared, request);
        let basic = match prepared.auth {
            ClientAuth::Basic => Some(BasicAuth::new(&self.client_id, &prepared.secret)),
            ClientAuth::Post | ClientAuth::None => None,
        };
        self.client.post_form(&prepared.place.endpoint, &form, basic.as_ref(), &[], request).await
    }

    fn form(&self, grant: Grant<'_>, prepared: &Prepared, request: &MintRequest) -> Form {
        let mut form = Form::new().pair("grant_type", grant.grant_type());
        form = match prepared.auth {
            ClientAuth::Basic => form,
            ClientAuth::Post => form.pair("client_id", &self.client_id).secret("client_secret", &prepared.secret),
            ClientAuth::None => form.pair("client_id", &self.client_id),
        };
        if let Grant::RefreshToken(token) = grant {
            form = form.secret("refresh_token", token);
        }
        if let Some(scope) = &self.scope {
            form = form.pair("scope", scope);
        }
        if let Some(audience) = &self.audience {
            form = form.pair("audience", audience);
        }
        for resource in &self.resources {
            form = form.pair("resource", resource);
        }
        for (name, value) in &self.params {
            form = form.pair(name, value);
        }
        match request.claims() {
            Some(claims) => form.pair("claims", claims),
            None => form,
        }
    }

    /// The answer's fields, or what its refusal means for the user.
    pub(crate) fn read(
        &self,
        grant: Grant<'_>,
        prepared: &Prepared,
        response: &Response,
    ) -> Result<TokenResponse, MintError> {
        let error = match response.token() {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if response.status() == 404 && prepared.place.auth_methods.is_some() {
            self.server.forget();
            if prepared.place.remembered {
                // The engine tries again soon, and then the server is asked where its endpoint is now.
                return Err(error
                    .with_kind(ErrorKind::Unavailable)
                    .remedy("the endpoint has moved: the server's metadata is read again at the next attempt"));
            }
        }
        let asked = Asked {
            refresh: matches!(grant, Grant::RefreshToken(_)),
            auth: prepared.auth,
            escaped: form_encode(prepared.secret.expose()).as_str() != prepared.secret.expose()
                || form_encode(&self.client_id).as_str() != self.client_id,
        };
        Err(error::refine(error, response, &asked))
    }

    /// The token of an answer.
    pub(crate) fn token(&self, answer: TokenResponse, response: &Response) -> Result<Token, MintError> {
        if UNUSABLE.iter().any(|kind| answer.token_type.eq_ignore_ascii_case(kind)) {
            let message =
                format!("the server answered a token of the type {}, which is no bearer token", answer.token_type);
            return Err(MintError::new(ErrorKind::Misconfigured, message)
                .host(response.host())
                .remedy("allow bearer tokens for this client at the server"));
        }
        let host = response.host();
        answer
            .into_builder(response)
            .source(crate::NAME)
            .default_life(self.default_life)
            .build()
            .map_err(|error| error.host(host))
    }

    pub(crate) fn revision(&self) -> u64 {
        self.client_secret.as_ref().map_or(0, |secret| secret.revision())
    }
}

/// A secret without the line break that files end with.
pub(crate) fn trimmed(secret: &Secret, option: &str) -> Result<Secret, MintError> {
    match secret.expose().trim_end_matches(['\r', '\n']) {
        "" => Err(misconfigured(&format!("{option} is empty"), &format!("set {option}"))),
        text if text.len() == secret.expose().len() => Ok(secret.clone()),
        text => Ok(Secret::new(text)),
    }
}

impl Grant<'_> {
    fn grant_type(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::RefreshToken(_) => "refresh_token",
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("server", &self.server)
            .field("client_id", &self.client_id)
            .field("client_auth", &self.client_auth)
            .field("scope", &self.scope)
            .field("audience", &self.audience)
            .field("resources", &self.resources)
            .finish_non_exhaustive()
    }
}

/// Types that are no use after `Bearer `: RFC 8693 section 2.2.1, and those that need a proof with each request.
const UNUSABLE: [&str; 4] = ["N_A", "DPoP", "PoP", "mac"];
