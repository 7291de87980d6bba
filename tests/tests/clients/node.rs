//! pnpm, by its `tokenHelper`.

use std::fs;

use serde_json::json;
use unexpired_tests::cli::Lab;
use unexpired_tests::clients::from_npm;
use unexpired_tests::resource::{Incoming, Reply, Resource, Scheme, reply};

use crate::{LIFE, assert_fresh, good, through_lifetimes, write};

fn packages(request: &Incoming) -> Reply {
    let host = request.header("host").unwrap_or_default();
    match request.target.as_str() {
        "/packaged" => {
            let version = json!({ "name": "packaged", "version": "1.2.3", "dist": { "tarball": format!("http://{host}/packaged-1.2.3.tgz"), "shasum": "0".repeat(40) } });
            let document =
                json!({ "name": "packaged", "dist-tags": { "latest": "1.2.3" }, "versions": { "1.2.3": version } });
            reply(200, "application/json", document.to_string())
        }
        _ => reply(404, "application/json", "{}"),
    }
}

#[test]
fn pnpm_runs_the_token_helper() {
    let Some(pnpm) = from_npm("pnpm") else { return };
    let lab = Lab::start(LIFE);
    let link = lab.link("pnpm-credential-corp");
    let server = Resource::start(None, &["Bearer"], lab.guard(), packages);
    write(&lab.home().join(".npmrc"), &format!("//{}/:tokenHelper={}\n", server.authority(), link.display()));
    write(&lab.home().join("project/package.json"), r#"{"name":"p","version":"1.0.0"}"#);
    let registry = format!("--registry={}/", server.url());
    through_lifetimes(|| {
        // Nothing from the time before.
        for kept in [".cache", "project/pnpm-lock.yaml"] {
            let kept = lab.home().join(kept);
            let _ = fs::remove_dir_all(&kept);
            let _ = fs::remove_file(&kept);
        }
        good(&lab.run(&[&pnpm, "--dir", "project", "add", "--lockfile-only", &registry, "packaged"], &[]));
        assert!(fs::read_to_string(lab.home().join("project/pnpm-lock.yaml")).unwrap().contains("packaged@1.2.3"));
    });
    assert_fresh(&server);
    assert_eq!(server.seen().scheme, Some(Scheme::Bearer));
}
