//! Tokens from environment variables alone: the vendor's own, as its SDKs and command-line tools read them.
//!
//! | provider | variables |
//! |---|---|
//! | `entra` | `AZURE_TENANT_ID`, `AZURE_CLIENT_ID`, `AZURE_CLIENT_SECRET`; `AZURE_AUTHORITY_HOST` for another login host. A scope is needed |
//! | `google` | `GOOGLE_APPLICATION_CREDENTIALS` (a path); else the file that `gcloud` keeps (`application_default_credentials.json` in `CLOUDSDK_CONFIG`, by default `~/.config/gcloud` or `%APPDATA%\gcloud`). Either must be the key of a service account. Scope: `cloud-platform` if none is given |
//! | `ibm` | `IC_API_KEY` or `IBMCLOUD_API_KEY` (Terraform, `ibmcloud`), else `WATSONX_APIKEY` or `WATSONX_API_KEY`; `IBMCLOUD_IAM_API_ENDPOINT` for another IAM |
//! | `oauth` | no vendor, so names of our own: `OAUTH_TOKEN_URL` or `OAUTH_ISSUER`, `OAUTH_CLIENT_ID`, `OAUTH_CLIENT_SECRET`; `OAUTH_SCOPE` if no scope is given, `OAUTH_AUDIENCE` |
//!
//! A variable that is empty counts as unset. Two variables for one API key with different contents are an error, not a choice. A name of the
//! [configuration](crate::config) never reads these variables.
#![cfg_attr(not(feature = "config"), allow(rustdoc::broken_intra_doc_links, reason = "the configuration is a feature"))]

mod words;

#[cfg(any(feature = "entra", feature = "ibm", feature = "oauth"))]
use crate::Secret;
use crate::{ErrorKind, MintError, TokenSource};
use std::sync::Arc;
use words::{Words, in_words, said_in};

/// A source of `provider` (`entra`, `google`, `ibm` or `oauth`), made of this process's environment variables. Secrets are taken from them now;
/// files are read when a token is minted.
///
/// # Errors
///
/// [`NotConfigured`](ErrorKind::NotConfigured), naming the variables that are missing; [`Misconfigured`](ErrorKind::Misconfigured) where they
/// cannot work, where there is no such provider, or where it was not compiled in.
pub fn source(provider: &str, scope: Option<&str>) -> Result<Arc<dyn TokenSource>, MintError> {
    source_from(provider, scope, |name| std::env::var(name).ok())
}

/// As [`source`], with everything that makes its tokens what they are, for a [`StoredSource`](crate::StoredSource): the provider, the scope, and each
/// variable that was looked at with a digest of what it holds.
///
/// # Errors
///
/// As [`source`].
pub fn source_with_identity(
    provider: &str,
    scope: Option<&str>,
) -> Result<(Arc<dyn TokenSource>, Vec<String>), MintError> {
    let seen = std::cell::RefCell::new(std::collections::BTreeMap::new());
    let source = source_from(provider, scope, |name| {
        let value = std::env::var(name).ok();
        let digest = value.as_deref().map(|value| crate::Digest::of(value).to_hex());
        seen.borrow_mut().insert(name.to_owned(), digest.unwrap_or_default());
        value
    })?;
    let mut identity = vec!["environment".to_owned(), provider.to_owned(), scope.unwrap_or_default().to_owned()];
    identity.extend(seen.into_inner().into_iter().flat_map(|(name, digest)| [name, digest]));
    Ok((source, identity))
}

/// As [`source`], with the variables read by `variable`.
///
/// ```
/// use unexpired::ErrorKind;
///
/// let error = unexpired::env::source_from("ibm", None, |_| None).err().unwrap();
/// assert_eq!(error.kind(), ErrorKind::NotConfigured);
/// assert!(error.to_string().contains("IBMCLOUD_API_KEY"));
/// ```
///
/// # Errors
///
/// As [`source`].
pub fn source_from(
    provider: &str,
    scope: Option<&str>,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Arc<dyn TokenSource>, MintError> {
    let variables = Variables { variable: &variable };
    let scope = scope.map(str::trim).filter(|scope| !scope.is_empty());
    let speaking = |made: Result<Arc<dyn TokenSource>, MintError>, words: Words| match made {
        Ok(source) => Ok(in_words(source, words)),
        Err(error) => Err(said_in(words, &error)),
    };
    match provider {
        #[cfg(feature = "entra")]
        "entra" => speaking(entra(scope, &variables), words::ENTRA),
        #[cfg(feature = "google")]
        "google" => speaking(google(scope, &variables), words::GOOGLE),
        #[cfg(feature = "ibm")]
        "ibm" => speaking(ibm(scope, &variables), words::IBM),
        #[cfg(feature = "oauth")]
        "oauth" => speaking(oauth(scope, &variables), words::OAUTH),
        _ if ["entra", "google", "ibm", "oauth"].contains(&provider) => {
            let message = format!("the provider {provider} was not compiled in");
            Err(MintError::new(ErrorKind::Misconfigured, message)
                .remedy(format!("build with the feature `{provider}`")))
        }
        _ => Err(MintError::new(ErrorKind::Misconfigured, "there is no such provider for environment variables")
            .remedy("name one of entra, google, ibm, oauth")),
    }
    .map_err(|error| error.from_source(provider))
}

struct Variables<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
}

#[cfg_attr(
    not(all(feature = "entra", feature = "ibm", feature = "oauth", feature = "google")),
    allow(dead_code, reason = "each is some provider's")
)]
impl Variables<'_> {
    fn get(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|text| !text.trim().is_empty())
    }

    /// All of these, or an error that names those that are missing.
    fn all<const N: usize>(&self, names: [&str; N]) -> Result<[String; N], MintError> {
        let missing: Vec<&str> = names.iter().copied().filter(|name| self.get(name).is_none()).collect();
        if missing.is_empty() {
            return Ok(names.map(|name| self.get(name).unwrap_or_default()));
        }
        let verb = if missing.len() == 1 { "is" } else { "are" };
        let message = format!("{} {verb} not set", missing.join(", "));
        Err(not_configured(&message).remedy(format!("set {}", missing.join(" and "))))
    }

    /// The one value of several names for the same thing.
    fn same(&self, names: &[&str]) -> Result<Option<String>, MintError> {
        let mut found: Option<(&str, String)> = None;
        for name in names {
            match (self.get(name), &found) {
                (Some(value), Some((other, first))) if value != *first => {
                    let message = format!("{other} and {name} are set to different keys");
                    return Err(misconfigured(&message).remedy(format!("unset one of {other} and {name}")));
                }
                (Some(value), None) => found = Some((name, value)),
                _ => {}
            }
        }
        Ok(found.map(|(_, value)| value))
    }

    fn first_set<'n>(&self, names: &[&'n str]) -> Option<&'n str> {
        names.iter().copied().find(|name| self.get(name).is_some())
    }
}

#[cfg(feature = "entra")]
fn entra(scope: Option<&str>, variables: &Variables<'_>) -> Result<Arc<dyn TokenSource>, MintError> {
    let names = ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"];
    let [tenant, client_id, client_secret] = variables.all(names).map_err(|error| {
        let others = ["AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_CERTIFICATE_PATH", "AZURE_USERNAME"];
        match variables.first_set(&others).filter(|_| variables.get("AZURE_CLIENT_SECRET").is_none()) {
            Some(other) => {
                not_configured(&format!("{}; {other} is set, which this version does not use", error.message()))
                    .remedy("set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET")
            }
            None => error,
        }
    })?;
    let Some(scope) = scope else {
        return Err(misconfigured("no scope was given").remedy(
            "add --scope with the resource and /.default, such as --scope https://management.azure.com/.default",
        ));
    };
    let secret = Arc::new(Secret::new(client_secret));
    let mut builder = unexpired_entra::ClientSecret::builder(&tenant, &client_id, secret).scope(scope);
    if let Some(host) = variables.get("AZURE_AUTHORITY_HOST") {
        builder = builder.authority(&address("AZURE_AUTHORITY_HOST", &host)?);
    }
    Ok(Arc::new(builder.build()?))
}

#[cfg(feature = "google")]
fn google(scope: Option<&str>, variables: &Variables<'_>) -> Result<Arc<dyn TokenSource>, MintError> {
    let path = match variables.get("GOOGLE_APPLICATION_CREDENTIALS") {
        // Google's libraries stop here as well: a path that leads nowhere is an error, not a reason to look elsewhere.
        Some(path) => std::path::PathBuf::from(path),
        None => {
            let folder = crate::sys::gcloud_folder(&|name| variables.get(name));
            let file = folder.map(|folder| folder.join("application_default_credentials.json"));
            match file.filter(|file| file.is_file()) {
                Some(file) => file,
                None => {
                    let message = "GOOGLE_APPLICATION_CREDENTIALS is not set, and there is no application_default_credentials.json";
                    return Err(not_configured(message)
                        .remedy("set GOOGLE_APPLICATION_CREDENTIALS to the path of a service account's key"));
                }
            }
        }
    };
    let mut builder = unexpired_google::ServiceAccount::builder(Arc::new(crate::SecretRef::file(path)));
    for scope in scope.into_iter().flat_map(str::split_ascii_whitespace) {
        builder = builder.scope(scope);
    }
    Ok(Arc::new(builder.build()?))
}

#[cfg(feature = "ibm")]
fn ibm(scope: Option<&str>, variables: &Variables<'_>) -> Result<Arc<dyn TokenSource>, MintError> {
    let key = match variables.same(&["IC_API_KEY", "IBMCLOUD_API_KEY"])? {
        Some(key) => Some(key),
        None => variables.same(&["WATSONX_APIKEY", "WATSONX_API_KEY"])?,
    };
    let Some(key) = key else {
        return Err(not_configured("none of IBMCLOUD_API_KEY, IC_API_KEY, WATSONX_APIKEY is set")
            .remedy("set IBMCLOUD_API_KEY"));
    };
    let mut builder = unexpired_ibm::ApiKey::builder(Arc::new(Secret::new(key)));
    if let Some(scope) = scope {
        builder = builder.scope(scope);
    }
    if let Some(endpoint) = variables.get("IBMCLOUD_IAM_API_ENDPOINT") {
        builder = builder.endpoint(&address("IBMCLOUD_IAM_API_ENDPOINT", &endpoint)?);
    }
    Ok(Arc::new(builder.build()?))
}

#[cfg(feature = "oauth")]
fn oauth(scope: Option<&str>, variables: &Variables<'_>) -> Result<Arc<dyn TokenSource>, MintError> {
    use unexpired_oauth::Server;
    let required = ["OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET"];
    let (server, credentials) = match (variables.get("OAUTH_TOKEN_URL"), variables.get("OAUTH_ISSUER")) {
        (Some(_), Some(_)) => {
            return Err(misconfigured("OAUTH_TOKEN_URL and OAUTH_ISSUER are both set").remedy("unset one of them"));
        }
        (Some(url), None) => {
            let server = Server::token_url(&url).map_err(|error| words::about("OAUTH_TOKEN_URL", &error))?;
            (server, variables.all(required)?)
        }
        (None, Some(issuer)) => {
            let server = Server::issuer(&issuer).map_err(|error| words::about("OAUTH_ISSUER", &error))?;
            (server, variables.all(required)?)
        }
        (None, None) => {
            let missing: Vec<&str> = required.into_iter().filter(|name| variables.get(name).is_none()).collect();
            let rest = if missing.is_empty() { String::new() } else { format!(", {}", missing.join(", ")) };
            return Err(not_configured(&format!("OAUTH_TOKEN_URL (or OAUTH_ISSUER){rest}: not set"))
                .remedy("set OAUTH_TOKEN_URL or OAUTH_ISSUER, OAUTH_CLIENT_ID and OAUTH_CLIENT_SECRET"));
        }
    };
    let [client_id, client_secret] = credentials;
    let mut builder = unexpired_oauth::ClientCredentials::builder(server, &client_id)
        .client_secret(Arc::new(Secret::new(client_secret)));
    if let Some(scope) = scope.map(str::to_owned).or_else(|| variables.get("OAUTH_SCOPE")) {
        builder = builder.scope(scope.trim());
    }
    if let Some(audience) = variables.get("OAUTH_AUDIENCE") {
        builder = builder.audience(&audience);
    }
    Ok(Arc::new(builder.build()?))
}

/// The address in a variable that holds a host or a URL. What is wrong with it is told with the variable's name.
#[cfg(any(feature = "entra", feature = "ibm"))]
fn address(variable: &str, host: &str) -> Result<String, MintError> {
    let host = host.trim();
    let address = if host.contains("://") { host.to_owned() } else { format!("https://{host}") };
    unexpired_http::Endpoint::parse(&address).map_err(|error| words::about(variable, &error))?;
    Ok(address)
}

#[cfg_attr(not(feature = "google"), allow(dead_code, reason = "each is some provider's"))]
fn not_configured(message: &str) -> MintError {
    MintError::new(ErrorKind::NotConfigured, message)
}

fn misconfigured(message: &str) -> MintError {
    MintError::new(ErrorKind::Misconfigured, message)
}

#[cfg(all(test, feature = "entra", feature = "google", feature = "ibm", feature = "oauth"))]
mod tests {
    use super::*;

    fn with(provider: &str, scope: Option<&str>, set: &[(&str, &str)]) -> Result<Arc<dyn TokenSource>, MintError> {
        source_from(provider, scope, |name| set.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    const ID: &str = "aaaaaaaa-0000-4000-8000-000000000001";
    const SCOPE: Option<&str> = Some("https://management.azure.com/.default");

    #[test]
    fn the_vendors_variables_suffice() {
        let azure = [("AZURE_TENANT_ID", ID), ("AZURE_CLIENT_ID", ID), ("AZURE_CLIENT_SECRET", "hunter2")];
        let entra = with("entra", SCOPE, &azure);
        assert_eq!(entra.unwrap().name(), "entra");
        let government = [&azure[..], &[("AZURE_AUTHORITY_HOST", "login.microsoftonline.us")]].concat();
        assert!(with("entra", Some("https://management.usgovcloudapi.net/.default"), &government).is_ok());
        // A scope of one cloud, the authority of another.
        assert_eq!(
            with("entra", Some("https://vault.azure.cn/.default"), &government).err().unwrap().kind(),
            ErrorKind::Misconfigured
        );
        assert_eq!(with("google", None, &[("GOOGLE_APPLICATION_CREDENTIALS", "/k.json")]).unwrap().name(), "google");
        for name in ["IC_API_KEY", "IBMCLOUD_API_KEY", "WATSONX_APIKEY", "WATSONX_API_KEY"] {
            assert_eq!(with("ibm", None, &[(name, "hunter2")]).unwrap().name(), "ibm");
        }
        assert!(
            with(
                "ibm",
                None,
                &[("IC_API_KEY", "k"), ("IBMCLOUD_API_KEY", "k"), ("IBMCLOUD_IAM_API_ENDPOINT", "iam.cloud.ibm.com")]
            )
            .is_ok()
        );
        let oauth =
            [("OAUTH_ISSUER", "https://as.example.com"), ("OAUTH_CLIENT_ID", "c"), ("OAUTH_CLIENT_SECRET", "s")];
        assert_eq!(with("oauth", None, &oauth).unwrap().name(), "oauth");
    }

    #[test]
    fn what_is_missing_is_named_and_no_value_is_shown() {
        use ErrorKind::{Misconfigured, NotConfigured};
        let key = ("AZURE_CLIENT_SECRET", "hunter2");
        type Row<'a> = (&'a str, Option<&'a str>, &'a [(&'a str, &'a str)], ErrorKind, &'a [&'a str]);
        let azure = [("AZURE_TENANT_ID", ID), ("AZURE_CLIENT_ID", ID), key];
        let government = [&azure[..], &[("AZURE_AUTHORITY_HOST", "login.microsoftonline.us")]].concat();
        let plain_authority = [&azure[..], &[("AZURE_AUTHORITY_HOST", "http://x.test")]].concat();
        let oauth = [("OAUTH_CLIENT_ID", "c"), ("OAUTH_CLIENT_SECRET", "hunter2")];
        let plain_token_url = [&oauth[..], &[("OAUTH_TOKEN_URL", "http://x.test/t")]].concat();
        let plain_issuer = [&oauth[..], &[("OAUTH_ISSUER", "http://x.test")]].concat();
        let rows: [Row<'_>; 19] = [
            (
                "entra",
                Some("https://vault.usgovcloudapi.net/.default"),
                &azure,
                Misconfigured,
                &["set AZURE_AUTHORITY_HOST to https://login.microsoftonline.us, or --scope to"],
            ),
            (
                "entra",
                Some("https://vault.azure.cn/.default"),
                &azure,
                Misconfigured,
                &["set AZURE_AUTHORITY_HOST to https://login.partner.microsoftonline.cn"],
            ),
            (
                "entra",
                SCOPE,
                &government,
                Misconfigured,
                &["set AZURE_AUTHORITY_HOST to https://login.microsoftonline.com"],
            ),
            ("entra", SCOPE, &plain_authority, Misconfigured, &["AZURE_AUTHORITY_HOST: plain HTTP"]),
            (
                "entra",
                Some("https://vault.azure.net"),
                &azure,
                Misconfigured,
                &["set --scope to https://vault.azure.net/.default"],
            ),
            ("oauth", None, &plain_token_url, Misconfigured, &["OAUTH_TOKEN_URL: plain HTTP"]),
            ("oauth", None, &plain_issuer, Misconfigured, &["OAUTH_ISSUER: plain HTTP"]),
            ("entra", SCOPE, &[], NotConfigured, &["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"]),
            ("entra", SCOPE, &[key], NotConfigured, &["AZURE_TENANT_ID, AZURE_CLIENT_ID are not set"]),
            (
                "entra",
                SCOPE,
                &[("AZURE_FEDERATED_TOKEN_FILE", "/t")],
                NotConfigured,
                &["AZURE_FEDERATED_TOKEN_FILE is set"],
            ),
            (
                "entra",
                None,
                &[("AZURE_TENANT_ID", ID), ("AZURE_CLIENT_ID", ID), key],
                Misconfigured,
                &["no scope", "--scope"],
            ),
            (
                "entra",
                SCOPE,
                &[("AZURE_TENANT_ID", ""), ("AZURE_CLIENT_ID", ID), key],
                NotConfigured,
                &["AZURE_TENANT_ID is not set"],
            ),
            (
                "google",
                None,
                &[("CLOUDSDK_CONFIG", "/nonexistent")],
                NotConfigured,
                &["GOOGLE_APPLICATION_CREDENTIALS"],
            ),
            ("ibm", None, &[], NotConfigured, &["IBMCLOUD_API_KEY", "IC_API_KEY"]),
            ("ibm", None, &[("IC_API_KEY", "hunter2"), ("IBMCLOUD_API_KEY", "x")], Misconfigured, &["different keys"]),
            (
                "ibm",
                None,
                &[("IC_API_KEY", "hunter2"), ("IBMCLOUD_IAM_API_ENDPOINT", "http://x.test")],
                Misconfigured,
                &["IBMCLOUD_IAM_API_ENDPOINT: plain HTTP", "https"],
            ),
            (
                "oauth",
                None,
                &[],
                NotConfigured,
                &["OAUTH_TOKEN_URL", "OAUTH_ISSUER", "OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET"],
            ),
            (
                "oauth",
                None,
                &[("OAUTH_TOKEN_URL", "https://a.test/t"), ("OAUTH_CLIENT_ID", "c")],
                NotConfigured,
                &["OAUTH_CLIENT_SECRET is not set"],
            ),
            ("aws", None, &[], Misconfigured, &["entra, google, ibm, oauth"]),
        ];
        for (provider, scope, set, kind, says) in rows {
            let error = with(provider, scope, set).err().unwrap();
            let text = error.to_string();
            assert_eq!(error.kind(), kind, "{text}");
            assert!(says.iter().all(|part| text.contains(part)), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
