//! The streams. stdout carries the answer; what people see goes to stderr. A reader that went away is no panic.

use crate::env;
use crate::failure::{Failure, OTHER};
use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

/// Writes the answer, whole, and makes sure that it left.
pub(crate) fn answer(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| lost(&error))
}

/// Writes one line to stderr. If that fails there is nobody left to tell.
pub(crate) fn to_stderr(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Whether pictures may be drawn on stdout: a terminal that understands cursor movements.
pub(crate) fn can_draw() -> bool {
    io::stdout().is_terminal() && env::term_is_capable()
}

/// Whether stdout may have colours.
pub(crate) fn has_colour() -> bool {
    can_draw() && !env::no_color()
}

/// The columns of the terminal; 80 where that is not known.
pub(crate) fn width() -> usize {
    terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0))
}

/// The columns and lines of the terminal; 80 and 24 where that is not known.
pub(crate) fn size() -> (usize, usize) {
    terminal_size::terminal_size().map_or((80, 24), |(width, height)| (usize::from(width.0), usize::from(height.0)))
}

/// The reader of a pipe that went away ends the command without a word, as it does for any filter; the exit code says that the answer did
/// not arrive.
fn lost(error: &io::Error) -> Failure {
    match error.kind() {
        ErrorKind::BrokenPipe => Failure::silent(OTHER),
        _ => Failure::new(OTHER, format!("the answer could not be written to stdout: {error}")),
    }
}
