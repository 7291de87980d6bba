//! The reference page of the configuration file, made from the table of keys.

use super::keys::{self, Key, Shape};
use std::fmt::Write as _;

/// All keys as Markdown: the page `docs/reference/config.md`.
///
/// ```
/// assert!(unexpired::config::reference().contains("## Common keys"));
/// ```
pub fn reference() -> String {
    let mut page = String::from(HEAD);
    section(&mut page, "Above all tables", TOP, "", keys::TOP.iter());
    section(
        &mut page,
        "Common keys",
        "They stand in every `[token.NAME]`.",
        "",
        keys::TOKEN.iter().filter(|key| key.providers.is_empty()),
    );
    for (name, about) in keys::PROVIDERS {
        let title = format!("`provider = \"{name}\"`");
        section(
            &mut page,
            &title,
            about,
            name,
            keys::TOKEN.iter().filter(|key| !key.providers.is_empty() && key.is_for(name)),
        );
    }
    section(&mut page, "`[route.NAME]`", ROUTES, "", keys::ROUTE.iter());
    section(&mut page, "Secret references", SECRETS, "", keys::SECRET.iter());
    page.push_str(TAIL);
    page
}

/// `provider` is empty where the keys are nobody's own.
fn section<'k>(page: &mut String, title: &str, about: &str, provider: &str, keys: impl Iterator<Item = &'k Key>) {
    // Writing to a `String` cannot fail.
    let _ = writeln!(page, "\n## {title}\n\n{about}\n\n| key | value | default | meaning |\n|---|---|---|---|");
    for key in keys {
        let required = key.required || key.is_required_by(provider);
        let default = match (required, key.default_with(provider)) {
            (true, _) => "**required**",
            (false, "") => "–",
            (false, default) => default,
        };
        let cells = [
            format!("`{}`", key.name),
            shape(key),
            default.to_owned(),
            format!("{} For example `{}`.", key.about, key.example),
        ];
        let cells = cells.map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(page, "| {} |", cells.join(" | "));
    }
}

fn shape(key: &Key) -> String {
    let quoted =
        |choices: &[&str]| choices.iter().map(|choice| format!("`\"{choice}\"`")).collect::<Vec<_>>().join(", ");
    match key.shape {
        Shape::Text | Shape::Script => "string".to_owned(),
        Shape::Texts => "string, or array of strings".to_owned(),
        Shape::Hosts => "array of host patterns".to_owned(),
        Shape::Bool => "`true`, `false`".to_owned(),
        Shape::Duration => "duration".to_owned(),
        Shape::Choice(choices) => quoted(choices),
        Shape::Choices(choices) => format!("array of {}", quoted(choices)),
        Shape::Entry => "string `\"SERVICE/ACCOUNT\"`".to_owned(),
        Shape::Path => "path from the root".to_owned(),
        Shape::Url => "`https://` URL; `http://` for loopback only".to_owned(),
        Shape::Secret => "secret reference".to_owned(),
        Shape::SecretOrPath => "path from the root, or secret reference".to_owned(),
        Shape::Argv => "array: program and arguments".to_owned(),
        Shape::Map => "table of strings".to_owned(),
        Shape::Port => "port".to_owned(),
        Shape::Statuses => "array of statuses from 400 to 499".to_owned(),
        Shape::Fallback => "table".to_owned(),
    }
}

const HEAD: &str = "\
# The configuration file

The file is `$XDG_CONFIG_HOME/unexpired/config.toml` (`~/.config` without that variable, `~/Library/Application Support` on macOS, `%APPDATA%` on
Windows), or what `--config` or `UNEXPIRED_CONFIG` names. It is TOML: one table `[token.NAME]` for each token. Unknown keys are refused.

A file that the world, or a group other than the owner's private one, can write is refused, and so is one that belongs to anybody but you or root:
who can write it decides where secrets go and which commands run. For the same reason nothing is picked up from the working folder, and
paths begin at the root.

`unexpired config check` says what is wrong, with line and remedy, and which of the files and variables that are named here are not there. `unexpired config schema` prints the JSON Schema; with
`#:schema /path/of/unexpired.schema.json` in the first line, editors that use taplo complete from it.

```toml
[token.corp]
provider      = \"entra\"
cloud         = \"us-government\"
tenant        = \"contoso.onmicrosoft.us\"
client_id     = \"aaaaaaaa-0000-4000-8000-000000000001\"
client_secret = { file = \"/run/secrets/corp\" }
scope         = \"https://cognitiveservices.azure.us/.default\"
hosts         = [\"*.openai.azure.us\"]

[token.corp.fallback]
provider = \"command\"
command  = [\"az\", \"account\", \"get-access-token\", \"--scope\", \"https://cognitiveservices.azure.us/.default\", \"--output\", \"json\"]
```
";

const TOP: &str = "What is said once for all tokens.";

const ROUTES: &str = "\
A route names a token and where requests go with it: what `unexpired proxy` serves ([proxy](../proxy.md)). If the token has `hosts`, the upstream's
must be among them. `port` and `socket` exclude each other.";

const SECRETS: &str = "\
A secret never stands in the file itself. It is named by a table with exactly one of these keys, and read at every mint: a replaced file takes
effect without a restart. `config check` warns of files that everybody can read.";

const TAIL: &str = "
## Values

- **Durations** are whole numbers with units, largest first: `\"10m\"`, `\"90s\"`, `\"1h30m\"`, `\"250ms\"`, `\"1d\"`. A bare number is refused.
- **Names** of tokens and routes are up to 64 letters, digits, `-`, `_` and `.`, and begin with a letter or a digit.
- **A fallback** takes all keys of its provider, and not `hosts`, `export`, `min_ttl`, `username` and `answer`, which are the token's. It may have a `fallback` of its own.
";
