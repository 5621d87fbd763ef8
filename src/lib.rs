//! SCIM 2.0 provisioning bridge for OpenAI organizations.
//!
//! The modules, in reading order:
//!
//! - [`ids`], [`clock`]: typed identifiers; the one reader of time and chance.
//! - [`model`]: plain data of the domain.
//! - [`scim`]: the SCIM protocol core: schemas, validation, filters, PATCH.

pub mod clock;
pub mod ids;
pub mod model;
pub mod scim;
