//! Each behaviour of the command is a file in `cmd/`: arguments, stdout, stderr, status.
//!
//! Before they run, `{idp}` in them becomes the address of an identity provider on loopback, `{configs}` the folder of the configurations.
//! `TRYCMD=dump cargo test -p unexpired-cli --test cmd` writes what the command really says to `dump/`.

mod support;

use std::path::Path;
use support::Home;
use unexpired_testkit::IdentityProvider;

#[test]
fn every_behaviour() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let provider = runtime.block_on(IdentityProvider::start()).unwrap();
    let home = Home::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd");
    let configs = home.path().join("configs");
    let fill = |text: &str| {
        // TOML takes forward slashes on every system.
        text.replace("{idp}", provider.url().trim_end_matches('/'))
            .replace("{configs}", &configs.display().to_string().replace('\\', "/"))
    };
    for (from, to) in [(folder.join("configs"), "configs"), (folder.clone(), "cases")] {
        for entry in std::fs::read_dir(from).unwrap().flatten().filter(|entry| entry.path().is_file()) {
            let text = std::fs::read_to_string(entry.path()).unwrap();
            home.write(&format!("{to}/{}", entry.file_name().to_str().unwrap()), &fill(&text));
        }
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(configs.join("open.toml"), std::fs::Permissions::from_mode(0o666)).unwrap();
    }
    let cases = trycmd::TestCases::new();
    cases
        .register_bin("unexpired", Path::new(env!("CARGO_BIN_EXE_unexpired")))
        .env("UNEXPIRED_CONFIG", configs.join("good.toml").to_str().unwrap())
        .case(home.path().join("cases/*.toml").to_str().unwrap());
    #[cfg(not(unix))]
    cases.skip("**/config_open.toml");
    cases.run();
    drop(provider);
}
