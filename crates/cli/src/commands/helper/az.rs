//! A stand-in for az: `account get-access-token`, as the Azure SDKs' `AzureCliCredential` and scripts call it.
//!
//! An SDK takes a stderr that names `az login` for "not signed in" and tries its next credential; anything else is an error.

use super::args::StandInArgs;
use super::stand_in::{self, Said};
use super::{pick, write};
use crate::args::Args;
use crate::failure::{Failure, OTHER};
use crate::handout::{self, Handed};
use crate::project::Project;
use std::time::{Duration, SystemTime};
use unexpired::text::one_line;

pub(super) fn run(args: &Args, own: &StandInArgs) -> Result<(), Failure> {
    stand_in::refuse_to_serve_ourselves("az")?;
    let unknown = || stand_in::unknown("az", "`account get-access-token`", &own.said);
    let said = Said::read(&own.said, OPTIONS).ok_or_else(unknown)?;
    if said.words() != ["account", "get-access-token"] {
        return Err(unknown());
    }
    let (output, query) = (said.option("--output").unwrap_or("json"), said.option("--query"));
    let raw = match (output, query) {
        ("json" | "jsonc", None) => false,
        ("tsv", Some("accessToken")) => true,
        _ => return Err(unknown()),
    };
    let resource = match (said.option("--resource"), said.option("--scope")) {
        (Some(resource), None) | (None, Some(resource)) => resource,
        (None, None) => ARM,
        (Some(_), Some(_)) => return Err(unknown()),
    };
    let project = Project::load(args)?;
    let token = pick::by_resource(&project, resource, said.option("--tenant"), own.by.name.as_deref())?;
    let Some(token) = token else {
        return Err(Failure::new(
            OTHER,
            format!("no token has the scope {}/.default", one_line(pick::resource_of(resource), 100)),
        )
        .hint("add [token.NAME] with that scope to the configuration; or run az login with the real az"));
    };
    let handed = handout::token(args, token.name(), &own.by.wait.ask(Some(PATIENCE)))?;
    if raw {
        return write::parts(&[handed.token.secret(), "\n"]);
    }
    document(&handed, token.tenant().unwrap_or_default())
}

fn document(handed: &Handed, tenant: &str) -> Result<(), Failure> {
    // SDKs expect a moment. They ask again after it, so a token that does not expire loses nothing.
    let until = handed.usable_until().unwrap_or_else(|| SystemTime::now() + A_WHILE);
    let seconds = until.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    write::parts(&[
        "{\n  \"accessToken\": \"",
        handed.token.secret(),
        "\",\n  \"expiresOn\": \"",
        &local(seconds),
        &format!("\",\n  \"expires_on\": {seconds},\n  \"tenant\": "),
        &write::json(tenant),
        ",\n  \"tokenType\": ",
        &write::json(handed.token.scheme()),
        "\n}\n",
    ])
}

/// Local time without a zone, which older SDKs read.
fn local(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let local = jiff::tz::TimeZone::system().to_datetime(time.unwrap_or(jiff::Timestamp::MAX));
    local.strftime("%Y-%m-%d %H:%M:%S.000000").to_string()
}

/// What az is asked for without a resource.
const ARM: &str = "https://management.core.windows.net/";
/// SDKs wait 10 s.
const PATIENCE: Duration = Duration::from_secs(9);
const A_WHILE: Duration = Duration::from_secs(300);

const OPTIONS: &[(&[&str], bool)] = &[
    (&["--output", "-o"], true),
    (&["--query"], true),
    (&["--resource"], true),
    (&["--scope"], true),
    (&["--tenant", "-t"], true),
    (&["--subscription", "-s", "--name", "-n"], true),
    (&["--only-show-errors"], false),
];
