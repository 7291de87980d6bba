//! The JSON key of a service account, as Google hands it out.

use crate::service_account::misconfigured;
use serde::de::{IgnoredAny, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;
use unexpired_core::{MintError, Secret};

/// What is needed of the file.
pub(crate) struct KeyFile {
    pub(crate) client_email: String,
    /// PEM, PKCS#8.
    pub(crate) private_key: Secret,
    /// Goes out as `kid`. Missing in some files made by hand.
    pub(crate) private_key_id: Option<String>,
    /// The service account's number, by which an administrator knows it.
    pub(crate) client_id: Option<String>,
    pub(crate) token_uri: Option<String>,
    pub(crate) universe_domain: Option<String>,
}

impl KeyFile {
    /// Reads the file. Errors say what it is instead, and show nothing of it but the name of its type.
    pub(crate) fn parse(text: &Secret) -> Result<Self, MintError> {
        let text = text.expose().trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            return Err(misconfigured("the key file is empty", WANTED));
        }
        if text.starts_with("-----BEGIN") {
            return Err(misconfigured("the key file is a bare private key", WANTED));
        }
        // serde's own words may quote a value, the private key's too: only the place is shown.
        let file: File = serde_json::from_str(text).map_err(|error| {
            let what = if error.is_data() { "is JSON of another shape" } else { "is no JSON" };
            misconfigured(&format!("the key file {what} (line {}, column {})", error.line(), error.column()), WANTED)
        })?;
        match file.kind.as_deref() {
            Some("service_account") => {}
            Some(other) => {
                let what =
                    OTHER_KINDS.iter().find(|(kind, _)| *kind == other).map_or("something unknown", |(_, what)| what);
                return Err(misconfigured(&format!("the file's type is {other}: {what}"), WANTED));
            }
            None if file.web.is_some() || file.installed.is_some() => {
                return Err(misconfigured("this is an OAuth client file, not a credential", WANTED));
            }
            None if file.private_key.is_some() && file.client_email.is_some() => {}
            None => return Err(misconfigured("the key file has no type", WANTED)),
        }
        let missing =
            |member: &str| misconfigured(&format!("the key file has no {member}"), "download the key again, whole");
        Ok(Self {
            client_email: file.client_email.filter(|email| !email.is_empty()).ok_or_else(|| missing("client_email"))?,
            private_key: file
                .private_key
                .map(|key| key.0)
                .filter(|key| !key.is_empty())
                .ok_or_else(|| missing("private_key"))?,
            private_key_id: file.private_key_id.filter(|id| !id.is_empty()),
            client_id: file.client_id.filter(|id| !id.is_empty()),
            token_uri: file.token_uri.filter(|uri| !uri.is_empty()),
            universe_domain: file.universe_domain.filter(|domain| !domain.is_empty()),
        })
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "type")]
    kind: Option<String>,
    client_email: Option<String>,
    private_key: Option<PrivateKey>,
    private_key_id: Option<String>,
    client_id: Option<String>,
    token_uri: Option<String>,
    universe_domain: Option<String>,
    web: Option<IgnoredAny>,
    installed: Option<IgnoredAny>,
}

/// The key's text, copied straight into wiped memory. (The buffer in which serde_json resolves `\n` is its own and is freed as it is.)
struct PrivateKey(Secret);

impl<'de> Deserialize<'de> for PrivateKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        impl Visitor<'_> for Text {
            type Value = PrivateKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a private key in PEM")
            }

            fn visit_str<E>(self, text: &str) -> Result<PrivateKey, E> {
                Ok(PrivateKey(Secret::new(text)))
            }
        }

        deserializer.deserialize_str(Text)
    }
}

const WANTED: &str = "give the JSON key of a service account (type service_account)";

const OTHER_KINDS: [(&str, &str); 5] = [
    ("authorized_user", "a user's sign-in, as gcloud auth application-default login writes it"),
    ("external_account", "a configuration of workload identity federation"),
    ("external_account_authorized_user", "a workforce user's sign-in"),
    ("impersonated_service_account", "an impersonation on top of another credential"),
    ("gdch_service_account", "a service account of Google Distributed Cloud"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use unexpired_core::ErrorKind;

    fn error_of(text: &str) -> String {
        match KeyFile::parse(&text.into()) {
            Ok(_) => panic!("{text}"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Misconfigured);
                error.to_string()
            }
        }
    }

    #[test]
    fn files_that_are_no_keys_are_called_what_they_are() {
        for (text, says) in [
            (r#"{"type":"authorized_user","refresh_token":"1//0fake"}"#, "a user's sign-in"),
            (r#"{"type":"external_account"}"#, "workload identity federation"),
            (r#"{"type":"external_account_authorized_user"}"#, "a workforce user's sign-in"),
            (r#"{"type":"impersonated_service_account"}"#, "an impersonation"),
            (r#"{"type":"gdch_service_account"}"#, "Google Distributed Cloud"),
            (r#"{"type":"robot"}"#, "type is robot: something unknown"),
            (r#"{"web":{"client_id":"1","client_secret":"x"}}"#, "this is an OAuth client file"),
            (r#"{"installed":{"client_id":"1"}}"#, "this is an OAuth client file"),
            ("{}", "has no type"),
            ("", "is empty"),
            ("\n", "is empty"),
            ("-----BEGIN PRIVATE KEY-----\nfake", "a bare private key"),
            ("/path/to/key.json", "is no JSON"),
            ("[]", "JSON of another shape"),
            (r#"{"type":"service_account","private_key":"fake"}"#, "has no client_email"),
            (r#"{"type":"service_account","client_email":"a@b"}"#, "has no private_key"),
            (r#"{"type":"service_account","client_email":"","private_key":"fake"}"#, "has no client_email"),
        ] {
            let error = error_of(text);
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn errors_show_no_value_of_the_file() {
        for text in [
            r#"{"type":"service_account","private_key":{"hunter2":1}}"#,
            r#"{"type":"service_account","client_email":["hunter2"]}"#,
            r#"{"type":5,"private_key":"hunter2"}"#,
            r#"{"private_key":"hunter2""#,
            r#"{"private_key":"hunter2","private_key":"hunter2"}"#,
            "hunter2",
        ] {
            assert!(!error_of(text).contains("hunter2"));
        }
    }

    #[test]
    fn what_is_optional_may_be_missing_and_a_byte_order_mark_is_no_harm() {
        let key = KeyFile::parse(
            &"\u{feff}{\"client_email\":\"a@b\",\"private_key\":\"x\\ny\",\"private_key_id\":\"\"}".into(),
        )
        .unwrap();
        assert_eq!((key.client_email.as_str(), key.private_key.expose()), ("a@b", "x\ny"));
        assert!(key.private_key_id.is_none() && key.token_uri.is_none() && key.universe_domain.is_none());
    }
}
