//! SCIM 2.0 provisioning bridge for OpenAI organizations.
//!
//! The modules, in reading order:
//!
//! - [`ids`], [`clock`]: typed identifiers; the one reader of time and chance. [`roster`]: what is known of each
//!   tenant.
//! - [`seal`]: secrets that are kept in the database, encrypted.
//! - [`telemetry`]: logs and metrics, and what must not appear in them; [`tls`]: whom clients of ours trust, and HTTPS
//!   of our own.
//! - [`model`]: plain data of the domain.
//! - [`config`]: the settings and where each came from.
//! - [`scim`]: the SCIM protocol core: schemas, validation, filters, PATCH.
//! - [`store`]: durable state on SQLite or PostgreSQL.
//! - [`openai`]: a typed client of the OpenAI administration API.
//! - [`events`]: feeds of signed security events, told by poll and by push.
//! - [`alarms`]: telling whoever is to be called; [`courier`]: what it has in common with the push of events.
//! - [`provision`]: the engine, which drives the organization to what the directory wishes.
//! - [`access`]: who may come in, and for what.
//! - [`directory`]: what an identity provider may do; each operation is one transaction.
//! - [`http`]: the listener, the door, and the SCIM endpoints.
//! - [`simulator`]: the stand-in for the OpenAI admin API, which knows none of the others but the clock.
//! - [`planted`]: bugs for the tests of the tests; nothing in a release build.
//! - [`app`]: the composition root.
//! - [`cli`]: the command line.

#[macro_use]
pub mod planted;

pub mod access;
pub mod alarms;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod courier;
pub mod directory;
pub mod events;
pub mod files;
pub mod http;
pub mod ids;
pub mod model;
pub mod openai;
pub mod provision;
pub mod roster;
pub mod scim;
pub mod seal;
pub mod simulator;
pub mod store;
pub mod telemetry;
pub mod tls;
