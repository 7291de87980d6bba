//! Errors of what the configuration names (secrets, certificate authorities) that tell the place in it: `FILE:LINE: KEY`.

use crate::{BoxFuture, ErrorKind, MintError, MintRequest, Secret, SecretSource, Token, TokenSource};
use std::sync::Arc;

/// A secret that is configured at a place.
pub(super) struct PlacedSecret {
    secret: Arc<dyn SecretSource>,
    place: String,
}

impl PlacedSecret {
    pub(super) fn new(secret: Arc<dyn SecretSource>, place: String) -> Self {
        Self { secret, place }
    }
}

impl SecretSource for PlacedSecret {
    fn secret(&self) -> BoxFuture<'_, Result<Secret, MintError>> {
        Box::pin(async move { self.secret.secret().await.map_err(|error| at(&self.place, &error)) })
    }

    fn revision(&self) -> u64 {
        self.secret.revision()
    }
}

/// The source, whose errors about `ca_file` tell where that is configured.
pub(super) fn ca_file(source: Arc<dyn TokenSource>, place: String) -> Arc<dyn TokenSource> {
    Arc::new(PlacedCaFile { source, place })
}

struct PlacedCaFile {
    source: Arc<dyn TokenSource>,
    place: String,
}

impl TokenSource for PlacedCaFile {
    fn name(&self) -> &str {
        self.source.name()
    }

    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        Box::pin(async move {
            self.source.mint(request).await.map_err(|error| {
                let meant = error.kind() == ErrorKind::Misconfigured && error.message().starts_with(CA_FILE);
                if meant { at(&self.place, &error).from_source(self.name()) } else { error }
            })
        })
    }

    fn revision(&self) -> u64 {
        self.source.revision()
    }

    fn for_scope(&self, scope: &str) -> Option<Arc<dyn TokenSource>> {
        Some(ca_file(self.source.for_scope(scope)?, self.place.clone()))
    }
}

/// The same error with the place in front. Whose it is says whoever asked for the secret.
pub(super) fn at(place: &str, error: &MintError) -> MintError {
    let placed = MintError::new(error.kind(), format!("{place}: {}", error.message())).retry_after(error.wait());
    match error.remedy_text() {
        Some(remedy) => placed.remedy(remedy),
        None => placed,
    }
}

/// How `unexpired_http` begins what it says of that file.
const CA_FILE: &str = "the ca_file ";
