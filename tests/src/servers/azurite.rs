//! Azurite: Azure's storage emulator, here for the one thing it does with a token: it refuses an expired one.

use std::io;

use super::oidc_provider::modules;
use crate::http::{Answer, Request};
use crate::presence::record;
use crate::process::{Process, home, text};
use crate::tls::TestCa;

/// Azurite's blob service over https with `--oauth basic`.
///
/// It takes a JWT with an issuer `https://sts.windows.net/...`, the audience `https://storage.azure.com` and `nbf`,
/// `iat`, `exp` around now, and answers anything else with 403. It does not check the signature.
#[derive(Debug)]
pub struct Azurite {
    process: Process,
    ca: TestCa,
    url: String,
}

impl Azurite {
    /// The resource to ask oidc-provider for: Azurite's audience, in tokens of so many seconds.
    pub fn resource(seconds: u32) -> String {
        format!("https://storage.azure.com/ttl={seconds}")
    }

    /// Starts it with a new certificate.
    pub fn start() -> Option<Self> {
        let modules = record("azurite", modules("azurite"))?;
        let ca = TestCa::new();
        let home = home();
        let main = format!("{modules}/node_modules/azurite/dist/src/blob/main.js");
        let data = home.path().join("data");
        let (cert, key) = (ca.certificate_file(), ca.key_file());
        #[rustfmt::skip]
        let command = [
            "node", &main, "--disableTelemetry", "--oauth", "basic", "--cert", text(&cert), "--key", text(&key),
            "--blobHost", "127.0.0.1", "--blobPort", "0", "--location", text(&data),
        ];
        let mut process = Process::start("azurite", home, &command, &[]);
        let port: u16 = process.ready(|process| {
            let out = process.stdout();
            let line = out.split_inclusive('\n').find(|line| line.contains("listens on") && line.ends_with('\n'))?;
            line.trim().rsplit(':').next()?.parse().ok()
        });
        let url = format!("https://localhost:{port}/devstoreaccount1");
        Some(Self { process, ca, url })
    }

    /// `https://localhost:PORT/devstoreaccount1`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The authority of its certificate.
    pub fn ca(&self) -> &TestCa {
        &self.ca
    }

    /// Lists the containers with this `Authorization` value: 200 if it is taken, 403 if not.
    ///
    /// # Errors
    /// If the connection fails.
    pub fn list(&self, authorization: &str) -> io::Result<Answer> {
        Request::get(format!("{}?comp=list", self.url))
            .header("x-ms-version", "2021-08-06")
            .header("authorization", authorization)
            .trust(&self.ca)
            .send()
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        self.process.runs()
    }
}
