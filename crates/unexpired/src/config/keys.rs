//! The one table of keys. The parser, the JSON Schema and the reference page are all made from it, so none can say what another does not.

/// One key of the configuration.
pub(super) struct Key {
    pub(super) name: &'static str,
    /// Which providers know it; empty where all do.
    pub(super) providers: &'static [&'static str],
    pub(super) shape: Shape,
    /// Whether it must be there (for the providers that know it).
    pub(super) required: bool,
    /// Which of them cannot do without it, where that is not all.
    pub(super) required_by: &'static [&'static str],
    /// Whether it belongs to the token as a whole: no such key stands in a `fallback`.
    pub(super) outermost: bool,
    /// What it means, in full sentences, for the reference page and for editors.
    pub(super) about: &'static str,
    /// What holds without it; empty where it is required.
    pub(super) default: &'static str,
    /// The same for a provider with which it is another.
    pub(super) default_of: &'static [(&'static str, &'static str)],
    /// A value as it is written in TOML.
    pub(super) example: &'static str,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A string on one line that is not empty.
    Text,
    /// A string that is not empty and may have several lines.
    Script,
    /// A string that is not empty, or an array of such.
    Texts,
    /// An array of host patterns.
    Hosts,
    /// `true` or `false`.
    Bool,
    /// A string such as `"10m"`.
    Duration,
    /// One of these strings.
    Choice(&'static [&'static str]),
    /// An array of these strings.
    Choices(&'static [&'static str]),
    /// A path from the root.
    Path,
    /// An `https://` URL, or an `http://` URL of loopback.
    Url,
    /// A secret reference.
    Secret,
    /// A secret reference, or a path from the root as a string.
    SecretOrPath,
    /// A program and its arguments.
    Argv,
    /// A table of strings.
    Map,
    /// A port, from 1 to 65535.
    Port,
    /// An array of HTTP statuses from 400 to 499.
    Statuses,
    /// `SERVICE/ACCOUNT`.
    Entry,
    /// A table with the keys of a token.
    Fallback,
}

/// A key with what most keys have.
const fn key(name: &'static str, providers: &'static [&'static str], shape: Shape) -> Key {
    Key {
        name,
        providers,
        shape,
        required: false,
        required_by: &[],
        outermost: false,
        about: "",
        default: "",
        default_of: &[],
        example: "",
    }
}

impl Key {
    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn required_by(mut self, providers: &'static [&'static str]) -> Self {
        self.required_by = providers;
        self
    }

    const fn default_of(mut self, defaults: &'static [(&'static str, &'static str)]) -> Self {
        self.default_of = defaults;
        self
    }

    const fn outermost(mut self) -> Self {
        self.outermost = true;
        self
    }

    const fn about(mut self, about: &'static str, default: &'static str, example: &'static str) -> Self {
        self.about = about;
        self.default = default;
        self.example = example;
        self
    }

    /// Whether a table of `provider` cannot do without it.
    pub(super) fn is_required_by(&self, provider: &str) -> bool {
        self.is_for(provider) && (self.required || self.required_by.contains(&provider))
    }

    /// What holds without it, with `provider`.
    pub(super) fn default_with(&self, provider: &str) -> &'static str {
        self.default_of.iter().find(|(name, _)| *name == provider).map_or(self.default, |(_, default)| default)
    }

    /// Whether `provider` knows this key.
    pub(super) fn is_for(&self, provider: &str) -> bool {
        self.providers.is_empty() || self.providers.contains(&provider)
    }
}

/// The key of this name in `[token.NAME]`.
pub(super) fn token_key(name: &str) -> Option<&'static Key> {
    TOKEN.iter().find(|key| key.name == name)
}

/// Every provider, and what it is.
pub(super) const PROVIDERS: [(&str, &str); 5] = [
    ("entra", "Microsoft Entra ID, by client credentials with a client secret."),
    ("google", "Google Cloud, by the JSON key of a service account."),
    ("ibm", "IBM Cloud IAM, by an API key."),
    ("oauth", "Any OAuth 2.0 server, by client credentials or by a refresh token."),
    ("command", "Another program that prints a token."),
];

/// The providers' names.
pub(super) const PROVIDER_NAMES: &[&str] = &["entra", "google", "ibm", "oauth", "command"];

/// The keys of `[token.NAME]` and of `[token.NAME.fallback]`, in the order of the reference page.
pub(super) const TOKEN: &[Key] = &[
    key("provider", &[], Shape::Choice(PROVIDER_NAMES)).required().about(
        "Who mints the token. It decides which of the other keys are known.",
        "",
        "\"entra\"",
    ),
    key("scope", &["entra", "google", "ibm", "oauth"], Shape::Texts).required_by(&["entra"]).default_of(&[("google", "`https://www.googleapis.com/auth/cloud-platform`, unless `audience` is set")]).about(
        "What the token is for. Several scopes are an array, or one string with blanks between them. `entra` takes exactly one and requires it: a resource and `/.default`.",
        "none",
        "\"https://cognitiveservices.azure.us/.default\"",
    ),
    key("audience", &["google", "oauth"], Shape::Text).about(
        "The API that the token is for. `google`: the `aud` of a self-signed JWT, in place of scopes. `oauth`: the `audience` parameter that some servers (Auth0, Okta) ask for.",
        "none",
        "\"https://api.example.com/\"",
    ),
    key("hosts", &[], Shape::Hosts).outermost().about(
        "Where the token may be sent: host names without scheme and port. `*.example.com` covers every name below `example.com`, not `example.com` itself. What probes and what forwards the token sends it nowhere else.",
        "none: sent nowhere by `unexpired` itself",
        "[\"*.openai.azure.us\"]",
    ),
    key("export", &[], Shape::Choice(&["allowed", "never"])).outermost().about(
        "Whether the token may leave the process that minted it. With `never` it is not printed, stored or written.",
        "`allowed`",
        "\"never\"",
    ),
    key("username", &[], Shape::Text).outermost().about(
        "The user name that goes beside the token where a client wants one (git, docker, keyring).",
        "`entra`: `00000000-0000-0000-0000-000000000000`; `google`: `oauth2accesstoken`; `ibm`: `iambearer`; others: `oauth2`",
        "\"x-token-auth\"",
    ),
    key("min_ttl", &[], Shape::Duration).outermost().about(
        "The least life that a token should have left when it is handed out: moves the refresh earlier, at most to half of the life.",
        "none: refreshed when a quarter of the life is left, at most an hour",
        "\"10m\"",
    ),
    key("ca_file", &["entra", "google", "ibm", "oauth"], Shape::Path).about(
        "A PEM file with certificate authorities that are trusted beside those of `roots`.",
        "none",
        "\"/etc/corp/ca.pem\"",
    ),
    key("roots", &["entra", "google", "ibm", "oauth"], Shape::Choice(&["system", "bundled"])).about(
        "Which certificate authorities are trusted: the system's (and those in `SSL_CERT_FILE` and `SSL_CERT_DIR`), or Mozilla's list as it was when the program was built.",
        "`system`",
        "\"bundled\"",
    ),
    key("cloud", &["entra"], Shape::Choice(&["public", "us-government", "china"])).about(
        "The national cloud of the tenant. A tenant or a scope of one cloud with the authority of another is refused.",
        "`public`, or that of `authority`",
        "\"us-government\"",
    ),
    key("authority", &["entra"], Shape::Url).about(
        "Another login host than the cloud's own. The client secret is sent there.",
        "the login host of `cloud`",
        "\"https://login.sovcloud-identity.fr\"",
    ),
    key("tenant", &["entra"], Shape::Text).required().about(
        "The directory: its id, or one of its domains. Not `common`, `organizations` or `consumers`.",
        "",
        "\"contoso.onmicrosoft.us\"",
    ),
    key("issuer", &["oauth"], Shape::Url).about(
        "The server's issuer. Its token endpoint is discovered (OpenID Connect Discovery, RFC 8414). Either this or `token_url`.",
        "none",
        "\"https://login.example.com\"",
    ),
    key("token_url", &["google", "oauth"], Shape::Url).default_of(&[("google", "the key file's `token_uri`")]).about(
        "The token endpoint. `oauth`: either this or `issuer`. `google`: in place of the key file's `token_uri`.",
        "none",
        "\"https://login.example.com/oauth2/token\"",
    ),
    key("grant", &["oauth"], Shape::Choice(&["client_credentials", "refresh_token"])).about(
        "Which grant of RFC 6749 is used.",
        "`client_credentials`",
        "\"refresh_token\"",
    ),
    key("client_id", &["entra", "oauth"], Shape::Text).required().about(
        "The application's id.",
        "",
        "\"aaaaaaaa-0000-4000-8000-000000000001\"",
    ),
    key("client_secret", &["entra", "oauth"], Shape::Secret).required_by(&["entra"]).about(
        "The application's secret, as a secret reference: its value, not its id. `oauth` requires it for the client credentials grant.",
        "none, with the refresh-token grant",
        "{ file = \"/run/secrets/corp\" }",
    ),
    key("client_auth", &["oauth"], Shape::Choice(&["client_secret_basic", "client_secret_post", "none"])).about(
        "How the client authenticates itself. `none` is for public clients, which have no secret.",
        "`client_secret_basic` with a `client_secret`, `none` without",
        "\"client_secret_post\"",
    ),
    key("resource", &["oauth"], Shape::Texts).about(
        "The `resource` parameter of RFC 8707: absolute URIs without a fragment.",
        "none",
        "\"https://api.example.com/\"",
    ),
    key("refresh_token", &["oauth"], Shape::Secret).about(
        "The refresh token to begin with, as a secret reference; for the refresh-token grant. Where the server rotates it, the newest one is kept in `unexpired`'s state folder, and this place is only read. Putting another token in this place starts over with that one.",
        "none",
        "{ file = \"/run/secrets/corp-refresh\" }",
    ),
    key("refresh_token_file", &["oauth"], Shape::Path).about(
        "In place of `refresh_token`: a file that holds the refresh token, and that is replaced, crash-safely, whenever the server rotates it. Its folder must be writable; locks lie in a folder `.unexpired` beside it, so every process that uses the file takes its turn.",
        "none",
        "\"/var/lib/corp/refresh-token\"",
    ),
    key("params", &["oauth"], Shape::Map).about(
        "More parameters of the token request, by name. No secrets: they stand in this file.",
        "none",
        "{ organization = \"org_1\" }",
    ),
    key("credentials", &["google"], Shape::SecretOrPath).required().about(
        "The service account's JSON key: the path of the file, or a secret reference that yields its content.",
        "",
        "\"/run/secrets/ci-bot.json\"",
    ),
    key("self_signed", &["google"], Shape::Bool).about(
        "Whether the token is a JWT that the key itself signs (AIP-4111), without asking anybody.",
        "`false`; always so with `audience` and for keys of other universes",
        "true",
    ),
    key("subject", &["google"], Shape::Text).about(
        "The user in whose name the service account acts (domain-wide delegation).",
        "none",
        "\"robot@example.com\"",
    ),
    key("api_key", &["ibm"], Shape::Secret).required().about(
        "The API key, as a secret reference.",
        "",
        "{ env = \"CORP_IBM_KEY\" }",
    ),
    key("endpoint", &["ibm"], Shape::Url).about(
        "IAM's address, with or without `/identity/token`.",
        "`https://iam.cloud.ibm.com`",
        "\"https://private.iam.cloud.ibm.com\"",
    ),
    key("command", &["command"], Shape::Argv).about(
        "The program and its arguments; no shell reads them. A program without a path is looked up in the absolute entries of `PATH`. Either this or `shell`.",
        "none",
        "[\"az\", \"account\", \"get-access-token\", \"--output\", \"json\"]",
    ),
    key("shell", &["command"], Shape::Script).about(
        "A line for the shell: `sh -c`, on Windows `cmd /d /s /c`.",
        "none",
        "\"print-token | tail -n 1\"",
    ),
    key("answer", &["command"], Shape::Choice(&["token", "aws-credentials"])).outermost().about(
        "What the program prints. `aws-credentials`: AWS keys in the form of `credential_process`, handed out by `unexpired helper aws` alone. They are no bearer token: such a table has no `hosts` and no `fallback`, and no route uses it.",
        "`token`",
        "\"aws-credentials\"",
    ),
    key("timeout", &["command"], Shape::Duration).about(
        "How long the program may take, at most 20 s. Afterwards it and all that it started is killed.",
        "`10s`",
        "\"15s\"",
    ),
    key("ttl", &["command"], Shape::Duration).about(
        "The life of a token whose expiry neither the answer nor the token itself tells.",
        "`5m`",
        "\"1h\"",
    ),
    key("env", &["command"], Shape::Map).about(
        "More environment variables for the program. No secrets: they stand in this file.",
        "none: it gets the environment as it is",
        "{ AZURE_CONFIG_DIR = \"/var/lib/az\" }",
    ),
    key("cwd", &["command"], Shape::Path).about(
        "The program's working folder.",
        "`/`",
        "\"/var/lib/corp\"",
    ),
    key("fallback", &[], Shape::Fallback).about(
        "Another way to the same token: a table with a `provider` and its keys. It steps in where this one has nothing configured, cannot be reached, takes too long or makes no sense. While a usable token is held, only the way that gave it is asked.",
        "none",
        "{ provider = \"command\", command = [\"print-token\"] }",
    ),
    key("fallback_on", &[], Shape::Choices(&["denied", "unavailable", "timed_out", "malformed"])).about(
        "More failures in which the fallback steps in. The one to add is `denied`: the provider says no. The others are always in.",
        "`[\"unavailable\", \"timed_out\", \"malformed\"]`",
        "[\"denied\"]",
    ),
];

/// The keys of `[route.NAME]`.
pub(super) const ROUTE: &[Key] = &[
    key("token", &[], Shape::Text).required().about("The token that the route uses, by its name.", "", "\"corp\""),
    key("upstream", &[], Shape::Url).required().about(
        "Where the route's requests go. The token is sent there and nowhere else.",
        "",
        "\"https://contoso.openai.azure.us/openai/v1\"",
    ),
    key("header", &[], Shape::Text).about(
        "The header in which the upstream wants the token.",
        "`Authorization`",
        "\"api-key\"",
    ),
    key("scheme", &[], Shape::Text).about(
        "What stands before the token in that header; `none` for nothing.",
        "the token's own, `Bearer`, in `Authorization`; nothing in any other header",
        "\"Bearer\"",
    ),
    key("set_headers", &[], Shape::Map).about(
        "Headers that every request has, in place of the client's own. No secrets: they stand in this file.",
        "none",
        "{ x-team = \"search\" }",
    ),
    key("ca_file", &[], Shape::Path).about(
        "A PEM file with certificate authorities that are trusted for the upstream beside the system's.",
        "none",
        "\"/etc/corp/ca.pem\"",
    ),
    key("client_cert", &[], Shape::Path).about(
        "A PEM file with the certificate, and its chain, that the upstream asks for. `client_key` goes with it.",
        "none",
        "\"/etc/corp/client.pem\"",
    ),
    key("client_key", &[], Shape::Path).about(
        "A PEM file with the private key of `client_cert`.",
        "none",
        "\"/etc/corp/client-key.pem\"",
    ),
    key("port", &[], Shape::Port).about(
        "A port of loopback at which this route alone is served, without its name in the path.",
        "none: served under `/NAME` with the others",
        "8640",
    ),
    key("socket", &[], Shape::Path).about(
        "A Unix socket at which this route alone is served, without its name in the path. It is made with mode 0600.",
        "none",
        "\"/run/user/1000/gov.sock\"",
    ),
    key("expired_status", &[], Shape::Statuses).about(
        "Statuses with which this upstream says that the token has expired, beside 401. A 403 that says so in its header or its body is known without this.",
        "none",
        "[403]",
    ),
];

/// The keys outside of all tables.
pub(super) const TOP: &[Key] = &[key("store", &[], Shape::Choice(&["file", "keyring", "memory"])).about(
    "Where tokens, refresh tokens, failures and rejections are kept ([sharing](../concepts/sharing.md)): in files of this user; in the operating system's keyring, with nothing but locks in files; or nowhere but in the memory of the process. `UNEXPIRED_STORE` overrides it. It stands above all tables.",
    "`file`",
    "\"keyring\"",
)];

/// The keys of a secret reference: exactly one of them.
pub(super) const SECRET: &[Key] = &[
    key("file", &[], Shape::Path).about(
        "A file that holds the secret, read at every mint; one line end after it is not part of it.",
        "",
        "\"/run/secrets/corp\"",
    ),
    key("env", &[], Shape::Text).about("An environment variable, read at every mint.", "", "\"CORP_SECRET\""),
    key("command", &[], Shape::Argv).about(
        "A program and its arguments that prints the secret and nothing else; run at every mint, in `/`, without a shell and with nothing on its standard input, for at most 10 s. One line end after the secret is not part of it.",
        "",
        "[\"pass\", \"show\", \"corp\"]",
    ),
    key("keyring", &[], Shape::Entry).about(
        "An entry of the operating system's keyring, as `SERVICE/ACCOUNT`, read at every mint: put there by `unexpired secret set SERVICE/ACCOUNT`. Only what stands behind the last `/` is the account.",
        "",
        "\"corp/ci-bot\"",
    ),
];
