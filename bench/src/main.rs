//! Token caches beside each other, on the same work against one endpoint on loopback. Prints Markdown.
//!
//! `compare [--only PART-OF-A-NAME] [--hit | --scenarios | --crowds] [--no-callgrind]`

mod endpoint;
mod hit;
mod peers;
mod scenario;

use endpoint::Endpoint;
use hit::{Cost, FLOOR, Subject};
use peers::Peer;
use peers::aws_smithy::AwsSmithy;
use peers::azure_identity::AzureIdentity;
use peers::fixed::Fixed;
use peers::gcp_auth::GcpAuth;
use peers::google_cloud_auth::GoogleCloudAuth;
use peers::object_store::ObjectStore;
use peers::reqsign::Reqsign;
use peers::unexpired::Unexpired;
use peers::unexpired_oauth::UnexpiredOauth;
use peers::yup_oauth2::YupOauth2;
use scenario::{Herd, LATENCY};
use std::fmt::Write;
use std::time::Duration;

/// Does the same with each peer, as a type.
macro_rules! each {
    ($do:ident) => {
        $do!(Unexpired);
        $do!(UnexpiredOauth);
        $do!(AzureIdentity);
        $do!(GoogleCloudAuth);
        $do!(GcpAuth);
        $do!(YupOauth2);
        $do!(AwsSmithy);
        $do!(ObjectStore);
        $do!(Reqsign);
    };
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let after = |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1));
    // google-cloud-auth without its default features expects one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Some(name) = after("--loop") {
        let times = arguments.last().and_then(|times| times.parse().ok()).unwrap();
        with_subjects(|other| other == name, |subjects| hit::repeat(&subjects[0], times));
        return;
    }
    let only = after("--only").cloned().unwrap_or_default();
    let wanted = |name: &str| name == FLOOR || name.contains(&only);
    println!("Versions: {}.\n", versions());
    if has("--crowds") {
        print_crowds(wanted);
        return;
    }
    if !has("--scenarios") {
        with_subjects(wanted, |subjects| print_hits(&hit::costs(subjects, !has("--no-callgrind"))));
    }
    if !has("--hit") {
        print_scenarios(wanted);
    }
}

fn with_subjects<T>(wanted: impl Fn(&str) -> bool, then: impl FnOnce(&[Subject]) -> T) -> T {
    let endpoint = Endpoint::start();
    endpoint.lifetime(86_400);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut subjects = Vec::new();
    if wanted(FLOOR) {
        subjects.push(hit::floor());
    }
    macro_rules! add {
        ($peer:ty) => {
            if wanted(<$peer>::NAME) {
                subjects.push(runtime.block_on(hit::subject::<$peer>(&endpoint)));
            }
        };
    }
    each!(add);
    // Some make a timer on the way, which looks for its runtime.
    let _inside = runtime.enter();
    then(&subjects)
}

fn print_hits(costs: &[Cost]) {
    println!("### A cached header\n");
    println!("| | ns | against the floor | allocations | instructions |\n|---|--:|--:|--:|--:|");
    for cost in costs {
        let ratio = cost.nanos / costs[0].nanos;
        let instructions = cost.instructions.map_or("–".into(), |count| thousands(count.round() as u64));
        println!("| {} | {:.0} | {ratio:.1} | {:.0} | {instructions} |", cost.name, cost.nanos, cost.allocations);
    }
    println!();
}

/// Each row of four tables, filled while the peers take their turns.
#[derive(Default)]
struct Rows {
    herds: String,
    refused: String,
    slow: String,
    outage: String,
}

fn print_scenarios(wanted: impl Fn(&str) -> bool) {
    let mut rows = Rows::default();
    slow_row::<Fixed>(&mut rows);
    macro_rules! add {
        ($peer:ty) => {
            if wanted(<$peer>::NAME) {
                herd_row::<$peer>(&mut rows);
                slow_row::<$peer>(&mut rows);
                outage_row::<$peer>(&mut rows);
            }
        };
    }
    each!(add);
    print_herds(&rows);
    println!("### A refresh takes 250 ms; the token is valid\n");
    println!("| | calls | waited over 5 ms | errors | p50 | p99 | max |\n|---|--:|--:|--:|--:|--:|--:|\n{}", rows.slow);
    println!("### The endpoint answers 503 for 8 s; the token is valid\n");
    println!("| | calls | errors | waiting at the end | requests |\n|---|--:|--:|--:|--:|\n{}", rows.outage);
}

/// The crowds alone, five times: races show themselves rarely.
fn print_crowds(wanted: impl Fn(&str) -> bool) {
    for _ in 0..5 {
        let mut rows = Rows::default();
        macro_rules! add {
            ($peer:ty) => {
                if wanted(<$peer>::NAME) {
                    herd_row::<$peer>(&mut rows);
                }
            };
        }
        each!(add);
        print_herds(&rows);
    }
}

fn print_herds(rows: &Rows) {
    println!("### 1,000 callers at once\n");
    println!("| | cold: requests | last answer | at refresh time: requests | last answer | expired: requests | last answer |");
    println!("|---|--:|--:|--:|--:|--:|--:|");
    print!("{}", rows.herds);
    println!("\n### 1,000 callers at once, no token, and the endpoint answers 503\n");
    println!("| | requests in 5 s | callers with an error | the last of them after | still waiting after 5 s |");
    println!("|---|--:|--:|--:|--:|\n{}", rows.refused);
}

fn herd_row<P: Peer>(rows: &mut Rows) {
    eprintln!("{}: 1,000 callers", P::NAME);
    let (cold, refresh, expiry) = (scenario::cold::<P>(), scenario::at_refresh::<P>(), scenario::at_expiry::<P>());
    let mut row = format!("| {} |", P::NAME);
    for herd in [&cold, &refresh, &expiry] {
        write!(row, " {} | {} |", thousands(herd.requests), last(herd)).unwrap();
    }
    writeln!(rows.herds, "{row}").unwrap();
    let refused = scenario::refused::<P>();
    let last = if refused.errors == 0 { "–".into() } else { time(refused.last) };
    let (requests, errors, waiting) =
        (thousands(refused.requests), thousands(refused.errors as u64), thousands(refused.waiting as u64));
    writeln!(rows.refused, "| {} | {requests} | {errors} | {last} | {waiting} |", P::NAME).unwrap();
}

/// After the first call, less what the endpoint takes for one request if anybody had to wait for one.
fn last(herd: &Herd) -> String {
    let mut text = match herd.last.checked_sub(LATENCY) {
        Some(beyond) => format!("{} + {}", time(LATENCY), time(beyond)),
        None => time(herd.last),
    };
    for (count, what) in [(herd.errors, "errors"), (herd.waiting, "waiting after 20 s")] {
        if count > 0 {
            write!(text, ", {} {what}", thousands(count as u64)).unwrap();
        }
    }
    text
}

fn slow_row<P: Peer>(rows: &mut Rows) {
    eprintln!("{}: a slow refresh", P::NAME);
    let slow = scenario::slow_refresh::<P>();
    let (calls, stalled) = (thousands(slow.calls as u64), thousands(slow.stalled as u64));
    let (p50, p99, max) = (time(slow.p50), time(slow.p99), time(slow.max));
    writeln!(rows.slow, "| {} | {calls} | {stalled} | {} | {p50} | {p99} | {max} |", P::NAME, slow.errors).unwrap();
}

fn outage_row<P: Peer>(rows: &mut Rows) {
    eprintln!("{}: an outage", P::NAME);
    let outage = scenario::outage::<P>();
    let requests = thousands(outage.requests);
    writeln!(
        rows.outage,
        "| {} | {} | {} | {} | {requests} |",
        P::NAME,
        outage.calls,
        outage.errors,
        outage.blocked
    )
    .unwrap();
}

fn time(time: Duration) -> String {
    let micros = time.as_nanos() as f64 / 1000.0;
    match micros {
        0.0..10.0 => format!("{micros:.1} µs"),
        10.0..1_000.0 => format!("{micros:.0} µs"),
        1_000.0..10_000.0 => format!("{:.1} ms", micros / 1000.0),
        10_000.0..1_000_000.0 => format!("{:.0} ms", micros / 1000.0),
        _ => format!("{:.1} s", micros / 1_000_000.0),
    }
}

fn thousands(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", number / 1000, number % 1000),
    }
}

/// As locked.
fn versions() -> String {
    let lock = include_str!("../Cargo.lock");
    let mut names = Vec::new();
    macro_rules! add {
        ($peer:ty) => {
            names.push(<$peer>::CRATE);
        };
    }
    each!(add);
    let version = |name: &&str| {
        let (_, rest) = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).unwrap();
        format!("{name} {}", rest.split('"').next().unwrap())
    };
    names.iter().map(version).collect::<Vec<_>>().join(", ")
}
