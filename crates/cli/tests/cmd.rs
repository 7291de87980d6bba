//! Each behaviour of the command is a file in `cmd/`: arguments, stdout, stderr, status.
//!
//! Before they run, `{idp}` in them becomes the address of an identity provider on loopback, `{configs}` the folder of the configurations, and `{store}`
//! that of the stores, one for each case.
//! `TRYCMD=overwrite cargo test -p unexpired-cli --test cmd` writes what the command really says into them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "in a test a panic is the report")]

mod support;

use std::path::Path;
use support::Home;
use unexpired_testkit::{IdentityProvider, ResourceServer};

#[test]
fn every_behaviour() {
    let provider = IdentityProvider::blocking_start().unwrap();
    // A resource that wants another audience.
    let _strict = ResourceServer::builder(&provider, "strict").audience("https://another.example.com").start().unwrap();
    check("cmd", "good.toml", &provider);
}

/// The answers to clients are in `cmd/helper/`: what they print is known to the byte.
#[cfg(unix)]
#[test]
fn every_helper() {
    let provider = IdentityProvider::blocking_start().unwrap();
    check("cmd/helper", "helpers.toml", &provider);
}

fn check(folder: &str, config: &str, provider: &IdentityProvider) {
    let home = Home::new();
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let folder = tests.join(folder);
    let configs = home.path().join("configs");
    let fill = |text: &str| {
        // TOML takes forward slashes on every system.
        text.replace("{idp}", provider.url().trim_end_matches('/'))
            .replace("{store}", &home.path().join("store").display().to_string())
            .replace("{configs}", &configs.display().to_string().replace('\\', "/"))
    };
    for (from, to) in [(tests.join("cmd/configs"), "configs"), (folder.clone(), "cases")] {
        for entry in std::fs::read_dir(from).unwrap().flatten().filter(|entry| entry.path().is_file()) {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let name = entry.file_name().to_str().unwrap().to_owned();
            // Every case has a store of its own.
            let store = format!("env.add.UNEXPIRED_STORE = \"{{store}}/{name}\"\nstatus.code");
            let text = if to == "cases" && !text.contains("UNEXPIRED_STORE") {
                text.replacen("status.code", &store, 1)
            } else {
                text
            };
            home.write(&format!("{to}/{name}"), &fill(&text));
        }
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(configs.join("open.toml"), std::fs::Permissions::from_mode(0o666)).unwrap();
    }
    // An image, as `service install --root` takes it.
    let image = std::fs::read_to_string(configs.join("service.toml")).unwrap();
    home.write("configs/image/etc/unexpired/config.toml", &image);
    home.write("configs/google.json", provider.service_account_json().expose());
    let cases = trycmd::TestCases::new();
    cases
        .register_bin("unexpired", Path::new(env!("CARGO_BIN_EXE_unexpired")))
        .env("UNEXPIRED_CONFIG", configs.join(config).to_str().unwrap())
        .case(home.path().join("cases/*.toml").to_str().unwrap());
    #[cfg(unix)]
    for name in NAMES {
        let link = home.path().join(name);
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_unexpired"), &link).unwrap();
        cases.register_bin(name, link);
    }
    #[cfg(not(unix))]
    cases.skip("**/config_open.toml").skip("**/token_no_ca_file.toml").skip("**/token_secret_command_fails.toml");
    #[cfg(not(unix))]
    cases.skip("**/run_*.toml").skip("**/setup_*.toml").skip("**/proxy_uid_*.toml");
    // What is printed there is another system's.
    #[cfg(not(target_os = "linux"))]
    cases.skip("**/service_*.toml");
    // What does not match is written by the time this is dropped, and the drop is what fails.
    let outcome = std::panic::catch_unwind(|| cases.run());
    if std::env::var("TRYCMD").is_ok_and(|mode| mode == "overwrite") {
        for entry in std::fs::read_dir(home.path().join("cases")).unwrap().flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            let text = text.replace(provider.url(), "{idp}").replace(&configs.display().to_string(), "{configs}");
            let text = text.replace(&home.path().join("store").display().to_string(), "{store}");
            let own = |line: &&str| !line.starts_with("env.add.UNEXPIRED_STORE = \"{store}/");
            let text: String = text.split_inclusive('\n').filter(own).collect();
            std::fs::write(folder.join(entry.file_name()), text).unwrap();
        }
    }
    if let Err(failed) = outcome {
        std::panic::resume_unwind(failed);
    }
}

/// Links to the command, by which it answers as another.
#[cfg(unix)]
const NAMES: [&str; 10] = [
    "git-credential-unexpired",
    "docker-credential-unexpired",
    "cargo-credential-unexpired",
    "terraform-credentials-unexpired",
    "bazel-credential-unexpired",
    "pnpm-credential-corp",
    "az",
    "azd",
    "gcloud",
    "keyring",
];
