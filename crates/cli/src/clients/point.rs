//! How each agent is pointed at a proxy of its own: by variables, arguments, or a configuration folder. To add an agent, add its line to `AGENTS` and the
//! function that the line names.

use super::Client;
use super::folder::Folder;
use super::splice;
use crate::failure::{Failure, USAGE};
use crate::{env, out};
use clap::ValueEnum;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What an API is spoken by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Api {
    /// OpenAI's chat completions
    OpenaiCompletions,
    /// OpenAI's responses
    OpenaiResponses,
    /// Anthropic's messages
    AnthropicMessages,
    /// Google's generateContent
    GoogleGenerativeAi,
}

/// What an agent is told.
pub(crate) struct Told<'a> {
    /// The proxy's URL, which stands for the route's upstream; no slash at its end.
    pub(crate) url: &'a str,
    /// The local key.
    pub(crate) key: &'a str,
    pub(crate) upstream: &'a str,
    pub(crate) api: Option<Api>,
    pub(crate) model: Option<&'a str>,
    /// The program's own arguments.
    pub(crate) arguments: &'a [OsString],
}

/// What makes a program go to the proxy.
#[derive(Debug, Default)]
pub(crate) struct Pointed {
    pub(crate) set: Vec<(&'static str, OsString)>,
    pub(crate) unset: &'static [&'static str],
    /// Arguments that stand before the program's own.
    pub(crate) arguments: Vec<String>,
    /// To be kept until the program ends.
    pub(crate) folder: Option<Folder>,
}

struct Line {
    /// None for any other program.
    client: Option<Client>,
    program: &'static str,
    /// Variables that would lead it elsewhere, or give it another credential.
    shadows: &'static [&'static str],
    /// What it puts behind its base URL by itself, where the upstream may hold it too.
    appends: Option<&'static str>,
    point: fn(&Told<'_>) -> Result<Pointed, Failure>,
}

const AGENTS: &[Line] = &[
    Line {
        client: Some(Client::Codex),
        program: "codex",
        shadows: &[
            "OPENAI_API_KEY",
            "OPENAI_BASE_URL",
            "CODEX_API_KEY",
            "CODEX_ACCESS_TOKEN",
            "OPENAI_FEDERATION_RULE_ID",
            "OPENAI_IDENTITY_TOKEN_FILE",
        ],
        appends: None,
        point: codex,
    },
    Line {
        client: Some(Client::Claude),
        program: "claude",
        shadows: &[
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_UNIX_SOCKET",
            "ANTHROPIC_FEDERATION_RULE_ID",
            "ANTHROPIC_IDENTITY_TOKEN_FILE",
            "CLAUDE_CODE_OAUTH_TOKEN",
            "CLAUDE_CODE_USE_BEDROCK",
            "CLAUDE_CODE_USE_VERTEX",
            "CLAUDE_CODE_USE_FOUNDRY",
            "CLAUDE_CODE_USE_GATEWAY",
        ],
        appends: Some("/v1"),
        point: claude,
    },
    Line {
        client: Some(Client::Copilot),
        program: "copilot",
        // A left-over bearer token goes before everything else.
        shadows: &["COPILOT_PROVIDER_BEARER_TOKEN", "COPILOT_PROVIDER_API_KEY_COMMAND"],
        appends: None,
        point: copilot,
    },
    Line { client: Some(Client::Pi), program: "pi", shadows: &[], appends: None, point: pi },
    Line { client: Some(Client::Openclaw), program: "openclaw", shadows: &[], appends: None, point: openclaw },
    Line {
        client: Some(Client::Gemini),
        program: "gemini",
        shadows: &[
            "GOOGLE_API_KEY",
            "GOOGLE_GENAI_USE_VERTEXAI",
            "GOOGLE_GENAI_USE_GCA",
            "GOOGLE_VERTEX_BASE_URL",
            "GOOGLE_CLOUD_ACCESS_TOKEN",
        ],
        appends: Some("/v1beta"),
        point: gemini,
    },
    Line { client: Some(Client::Opencode), program: "opencode", shadows: &[], appends: None, point: opencode },
    Line {
        client: Some(Client::Goose),
        program: "goose",
        shadows: &["OPENAI_BASE_URL", "OPENAI_CUSTOM_HEADERS", "ANTHROPIC_CUSTOM_HEADERS"],
        appends: None,
        point: goose,
    },
    Line {
        client: None,
        program: "",
        shadows: &["AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"],
        appends: None,
        point: other,
    },
];

/// The agent that a program of this name is.
pub(crate) fn known(program: &Path) -> Option<Client> {
    let name = program.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    AGENTS.iter().find(|line| line.program == name)?.client
}

/// How the program of an agent is called.
pub(crate) fn program_of(client: Option<Client>) -> &'static str {
    line(client).map_or("", |line| line.program)
}

/// Points it at the proxy.
pub(crate) fn point(client: Option<Client>, told: &Told<'_>) -> Result<Pointed, Failure> {
    let Some(line) = line(client) else { return Ok(Pointed::default()) };
    if let Some(end) = line.appends.filter(|end| told.upstream.trim_end_matches('/').ends_with(end)) {
        let program = line.program;
        out::to_stderr(&format!(
            "warning: {program} puts {end} behind its base URL, and the route's upstream ends with it too"
        ));
    }
    let mut pointed = (line.point)(told)?;
    pointed.unset = line.shadows;
    // Under names that no program reads by itself; what is configured refers to them.
    pointed.set.extend([(KEY, told.key.into()), (URL, told.url.into())]);
    Ok(pointed)
}

fn line(client: Option<Client>) -> Option<&'static Line> {
    AGENTS.iter().find(|line| line.client == client)
}

impl Told<'_> {
    fn api(&self) -> Api {
        Api::of(self.api, self.upstream)
    }

    /// The model: what was said, else what the program's own arguments say.
    fn model(&self) -> Option<&str> {
        let mut arguments = self.arguments.iter().filter_map(|argument| argument.to_str());
        let mut in_arguments = || loop {
            match arguments.next()? {
                "--model" => return arguments.next(),
                other => {
                    if let Some(model) = other.strip_prefix("--model=") {
                        return Some(model);
                    }
                }
            }
        };
        self.model.or_else(&mut in_arguments)
    }

    fn needed_model(&self, program: &str) -> Result<&str, Failure> {
        self.model().ok_or_else(|| {
            Failure::new(USAGE, format!("{program} must be told which model the route has"))
                .hint(format!("name it: unexpired run ROUTE --model MODEL -- {program} …"))
        })
    }

    fn has_argument(&self, name: &str) -> bool {
        let with_value = format!("{name}=");
        self.arguments
            .iter()
            .filter_map(|argument| argument.to_str())
            .any(|given| given == name || given.starts_with(&with_value))
    }

    fn key_and(&self, variables: &[(&'static str, &str)]) -> Vec<(&'static str, OsString)> {
        variables.iter().map(|(name, value)| (*name, OsString::from(value))).collect()
    }
}

/// By `-c`, which goes before every file and profile. `env_key` leaves the key out of the arguments.
fn codex(told: &Told<'_>) -> Result<Pointed, Failure> {
    let text = |value: &str| Value::from(value).to_string();
    let mut settings = vec![
        ("model_providers.unexpired.name".to_owned(), text("unexpired")),
        ("model_providers.unexpired.base_url".to_owned(), text(told.url)),
        ("model_providers.unexpired.env_key".to_owned(), text(KEY)),
        ("model_providers.unexpired.wire_api".to_owned(), text("responses")),
        ("model_provider".to_owned(), text("unexpired")),
    ];
    settings.extend(told.model.map(|model| ("model".to_owned(), text(model))));
    let arguments = settings.into_iter().flat_map(|(key, value)| ["-c".to_owned(), format!("{key}={value}")]).collect();
    Ok(Pointed { arguments, ..Pointed::default() })
}

fn claude(told: &Told<'_>) -> Result<Pointed, Failure> {
    let mut set = told.key_and(&[("ANTHROPIC_BASE_URL", told.url), ("ANTHROPIC_AUTH_TOKEN", told.key)]);
    set.extend(told.model.map(|model| ("ANTHROPIC_MODEL", model.into())));
    Ok(Pointed { set, ..Pointed::default() })
}

fn copilot(told: &Told<'_>) -> Result<Pointed, Failure> {
    let mut set = told.key_and(&[("COPILOT_PROVIDER_BASE_URL", told.url), ("COPILOT_PROVIDER_API_KEY", told.key)]);
    // What the user has set says more than a guess.
    if told.api.is_some() || env::text("COPILOT_PROVIDER_TYPE").is_none() {
        let anthropic = told.api() == Api::AnthropicMessages;
        set.push(("COPILOT_PROVIDER_TYPE", if anthropic { "anthropic" } else { "openai" }.into()));
    }
    if told.api == Some(Api::OpenaiResponses) {
        set.push(("COPILOT_PROVIDER_WIRE_API", "responses".into()));
    }
    set.extend(told.model.map(|model| ("COPILOT_MODEL", model.into())));
    Ok(Pointed { set, ..Pointed::default() })
}

/// By a folder through which its own is seen, with a provider more in `models.json`: a provider of its own is shadowed by no stored sign-in.
fn pi(told: &Told<'_>) -> Result<Pointed, Failure> {
    let model = told.needed_model("pi")?;
    let real = env::text("PI_CODING_AGENT_DIR").map_or_else(|| at_home(".pi/agent"), |path| Ok(PathBuf::from(path)))?;
    let provider = json!({
        "baseUrl": told.url,
        "api": told.api().name(),
        "apiKey": format!("${KEY}"),
        "models": [{ "id": model }],
    });
    let models = real.join("models.json");
    let known = std::fs::read_to_string(&models).unwrap_or_default();
    let text = splice::set(&known, &["providers", "unexpired"], &provider).map_err(|_| {
        Failure::new(USAGE, format!("{} is not JSON", models.display())).hint("correct it; pi reads it too")
    })?;
    let folder = Folder::over(&real, "models.json")?;
    folder.write("models.json", &text)?;
    let mut arguments = Vec::new();
    let is_command = |first: &OsString| first.to_str().is_some_and(|first| PI_COMMANDS.contains(&first));
    if !told.arguments.first().is_some_and(is_command) {
        if !told.has_argument("--provider") {
            arguments.extend(["--provider".to_owned(), "unexpired".to_owned()]);
        }
        if !told.has_argument("--model") {
            arguments.extend(["--model".to_owned(), model.to_owned()]);
        }
    }
    let set = vec![("PI_CODING_AGENT_DIR", folder.path().into())];
    Ok(Pointed { set, arguments, folder: Some(folder), ..Pointed::default() })
}

/// By a configuration that includes the user's own and has a provider more. The state folder stays.
fn openclaw(told: &Told<'_>) -> Result<Pointed, Failure> {
    let model = told.needed_model("openclaw")?;
    let real = match (env::text("OPENCLAW_CONFIG_PATH"), env::text("OPENCLAW_STATE_DIR")) {
        (Some(path), _) => PathBuf::from(path),
        (None, Some(state)) => Path::new(&state).join("openclaw.json"),
        (None, None) => at_home(".openclaw/openclaw.json")?,
    };
    let mut config = json!({
        "models": { "providers": { "unexpired": {
            "baseUrl": told.url,
            "api": told.api().name(),
            "apiKey": format!("${{{KEY}}}"),
            "models": [{ "id": model, "name": model }],
        } } },
        "agents": { "defaults": { "model": { "primary": format!("unexpired/{model}") } } },
    });
    let mut set = Vec::new();
    if real.is_file() {
        if let Some(config) = config.as_object_mut() {
            config.insert("$include".to_owned(), json!(real));
        }
        // It includes nothing from elsewhere unless it is told that it may.
        let roots = env::text("OPENCLAW_INCLUDE_ROOTS").unwrap_or_default();
        let roots = std::env::split_paths(&roots).filter(|root| !root.as_os_str().is_empty());
        let roots = std::env::join_paths(roots.chain(real.parent().map(Path::to_path_buf)));
        set.extend(roots.ok().map(|roots| ("OPENCLAW_INCLUDE_ROOTS", roots)));
    }
    let folder = Folder::new(&runtime_folder())?;
    let path = folder.write("openclaw.json", &format!("{config:#}\n"))?;
    set.push(("OPENCLAW_CONFIG_PATH", path.into()));
    Ok(Pointed { set, folder: Some(folder), ..Pointed::default() })
}

/// By variables, and a home in which its settings say that a key is used: without that it takes a base URL for a gateway, and stops.
fn gemini(told: &Told<'_>) -> Result<Pointed, Failure> {
    let home = env::text("GEMINI_CLI_HOME").map_or_else(|| at_home(""), |path| Ok(PathBuf::from(path)))?;
    let real = home.join(".gemini");
    let settings = real.join("settings.json");
    let known = std::fs::read_to_string(&settings).unwrap_or_default();
    let path = ["security", "auth", "selectedType"];
    let text = splice::set(&known, &path, &json!("gemini-api-key")).map_err(|_| {
        Failure::new(USAGE, format!("{} is not JSON", settings.display())).hint("correct it; gemini reads it too")
    })?;
    let folder = Folder::home(&real, ".gemini", "settings.json")?;
    folder.write("settings.json", &text)?;
    let mut set = told.key_and(&[("GOOGLE_GEMINI_BASE_URL", told.url), ("GEMINI_API_KEY", told.key)]);
    set.extend(told.model.map(|model| ("GEMINI_MODEL", model.into())));
    set.push(("GEMINI_CLI_HOME", folder.path().into()));
    Ok(Pointed { set, folder: Some(folder), ..Pointed::default() })
}

/// By a configuration in a variable, which is merged over its files. With a model by a provider of its own, else by its provider for the API.
fn opencode(told: &Told<'_>) -> Result<Pointed, Failure> {
    let (known, package) = match told.api() {
        Api::OpenaiCompletions => ("openai", "@ai-sdk/openai-compatible"),
        Api::OpenaiResponses => ("openai", "@ai-sdk/openai"),
        Api::AnthropicMessages => ("anthropic", "@ai-sdk/anthropic"),
        Api::GoogleGenerativeAi => ("google", "@ai-sdk/google"),
    };
    let (url, key) = (json!(told.url), json!(format!("{{env:{KEY}}}")));
    let text = env::text("OPENCODE_CONFIG_CONTENT").unwrap_or_default();
    let set = |text: &str, path: &[&str], value: &Value| {
        splice::set(text, path, value)
            .map_err(|_| Failure::new(USAGE, "OPENCODE_CONFIG_CONTENT is not JSON").hint("unset it"))
    };
    let text = match told.model {
        Some(model) => {
            let provider = json!({ "npm": package, "name": "unexpired", "options": { "baseURL": url, "apiKey": key }, "models": { model: {} } });
            let text = set(&text, &["provider", "unexpired"], &provider)?;
            set(&text, &["model"], &json!(format!("unexpired/{model}")))?
        }
        None => {
            let text = set(&text, &["provider", known, "options", "baseURL"], &url)?;
            set(&text, &["provider", known, "options", "apiKey"], &key)?
        }
    };
    let mut pointed = other(told)?;
    pointed.set.push(("OPENCODE_CONFIG_CONTENT", text.into()));
    Ok(pointed)
}

fn goose(told: &Told<'_>) -> Result<Pointed, Failure> {
    let mut set = match told.api() {
        Api::AnthropicMessages => told.key_and(&[
            ("GOOSE_PROVIDER", "anthropic"),
            ("ANTHROPIC_HOST", told.url),
            ("ANTHROPIC_API_KEY", told.key),
        ]),
        api => told.key_and(&[
            ("GOOSE_PROVIDER", "openai"),
            ("OPENAI_HOST", told.url),
            // The upstream holds what stands before it, such as v1.
            ("OPENAI_BASE_PATH", if api == Api::OpenaiResponses { "responses" } else { "chat/completions" }),
            ("OPENAI_API_KEY", told.key),
        ]),
    };
    set.extend(told.model.map(|model| ("GOOSE_MODEL", model.into())));
    Ok(Pointed { set, ..Pointed::default() })
}

/// The variables that OpenAI's libraries read, and most that speak their API.
fn other(told: &Told<'_>) -> Result<Pointed, Failure> {
    let set =
        told.key_and(&[("OPENAI_BASE_URL", told.url), ("OPENAI_API_BASE", told.url), ("OPENAI_API_KEY", told.key)]);
    Ok(Pointed { set, ..Pointed::default() })
}

impl Api {
    /// The API of a route: what was said, else what its upstream looks like.
    pub(crate) fn of(said: Option<Self>, upstream: &str) -> Self {
        said.unwrap_or(match () {
            () if upstream.contains("anthropic") => Self::AnthropicMessages,
            () if upstream.contains("generativelanguage.") => Self::GoogleGenerativeAi,
            () => Self::OpenaiCompletions,
        })
    }

    /// As pi and OpenClaw call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::OpenaiCompletions => "openai-completions",
            Self::OpenaiResponses => "openai-responses",
            Self::AnthropicMessages => "anthropic-messages",
            Self::GoogleGenerativeAi => "google-generative-ai",
        }
    }
}

pub(crate) fn at_home(path: &str) -> Result<PathBuf, Failure> {
    let home = std::env::home_dir().filter(|home| home.is_absolute());
    home.map(|home| home.join(path)).ok_or_else(|| Failure::new(USAGE, "no home folder is known").hint("set HOME"))
}

/// Where private folders of a session go.
fn runtime_folder() -> PathBuf {
    let of_session = env::text("XDG_RUNTIME_DIR").map(PathBuf::from);
    of_session.filter(|path| path.is_absolute() && path.is_dir()).unwrap_or_else(std::env::temp_dir)
}

/// The variable with the local key.
const KEY: &str = "UNEXPIRED_PROXY_KEY";
/// The variable with the proxy's URL.
const URL: &str = "UNEXPIRED_PROXY_URL";
/// Words that come first in pi's arguments, before which no option may stand.
const PI_COMMANDS: [&str; 7] = ["install", "remove", "uninstall", "update", "list", "config", "auth"];

#[cfg(test)]
mod tests {
    use super::*;

    fn told<'a>(upstream: &'a str, arguments: &'a [OsString]) -> Told<'a> {
        Told { url: "http://127.0.0.1:9", key: "unx-k", upstream, api: None, model: None, arguments }
    }

    #[test]
    fn a_program_is_known_by_its_name() {
        for (program, client) in [
            ("codex", Some(Client::Codex)),
            ("/usr/bin/claude", Some(Client::Claude)),
            ("copilot.exe", Some(Client::Copilot)),
            ("pi", Some(Client::Pi)),
            ("python3", None),
            ("", None),
            ("claude-wrapper", None),
        ] {
            assert_eq!(known(Path::new(program)), client, "{program}");
        }
    }

    #[test]
    fn every_agent_has_one_line() {
        for client in Client::value_variants().iter().copied().map(Some).chain([None]) {
            assert_eq!(AGENTS.iter().filter(|line| line.client == client).count(), 1, "{client:?}");
        }
    }

    #[test]
    fn no_key_stands_in_an_argument() {
        let in_folders = |client: &Client| matches!(client, Client::Pi | Client::Openclaw | Client::Gemini);
        for client in
            Client::value_variants().iter().filter(|client| !in_folders(client)).copied().map(Some).chain([None])
        {
            let pointed = point(client, &Told { model: Some("m"), ..told("https://api.example.com", &[]) }).unwrap();
            assert!(!pointed.arguments.concat().contains("unx-"), "{client:?}");
            assert!(pointed.set.contains(&(KEY, "unx-k".into())), "{client:?}");
            let both: Vec<_> = pointed.set.iter().filter(|(name, _)| pointed.unset.contains(name)).collect();
            assert!(both.is_empty(), "{client:?}: {both:?}");
        }
    }

    #[test]
    fn the_api_is_guessed_from_the_upstream_unless_it_is_said() {
        for (upstream, api) in [
            ("https://contoso.openai.azure.us/openai/v1", Api::OpenaiCompletions),
            ("https://api.anthropic.com", Api::AnthropicMessages),
            ("https://generativelanguage.googleapis.com", Api::GoogleGenerativeAi),
        ] {
            assert_eq!(told(upstream, &[]).api(), api);
            assert_eq!(Told { api: Some(Api::OpenaiResponses), ..told(upstream, &[]) }.api(), Api::OpenaiResponses);
        }
    }

    #[test]
    fn the_model_is_read_from_the_arguments_unless_it_is_said() {
        for (arguments, model) in [
            (&["-p", "--model", "m1"][..], Some("m1")),
            (&["--model=m2"], Some("m2")),
            (&["--model"], None),
            (&[], None),
        ] {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            assert_eq!(told("https://x.example", &arguments).model(), model);
            assert_eq!(Told { model: Some("m"), ..told("https://x.example", &arguments) }.model(), Some("m"));
        }
    }
}
