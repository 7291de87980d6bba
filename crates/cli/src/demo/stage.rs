//! Where the demo is shown: drawn live in a terminal, as lines, or as JSON.

use super::lines;
use super::picture::Picture;
use super::story::{Happening, Story};
use crate::failure::Failure;
use crate::out;
use std::fmt::Write as _;
use std::time::Duration;

/// The books and the place where they are shown.
pub(crate) struct Stage {
    pub(crate) story: Story,
    show: Show,
    life: Duration,
}

enum Show {
    Live(Live),
    Plain,
    Json,
}

/// A picture that grows: the bars of finished lives scroll up and stay, what can still change is drawn again below them.
struct Live {
    picture: Picture,
    /// How many lives have been drawn for good.
    settled: usize,
    /// How many lines below them are to be drawn again.
    moving: usize,
}

impl Stage {
    /// A stage for a session of `span` with tokens that live `life`.
    pub(crate) fn new(span: Duration, life: Duration, json: bool) -> Self {
        let picture = Picture::fitting(out::width(), span, out::has_colour()).filter(|_| out::can_draw());
        let show = match picture {
            _ if json => Show::Json,
            Some(picture) => Show::Live(Live { picture, settled: 0, moving: 0 }),
            None => Show::Plain,
        };
        Self { story: Story::default(), show, life }
    }

    /// What stands above everything.
    pub(crate) fn open(&mut self, title: &str) -> Result<(), Failure> {
        match &self.show {
            Show::Json => Ok(()),
            Show::Plain => out::answer(&format!("{title}\n")),
            Show::Live(live) => {
                out::answer(&format!("{title}\n\n{}\n{}\n", live.picture.legend(), live.picture.axis()))
            }
        }
    }

    /// Writes a happening down, and shows it where happenings are lines.
    pub(crate) fn tell(&mut self, happening: &Happening) -> Result<(), Failure> {
        self.story.record(happening);
        let line = match self.show {
            Show::Live(_) => None,
            Show::Plain => lines::plain(happening, &self.story),
            Show::Json => lines::json(happening, &self.story),
        };
        line.map_or(Ok(()), |line| out::answer(&format!("{line}\n")))
    }

    /// Draws the picture anew, if there is one.
    pub(crate) fn draw(&mut self, now: Duration) -> Result<(), Failure> {
        let Show::Live(live) = &mut self.show else { return Ok(()) };
        out::answer(&live.frame(&self.story, now))
    }

    /// The end: the sum.
    pub(crate) fn close(&mut self, ended: Duration) -> Result<(), Failure> {
        self.draw(ended)?;
        if let Show::Json = self.show {
            return out::answer(&format!("{}\n", lines::json_summary(&self.story, self.life, ended)));
        }
        let summary = self.story.summary(self.life, ended).join("\n");
        out::answer(&format!("\n{summary}\n"))
    }
}

impl Live {
    fn frame(&mut self, story: &Story, now: Duration) -> String {
        let mut frame = String::new();
        if self.moving > 0 {
            let _ = write!(frame, "\x1b[{}A", self.moving);
        }
        self.moving = 0;
        for (index, life) in story.lives.iter().enumerate().skip(self.settled) {
            push(&mut frame, &self.picture.life(story, index.saturating_add(1), life, now));
            // A bar stays as it is once its life is over, and all above it stay too.
            if life.over() < now && index == self.settled {
                self.settled = self.settled.saturating_add(1);
            } else {
                self.moving = self.moving.saturating_add(1);
            }
        }
        for line in ["", &self.picture.requests(story, now), &self.picture.provider(story, now)] {
            push(&mut frame, line);
            self.moving = self.moving.saturating_add(1);
        }
        frame
    }
}

/// A line that replaces what stood there.
fn push(frame: &mut String, line: &str) {
    frame.push_str(line);
    frame.push_str("\x1b[K\n");
}

#[cfg(test)]
mod tests {
    use super::super::story::What;
    use super::*;

    #[test]
    fn bars_of_finished_lives_are_drawn_once() {
        let mut story = Story::default();
        let mut live = Live {
            picture: Picture { columns: 40, span: Duration::from_secs(10), colour: false },
            settled: 0,
            moving: 0,
        };
        for (at, name) in [(0, "aaaaaaaa"), (2000, "bbbbbbbb"), (4000, "cccccccc")] {
            let what = What::Token { fingerprint: name.into(), life: Duration::from_secs(3), took: Duration::ZERO };
            story.record(&Happening { at: Duration::from_millis(at), what });
        }
        let first = live.frame(&story, Duration::from_millis(4500));
        assert!(first.contains("aaaaaaaa") && !first.starts_with('\x1b'));
        assert_eq!((live.settled, live.moving), (1, 5));
        let second = live.frame(&story, Duration::from_millis(6000));
        assert!(second.starts_with("\x1b[5A") && !second.contains("aaaaaaaa") && second.contains("bbbbbbbb"));
        assert_eq!((live.settled, live.moving), (2, 4));
    }
}
