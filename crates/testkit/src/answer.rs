//! Answers, and the JSON in them.

use serde_json::Value;

use crate::fault::ExpiresIn;

/// What an endpoint answers, before faults.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(status: u16, body: impl Into<String>) -> Self {
        let body = body.into().into_bytes();
        Self { status, headers: Vec::new(), content_type: "application/json", body }
    }

    pub(crate) fn html(status: u16) -> Self {
        let body = PAGE.as_bytes().to_vec();
        Self { status, headers: Vec::new(), content_type: "text/html; charset=utf-8", body }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), content_type: "", body: Vec::new() }
    }

    pub(crate) fn value(status: u16, value: &Value) -> Self {
        Self::json(status, value.to_string())
    }

    /// An error as RFC 6749 §5.2 has it.
    pub(crate) fn oauth_error(status: u16, error: &str, description: &str) -> Self {
        let body = Members::new().text("error", error).text("error_description", description);
        Self::json(status, body.to_json())
    }

    pub(crate) fn not_found() -> Self {
        Self::oauth_error(404, "not_found", "nothing is served at this path")
    }

    pub(crate) fn only(method: &str) -> Self {
        Self::oauth_error(405, "invalid_request", &format!("the method must be {method}")).header("allow", method)
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn content_type(mut self, value: &'static str) -> Self {
        self.content_type = value;
        self
    }
}

/// The members of a JSON object in their order. A name may come twice, and a value may be any text: some faults need it.
#[derive(Debug, Default)]
pub(crate) struct Members(Vec<(&'static str, String)>);

impl Members {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn text(self, name: &'static str, value: &str) -> Self {
        self.value(name, &Value::from(value))
    }

    pub(crate) fn value(self, name: &'static str, value: &Value) -> Self {
        self.raw(name, value.to_string())
    }

    pub(crate) fn raw(mut self, name: &'static str, json: String) -> Self {
        self.0.push((name, json));
        self
    }

    pub(crate) fn maybe_text(self, name: &'static str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// `expires_in` of `seconds`, or as the fault wants it.
    pub(crate) fn expires_in(self, seconds: &Value, how: Option<&ExpiresIn>) -> Self {
        let name = "expires_in";
        let number = seconds.as_f64().unwrap_or_default();
        match how {
            None => self.value(name, seconds),
            Some(ExpiresIn::Text) => self.text(name, &seconds.to_string()),
            Some(ExpiresIn::Float) => self.value(name, &Value::from((number - 0.5).max(0.0))),
            Some(ExpiresIn::Negative) => self.raw(name, "-1".into()),
            Some(ExpiresIn::Missing) => self,
            Some(ExpiresIn::Absurd) => self.raw(name, "99999999999999999999".into()),
            Some(ExpiresIn::Duplicate) => {
                self.value(name, seconds).raw(name, Value::from((number * 10.0).round()).to_string())
            }
            Some(ExpiresIn::Raw(text)) => self.raw(name, text.clone()),
        }
    }

    pub(crate) fn to_json(&self) -> String {
        let mut json = String::from("{");
        for (name, value) in &self.0 {
            if json.len() > 1 {
                json.push(',');
            }
            json.push_str(&Value::from(*name).to_string());
            json.push(':');
            json.push_str(value);
        }
        json.push('}');
        json
    }
}

const PAGE: &str = "<!DOCTYPE html><html><head><title>Sign in to the network</title></head>\
    <body><h1>Sign in to the network</h1><p>Your access was interrupted.</p></body></html>";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_write_expires_in() {
        let write = |how: Option<ExpiresIn>| Members::new().expires_in(&Value::from(3600), how.as_ref()).to_json();
        assert_eq!(write(None), r#"{"expires_in":3600}"#);
        assert_eq!(write(Some(ExpiresIn::Text)), r#"{"expires_in":"3600"}"#);
        assert_eq!(write(Some(ExpiresIn::Float)), r#"{"expires_in":3599.5}"#);
        assert_eq!(write(Some(ExpiresIn::Negative)), r#"{"expires_in":-1}"#);
        assert_eq!(write(Some(ExpiresIn::Missing)), "{}");
        assert_eq!(write(Some(ExpiresIn::Absurd)), r#"{"expires_in":99999999999999999999}"#);
        assert_eq!(write(Some(ExpiresIn::Duplicate)), r#"{"expires_in":3600,"expires_in":36000.0}"#);
        assert_eq!(write(Some(ExpiresIn::Raw("[]".into()))), r#"{"expires_in":[]}"#);
    }
}
