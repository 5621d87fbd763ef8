//! The protocol core on its own, and what is claimed of it for any input.

#[path = "../../../src/scim/mod.rs"]
pub mod scim;

pub mod targets;
