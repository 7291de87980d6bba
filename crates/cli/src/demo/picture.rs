//! The demo as a picture: one bar for each token's life on a common axis of time, and below them what the clients and the identity
//! provider met. Text in, text out; the terminal is elsewhere.

use super::story::{Life, Mark, Story, count};
use std::time::Duration;

/// How the picture is laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Picture {
    /// The columns of the axis.
    pub(crate) columns: usize,
    /// The time that the axis shows.
    pub(crate) span: Duration,
    pub(crate) colour: bool,
}

impl Picture {
    /// A picture for a terminal of `width` columns; `None` if it is too narrow, for a line that wraps cannot be drawn again.
    pub(crate) fn fitting(width: usize, span: Duration, colour: bool) -> Option<Self> {
        let columns = width.min(WIDEST).checked_sub(LABEL + NOTE).filter(|columns| *columns >= NARROWEST)?;
        Some(Self { columns, span, colour })
    }

    /// The axis of time.
    pub(crate) fn axis(&self) -> String {
        let seconds = self.span.as_secs().max(1);
        let columns = self.columns as u64;
        let step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600]
            .into_iter()
            .find(|step| step * columns / seconds >= 6)
            .unwrap_or(1200);
        let mut line = String::new();
        let mut length = 0_usize;
        for tick in (0..=seconds).step_by(usize::try_from(step).unwrap_or(1)) {
            let column = usize::try_from(tick * columns / seconds).unwrap_or(0);
            let text = format!("{tick}s");
            if column < length || column + text.len() > self.columns {
                continue;
            }
            line.push_str(&" ".repeat(column - length));
            line.push_str(&text);
            length = column + text.len();
        }
        self.row("", &self.dim(&line), "")
    }

    /// The bar of one token's life.
    pub(crate) fn life(&self, story: &Story, number: usize, life: &Life, now: Duration) -> String {
        let mut bar = String::new();
        let mut painter = Painter::new(self.colour);
        let (first, last) = (self.column(life.born), self.column(life.expires.min(self.span)));
        let replaced = life.replaced.map(|at| self.column(at));
        let revoked = life.revoked.map(|at| self.column(at));
        for column in 0..self.columns {
            let (from, to) = self.times(column);
            let future = from > now;
            let down = !future && story.outage_within(from, to.min(now));
            let in_use = replaced.is_none_or(|at| column <= at);
            let (glyph, paint) = if revoked == Some(column) {
                ('✗', Paint::Red)
            } else if column < first || column > last || revoked.is_some_and(|at| column > at) {
                if down { ('░', Paint::Dim) } else { (' ', Paint::None) }
            } else if column == first {
                ('●', Paint::Green)
            } else if future || !in_use {
                ('┄', Paint::Dim)
            } else if down {
                ('━', Paint::Yellow)
            } else {
                ('━', Paint::Green)
            };
            painter.put(&mut bar, glyph, paint);
        }
        painter.end(&mut bar);
        let mut note = format!("{:>4}", count(life.requests, "request"));
        if life.refused > 0 {
            note = format!("{note}, revoked");
        } else if life.failed_mints > 0 {
            note = format!("{note}, outage");
        }
        self.row(&format!("{number:>4} {:<8}", life.fingerprint), &bar, &note)
    }

    /// What the identity provider met: mints, failed mints, the outage.
    pub(crate) fn provider(&self, story: &Story, now: Duration) -> String {
        let mut line = String::new();
        let mut painter = Painter::new(self.colour);
        for column in 0..self.columns {
            let (from, to) = self.times(column);
            let here = |at: &Duration| *at >= from && *at < to;
            let (glyph, paint) = if from > now {
                (' ', Paint::None)
            } else if story.failed_mints.iter().any(here) {
                ('✗', Paint::Red)
            } else if story.lives.iter().any(|life| here(&life.born)) {
                ('●', Paint::Green)
            } else if story.outage_within(from, to.min(now)) {
                ('░', Paint::Dim)
            } else {
                ('·', Paint::Dim)
            };
            painter.put(&mut line, glyph, paint);
        }
        painter.end(&mut line);
        let failed = count(story.failed_mints.len() as u64, "failure");
        let note = format!("{}, {failed}", count(story.lives.len() as u64, "mint"));
        self.row("provider", &line, &note)
    }

    /// What the clients met.
    pub(crate) fn requests(&self, story: &Story, now: Duration) -> String {
        let mut line = String::new();
        let mut painter = Painter::new(self.colour);
        for column in 0..self.columns {
            let (from, to) = self.times(column);
            let (glyph, paint) = match story.mark_within(from, to) {
                _ if from > now => (' ', Paint::None),
                Some(Mark::Trouble) => ('✗', Paint::Red),
                Some(Mark::Retried) => ('↻', Paint::Yellow),
                Some(Mark::Fine) => ('▪', Paint::Green),
                None => (' ', Paint::None),
            };
            painter.put(&mut line, glyph, paint);
        }
        painter.end(&mut line);
        let seen = story.seen_rejected.saturating_add(story.seen_errors);
        self.row("requests", &line, &format!("{} ok, {seen} seen to fail", story.accepted))
    }

    /// What the marks mean.
    pub(crate) fn legend(&self) -> String {
        format!(" {}", self.dim("● mint  ━ in use  ┄ spare  ░ outage  ✗ failed or revoked  ↻ 401, retried"))
    }

    fn row(&self, label: &str, body: &str, note: &str) -> String {
        let line = format!(" {label:<width$} {body}  {note}", width = LABEL - 3);
        line.trim_end().to_owned()
    }

    fn dim(&self, text: &str) -> String {
        if self.colour { format!("{}{text}{RESET}", Paint::Dim.code()) } else { text.to_owned() }
    }

    fn column(&self, at: Duration) -> usize {
        let share = at.as_secs_f64() / self.span.as_secs_f64().max(0.001);
        // The share is from 0 to 1, and columns are few.
        ((share * self.columns as f64) as usize).min(self.columns.saturating_sub(1))
    }

    /// The time from and to which a column stands for.
    fn times(&self, column: usize) -> (Duration, Duration) {
        let of = |column: usize| self.span.mul_f64(column as f64 / self.columns.max(1) as f64);
        (of(column), of(column.saturating_add(1)))
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    None,
    Dim,
    Green,
    Yellow,
    Red,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::None => RESET,
            Self::Dim => "\x1b[90m",
            Self::Green => "\x1b[32m",
            Self::Yellow => "\x1b[33m",
            Self::Red => "\x1b[31m",
        }
    }
}

/// Writes characters, and a colour only where it changes.
pub(crate) struct Painter {
    colour: bool,
    current: Paint,
}

impl Painter {
    pub(crate) const fn new(colour: bool) -> Self {
        Self { colour, current: Paint::None }
    }

    pub(crate) fn put(&mut self, line: &mut String, glyph: char, paint: Paint) {
        if self.colour && paint != self.current {
            line.push_str(paint.code());
            self.current = paint;
        }
        line.push(glyph);
    }

    pub(crate) fn end(&mut self, line: &mut String) {
        if self.current != Paint::None {
            line.push_str(RESET);
            self.current = Paint::None;
        }
    }
}

const RESET: &str = "\x1b[0m";
/// The columns left of the axis, and right of it.
const LABEL: usize = 17;
const NOTE: usize = 28;
const WIDEST: usize = 120;
const NARROWEST: usize = 20;

#[cfg(test)]
mod tests {
    use super::super::story::{Happening, Outcome, What};
    use super::*;

    fn story() -> Story {
        let mut story = Story::default();
        let token = |name: &str| What::Token {
            fingerprint: name.into(),
            life: Duration::from_secs(3),
            took: Duration::from_millis(2),
        };
        let request = |name: &str, retried| What::Request {
            fingerprint: Some(name.into()),
            took: Duration::from_millis(1),
            outcome: Outcome::Accepted { retried },
        };
        for (at, what) in [
            (0, token("aaaaaaaa")),
            (10, request("aaaaaaaa", false)),
            (1500, token("bbbbbbbb")),
            (1600, request("bbbbbbbb", false)),
            (1700, What::OutageBegan),
            (3000, What::MintFailed { error: "503".into() }),
            (3400, What::OutageEnded),
            (3700, token("cccccccc")),
            (5000, What::Revoked { fingerprint: "cccccccc".into() }),
            (5010, What::Refused { fingerprint: "cccccccc".into() }),
            (5020, token("dddddddd")),
            (5030, request("dddddddd", true)),
        ] {
            story.record(&Happening { at: Duration::from_millis(at), what });
        }
        story
    }

    fn drawn(colour: bool) -> String {
        let story = story();
        let picture = Picture { columns: 40, span: Duration::from_secs(10), colour };
        let now = Duration::from_secs(8);
        let mut lines = vec![picture.axis()];
        lines.extend(story.lives.iter().enumerate().map(|(n, life)| picture.life(&story, n + 1, life, now)));
        lines.push(picture.requests(&story, now));
        lines.push(picture.provider(&story, now));
        lines.join("\n")
    }

    #[test]
    fn a_picture_of_four_lives() {
        let expected = [
            "                0s      2s      4s      6s      8s",
            "    1 aaaaaaaa  ●━━━━━━┄┄┄┄┄┄░                            1 request",
            "    2 bbbbbbbb        ●━━━━━━━━┄┄┄┄                       1 request, outage",
            "    3 cccccccc        ░░░░░░░░●━━━━━✗                     0 requests, revoked",
            "    4 dddddddd        ░░░░░░░░      ●━━━━━━━━━━━━         1 request",
            " requests       ▪     ▪             ↻                     3 ok, 0 seen to fail",
            " provider       ●·····●░░░░░✗░●·····●············         4 mints, 1 failure",
        ];
        assert_eq!(drawn(false).lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn colours_change_nothing_but_colour() {
        let coloured = drawn(true);
        assert!(coloured.contains("\x1b[32m"));
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once("\x1b[") {
            plain.push_str(before);
            rest = after.split_once('m').unwrap().1;
        }
        plain.push_str(rest);
        assert_eq!(plain, drawn(false));
        assert!(!drawn(false).contains('\x1b'));
    }

    #[test]
    fn no_session_is_too_long_for_the_axis() {
        for seconds in [1, 10, 30, 60, 3600] {
            assert!(Picture::fitting(60, Duration::from_secs(seconds), false).is_none());
            for width in [65, 80, 200] {
                let picture = Picture::fitting(width, Duration::from_secs(seconds), false).unwrap();
                assert!(picture.axis().chars().count() <= picture.columns + LABEL);
                assert_eq!(picture.column(Duration::from_secs(9999)), picture.columns - 1);
            }
        }
    }
}
