//! `unexpired setup`: shows what changes in a client's own configuration, writes it, or takes it back.

use crate::args::{Args, PROXY_PORT, duration};
use crate::clients::backup::{self, Backups, Change};
use crate::clients::diff;
use crate::clients::edit::{Form, Set};
use crate::clients::point::Api;
use crate::clients::setup::{Ask, FilePlan, Plan, Target};
use crate::failure::{Failure, USAGE};
use crate::project::Project;
use crate::{env, out, sys};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use unexpired::ErrorKind;
use unexpired::config::{Export, RouteConfig};
use zeroize::Zeroizing;

#[derive(Debug, clap::Args)]
pub(crate) struct SetupArgs {
    /// The client
    #[arg(value_name = "CLIENT")]
    pub(crate) client: Target,

    /// The route in the configuration
    #[arg(value_name = "ROUTE", required_unless_present = "undo")]
    pub(crate) route: Option<String>,

    /// Write the change; a backup is kept
    #[arg(long, conflicts_with = "undo")]
    pub(crate) write: bool,

    /// Restore what the last --write has replaced, to the byte
    #[arg(long)]
    pub(crate) undo: bool,

    /// Have the client start `unexpired token` for its tokens, in place of going through the proxy
    #[arg(long)]
    pub(crate) printed: bool,

    /// After how long the client asks for a token again, with --printed; for codex and claude
    #[arg(long, requires = "printed", value_name = "DURATION", value_parser = duration)]
    pub(crate) client_interval: Option<Duration>,

    /// The model that the route has
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,

    /// The API that the upstream has, if its name does not say it
    #[arg(long, value_name = "API")]
    pub(crate) api: Option<Api>,

    /// The port that `unexpired proxy` serves at
    #[arg(long, default_value_t = PROXY_PORT, value_name = "PORT")]
    pub(crate) port: u16,
}

pub(crate) fn run(args: &Args, own: &SetupArgs) -> Result<(), Failure> {
    if own.undo {
        let mut restored = String::new();
        for file in backups(own.client)?.undo()? {
            let _ = writeln!(restored, "restored {}", file.display());
        }
        return out::answer(&restored);
    }
    let project = Project::load(args)?;
    let name = own.route.clone().unwrap_or_default();
    let routes = super::proxy::chosen(&project, &[name])?;
    let route = routes.first().ok_or_else(|| Failure::new(USAGE, "there is no such route"))?;
    check(&project, route, own)?;

    let shown = plan(args, own, &project, route, HIDDEN)?;
    let needs_key = shown.files.iter().any(|plan| plan.holds_key);
    // What is shown is made with no key. What is written is made again, with it.
    let key = if own.write && needs_key { super::proxy::key_file()?.key(route.name())? } else { HIDDEN.into() };
    let written = plan(args, own, &project, route, key.expose())?;

    let mut answer = String::new();
    let mut changes = Vec::new();
    for (shown, written) in shown.files.iter().zip(&written.files) {
        let file = target(&shown.file)?;
        let before = backup::read(&file)?;
        let text = before.as_deref().map_or(Ok(""), std::str::from_utf8);
        let made = text.ok().map(str::to_owned).and_then(|text| {
            let new = Zeroizing::new(written.form.set(&text, &written.sets).ok()?);
            let visible = shown.form.set(&text, &shown.sets).ok()?;
            let (old, visible) = shown.form.masked(&text, &visible, &shown.sets).ok()?;
            Some((diff::unified(&file.display().to_string(), &old, &visible), new))
        });
        let Some((difference, new)) = made else {
            if own.write {
                let line = format!("{} cannot be read as {}, and is left alone", file.display(), form_name(shown.form));
                return Err(Failure::new(USAGE, line).hint("without --write the piece to paste is printed"));
            }
            let _ = write!(answer, "{}", piece(&file.display().to_string(), &pasted(shown)));
            continue;
        };
        if before.as_deref() != Some(new.as_bytes()) {
            answer.push_str(&difference);
            let after = new.as_bytes().to_vec();
            changes.push(Change { file, before, after, private: written.holds_key });
        }
    }
    for (place, text) in &shown.pieces {
        answer.push_str(&piece(place, text));
    }
    out::answer(&answer)?;
    for note in &shown.notes {
        out::to_stderr(&format!("note: {note}"));
    }
    end(own, &project.command, route, &shown, &changes)
}

/// Writes what is to be written, and says what to do now.
fn end(own: &SetupArgs, command: &str, route: &RouteConfig, plan: &Plan, changes: &[Change]) -> Result<(), Failure> {
    let (client, route) = (own.client.name(), route.name());
    if !own.printed && own.client != Target::Openshell {
        out::to_stderr(&format!("note: the proxy must run: {command} proxy {route}"));
    }
    if own.printed && matches!(own.client, Target::Codex | Target::Claude) {
        out::to_stderr(&format!(
            "warning: {client} sends its request without a token when the command fails; by the proxy it never does: leave out --printed"
        ));
    }
    if plan.files.is_empty() {
        if own.write {
            return Err(Failure::new(
                USAGE,
                format!("{client} has no file that can be changed safely; paste what was printed"),
            ));
        }
        return Ok(());
    }
    if changes.is_empty() {
        out::to_stderr("nothing changes: it is set up already");
    } else if own.write {
        backups(own.client)?.write(changes)?;
        out::to_stderr(&format!("written; to take it back: unexpired setup {client} --undo"));
    } else {
        out::to_stderr("nothing was written: --write does it");
    }
    Ok(())
}

/// Whether this form can work for this route.
fn check(project: &Project, route: &RouteConfig, own: &SetupArgs) -> Result<(), Failure> {
    let prints = own.printed || own.client == Target::Openshell;
    if prints && project.token(route.token())?.export() == Export::Never {
        let line = format!("token {} has export = \"never\": no client is given it", route.token());
        return Err(
            Failure::of(ErrorKind::Forbidden, line).hint("leave out --printed: by the proxy the client never holds it")
        );
    }
    if own.client_interval.is_some() && !matches!(own.client, Target::Codex | Target::Claude) {
        return Err(Failure::new(USAGE, format!("{} asks at each request: it has no interval", own.client.name())));
    }
    if !prints && route.socket().is_some() {
        let line = format!("route {} is served on a socket, which no client is set up for", route.name());
        return Err(Failure::new(USAGE, line).hint("give it a port, or neither"));
    }
    Ok(())
}

fn plan(args: &Args, own: &SetupArgs, project: &Project, route: &RouteConfig, key: &str) -> Result<Plan, Failure> {
    let url = match route.port() {
        _ if own.printed => route.upstream().to_owned(),
        Some(port) => format!("http://127.0.0.1:{port}"),
        None => format!("http://127.0.0.1:{}/{}", own.port, route.name()),
    };
    let program = sys::this_program()
        .map_err(|error| Failure::new(USAGE, format!("where this program is is not known: {error}")))?;
    let mut unexpired = vec![program.display().to_string()];
    // The client may start it with another environment.
    if args.config.is_some() || env::text("UNEXPIRED_CONFIG").is_some() {
        let path = std::path::absolute(&project.path).unwrap_or_else(|_| project.path.clone());
        unexpired.extend(["--config".to_owned(), path.display().to_string()]);
    }
    own.client.plan(&Ask {
        route: route.name(),
        token: route.token(),
        url: &url,
        upstream: route.upstream(),
        key,
        unexpired: &unexpired,
        printed: own.printed,
        interval: own.client_interval,
        model: own.model.as_deref(),
        api: Api::of(own.api, route.upstream()),
    })
}

/// The file behind links: people keep their configuration elsewhere and link to it.
fn target(file: &Path) -> Result<PathBuf, Failure> {
    let file = std::path::absolute(file).unwrap_or_else(|_| file.to_path_buf());
    match std::fs::canonicalize(&file) {
        Ok(target) => Ok(target),
        Err(_) if file.is_symlink() => {
            Err(Failure::new(USAGE, format!("{} is a link that leads nowhere", file.display())).hint("remove it"))
        }
        Err(_) => Ok(file),
    }
}

fn backups(client: Target) -> Result<Backups, Failure> {
    Ok(Backups::new(&super::proxy::state_folder()?, client.name()))
}

fn piece(place: &str, text: &str) -> String {
    format!("# for {place}\n{text}")
}

/// What a file would be if there were nothing else in it.
fn pasted(plan: &FilePlan) -> String {
    let sets: Vec<Set> = plan.sets.clone();
    plan.form.set("", &sets).unwrap_or_default()
}

const fn form_name(form: Form) -> &'static str {
    match form {
        Form::Json => "JSON",
        Form::Toml => "TOML",
        Form::Env => "text",
    }
}

/// What stands for the key in what is shown.
const HIDDEN: &str = "***";

pub(crate) const EXAMPLES: &str = "\
Examples:
  unexpired setup codex gov
  unexpired setup codex gov --write
  unexpired setup codex --undo
  unexpired setup claude gov --printed --client-interval 1m
  unexpired setup pi gov --model gpt-5 --write";
