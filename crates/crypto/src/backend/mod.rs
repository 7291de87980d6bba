//! The seam. `provider` is written once for `ring` and `aws-lc-rs`, whose APIs differ in a few calls; `none` stands in
//! where neither was compiled in. Both have the same items.

#[cfg(all(feature = "ring", not(feature = "fips"), not(target_family = "wasm")))]
use ring as library;

#[cfg(all(feature = "aws-lc-rs", any(feature = "fips", not(feature = "ring")), not(target_family = "wasm")))]
use aws_lc_rs as library;

#[cfg(all(any(feature = "ring", feature = "aws-lc-rs"), not(target_family = "wasm")))]
mod provider;
#[cfg(all(any(feature = "ring", feature = "aws-lc-rs"), not(target_family = "wasm")))]
pub(crate) use provider::*;

#[cfg(any(not(any(feature = "ring", feature = "aws-lc-rs")), target_family = "wasm"))]
mod none;
#[cfg(any(not(any(feature = "ring", feature = "aws-lc-rs")), target_family = "wasm"))]
pub(crate) use none::*;

#[cfg(any(test, all(not(any(feature = "ring", feature = "aws-lc-rs")), not(target_family = "wasm"))))]
mod software;
