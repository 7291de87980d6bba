//! cargo at a sparse registry that wants authentication, by both of its forms.

use std::fs;

use serde_json::json;
use unexpired_tests::cli::Lab;
use unexpired_tests::clients::on_path;
use unexpired_tests::resource::{Incoming, Reply, Resource, Scheme, reply};

use crate::{LIFE, assert_fresh, good, program, through_lifetimes, write};

/// A sparse registry with one crate.
fn registry(request: &Incoming) -> Reply {
    let host = request.header("host").unwrap_or_default();
    let path = request.target.split('?').next().unwrap_or_default();
    match path {
        "/index/config.json" => {
            let config =
                json!({ "dl": format!("http://{host}/dl"), "api": format!("http://{host}"), "auth-required": true });
            reply(200, "application/json", config.to_string())
        }
        "/index/pa/ck/packaged" => {
            let line = json!({ "name": "packaged", "vers": "1.2.3", "deps": [], "cksum": "0".repeat(64), "features": {}, "yanked": false });
            reply(200, "text/plain", format!("{line}\n"))
        }
        "/api/v1/crates" => {
            let found = json!({ "crates": [{ "name": "packaged", "max_version": "1.2.3", "description": "one" }], "meta": { "total": 1 } });
            reply(200, "application/json", found.to_string())
        }
        _ => reply(404, "text/plain", ""),
    }
}

#[test]
fn cargo_searches_and_resolves_by_both_forms() {
    let Some(cargo) = on_path("cargo") else { return };
    let stdout_form = format!("[\"cargo:token-from-stdout\", {0:?}, \"helper\", \"cargo\"]", program());
    let json_form = format!("[{0:?}, \"--min-ttl\", \"1s\"]", program());
    for provider in [json_form, stdout_form] {
        let lab = Lab::start(LIFE);
        let guard = lab.guard();
        // cargo sends what the provider says, whole.
        let server = Resource::start(None, &["Bearer"], guard, registry);
        let home = lab.home().join("cargo");
        write(
            &home.join("config.toml"),
            &format!(
                "[registries.corp]\nindex = \"sparse+{}/index/\"\ncredential-provider = {provider}\n",
                server.url()
            ),
        );
        let package = lab.home().join("package");
        write(&package.join("src/lib.rs"), "");
        write(
            &package.join("Cargo.toml"),
            "[package]\nname = \"p\"\nedition = \"2021\"\n[dependencies]\npackaged = { version = \"1\", registry = \"corp\" }\n",
        );
        let toolchain = ["RUSTUP_HOME", "RUSTUP_TOOLCHAIN"].map(|name| (name, std::env::var(name).unwrap_or_default()));
        let rustup =
            std::env::var("RUSTUP_HOME").unwrap_or_else(|_| format!("{}/.rustup", std::env::var("HOME").unwrap()));
        let mut environment = vec![("CARGO_HOME", home.to_str().unwrap()), ("RUSTUP_HOME", rustup.as_str())];
        environment.extend(
            toolchain
                .iter()
                .skip(1)
                .filter(|(_, value)| !value.is_empty())
                .map(|(name, value)| (*name, value.as_str())),
        );
        let manifest = package.join("Cargo.toml");
        good(&lab.run(&[&cargo, "generate-lockfile", "--manifest-path", manifest.to_str().unwrap()], &environment));
        assert!(fs::read_to_string(package.join("Cargo.lock")).unwrap().contains("packaged"));
        through_lifetimes(|| {
            let found = lab.run(&[&cargo, "search", "--registry", "corp", "packaged"], &environment);
            good(&found);
            assert!(found.stdout.starts_with("packaged = \"1.2.3\""), "{found:?}");
        });
        assert_fresh(&server);
        assert_eq!(server.seen().scheme, Some(Scheme::Bearer));
    }
}
