//! Serves the lab until standard input ends: `cargo run -p unexpired-testkit --example lab`.
#![allow(clippy::print_stdout, reason = "it prints")]

use std::io::Read as _;

use unexpired_testkit::lab::{Lab, LabOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lab = Lab::start(LabOptions::new().https(cfg!(feature = "https")))?;
    println!("{}", serde_json::to_string_pretty(lab.endpoints())?);
    println!("{}", lab.config_toml());
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
