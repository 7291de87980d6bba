//! A small blocking HTTP/1.1 client, so that the harness asks the servers raw questions without the code under test.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::Value;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use crate::tls::TestCa;

/// One request; a connection of its own, closed after the answer.
#[derive(Debug)]
pub struct Request<'a> {
    method: &'static str,
    url: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    ca: Option<&'a TestCa>,
}

/// An answer, of whatever status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values, in the order of the wire.
    pub headers: Vec<(String, String)>,
    /// The body without its transfer coding.
    pub body: Vec<u8>,
}

impl<'a> Request<'a> {
    /// A `GET`.
    pub fn get(url: impl Into<String>) -> Self {
        Self { method: "GET", url: url.into(), headers: Vec::new(), body: Vec::new(), ca: None }
    }

    /// A `POST` without a body yet.
    pub fn post(url: impl Into<String>) -> Self {
        Self { method: "POST", ..Self::get(url) }
    }

    /// A `PUT` without a body yet.
    pub fn put(url: impl Into<String>) -> Self {
        Self { method: "PUT", ..Self::get(url) }
    }

    /// A `DELETE`.
    pub fn delete(url: impl Into<String>) -> Self {
        Self { method: "DELETE", ..Self::get(url) }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// `client_secret_basic` as RFC 6749 section 2.3.1 has it: both parts form-encoded first.
    #[must_use]
    pub fn basic(self, client_id: &str, client_secret: &str) -> Self {
        let form = |part: &str| byte_serialize(part.as_bytes()).collect::<String>();
        self.raw_basic(&form(client_id), &form(client_secret))
    }

    /// Plain HTTP Basic (RFC 7617), nothing form-encoded.
    #[must_use]
    pub fn raw_basic(self, user: &str, password: &str) -> Self {
        self.header("authorization", &format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}"))))
    }

    /// A form as the body.
    #[must_use]
    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        self.body = Serializer::new(String::new()).extend_pairs(fields).finish().into_bytes();
        self.header("content-type", "application/x-www-form-urlencoded")
    }

    /// JSON as the body.
    #[must_use]
    pub fn json(mut self, value: &Value) -> Self {
        self.body = value.to_string().into_bytes();
        self.header("content-type", "application/json")
    }

    /// Trusts this authority; needed for https.
    #[must_use]
    pub fn trust(mut self, ca: &'a TestCa) -> Self {
        self.ca = Some(ca);
        self
    }

    /// Sends it and reads the whole answer. No redirects, no second try.
    ///
    /// # Errors
    /// If the connection fails, takes longer than 20 s to say something, or ends before the answer does.
    pub fn send(self) -> io::Result<Answer> {
        let url = Url::parse(&self.url).map_err(io::Error::other)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let port = url.port_or_known_default().unwrap_or_default();
        let stream = TcpStream::connect((host.as_str(), port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let message = self.message(&url, &host, port);
        match (url.scheme(), self.ca) {
            ("http", _) => exchange(stream, &message),
            ("https", Some(ca)) => {
                let name = ServerName::try_from(host).map_err(io::Error::other)?;
                let tls = ClientConnection::new(ca.client_config(), name).map_err(io::Error::other)?;
                exchange(StreamOwned::new(tls, stream), &message)
            }
            _ => Err(io::Error::other("https needs an authority to trust")),
        }
    }

    fn message(&self, url: &Url, host: &str, port: u16) -> Vec<u8> {
        let path = url.path();
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut head =
            format!("{} {path}{query} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n", self.method);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", self.body.len()));
        [head.as_bytes(), &self.body].concat()
    }
}

impl Answer {
    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `Null` if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// A string in a JSON body.
    ///
    /// # Panics
    /// If it is not there.
    pub fn text(&self, field: &str) -> String {
        let json = self.json();
        let text = json.get(field).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("no {field} in the {} answer", self.status)).to_owned()
    }
}

fn exchange(mut stream: impl Read + Write, message: &[u8]) -> io::Result<Answer> {
    stream.write_all(message)?;
    stream.flush()?;
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        // TLS without a close_notify: `parse` sees whether the answer is whole.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        other => drop(other?),
    }
    parse(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the answer ended early"))
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, rest) = bytes.split_at(end);
    let body = rest.get(4..)?;
    let head = String::from_utf8_lossy(head);
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer { status, headers, body: Vec::new() };
    answer.body = match (answer.header("transfer-encoding"), answer.header("content-length")) {
        (Some(_), _) => dechunk(body)?,
        (None, Some(length)) => body.get(..length.parse().ok()?)?.to_vec(),
        (None, None) => body.to_vec(),
    };
    Some(answer)
}

fn dechunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(bytes.get(..end)?).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let chunk = bytes.get(end + 2..)?;
        body.extend_from_slice(chunk.get(..size)?);
        bytes = chunk.get(size + 2..)?;
    }
}

const PATIENCE: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_answers_are_read_and_cut_ones_are_not() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        let chunked = b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;x=y\r\n!\r\n0\r\n\r\n";
        assert_eq!(parse(plain).unwrap().body, b"hi");
        let answer = parse(chunked).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (403, b"hi!".as_slice()));
        for answer in [plain.as_slice(), chunked] {
            for cut in 0..answer.len() - 5 {
                assert!(parse(&answer[..cut]).is_none(), "cut at {cut}");
            }
        }
        assert!(parse(&plain[..plain.len() - 1]).is_none());
    }
}
