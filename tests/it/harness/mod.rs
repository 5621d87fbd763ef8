//! What the integration tests share.

pub(crate) mod bridge;
pub(crate) mod database;
pub(crate) mod engine;
pub(crate) mod issuer;
pub(crate) mod pebble;
pub(crate) mod program;
pub(crate) mod python;
pub(crate) mod receiver;
pub(crate) mod scripted;
pub(crate) mod secrets;
pub(crate) mod stage;
pub(crate) mod standin;
pub(crate) mod trail;
pub(crate) mod wire;
