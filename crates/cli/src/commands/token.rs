//! `unexpired token`: prints a token that is good for use now.

use crate::args::{Args, Format, Provider, TokenArgs};
use crate::commands::{github, rfc3339};
use crate::failure::Failure;
use crate::handout::{self, Ask, Handed};
use crate::out;
use zeroize::Zeroizing;

pub(crate) fn run(args: &Args, own: &TokenArgs) -> Result<(), Failure> {
    let ask = Ask { min_ttl: own.min_ttl, timeout: own.timeout, fresh: own.fresh, ..Ask::default() };
    let ask = Ask { client: own.client.map(|client| client.profile(own.client_interval)), ..ask };
    let handed = match (&own.name, own.provider) {
        (Some(name), _) => handout::token(args, name, &ask)?,
        // clap asks for one of the two.
        (None, provider) => from_environment(args, provider.unwrap_or(Provider::Oauth), own.scope.as_deref(), &ask)?,
    };
    if let Some(error) = &handed.instead {
        out::to_stderr(&format!("warning: this is the token that was kept, for no other could be had: {error}"));
    } else if handed.short && own.min_ttl.is_some() {
        out::to_stderr(&format!(
            "warning: the token lives {} s more, less than the {} s asked for; the issuer gives no longer one",
            handed.remaining().unwrap_or_default().as_secs(),
            own.min_ttl.unwrap_or_default().as_secs()
        ));
    }
    match own.format {
        Format::Github => github::set_outputs(&handed),
        format => out::answer(&print(&handed, format)),
    }
}

fn from_environment(args: &Args, provider: Provider, scope: Option<&str>, ask: &Ask) -> Result<Handed, Failure> {
    handout::of_environment(args, provider.name(), scope, ask)
}

/// The answer as it goes to stdout, in memory that is wiped.
fn print(handed: &Handed, format: Format) -> Zeroizing<String> {
    let Handed { token, name, short, .. } = handed;
    let secret = token.secret();
    // Written once: a buffer that grew would leave copies behind.
    let mut text =
        Zeroizing::new(String::with_capacity(secret.len() + 512 + name.len() * 6 + token.source().len() * 6));
    match format {
        Format::Raw | Format::Github => text.push_str(secret),
        Format::Header => {
            for part in ["Authorization: ", token.scheme(), " ", secret] {
                text.push_str(part);
            }
        }
        Format::Json => {
            // A token is a b64token (the engine takes nothing else), so it needs no escape.
            text.push_str("{\"token\":\"");
            text.push_str(secret);
            text.push_str("\",");
            let rest = serde_json::json!({
                "scheme": token.scheme(),
                "expires_at": token.expires_at().map(rfc3339),
                "expires_in": handed.remaining().map(|left| left.as_secs()),
                "source": token.source(),
                "token_name": name,
                "fingerprint": token.fingerprint(),
                "short": short,
            })
            .to_string();
            text.push_str(rest.trim_start_matches('{'));
        }
    }
    text.push('\n');
    text
}
