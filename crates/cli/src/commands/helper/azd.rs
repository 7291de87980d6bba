//! A stand-in for azd: `auth token`, as the Azure SDKs' `AzureDeveloperCliCredential` calls it.

use super::args::StandInArgs;
use super::stand_in::{self, Said};
use super::{pick, write};
use crate::args::Args;
use crate::commands::rfc3339;
use crate::failure::{Failure, OTHER};
use crate::handout;
use crate::project::Project;
use std::time::{Duration, SystemTime};
use unexpired::text::one_line;

pub(super) fn run(args: &Args, own: &StandInArgs) -> Result<(), Failure> {
    stand_in::refuse_to_serve_ourselves("azd")?;
    let unknown = || stand_in::unknown("azd", "`auth token --output json --scope SCOPE`", &own.said);
    let said = Said::read(&own.said, OPTIONS).ok_or_else(unknown)?;
    if said.option("--claims").is_some() {
        // What an azd without claims says; SDKs know it.
        return Err(Failure::new(OTHER, "unknown flag: --claims; unexpired's stand-in for azd takes no claims"));
    }
    if said.words() != ["auth", "token"] || said.option("--output") != Some("json") {
        return Err(unknown());
    }
    let scopes: Vec<&str> = said.all("--scope").collect();
    let [scope] = scopes.as_slice() else { return Err(unknown()) };
    let project = Project::load(args)?;
    let token = pick::by_resource(&project, scope, said.option("--tenant-id"), own.by.name.as_deref())?;
    let Some(token) = token else {
        // By these words SDKs know that their next credential is to be tried.
        let line =
            format!("not logged in, run `azd auth login` to login: no token has the scope {}", one_line(scope, 100));
        return Err(Failure::new(OTHER, line).hint("add [token.NAME] with that scope to the configuration"));
    };
    let handed = handout::token(args, token.name(), &own.by.wait.ask(Some(PATIENCE)))?;
    let until = handed.usable_until().unwrap_or_else(|| SystemTime::now() + A_WHILE);
    write::parts(&["{\"token\":\"", handed.token.secret(), "\",\"expiresOn\":\"", &rfc3339(until), "\"}\n"])
}

/// SDKs wait 10 s.
const PATIENCE: Duration = Duration::from_secs(9);
const A_WHILE: Duration = Duration::from_secs(300);

const OPTIONS: &[(&[&str], bool)] = &[
    (&["--output", "-o"], true),
    (&["--scope"], true),
    (&["--tenant-id"], true),
    (&["--claims"], true),
    (&["--no-prompt"], false),
    (&["--cwd", "-C"], true),
    (&["--debug"], false),
];
