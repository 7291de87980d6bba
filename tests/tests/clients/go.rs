//! go, by GOAUTH, at a module proxy that wants a token.

use std::fs;

use unexpired_tests::cli::Lab;
use unexpired_tests::clients::on_path_if_there;
use unexpired_tests::resource::{Incoming, Reply, Resource, Scheme, reply};
use unexpired_tests::tls::TestCa;

use crate::{LIFE, assert_fresh, good, program, through_lifetimes};

fn modules(request: &Incoming) -> Reply {
    match request.target.as_str() {
        "/m.example.com/m/@v/list" => reply(200, "text/plain", "v1.2.3\n"),
        "/m.example.com/m/@v/v1.2.3.info" => {
            reply(200, "application/json", r#"{"Version":"v1.2.3","Time":"2026-01-01T00:00:00Z"}"#)
        }
        "/m.example.com/m/@v/v1.2.3.mod" => reply(200, "text/plain", "module m.example.com/m\n"),
        _ => reply(404, "text/plain", ""),
    }
}

#[test]
fn go_lists_versions_through_lifetimes() {
    let Some(go) = on_path_if_there("go") else { return };
    // After a refusal by the URL, and at once for a token that is named: its `hosts` are reached without a port there, so it is asked again.
    for helper in ["helper go", "helper go --token corp"] {
        let (lab, ca) = (Lab::start(LIFE), TestCa::new());
        let server = Resource::start(Some(&ca), &["Bearer realm=\"r\""], lab.guard(), modules);
        let (url, ca_file, auth) = (server.url(), ca.ca_file(), format!("{} {helper}", program()));
        let environment = [
            ("GOAUTH", auth.as_str()),
            ("GOPROXY", url.as_str()),
            ("GOSUMDB", "off"),
            ("GOTOOLCHAIN", "local"),
            ("GOFLAGS", "-mod=mod"),
            ("SSL_CERT_FILE", ca_file.to_str().unwrap()),
        ];
        through_lifetimes(|| {
            // Nothing from the time before.
            let _ = fs::remove_dir_all(lab.home().join("go/pkg/mod"));
            let got = lab.run(&[&go, "list", "-m", "-versions", "m.example.com/m"], &environment);
            good(&got);
            assert_eq!(got.stdout, "m.example.com/m v1.2.3\n", "{got:?}");
        });
        assert_fresh(&server);
        assert_eq!(server.seen().scheme, Some(Scheme::Bearer));
    }
}
