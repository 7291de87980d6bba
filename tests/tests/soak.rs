//! The proxy and 50 clients, on tokens of 3 s, for as long as `SOAK_SECONDS` says (20 by default; `scripts/soak` for ten minutes), while tokens are
//! taken back, mints are slow, the token endpoint goes away, and the proxy is killed and started again: no expired token arrives, clients get
//! their answers, and the proxy grows neither in memory nor in file descriptors.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests may fail loudly"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use unexpired_testkit::{Endpoint, Fault, IdentityProvider, ResourceServer, defaults};
use unexpired_tests::cli::unexpired;

const CLIENTS: usize = 50;
const LIFE: Duration = Duration::from_secs(3);
/// What one client waits between two requests.
const PAUSE: Duration = Duration::from_millis(100);

/// Each happens once in a round. An outage that is longer than a token's life leaves clients without an answer, and the source is left alone for some
/// time afterwards: until `QUIET` that is no failure.
const ROUND: Duration = Duration::from_secs(30);
const EVENTS: [(u64, Event); 6] = [
    (2, Event::Revoke),
    (4, Event::SlowMints),
    (6, Event::ShortOutage),
    (8, Event::Kill),
    (10, Event::LongOutage),
    (26, Event::Revoke),
];
const LONG: Duration = Duration::from_secs(4);
const QUIET: Duration = Duration::from_secs(12);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Revoke,
    SlowMints,
    /// One answer of 503.
    ShortOutage,
    LongOutage,
    /// Only in the first round: what is flat is measured on the second proxy.
    Kill,
}

/// What clients and the schedule tell each other.
#[derive(Default)]
struct Shared {
    over: AtomicBool,
    /// Nobody listens for a moment.
    down: AtomicBool,
    answered: AtomicU64,
    /// Clients that wait for their first answer after the end of the schedule.
    unanswered: AtomicU64,
    /// 502s while the token endpoint was away for longer than a token lives.
    without_token: AtomicU64,
    excused: AtomicBool,
    reconnected: AtomicU64,
}

#[test]
fn clients_of_the_proxy_see_no_expired_token_and_it_does_not_grow() {
    let seconds: u64 = std::env::var("SOAK_SECONDS").map_or(20, |text| text.parse().expect("SOAK_SECONDS is a number"));
    assert!(seconds >= 20, "SOAK_SECONDS: at least 20");
    let idp = IdentityProvider::builder().lifetime(LIFE).blocking_start().unwrap();
    let api = ResourceServer::builder(&idp, "soak").own_port().start().unwrap();
    let home = home(&idp, &api);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let key = String::from_utf8(command(home.path(), &["proxy", "key", "api"]).output().unwrap().stdout).unwrap();
    let shared = Shared::default();
    let mut proxy = Proxy::start(home.path(), port);
    let mut samples = Vec::new();

    std::thread::scope(|scope| {
        for number in 0..CLIENTS {
            let (shared, key) = (&shared, key.trim_end());
            scope.spawn(move || client(number, port, key, shared));
        }
        let start = Instant::now();
        let mut events = schedule(seconds).into_iter().peekable();
        let mut excused_until = None;
        let mut sampled = 0;
        while start.elapsed() < Duration::from_secs(seconds) {
            if let Some((_, event)) = events.next_if(|(when, _)| start.elapsed() >= *when) {
                match event {
                    Event::Revoke => drop(idp.revoke_all()),
                    Event::SlowMints => idp.fault(Fault::delay(Duration::from_millis(800)).times(2)),
                    Event::ShortOutage => idp.fault(Fault::status(503).times(1)),
                    Event::LongOutage => {
                        shared.excused.store(true, Relaxed);
                        idp.outage(LONG);
                        excused_until = Some(Instant::now() + QUIET);
                    }
                    Event::Kill => {
                        shared.down.store(true, Relaxed);
                        proxy.kill();
                        proxy = Proxy::start(home.path(), port);
                        shared.down.store(false, Relaxed);
                        samples.clear();
                    }
                }
            }
            if excused_until.is_some_and(|until| Instant::now() > until) {
                shared.excused.store(false, Relaxed);
                excused_until = None;
            }
            if start.elapsed().as_secs() > sampled {
                sampled = start.elapsed().as_secs();
                samples.push(proxy.sample());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // Whatever happened last: each client gets an answer once more.
        shared.unanswered.store(CLIENTS as u64, Relaxed);
        shared.over.store(true, Relaxed);
    });
    assert_eq!(shared.unanswered.load(Relaxed), 0);

    let counts = api.counts();
    let [answered, without_token, reconnected] =
        [&shared.answered, &shared.without_token, &shared.reconnected].map(|count| count.load(Relaxed));
    let (first, last) = (typical(&samples[..samples.len() / 2]), typical(&samples[samples.len() / 2..]));
    let highest =
        samples.iter().fold(Sample::default(), |a, b| Sample { kib: a.kib.max(b.kib), files: a.files.max(b.files) });
    eprintln!(
        "{seconds} s, {CLIENTS} clients: {answered} answers, {without_token} without a token in long outages, {reconnected} reconnections, {} mints\n\
         the API: {counts:?}\nthe proxy, typical of the first half, of the second, highest: {first:?} {last:?} {highest:?}",
        idp.mints_at(Endpoint::OAuth),
    );
    assert_eq!((counts.expired, counts.missing, counts.malformed), (0, 0, 0), "{counts:?}");
    assert!(counts.revoked > 0 && reconnected > 0, "revocations and the kill were met");
    assert!(answered > seconds * CLIENTS as u64 / 4, "{answered} answers");
    assert!(last.kib <= first.kib + first.kib / 20 + 512, "the memory grew: {samples:?}");
    assert!(
        last.files <= first.files + 4 && highest.files <= CLIENTS * 2 + 40,
        "the file descriptors grew: {samples:?}"
    );
}

/// What happens when.
fn schedule(seconds: u64) -> Vec<(Duration, Event)> {
    let rounds = 0..seconds.div_ceil(ROUND.as_secs());
    let all =
        rounds.flat_map(|round| EVENTS.map(|(at, event)| (ROUND * round as u32 + Duration::from_secs(at), event)));
    all.filter(|(when, event)| *event != Event::Kill || *when < ROUND).collect()
}

/// One client: asks again and again, and gives up on nothing but an answer that it may not get.
fn client(number: usize, port: u16, key: &str, shared: &Shared) {
    let mut connection = None;
    let mut last_down = Instant::now();
    loop {
        let over = shared.over.load(Relaxed);
        let begun = Instant::now();
        let excused = shared.excused.load(Relaxed);
        if shared.down.load(Relaxed) {
            last_down = Instant::now();
        }
        match ask(&mut connection, number, port, key) {
            Ok(200) => {
                shared.answered.fetch_add(1, Relaxed);
                if over {
                    shared.unanswered.fetch_sub(1, Relaxed);
                    return;
                }
            }
            Ok(502) if excused || shared.excused.load(Relaxed) || over => {
                shared.without_token.fetch_add(1, Relaxed);
            }
            Ok(status) => panic!("client {number} got {status} after {:?}", begun.elapsed()),
            Err(error) => {
                connection = None;
                shared.reconnected.fetch_add(1, Relaxed);
                let down = shared.down.load(Relaxed) || last_down.elapsed() < Duration::from_secs(2);
                assert!(down, "client {number}: {error}");
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// The status of an answer, on a connection that is kept.
fn ask(connection: &mut Option<BufReader<TcpStream>>, number: usize, port: u16, key: &str) -> std::io::Result<u16> {
    let stream = match connection {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.set_read_timeout(Some(Duration::from_secs(30)))?;
            connection.insert(BufReader::new(stream))
        }
    };
    // Every second one sends a body, which has to be sent again after a 401.
    let (method, body) = if number.is_multiple_of(2) { ("GET", String::new()) } else { ("POST", "x".repeat(2000)) };
    write!(
        stream.get_mut(),
        "{method} /api/v1/{number} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut status = 0;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(rest) = line.strip_prefix("http/1.1 ") {
            status = rest.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0);
        } else if let Some(text) = line.strip_prefix("content-length:") {
            length = text.trim().parse().unwrap();
        } else if line.is_empty() {
            break;
        }
    }
    stream.read_exact(&mut vec![0; length])?;
    Ok(status)
}

/// A running proxy. Dropping it kills it.
struct Proxy(Child);

impl Proxy {
    fn start(home: &Path, port: u16) -> Self {
        let mut child = command(home, &["proxy", "--port", &port.to_string()]).stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline && matches!(child.try_wait(), Ok(None)), "the proxy does not serve");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self(child)
    }

    /// With SIGKILL.
    fn kill(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    fn sample(&self) -> Sample {
        let process = format!("/proc/{}", self.0.id());
        let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let kib = resident.trim().trim_end_matches(" kB").parse().unwrap();
        Sample { kib, files: std::fs::read_dir(format!("{process}/fd")).unwrap().count() }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Resident memory and open files.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    kib: u64,
    files: usize,
}

fn typical(samples: &[Sample]) -> Sample {
    let mut kib: Vec<_> = samples.iter().map(|sample| sample.kib).collect();
    let mut files: Vec<_> = samples.iter().map(|sample| sample.files).collect();
    kib.sort_unstable();
    files.sort_unstable();
    Sample { kib: kib[kib.len() / 2], files: files[files.len() / 2] }
}

fn home(idp: &IdentityProvider, api: &ResourceServer) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let secret = write("secret", defaults::CLIENT_SECRET);
    let config = format!(
        "[token.corp]\nprovider = 'oauth'\ntoken_url = '{}'\nclient_id = '{}'\nclient_secret = {{ file = '{}' }}\nhosts = ['127.0.0.1']\n\n\
         [route.api]\ntoken = 'corp'\nupstream = '{}'\n",
        idp.oauth_token_url(),
        defaults::CLIENT_ID,
        secret.display(),
        api.url(),
    );
    write("config.toml", &config);
    home
}

fn command(home: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(unexpired());
    command
        .args(args)
        .arg("--config")
        .arg(home.join("config.toml"))
        .env_clear()
        .env("UNEXPIRED_STORE", home.join("store"))
        .current_dir(home)
        .stdin(Stdio::null());
    command
}
