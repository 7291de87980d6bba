//! The least that a program can do which prints a token: it reads a file and writes it to stdout.

use std::io::Write as _;

fn main() {
    let path = std::env::args_os().nth(1).expect("a path");
    let bytes = std::fs::read(path).expect("a file");
    std::io::stdout().write_all(&bytes).expect("stdout");
}
