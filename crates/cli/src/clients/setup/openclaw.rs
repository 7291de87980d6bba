//! `openclaw.json` is JSON5, so the piece is printed. Its secrets are read at the start and at a reload: the local key is such a one, a token is not.

use super::{Ask, Plan};
use crate::failure::Failure;
use serde_json::json;

pub(super) fn plan(ask: &Ask<'_>) -> Result<Plan, Failure> {
    let model = ask.model("openclaw")?;
    let words = ask.words("openclaw");
    let (command, arguments) = words.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let piece = json!({
        "secrets": { "providers": { "unexpired": {
            "source": "exec", "command": command, "args": arguments, "jsonOnly": false, "passEnv": ["HOME", "UNEXPIRED_STORE"],
        } } },
        "models": { "providers": { "unexpired": {
            "baseUrl": ask.url,
            "api": ask.api.name(),
            "apiKey": { "source": "exec", "provider": "unexpired", "id": ask.route },
            "models": [{ "id": model, "name": model }],
        } } },
        "agents": { "defaults": { "model": { "primary": format!("unexpired/{model}") } } },
    });
    let notes = vec!["the command must be no symbolic link and not writable by others".to_owned()];
    Ok(Plan {
        pieces: vec![("~/.openclaw/openclaw.json".to_owned(), format!("{piece:#}\n"))],
        notes,
        ..Plan::default()
    })
}
