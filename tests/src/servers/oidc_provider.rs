//! oidc-provider: a certified OpenID provider.

use serde_json::{Value, json};

use crate::http::Request;
use crate::presence::{Found, file, installed, package, program, record};
use crate::process::{Process, home, text};
use crate::tls::TestCa;

/// A machine client that authenticates by `client_secret_basic` with [`SECRET`](super::SECRET).
pub const CLIENT_BASIC: &str = "basic";

/// A machine client that authenticates by `client_secret_post` with [`SECRET`](super::SECRET).
pub const CLIENT_POST: &str = "post";

/// A client with refresh tokens and the device flow, `client_secret_basic` with [`SECRET`](super::SECRET).
pub const USER_BASIC: &str = "user-basic";

/// A client with refresh tokens and the device flow, without a secret.
pub const USER_PUBLIC: &str = "user-public";

/// oidc-provider on `http://127.0.0.1:PORT` and `https://localhost:PORT`.
///
/// Access tokens are JWTs when a `resource` is asked for, opaque otherwise. They live 3 s, or as many seconds as the
/// resource says: `https://api.example/ttl=2` is the audience `https://api.example` for 2 s. Scopes are `api:read`
/// and `api:write`. Refresh tokens live 5 min and are used once; a second use ends the whole family.
#[derive(Debug)]
pub struct OidcProvider {
    process: Process,
    ca: TestCa,
    http: u64,
    https: u64,
}

impl OidcProvider {
    /// Starts it with the issuers `http://127.0.0.1:PORT` and `https://localhost:PORT`.
    pub fn start() -> Option<Self> {
        Self::start_with(None)
    }

    /// Starts it with Entra's issuer of this tenant and the claims `oid` and `tid`, so that Azurite takes its tokens.
    pub fn start_as_entra(tenant: &str) -> Option<Self> {
        Self::start_with(Some(tenant))
    }

    fn start_with(tenant: Option<&str>) -> Option<Self> {
        let modules = record("oidc-provider", modules("oidc-provider"))?;
        let ca = TestCa::new();
        let options = json!({
            "issuer": tenant.map(|tenant| format!("https://sts.windows.net/{tenant}/")), "tenant": tenant,
            "key": text(&ca.key_file()), "cert": text(&ca.certificate_file()),
        });
        let script = package().join("servers/oidc-provider.mjs");
        let command = ["node", text(&script), &modules, &options.to_string()];
        let mut process = Process::start("oidc-provider", home(), &command, &[]);
        let ports: Value = process.ready(|process| {
            let out = process.stdout();
            let line = out.split_inclusive('\n').find(|line| line.starts_with("{\"ready\"") && line.ends_with('\n'))?;
            serde_json::from_str(line).ok()
        });
        let port = |name: &str| ports.get(name).and_then(Value::as_u64).expect("the ready line has both ports");
        Some(Self { http: port("http"), https: port("https"), process, ca })
    }

    /// `http://127.0.0.1:PORT`, which is also the issuer (save for [`start_as_entra`](Self::start_as_entra)).
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// `https://localhost:PORT`, an issuer of its own with the same clients, to be trusted by [`ca`](Self::ca).
    pub fn https_url(&self) -> String {
        format!("https://localhost:{}", self.https)
    }

    /// The token endpoint over http.
    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.url())
    }

    /// The authority of the https certificate.
    pub fn ca(&self) -> &TestCa {
        &self.ca
    }

    /// A first refresh token, as a sign-in would give it, for a resource such as `https://api.example/ttl=2`.
    pub fn first_refresh_token(&self, client_id: &str, resource: Option<&str>) -> String {
        self.back_door("grant", &json!({ "client_id": client_id, "resource": resource })).text("refresh_token")
    }

    /// Queues faults; `[]` clears the queue. Each is an object with `path` (default `/token`), `times` (default 1) and
    /// `status` with `headers` and `body`, or `"drop": true` (handle the request, then cut the connection instead of
    /// answering), or `delay_ms`.
    pub fn faults(&self, faults: &Value) {
        assert_eq!(self.back_door("faults", faults).status, 200);
    }

    /// Counts since the start: `requests` by path, `answers` by path and status (`"/token 200"`), `granted` by grant
    /// type, `refused` by grant type and error code (`"refresh_token invalid_grant"`), `dropped`.
    pub fn stats(&self) -> Value {
        Request::get(format!("{}/-/stats", self.url())).send().expect("the server answers").json()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.process.runs()
    }

    fn back_door(&self, name: &str, body: &Value) -> crate::http::Answer {
        Request::post(format!("{}/-/{name}", self.url())).json(body).send().expect("the server answers")
    }
}

/// The folder whose `node_modules` holds the package.
pub(super) fn modules(package: &str) -> Found<String> {
    program("node").map_err(|_| "node is not installed".to_owned())?;
    file(installed().join("npm/node_modules").join(package).join("package.json"))?;
    Ok(text(&installed().join("npm")).to_owned())
}
