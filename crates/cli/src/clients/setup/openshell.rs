//! OpenShell's sandboxes reach no loopback of the host: its gateway is given the token, and each new one by `unexpired watch`.

use super::{Ask, Plan};
use crate::clients::point::Api;
use crate::failure::Failure;
use crate::project::quoted;

pub(super) fn plan(ask: &Ask<'_>) -> Result<Plan, Failure> {
    let (kind, key, base) = match ask.api {
        Api::AnthropicMessages => ("anthropic", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
        _ => ("openai", "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    };
    let unexpired: Vec<String> = ask.unexpired.iter().map(|word| quoted(word)).collect();
    let unexpired = unexpired.join(" ");
    let (route, token, config) = (quoted(ask.route), quoted(ask.token), quoted(&format!("{base}={}", ask.upstream)));
    let lines = format!(
        "{key}=$({unexpired} token {token}) openshell provider create --name {route} --type {kind} --credential {key} --config {config}\n\
         {unexpired} watch {token} --openshell {route} --credential {key}\n"
    );
    let notes = vec!["the second command must run as long as the gateway does: it brings each new token".to_owned()];
    Ok(Plan { pieces: vec![("a shell".to_owned(), lines)], notes, ..Plan::default() })
}
