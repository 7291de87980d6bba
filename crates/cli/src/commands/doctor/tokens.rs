//! The configuration, what is kept of its tokens, and the ports of its routes.

use super::Report;
use crate::args::{Args, PROXY_PORT};
use crate::project::{Project, command, path};
use crate::shared::{self, Subject};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use unexpired::config::{Config, ConfigError, Export};
use unexpired::store::StoreKind;
use unexpired::{Clock as _, ErrorKind, SystemClock, Timestamp};

pub(super) fn examine(args: &Args, report: &mut Report) {
    let Ok(path) = path(args) else {
        report.fail("config", "there is no place to look for a configuration", "name the file with --config");
        return;
    };
    let config = match Config::load(&path) {
        Ok(config) => config,
        Err(error) if error.kind() == ErrorKind::NotConfigured => {
            let what = format!("{} is not there", path.display());
            report.warn("config", what, "create it, or use unexpired token --provider NAME");
            return;
        }
        Err(error) => {
            for problem in problems(&error, &path) {
                report.fail("config", problem, format!("correct it; {} config check says the same", command(args)));
            }
            return;
        }
    };
    let count = |n: usize, what: &str| crate::demo::story::count(n as u64, what);
    report.ok(
        "config",
        format!(
            "{}: {}, {}",
            path.display(),
            count(config.names().count(), "token"),
            count(config.routes().count(), "route")
        ),
    );
    for warning in config.warnings() {
        let (what, remedy) = warning.rsplit_once("; ").unwrap_or((&warning, "see the documentation"));
        report.warn("config", what, remedy);
    }
    for missing in config.missing() {
        let text = missing.to_string();
        let (what, remedy) = text.rsplit_once("; ").unwrap_or((&text, "put it there"));
        report.fail("config", what, remedy);
    }
    let project = Project { config, path, command: command(args) };
    kept(&project, report);
    ports(&project.config, report);
}

/// Where tokens are kept, as far as that is known.
pub(super) fn store(args: &Args) -> StoreKind {
    let config = path(args).ok().and_then(|path| Config::load(&path).ok());
    config.map_or_else(|| StoreKind::of_environment().unwrap_or_default(), |config| config.store())
}

/// All that is wrong, if the file itself was trusted; else why not.
fn problems(error: &ConfigError, path: &std::path::Path) -> Vec<String> {
    let all = error.line().and_then(|_| std::fs::read_to_string(path).ok());
    let all = all.map(|text| Config::problems(&text, &path.display().to_string())).unwrap_or_default();
    if all.is_empty() { vec![error.to_string()] } else { all.iter().map(ToString::to_string).collect() }
}

/// What the store says of each token; and whether the wall clock was set since one arrived.
fn kept(project: &Project, report: &mut Report) {
    let Some(store) = shared::open_to_look(project.config.store()) else { return };
    let now = SystemClock.now();
    let mut step = Duration::ZERO;
    for token in project.config.tokens().filter(|token| token.export() == Export::Allowed) {
        let name = token.name();
        let Ok(subject) = Subject::configured(project, name) else { continue };
        let key = subject.stored(store.clone()).key();
        let record = shared::look(&store, &key, &*subject.source);
        if let Some(arrived) = record.arrived_at {
            step = step.max(stepped(arrived, now));
        }
        let lives = record.usable(now).is_some();
        if let Some(failure) = &record.failure {
            let what = format!("{name}: {}", failure.error);
            let wait = failure.not_before.since(now).as_secs();
            let next = format!("next attempt in {wait} s; ask now: {} token {name}", project.command);
            if lives { report.warn("token", what, next) } else { report.fail("token", what, next) }
        } else if lives {
            report.ok("token", format!("{name}: kept, and good for use"));
        }
    }
    if step > LARGEST_STEP {
        let what = format!("the wall clock was set by {} s since a kept token arrived", step.as_secs());
        report.warn("clock", what, "if tokens are refused for their time, compare it with a time server");
    }
}

/// How far the wall clock has moved against the boot clock.
fn stepped(then: Timestamp, now: Timestamp) -> Duration {
    let offset = |at: Timestamp| at.wall_nanos().saturating_sub(at.boot_nanos());
    Duration::from_nanos(offset(now).saturating_sub(offset(then)).unsigned_abs())
}

/// Whether the routes' ports are free, or the proxy's own.
fn ports(config: &Config, report: &mut Report) {
    let mut ports: Vec<u16> = config
        .routes()
        .filter(|route| route.socket().is_none())
        .map(|route| route.port().unwrap_or(PROXY_PORT))
        .collect();
    ports.sort_unstable();
    ports.dedup();
    for port in ports {
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            report.ok("proxy", format!("port {port} is free; no proxy runs there"));
        } else if is_proxy(port) {
            report.ok("proxy", format!("a proxy answers at port {port}"));
        } else {
            let what = format!("port {port} is taken by another program");
            report.fail(
                "proxy",
                what,
                "end that program, or serve at another port: unexpired proxy --port PORT, `port` of a route",
            );
        }
    }
}

/// Whether what listens there answers as our proxy does. Only to this machine, with nothing that is secret.
fn is_proxy(port: u16) -> bool {
    let ask = || -> std::io::Result<String> {
        let place = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&place, LONGEST_WAIT)?;
        stream.set_read_timeout(Some(LONGEST_WAIT))?;
        stream.set_write_timeout(Some(LONGEST_WAIT))?;
        write!(stream, "GET /-/healthz HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(4096).read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200") && answer.ends_with("ok\n"))
}

const LARGEST_STEP: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_noticed_either_way() {
        let then = Timestamp::from_nanos(5_000_000_000, 1_000_000_000_000);
        let later = |boot: i64, wall: i64| Timestamp::from_nanos(boot * 1_000_000_000, wall * 1_000_000_000);
        assert_eq!(stepped(then, later(65, 1060)), Duration::ZERO);
        assert_eq!(stepped(then, later(65, 4660)), Duration::from_secs(3600));
        assert_eq!(stepped(then, later(65, 960)), Duration::from_secs(100));
    }
}
