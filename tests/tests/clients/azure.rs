//! azure-identity, by stand-ins for `az` and `azd`.

use unexpired_tests::cli::Lab;
use unexpired_tests::clients::from_pip_as;
use unexpired_tests::resource::{Resource, reply};

use crate::{LIFE, assert_fresh, good, use_tokens};

#[test]
fn azure_identity_takes_the_stand_ins_for_az_and_azd() {
    let Some(python) = from_pip_as("python", "azure-identity") else { return };
    let lab = Lab::start(LIFE);
    lab.configure("lab-entra", "");
    lab.link("az");
    lab.link("azd");
    let server = Resource::start(None, &["Bearer"], lab.guard(), |_| reply(200, "text/plain", "hello"));
    let scope = "https://management.azure.com/.default";
    let utc = [("TZ", "UTC")];
    for kind in ["azure-cli", "azure-developer-cli"] {
        let url = server.url();
        let run = |scope: &str, seconds: &str| {
            lab.run(&[&python, use_tokens(), kind, "--url", &url, "--scope", scope, "--seconds", seconds], &utc)
        };
        let before = server.seen().accepted.len();
        let used = run(scope, "9.5");
        good(&used);
        assert!(used.stdout.trim().parse::<u32>().unwrap() > 5, "{used:?}");
        assert!(server.seen().accepted.len() - before >= 3);
        // A resource that no token is for: a chain of credentials goes on to its next.
        let other = run("https://vault.azure.net/.default", "0");
        assert!(!other.ok && other.stderr.contains("\nCredentialUnavailableError: "), "{other:?}");
    }
    assert_fresh(&server);
    // A provider in trouble is an error with our words.
    lab.configure("lab-oauth", "[token.down]\nprovider = 'entra'\nauthority = 'http://127.0.0.1:1'\ntenant = '11111111-2222-4333-8444-555555555555'\nclient_id = 'aaaaaaaa-0000-4000-8000-000000000001'\nclient_secret = { env = 'HOME' }\nscope = 'https://management.azure.com/.default'\n");
    let down = lab.run(&[&python, use_tokens(), "azure-cli", "--url", &server.url(), "--scope", scope], &[]);
    assert!(!down.ok && down.stderr.contains("ClientAuthenticationError: error: down: entra at 127.0.0.1"), "{down:?}");
}
