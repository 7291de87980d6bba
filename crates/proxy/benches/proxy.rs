//! The proxy beside a bare hyper pass-through and nginx, in one run: small requests, chats, event streams; time, processor and memory.
//!
//! `cargo bench -p unexpired-proxy`. Each proxy is a process of its own, as is the upstream; they take turns, and the best
//! rounds of each are compared. nginx is left out where there is none. `ROUNDS=100` for more of them, `ONLY=small` for one kind of work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot run says so by a panic"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the answer")]

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use unexpired_core::{BoxFuture, MintError, MintRequest, Token, TokenManager, TokenSource};
use unexpired_proxy::{Listen, LocalKey, Proxy, Route};

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(),
        ["upstream"] => serve(2, upstream()),
        ["bare", port] => serve(threads(), bare(port.parse().unwrap())),
        ["ours", port] => serve(threads(), ours(port.parse().unwrap())),
        _ => eprintln!("this benchmark takes no arguments"),
    }
}

/// `THREADS=2` lets both proxies have so many; `unexpired proxy` has one.
fn threads() -> usize {
    std::env::var("THREADS").ok().and_then(|threads| threads.parse().ok()).unwrap_or(1)
}

fn serve(workers: usize, server: impl Future<Output = ()>) {
    let mut builder = match workers {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.worker_threads(workers).enable_all().build().unwrap().block_on(server);
}

// The servers.

type Body = BoxBody<Bytes, Infallible>;

/// Answers small requests, chats and paced event streams.
async fn upstream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let _ = request.into_body().collect().await;
    let mut response = match path.as_str() {
        "/small" => Response::new(Full::new(Bytes::from_static(SMALL)).boxed()),
        "/chat" => {
            let events = (0..EVENTS).map(|_| Ok(Frame::data(Bytes::from_static(EVENT))));
            Response::new(StreamBody::new(futures_util::stream::iter(events)).boxed())
        }
        _ => {
            let events = futures_util::stream::unfold(0, |count| async move {
                if count == PACED {
                    return None;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
                Some((Ok(Frame::data(Bytes::from(format!("data: {:020}\n\n", nanos())))), count + 1))
            });
            Response::new(StreamBody::new(events).boxed())
        }
    };
    let kind = if path == "/small" { "application/json" } else { "text/event-stream" };
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

/// What hyper's own client and server cost: one credential is set, and the rest is passed on.
async fn bare(upstream: u16) {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new()).build(connector);
    let token = HeaderValue::from_str(&format!("Bearer {}", "t".repeat(TOKEN))).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap().port());
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (client, token) = (client.clone(), token.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            let (client, token) = (client.clone(), token.clone());
            async move {
                let path = request.uri().path_and_query().unwrap().as_str();
                let path = path.strip_prefix("/r").unwrap_or(path);
                *request.uri_mut() = format!("http://127.0.0.1:{upstream}{path}").parse::<Uri>().unwrap();
                request.headers_mut().insert(header::AUTHORIZATION, token);
                client.request(request).await
            }
        });
        let builder = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        tokio::spawn(builder);
    }
}

async fn ours(upstream: u16) {
    struct Fixed;
    impl TokenSource for Fixed {
        fn name(&self) -> &str {
            "fixed"
        }
        fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
            Box::pin(async move {
                Token::builder("t".repeat(TOKEN), request.now()).expires_in(Duration::from_secs(3600)).build()
            })
        }
    }
    let manager = TokenManager::builder("t", Fixed).build();
    let route =
        Route::builder("r", manager, format!("http://127.0.0.1:{upstream}"), LocalKey::new(KEY)).build().unwrap();
    let proxy = Proxy::builder().route(route).listen(Listen::Port(0)).bind().unwrap();
    println!("{}", proxy.places()[0].url().rsplit(':').next().unwrap());
    proxy.serve(std::future::pending()).await.unwrap();
}

// The comparison.

/// A proxy under test, or the upstream itself.
struct Target {
    name: &'static str,
    port: u16,
    path: &'static str,
    child: Option<Child>,
}

impl Target {
    fn spawn(name: &'static str, args: &[&str]) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut child = Command::new(program).args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { name, port: line.trim().parse().unwrap(), path: "/r", child: Some(child) }
    }

    fn nginx(upstream: u16, folder: &std::path::Path) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (place, token, threads) = (folder.display(), "t".repeat(TOKEN), threads());
        let config = format!(
            "worker_processes {threads}; daemon off; pid {place}/pid; error_log {place}/error crit;\nevents {{ worker_connections 512; }}\n\
             http {{ access_log off; client_body_temp_path {place}; proxy_temp_path {place}; fastcgi_temp_path {place}; uwsgi_temp_path {place};\n\
             scgi_temp_path {place}; client_body_buffer_size 64k; keepalive_requests 1000000000;\n\
             upstream up {{ server 127.0.0.1:{upstream}; keepalive 64; keepalive_requests 1000000000; }}\n\
             server {{ listen 127.0.0.1:{port}; location /r/ {{ proxy_pass http://up/; proxy_http_version 1.1; proxy_set_header Connection \"\";\n\
             proxy_set_header Authorization \"Bearer {token}\"; proxy_buffering off; proxy_request_buffering off; }} }} }}\n"
        );
        let file = folder.join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let child =
            Command::new("nginx").arg("-c").arg(&file).arg("-p").arg(folder).stderr(Stdio::null()).spawn().ok()?;
        let target = Self { name: "nginx", port, path: "/r", child: Some(child) };
        for _ in 0..50 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(target);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }

    /// The process and its children.
    fn processes(&self) -> Vec<u32> {
        let Some(child) = &self.child else { return Vec::new() };
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", child.id())).unwrap_or_default();
        std::iter::once(child.id()).chain(children.split_whitespace().filter_map(|id| id.parse().ok())).collect()
    }

    /// Time on a processor so far, in nanoseconds, of all threads.
    fn processor(&self) -> u64 {
        let threads = self.processes().into_iter().flat_map(|id| std::fs::read_dir(format!("/proc/{id}/task")));
        let stats = threads.flatten().flatten().map(|thread| std::fs::read_to_string(thread.path().join("schedstat")));
        stats.flatten().filter_map(|stat| stat.split(' ').next()?.parse::<u64>().ok()).sum()
    }

    /// Resident now and at most, in KiB.
    fn memory(&self) -> (u64, u64) {
        let mut sum = (0, 0);
        for id in self.processes() {
            let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
            let field = |name: &str| -> u64 {
                let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
                line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
            };
            sum = (sum.0 + field("VmRSS:"), sum.1 + field("VmHWM:"));
        }
        sum
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // nginx has children that it ends itself when it is asked to.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

fn compare() {
    let rounds: usize = std::env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(40);
    let only = std::env::var("ONLY").ok();
    let upstream = Target::spawn("upstream", &["upstream"]);
    let port = upstream.port.to_string();
    let folder = tempfile::tempdir().unwrap();
    let mut targets = vec![
        Target { name: "direct", port: upstream.port, path: "", child: None },
        Target::spawn("bare hyper", &["bare", &port]),
        Target::spawn("unexpired", &["ours", &port]),
    ];
    match Target::nginx(upstream.port, folder.path()) {
        Some(nginx) => targets.push(nginx),
        None => eprintln!("nginx is not here: left out"),
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    println!("memory at rest, KiB: {}", memory(&targets));
    for (kind, crowd) in [(Kind::Small, 32), (Kind::Chat, 16)] {
        if only.as_ref().is_some_and(|only| *only != kind.name()) {
            continue;
        }
        let mut alone: Vec<Vec<Load>> = targets.iter().map(|_| Vec::new()).collect();
        let mut crowded: Vec<Vec<Load>> = targets.iter().map(|_| Vec::new()).collect();
        for round in 0..=rounds {
            // Nobody always comes after the same other.
            for at in (0..targets.len()).map(|at| (at + round) % targets.len()) {
                let target = &targets[at];
                let one = runtime.block_on(load(target, kind, 1, PHASE));
                let many = runtime.block_on(load(target, kind, crowd, PHASE));
                // The first round warms up.
                if round > 0 {
                    alone[at].push(one);
                    crowded[at].push(many);
                }
            }
        }
        println!("\n{} requests", kind.name());
        println!(
            "{:<12} {:>10} {:>10} {:>12} {:>12} {:>14}",
            "", "1: p50 µs", "p99 µs", "crowd: req/s", "CPU µs/req", "1: CPU µs/req"
        );
        let rows: Vec<[f64; 5]> = alone.iter().zip(&crowded).map(|(alone, crowded)| best(alone, crowded)).collect();
        for (target, [p50, p99, rate, cpu, cpu_alone]) in targets.iter().zip(&rows) {
            println!("{:<12} {p50:>10.1} {p99:>10.1} {rate:>12.0} {cpu:>12.1} {cpu_alone:>14.1}", target.name);
        }
        for (at, target) in targets.iter().enumerate().skip(2) {
            let row = &rows[at];
            let [latency, _, rate, cpu, cpu_alone] = std::array::from_fn(|column| row[column] / rows[1][column]);
            println!(
                "{:<12} to bare hyper: latency {latency:.2}, throughput {rate:.2}, CPU {cpu:.2} in a crowd and {cpu_alone:.2} alone",
                target.name
            );
            // What takes a processor away takes it from both, if they come one after the other.
            let latency = median_ratio(&alone[at], &alone[1], |load| load.p50);
            let rate = median_ratio(&crowded[at], &crowded[1], |load| load.rate);
            let cpu = median_ratio(&crowded[at], &crowded[1], |load| load.processor);
            println!(
                "{:<12} in the median of all rounds: latency {latency:.2}, throughput {rate:.2}, CPU {cpu:.2} in a crowd",
                ""
            );
        }
    }
    if only.as_ref().is_none_or(|only| *only == "events") {
        println!("\nevents 2 ms apart: how late each arrives, µs");
        let mut lags: Vec<Vec<f64>> = targets.iter().map(|_| Vec::new()).collect();
        for _ in 0..rounds {
            for (at, target) in targets.iter().enumerate() {
                lags[at].extend(runtime.block_on(events(target)));
            }
        }
        for (target, lags) in targets.iter().zip(&mut lags) {
            lags.sort_by(f64::total_cmp);
            println!("{:<12} p50 {:>7.1}  p99 {:>7.1}", target.name, percentile(lags, 50), percentile(lags, 99));
        }
    }
    println!("\nmemory afterwards (and at most), KiB: {}", memory(&targets));
}

fn memory(targets: &[Target]) -> String {
    let one = |target: &Target| {
        let (now, most) = target.memory();
        format!("{} {now} ({most})", target.name)
    };
    targets.iter().skip(1).map(one).collect::<Vec<_>>().join(", ")
}

#[derive(Clone, Copy)]
enum Kind {
    Small,
    Chat,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Chat => "chat",
        }
    }

    fn request(self, target: &Target) -> Vec<u8> {
        let (line, body) = match self {
            Self::Small => ("GET", Vec::new()),
            Self::Chat => ("POST", vec![b'x'; CHAT]),
        };
        let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let head = format!(
            "{line} {}/{} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nauthorization: Bearer {KEY}\r\ncontent-type: application/json\r\naccept: */*\r\n\
             user-agent: bench\r\n{length}\r\n",
            target.path,
            self.name(),
            target.port
        );
        [head.as_bytes(), &body].concat()
    }

    /// How an answer ends.
    const fn end(self) -> &'static [u8] {
        match self {
            Self::Small => SMALL,
            Self::Chat => b"0\r\n\r\n",
        }
    }
}

/// What one round brought.
struct Load {
    p50: f64,
    p99: f64,
    rate: f64,
    processor: f64,
}

/// The median of what the rounds say, each for itself.
fn median_ratio(ours: &[Load], theirs: &[Load], read: fn(&Load) -> f64) -> f64 {
    let mut ratios: Vec<f64> = ours.iter().zip(theirs).map(|(ours, theirs)| read(ours) / read(theirs)).collect();
    ratios.sort_by(f64::total_cmp);
    percentile(&ratios, 50)
}

/// The best of all rounds: what others on the machine took is no part of it.
fn best(alone: &[Load], crowded: &[Load]) -> [f64; 5] {
    let least = |loads: &[Load], read: fn(&Load) -> f64| loads.iter().map(read).fold(f64::INFINITY, f64::min);
    [
        least(alone, |load| load.p50),
        least(alone, |load| load.p99),
        crowded.iter().map(|load| load.rate).fold(0.0, f64::max),
        least(crowded, |load| load.processor),
        least(alone, |load| load.processor),
    ]
}

async fn load(target: &Target, kind: Kind, clients: usize, time: Duration) -> Load {
    let request: Arc<[u8]> = kind.request(target).into();
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let processor = target.processor();
    let began = Instant::now();
    let port = target.port;
    let tasks: Vec<_> = (0..clients)
        .map(|_| {
            let (request, stop, count) = (request.clone(), stop.clone(), count.clone());
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let mut buffer = vec![0; 64 << 10];
                let mut times = Vec::with_capacity(100_000);
                while !stop.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    stream.write_all(&request).await.unwrap();
                    let mut filled = 0;
                    while !buffer[..filled].ends_with(kind.end()) {
                        let read = stream.read(&mut buffer[filled..]).await.unwrap();
                        assert!(read > 0, "closed: {}", String::from_utf8_lossy(&buffer[..filled]));
                        filled += read;
                    }
                    assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..filled]));
                    times.push(asked.elapsed().as_nanos() as f64 / 1000.0);
                    count.fetch_add(1, Ordering::Relaxed);
                }
                times
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    let (took, count) = (began.elapsed().as_secs_f64(), count.load(Ordering::Relaxed) as f64);
    times.sort_by(f64::total_cmp);
    let processor = (target.processor() - processor) as f64 / 1000.0 / count;
    Load { p50: percentile(&times, 50), p99: percentile(&times, 99), rate: count / took, processor }
}

/// How late the events of one stream came, in microseconds.
async fn events(target: &Target) -> Vec<f64> {
    let mut stream = TcpStream::connect(("127.0.0.1", target.port)).await.unwrap();
    let head = format!(
        "GET {}/events HTTP/1.1\r\nhost: 127.0.0.1:{}\r\nauthorization: Bearer {KEY}\r\n\r\n",
        target.path, target.port
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut lags, mut text) = (Vec::new(), String::new());
    let mut buffer = vec![0; 16 << 10];
    while !text.ends_with("0\r\n\r\n") {
        let read = stream.read(&mut buffer).await.unwrap();
        let now = nanos();
        let came = String::from_utf8_lossy(&buffer[..read]).into_owned();
        for event in came.split("data: ").skip(1) {
            if let Some(sent) = event.get(..20).and_then(|number| number.parse::<u128>().ok()) {
                lags.push(now.saturating_sub(sent) as f64 / 1000.0);
            }
        }
        text.push_str(&came);
        assert!(read > 0, "closed");
    }
    lags
}

fn nanos() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

const TOKEN: usize = 1500;
const KEY: &str = "unx-0123456789012345678901234567890123456789012";
const CHAT: usize = 20 << 10;
const EVENTS: usize = 50;
const PACED: usize = 100;
const PHASE: Duration = Duration::from_millis(150);
const SMALL: &[u8] =
    br#"{"object":"list","data":[{"id":"gpt-4.1","object":"model","created":1700000000,"owned_by":"x"}]}"#;
const EVENT: &[u8] =
    b"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word\"}}]}\n\n";
