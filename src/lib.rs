//! SCIM 2.0 provisioning bridge for OpenAI organizations.
//!
//! The modules, in reading order:
//!
//! - [`ids`], [`clock`]: typed identifiers; the one reader of time and chance.
//! - [`telemetry`]: logs and metrics, and what must not appear in them.
//! - [`config`]: the settings and where each came from.
//! - [`model`]: plain data of the domain.
//! - [`scim`]: the SCIM protocol core.
//! - [`store`]: durable state on SQLite or PostgreSQL.
//! - [`openai`]: a typed client of the OpenAI administration API.
//! - [`provision`]: the engine.
//! - [`directory`]: what an identity provider may do.
//! - [`http`]: the listener and the SCIM endpoints.
//! - [`app`]: the composition root.
//! - [`cli`]: the command line.
//! - [`simulator`]: the stand-in for the OpenAI admin API, which knows none of the others but the clock.

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod directory;
pub mod http;
pub mod ids;
pub mod model;
pub mod openai;
pub mod provision;
pub mod scim;
pub mod simulator;
pub mod store;
pub mod telemetry;
