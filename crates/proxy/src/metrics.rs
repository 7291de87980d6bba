//! Counters, and their page in the text format of Prometheus.

use crate::Route;
use crate::door::House;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use unexpired_core::{ErrorKind, Event};

/// What happened to one token: fed by the events of its manager.
///
/// ```
/// use std::sync::Arc;
/// use unexpired_proxy::TokenCounts;
/// # use unexpired_core::{BoxFuture, MintError, MintRequest, Token, TokenManager, TokenSource};
/// # struct Fixed;
/// # impl TokenSource for Fixed {
/// #     fn name(&self) -> &str { "fixed" }
/// #     fn mint(&self, request: MintRequest) -> BoxFuture<'_, Result<Token, MintError>> {
/// #         Box::pin(async move { Token::builder("at-1", request.now()).build() })
/// #     }
/// # }
/// let counts = Arc::new(TokenCounts::default());
/// let observer = counts.clone();
/// let manager = TokenManager::builder("corp", Fixed).on_event(move |event| observer.observe(event)).build();
/// # let _ = manager;
/// ```
#[derive(Debug, Default)]
pub struct TokenCounts {
    mints: AtomicU64,
    refreshes: AtomicU64,
    rejections: AtomicU64,
    failures: [AtomicU64; KINDS.len()],
}

impl TokenCounts {
    /// Counts an event.
    pub fn observe(&self, event: &Event) {
        match event {
            Event::Minted(_) => add(&self.mints),
            Event::Refreshed(_) => add(&self.refreshes),
            Event::Rejected { .. } => add(&self.rejections),
            Event::Failed { error, .. } => {
                let at = KINDS.iter().position(|kind| *kind == error.kind());
                if let Some(count) = at.and_then(|at| self.failures.get(at)) {
                    add(count);
                }
            }
            _ => {}
        }
    }
}

/// What happened on one route.
#[derive(Debug, Default)]
pub(crate) struct RouteCounts {
    /// Answers by the first digit of their status.
    statuses: [AtomicU64; 5],
    /// Refusals that the client never saw.
    recovered: AtomicU64,
    /// Refusals that it did see.
    refused: AtomicU64,
    latency: Histogram,
}

impl RouteCounts {
    pub(crate) fn answered(&self, status: u16, added: Duration) {
        if let Some(count) = usize::from(status / 100).checked_sub(1).and_then(|class| self.statuses.get(class)) {
            add(count);
        }
        self.latency.add(added);
    }

    pub(crate) fn recovered(&self) {
        add(&self.recovered);
    }

    pub(crate) fn refused(&self) {
        add(&self.refused);
    }
}

#[derive(Debug, Default)]
struct Histogram {
    /// How many fell into each, not counting the smaller ones; the last is for all that are larger.
    buckets: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    fn add(&self, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        let at = BUCKETS.iter().position(|(limit, _)| micros <= *limit).unwrap_or(BUCKETS.len());
        if let Some(bucket) = self.buckets.get(at) {
            add(bucket);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }
}

/// The page. Tokens that several routes share are told of once.
pub(crate) fn page(house: &House) -> String {
    let routes = &house.routes;
    let mut page = Page(String::with_capacity(4096));
    let mut tokens: Vec<&Route> = Vec::new();
    for route in routes {
        if !tokens.iter().any(|known| known.manager().name() == route.manager().name()) {
            tokens.push(route);
        }
    }

    page.family("unexpired_token_mints_total", "counter", "Tokens that were minted where none was held.");
    for route in &tokens {
        page.line(
            "unexpired_token_mints_total",
            &[("token", route.manager().name())],
            get(&route.token_counts().mints),
        );
    }
    page.family("unexpired_token_refreshes_total", "counter", "Tokens that took the place of another.");
    for route in &tokens {
        let count = get(&route.token_counts().refreshes);
        page.line("unexpired_token_refreshes_total", &[("token", route.manager().name())], count);
    }
    page.family("unexpired_token_failures_total", "counter", "Mints that failed, by kind of error.");
    for route in &tokens {
        for (kind, count) in KINDS.iter().zip(&route.token_counts().failures) {
            let labels = [("token", route.manager().name()), ("kind", kind.as_str())];
            page.line("unexpired_token_failures_total", &labels, get(count));
        }
    }
    page.family("unexpired_token_rejections_total", "counter", "Tokens that a resource refused before their time.");
    for route in &tokens {
        let count = get(&route.token_counts().rejections);
        page.line("unexpired_token_rejections_total", &[("token", route.manager().name())], count);
    }
    page.family("unexpired_token_expiry_seconds", "gauge", "Seconds until the token expires; 0 without one.");
    for route in &tokens {
        let token = route.manager().cached();
        let left = token.as_ref().map(|token| match token.expires_at() {
            Some(expiry) => expiry.duration_since(SystemTime::now()).unwrap_or_default().as_secs_f64().to_string(),
            None => "+Inf".to_owned(),
        });
        let labels = [("token", route.manager().name())];
        page.line("unexpired_token_expiry_seconds", &labels, left.as_deref().unwrap_or("0"));
    }

    page.family(
        "unexpired_proxy_requests_total",
        "counter",
        "Answers to clients whose key was right, by class of status.",
    );
    for route in routes {
        for (class, count) in CLASSES.iter().zip(&route.counts().statuses) {
            let labels = [("route", route.name()), ("status", class)];
            page.line("unexpired_proxy_requests_total", &labels, get(count));
        }
    }
    page.family(
        "unexpired_proxy_recovered_total",
        "counter",
        "Refused tokens that were replaced before the client noticed.",
    );
    for route in routes {
        page.line("unexpired_proxy_recovered_total", &[("route", route.name())], get(&route.counts().recovered));
    }
    page.family("unexpired_proxy_refused_total", "counter", "Refused tokens that the client was told of.");
    for route in routes {
        page.line("unexpired_proxy_refused_total", &[("route", route.name())], get(&route.counts().refused));
    }
    page.family(
        "unexpired_proxy_added_seconds",
        "histogram",
        "What a request waited for the proxy and its token, without the upstream's own time.",
    );
    for route in routes {
        page.histogram("unexpired_proxy_added_seconds", route.name(), &route.counts().latency);
    }
    page.family("unexpired_proxy_connections", "gauge", "Connections of clients.");
    page.line("unexpired_proxy_connections", &[], house.connections.load(Ordering::Relaxed));
    page.family("unexpired_proxy_strangers_total", "counter", "Connections of users who may not connect.");
    page.line("unexpired_proxy_strangers_total", &[], get(&house.strangers));
    page.0
}

struct Page(String);

/// Writing to a `String` cannot fail.
impl Page {
    fn family(&mut self, name: &str, kind: &str, about: &str) {
        let _ = writeln!(self.0, "# HELP {name} {about}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.0.push_str(name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.0, "{}{label}=\"{text}\"", if at == 0 { '{' } else { ',' });
        }
        let _ = writeln!(self.0, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    fn histogram(&mut self, name: &str, route: &str, histogram: &Histogram) {
        let mut sum = 0_u64;
        let limits = BUCKETS.iter().map(|(_, limit)| *limit).chain(["+Inf"]);
        for (limit, count) in limits.zip(&histogram.buckets) {
            sum = sum.saturating_add(get(count));
            self.line(&format!("{name}_bucket"), &[("route", route), ("le", limit)], sum);
        }
        let seconds = Duration::from_micros(get(&histogram.micros)).as_secs_f64();
        self.line(&format!("{name}_sum"), &[("route", route)], seconds);
        self.line(&format!("{name}_count"), &[("route", route)], sum);
    }
}

fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// Every kind of error that a mint ends with.
const KINDS: [ErrorKind; 8] = [
    ErrorKind::NotConfigured,
    ErrorKind::Misconfigured,
    ErrorKind::Denied,
    ErrorKind::Rejected,
    ErrorKind::Unavailable,
    ErrorKind::TimedOut,
    ErrorKind::Malformed,
    ErrorKind::Forbidden,
];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// In microseconds, and as Prometheus wants it, in seconds.
const BUCKETS: [(u64, &str); 12] = [
    (50, "0.00005"),
    (100, "0.0001"),
    (250, "0.00025"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (25_000, "0.025"),
    (100_000, "0.1"),
    (500_000, "0.5"),
    (2_500_000, "2.5"),
    (10_000_000, "10"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_adds_up() {
        let histogram = Histogram::default();
        for micros in [1, 50, 51, 999, 20_000_000] {
            histogram.add(Duration::from_micros(micros));
        }
        let mut page = Page(String::new());
        page.histogram("h", "r", &histogram);
        assert!(page.0.starts_with("h_bucket{route=\"r\",le=\"0.00005\"} 2\nh_bucket{route=\"r\",le=\"0.0001\"} 3\n"));
        assert!(
            page.0.contains(
                "h_bucket{route=\"r\",le=\"+Inf\"} 5\nh_sum{route=\"r\"} 20.001101\nh_count{route=\"r\"} 5\n"
            )
        );
    }
}
