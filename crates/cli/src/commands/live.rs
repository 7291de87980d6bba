//! `unexpired status --watch`: what is kept, drawn anew each second from the store. Mints nothing, as `status` does.
//!
//! In a terminal it is a page of its own, which goes when it ends. Elsewhere it is the same page as text, once a second, without cursor movements; with
//! `--json` one object a line.

use crate::args::{Args, StatusArgs};
use crate::commands::{rfc3339, runtime, status};
use crate::demo::picture::{Paint, Painter};
use crate::failure::Failure;
use crate::out;
use crate::project::Project;
use crate::shared::{self, Subject};
use crate::signals::End;
use crate::sys::Keys;
use std::time::{Duration, SystemTime};
use unexpired::config::{Export, TokenConfig};
use unexpired::store::{FileStore, StoreKind};
use unexpired::text::one_line;
use unexpired::{Clock as _, Phase, SystemClock, Timestamp, TokenRecord};

pub(crate) fn run(args: &Args, own: &StatusArgs) -> Result<(), Failure> {
    let project = Project::load(args)?;
    let names: Vec<&str> = match &own.name {
        Some(name) => vec![project.token(name)?.name()],
        None => project.config.names().collect(),
    };
    let mut tokens = Vec::new();
    for name in names {
        let token = project.token(name)?;
        let subject = (token.export() == Export::Allowed).then(|| Subject::configured(&project, name)).transpose()?;
        tokens.push((token, subject));
    }
    let kind = project.config.store();
    // Asked for once: it is told why it cannot be looked into, and not once a second.
    let keyring = if kind == StoreKind::Keyring { shared::open(args, kind)? } else { None };
    runtime()?.block_on(async {
        let mut end = End::listen()?;
        let screen = (out::can_draw() && !own.json).then(Screen::open);
        let (keys, mut pressed) = tokio::sync::mpsc::unbounded_channel();
        if screen.is_some() {
            Keys::listen(move |key| keys.send(key).is_ok());
        }
        loop {
            let now = SystemClock.now();
            let records: Vec<(&TokenConfig, Option<TokenRecord>)> = tokens
                .iter()
                .map(|(token, subject)| (*token, subject.as_ref().map(|subject| record(subject, keyring.as_ref()))))
                .collect();
            if own.json {
                out::answer(&format!("{}\n", json(&records, now)))?;
            } else {
                let (width, height) = if screen.is_some() { out::size() } else { (out::width(), usize::MAX) };
                let page = Page { width, colour: screen.is_some() && out::has_colour() };
                let rows: Vec<Row> =
                    records.iter().map(|(token, record)| Row::of(token.name(), record.as_ref(), now)).collect();
                let lines = page.lines(&rows, SystemTime::now(), height);
                out::answer(&match &screen {
                    Some(_) => format!(
                        "\x1b[H{}\x1b[J",
                        lines.iter().map(|line| format!("{line}\x1b[K\r\n")).collect::<String>()
                    ),
                    None => format!("{}\n\n", lines.join("\n")),
                })?;
            }
            // At the turn of the second, so that what is shown is what the clock on the wall shows.
            let rest = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_millis();
            let pause = tokio::time::sleep(Duration::from_millis(u64::from(1000_u32.saturating_sub(rest))));
            tokio::select! {
                () = end.wait() => return Ok(()),
                () = pause => {}
                Some(key) = pressed.recv() => if matches!(key, b'q' | b'Q' | 4 | 27) { return Ok(()) },
            }
        }
    })
}

fn record(subject: &Subject, keyring: Option<&FileStore>) -> TokenRecord {
    let store = keyring.cloned().or_else(|| shared::open_to_look(subject.store));
    let Some(store) = store else { return TokenRecord::default() };
    let key = subject.stored(store.clone()).key();
    shared::look(&store, &key, &*subject.source)
}

fn json(records: &[(&TokenConfig, Option<TokenRecord>)], now: Timestamp) -> String {
    let tokens: Vec<_> =
        records.iter().map(|(token, record)| status::object(token.name(), token, record.as_ref(), now)).collect();
    serde_json::json!({ "at": rfc3339(now.system_time()), "tokens": tokens }).to_string()
}

/// The terminal, put back as it was at the end.
struct Screen(#[allow(dead_code, reason = "it is there to be dropped")] Keys);

impl Screen {
    fn open() -> Self {
        let keys = Keys::unbuffered();
        let _ = out::answer("\x1b[?1049h\x1b[?25l\x1b[2J");
        Self(keys)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = out::answer("\x1b[?25h\x1b[?1049l");
    }
}

/// One token, as it is shown.
#[derive(Debug)]
struct Row {
    name: String,
    life: Option<Life>,
    /// What is said in the place of a life.
    none: &'static str,
    failing: Option<String>,
}

#[derive(Debug)]
struct Life {
    phase: Phase,
    whole: Duration,
    /// What is left, and what is left until the refresh; none if the token never expires.
    left: Option<Duration>,
    refresh: Duration,
    fingerprint: String,
}

impl Row {
    fn of(name: &str, record: Option<&TokenRecord>, now: Timestamp) -> Self {
        let name = one_line(name, 40);
        let Some(record) = record else {
            return Self { name, life: None, none: "never kept: export = \"never\"", failing: None };
        };
        let life = record.usable(now).map(|token| {
            let moments = token.moments();
            Life {
                phase: moments.phase(now),
                whole: moments.life(),
                left: token.expires_at().map(|_| moments.expires_at.until(now)),
                refresh: moments.refresh_at.until(now),
                fingerprint: token.fingerprint(),
            }
        });
        let failing = record.failure.as_ref().map(|failure| {
            let wait = failure.not_before.since(now);
            let next =
                if wait.is_zero() { "may be tried now".to_owned() } else { format!("next attempt in {}", short(wait)) };
            format!("{next}: {}", failure.error)
        });
        Self { name, life, none: "none kept: the next call mints", failing }
    }
}

struct Page {
    width: usize,
    colour: bool,
}

impl Page {
    /// The whole page in at most `height` lines, none wider than the page.
    fn lines(&self, rows: &[Row], time: SystemTime, height: usize) -> Vec<String> {
        let names = rows.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).clamp(4, 24);
        let mut lines = vec![self.cut(&format!("unexpired {}", rfc3339(time))), String::new()];
        // The line below, where it can be left with a key, and the one that says how many are not shown.
        let room = height.saturating_sub(if self.has_keys(height) { 3 } else { 0 });
        let mut shown = 0_usize;
        for row in rows {
            let of_row = self.row(row, names);
            if lines.len().saturating_add(of_row.len()) > room {
                break;
            }
            lines.extend(of_row);
            shown = shown.saturating_add(1);
        }
        if shown < rows.len() {
            lines.push(self.cut(&format!("… and {} more", rows.len().saturating_sub(shown))));
        }
        if self.has_keys(height) {
            lines.push(self.paint(&self.cut("● now  ━ fresh or due  ┄ lived   q ends it"), Paint::Dim));
        }
        lines
    }

    fn has_keys(&self, height: usize) -> bool {
        height != usize::MAX
    }

    fn row(&self, row: &Row, names: usize) -> Vec<String> {
        let name: String = row.name.chars().take(names).collect();
        let label = format!(" {name:<names$}  ");
        let mut lines = match &row.life {
            None => vec![self.cut(&format!("{label}{}", row.none))],
            Some(life) => {
                let note = note(life);
                let room = self.width.saturating_sub(label.chars().count() + NOTE + 2).min(WIDEST);
                if room < NARROWEST {
                    vec![self.cut(&format!("{label}{note}"))]
                } else {
                    vec![format!("{label}{}  {}", self.bar(life, room), note.chars().take(NOTE).collect::<String>())]
                }
            }
        };
        if let Some(failing) = &row.failing {
            lines.push(self.paint(&self.cut(&format!(" {:<names$}  failing, {failing}", "")), Paint::Red));
        }
        lines
    }

    /// The whole life: what was lived, the moment, what is left; of that what is due in another colour.
    fn bar(&self, life: &Life, columns: usize) -> String {
        let share = |part: Duration| {
            if life.whole.is_zero() { 0.0 } else { (part.as_secs_f64() / life.whole.as_secs_f64()).clamp(0.0, 1.0) }
        };
        let column = |left: Duration| columns.saturating_sub((share(left) * columns as f64) as usize);
        let now = life.left.map_or(0, column).min(columns.saturating_sub(1));
        let due = column(life.left.unwrap_or_default().saturating_sub(life.refresh)).max(now);
        let mut text = String::new();
        let mut painter = Painter::new(self.colour);
        for at in 0..columns {
            let (glyph, paint) = match life.phase {
                _ if at < now => ('┄', Paint::Dim),
                Phase::Fresh if at == now => ('●', Paint::Green),
                Phase::Fresh if at < due || life.left.is_none() => ('━', Paint::Green),
                Phase::Urgent => (if at == now { '●' } else { '━' }, Paint::Red),
                _ => (if at == now { '●' } else { '━' }, Paint::Yellow),
            };
            painter.put(&mut text, glyph, paint);
        }
        painter.end(&mut text);
        text
    }

    fn cut(&self, text: &str) -> String {
        text.chars().take(self.width).collect::<String>().trim_end().to_owned()
    }

    fn paint(&self, text: &str, paint: Paint) -> String {
        let mut line = String::new();
        let mut painter = Painter::new(self.colour);
        text.chars().for_each(|glyph| painter.put(&mut line, glyph, paint));
        painter.end(&mut line);
        line
    }
}

fn note(life: &Life) -> String {
    let Some(left) = life.left else { return format!("{} never expires", life.fingerprint) };
    let next = match life.phase {
        Phase::Fresh => format!("refresh in {}", short(life.refresh)),
        Phase::Due => "due".to_owned(),
        _ => "close to its end".to_owned(),
    };
    format!("{} {} left, {next}", life.fingerprint, short(left))
}

/// A duration in its two largest units at most.
fn short(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", seconds / 60),
        6_000..=172_799 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The columns of the words beside a bar.
const NOTE: usize = 52;
const WIDEST: usize = 60;
const NARROWEST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn life(phase: Phase, whole: u64, left: u64, refresh: u64) -> Row {
        Row {
            name: "corp".to_owned(),
            life: Some(Life {
                phase,
                whole: Duration::from_secs(whole),
                left: Some(Duration::from_secs(left)),
                refresh: Duration::from_secs(refresh),
                fingerprint: "a1b2c3d4".to_owned(),
            }),
            none: "",
            failing: None,
        }
    }

    fn rows() -> Vec<Row> {
        let mut failing = life(Phase::Due, 3600, 700, 0);
        failing.name = "failing-one".to_owned();
        failing.failing = Some("next attempt in 12 s: oauth at x: temporarily_unavailable".to_owned());
        let mut eternal = life(Phase::Fresh, 0, 0, 0);
        eternal.life.as_mut().unwrap().left = None;
        let none = Row { name: "ibm".to_owned(), life: None, none: "none kept: the next call mints", failing: None };
        vec![life(Phase::Fresh, 3600, 2700, 1800), failing, life(Phase::Urgent, 60, 5, 0), eternal, none]
    }

    fn drawn(width: usize, height: usize, colour: bool) -> Vec<String> {
        Page { width, colour }.lines(&rows(), SystemTime::UNIX_EPOCH, height)
    }

    #[test]
    fn a_page_of_five_tokens() {
        let expected = [
            "unexpired 1970-01-01T00:00:00Z",
            "",
            " corp         ┄┄┄┄┄●━━━━━━━━━━━━━━  a1b2c3d4 45 min left, refresh in 30 min",
            " failing-one  ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄●━━  a1b2c3d4 11 min left, due",
            "              failing, next attempt in 12 s: oauth at x: temporarily_unavailable",
            " corp         ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄●  a1b2c3d4 5 s left, close to its end",
            " corp         ●━━━━━━━━━━━━━━━━━━━  a1b2c3d4 never expires",
            " ibm          none kept: the next call mints",
        ];
        assert_eq!(drawn(88, usize::MAX, false), expected);
    }

    #[test]
    fn no_line_is_wider_and_no_page_longer_than_the_terminal() {
        for width in [1, 20, 40, 60, 80, 300] {
            for height in [3, 5, 8, 24] {
                let lines = drawn(width, height, false);
                assert!(lines.len() <= height.max(4), "{height}: {lines:?}");
                for line in &lines {
                    assert!(line.chars().count() <= width, "{width}: {line}");
                }
            }
        }
        assert!(drawn(80, 8, false).iter().any(|line| line == "… and 3 more"), "{:?}", drawn(80, 8, false));
    }

    #[test]
    fn colours_change_nothing_but_colour() {
        let coloured = drawn(88, 24, true).join("\n");
        assert!(coloured.contains("\x1b[32m") && coloured.contains("\x1b[33m") && coloured.contains("\x1b[31m"));
        let plain: String = coloured
            .split("\x1b[")
            .enumerate()
            .map(|(n, part)| if n == 0 { part } else { part.split_once('m').map_or(part, |(_, rest)| rest) })
            .collect();
        assert_eq!(plain, drawn(88, 24, false).join("\n"));
        assert!(!drawn(88, 24, false).concat().contains('\x1b'));
    }

    #[test]
    fn durations_are_short() {
        for (seconds, text) in
            [(0, "0 s"), (99, "99 s"), (100, "1 min"), (3600, "60 min"), (7_500, "2 h 5 min"), (259_200, "3 d")]
        {
            assert_eq!(short(Duration::from_secs(seconds)), text);
        }
    }
}
