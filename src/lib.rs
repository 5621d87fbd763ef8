//! SCIM 2.0 provisioning bridge for OpenAI organizations.
//!
//! The modules, in reading order:
//!
//! - [`ids`], [`clock`]: typed identifiers; the one reader of time and chance.
//! - [`telemetry`]: logs and metrics, and what must not appear in them.
//! - [`model`]: plain data of the domain.
//! - [`config`]: the settings and where each came from.
//! - [`openai`]: a typed client of the OpenAI administration API.
//! - [`store`]: durable state on SQLite or PostgreSQL.
//! - [`provision`]: the engine.
//! - [`simulator`]: the stand-in for the OpenAI admin API, which knows none of the others but the clock.
//! - [`scim`]: the SCIM protocol core: schemas, validation, filters, PATCH.

pub mod clock;
pub mod config;
pub mod ids;
pub mod model;
pub mod openai;
pub mod provision;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod scim;
