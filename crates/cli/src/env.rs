//! Every environment variable that the command, or what it is made of, reads: declared and documented here. `docs/reference/environment.md`
//! is made from it, and a test looks through the sources for variables that are missing.

use std::env;

/// A variable and what it does.
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
}

/// A group of variables that are read for one purpose.
pub(crate) struct Group {
    pub(crate) title: &'static str,
    pub(crate) about: &'static str,
    pub(crate) variables: &'static [Variable],
}

/// Whether people asked for no colour (<https://no-color.org>): set, and not empty.
pub(crate) fn no_color() -> bool {
    is_set("NO_COLOR")
}

/// Whether the terminal understands cursor movements.
pub(crate) fn term_is_capable() -> bool {
    let term = env::var_os("TERM").unwrap_or_default();
    // On Windows only the newer terminals do; they say who they are.
    (!term.is_empty() && term != "dumb") || is_set("WT_SESSION")
}

/// The text of a variable that is set and not empty.
pub(crate) fn text(name: &str) -> Option<String> {
    env::var(name).ok().filter(|text| !text.is_empty())
}

fn is_set(name: &str) -> bool {
    env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// All of them.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        title: "The command",
        about: "",
        variables: &[
            Variable { name: "UNEXPIRED_CONFIG", what: "The configuration file, where `--config` does not name one." },
            Variable {
                name: "XDG_CONFIG_HOME",
                what: "The user's configuration folder on Unix; `$HOME/.config` without it. An absolute path.",
            },
            Variable {
                name: "HOME",
                what: "The user's home. Without it, and always for the state folder, the passwd entry says it.",
            },
            Variable { name: "APPDATA", what: "The user's configuration folder on Windows." },
            Variable {
                name: "UNEXPIRED_STORE",
                what: "Where everything is kept, in place of what `store` in the configuration says: the absolute path of a folder, or `file`, `keyring` or `memory`, or both: `keyring:/srv/locks`. The folder is for what is no token, too: locks, and the proxy's local keys.",
            },
            Variable {
                name: "DBUS_SESSION_BUS_ADDRESS",
                what: "The bus on which the keyring is, on Linux and its like. Without it: `/run/user/UID/bus`.",
            },
            Variable { name: "LOCALAPPDATA", what: "The state folder on Windows." },
            Variable { name: "NO_COLOR", what: "If set and not empty, nothing is coloured." },
            Variable { name: "TERM", what: "`demo` draws pictures only on a terminal, and not on a `dumb` one." },
            Variable { name: "WT_SESSION", what: "Set by Windows Terminal, on which `demo` can draw." },
        ],
    },
    Group {
        title: "The network",
        about: "Loopback and link-local metadata addresses are always reached directly.",
        variables: &[
            Variable { name: "HTTPS_PROXY", what: "The proxy for HTTPS. Also in lower case." },
            Variable {
                name: "ALL_PROXY",
                what: "The proxy for everything, where `HTTPS_PROXY` is not set. Also in lower case.",
            },
            Variable { name: "NO_PROXY", what: "Hosts that are reached directly. Also in lower case." },
            Variable {
                name: "SSL_CERT_FILE",
                what: "A PEM file of certificate authorities to be trusted beside the system's; on Linux it is read in the place of the system's bundle.",
            },
            Variable { name: "SSL_CERT_DIR", what: "Folders of such files." },
        ],
    },
    Group {
        title: "`unexpired token --provider entra`",
        about: "The names that Microsoft's own libraries use.",
        variables: &[
            Variable { name: "AZURE_TENANT_ID", what: "The tenant: an id or a domain. Needed." },
            Variable { name: "AZURE_CLIENT_ID", what: "The application's id. Needed." },
            Variable { name: "AZURE_CLIENT_SECRET", what: "Its secret. Needed." },
            Variable {
                name: "AZURE_AUTHORITY_HOST",
                what: "Another authority, such as that of a national cloud: `https://login.microsoftonline.us`.",
            },
            Variable {
                name: "AZURE_FEDERATED_TOKEN_FILE",
                what: "Not used. If it is set and `AZURE_CLIENT_SECRET` is not, the error says so.",
            },
            Variable { name: "AZURE_CLIENT_CERTIFICATE_PATH", what: "Likewise." },
            Variable { name: "AZURE_USERNAME", what: "Likewise." },
        ],
    },
    Group {
        title: "`unexpired token --provider google`",
        about: "",
        variables: &[
            Variable {
                name: "GOOGLE_APPLICATION_CREDENTIALS",
                what: "The file with a service account's key. Without it: the file that `gcloud` keeps, if that is such a key.",
            },
            Variable {
                name: "CLOUDSDK_CONFIG",
                what: "The folder of `gcloud`; `~/.config/gcloud` or `%APPDATA%\\gcloud` without it.",
            },
        ],
    },
    Group {
        title: "`unexpired token --provider ibm`",
        about: "Names for the same key must not hold different keys.",
        variables: &[
            Variable { name: "IBMCLOUD_API_KEY", what: "The API key." },
            Variable { name: "IC_API_KEY", what: "The same, by its other name." },
            Variable { name: "WATSONX_APIKEY", what: "The API key, where neither of those is set." },
            Variable { name: "WATSONX_API_KEY", what: "The same, by its other name." },
            Variable { name: "IBMCLOUD_IAM_API_ENDPOINT", what: "Another IAM than `https://iam.cloud.ibm.com`." },
        ],
    },
    Group {
        title: "`unexpired token --provider oauth`",
        about: "There is no vendor, so these names are this project's own.",
        variables: &[
            Variable { name: "OAUTH_TOKEN_URL", what: "The token endpoint. This or `OAUTH_ISSUER` is needed." },
            Variable { name: "OAUTH_ISSUER", what: "The issuer, whose discovery document names the token endpoint." },
            Variable { name: "OAUTH_CLIENT_ID", what: "The client. Needed." },
            Variable { name: "OAUTH_CLIENT_SECRET", what: "Its secret. Needed." },
            Variable { name: "OAUTH_SCOPE", what: "The scope, where `--scope` gives none." },
            Variable { name: "OAUTH_AUDIENCE", what: "The audience, for servers that ask for one." },
        ],
    },
    Group {
        title: "`unexpired helper`",
        about: "Those of the clients are set by the clients.",
        variables: &[
            Variable {
                name: "UNEXPIRED_TOKEN_NAME",
                what: "The token's name, in the place of `--token`: for helpers that are started without arguments.",
            },
            Variable {
                name: "KUBERNETES_EXEC_INFO",
                what: "What a Kubernetes client asks for, and for which cluster.",
            },
            Variable { name: "CARGO_REGISTRY_INDEX_URL", what: "The registry that cargo wants a token for." },
            Variable { name: "CLAUDE_CODE_MCP_SERVER_URL", what: "The MCP server that Claude Code wants headers for." },
            Variable {
                name: "GOOGLE_EXTERNAL_ACCOUNT_TOKEN_TYPE",
                what: "The type of subject token that Google's libraries want.",
            },
            Variable {
                name: "GOOGLE_EXTERNAL_ACCOUNT_REVOKE",
                what: "1 where they want it revoked, which is refused.",
            },
        ],
    },
    Group {
        title: "`unexpired proxy` as a service",
        about: "Set by systemd. Programs that print tokens or secrets do not inherit them.",
        variables: &[
            Variable { name: "LISTEN_FDS", what: "How many listeners were handed over, at most 64." },
            Variable { name: "LISTEN_PID", what: "The process that they are for; another's are left alone." },
            Variable {
                name: "LISTEN_FDNAMES",
                what: "Their names. One that is a route's name means that route; the others are told apart by their address.",
            },
            Variable { name: "NOTIFY_SOCKET", what: "Where it is said that the proxy is ready, and that it ends." },
        ],
    },
    Group {
        title: "`unexpired service`",
        about: "`UNEXPIRED_STORE` goes into the service of a user, so that both find the same keys.",
        variables: &[
            Variable { name: "XDG_RUNTIME_DIR", what: "Where the user's systemd is found." },
            Variable { name: "USERDOMAIN", what: "On Windows: for which user the task is." },
            Variable { name: "USERNAME", what: "Likewise." },
            Variable { name: "PROGRAMFILES", what: "On Windows: where the machine's task and its configuration are." },
        ],
    },
    Group {
        title: "`unexpired run`",
        about: "What the program finds, and what decides where its configuration is. Variables that would lead an agent elsewhere are taken out for it: \
            `unexpired run --help`.",
        variables: &[
            Variable {
                name: "UNEXPIRED_PROXY_URL",
                what: "Set for the program: the proxy, which stands for the route's upstream.",
            },
            Variable { name: "UNEXPIRED_PROXY_KEY", what: "Set for the program: the key that opens it." },
            Variable {
                name: "XDG_RUNTIME_DIR",
                what: "Where the configuration that OpenClaw is given lies meanwhile.",
            },
            Variable {
                name: "AZURE_CLIENT_CERTIFICATE_PASSWORD",
                what: "Taken out, as every variable that holds a secret from which a token is minted.",
            },
            Variable { name: "AZURE_PASSWORD", what: "Likewise." },
            Variable { name: "AZURE_OPENAI_API_KEY", what: "Taken out for programs that are not known by name." },
            Variable { name: "AZURE_OPENAI_AD_TOKEN", what: "Likewise." },
            Variable { name: "CLAUDE_CODE_OAUTH_TOKEN", what: "Taken out for Claude Code." },
            Variable { name: "CLAUDE_CODE_USE_BEDROCK", what: "Likewise." },
            Variable { name: "CLAUDE_CODE_USE_VERTEX", what: "Likewise." },
            Variable { name: "CLAUDE_CODE_USE_FOUNDRY", what: "Likewise." },
            Variable { name: "CLAUDE_CODE_USE_GATEWAY", what: "Likewise." },
            Variable { name: "GOOGLE_GEMINI_BASE_URL", what: "Set for Gemini CLI." },
            Variable { name: "GOOGLE_API_KEY", what: "Taken out for Gemini CLI." },
            Variable { name: "GOOGLE_GENAI_USE_VERTEXAI", what: "Likewise." },
            Variable { name: "GOOGLE_GENAI_USE_GCA", what: "Likewise." },
            Variable { name: "GOOGLE_VERTEX_BASE_URL", what: "Likewise." },
            Variable { name: "GOOGLE_CLOUD_ACCESS_TOKEN", what: "Likewise." },
            Variable {
                name: "HTTP_PROXY",
                what: "Where this or another proxy is set, `NO_PROXY` gets loopback for the program.",
            },
        ],
    },
    Group {
        title: "`unexpired setup` and `unexpired run`",
        about: "Where agents have their configuration; each agent's own variables.",
        variables: &[
            Variable { name: "CODEX_HOME", what: "Codex's folder; `~/.codex` without it." },
            Variable { name: "CLAUDE_CONFIG_DIR", what: "Claude Code's; `~/.claude`." },
            Variable {
                name: "CLAUDE_CODE_API_KEY_HELPER_TTL_MS",
                what: "Written by `setup claude --client-interval`.",
            },
            Variable { name: "COPILOT_HOME", what: "Copilot CLI's; `~/.copilot`." },
            Variable { name: "COPILOT_PROVIDERS_CONFIG", what: "Its `providers.json`." },
            Variable { name: "COPILOT_PROVIDER_TYPE", what: "Kept by `run` if it is set." },
            Variable { name: "PI_CODING_AGENT_DIR", what: "pi's folder; `~/.pi/agent`." },
            Variable { name: "GEMINI_CLI_HOME", what: "The home in which Gemini CLI's `.gemini` is; the user's." },
            Variable { name: "OPENCLAW_CONFIG_PATH", what: "OpenClaw's configuration." },
            Variable { name: "OPENCLAW_STATE_DIR", what: "Its folder; `~/.openclaw`." },
            Variable {
                name: "OPENCLAW_INCLUDE_ROOTS",
                what: "From where its configuration may include; `run` adds the folder of the user's own.",
            },
            Variable {
                name: "OPENCODE_CONFIG",
                what: "opencode's configuration; `opencode/opencode.json` in the user's configuration folder.",
            },
            Variable { name: "OPENCODE_CONFIG_CONTENT", what: "A configuration over its files, to which `run` adds." },
        ],
    },
    Group {
        title: "`unexpired token --format github`",
        about: "",
        variables: &[Variable {
            name: "GITHUB_OUTPUT",
            what: "The file of a step's outputs, which GitHub Actions names; the token is appended to it.",
        }],
    },
    Group {
        title: "Programs of `unexpired watch --exec`",
        about: "They inherit the environment. With `--env` the variable that it names holds the token.",
        variables: &[
            Variable { name: "UNEXPIRED_TOKEN_NAME", what: "Set for them: the token's name." },
            Variable {
                name: "UNEXPIRED_EXPIRES_AT",
                what: "Set for them: when the token expires, as RFC 3339 in UTC; not set if it does not.",
            },
        ],
    },
    Group {
        title: "`unexpired doctor`",
        about: "It looks whether they are set, and of addresses whether they lead to this machine; it shows no values.",
        variables: &[
            Variable { name: "SUDO_USER", what: "Set by `sudo`: the store is root's then." },
            Variable {
                name: "CI",
                what: "A CI job; likewise `GITHUB_ACTIONS`, `GITLAB_CI`, `JENKINS_URL`, `BUILDKITE`, `TF_BUILD`.",
            },
            Variable { name: "CODEX_HOME", what: "`--as codex`: its folder." },
            Variable {
                name: "CLAUDE_CONFIG_DIR",
                what: "`--as claude`: its folder. Also `ANTHROPIC_BASE_URL`, `ANTHROPIC_API_KEY`, `ANTHROPIC_AUTH_TOKEN`, `CLAUDE_CODE_USE_BEDROCK`, `CLAUDE_CODE_USE_VERTEX`, `CLAUDE_CODE_USE_FOUNDRY`, `CLAUDE_CODE_API_KEY_HELPER_TTL_MS`.",
            },
            Variable {
                name: "COPILOT_PROVIDERS_CONFIG",
                what: "`--as copilot`: its file of providers. Also `COPILOT_PROVIDER_BASE_URL`, `COPILOT_PROVIDER_TYPE`, `COPILOT_PROVIDER_API_KEY`, `COPILOT_PROVIDER_API_KEY_COMMAND`, `COPILOT_PROVIDER_BEARER_TOKEN`.",
            },
            Variable {
                name: "GOOGLE_GEMINI_BASE_URL",
                what: "`--as gemini`: where it sends its requests. Also `GOOGLE_API_KEY`, `GOOGLE_GENAI_USE_VERTEXAI`, `GOOGLE_GENAI_USE_GCA`.",
            },
            Variable { name: "XDG_DATA_HOME", what: "`--as opencode`: where its logins lie." },
            Variable {
                name: "GOOSE_PROVIDER",
                what: "`--as goose`: what it asks. Also `OPENAI_HOST`, `OPENAI_BASE_URL`, `ANTHROPIC_HOST`, `AZURE_OPENAI_ENDPOINT`, `AZURE_OPENAI_AD_TOKEN`, `AZURE_OPENAI_API_KEY`.",
            },
            Variable {
                name: "OPENAI_API_KEY",
                what: "`--as pi`: wins over its configuration; likewise `ANTHROPIC_API_KEY`, `GEMINI_API_KEY`, `AZURE_OPENAI_API_KEY`.",
            },
        ],
    },
    Group {
        title: "Commands that print tokens or secrets",
        about: "They inherit the environment, with what the configuration sets in `env`.",
        variables: &[
            Variable {
                name: "PATH",
                what: "Where a program without a path is looked up: in its absolute entries only.",
            },
            Variable {
                name: "UNEXPIRED_CLAIMS",
                what: "Set for them: the claims that a resource demands, if it does.",
            },
            Variable {
                name: "UNEXPIRED_COMMAND",
                what: "Set to 1 for them: by it a stand-in for `az` or `gcloud` notices that the real one was meant.",
            },
            Variable { name: "CLOUDSDK_CORE_DISABLE_PROMPTS", what: "Set to 1 for them, unless it is set." },
            Variable { name: "AZURE_CORE_NO_COLOR", what: "Set to true for them, unless it is set." },
        ],
    },
];
