//! curl, by a header line on its stdin.

use unexpired_tests::cli::Lab;
use unexpired_tests::clients::on_path;
use unexpired_tests::resource::{Resource, reply};

use crate::{LIFE, assert_fresh, good, program, through_lifetimes};

#[test]
fn curl_sends_the_header_that_is_printed() {
    let Some(curl) = on_path("curl") else { return };
    let lab = Lab::start(LIFE);
    let server = Resource::start(None, &["Bearer"], lab.guard(), |_| reply(200, "text/plain", "hello"));
    let script =
        format!("{} token corp --format header | {curl} --silent --fail --header @- {}/x", program(), server.url());
    through_lifetimes(|| {
        let got = lab.run(&["sh", "-c", &script], &[]);
        good(&got);
        assert_eq!((got.stdout.as_str(), got.stderr.as_str()), ("hello", ""));
    });
    assert_fresh(&server);
    assert_eq!(server.seen().bare, 0);
}
