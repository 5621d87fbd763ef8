//! What the program tells about itself: logs and metrics, and what must not appear in either.
//!
//! Secrets never come here: they are `secrecy` types, which show nothing. Addresses come here hashed, text of
//! others escaped ([`redact`]). Knows nothing of the domain; every room may use it.

mod log;
pub mod metrics;
pub mod redact;

pub use log::{InitError, LogFormat, check_filter, init};
pub use metrics::Metrics;
