//! Errors in the words of who has set variables and flags: a provider's own words are those of the configuration file.

use crate::{BoxFuture, MintError, MintRequest, Token, TokenSource};
use std::sync::Arc;

/// What a provider says, and what it is called here. Longer phrases stand before those that they hold.
pub(super) type Words = &'static [(&'static str, &'static str)];

/// The source, whose errors speak of variables.
pub(super) fn in_words(source: Arc<dyn TokenSource>, words: Words) -> Arc<dyn TokenSource> {
    Arc::new(InWords { source, words })
}

struct InWords {
    source: Arc<dyn TokenSource>,
    words: Words,
}

impl TokenSource for InWords {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        Box::pin(async move { self.source.mint(request).await.map_err(|error| said_in(self.words, &error)) })
    }

    fn revision(&self) -> u64 {
        self.source.revision()
    }

    fn for_scope(&self, scope: &str) -> Option<Arc<dyn TokenSource>> {
        Some(in_words(self.source.for_scope(scope)?, self.words))
    }
}

/// The same error in these words.
pub(super) fn said_in(words: Words, error: &MintError) -> MintError {
    let say = |text: &str| words.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours));
    rebuilt(error, &say(error.message()), error.remedy_text().map(say))
}

/// The same error with the variable that it is about in front.
#[cfg(any(feature = "entra", feature = "ibm", feature = "oauth"))]
pub(super) fn about(variable: &str, error: &MintError) -> MintError {
    rebuilt(error, &format!("{variable}: {}", error.message()), error.remedy_text().map(str::to_owned))
}

fn rebuilt(error: &MintError, message: &str, remedy: Option<String>) -> MintError {
    let mut new = MintError::new(error.kind(), message).retry_after(error.wait());
    if let Some(code) = error.provider_code() {
        new = new.code(code);
    }
    if let Some(host) = error.endpoint_host() {
        new = new.host(host);
    }
    if let Some(remedy) = remedy {
        new = new.remedy(remedy);
    }
    new.from_source(error.source_name().unwrap_or_default())
}

#[cfg(feature = "entra")]
pub(super) const ENTRA: Words = &[
    ("cloud to the tenant's: public, us-government or china", "AZURE_AUTHORITY_HOST to the login host of its cloud"),
    ("cloud to where it lives", "AZURE_AUTHORITY_HOST to the login host of its cloud"),
    ("cloud to where the tenant lives", "AZURE_AUTHORITY_HOST to the login host of its cloud"),
    ("cloud to where the application is registered", "AZURE_AUTHORITY_HOST to the login host of its cloud"),
    ("cloud to us-government", "AZURE_AUTHORITY_HOST to https://login.microsoftonline.us"),
    ("cloud to china", "AZURE_AUTHORITY_HOST to https://login.partner.microsoftonline.cn"),
    ("cloud to public", "AZURE_AUTHORITY_HOST to https://login.microsoftonline.com"),
    ("remove authority, or set cloud", "unset AZURE_AUTHORITY_HOST"),
    ("set authority", "set AZURE_AUTHORITY_HOST"),
    ("check authority", "check AZURE_AUTHORITY_HOST"),
    ("that authority is", "that AZURE_AUTHORITY_HOST is"),
    ("client_secret", "AZURE_CLIENT_SECRET"),
    ("client_id", "AZURE_CLIENT_ID"),
    ("set tenant", "set AZURE_TENANT_ID"),
    ("check tenant", "check AZURE_TENANT_ID"),
    ("or tenant to", "or AZURE_TENANT_ID to"),
    ("AZURE_CLIENT_ID and tenant", "AZURE_CLIENT_ID and AZURE_TENANT_ID"),
    ("set scope", "set --scope"),
    ("check scope", "check --scope"),
    ("or scope to", "or --scope to"),
];

#[cfg(feature = "google")]
pub(super) const GOOGLE: Words = &[
    ("the secret's file", "GOOGLE_APPLICATION_CREDENTIALS: the file"),
    ("put the secret there", "put the key there"),
    ("set scope", "set --scope"),
];

#[cfg(feature = "ibm")]
pub(super) const IBM: Words = &[
    ("set the endpoint", "set IBMCLOUD_IAM_API_ENDPOINT"),
    ("check the endpoint", "check IBMCLOUD_IAM_API_ENDPOINT"),
    ("match endpoint and key", "match IBMCLOUD_IAM_API_ENDPOINT and key"),
    ("check scope and endpoint", "check --scope and IBMCLOUD_IAM_API_ENDPOINT"),
];

#[cfg(feature = "oauth")]
pub(super) const OAUTH: Words = &[
    // There is no variable for it.
    ("set client_auth to", "configure a token with the client_auth"),
    ("client_secret", "OAUTH_CLIENT_SECRET"),
    ("client_id", "OAUTH_CLIENT_ID"),
    ("set token_url in place of issuer", "set OAUTH_TOKEN_URL in place of OAUTH_ISSUER"),
    ("set token_url in its place", "set OAUTH_TOKEN_URL in its place"),
    ("check the issuer", "check OAUTH_ISSUER"),
    ("set the issuer", "set OAUTH_ISSUER"),
    ("set issuer", "set OAUTH_ISSUER"),
    ("issuer is set", "OAUTH_ISSUER is set"),
    ("check scope, audience, resource and the extra parameters", "check --scope and OAUTH_AUDIENCE"),
    ("check scope", "check --scope"),
    ("check resource and audience", "check OAUTH_AUDIENCE"),
];
