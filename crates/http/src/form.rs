//! Requests' bodies and client authentication: what is encoded here may be secret and is wiped.

use std::fmt;

use unexpired_core::Secret;
use zeroize::Zeroizing;

/// A body of the type `application/x-www-form-urlencoded`. Its memory is wiped, and `Debug` shows the names only.
///
/// ```
/// use unexpired_http::Form;
///
/// let form = Form::new().pair("grant_type", "client_credentials").secret("client_secret", &"s3cr3t +".into());
/// assert_eq!(form.encode().as_str(), "grant_type=client_credentials&client_secret=s3cr3t+%2B");
/// assert_eq!(format!("{form:?}"), r#"Form["grant_type", "client_secret"]"#);
/// ```
#[derive(Clone, Default)]
pub struct Form(Vec<Pair>);

#[derive(Clone)]
struct Pair {
    name: String,
    value: Secret,
    is_secret: bool,
}

impl Form {
    /// No pairs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a pair.
    #[must_use]
    pub fn pair(mut self, name: &str, value: &str) -> Self {
        self.0.push(Pair { name: name.to_owned(), value: Secret::new(value), is_secret: false });
        self
    }

    /// Adds a pair whose value is secret: if the answer repeats it, its [`Failure`](crate::Failure) holds no text of the answer.
    #[must_use]
    pub fn secret(mut self, name: &str, value: &Secret) -> Self {
        self.0.push(Pair { name: name.to_owned(), value: value.clone(), is_secret: true });
        self
    }

    /// The body.
    pub fn encode(&self) -> Zeroizing<String> {
        // Room for the worst case: text that grows would leave copies of the secret behind.
        let room = self.0.iter().map(|pair| 3 * (pair.name.len() + pair.value.expose().len()) + 2).sum();
        let mut body = Zeroizing::new(String::with_capacity(room));
        for Pair { name, value, .. } in &self.0 {
            if !body.is_empty() {
                body.push('&');
            }
            push_form_encoded(&mut body, name);
            body.push('=');
            push_form_encoded(&mut body, value.expose());
        }
        body
    }

    pub(crate) fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.0.iter().filter(|pair| pair.is_secret).map(|pair| &pair.value)
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Form")?;
        f.debug_list().entries(self.0.iter().map(|pair| &pair.name)).finish()
    }
}

/// `client_secret_basic`: the client's id and secret in an `Authorization` header, both form-encoded first (RFC 6749 section 2.3.1).
#[derive(Clone)]
pub struct BasicAuth {
    value: Zeroizing<String>,
    client_secret: Secret,
}

impl BasicAuth {
    /// The header's value for this client.
    pub fn new(client_id: &str, client_secret: &Secret) -> Self {
        let mut pair = Zeroizing::new(String::with_capacity(3 * (client_id.len() + client_secret.expose().len()) + 1));
        push_form_encoded(&mut pair, client_id);
        pair.push(':');
        push_form_encoded(&mut pair, client_secret.expose());
        let encoded = Zeroizing::new(unexpired_crypto::b64::std_encode(pair.as_bytes()));
        let mut value = Zeroizing::new(String::with_capacity(6 + encoded.len()));
        value.push_str("Basic ");
        value.push_str(&encoded);
        Self { value, client_secret: client_secret.clone() }
    }

    /// `Basic` and the encoded pair.
    pub fn header_value(&self) -> &str {
        &self.value
    }

    /// The client's secret, and the encoded pair.
    pub(crate) fn secrets(&self) -> [Secret; 2] {
        [self.client_secret.clone(), Secret::new(self.value.trim_start_matches("Basic "))]
    }
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BasicAuth(…)")
    }
}

/// `text` as it stands in a form: blanks are `+`, everything but letters, digits and `*-._` is `%XX`.
///
/// ```
/// assert_eq!(unexpired_http::form_encode("a b/é~").as_str(), "a+b%2F%C3%A9%7E");
/// ```
pub fn form_encode(text: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(3 * text.len()));
    push_form_encoded(&mut encoded, text);
    encoded
}

/// `text` as it stands in a path segment or a query: everything but RFC 3986's unreserved characters is `%XX`.
///
/// ```
/// assert_eq!(unexpired_http::percent_encode("a b/é~"), "a%20b%2F%C3%A9~");
/// ```
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(3 * text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => push_escape(&mut encoded, byte),
        }
    }
    encoded
}

fn push_form_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => push_escape(out, byte),
        }
    }
}

fn push_escape(out: &mut String, byte: u8) {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).map_or('0', |c| c.to_ascii_uppercase());
    out.push('%');
    out.push(digit(byte >> 4));
    out.push(digit(byte & 15));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_auth_encodes_both_halves_first() {
        // RFC 6749 section 2.3.1's rule on values that need it: "a:b" and "p %" as form text.
        let auth = BasicAuth::new("a:b", &Secret::new("p %"));
        let decoded = unexpired_crypto::b64::std_decode(auth.header_value().strip_prefix("Basic ").unwrap()).unwrap();
        assert_eq!(decoded.as_slice(), b"a%3Ab:p+%25");
        assert_eq!(format!("{auth:?}"), "BasicAuth(…)");
    }

    #[test]
    fn the_body_is_written_into_its_first_buffer() {
        let form = Form::new().pair("scope", "ü ü ü").secret("client_secret", &Secret::new("%".repeat(100)));
        let body = form.encode();
        assert!(body.len() <= body.capacity());
        assert_eq!(body.as_str(), format!("scope=%C3%BC+%C3%BC+%C3%BC&client_secret={}", "%25".repeat(100)));
    }

    proptest::proptest! {
        #[test]
        fn the_encoding_is_what_a_form_parser_reads(name in ".{0,20}", value in ".{0,40}") {
            let body = Form::new().pair(&name, &value).pair("x", "y").encode();
            let read: Vec<(String, String)> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
            proptest::prop_assert_eq!(read, vec![(name, value), ("x".to_owned(), "y".to_owned())]);
        }
    }
}
