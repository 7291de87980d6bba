//! The clients: for each what would take the place of the token, and what keeps the client from asking for it.

use super::look::{Look, exposed, is_loopback, program};
use super::{Agent, Report};
use crate::sys;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use unexpired::text::one_line;

pub(super) fn examine(client: Agent, look: &Look, report: &mut Report) {
    let before = report.0.len();
    let mut this = Examination { about: client.name(), look, report };
    match client {
        Agent::Codex => this.codex(),
        Agent::Claude => this.claude(),
        Agent::Copilot => this.copilot(),
        Agent::Pi => this.pi(),
        Agent::Openclaw => this.openclaw(),
        Agent::Gemini => this.gemini(),
        Agent::Opencode => this.opencode(),
        Agent::Goose => this.goose(),
    }
    if report.0.len() == before {
        report.ok(client.name(), "nothing shadows it");
    }
}

struct Examination<'a> {
    about: &'static str,
    look: &'a Look,
    report: &'a mut Report,
}

impl Examination<'_> {
    fn warn(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.report.warn(self.about, what, remedy);
    }

    fn fail(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.report.fail(self.about, what, remedy);
    }

    /// <https://developers.openai.com/codex/config-reference>, and what 0.169 does.
    fn codex(&mut self) {
        let folder = self.look.folder("CODEX_HOME", ".codex");
        let file = folder.join("config.toml");
        self.rights(&file, false);
        self.login(&folder.join("auth.json"), "codex logout, if no provider of yours needs it");
        let Some(config) = self.config(&file, toml_text) else { return };
        let profile = config.get("profile").and_then(Value::as_str);
        let chosen = profile
            .and_then(|profile| config.get("profiles")?.get(profile)?.get("model_provider")?.as_str())
            .or_else(|| config.get("model_provider")?.as_str());
        let Some(name) = chosen else {
            return self
                .fail("no `model_provider` is chosen, so requests go to OpenAI with its own login", SET_UP_CODEX);
        };
        let shown = one_line(name, 40);
        let Some(provider) = config.get("model_providers").and_then(|all| all.get(name)) else {
            return self.fail(format!("[model_providers.{shown}] is chosen and not there"), SET_UP_CODEX);
        };
        let loopback = provider.get("base_url").and_then(Value::as_str).is_some_and(is_loopback);
        match provider.get("auth") {
            Some(auth) => {
                for key in ["env_key", "experimental_bearer_token", "requires_openai_auth", "aws"] {
                    if provider.get(key).is_some_and(|value| value != &Value::Bool(false)) {
                        let what =
                            format!("[model_providers.{shown}] has both `auth` and `{key}`, which Codex refuses");
                        self.fail(what, format!("remove {key}"));
                    }
                }
                if auth.get("refresh_interval_ms").and_then(Value::as_u64) == Some(0) {
                    let what =
                        format!("refresh_interval_ms of {shown} is 0: a token is asked for again only after a 401");
                    self.warn(what, "set it to 60000");
                }
                if auth.get("timeout_ms").and_then(Value::as_u64).is_some_and(|time| time < 4000) {
                    self.warn(format!("timeout_ms of {shown} is shorter than a mint may take"), "set it to 5000");
                }
                if let Some(command) = auth.get("command").and_then(Value::as_str) {
                    self.helper(command, false);
                }
                if !loopback {
                    let what = "when the command fails Codex sends its request without a credential";
                    self.warn(what, "prefer the proxy: unexpired setup codex ROUTE");
                }
            }
            None if loopback => self.report.ok(self.about, format!("{shown} goes through this machine")),
            None => {
                let what = format!("[model_providers.{shown}] has no `auth` and does not lead to the proxy");
                self.fail(what, SET_UP_CODEX);
            }
        }
        if let Some(variable) = provider.get("env_key").and_then(Value::as_str)
            && provider.get("auth").is_none()
            && !loopback
        {
            let what = format!("{shown} reads its key from the variable {}, once", one_line(variable, 60));
            self.warn(what, "use `auth`, or the proxy");
        }
    }

    /// The docs' "llm-gateway", and what 2.1.330 does.
    fn claude(&mut self) {
        let folder = self.look.folder("CLAUDE_CONFIG_DIR", ".claude");
        let files = [PathBuf::from("/etc/claude-code/managed-settings.json"), folder.join("settings.json")];
        let mut helper = false;
        let mut base = self.look.var("ANTHROPIC_BASE_URL").map(|url| url.to_string_lossy().into_owned());
        for file in files.iter().filter(|file| file.exists()) {
            self.rights(file, false);
            let Some(settings) = self.config(file, json_text) else { continue };
            if let Some(line) = settings.get("apiKeyHelper").and_then(Value::as_str) {
                helper = true;
                self.helper(line, false);
            }
            let variables = settings.get("env");
            let in_file = |name: &str| variables.and_then(|all| all.get(name)?.as_str()).map(str::to_owned);
            base = base.or_else(|| in_file("ANTHROPIC_BASE_URL"));
            for name in ANTHROPIC_KEYS {
                if helper && in_file(name).is_some() {
                    let what =
                        format!("`env` of {} sets {name} beside the helper: requests carry both", file.display());
                    self.fail(what, "remove it there");
                }
            }
        }
        let through_proxy = base.as_deref().is_some_and(is_loopback);
        let set: Vec<&str> = ANTHROPIC_KEYS.into_iter().filter(|name| self.look.is_set(name)).collect();
        for name in &set {
            if helper {
                let what = format!("{name} is set beside the helper: requests carry two identities");
                self.fail(what, format!("unset {name}"));
            } else if !through_proxy {
                self.fail(format!("{name} is set, and is what is sent"), format!("unset {name}"));
            }
        }
        if through_proxy && set.len() > 1 {
            self.warn("both ANTHROPIC_API_KEY and ANTHROPIC_AUTH_TOKEN are set", "unset the one that is no local key");
        }
        if !helper && !through_proxy {
            self.fail("neither `apiKeyHelper` nor a base URL on this machine is set", "unexpired setup claude ROUTE");
        } else if helper && !through_proxy {
            let what = "when the helper fails Claude Code sends its request with an empty credential";
            self.warn(what, "prefer the proxy: unexpired setup claude ROUTE");
        }
        for name in ["CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY"] {
            if self.look.is_set(name) {
                self.fail(format!("{name} is set, so another provider is asked"), format!("unset {name}"));
            }
        }
        let interval = self.look.var("CLAUDE_CODE_API_KEY_HELPER_TTL_MS");
        let interval = interval.and_then(|text| text.to_str()?.parse::<u64>().ok());
        if interval.is_some_and(|interval| interval > 300_000) {
            self.warn(
                "CLAUDE_CODE_API_KEY_HELPER_TTL_MS is longer than 5 min: tokens are used past what the helper reckons with",
                "unset it",
            );
        }
        self.login(&folder.join(".credentials.json"), "run /logout in Claude Code, if you do not use it");
    }

    /// `copilot help providers`, and what 1.0.102 does.
    fn copilot(&mut self) {
        let set = |name: &str| self.look.is_set(name);
        let (command, key) = (set("COPILOT_PROVIDER_API_KEY_COMMAND"), set("COPILOT_PROVIDER_API_KEY"));
        let (base, bearer) = (self.look.var("COPILOT_PROVIDER_BASE_URL"), set("COPILOT_PROVIDER_BEARER_TOKEN"));
        let loopback = base.as_ref().is_some_and(|url| is_loopback(&url.to_string_lossy()));
        if bearer && command {
            self.fail(
                "COPILOT_PROVIDER_BEARER_TOKEN is set, and wins over the command without a word",
                "unset COPILOT_PROVIDER_BEARER_TOKEN",
            );
        } else if (bearer || key) && !command && !loopback {
            self.fail(
                "a fixed credential is set for the provider, and is what is sent",
                "unset COPILOT_PROVIDER_BEARER_TOKEN COPILOT_PROVIDER_API_KEY",
            );
        }
        if key && command {
            self.warn(
                "COPILOT_PROVIDER_API_KEY is set and not used, for the command wins",
                "unset COPILOT_PROVIDER_API_KEY",
            );
        }
        let kind = self.look.var("COPILOT_PROVIDER_TYPE");
        if command && kind.as_ref().is_some_and(|kind| kind == "azure") {
            self.fail(
                "COPILOT_PROVIDER_TYPE is azure, which sends the token as `api-key`",
                "set it to openai, with a base URL that ends in /openai/v1",
            );
        }
        if let Some(line) = self.look.var("COPILOT_PROVIDER_API_KEY_COMMAND") {
            self.helper(&line.to_string_lossy(), false);
        }
        let file = self.look.folder("COPILOT_PROVIDERS_CONFIG", ".copilot/providers.json");
        if !file.exists() {
            if base.is_none() {
                self.fail(
                    "COPILOT_PROVIDER_BASE_URL is not set: Copilot's own models are asked",
                    "unexpired setup copilot ROUTE",
                );
            }
            return;
        }
        self.rights(&file, true);
        let Some(config) = self.config(&file, json_text) else { return };
        for provider in config.get("providers").and_then(Value::as_array).into_iter().flatten() {
            let name = one_line(provider.get("name").and_then(Value::as_str).unwrap_or("?"), 40);
            if provider.get("apiKeyCommand").is_some() {
                let what = format!(
                    "`apiKeyCommand` of {name} in {} is ignored: requests go without a credential",
                    file.display()
                );
                self.fail(what, "use the proxy: unexpired setup copilot ROUTE");
            }
            let fixed = provider.get("apiKey").or_else(|| provider.get("bearerToken")).is_some();
            if fixed && !provider.get("baseUrl").and_then(Value::as_str).is_some_and(is_loopback) {
                self.warn(format!("{name} in {} has a fixed credential", file.display()), "point it at the proxy");
            }
        }
    }

    /// pi's `docs/models.md` and `docs/providers.md`.
    fn pi(&mut self) {
        let folder = self.look.under_home(".pi/agent");
        let (models, logins) = (folder.join("models.json"), folder.join("auth.json"));
        self.rights(&models, false);
        self.rights(&logins, true);
        let stored = Look::json(&logins).unwrap_or_default();
        for (name, entry) in stored.as_object().into_iter().flatten() {
            if entry.get("key").and_then(Value::as_str).is_some_and(|key| key.starts_with('!')) {
                let what = format!(
                    "the command of {} in {} is run once, and its answer kept for good",
                    one_line(name, 40),
                    logins.display()
                );
                self.fail(what, "move it to `apiKey` in models.json");
            }
        }
        let Some(config) = self.config(&models, json_text) else { return };
        let mut any = false;
        for (name, provider) in config.get("providers").and_then(Value::as_object).into_iter().flatten() {
            let shown = one_line(name, 40);
            let key = provider.get("apiKey").and_then(Value::as_str).unwrap_or_default();
            let loopback = provider.get("baseUrl").and_then(Value::as_str).is_some_and(is_loopback);
            let command = key.strip_prefix('!');
            if command.is_none() && !loopback {
                continue;
            }
            any = true;
            if stored.get(name).is_some() {
                let what = format!("{} has a login for {shown}, which wins over models.json", logins.display());
                self.fail(what, format!("pi auth logout {shown}"));
            }
            let variable = match name.as_str() {
                "openai" => "OPENAI_API_KEY",
                "anthropic" => "ANTHROPIC_API_KEY",
                "google" => "GEMINI_API_KEY",
                "azure" => "AZURE_OPENAI_API_KEY",
                _ => "",
            };
            if !variable.is_empty() && self.look.is_set(variable) {
                let what = format!("{variable} is set, and wins over models.json for {shown}");
                self.fail(what, format!("unset {variable}"));
            }
            if let Some(line) = command {
                self.helper(line, false);
                let anthropic = provider.get("api").and_then(Value::as_str) == Some("anthropic-messages");
                if anthropic && provider.get("authHeader") != Some(&Value::Bool(true)) {
                    self.warn(format!("{shown} sends the token as x-api-key"), "add \"authHeader\": true");
                }
            }
        }
        if !any {
            self.fail("no provider in models.json asks for a token, or leads to the proxy", "unexpired setup pi ROUTE");
        }
    }

    /// OpenClaw's `docs/gateway/secrets`.
    fn openclaw(&mut self) {
        let file = self.look.under_home(".openclaw/openclaw.json");
        self.rights(&file, true);
        // What it starts must be a file of its own, whoever names it.
        if let Ok(this) = sys::this_program() {
            self.owned(&this);
        }
        self.warn("auth profiles come before the configuration, and are not read here", "openclaw models status");
        let Some(text) = Look::text(&file) else { return self.absent(&file) };
        let Ok(config) = serde_json::from_str::<Value>(&text) else {
            return self.warn(
                format!("{} is JSON5, which is not read here", file.display()),
                "look there for `apiKey` with a fixed value, and for a `command` that is a symbolic link",
            );
        };
        for (name, provider) in config.pointer("/secrets/providers").and_then(Value::as_object).into_iter().flatten() {
            if let Some(command) = provider.get("command").and_then(Value::as_str) {
                let shown = one_line(name, 40);
                if Path::new(command).is_absolute() {
                    self.helper(command, true);
                } else {
                    self.fail(format!("the command of {shown} is no absolute path"), "write its absolute path");
                }
            }
        }
        for (name, provider) in config.pointer("/models/providers").and_then(Value::as_object).into_iter().flatten() {
            let shown = one_line(name, 40);
            let loopback = provider.get("baseUrl").and_then(Value::as_str).is_some_and(is_loopback);
            match provider.get("apiKey") {
                Some(Value::Object(_)) if !loopback => self.warn(
                    format!("the secret of {shown} is asked for at the start and then never again"),
                    "use the proxy: unexpired setup openclaw ROUTE",
                ),
                Some(Value::String(_)) if !loopback => {
                    self.warn(format!("{shown} has a fixed key"), "unexpired setup openclaw ROUTE");
                }
                _ => {}
            }
        }
    }

    /// gemini-cli's `contentGenerator.ts`: there is no helper, so there is the proxy.
    fn gemini(&mut self) {
        let base = self.look.var("GOOGLE_GEMINI_BASE_URL");
        if !base.is_some_and(|url| is_loopback(&url.to_string_lossy())) {
            self.fail("GOOGLE_GEMINI_BASE_URL does not lead to the proxy", "unexpired setup gemini ROUTE");
        }
        for name in ["GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_GCA"] {
            if self.look.is_set(name) {
                self.fail(format!("{name} is set, and chooses another way in"), format!("unset {name}"));
            }
        }
        let folder = self.look.under_home(".gemini");
        self.login(&folder.join("oauth_creds.json"), "choose the API key by /auth in gemini");
        let settings = Look::json(&folder.join("settings.json")).unwrap_or_default();
        let chosen = settings.pointer("/security/auth/selectedType").or_else(|| settings.get("selectedAuthType"));
        if chosen.and_then(Value::as_str).is_some_and(|kind| !matches!(kind, "gemini-api-key" | "gateway")) {
            self.fail(
                "settings.json chooses a sign-in that does not go to the base URL",
                "choose the API key by /auth in gemini",
            );
        }
        let file = folder.join(".env");
        if Look::text(&file)
            .is_some_and(|text| text.lines().any(|line| line.trim_start().starts_with("GEMINI_API_KEY")))
        {
            self.warn(format!("{} sets GEMINI_API_KEY", file.display()), "remove it, unless it is the local key");
        }
    }

    /// opencode reads its keys once, when it starts: there is the proxy.
    fn opencode(&mut self) {
        let logins = self.look.folder("XDG_DATA_HOME", ".local/share").join("opencode/auth.json");
        self.rights(&logins, true);
        let stored = Look::json(&logins).unwrap_or_default();
        let folder = self.look.folder("XDG_CONFIG_HOME", ".config").join("opencode");
        let file =
            ["opencode.json", "opencode.jsonc"].map(|name| folder.join(name)).into_iter().find(|file| file.exists());
        let Some(file) = file else { return self.absent(&folder.join("opencode.json")) };
        self.rights(&file, true);
        let Some(config) = self.config(&file, json_text) else { return };
        let mut any = false;
        for (name, provider) in config.get("provider").and_then(Value::as_object).into_iter().flatten() {
            let shown = one_line(name, 40);
            let loopback = provider.pointer("/options/baseURL").and_then(Value::as_str).is_some_and(is_loopback);
            if loopback {
                any = true;
                if stored.get(name).is_some() {
                    let what = format!("{} has a login for {shown}, in the place of the local key", logins.display());
                    self.fail(what, "opencode auth logout");
                }
            } else if provider.pointer("/options/apiKey").is_some() {
                self.warn(
                    format!("the key of {shown} is read once, when opencode starts"),
                    "unexpired setup opencode ROUTE",
                );
            }
        }
        if !any {
            self.fail(
                format!("no provider in {} leads to the proxy", file.display()),
                "unexpired setup opencode ROUTE",
            );
        }
    }

    /// goose's `azureauth.rs`, and its `OPENAI_HOST`.
    fn goose(&mut self) {
        let folder = self.look.folder("XDG_CONFIG_HOME", ".config").join("goose");
        let (file, secrets) = (folder.join("config.yaml"), folder.join("secrets.yaml"));
        self.rights(&file, false);
        self.rights(&secrets, true);
        let text = Look::text(&file).unwrap_or_default();
        // A variable wins over the file, which holds one setting a line.
        let setting = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let of_file = line.map(|value| value.trim().trim_matches(['"', '\'']).to_owned());
            self.look.var(name).map(|value| value.to_string_lossy().into_owned()).or(of_file)
        };
        let hosts = ["OPENAI_HOST", "OPENAI_BASE_URL", "ANTHROPIC_HOST", "AZURE_OPENAI_ENDPOINT"];
        let leads = hosts.iter().filter_map(|name| setting(name)).any(|host| is_loopback(&host));
        let azure = setting("GOOSE_PROVIDER").is_some_and(|provider| provider.starts_with("azure"));
        if !leads {
            self.fail("no provider's host leads to the proxy", "unexpired setup goose ROUTE");
        }
        if azure {
            for name in ["AZURE_OPENAI_AD_TOKEN", "AZURE_OPENAI_API_KEY"] {
                if self.look.is_set(name) && (name.ends_with("AD_TOKEN") || !leads) {
                    self.fail(
                        format!("{name} is set, fixed, and wins over every other credential"),
                        format!("unset {name}"),
                    );
                }
            }
        }
        if secrets.exists() {
            self.warn(format!("{} keeps fixed keys", secrets.display()), "remove those that are no local key");
        }
    }

    /// Who may change or read a client's file.
    fn rights(&mut self, file: &Path, secret: bool) {
        if let Some((what, remedy)) = exposed(file, secret) {
            self.fail(what, remedy);
        }
    }

    /// A stored login that may be used in the token's place.
    fn login(&mut self, file: &Path, remedy: &str) {
        if file.exists() {
            self.rights(file, true);
            self.warn(format!("{} keeps a login, which may be used in the token's place", file.display()), remedy);
        }
    }

    /// The program of a helper's line.
    fn helper(&mut self, line: &str, strict: bool) {
        let Some(path) = program(line) else {
            // A bare name is found through PATH, which is another one in services and editors.
            return self.warn("the helper is not named by its absolute path", "write its absolute path");
        };
        let shown = path.display().to_string();
        if !path.is_file() {
            return self.fail(format!("the helper {shown} is not there"), "install it there, or correct the path");
        }
        if strict {
            return self.owned(&path);
        }
        for file in [Some(path.as_path()), path.parent()].into_iter().flatten() {
            let metadata = fs::metadata(file);
            // Where everybody may write and nobody may take away what is another's, the file is still its owner's.
            let sticky = metadata.as_ref().ok().and_then(sys::mode).is_some_and(|mode| mode & 0o1000 != 0);
            if let Some((what, remedy)) = exposed(file, false).filter(|_| !sticky) {
                self.fail(format!("the helper could be another's: {what}"), remedy);
            } else if metadata.is_ok_and(|metadata| sys::is_anothers(&metadata)) {
                self.fail(
                    format!("the helper could be another's: {} is", file.display()),
                    "use one of your own or of root",
                );
            }
        }
    }

    /// What OpenClaw asks of a program: a file of this user's own, no link, writable by nobody else.
    fn owned(&mut self, path: &Path) {
        let shown = path.display();
        let Ok(found) = fs::symlink_metadata(path) else { return };
        if found.is_symlink() {
            self.fail(format!("{shown} is a symbolic link, which OpenClaw refuses"), "name the file that it leads to");
        } else if let Some((what, remedy)) = exposed(path, false) {
            self.fail(format!("OpenClaw refuses it: {what}"), remedy);
        } else if !sys::is_own(&found) {
            self.warn(
                format!("{shown} belongs to another user, and OpenClaw wants a program of its own user"),
                "install it under the account that runs OpenClaw",
            );
        }
    }

    /// A client's file, read.
    fn config(&mut self, file: &Path, read: fn(&str) -> Option<Value>) -> Option<Value> {
        let Some(text) = Look::text(file) else {
            self.absent(file);
            return None;
        };
        let value = read(&text);
        if value.is_none() {
            self.fail(format!("{} cannot be read: its form is broken", file.display()), "correct it");
        }
        value
    }

    fn absent(&mut self, file: &Path) {
        let about = self.about;
        self.fail(format!("{} is not there", file.display()), format!("unexpired setup {about} ROUTE"));
    }
}

fn json_text(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// TOML as JSON, for the same look-ups.
fn toml_text(text: &str) -> Option<Value> {
    fn table(table: &toml::de::DeTable<'_>) -> Value {
        table.iter().map(|(key, item)| (key.get_ref().to_string(), value(item.get_ref()))).collect()
    }
    fn value(item: &toml::de::DeValue<'_>) -> Value {
        use toml::de::DeValue;
        match item {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Integer(number) => number.as_str().parse::<i64>().map_or(Value::Null, Value::from),
            DeValue::Boolean(truth) => Value::Bool(*truth),
            DeValue::Array(items) => items.iter().map(|item| value(item.get_ref())).collect(),
            DeValue::Table(inner) => table(inner),
            _ => Value::Null,
        }
    }
    toml::de::DeTable::parse(text).ok().map(|parsed| table(parsed.get_ref()))
}

const ANTHROPIC_KEYS: [&str; 2] = ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"];
const SET_UP_CODEX: &str = "unexpired setup codex ROUTE";
