//! A stand-in for gcloud, as far as programs ask it for tokens.

use super::args::StandInArgs;
use super::stand_in::{self, Said};
use super::{pick, write};
use crate::args::Args;
use crate::commands::rfc3339;
use crate::failure::{Failure, USAGE};
use crate::handout;
use crate::project::Project;
use std::time::{Duration, SystemTime};

pub(super) fn run(args: &Args, own: &StandInArgs) -> Result<(), Failure> {
    stand_in::refuse_to_serve_ourselves("gcloud")?;
    let unknown = || stand_in::unknown("gcloud", "`config config-helper` and `auth print-access-token`", &own.said);
    let said = Said::read(&own.said, OPTIONS).ok_or_else(unknown)?;
    let (words, format) = (said.words(), said.option("--format"));
    let form = match (words.as_slice(), format) {
        (["config", "config-helper"], Some("json")) => Form::Document,
        // So ask Artifact Registry's backend for keyring, and docker-credential-gcr.
        (["config", "config-helper"], Some("json(credential)")) => Form::Credential,
        (["config", "config-helper"], Some("value(credential.access_token)")) => Form::Token,
        (["auth", "print-access-token"] | ["auth", "application-default", "print-access-token"], None) => Form::Token,
        _ => return Err(unknown()),
    };
    let name = match &own.by.name {
        Some(name) => name.clone(),
        None => only_google(args)?,
    };
    let mut ask = own.by.wait.ask(None);
    if let Some(least) = said.option("--min-expiry") {
        ask.min_ttl = Some(crate::args::duration(least).map_err(|_| unknown())?);
    }
    ask.fresh = said.option("--force-auth-refresh").is_some();
    let handed = handout::token(args, &name, &ask)?;
    if form == Form::Token {
        return write::parts(&[handed.token.secret(), "\n"]);
    }
    // Clients expect a moment. They ask again after it, so a token that does not expire loses nothing.
    let until = handed.usable_until().unwrap_or_else(|| SystemTime::now() + A_WHILE);
    let (before, behind) = if form == Form::Document { AROUND } else { ("", "") };
    write::parts(&[
        "{\n",
        before,
        "  \"credential\": {\n    \"access_token\": \"",
        handed.token.secret(),
        "\",\n    \"token_expiry\": \"",
        &rfc3339(until),
        "\"\n  }",
        behind,
        "\n}\n",
    ])
}

fn only_google(args: &Args) -> Result<String, Failure> {
    let project = Project::load(args)?;
    let token = pick::by_provider(&project, "google")?;
    token.map(|token| token.name().to_owned()).ok_or_else(|| {
        Failure::new(USAGE, "no token is named, and none has the provider google")
            .hint("name one: UNEXPIRED_TOKEN_NAME=NAME gcloud …, or unexpired helper gcloud --token NAME …")
    })
}

#[derive(PartialEq, Eq)]
enum Form {
    Document,
    Credential,
    Token,
}

/// What stands before and behind the credential in the whole document.
const AROUND: (&str, &str) = (
    "  \"configuration\": {\n    \"active_configuration\": \"default\",\n    \"properties\": {}\n  },\n",
    ",\n  \"sentinels\": {\n    \"config_sentinel\": \"\"\n  }",
);

const A_WHILE: Duration = Duration::from_secs(300);

/// Those that ask for another account or other scopes are missing: the token would not be what was asked for.
const OPTIONS: &[(&[&str], bool)] = &[
    (&["--format"], true),
    (&["--min-expiry"], true),
    (&["--force-auth-refresh"], false),
    (&["--quiet", "-q"], false),
    (&["--verbosity"], true),
    (&["--project"], true),
    (&["--billing-project"], true),
];
