//! Programs that are given tokens: what each does with them, and how it is pointed at a proxy.

mod folder;
mod instance;
pub(crate) mod point;
mod profile;
mod splice;

pub(crate) use instance::Instance;
pub(crate) use profile::{Client, Profile};
