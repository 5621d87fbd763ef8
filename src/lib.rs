//! SCIM 2.0 provisioning bridge for OpenAI organizations.
//!
//! The modules, in reading order:
//!
//! - [`ids`], [`clock`]: typed identifiers; the one reader of time and chance.
//! - [`model`]: plain data of the domain.
//! - [`simulator`]: the stand-in for the OpenAI admin API, which knows none of the others but the clock.

pub mod clock;
pub mod ids;
pub mod model;
pub mod simulator;
