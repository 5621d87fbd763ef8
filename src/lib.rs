//! SCIM 2.0 provisioning bridge for OpenAI organizations.
//!
//! The modules, in reading order:
//!
//! - [`ids`], [`clock`]: typed identifiers; the one reader of time and chance.
//! - [`model`]: plain data of the domain.
//! - [`store`]: durable state on SQLite or PostgreSQL.
//! - [`provision`]: the engine.

pub mod clock;
pub mod ids;
pub mod model;
pub mod provision;
pub mod store;
