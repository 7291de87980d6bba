//! `unexpired status`: what is configured. Mints nothing, runs no command, reads no secret.

use crate::args::{Args, StatusArgs};
use crate::failure::Failure;
use crate::out;
use crate::project::Project;
use serde_json::{Value, json};
use unexpired::config::{Export, TokenConfig};
use unexpired::text::one_line;

pub(crate) fn run(args: &Args, own: &StatusArgs) -> Result<(), Failure> {
    let project = Project::load(args)?;
    let names: Vec<&str> = match &own.name {
        Some(name) => {
            project.token(name)?;
            vec![name.as_str()]
        }
        None => project.config.names().collect(),
    };
    let tokens: Vec<(&str, &TokenConfig)> =
        names.into_iter().filter_map(|name| Some((name, project.config.token(name)?))).collect();
    if own.json {
        let tokens: Vec<Value> = tokens.iter().map(|(name, token)| object(name, token)).collect();
        let object = json!({ "config": project.path.display().to_string(), "store": "none", "tokens": tokens });
        return out::answer(&format!("{object:#}\n"));
    }
    let mut text = format!("{}\n", project.path.display());
    for (name, token) in &tokens {
        text.push('\n');
        text.push_str(&paragraph(name, token));
    }
    text.push_str("\nNothing is cached: tokens are not kept between calls, each call mints.\n");
    out::answer(&text)
}

fn paragraph(name: &str, token: &TokenConfig) -> String {
    let mut lines = vec![one_line(name, 40)];
    let mut add = |key: &str, value: String| lines.push(format!("  {key:<9} {}", one_line(&value, 200)));
    add("provider", token.provider().to_owned());
    if let Some(scope) = token.scope() {
        add("scope", scope);
    }
    if let Some(audience) = token.audience() {
        add("audience", audience.to_owned());
    }
    let hosts: Vec<String> = token.hosts().iter().map(ToString::to_string).collect();
    add("hosts", if hosts.is_empty() { "none: `probe` sends it nowhere".to_owned() } else { hosts.join(", ") });
    if token.export() == Export::Never {
        add("export", "never: it is not printed".to_owned());
    }
    if let Some(min_ttl) = token.min_ttl() {
        add("min_ttl", format!("{} s", min_ttl.as_secs()));
    }
    for fallback in token.fallbacks() {
        add("fallback", fallback.to_owned());
    }
    lines.push(String::new());
    lines.join("\n")
}

fn object(name: &str, token: &TokenConfig) -> Value {
    json!({
        "name": name,
        "provider": token.provider(),
        "scope": token.scope(),
        "audience": token.audience(),
        "hosts": token.hosts().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "export": if token.export() == Export::Never { "never" } else { "allowed" },
        "min_ttl_seconds": token.min_ttl().map(|min_ttl| min_ttl.as_secs()),
        "fallbacks": token.fallbacks(),
        "cached": Value::Null,
    })
}
