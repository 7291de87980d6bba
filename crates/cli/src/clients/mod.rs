//! Programs that are given tokens: what each does with them.

mod instance;
mod profile;

pub(crate) use instance::Instance;
pub(crate) use profile::{Client, Profile};
