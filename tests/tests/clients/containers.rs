//! skopeo and docker, by a credential helper.

use serde_json::json;
use unexpired_tests::cli::Lab;
use unexpired_tests::clients::{on_path, on_path_if_there};
use unexpired_tests::resource::{Incoming, Reply, Resource, reply};
use unexpired_tests::tls::TestCa;

use crate::{LIFE, assert_fresh, good, through_lifetimes, write};

/// A registry with one manifest.
fn containers(request: &Incoming) -> Reply {
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": { "mediaType": "application/vnd.docker.container.image.v1+json", "size": 2, "digest": format!("sha256:{}", "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a") }, "layers": [] });
    match request.target.as_str() {
        "/v2/" => reply(200, "application/json", "{}"),
        "/v2/o/i/manifests/latest" => reply(200, MANIFEST, manifest.to_string()),
        path if path.starts_with("/v2/o/i/blobs/") => reply(200, "application/octet-stream", "{}"),
        _ => reply(404, "application/json", "{}"),
    }
}

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

fn docker_config(lab: &Lab, authority: &str) -> String {
    lab.link("docker-credential-unexpired");
    let file = lab.home().join(".docker/config.json");
    write(&file, &json!({ "credHelpers": { authority: "unexpired" } }).to_string());
    file.to_str().unwrap().to_owned()
}

#[test]
fn skopeo_inspects_through_lifetimes() {
    let Some(skopeo) = on_path("skopeo") else { return };
    let lab = Lab::start(LIFE);
    let server = Resource::start(None, &["Basic realm=\"r\""], lab.guard(), containers);
    let config = docker_config(&lab, &server.authority());
    let image = format!("docker://{}/o/i:latest", server.authority());
    through_lifetimes(|| {
        let got = lab.run(&[&skopeo, "inspect", "--raw", "--tls-verify=false", "--authfile", &config, &image], &[]);
        good(&got);
        assert!(got.stdout.contains(MANIFEST), "{got:?}");
    });
    assert_fresh(&server);
}

#[test]
fn docker_reads_a_manifest_through_lifetimes() {
    let Some(docker) = on_path_if_there("docker") else { return };
    let (lab, ca) = (Lab::start(LIFE), TestCa::new());
    let server = Resource::start(Some(&ca), &["Basic realm=\"r\""], lab.guard(), containers);
    docker_config(&lab, &server.authority());
    let image = format!("{}/o/i:latest", server.authority());
    let ca_file = ca.ca_file();
    let trust = [("SSL_CERT_FILE", ca_file.to_str().unwrap())];
    through_lifetimes(|| {
        let got = lab.run(&[&docker, "manifest", "inspect", &image], &trust);
        good(&got);
        assert!(got.stdout.contains(MANIFEST), "{got:?}");
    });
    assert_fresh(&server);
}
