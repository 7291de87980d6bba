//! The source: what the user sets, the run, the token.

use crate::sys::Ended;
use crate::{answer, failure, program, sys};
use std::fmt;
use std::path::PathBuf;
use std::process;
use std::sync::Arc;
use std::time::Duration;
use unexpired_core::{BoxFuture, ErrorKind, MintError, MintRequest, Secret, SecretSource, Token, TokenSource};
use zeroize::Zeroizing;

/// A command whose output is a token. Cheap to clone.
///
/// As a [`SecretSource`] it yields its whole output without the line break at the end, whatever that means: a client secret, a PEM file.
#[derive(Clone)]
pub struct Command(Arc<Settings>);

struct Settings {
    line: Line,
    timeout: Duration,
    ttl: Duration,
    env: Vec<(String, Secret)>,
    cwd: PathBuf,
    aws_credentials: bool,
}

#[derive(Clone)]
enum Line {
    Argv(Vec<String>),
    Shell(String),
}

impl Command {
    /// A program and its arguments, started without a shell. Other users of the machine can see arguments: a secret goes into
    /// [`env`](CommandBuilder::env).
    pub fn argv(argv: impl IntoIterator<Item = impl Into<String>>) -> CommandBuilder {
        CommandBuilder::new(Line::Argv(argv.into_iter().map(Into::into).collect()))
    }

    /// A line for the shell: `/bin/sh -c LINE`, on Windows `cmd /d /s /c "LINE"`.
    pub fn shell(line: impl Into<String>) -> CommandBuilder {
        CommandBuilder::new(Line::Shell(line.into()))
    }

    async fn token(&self, request: &MintRequest) -> Result<Token, MintError> {
        let requested_at = request.now();
        let read = if self.0.aws_credentials { answer::read_aws } else { answer::read };
        let answer = read(&self.output(request).await?).map_err(|error| self.says(error))?;
        // An absurd expiry, most likely milliseconds, is as good as nothing said.
        let latest = requested_at.system_time().checked_add(A_CENTURY);
        let expires_at = answer.expires_at.filter(|at| latest.is_none_or(|latest| *at <= latest));
        let mut token = Token::builder(answer.token, requested_at)
            .source(NAME)
            .expires_in(answer.expires_in)
            .expires_at(expires_at)
            .default_life(self.0.ttl)
            .read_jwt(!self.0.aws_credentials);
        if let Some(scheme) = answer.scheme {
            token = token.scheme(&scheme);
        }
        token.build()
    }

    /// What the command printed, if it ended well and printed anything.
    async fn output(&self, request: &MintRequest) -> Result<Zeroizing<Vec<u8>>, MintError> {
        let name = self.program();
        let mut running = sys::start(self.prepare(request)?).map_err(|error| failure::not_started(&name, &error))?;
        let limited = request.limited_to(self.0.timeout);
        let allowed = limited.remaining();
        let ended = match limited.within_deadline(&mut running.ended).await {
            Some(ended) => ended,
            None => {
                running.stop();
                // Answers as soon as the group is killed, with what stderr has said so far.
                let stderr = match request.within_deadline(&mut running.ended).await {
                    Some(Ok(Ended::Stopped { stderr } | Ended::Exited { stderr, .. })) => Some(stderr),
                    _ => None,
                };
                return Err(failure::timed_out(&name, allowed, stderr.as_ref(), &self.0.env));
            }
        };
        match ended {
            // A status that somebody else has collected is unknown; then the answer speaks for itself.
            Ok(Ended::Exited { status, stdout, stderr }) if status.is_none_or(|status| status.success()) => {
                if stdout.trim_ascii().is_empty() {
                    return Err(failure::printed_nothing(&name, &stderr, &self.0.env));
                }
                Ok(stdout)
            }
            Ok(Ended::Exited { status, stderr, .. }) => Err(failure::exited(&name, status, &stderr, &self.0.env)),
            Ok(Ended::Overflow) => Err(failure::overflow(&name)),
            Ok(Ended::NotStarted(error)) => Err(failure::not_started(&name, &error)),
            Ok(Ended::Stopped { .. }) | Err(_) => {
                Err(MintError::new(ErrorKind::Unavailable, format!("{name} was not waited for")))
            }
        }
    }

    /// Everything but the streams.
    fn prepare(&self, request: &MintRequest) -> Result<process::Command, MintError> {
        let settings = &*self.0;
        let path =
            program::path(settings.env.iter().find(|(name, _)| sys::same_variable(name, "PATH")).map(|(_, v)| v));
        let mut command = match &settings.line {
            Line::Shell(line) => sys::shell(line),
            // `build` has seen that there is a program.
            Line::Argv(argv) => match argv.split_first() {
                Some((name, arguments)) => {
                    let mut command = process::Command::new(program::find(name, &path)?);
                    command.args(arguments);
                    command
                }
                None => return Err(no_program()),
            },
        };
        command.current_dir(&settings.cwd).env("PWD", &settings.cwd).env_remove("OLDPWD");
        // What a service manager tells this process is not for others.
        for name in SERVICE_MANAGERS {
            command.env_remove(name);
        }
        for (name, value) in DEFAULTS {
            if std::env::var_os(name).is_none() {
                command.env(name, value);
            }
        }
        command.env(MARK, "1").env_remove(CLAIMS);
        if let Some(claims) = request.claims() {
            if self.program() == "az" {
                // It would print the token that was just refused.
                return Err(MintError::new(
                    ErrorKind::Denied,
                    "the resource asks for claims, which az takes at sign-in only",
                )
                .remedy("run az login --claims-challenge CHALLENGE with the tenant and scope (az 2.76 or newer)"));
            }
            command.env(CLAIMS, claims);
        }
        for (name, value) in &settings.env {
            command.env(name, value.expose());
        }
        command.env("PATH", &path);
        Ok(command)
    }

    /// How messages call it: the program's name without folder and ending, never its arguments.
    fn program(&self) -> String {
        match &self.0.line {
            Line::Shell(_) => "the shell command".into(),
            Line::Argv(argv) => program::stem(argv.first().map_or("", String::as_str)),
        }
    }

    /// An error about the answer, with the command's name in front.
    fn says(&self, error: MintError) -> MintError {
        let mut named = MintError::new(error.kind(), format!("{}: {}", self.program(), error.message()));
        if let Some(code) = error.provider_code() {
            named = named.code(code);
        }
        match error.kind() {
            ErrorKind::Malformed if self.0.aws_credentials => {
                named.remedy("the command must print what credential_process prints, and nothing else")
            }
            ErrorKind::Malformed => {
                named.remedy("the command must print one token, or JSON with a token, and nothing else")
            }
            ErrorKind::Misconfigured => named.remedy("configure a command that prints a bearer token"),
            _ => named,
        }
    }
}

impl TokenSource for Command {
    fn name(&self) -> &str {
        NAME
    }

    fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
        Box::pin(async move { self.token(&request).await.map_err(|error| error.from_source(NAME)) })
    }
}

impl SecretSource for Command {
    fn secret(&self) -> BoxFuture<'_, Result<Secret, MintError>> {
        Box::pin(async move {
            let output = self.output(&MintRequest::standalone()).await.map_err(|error| error.from_source(NAME))?;
            match std::str::from_utf8(&output) {
                Ok(text) if !text.contains('\0') => {
                    let text = text.strip_suffix('\n').unwrap_or(text);
                    Ok(Secret::new(text.strip_suffix('\r').unwrap_or(text)))
                }
                _ => Err(MintError::new(ErrorKind::Malformed, format!("{} printed no text", self.program()))
                    .from_source(NAME)),
            }
        })
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.program())
            .field("timeout", &self.0.timeout)
            .field("ttl", &self.0.ttl)
            .field("env", &self.0.env.iter().map(|(name, _)| name).collect::<Vec<_>>())
            .field("cwd", &self.0.cwd)
            .finish_non_exhaustive()
    }
}

/// Makes a [`Command`].
#[must_use]
pub struct CommandBuilder {
    line: Line,
    timeout: Duration,
    ttl: Duration,
    env: Vec<(String, Secret)>,
    cwd: Option<PathBuf>,
    aws_credentials: bool,
}

impl CommandBuilder {
    fn new(line: Line) -> Self {
        Self { line, timeout: DEFAULT_TIMEOUT, ttl: DEFAULT_TTL, env: Vec::new(), cwd: None, aws_credentials: false }
    }

    /// How long the command may take. Default 10 s; what the engine has left for the mint (20 s at most) is a limit as well.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long a token is believed to live whose answer says nothing and which is no JWT. Default 5 minutes.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Sets an environment variable for the command. Its value is masked wherever the command's stderr is shown.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<Secret>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The working folder, an absolute path. Default `/`; on Windows `%SystemRoot%`.
    pub fn cwd(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cwd = Some(folder.into());
        self
    }

    /// The command prints AWS keys in the form of `credential_process`, to be read by [`AwsCredentials`](crate::AwsCredentials). They are no
    /// bearer token: a manager of this source must not be used for a request's `Authorization` header.
    pub fn aws_credentials(mut self, keys: bool) -> Self {
        self.aws_credentials = keys;
        self
    }

    /// The source. Nothing is looked up or started yet.
    ///
    /// # Errors
    ///
    /// [`Misconfigured`](ErrorKind::Misconfigured): the command is empty or holds NUL, the program is a relative path, the working folder is
    /// relative, an environment variable's name is empty or holds `=`, or a duration is zero.
    pub fn build(self) -> Result<Command, MintError> {
        let wrong = |message: &str, remedy: &str| Err(misconfigured(message, remedy));
        let texts: &[String] = match &self.line {
            Line::Argv(argv) => {
                match argv.first() {
                    Some(name) if !name.is_empty() => program::check(name).map_err(|error| error.from_source(NAME))?,
                    _ => return Err(no_program()),
                }
                argv
            }
            Line::Shell(line) if line.trim().is_empty() => return Err(no_program()),
            Line::Shell(line) => std::slice::from_ref(line),
        };
        if texts.iter().any(|text| text.contains('\0')) {
            return wrong("the command holds a NUL", "remove it");
        }
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.expose().contains('\0') {
                return wrong("an environment variable has an impossible name or value", "names hold no = and no NUL");
            }
        }
        if self.timeout.is_zero() || self.ttl.is_zero() {
            return wrong("timeout and ttl must be more than zero", "leave them out for 10 s and 5 min");
        }
        let cwd = self.cwd.unwrap_or_else(sys::root_folder);
        if !cwd.is_absolute() {
            return wrong(
                "cwd is a relative path",
                "write it in full: a command must not depend on the working folder",
            );
        }
        let Self { line, timeout, ttl, env, aws_credentials, .. } = self;
        Ok(Command(Arc::new(Settings { line, timeout, ttl, env, cwd, aws_credentials })))
    }
}

impl fmt::Debug for CommandBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandBuilder").field("timeout", &self.timeout).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

fn no_program() -> MintError {
    misconfigured("the command is empty", "give a program and its arguments, or a line for the shell")
}

fn misconfigured(message: &str, remedy: &str) -> MintError {
    MintError::new(ErrorKind::Misconfigured, message).remedy(remedy).from_source(NAME)
}

const NAME: &str = "command";
const CLAIMS: &str = "UNEXPIRED_CLAIMS";
/// By this a stand-in for `az` or `gcloud` notices that it was started for want of the real one.
const MARK: &str = "UNEXPIRED_COMMAND";
const SERVICE_MANAGERS: [&str; 4] = ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "NOTIFY_SOCKET"];
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_TTL: Duration = Duration::from_secs(300);
const A_CENTURY: Duration = Duration::from_secs(100 * 366 * 86_400);

/// For programs that nobody watches: no colours, no questions.
const DEFAULTS: [(&str, &str); 3] =
    [("NO_COLOR", "1"), ("AZURE_CORE_NO_COLOR", "true"), ("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")];
