//! Lays the functions that a warm `unexpired token` runs beside each other, see `layout/warm.ld`.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=layout/warm.ld");
    println!("cargo:rerun-if-env-changed=UNEXPIRED_LAYOUT");
    let of = |name: &str| env::var(name).unwrap_or_default();
    // Only where it is known which linker it will be: the one that comes with Rust for this target. Others need not understand the script, and then
    // the functions lie where they fall.
    let linker_is_rusts = env::var_os("RUSTC_LINKER").is_none() && !of("CARGO_ENCODED_RUSTFLAGS").contains("link");
    let known = of("TARGET") == "x86_64-unknown-linux-gnu" && linker_is_rusts;
    if known && of("PROFILE") == "release" && of("UNEXPIRED_LAYOUT") != "off" {
        let script = Path::new(&of("CARGO_MANIFEST_DIR")).join("layout/warm.ld");
        println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", script.display());
    }
}
