//! What is particular to one agent: how it is pointed at a proxy.

mod folder;
pub(crate) mod point;
mod splice;
