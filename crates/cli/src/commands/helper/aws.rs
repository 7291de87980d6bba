//! AWS: `credential_process`. <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>

use super::args::NamedArgs;
use super::write;
use crate::args::Args;
use crate::commands::rfc3339;
use crate::failure::{Failure, OTHER};
use crate::handout;
use unexpired::command::AwsCredentials;

pub(super) fn run(args: &Args, own: &NamedArgs) -> Result<(), Failure> {
    let mut ask = own.wait.ask(None);
    ask.aws_credentials = true;
    let handed = handout::token(args, &own.name, &ask)?;
    let Some(keys) = AwsCredentials::of(&handed.token) else {
        return Err(Failure::new(OTHER, format!("{}: the token is no AWS keys", own.name)));
    };
    // Without it SDKs would never ask again.
    let expiration = handed.usable_until().map(|until| format!(",\"Expiration\":\"{}\"", rfc3339(until)));
    let quoted =
        |text: Option<&unexpired::Secret>| text.map(|text| zeroize::Zeroizing::new(write::json(text.expose())));
    let (id, secret) = (quoted(Some(&keys.access_key_id)), quoted(Some(&keys.secret_access_key)));
    let (session, account) = (quoted(keys.session_token.as_ref()), quoted(keys.account_id.as_ref()));
    let mut parts = vec!["{\"Version\":1"];
    for (name, value) in [
        (",\"AccessKeyId\":", &id),
        (",\"SecretAccessKey\":", &secret),
        (",\"SessionToken\":", &session),
        (",\"AccountId\":", &account),
    ] {
        if let Some(value) = value {
            parts.extend([name, value.as_str()]);
        }
    }
    parts.extend([expiration.as_deref().unwrap_or_default(), "}\n"]);
    write::parts(&parts)
}
