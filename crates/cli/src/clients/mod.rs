//! Programs that are given tokens: what each does with them, and how it is pointed at a proxy.

pub(crate) mod backup;
pub(crate) mod diff;
pub(crate) mod edit;
mod folder;
mod instance;
pub(crate) mod point;
mod profile;
pub(crate) mod setup;
mod splice;

pub(crate) use instance::Instance;
pub(crate) use profile::{Client, Profile};
