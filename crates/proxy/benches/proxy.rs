//! The proxy beside a bare one.

fn main() {}
