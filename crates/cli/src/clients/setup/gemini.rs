//! `~/.gemini/.env` with the base URL and the local key, and in `settings.json` that a key is used, not a sign-in.

use super::{Ask, FilePlan, Plan};
use crate::clients::edit::{Form, Set};
use crate::clients::point::at_home;
use crate::env;
use crate::failure::Failure;
use std::path::PathBuf;

pub(super) fn plan(ask: &Ask<'_>) -> Result<Plan, Failure> {
    let folder =
        env::text("GEMINI_CLI_HOME").map_or_else(|| at_home(""), |path| Ok(PathBuf::from(path)))?.join(".gemini");
    let mut variables = vec![Set::new(&["GOOGLE_GEMINI_BASE_URL"], ask.url), Set::new(&["GEMINI_API_KEY"], ask.key)];
    variables.extend(ask.model.map(|model| Set::new(&["GEMINI_MODEL"], model)));
    let settings = vec![Set::new(&["security", "auth", "selectedType"], "gemini-api-key")];
    let files = vec![
        FilePlan { file: folder.join(".env"), form: Form::Env, sets: variables, holds_key: true },
        FilePlan { file: folder.join("settings.json"), form: Form::Json, sets: settings, holds_key: false },
    ];
    let mut notes = vec![
        "unset GOOGLE_API_KEY, GOOGLE_GENAI_USE_VERTEXAI and GOOGLE_GENAI_USE_GCA".to_owned(),
        "gemini reads this .env in folders that it trusts, and a folder's own .env in place of it".to_owned(),
    ];
    if ask.upstream.trim_end_matches('/').ends_with("/v1beta") {
        notes.push("gemini puts /v1beta behind its base URL, and the route's upstream ends with it too".to_owned());
    }
    Ok(Plan { files, notes, ..Plan::default() })
}
