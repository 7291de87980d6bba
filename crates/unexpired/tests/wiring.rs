//! Every key of the configuration arrives where it belongs: in the request, in the token, or at the program. Each row fails if its key is lost
//! on the way from the file to the provider.
#![cfg(feature = "config")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests fail by panicking")]

use serde_json::Value;
use std::time::{Duration, SystemTime};
use unexpired::config::Config;
use unexpired::{ErrorKind, MintError, MintRequest, Token, TokenSource as _};
use unexpired_testkit::{Endpoint, IdentityProvider, RecordedRequest, defaults};

/// An identity provider, and a folder with the secrets that it takes.
struct World {
    idp: IdentityProvider,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let idp = IdentityProvider::builder().https().blocking_start().unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("secret", defaults::CLIENT_SECRET),
            ("wrong", "fake-wrong-secret"),
            ("api-key", defaults::API_KEY),
            ("google.json", idp.service_account_json().expose()),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Self { idp, folder }
    }

    /// Asks the source of this table once. `{idp}`, `{https}`, `{ca}`, `{files}` stand for the places.
    async fn mint(&self, table: &str) -> Result<Token, MintError> {
        let text = format!("[token.t]\n{table}")
            .replace("{idp}", self.idp.url())
            .replace("{https}", self.idp.https_url().unwrap())
            .replace("{ca}", &self.idp.ca_file().unwrap().display().to_string())
            .replace("{files}", &self.folder.path().display().to_string());
        let config = Config::parse(&text, "c.toml").unwrap_or_else(|error| panic!("{error}\n{text}"));
        config.source("t").unwrap().mint(MintRequest::standalone()).await
    }

    fn last(&self, endpoint: Endpoint) -> RecordedRequest {
        self.idp.requests_at(endpoint).pop().unwrap()
    }
}

const OAUTH: &str = "provider = 'oauth'\ntoken_url = '{idp}/oauth2/token'\nclient_id = 'aaaaaaaa-0000-4000-8000-000000000001'\nclient_secret = { file = '{files}/secret' }\n";
const ENTRA: &str = "provider = 'entra'\nauthority = '{idp}'\ntenant = '11111111-2222-4333-8444-555555555555'\nclient_id = 'aaaaaaaa-0000-4000-8000-000000000001'\nclient_secret = { file = '{files}/secret' }\nscope = 'https://management.azure.com/.default'\n";
const IBM: &str = "provider = 'ibm'\nendpoint = '{idp}'\napi_key = { file = '{files}/api-key' }\n";
const GOOGLE: &str = "provider = 'google'\ncredentials = '{files}/google.json'\n";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_configured_is_in_the_request() {
    use Endpoint::{Entra, Ibm, OAuth};
    let world = World::new();
    let id = defaults::CLIENT_ID;
    type Row<'a> = (&'a str, &'a str, Endpoint, &'a [(&'a str, &'a [&'a str])]);
    let rows: &[Row<'_>] = &[
        (OAUTH, "", OAuth, &[("grant_type", &["client_credentials"]), ("client_secret", &[])]),
        (OAUTH, "scope = ['read', 'write']", OAuth, &[("scope", &["read write"])]),
        (OAUTH, "audience = 'https://api.example.com/'", OAuth, &[("audience", &["https://api.example.com/"])]),
        (
            OAUTH,
            "resource = ['https://a.example.com/', 'https://b.example.com/']",
            OAuth,
            &[("resource", &["https://a.example.com/", "https://b.example.com/"])],
        ),
        (OAUTH, "params = { organization = 'org_1' }", OAuth, &[("organization", &["org_1"])]),
        (
            OAUTH,
            "client_auth = 'client_secret_post'",
            OAuth,
            &[("client_id", &[id]), ("client_secret", &[defaults::CLIENT_SECRET])],
        ),
        (
            ENTRA,
            "",
            Entra,
            &[
                ("client_id", &[id]),
                ("client_secret", &[defaults::CLIENT_SECRET]),
                ("scope", &["https://management.azure.com/.default"]),
            ],
        ),
        (IBM, "scope = 'ibm'", Ibm, &[("apikey", &[defaults::API_KEY]), ("scope", &["ibm"])]),
    ];
    for (table, key, endpoint, fields) in rows {
        world.mint(&format!("{table}{key}")).await.unwrap_or_else(|error| panic!("{key}: {error}"));
        let request = world.last(*endpoint);
        for (name, values) in *fields {
            assert_eq!(request.fields(name).collect::<Vec<_>>(), *values, "{key}: {name}");
        }
    }
    assert_eq!(world.last(Entra).path(), format!("/{}/oauth2/v2.0/token", defaults::TENANT));

    // By its issuer a server is asked where its token endpoint is.
    world.idp.reset();
    world.mint(&OAUTH.replace("token_url = '{idp}/oauth2/token'", "issuer = '{idp}/oauth2'")).await.unwrap();
    assert!(!world.idp.requests_at(Endpoint::Discovery).is_empty());

    let refresh = world.idp.refresh_token(defaults::PUBLIC_CLIENT_ID, "read").unwrap();
    std::fs::write(world.folder.path().join("rt"), refresh.expose()).unwrap();
    let table = "provider = 'oauth'\ntoken_url = '{idp}/oauth2/token'\ngrant = 'refresh_token'\nclient_id = 'fake-public-client'\nrefresh_token_file = '{files}/rt'\n";
    world.mint(table).await.unwrap();
    let request = world.last(OAuth);
    assert_eq!(
        (request.field("grant_type"), request.field("client_id")),
        (Some("refresh_token"), Some("fake-public-client"))
    );
    assert_eq!(request.field("refresh_token"), Some(refresh.expose()));
    assert_ne!(std::fs::read_to_string(world.folder.path().join("rt")).unwrap().trim(), refresh.expose());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_configured_for_google_is_in_what_the_key_signs() {
    let world = World::new();
    let assertion = || claims(world.last(Endpoint::Google).field("assertion").unwrap());
    world.mint(GOOGLE).await.unwrap();
    assert_eq!(assertion()["scope"], defaults::GOOGLE_SCOPE);
    world.mint(&format!("{GOOGLE}scope = ['https://a.example/x', 'https://a.example/y']")).await.unwrap();
    assert_eq!(assertion()["scope"], "https://a.example/x https://a.example/y");
    // Nobody has delegated anything to this key, so it is refused; what was asked counts.
    world.mint(&format!("{GOOGLE}subject = 'robot@example.com'")).await.unwrap_err();
    assert_eq!(assertion()["sub"], "robot@example.com");

    let other = World::new();
    let url = format!("{}/google/token", other.idp.url());
    world.mint(&format!("{GOOGLE}token_url = '{url}'")).await.unwrap();
    assert_eq!(claims(other.last(Endpoint::Google).field("assertion").unwrap())["aud"], url);

    world.idp.reset();
    let token = world.mint(&format!("{GOOGLE}audience = 'https://pubsub.googleapis.com/'")).await.unwrap();
    assert_eq!(claims(token.secret())["aud"], "https://pubsub.googleapis.com/");
    let token = world.mint(&format!("{GOOGLE}self_signed = true")).await.unwrap();
    assert_eq!(claims(token.secret())["scope"], defaults::GOOGLE_SCOPE);
    assert!(world.idp.requests_at(Endpoint::Google).is_empty(), "nobody is asked for a self-signed JWT");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_trusted_is_configured() {
    let world = World::new();
    let https = IBM.replace("{idp}", "{https}");
    let error = world.mint(&format!("{https}roots = 'bundled'")).await.unwrap_err();
    assert!(error.to_string().contains("unknown issuer"), "{error}");
    world.mint(&format!("{https}ca_file = '{{ca}}'\nroots = 'bundled'")).await.unwrap();
    world.mint(&format!("{https}ca_file = '{{ca}}'")).await.unwrap();
}

/// Whether the cloud arrives is seen by the scopes that it refuses.
#[test]
fn the_cloud_decides_which_scopes_fit() {
    let text = |cloud: &str| {
        format!("[token.t]\n{}{cloud}", ENTRA.replace("authority = '{idp}'\n", "").replace("{files}", "/"))
    };
    assert!(Config::parse(&text(""), "c.toml").is_ok());
    let error = Config::parse(&text("cloud = 'us-government'"), "c.toml").unwrap_err();
    assert!(error.to_string().contains("the authority is the us-government cloud's"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_steps_in_as_configured() {
    let world = World::new();
    let wrong = OAUTH.replace("/secret", "/wrong");
    let fallback = format!("[token.t.fallback]\n{IBM}");
    let error = world.mint(&format!("{wrong}{fallback}")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let token = world.mint(&format!("{wrong}fallback_on = ['denied']\n{fallback}")).await.unwrap();
    assert_eq!(token.source(), "ibm");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_run_as_configured() {
    let world = World::new();
    let command = |keys: &str| format!("provider = 'command'\n{keys}");
    for (keys, token) in [
        ("command = ['echo', 'an-argument']", "an-argument"),
        ("shell = 'echo a-line | tr a-z A-Z'", "A-LINE"),
        ("shell = 'echo \"$CORP_REGION\"'\nenv = { CORP_REGION = 'eu-de' }", "eu-de"),
        ("shell = 'echo here-`pwd | tr / .`'\ncwd = '/tmp'", "here-.tmp"),
    ] {
        assert_eq!(world.mint(&command(keys)).await.unwrap().secret(), token, "{keys}");
    }
    let token = world.mint(&command("command = ['echo', 'at-1']\nttl = '3h'")).await.unwrap();
    let left = token.expires_at().unwrap().duration_since(SystemTime::now()).unwrap();
    assert!(left > Duration::from_secs(3 * 3600 - 60) && left <= Duration::from_secs(3 * 3600), "{left:?}");
    let error = world.mint(&command("command = ['sleep', '9']\ntimeout = '100ms'")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert!(error.to_string().contains("within 0.1 s"), "{error}");
}

/// What a JWT says, whoever signed it.
fn claims(jwt: &str) -> Value {
    let payload = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&unexpired_crypto::b64::url_decode(payload).unwrap()).unwrap()
}
