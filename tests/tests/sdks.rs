//! The vendors' SDKs as oracles: each gets its token from testkit with its own code, unchanged; then ours asks with the same credential, and
//! the requests are compared. What differs stands in `KNOWN` with its reason; anything else that differs fails.
//!
//! `docs/reference/sdk-differences.md` is made from that table: `UPDATE_REFERENCE=1 cargo test -p unexpired-tests --test sdks` writes it anew.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use unexpired_core::*;
use unexpired_entra::ClientSecret;
use unexpired_google::ServiceAccount;
use unexpired_http::Client;
use unexpired_ibm::ApiKey;
use unexpired_testkit::{Endpoint, IdentityProvider, RecordedRequest, defaults};
use unexpired_tests::http::Request;
use unexpired_tests::sdk::{self, SdkToken};
use unexpired_tests::tls::TestCa;

/// One thing that the SDK's exchange and ours do not have in common.
struct Difference {
    sdk: &'static str,
    /// As in the keys of [`Exchange`].
    what: &'static str,
    theirs: Said,
    ours: Said,
    why: &'static str,
}

enum Said {
    /// It is not there.
    Nothing,
    /// It is there, and its value hangs on the machine, the version or chance.
    Something,
    Exactly(&'static str),
}

use Said::{Exactly, Nothing, Something};

/// All that is compared, by its place: `token request`, `other request LINE`, `field NAME`, `header NAME`, `JWT header NAME`, `JWT claim NAME`.
type Exchange = BTreeMap<String, String>;

#[test]
fn azure_identity() {
    // This SDK takes no plain http.
    let ca = TestCa::new();
    let pem = |file| std::fs::read_to_string(file).unwrap();
    let (certificate, key) = (pem(ca.certificate_file()), pem(ca.key_file()));
    let idp = IdentityProvider::builder().https_certificate(certificate, key).blocking_start().unwrap();
    let authority = idp.https_url().unwrap();
    let (tenant, id, secret, scope) =
        (defaults::TENANT, defaults::CLIENT_ID, defaults::CLIENT_SECRET, defaults::ENTRA_SCOPE);
    let began = unix_now();
    let Some(got) = sdk::azure_identity(authority, &ca, tenant, id, secret, scope) else { return };
    issued(&idp, got, "azure-identity");
    let theirs = exchange(&idp, Endpoint::Entra, began);

    let source = ClientSecret::builder(tenant, id, Arc::new(Secret::new(secret)))
        .authority(authority)
        .scope(scope)
        .client(Client::builder().ca_file(ca.ca_file()).build().unwrap())
        .build()
        .unwrap();
    compare("azure-identity", &theirs, &ours(&idp, source, Endpoint::Entra));
}

#[test]
fn google_auth_by_the_grant() {
    let idp = IdentityProvider::blocking_start().unwrap();
    let key = idp.service_account_json();
    let began = unix_now();
    let Some(got) = sdk::google_auth(key.expose(), defaults::GOOGLE_SCOPE, None, false) else { return };
    issued(&idp, got, "google-auth");
    let theirs = exchange(&idp, Endpoint::Google, began);

    let source = ServiceAccount::builder(Arc::new(key)).scope(defaults::GOOGLE_SCOPE).build().unwrap();
    compare("google-auth", &theirs, &ours(&idp, source, Endpoint::Google));
}

#[test]
fn google_auth_as_a_user_of_the_workspace() {
    const USER: &str = "robot@example.com";
    let pem = include_str!("../../fixtures/keys/test-rsa-2048.pem");
    let account = unexpired_testkit::ServiceAccount::new(defaults::SERVICE_ACCOUNT, "key-1", pem).delegated();
    let idp = IdentityProvider::builder().service_account(account).blocking_start().unwrap();
    let key = Secret::from(
        serde_json::json!({
            "type": "service_account", "client_email": defaults::SERVICE_ACCOUNT, "private_key": pem,
            "private_key_id": "key-1", "token_uri": idp.google_token_url(),
        })
        .to_string(),
    );
    let began = unix_now();
    let Some(got) = sdk::google_auth(key.expose(), defaults::GOOGLE_SCOPE, Some(USER), false) else { return };
    issued(&idp, got, "google-auth");
    let theirs = exchange(&idp, Endpoint::Google, began);
    assert_eq!(theirs["JWT claim sub"], USER);

    let source = ServiceAccount::builder(Arc::new(key)).scope(defaults::GOOGLE_SCOPE).subject(USER).build().unwrap();
    compare("google-auth", &theirs, &ours(&idp, source, Endpoint::Google));
}

#[test]
fn google_auth_self_signed() {
    let idp = IdentityProvider::blocking_start().unwrap();
    let key = idp.service_account_json();
    let began = unix_now();
    let Some(got) = sdk::google_auth(key.expose(), defaults::GOOGLE_SCOPE, None, true) else { return };
    let got = got.unwrap();
    let mut theirs = Exchange::new();
    jwt(&got.token, began, &mut theirs);

    let source =
        ServiceAccount::builder(Arc::new(key)).scope(defaults::GOOGLE_SCOPE).self_signed(true).build().unwrap();
    let began = unix_now();
    let token = TokenManager::builder("ours", source).build().blocking_token().unwrap();
    let mut ours = Exchange::new();
    jwt(token.secret(), began, &mut ours);
    assert_eq!(idp.requests().len(), 0, "nobody is asked");
    accepted(&idp, &got.token);
    accepted(&idp, token.secret());
    compare("google-auth, self-signed", &theirs, &ours);
}

#[test]
fn ibm_cloud_sdk_core() {
    let idp = IdentityProvider::blocking_start().unwrap();
    let began = unix_now();
    let Some(got) = sdk::ibm_cloud_sdk_core(idp.ibm_endpoint(), defaults::API_KEY) else { return };
    issued(&idp, got, "ibm-cloud-sdk-core");
    let theirs = exchange(&idp, Endpoint::Ibm, began);

    let source =
        ApiKey::builder(Arc::new(Secret::new(defaults::API_KEY))).endpoint(idp.ibm_endpoint()).build().unwrap();
    compare("ibm-cloud-sdk-core", &theirs, &ours(&idp, source, Endpoint::Ibm));
}

#[test]
fn the_page_of_differences_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/sdk-differences.md");
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&file, page()).unwrap();
    }
    let found = std::fs::read_to_string(file).unwrap_or_default();
    assert!(found == page(), "the page is old: UPDATE_REFERENCE=1 cargo test -p unexpired-tests --test sdks");
}

/// The SDK's token is one that testkit issued and takes, and the SDK is right about its life.
fn issued(idp: &IdentityProvider, got: Result<SdkToken, String>, sdk: &str) {
    let got = got.unwrap_or_else(|error| panic!("{sdk}: {error}"));
    assert!(got.sdk.starts_with(sdk), "{}", got.sdk);
    idp.assert_mints(1);
    // `exp` is rounded up to a whole second.
    assert!((3_500..=3_601).contains(&(got.expires_on - unix_now())), "{sdk}: {}", got.expires_on);
    let stated = jwt_part(&got.token, 1)["exp"].as_i64().unwrap();
    assert!((got.expires_on - stated).abs() <= 60, "{sdk} says {}, the token {stated}", got.expires_on);
    accepted(idp, &got.token);
}

fn accepted(idp: &IdentityProvider, token: &str) {
    let before = idp.resource_server().accepted();
    let header = format!("Bearer {token}");
    assert_eq!(Request::get(idp.resource_server().url()).header("authorization", &header).send().unwrap().status, 200);
    assert_eq!(idp.resource_server().accepted(), before + 1);
}

/// Mints with our source, and tells what testkit saw of it.
fn ours(idp: &IdentityProvider, source: impl TokenSource, endpoint: Endpoint) -> Exchange {
    idp.reset();
    let began = unix_now();
    let token = TokenManager::builder("ours", source).build().blocking_token().unwrap();
    idp.assert_mints(1);
    let exchange = exchange(idp, endpoint, began);
    accepted(idp, token.secret());
    exchange
}

/// All requests but those to the resource server, of which exactly one goes to `endpoint`.
fn exchange(idp: &IdentityProvider, endpoint: Endpoint, began: i64) -> Exchange {
    let requests: Vec<_> =
        idp.requests().into_iter().filter(|request| request.endpoint() != Endpoint::Resource).collect();
    let mut exchange = Exchange::new();
    for request in &requests {
        let line = format!("{} {}", request.method(), request.path());
        if request.endpoint() == endpoint {
            assert!(exchange.insert("token request".to_owned(), line).is_none(), "two token requests");
            assert_eq!(request.query(), "");
            token_request(request, began, &mut exchange);
        } else {
            *exchange.entry(format!("other request {line}")).or_default() += "sent";
        }
    }
    // Its port is another each time.
    for value in exchange.values_mut() {
        *value = value.replace(idp.url(), "SERVER");
    }
    exchange
}

fn token_request(request: &RecordedRequest, began: i64, exchange: &mut Exchange) {
    for (name, value) in request.form() {
        let known = match name.as_str() {
            "assertion" => {
                jwt(value, began, exchange);
                "a JWT".to_owned()
            }
            _ => value.clone(),
        };
        assert!(exchange.insert(format!("field {name}"), known).is_none(), "{name} is there twice");
    }
    for (name, value) in request.headers() {
        // They say how the message is transported, and nothing of what is asked for.
        if !["host", "content-length", "connection"].contains(&name.as_str()) {
            exchange.insert(format!("header {name}"), value.clone());
        }
    }
}

/// The parts of a JWT. Times are relative to `began`, before which it was not signed, and to each other.
fn jwt(jwt: &str, began: i64, exchange: &mut Exchange) {
    assert_eq!(jwt.split('.').count(), 3);
    for (name, value) in jwt_part(jwt, 0) {
        exchange.insert(format!("JWT header {name}"), text(&value));
    }
    let mut claims = jwt_part(jwt, 1);
    let time = |claims: &mut Map<String, Value>, name| claims.remove(name).and_then(|time| time.as_i64()).unwrap();
    let (iat, exp) = (time(&mut claims, "iat"), time(&mut claims, "exp"));
    let now = unix_now();
    let dated = [0, 10].into_iter().find(|back| (began - back..=now - back).contains(&iat));
    exchange.insert(
        "JWT claim iat".to_owned(),
        match dated {
            Some(0) => "now".to_owned(),
            Some(back) => format!("now - {back} s"),
            None => iat.to_string(),
        },
    );
    exchange.insert("JWT claim exp".to_owned(), format!("iat + {} s", exp - iat));
    for (name, value) in claims {
        exchange.insert(format!("JWT claim {name}"), text(&value));
    }
}

fn jwt_part(jwt: &str, at: usize) -> Map<String, Value> {
    let part = jwt.split('.').nth(at).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().map_or(value.to_string(), str::to_owned)
}

/// Fails for each difference that is not known, and for each known one that is there no longer.
fn compare(sdk: &str, theirs: &Exchange, ours: &Exchange) {
    let mut wrong = String::new();
    let known = |what: &str| KNOWN.iter().find(|known| (known.sdk, known.what) == (sdk, what));
    let places: BTreeSet<&str> = theirs.keys().chain(ours.keys()).map(String::as_str).collect();
    for what in &places {
        let (theirs, ours) = (theirs.get(*what), ours.get(*what));
        let expected = match known(what) {
            Some(known) => known.theirs.is(theirs) && known.ours.is(ours),
            None => theirs == ours,
        };
        if !expected {
            writeln!(wrong, "{what}\n  theirs {theirs:?}\n  ours   {ours:?}").unwrap();
        }
    }
    for known in KNOWN.iter().filter(|known| known.sdk == sdk && !places.contains(known.what)) {
        writeln!(wrong, "{}: in the table, and in neither exchange", known.what).unwrap();
    }
    assert!(wrong.is_empty(), "{sdk} and we differ in what the table does not tell:\n{wrong}");
    assert!(theirs.iter().filter(|(what, value)| ours.get(*what) == Some(value)).count() >= 4, "{theirs:?}");
}

impl Said {
    fn is(&self, value: Option<&String>) -> bool {
        match self {
            Nothing => value.is_none(),
            Something => value.is_some(),
            Exactly(text) => value.is_some_and(|value| value == text),
        }
    }

    fn shown(&self) -> String {
        match self {
            Nothing => "–".to_owned(),
            Something => "present".to_owned(),
            Exactly(text) => format!("`{text}`"),
        }
    }
}

fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    let mut sdk = "";
    for known in KNOWN {
        if known.sdk != sdk {
            sdk = known.sdk;
            write!(page, "\n## {sdk}\n\n| what | the SDK | unexpired | why |\n|---|---|---|---|\n").unwrap();
        }
        let Difference { what, theirs, ours, why, .. } = known;
        writeln!(page, "| {what} | {} | {} | {why} |", theirs.shown(), ours.shown()).unwrap();
    }
    page
}

fn unix_now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

const KNOWN: &[Difference] = &[
    Difference {
        sdk: "azure-identity",
        what: "other request GET /11111111-2222-4333-8444-555555555555/v2.0/.well-known/openid-configuration",
        theirs: Exactly("sent"),
        ours: Nothing,
        why: "The SDK looks up the token endpoint in the tenant's discovery document first. Ours is made from the authority and the tenant, as Microsoft documents it, which saves a round trip.",
    },
    Difference {
        sdk: "azure-identity",
        what: "field client_info",
        theirs: Exactly("1"),
        ours: Nothing,
        why: "Asks for a second document about the signed-in account, by which the SDK keys its cache. Tokens of an application have no account, and nothing reads it.",
    },
    Difference {
        sdk: "azure-identity",
        what: "header client-request-id",
        theirs: Something,
        ours: Something,
        why: "A new random id for each request on both sides: Entra repeats it as `correlation_id`.",
    },
    Difference {
        sdk: "azure-identity",
        what: "header x-ms-client-request-id",
        theirs: Something,
        ours: Nothing,
        why: "A second request id, which the SDK's HTTP pipeline adds to the one that Entra repeats.",
    },
    Difference {
        sdk: "azure-identity",
        what: "header x-ms-lib-capability",
        theirs: Exactly("retry-after, h429"),
        ours: Nothing,
        why: "Announces that the SDK obeys `Retry-After`. unexpired obeys it, too, and does not announce it.",
    },
    Difference {
        sdk: "azure-identity",
        what: "header x-client-current-telemetry",
        theirs: Something,
        ours: Nothing,
        why: "Telemetry. unexpired sends none.",
    },
    Difference {
        sdk: "azure-identity",
        what: "header x-client-last-telemetry",
        theirs: Something,
        ours: Nothing,
        why: "Telemetry.",
    },
    Difference {
        sdk: "azure-identity",
        what: "header x-client-os",
        theirs: Something,
        ours: Nothing,
        why: "Telemetry.",
    },
    Difference {
        sdk: "azure-identity",
        what: "header x-client-sku",
        theirs: Exactly("MSAL.Python"),
        ours: Nothing,
        why: "Telemetry.",
    },
    Difference {
        sdk: "azure-identity",
        what: "header x-client-ver",
        theirs: Something,
        ours: Nothing,
        why: "Telemetry.",
    },
    Difference {
        sdk: "azure-identity",
        what: "header accept-encoding",
        theirs: Exactly("gzip, deflate"),
        ours: Exactly("identity"),
        why: ENCODING,
    },
    Difference {
        sdk: "azure-identity",
        what: "header user-agent",
        theirs: Something,
        ours: Something,
        why: USER_AGENT,
    },
    Difference {
        sdk: "google-auth",
        what: "JWT claim aud",
        theirs: Exactly("https://oauth2.googleapis.com/token"),
        ours: Exactly("SERVER/google/token"),
        why: "At Google's own hosts unexpired signs the same `aud`. Any other server, as here, gets its own address (RFC 7523 section 3), so that it cannot redeem at Google what it was sent.",
    },
    Difference {
        sdk: "google-auth",
        what: "JWT claim iat",
        theirs: Exactly("now"),
        ours: Exactly("now - 10 s"),
        why: "Google refuses assertions from the future. Ten seconds back forgive a clock that is a little fast; both claim an hour from `iat`.",
    },
    Difference {
        sdk: "google-auth",
        what: "header accept",
        theirs: Exactly("*/*"),
        ours: Exactly("application/json"),
        why: "The answer is JSON; a proxy's page in HTML is not wanted.",
    },
    Difference {
        sdk: "google-auth",
        what: "header x-goog-api-client",
        theirs: Something,
        ours: Nothing,
        why: "Telemetry. unexpired sends none.",
    },
    Difference {
        sdk: "google-auth",
        what: "header accept-encoding",
        theirs: Exactly("gzip, deflate"),
        ours: Exactly("identity"),
        why: ENCODING,
    },
    Difference { sdk: "google-auth", what: "header user-agent", theirs: Something, ours: Something, why: USER_AGENT },
    Difference {
        sdk: "google-auth, self-signed",
        what: "JWT claim iat",
        theirs: Exactly("now"),
        ours: Exactly("now - 10 s"),
        why: "As above; the token ends ten seconds earlier for it, and unexpired counts with that.",
    },
    Difference {
        sdk: "ibm-cloud-sdk-core",
        what: "header accept-encoding",
        theirs: Exactly("gzip, deflate"),
        ours: Exactly("identity"),
        why: ENCODING,
    },
    Difference {
        sdk: "ibm-cloud-sdk-core",
        what: "header user-agent",
        theirs: Something,
        ours: Something,
        why: USER_AGENT,
    },
];

const USER_AGENT: &str = "Each names itself. unexpired tells neither the system nor the runtime.";

const ENCODING: &str = "An answer of a few kilobytes gains nothing by compression, and unexpired has no decompressor that an answer could overwhelm.";

const INTRODUCTION: &str = "# How the vendors' SDKs ask, and how unexpired asks\n\n\
    For the same credential, `azure-identity`, `google-auth` and `ibm-cloud-sdk-core` (Python, in the versions of \
    `tests/servers/requirements.txt`) and unexpired ask the same test server for a token. Compared are the requests that are sent, the path, every \
    field of the form, every header but `host`, `content-length` and `connection`, and of a JWT every header and claim.\n\n\
    What follows is all that differs. The test that compares them fails for a difference that does not stand here, and for one that stands here \
    and is gone; this page is made from its table (`tests/tests/sdks.rs`). *Present* is a value that hangs on the machine, the version or chance; \
    `SERVER` is the test server's address.\n";
