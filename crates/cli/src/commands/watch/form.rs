//! What stands in the file: the token in the form that its readers want.

use crate::args::WatchFormat;
use crate::commands::rfc3339;
use crate::failure::{Failure, USAGE};
use unexpired::Token;
use unexpired::config::TokenConfig;
use zeroize::Zeroizing;

/// A form, with what it says beside the token.
#[derive(Debug)]
pub(super) enum Form {
    Raw,
    Header,
    Netrc { hosts: Vec<String>, login: String },
    Json { name: String },
}

impl Form {
    /// The form of this name for this token. A netrc file names hosts, so there must be some that can be named.
    pub(super) fn of(format: WatchFormat, token: &TokenConfig) -> Result<Self, Failure> {
        match format {
            WatchFormat::Raw => Ok(Self::Raw),
            WatchFormat::Header => Ok(Self::Header),
            WatchFormat::Json => Ok(Self::Json { name: token.name().to_owned() }),
            WatchFormat::Netrc => {
                let hosts: Vec<String> =
                    token.hosts().iter().map(ToString::to_string).filter(|host| !host.starts_with("*.")).collect();
                let wrong = |what: &str, remedy: &str| {
                    Failure::new(USAGE, format!("{}: no netrc file can be made: {what}", token.name())).hint(remedy)
                };
                if hosts.is_empty() {
                    return Err(wrong(
                        "its `hosts` names no host in full",
                        "add the hosts to `hosts`, each by its whole name",
                    ));
                }
                let login = token.username().to_owned();
                if login.is_empty() || login.contains(|c: char| c.is_whitespace() || c == '"' || c == '#') {
                    return Err(wrong("its `username` has a blank or a quote in it", "set another `username`"));
                }
                Ok(Self::Netrc { hosts, login })
            }
        }
    }

    /// The whole file, in memory that is wiped. A token is a b64token, so it needs no quotes anywhere.
    pub(super) fn render(&self, token: &Token) -> Zeroizing<String> {
        let secret = token.secret();
        let room = match self {
            Self::Netrc { hosts, login } => {
                hosts.iter().map(|host| host.len() + login.len() + secret.len() + 32).sum::<usize>()
            }
            Self::Json { name } => 512 + secret.len() + name.len() * 6 + token.source().len() * 6,
            _ => secret.len() + token.scheme().len() + 24,
        };
        // Written once: a buffer that grew would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(room));
        let mut put = |parts: &[&str]| parts.iter().for_each(|part| text.push_str(part));
        match self {
            // No line end: what reads the file as a whole may put it into a header as it is.
            Self::Raw => put(&[secret]),
            Self::Header => put(&["Authorization: ", token.scheme(), " ", secret, "\n"]),
            Self::Netrc { hosts, login } => {
                for host in hosts {
                    put(&["machine ", host, " login ", login, " password ", secret, "\n"]);
                }
            }
            Self::Json { name } => {
                let rest = serde_json::json!({
                    "scheme": token.scheme(),
                    "expires_at": token.expires_at().map(rfc3339),
                    "source": token.source(),
                    "token_name": name,
                    "fingerprint": token.fingerprint(),
                })
                .to_string();
                put(&["{\"token\":\"", secret, "\",", rest.trim_start_matches('{'), "\n"]);
            }
        }
        text
    }

    /// Whether a file has this form, so that it may be replaced: nobody's notes or netrc of other hosts are lost to a mistyped path.
    pub(super) fn is_of(&self, text: &str) -> bool {
        match self {
            _ if text.trim().is_empty() => true,
            Self::Raw => text.trim().lines().count() == 1 && !text.trim().contains(char::is_whitespace),
            Self::Header => text.trim().lines().count() == 1 && text.starts_with("Authorization: "),
            Self::Netrc { hosts, .. } => text.lines().all(|line| {
                let words: Vec<&str> = line.split(' ').collect();
                matches!(words.as_slice(), ["machine", host, "login", _, "password", _] if hosts.iter().any(|own| own == host))
            }),
            Self::Json { .. } => serde_json::from_str::<serde_json::Value>(text)
                .is_ok_and(|value| value.get("token").is_some() && value.get("fingerprint").is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use unexpired::{Clock as _, SystemClock};

    fn token() -> Token {
        Token::builder("at-1.x_~+/=", SystemClock.now()).expires_in(Duration::from_secs(60)).build().unwrap()
    }

    fn forms() -> [Form; 4] {
        let hosts = vec!["api.example.com".to_owned(), "b.example.com".to_owned()];
        [
            Form::Raw,
            Form::Header,
            Form::Netrc { hosts, login: "oauth2".to_owned() },
            Form::Json { name: "corp".to_owned() },
        ]
    }

    #[test]
    fn each_form_is_what_its_readers_want() {
        let [raw, header, netrc, json] = forms().map(|form| form.render(&token()).to_string());
        assert_eq!(raw, "at-1.x_~+/=");
        assert_eq!(header, "Authorization: Bearer at-1.x_~+/=\n");
        assert_eq!(
            netrc,
            "machine api.example.com login oauth2 password at-1.x_~+/=\nmachine b.example.com login oauth2 password at-1.x_~+/=\n"
        );
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["token"], "at-1.x_~+/=");
        assert_eq!(value["fingerprint"], token().fingerprint());
        assert!(value["expires_at"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn only_a_file_of_the_same_form_is_replaced() {
        for form in &forms() {
            assert!(form.is_of("") && form.is_of(&form.render(&token())), "{form:?}");
            for other in [
                "# my notes\nkeep them\n",
                "machine github.com login me password secret\n",
                "machine api.example.com login a password b\nmachine github.com login me password secret\n",
                "Host: x\nAuthorization: Bearer x\n",
                "{\"theme\":\"dark\", \"x\": 1}",
            ] {
                assert!(!form.is_of(other), "{form:?}: {other}");
            }
        }
    }
}
