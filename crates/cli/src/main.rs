//! The `unexpired` command.

fn main() {}
