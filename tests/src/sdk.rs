//! Vendor SDKs as oracles: they get a token from a test server with their own code.

use std::time::Duration;

use serde_json::Value;

use crate::presence::{Found, file, installed, package, record};
use crate::process::{Process, home, text};
use crate::tls::TestCa;

/// A token that an SDK got.
#[derive(Clone)]
pub struct SdkToken {
    /// Name and version of the SDK.
    pub sdk: String,
    /// The access token.
    pub token: String,
    /// When the SDK thinks it expires: seconds since 1970.
    pub expires_on: i64,
}

/// `azure-identity`: client credentials at `authority` (`https://localhost:PORT`; it accepts no http), trusting `ca`.
///
/// [`None`] if it is not installed (counted as skipped); the SDK's own error text if it got no token.
pub fn azure_identity(
    authority: &str,
    ca: &TestCa,
    tenant: &str,
    client_id: &str,
    client_secret: &str,
    scope: &str,
) -> Option<Result<SdkToken, String>> {
    let arguments = ["entra", "--authority", authority, "--tenant", tenant, "--client-id", client_id, "--scope", scope];
    let environment = [("AZURE_CLIENT_SECRET", client_secret), ("REQUESTS_CA_BUNDLE", text(&ca.ca_file()))]
        .map(|(name, value)| (name, value.to_owned()));
    run("azure-identity", &arguments, &environment)
}

/// `google-auth`: a service-account key (JSON text; its `token_uri` says where to go) to an access token, by the
/// JWT-bearer grant, or without any server if `self_signed`.
///
/// With a `subject` in that user's name (domain-wide delegation).
///
/// The assertion's `aud` is `https://oauth2.googleapis.com/token` whatever `token_uri` says.
///
/// [`None`] if it is not installed (counted as skipped); the SDK's own error text if it got no token.
pub fn google_auth(
    key: &str,
    scope: &str,
    subject: Option<&str>,
    self_signed: bool,
) -> Option<Result<SdkToken, String>> {
    let folder = home();
    let credentials = folder.path().join("key.json");
    std::fs::write(&credentials, key).expect("the temporary folder is writable");
    let mut arguments = vec!["google", "--credentials", text(&credentials), "--scope", scope];
    if let Some(subject) = subject {
        arguments.extend(["--subject", subject]);
    }
    if self_signed {
        arguments.push("--self-signed");
    }
    run("google-auth", &arguments, &[])
}

/// `ibm-cloud-sdk-core`: an API key to an IAM token at `url`, to whose end it adds `/identity/token`.
///
/// [`None`] if it is not installed (counted as skipped); the SDK's own error text if it got no token.
pub fn ibm_cloud_sdk_core(url: &str, api_key: &str) -> Option<Result<SdkToken, String>> {
    run("ibm-cloud-sdk-core", &["ibm", "--url", url], &[("IBMCLOUD_API_KEY", api_key.to_owned())])
}

fn run(sdk: &str, arguments: &[&str], environment: &[(&str, String)]) -> Option<Result<SdkToken, String>> {
    let python = record(sdk, python())?;
    let script = package().join("servers/sdk_tokens.py");
    let command = [&[python.as_str(), text(&script)], arguments].concat();
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut process = Process::start(sdk, home(), &command, &environment);
    if !process.finish(LIMIT).success() {
        return Some(Err(process.stderr()));
    }
    Some(parse(&process.stdout()).ok_or_else(|| "the SDK's answer is no JSON line".to_owned()))
}

fn parse(line: &str) -> Option<SdkToken> {
    let value: Value = serde_json::from_str(line).ok()?;
    let field = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
    Some(SdkToken { sdk: field("sdk")?, token: field("token")?, expires_on: value.get("expires_on")?.as_i64()? })
}

fn python() -> Found<String> {
    // `done` is the last thing that the set-up writes.
    file(installed().join("python/done"))?;
    Ok(text(&installed().join("python/bin/python")).to_owned())
}

/// The SDKs try again by themselves, with pauses.
const LIMIT: Duration = Duration::from_secs(90);
