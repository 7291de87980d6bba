//! The arguments of each contract, and the lines that set its clients up.

use crate::args::duration;
use crate::handout::Ask;
use clap::{Args as Options, Subcommand};
use std::time::Duration;

#[derive(Debug, Options)]
pub(crate) struct HelperArgs {
    #[command(subcommand)]
    pub(super) contract: Contract,
}

#[derive(Debug, Subcommand)]
pub(super) enum Contract {
    /// Kubernetes clients: an ExecCredential (v1, v1beta1) with the expiry
    #[command(after_help = KUBECTL)]
    Kubectl(KubectlArgs),

    /// AWS SDKs and the aws command: `credential_process`
    ///
    /// Needs a token that is AWS keys: provider = "command", answer = "aws-credentials".
    #[command(after_help = AWS)]
    Aws(NamedArgs),

    /// git's credential helper: get, store, erase; Bearer where git and the server know it, else a password with its expiry
    #[command(after_help = GIT)]
    Git(GitArgs),

    /// Docker's credential helper, also for podman, skopeo, buildah, oras, helm: get, store, erase, list
    #[command(after_help = DOCKER)]
    Docker(DockerArgs),

    /// cargo's credential provider: its JSON protocol with --cargo-plugin, else a token on stdout
    #[command(after_help = CARGO)]
    Cargo(CargoArgs),

    /// Google's libraries: the `executable` source of a federated credential (AIP-4117)
    ///
    /// Errors are in the answer; stderr stays empty, since google-auth reads it as part of the answer.
    #[command(after_help = GOOGLE_EXECUTABLE)]
    GoogleExecutable(NamedArgs),

    /// A stand-in for gcloud: `config config-helper`, `auth print-access-token`
    #[command(after_help = GCLOUD)]
    Gcloud(StandInArgs),

    /// A stand-in for az: `account get-access-token`; the resource or scope picks the token
    #[command(after_help = AZ)]
    Az(StandInArgs),

    /// A stand-in for azd: `auth token`; the scope picks the token
    #[command(after_help = AZD)]
    Azd(StandInArgs),

    /// A stand-in for keyring, as pip and uv call it: `get SERVICE USER`, `get SERVICE --mode creds`
    #[command(after_help = KEYRING)]
    Keyring(StandInArgs),

    /// pnpm's tokenHelper: the token with `Bearer` in front
    #[command(after_help = PNPM)]
    Pnpm(NamedArgs),

    /// Go's GOAUTH command
    ///
    /// go runs it once without a URL, and after each refusal with the URL; a token named by --token is given at once, for the host names among
    /// its `hosts`.
    #[command(after_help = GO)]
    Go(GoArgs),

    /// The credentials helper of Terraform and OpenTofu: get, store, forget
    #[command(after_help = TERRAFORM)]
    Terraform(TerraformArgs),

    /// The credential helper of Bazel and other build tools: get
    #[command(after_help = BAZEL)]
    Bazel(BazelArgs),

    /// Claude Code's headersHelper for an MCP server: a JSON object of headers
    #[command(after_help = CLAUDE_HEADERS)]
    ClaudeHeaders(HeadersArgs),

    /// OpenClaw's exec secret provider: JSON on stdin and stdout; the ids are names of tokens
    #[command(after_help = OPENCLAW)]
    Openclaw(OpenclawArgs),
}

/// What every contract knows.
#[derive(Clone, Debug, Default, Options)]
pub(super) struct Wait {
    /// The least life that the token should have left, such as 10m; for clients that are told no expiry
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) min_ttl: Option<Duration>,

    /// How long to wait for it, such as 4s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) timeout: Option<Duration>,
}

impl Wait {
    /// What is asked of the token; `otherwise` is how long this contract's clients wait, where nobody says.
    pub(super) fn ask(&self, otherwise: Option<Duration>) -> Ask {
        Ask { min_ttl: self.min_ttl, timeout: self.timeout.or(otherwise), whole_seconds: true, ..Ask::default() }
    }
}

/// Contracts that name a host.
#[derive(Clone, Debug, Default, Options)]
pub(super) struct ByHost {
    /// Only this token, where several are for one host; it still goes to its `hosts` only
    #[arg(long = "token", value_name = "NAME", env = "UNEXPIRED_TOKEN_NAME", hide_env_values = true)]
    pub(super) name: Option<String>,

    #[command(flatten)]
    pub(super) wait: Wait,
}

/// Contracts that name no host.
#[derive(Debug, Options)]
pub(super) struct NamedArgs {
    /// The token's name in the configuration
    pub(super) name: String,

    #[command(flatten)]
    pub(super) wait: Wait,
}

#[derive(Debug, Options)]
pub(super) struct KubectlArgs {
    /// The token's name; may be left out where the kubeconfig says provideClusterInfo: true, then the cluster's host picks it
    pub(super) name: Option<String>,

    #[command(flatten)]
    pub(super) wait: Wait,
}

#[derive(Debug, Options)]
pub(super) struct GitArgs {
    #[command(flatten)]
    pub(super) by: ByHost,

    /// The user name, where neither git nor the configuration (`username`) has one
    #[arg(long, value_name = "USER")]
    pub(super) username: Option<String>,

    /// get, store, erase or capability; git adds it. Others are ignored
    pub(super) operation: String,
}

#[derive(Debug, Options)]
pub(super) struct DockerArgs {
    #[command(flatten)]
    pub(super) by: ByHost,

    /// get, store, erase, list or version; the client adds it
    pub(super) verb: String,
}

#[derive(Debug, Options)]
pub(super) struct CargoArgs {
    #[command(flatten)]
    pub(super) options: CargoOptions,

    /// Speak the JSON protocol; cargo adds it, and sends the options above in a message of its own
    #[arg(long)]
    pub(super) cargo_plugin: bool,
}

#[derive(Clone, Debug, Default, Options)]
pub(super) struct CargoOptions {
    #[command(flatten)]
    pub(super) by: ByHost,

    /// The token alone, for registries that want it without `Bearer` in front
    #[arg(long)]
    pub(super) raw: bool,
}

#[derive(Debug, Options)]
pub(super) struct StandInArgs {
    #[command(flatten)]
    pub(super) by: ByHost,

    /// What the client says to the program that is stood in for
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    pub(super) said: Vec<String>,
}

#[derive(Debug, Options)]
pub(super) struct GoArgs {
    #[command(flatten)]
    pub(super) by: ByHost,

    /// The URL that was refused; go adds it
    pub(super) url: Option<String>,
}

#[derive(Debug, Options)]
pub(super) struct TerraformArgs {
    #[command(flatten)]
    pub(super) by: ByHost,

    /// get, store or forget; the client adds it
    pub(super) verb: String,

    /// The host, with its port; the client adds it
    pub(super) host: String,
}

#[derive(Debug, Options)]
pub(super) struct BazelArgs {
    #[command(flatten)]
    pub(super) by: ByHost,

    /// get; the client adds it
    pub(super) command: String,
}

#[derive(Debug, Options)]
pub(super) struct HeadersArgs {
    /// The token's name; without it the server's host picks the token
    pub(super) name: Option<String>,

    #[command(flatten)]
    pub(super) wait: Wait,
}

#[derive(Debug, Options)]
pub(super) struct OpenclawArgs {
    #[command(flatten)]
    pub(super) wait: Wait,
}

pub(crate) const EXAMPLES: &str = "\
Examples:
  unexpired helper kubectl prod
  git config --global credential.https://git.example.com.helper '!unexpired helper git'
  ln -s /usr/local/bin/unexpired ~/bin/docker-credential-unexpired
  unexpired helper git --help              the lines that set a client up

Links to unexpired by these names answer like the helper beside them:
  git-credential-unexpired                 git
  docker-credential-unexpired              docker
  cargo-credential-unexpired               cargo
  kubectl-credential-unexpired             kubectl
  terraform-credentials-unexpired          terraform
  bazel-credential-unexpired               bazel
  pnpm-credential-NAME                     pnpm NAME
  az, azd, gcloud, keyring                 the stand-ins";

const KUBECTL: &str = "\
Examples:
  unexpired helper kubectl prod

In the kubeconfig:
  users:
  - name: prod
    user:
      exec:
        apiVersion: client.authentication.k8s.io/v1
        command: /usr/local/bin/unexpired
        args: [helper, kubectl, prod]
        interactiveMode: Never
        provideClusterInfo: true           # then the token goes to clusters among its `hosts` only";

const AWS: &str = "\
Examples:
  unexpired helper aws dev

In ~/.aws/config:
  [profile dev]
  credential_process = /usr/local/bin/unexpired helper aws dev

In the configuration of unexpired:
  [token.dev]
  provider = \"command\"
  command  = [\"aws\", \"configure\", \"export-credentials\", \"--profile\", \"sso\", \"--format\", \"process\"]
  answer   = \"aws-credentials\"";

const GIT: &str = "\
Examples:
  git config --global credential.https://git.example.com.helper '!unexpired helper git'
  git config --global credential.helper unexpired    (with a link git-credential-unexpired on PATH)
  printf 'protocol=https\\nhost=git.example.com\\n' | unexpired helper git get";

const DOCKER: &str = "\
Examples:
  ln -s /usr/local/bin/unexpired ~/bin/docker-credential-unexpired
  echo registry.example.com | docker-credential-unexpired get

In ~/.docker/config.json:
  { \"credHelpers\": { \"registry.example.com\": \"unexpired\" } }";

const CARGO: &str = "\
Examples:
  CARGO_REGISTRY_INDEX_URL=sparse+https://cargo.example.com/ unexpired helper cargo

In ~/.cargo/config.toml, the JSON protocol (options may follow the program):
  [registries.corp]
  index = \"sparse+https://cargo.example.com/\"
  credential-provider = [\"/usr/local/bin/unexpired\"]

Or the token on stdout:
  credential-provider = [\"cargo:token-from-stdout\", \"/usr/local/bin/unexpired\", \"helper\", \"cargo\"]";

const GOOGLE_EXECUTABLE: &str = "\
Examples:
  unexpired helper google-executable corp

In the credential file that GOOGLE_APPLICATION_CREDENTIALS names:
  \"credential_source\": { \"executable\": {
    \"command\": \"/usr/local/bin/unexpired helper google-executable corp\", \"timeout_millis\": 30000 } }

In the environment of the client:
  GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES=1";

const GCLOUD: &str = "\
Examples:
  unexpired helper gcloud --token gcp config config-helper --format=json
  ln -s /usr/local/bin/unexpired ~/stand-ins/gcloud
  PATH=~/stand-ins:$PATH UNEXPIRED_TOKEN_NAME=gcp gcloud auth print-access-token

Without a name: the only token whose provider is google.";

const AZ: &str = "\
Examples:
  unexpired helper az account get-access-token --resource https://management.azure.com
  ln -s /usr/local/bin/unexpired ~/stand-ins/az
  PATH=~/stand-ins:$PATH python app.py     (AzureCliCredential, DefaultAzureCredential)

The token whose `scope` is the resource that is asked for.";

const AZD: &str = "\
Examples:
  unexpired helper azd auth token --output json --scope https://management.azure.com/.default
  ln -s /usr/local/bin/unexpired ~/stand-ins/azd
  PATH=~/stand-ins:$PATH python app.py     (AzureDeveloperCliCredential, DefaultAzureCredential)";

const KEYRING: &str = "\
Examples:
  unexpired helper keyring get https://pypi.example.com/simple/ oauth2accesstoken
  ln -s /usr/local/bin/unexpired ~/stand-ins/keyring
  PATH=~/stand-ins:$PATH pip install --keyring-provider subprocess --index-url https://oauth2accesstoken@pypi.example.com/simple/ pkg
  PATH=~/stand-ins:$PATH UV_KEYRING_PROVIDER=subprocess uv pip install --index-url https://oauth2accesstoken@pypi.example.com/simple/ pkg";

const PNPM: &str = "\
Examples:
  unexpired helper pnpm corp
  ln -s /usr/local/bin/unexpired /usr/local/bin/pnpm-credential-corp

In ~/.npmrc:
  //npm.example.com/:tokenHelper=/usr/local/bin/pnpm-credential-corp";

const GO: &str = "\
Examples:
  GOAUTH='/usr/local/bin/unexpired helper go' go mod download
  GOAUTH='/usr/local/bin/unexpired helper go --token corp' go mod download";

const TERRAFORM: &str = "\
Examples:
  ln -s /usr/local/bin/unexpired ~/.terraform.d/plugins/terraform-credentials-unexpired
  unexpired helper terraform get registry.example.com

In ~/.terraformrc:
  credentials_helper \"unexpired\" {}";

const BAZEL: &str = "\
Examples:
  ln -s /usr/local/bin/unexpired /usr/local/bin/bazel-credential-unexpired
  bazel build --credential_helper=cache.example.com=/usr/local/bin/bazel-credential-unexpired //...
  echo '{\"uri\":\"https://cache.example.com/\"}' | unexpired helper bazel get";

const CLAUDE_HEADERS: &str = "\
Examples:
  CLAUDE_CODE_MCP_SERVER_URL=https://mcp.example.com/mcp unexpired helper claude-headers

In .mcp.json:
  { \"mcpServers\": { \"corp\": { \"type\": \"http\", \"url\": \"https://mcp.example.com/mcp\",
    \"headersHelper\": \"/usr/local/bin/unexpired helper claude-headers\" } } }";

const OPENCLAW: &str = "\
Examples:
  echo '{\"protocolVersion\":1,\"provider\":\"unexpired\",\"ids\":[\"corp\"]}' | unexpired helper openclaw

In openclaw.json:
  \"secrets\": { \"providers\": { \"unexpired\": {
    \"source\": \"exec\", \"command\": \"/usr/local/bin/unexpired\", \"args\": [\"helper\", \"openclaw\"] } } }
  and where the key stands: { \"source\": \"exec\", \"provider\": \"unexpired\", \"id\": \"corp\" }

OpenClaw asks once, at its start. A token that should outlive that belongs behind the proxy.";
