//! kubectl, which starts the plugin each time, and `kubectl proxy`, which runs through many lifetimes.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use unexpired_tests::cli::{Client, Lab};
use unexpired_tests::clients::on_path;
use unexpired_tests::http::Request;
use unexpired_tests::resource::{Incoming, Reply, Resource, reply};
use unexpired_tests::tls::TestCa;

use crate::{LIFE, assert_fresh, good, program, through_lifetimes, write};

fn kubeconfig(lab: &Lab, server: &Resource, ca: &TestCa, args: &str, more: &str) -> String {
    let path = lab.home().join(".kube/config");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: prod\n\
         clusters:\n- name: prod\n  cluster:\n    server: {}\n    certificate-authority: {}\n\
         contexts:\n- name: prod\n  context:\n    cluster: prod\n    user: prod\n\
         users:\n- name: prod\n  user:\n    exec:\n      apiVersion: client.authentication.k8s.io/{VERSION}\n      command: {}\n      args: [{args}]\n      interactiveMode: Never\n{more}",
        server.url(),
        ca.ca_file().display(),
        program(),
        VERSION = "v1beta1",
    );
    write(&path, &text);
    path.to_str().unwrap().to_owned()
}

fn kubernetes(request: &Incoming) -> Reply {
    let object =
        json!({ "kind": "ConfigMapList", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": [] });
    let _ = request;
    reply(200, "application/json", object.to_string())
}

const CONFIGMAPS: &str = "/api/v1/namespaces/default/configmaps";

#[test]
fn kubectl_runs_the_plugin_each_time_it_starts() {
    let Some(kubectl) = on_path("kubectl") else { return };
    let (lab, ca) = (Lab::start(LIFE), TestCa::new());
    let server = Resource::start(Some(&ca), &[], lab.guard(), kubernetes);
    // The cluster's host picks the token.
    let config = kubeconfig(&lab, &server, &ca, "helper, kubectl", "      provideClusterInfo: true\n");
    through_lifetimes(|| {
        let got = lab.run(&[&kubectl, "--kubeconfig", &config, "get", "--raw", CONFIGMAPS], &[]);
        good(&got);
        assert!(got.stdout.contains("ConfigMapList") && got.stderr.is_empty(), "{got:?}");
    });
    assert_fresh(&server);

    // Another cluster gets nothing.
    let other = config.replace("config", "other");
    write(Path::new(&other), &fs::read_to_string(&config).unwrap().replace("https://127.0.0.1", "https://localhost"));
    let refused = lab.run(&[&kubectl, "--kubeconfig", &other, "get", "--raw", CONFIGMAPS], &[]);
    assert!(!refused.ok && refused.stderr.contains("no token is for the cluster localhost"), "{refused:?}");
    assert_eq!(server.seen().refused, 0);
}

/// A `kubectl proxy`, which starts the plugin for itself, and how to ask through it.
fn proxy(kubectl: &str, lab: &Lab, server: &Resource, ca: &TestCa) -> (Client, impl Fn() -> u16 + use<>) {
    let config = kubeconfig(lab, server, ca, "helper, kubectl, corp", "");
    let mut proxy = lab.start_client(&[kubectl, "--kubeconfig", &config, "proxy", "--port", "0"], &[]);
    let address = proxy.says(|said| Some(said.lines().next()?.strip_prefix("Starting to serve on ")?.to_owned()));
    (proxy, move || Request::get(format!("http://{address}{CONFIGMAPS}")).send().unwrap().status)
}

/// One process through many lifetimes: client-go runs the plugin again when the expiry has come that it was told.
#[test]
fn kubectl_proxy_goes_on_through_lifetimes() {
    let Some(kubectl) = on_path("kubectl") else { return };
    let (lab, ca) = (Lab::start(3), TestCa::new());
    let server = Resource::start(Some(&ca), &[], lab.guard(), kubernetes);
    let (_proxy, ask) = proxy(&kubectl, &lab, &server, &ca);
    let end = Instant::now() + Duration::from_secs(12);
    while Instant::now() < end {
        assert_eq!(ask(), 200);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_fresh(&server);
}

/// The 401 reaches the caller; the plugin is run again for the next request.
#[test]
fn kubectl_proxy_asks_again_after_a_revocation() {
    let Some(kubectl) = on_path("kubectl") else { return };
    let (lab, ca) = (Lab::start(600), TestCa::new());
    let server = Resource::start(Some(&ca), &[], lab.guard(), kubernetes);
    let (_proxy, ask) = proxy(&kubectl, &lab, &server, &ca);
    assert_eq!([ask(), ask()], [200, 200]);
    assert_eq!(server.seen().accepted.len(), 1, "it keeps the token");
    lab.revoke_all();
    assert_eq!([ask(), ask(), ask()], [401, 200, 200]);
    assert_eq!((server.seen().accepted.len(), server.seen().refused), (2, 1));
}
