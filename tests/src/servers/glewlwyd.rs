//! Glewlwyd: a second provider, in C, legal and awkward.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::SECRET;
use crate::http::{Answer, Request};
use crate::presence::{Found, file, program, record};
use crate::process::{Process, free_port, home, text};

/// Glewlwyd on `http://127.0.0.1:PORT` with one OpenID plugin and one client.
///
/// What a client must bear: `token_type` is `bearer`; the endpoints in its discovery document have `//` in their path;
/// a wrong secret gets 403 and a used refresh token 400, both with an empty body; the parts of `client_secret_basic`
/// are *not* form-decoded, so that [`SECRET`] works there only if it is sent raw.
#[derive(Debug)]
pub struct Glewlwyd {
    process: Process,
    port: u16,
}

impl Glewlwyd {
    /// The client: `client_secret_basic` (raw) or `client_secret_post` with [`SECRET`]; scope `api`.
    pub const CLIENT: &str = "machine";

    /// Starts it. Access tokens live 3 s, refresh tokens 5 min; a refresh token is used once, a second use ends the
    /// whole family.
    pub fn start() -> Option<Self> {
        let found = record("glewlwyd", Package::find())?;
        // It cannot choose a port itself, and somebody may be faster.
        (0..4).find_map(|_| Self::start_on(&found, free_port())).or_else(|| panic!("glewlwyd found no free port"))
    }

    /// `http://127.0.0.1:PORT/api/oidc`: the folder of the discovery document. The issuer is [`issuer`](Self::issuer).
    pub fn url(&self) -> String {
        format!("{}/oidc", self.api())
    }

    /// `http://127.0.0.1:PORT/`. Its discovery document lies elsewhere, at [`url`](Self::url).
    pub fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// The token endpoint.
    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.url())
    }

    /// A first refresh token, by the password grant.
    pub fn first_refresh_token(&self) -> String {
        let form = [("grant_type", "password"), ("username", ADMIN), ("password", PASSWORD), ("scope", "openid api")];
        let request = Request::post(self.token_endpoint()).raw_basic(Self::CLIENT, SECRET).form(&form);
        request.send().expect("the server answers").text("refresh_token")
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.process.runs()
    }

    /// [`None`] if the port was taken.
    fn start_on(package: &Package, port: u16) -> Option<Self> {
        let home = home();
        let database = home.path().join("glewlwyd.db");
        package.make_database(&database);
        let config = home.path().join("glewlwyd.conf");
        std::fs::write(&config, package.config(port, &database)).expect("the home is writable");
        let argument = format!("--config-file={}", text(&config));
        let mut process = Process::start("glewlwyd", home, &["glewlwyd", &argument], &[]);
        let login = json!({ "username": ADMIN, "password": PASSWORD });
        let session = process.ready(|process| {
            if process.stdout().contains("Error initializing") || process.stderr().contains("Address already in use") {
                return Some(None);
            }
            let answer = Request::post(format!("http://127.0.0.1:{port}/api/auth/")).json(&login).send().ok()?;
            Some(answer.header("set-cookie").and_then(|cookie| cookie.split(';').next()).map(str::to_owned))
        })?;
        let this = Self { process, port };
        this.set_up(&session);
        Some(this)
    }

    fn set_up(&self, session: &str) {
        let api = self.api();
        let ask = |request: Request<'_>, body: &Value| {
            let answer: Answer = request.header("cookie", session).json(body).send().expect("the server answers");
            let why = String::from_utf8_lossy(&answer.body).into_owned();
            assert_eq!(answer.status, 200, "glewlwyd refuses its set-up: {why}");
        };
        let scope = json!({ "name": "api", "display_name": "api", "description": "api", "password_required": true,
            "scheme": {} });
        ask(Request::post(format!("{api}/scope/")), &scope);
        ask(Request::post(format!("{api}/mod/plugin/")), &plugin(&self.issuer()));
        let client = json!({
            "client_id": Self::CLIENT, "name": Self::CLIENT, "scope": ["api"], "confidential": true, "enabled": true,
            "password": SECRET, "client_secret": SECRET, "redirect_uri": ["http://127.0.0.1:1/"],
            "authorization_type": ["client_credentials", "password", "refresh_token"],
            "token_endpoint_auth_method": ["client_secret_basic", "client_secret_post"],
        });
        ask(Request::post(format!("{api}/client/")), &client);
        // The password grant gives a user only the scopes that the user has.
        let user = json!({ "username": ADMIN, "scope": ["g_admin", "g_profile", "api", "openid"] });
        ask(Request::put(format!("{api}/user/{ADMIN}")), &user);
    }

    fn api(&self) -> String {
        format!("http://127.0.0.1:{}/api", self.port)
    }
}

/// The Debian package, and sqlite3 to make its database.
struct Package {
    schema: PathBuf,
    sqlite3: PathBuf,
    modules: PathBuf,
}

impl Package {
    fn find() -> Found<Self> {
        program("glewlwyd")?;
        let sqlite3 = program("sqlite3").map_err(|_| "sqlite3 is not installed".to_owned())?;
        // The copy in the package's doc folder is missing on systems that install no documentation.
        let schema = file(PathBuf::from("/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3"))?;
        let modules = file(PathBuf::from("/usr/lib/glewlwyd"))?;
        Ok(Self { schema, sqlite3, modules })
    }

    fn make_database(&self, database: &Path) {
        let schema = std::fs::File::open(&self.schema).expect("the schema is readable");
        let made = Command::new(&self.sqlite3).arg(database).stdin(schema).output().expect("sqlite3 runs");
        assert!(made.status.success(), "sqlite3: {}", String::from_utf8_lossy(&made.stderr));
    }

    fn config(&self, port: u16, database: &Path) -> String {
        let (modules, database) = (text(&self.modules), text(database));
        format!(
            r#"port={port}
bind_address="127.0.0.1"
external_url="http://127.0.0.1:{port}/"
login_url="login.html"
api_prefix="api"
log_mode="console"
log_level="WARNING"
cookie_secure=0
session_key="GLEWLWYD2_SESSION_ID"
session_expiration=3600
admin_scope="g_admin"
profile_scope="g_profile"
user_module_path="{modules}/user"
client_module_path="{modules}/client"
user_auth_scheme_module_path="{modules}/scheme"
plugin_module_path="{modules}/plugin"
hash_algorithm="SHA512"
database = {{ type="sqlite3"; path="{database}"; }}
"#
        )
    }
}

fn plugin(issuer: &str) -> Value {
    let parameters = json!({
        "iss": issuer, "jwt-type": "sha", "jwt-key-size": "256", "key": "fake signing key of a test server", "cert": "",
        "access-token-duration": 3, "refresh-token-duration": 300, "code-duration": 60,
        "refresh-token-rolling": true, "refresh-token-one-use": "always", "allow-non-oidc": true,
        "auth-type-client-enabled": true, "auth-type-password-enabled": true, "auth-type-refresh-enabled": true,
        "auth-type-code-enabled": false, "auth-type-code-revoke-replayed": true, "auth-type-token-enabled": false,
        "auth-type-id-token-enabled": false, "auth-type-none-enabled": false, "auth-type-device-enabled": false,
        "scope": [], "additional-parameters": [], "claims": [], "jwks-show": true, "jwks-x5c": [],
        "service-documentation": "", "op-policy-uri": "", "op-tos-uri": "", "subject-type": "public",
        "request-parameter-allow": false, "request-uri-allow-https-non-secure": false, "pkce-allowed": true,
        "pkce-method-plain-allowed": false, "introspection-revocation-allowed": false,
        "register-client-allowed": false, "session-management-allowed": false, "resource-allowed": false,
        "oauth-dpop-allowed": false, "oauth-rar-allowed": false, "oauth-par-allowed": false,
        "oauth-ciba-allowed": false,
    });
    json!({ "module": "oidc", "name": "oidc", "display_name": "oidc", "order_rank": 0, "readonly": false,
        "parameters": parameters })
}

/// The package's own first user.
const ADMIN: &str = "admin";

/// The password that the package gives it.
const PASSWORD: &str = "password";
