//! The arguments: what clap parses, and the words of the help. The reference page `docs/reference/commands.md` is made from it.

use crate::clients::Client;
use clap::{Args as Options, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;

/// Prints cloud bearer tokens that are never stale: minted natively, kept fresh, with a command to fall back on.
#[derive(Debug, Parser)]
#[command(
    name = "unexpired",
    version = VERSION,
    after_help = EXAMPLES,
    after_long_help = EXAMPLES_AND_CODES,
    subcommand_required = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Args {
    /// The configuration file, in place of the one in the user's configuration folder
    ///
    /// Without it: what UNEXPIRED_CONFIG names, else unexpired/config.toml in the user's configuration folder. A file in the working folder
    /// is never picked up by itself.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Tell on stderr what happens; tokens are shown as fingerprints
    #[arg(long, short, global = true)]
    pub(crate) verbose: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a token that is good for use now
    ///
    /// stdout is the token and one line end, nothing else. A token with export = "never" is not printed.
    #[command(after_help = TOKEN_EXAMPLES, override_usage = TOKEN_USAGE)]
    Token(TokenArgs),

    /// Answer a program in its own form: git, docker, cargo, kubectl, aws, …
    ///
    /// Where the program names a host, that host picks the token by its `hosts`; for any other host the answer is the contract's "nothing".
    /// Where it names none, the token's name is an argument. Some programs start a helper without arguments, by a name of their own: links to
    /// `unexpired` that are called so answer them.
    #[command(after_help = crate::commands::helper::EXAMPLES)]
    Helper(crate::commands::helper::HelperArgs),

    /// Say that a resource refused a token, which stands on stdin: it is handed out no more
    ///
    /// Only the current token falls; a late report of an old one changes nothing. If its replacement is refused as well within a minute the token
    /// is not the problem, and reports change nothing for 60 s, doubling to 15 min.
    #[command(after_help = REJECT_EXAMPLES)]
    Reject {
        /// The token's name in the configuration
        name: String,
    },

    /// Mint a token into the store and print nothing: what the other commands start when a mint must outlive them
    #[command(hide = true)]
    Mint(MintArgs),

    /// Show what is configured and kept; mints nothing and runs no command
    #[command(after_help = STATUS_EXAMPLES)]
    Status(StatusArgs),

    /// Look whether everything is as it should be: store, configuration, clocks, certificates, ports
    ///
    /// With --as also what shadows a client's set-up: left-over keys, stored logins, files that others can write. One line a finding, with the remedy; no
    /// values. Mints nothing, runs no command, changes nothing. Exits with 1 if a finding is `fail`.
    #[command(after_help = DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),

    /// Mint a token and ask whether it is accepted
    ///
    /// Sends one GET with the token, only to a host that the token's `hosts` names, and follows no redirect.
    #[command(after_help = PROBE_EXAMPLES)]
    Probe(ProbeArgs),

    /// Serve routes on loopback: each request goes on with a token that is fresh
    ///
    /// A client is given the URL of its route and the route's local key; it never holds the token. A request whose token is refused all the
    /// same is sent again with a new one before the client has seen anything. What is served where is told on stderr. The pages /-/healthz,
    /// /-/readyz and /-/metrics are there too; the last needs the key of `unexpired proxy key --metrics`. Listeners that systemd hands over
    /// are used in the place of its own; `unexpired service` sets that up. Ends on SIGINT and SIGTERM.
    #[command(after_help = PROXY_EXAMPLES, args_conflicts_with_subcommands = true, override_usage = PROXY_USAGE)]
    Proxy(ProxyArgs),

    /// Keep the proxy running: as a service of this user, or of the machine under an account of its own
    ///
    /// On Linux two units of systemd, of which one holds the sockets, so that nobody is refused while the proxy starts again; on macOS a launchd agent or
    /// daemon; on Windows a task.
    #[command(subcommand, after_help = crate::commands::service::EXAMPLES)]
    Service(crate::commands::service::ServiceCommand),

    /// Keep a token fresh in a file, or pass each new one on
    ///
    /// The file is replaced whole, well before its token is over, and holds the old one for as long as that lives. When there is no token to be had it
    /// is taken away, and FILE.failed says why and when the next attempt is. A program gets each new token on its standard input, or in its
    /// environment with --env, and is run again until it succeeds. Ends on SIGINT and SIGTERM, and leaves the file.
    #[command(after_help = WATCH_EXAMPLES)]
    // Boxed: every other command would carry its size.
    Watch(Box<WatchArgs>),

    /// Run a program with a proxy of its own, so that it never holds a token
    ///
    /// The proxy listens on a free port of loopback, has a key of its own, and ends with the program. Agents are known by their program's name or
    /// --as, and pointed at it by arguments, variables or a configuration folder; other programs find UNEXPIRED_PROXY_URL and UNEXPIRED_PROXY_KEY, and
    /// the variables of OpenAI's libraries. Variables that would shadow it, and those that hold secrets of the configuration's tokens, are taken
    /// out. Signals are passed on, and the exit code is the program's; 125 is a failure of ours, 126 a program that cannot be started, 127 one
    /// that is not there.
    #[command(after_help = crate::commands::run::EXAMPLES)]
    Run(crate::commands::run::RunArgs),

    /// Show what must change in a client's own configuration for a route, and with --write change it
    ///
    /// stdout is the difference, or the piece to paste; every value in it that is not of this change is masked, and so is the local key. A client is
    /// led through the proxy, which sees a refused token and never lets a request go bare; --printed has it start `unexpired token` instead.
    #[command(after_help = crate::commands::setup::EXAMPLES)]
    Setup(crate::commands::setup::SetupArgs),

    /// Watch a session that never sees a 401: requests over many 3-second lifetimes, an outage and a revocation
    ///
    /// Everything runs in this process and on loopback: an identity provider, a resource server that verifies every token, and clients that
    /// share one token manager. Exits with 1 if a client was left with a refusal or without a token.
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(DemoArgs),

    /// Serve an identity provider on loopback that mints tokens of any lifetime, for anyone's tests
    ///
    /// It speaks the wire forms of Entra, Google, IBM Cloud and OAuth 2.0, and takes faults, revocations and clock shifts over HTTP.
    /// stdout is a ready-made configuration file whose comments name the endpoints. Serves until it is interrupted.
    #[command(after_help = LAB_EXAMPLES)]
    Lab(LabArgs),

    /// Check the configuration, or print its schema
    #[command(subcommand, after_help = CONFIG_EXAMPLES)]
    Config(ConfigCommand),

    /// Keep a secret in the operating system's keyring, for `{ keyring = "SERVICE/ACCOUNT" }` in the configuration
    #[command(subcommand, after_help = SECRET_EXAMPLES)]
    Secret(SecretCommand),

    /// Print the completions of a shell
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },

    /// Print the manual page of the command, or of one of its subcommands
    #[command(after_help = MAN_EXAMPLES)]
    Man {
        /// The subcommand, such as `token` or `config check`; the whole command without it
        command: Vec<String>,
    },
}

#[derive(Debug, Options)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["name", "provider"])))]
pub(crate) struct TokenArgs {
    /// The token's name in the configuration
    pub(crate) name: Option<String>,

    /// Without a configuration: mint from this vendor's own environment variables
    #[arg(long, value_name = "PROVIDER")]
    pub(crate) provider: Option<Provider>,

    /// The scope to ask for, with --provider
    #[arg(long, requires = "provider", conflicts_with = "name", value_name = "SCOPE")]
    pub(crate) scope: Option<String>,

    /// The least life that the token must have left, such as 10m; a shorter one is still printed, with a warning
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) min_ttl: Option<Duration>,

    /// The client that asks: how much life its tokens need, how long it waits, and what it means if it comes back early
    ///
    /// Without --min-ttl and --timeout the token has as much life as this client needs, and the answer comes while the client still waits. One that
    /// keeps tokens (codex, claude) and comes back too early for the same one is given another, at most once in 60 s.
    #[arg(long = "as", value_name = "CLIENT")]
    pub(crate) client: Option<Client>,

    /// After how long this client asks again, where that is not its default
    #[arg(long, requires = "client", value_name = "DURATION", value_parser = duration)]
    pub(crate) client_interval: Option<Duration>,

    /// A new one, even if one is kept that looks good; a source that fails is still left alone for as long as it is
    #[arg(long)]
    pub(crate) fresh: bool,

    /// How to print it
    #[arg(long, default_value = "raw", value_name = "FORMAT")]
    pub(crate) format: Format,

    /// How long to wait for it, such as 4s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Options)]
pub(crate) struct MintArgs {
    /// The token's name in the configuration
    #[arg(required_unless_present = "provider", conflicts_with = "provider")]
    pub(crate) name: Option<String>,

    /// Without a configuration: mint from this vendor's own environment variables
    #[arg(long, value_name = "PROVIDER")]
    pub(crate) provider: Option<Provider>,

    /// The scope to ask for, with --provider
    #[arg(long, requires = "provider", conflicts_with = "name", value_name = "SCOPE")]
    pub(crate) scope: Option<String>,

    /// Not one that arrived before this moment, in nanoseconds since boot
    #[arg(long, value_name = "NANOSECONDS")]
    pub(crate) asked_at: Option<i64>,

    /// Not one that lives less than this
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) min_ttl: Option<Duration>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Provider {
    /// Microsoft Entra ID: AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET, …
    Entra,
    /// Google Cloud: GOOGLE_APPLICATION_CREDENTIALS
    Google,
    /// IBM Cloud: IBMCLOUD_API_KEY
    Ibm,
    /// Any OAuth 2.0 server: OAUTH_TOKEN_URL or OAUTH_ISSUER, OAUTH_CLIENT_ID, OAUTH_CLIENT_SECRET
    Oauth,
}

impl Provider {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Entra => "entra",
            Self::Google => "google",
            Self::Ibm => "ibm",
            Self::Oauth => "oauth",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// The token
    Raw,
    /// One JSON object: token, scheme, expires_at, expires_in, source, token_name, fingerprint, short
    Json,
    /// A header line: Authorization: Bearer …
    Header,
    /// In a step of GitHub Actions: masks the token in the log, then sets the step's outputs `token` and `expires_at`
    Github,
}

#[derive(Debug, Options)]
pub(crate) struct StatusArgs {
    /// Only this token
    pub(crate) name: Option<String>,

    /// One JSON object, for machines; with --watch one a line
    #[arg(long)]
    pub(crate) json: bool,

    /// Show it anew each second, each token's life as a bar; q or Ctrl-C ends it. Not in a terminal: as text, once a second
    #[arg(long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Options)]
pub(crate) struct DoctorArgs {
    /// The client whose set-up to look at, too
    #[arg(long = "as", value_name = "CLIENT")]
    pub(crate) client: Option<crate::commands::doctor::Agent>,

    /// One JSON object, for machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Options)]
pub(crate) struct ProbeArgs {
    /// The token's name in the configuration
    pub(crate) name: String,

    /// Where to send it; by default the root of the token's host, if `hosts` names exactly one
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Options)]
pub(crate) struct ProxyArgs {
    /// The routes to serve; all by default
    #[arg(value_name = "ROUTE")]
    pub(crate) routes: Vec<String>,

    /// The port on loopback for routes that have no place of their own
    #[arg(long, default_value_t = PROXY_PORT, value_name = "PORT")]
    pub(crate) port: u16,

    /// On Unix sockets let only this user connect, by number; may be repeated. The routes must then all be on sockets
    #[arg(long, value_name = "UID")]
    pub(crate) allow_uid: Vec<u32>,

    #[command(subcommand)]
    pub(crate) action: Option<ProxyCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProxyCommand {
    /// Print the local key of a route, which opens that route and no other; it is made if there is none
    #[command(after_help = PROXY_KEY_EXAMPLES)]
    Key(ProxyKeyArgs),
}

#[derive(Debug, Options)]
pub(crate) struct ProxyKeyArgs {
    /// The route
    #[arg(required_unless_present = "metrics", conflicts_with = "metrics")]
    pub(crate) route: Option<String>,

    /// The key of the page /-/metrics instead
    #[arg(long)]
    pub(crate) metrics: bool,

    /// Make a new key; the old one is honoured for five minutes
    #[arg(long)]
    pub(crate) rotate: bool,
}

#[derive(Debug, Options)]
#[command(group(clap::ArgGroup::new("where").required(true).multiple(true).args(["file", "exec", "openshell"])))]
pub(crate) struct WatchArgs {
    /// The token's name in the configuration
    pub(crate) name: String,

    /// The file to keep; what is there already must be a token in the same format
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// How the token stands in the file; raw by default
    #[arg(long, requires = "file", value_name = "FORMAT")]
    pub(crate) format: Option<WatchFormat>,

    /// The file's mode, in octal; 0600 by default
    #[arg(long, requires = "file", value_name = "MODE", value_parser = mode)]
    pub(crate) mode: Option<u32>,

    /// Whose the file is to be: USER, USER:GROUP or :GROUP, by name or number
    #[arg(long, requires = "file", value_name = "OWNER")]
    pub(crate) owner: Option<String>,

    /// Give the program of --exec the token in this variable, in the place of its standard input
    #[arg(long, requires = "exec", value_name = "NAME")]
    pub(crate) env: Option<String>,

    /// Pass each new token to this provider of OpenShell's gateway, by the program `openshell`
    #[arg(long, value_name = "PROVIDER")]
    pub(crate) openshell: Option<String>,

    /// What OpenShell's provider calls the credential; the token's name in capitals and _TOKEN by default
    #[arg(long, requires = "openshell", value_name = "KEY")]
    pub(crate) credential: Option<String>,

    /// Run a program with each new token; all that follows is the program's
    #[arg(long, num_args = 1.., allow_hyphen_values = true, value_names = ["PROGRAM", "ARG"])]
    pub(crate) exec: Option<Vec<std::ffi::OsString>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WatchFormat {
    /// The token, without a line end
    Raw,
    /// A header line, for `curl --header @FILE`
    Header,
    /// A line for each of the token's hosts, for `curl --netrc-file FILE`: the token as the password
    Netrc,
    /// One JSON object: token, scheme, expires_at, source, token_name, fingerprint
    Json,
}

#[derive(Debug, Options)]
pub(crate) struct DemoArgs {
    /// How long the session lasts: 10 to 3600 seconds
    #[arg(long, default_value_t = 30, value_name = "N", value_parser = clap::value_parser!(u16).range(10..=3600))]
    pub(crate) seconds: u16,

    /// One JSON object a line, for machines
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Options)]
pub(crate) struct LabArgs {
    /// The port on 127.0.0.1; any free one by default
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub(crate) port: u16,

    /// How long tokens live, such as 3s
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) lifetime: Option<Duration>,

    /// Serve HTTPS too, on a free port, with a certificate authority of its own
    #[arg(long)]
    pub(crate) https: bool,

    /// Print the endpoints as one JSON object instead
    #[arg(long)]
    pub(crate) json: bool,

    /// Write the ready-made configuration to this file too; it is removed at the end
    #[arg(long, value_name = "FILE")]
    pub(crate) config_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Check the configuration file: says what is wrong with file, line, key and remedy
    ///
    /// Looks whether the files and environment variables that it names are there. Reads no secret, runs no program, sends nothing.
    Check,
    /// Print the JSON Schema of the configuration file, for editors
    Schema,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Put the secret that stands on stdin there, in the place of what is there; a terminal does not show what is typed
    Set {
        /// The entry, as it stands in the configuration
        #[arg(value_name = "SERVICE/ACCOUNT")]
        entry: String,
    },
    /// Take the entry away
    Remove {
        /// The entry, as it stands in the configuration
        #[arg(value_name = "SERVICE/ACCOUNT")]
        entry: String,
    },
}

pub(crate) fn duration(text: &str) -> Result<Duration, &'static str> {
    unexpired::config::parse_duration(text).ok_or("write it as 10m, 1h30m, 4s or 250ms")
}

/// A file's mode: its owner reads and writes it, nobody else writes it, nobody runs it.
fn mode(text: &str) -> Result<u32, &'static str> {
    let mode = u32::from_str_radix(text, 8).map_err(|_| "write it in octal, such as 0640")?;
    if mode & !0o644 != 0 || mode & 0o600 != 0o600 {
        return Err("the owner reads and writes the file, others may at most read it: 0600, 0640, 0604 or 0644");
    }
    Ok(mode)
}

/// The version with the crypto backend that was compiled in.
pub(crate) const VERSION: &str = if cfg!(feature = "fips") {
    concat!(env!("CARGO_PKG_VERSION"), " (aws-lc-rs (fips))")
} else if cfg!(feature = "ring") {
    concat!(env!("CARGO_PKG_VERSION"), " (ring)")
} else if cfg!(feature = "aws-lc-rs") {
    concat!(env!("CARGO_PKG_VERSION"), " (aws-lc-rs)")
} else {
    concat!(env!("CARGO_PKG_VERSION"), " (none)")
};

const EXAMPLES: &str = "\
Examples:
  unexpired token corp                     print the token `corp` of the configuration
  unexpired token --provider ibm           no configuration: the vendor's own environment variables
  unexpired status                         what is configured
  unexpired demo                           see what it does, in half a minute";

const EXAMPLES_AND_CODES: &str = "\
Examples:
  unexpired token corp                     print the token `corp` of the configuration
  unexpired token --provider ibm           no configuration: the vendor's own environment variables
  unexpired status                         what is configured
  unexpired demo                           see what it does, in half a minute

Exit codes:
  0  done
  1  anything unforeseen
  2  wrong usage, or the configuration cannot work
  3  no token now, try later: unreachable, timed out, an answer that makes no sense
  4  refused: by the provider, or by the resource
  5  forbidden by policy: a host the token is not for, a token that may not be printed";

const TOKEN_USAGE: &str = "\
unexpired token [OPTIONS] NAME
       unexpired token [OPTIONS] --provider PROVIDER [--scope SCOPE]";

const TOKEN_EXAMPLES: &str = "\
Examples:
  unexpired token corp
  unexpired token corp --min-ttl 10m --timeout 4s
  unexpired token corp --format json
  unexpired token corp --format github     (a step's outputs: steps.ID.outputs.token)
  unexpired token corp --as codex            what a client's settings name as its command
  unexpired token corp --format header | curl -H @- https://contoso.openai.azure.us/openai/v1/models
  AZURE_TENANT_ID=… AZURE_CLIENT_ID=… AZURE_CLIENT_SECRET=… \\
    unexpired token --provider entra --scope https://cognitiveservices.azure.us/.default";

const REJECT_EXAMPLES: &str = "\
Examples:
  printf %s \"$TOKEN\" | unexpired reject corp
  unexpired token corp --fresh             the same doubt, without the token at hand";

const SECRET_EXAMPLES: &str = "\
Examples:
  unexpired secret set corp/ci-bot
  pass show corp | unexpired secret set corp/ci-bot
  unexpired secret remove corp/ci-bot";

const STATUS_EXAMPLES: &str = "\
Examples:
  unexpired status
  unexpired status corp --json
  unexpired status --watch";

const DOCTOR_EXAMPLES: &str = "\
Examples:
  unexpired doctor
  unexpired doctor --as codex
  unexpired doctor --as claude --json";

const PROBE_EXAMPLES: &str = "\
Examples:
  unexpired probe corp
  unexpired probe corp --url https://contoso.openai.azure.us/openai/v1/models";

const PROXY_USAGE: &str = "\
unexpired proxy [OPTIONS] [ROUTE]...
       unexpired proxy key [OPTIONS] ROUTE";

const PROXY_EXAMPLES: &str = "\
Examples:
  unexpired proxy
  unexpired proxy gov --port 9000
  OPENAI_BASE_URL=http://127.0.0.1:8639/gov OPENAI_API_KEY=$(unexpired proxy key gov) my-agent
  curl http://127.0.0.1:8639/-/healthz";

const PROXY_KEY_EXAMPLES: &str = "\
Examples:
  unexpired proxy key gov
  unexpired proxy key gov --rotate
  unexpired proxy key --metrics";

/// UNEX on the keypad of a telephone.
pub(crate) const PROXY_PORT: u16 = 8639;

const WATCH_EXAMPLES: &str = "\
Examples:
  unexpired watch corp --file /run/corp/token
  unexpired watch corp --file ~/.corp.header --format header      (curl --header @~/.corp.header)
  unexpired watch corp --file /srv/app/token --mode 0640 --owner app:app --exec systemctl reload app
  unexpired watch corp --env CORP_TOKEN --exec ./push.sh production
  unexpired watch corp --openshell corp --credential CORP_TOKEN";

const DEMO_EXAMPLES: &str = "\
Examples:
  unexpired demo
  unexpired demo --seconds 60
  unexpired demo --json | tail -n 1";

const LAB_EXAMPLES: &str = "\
Examples:
  unexpired lab
  unexpired lab --port 8080 --lifetime 3s --config-file lab.toml
  unexpired --config lab.toml token lab-entra";

const CONFIG_EXAMPLES: &str = "\
Examples:
  unexpired config check
  unexpired config check --config ./config.toml
  unexpired config schema > unexpired.schema.json";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  unexpired completions bash > ~/.local/share/bash-completion/completions/unexpired
  unexpired completions zsh > ~/.zfunc/_unexpired
  unexpired completions fish > ~/.config/fish/completions/unexpired.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  unexpired man | man -l -
  unexpired man token > ~/.local/share/man/man1/unexpired-token.1
  unexpired man config check | man -l -";

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_version_names_the_backend_that_runs() {
        assert!(VERSION.ends_with(&format!("({})", unexpired::crypto_backend())));
    }

    #[test]
    fn every_command_has_examples() {
        fn check(command: &clap::Command) {
            for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
                let own = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                let parents = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                let line = format!("unexpired {}", command.get_name());
                assert!(own.contains("Examples:") || parents.contains(&line), "{}", sub.get_name());
                check(sub);
            }
        }
        check(&Args::command());
    }
}
