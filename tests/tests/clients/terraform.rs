//! Terraform or OpenTofu, by a credentials helper, at a registry of private modules.

use std::fs;

use unexpired_tests::cli::Lab;
use unexpired_tests::clients::on_path_if_there;
use unexpired_tests::resource::{Incoming, Reply, Resource, Scheme, reply};
use unexpired_tests::tls::TestCa;

use crate::{LIFE, assert_fresh, good, through_lifetimes, write};

/// The module registry protocol: discovery, versions, and where the module is.
fn registry(request: &Incoming, module: &str) -> Reply {
    match request.target.as_str() {
        "/.well-known/terraform.json" => reply(200, "application/json", r#"{"modules.v1":"/v1/modules/"}"#),
        "/v1/modules/corp/m/sys/versions" => {
            reply(200, "application/json", r#"{"modules":[{"versions":[{"version":"1.2.3"}]}]}"#)
        }
        "/v1/modules/corp/m/sys/1.2.3/download" => {
            (204, vec![("x-terraform-get".to_owned(), module.to_owned())], Vec::new())
        }
        _ => reply(404, "application/json", "{}"),
    }
}

#[test]
fn terraform_gets_private_modules_through_lifetimes() {
    for name in ["terraform", "tofu"] {
        let Some(terraform) = on_path_if_there(name) else { continue };
        let (lab, ca) = (Lab::start(LIFE), TestCa::new());
        let module = lab.home().join("module");
        write(&module.join("main.tf"), "output \"o\" {\n  value = 1\n}\n");
        let module = format!("file://{}", module.to_str().unwrap());
        let server = Resource::start(Some(&ca), &["Bearer"], lab.guard(), move |request| registry(request, &module));
        let source = format!("{}/corp/m/sys", server.authority());
        write(
            &lab.home().join("main.tf"),
            &format!("module \"m\" {{\n  source  = \"{source}\"\n  version = \"1.2.3\"\n}}\n"),
        );
        write(&lab.home().join(".terraformrc"), "credentials_helper \"unexpired\" {}\n");
        let helper = lab.link("terraform-credentials-unexpired");
        let plugins = lab.home().join(".terraform.d/plugins");
        fs::create_dir_all(&plugins).unwrap();
        fs::rename(helper, plugins.join("terraform-credentials-unexpired")).unwrap();
        let ca_file = ca.ca_file();
        let environment = [("SSL_CERT_FILE", ca_file.to_str().unwrap()), ("CHECKPOINT_DISABLE", "1")];
        through_lifetimes(|| {
            // Nothing from the time before.
            let _ = fs::remove_dir_all(lab.home().join(".terraform"));
            good(&lab.run(&[&terraform, "get"], &environment));
        });
        assert_fresh(&server);
        assert_eq!(server.seen().scheme, Some(Scheme::Bearer));
    }
}
