//! What the program tells about itself: logs and metrics, and what must not appear in either.
//!
//! Secrets never come here: they are `secrecy` types, which show nothing. Addresses come here hashed, text of
//! others escaped ([`redact`]). Knows nothing of the domain; every room may use it.

mod log;
pub mod metrics;
pub mod redact;

use std::error::Error;
use std::fmt::Write;

pub use log::{InitError, LogFormat, check_filter, init};
pub use metrics::Metrics;

/// An error with everything that led to it, for one line in the log.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Writing to a String cannot fail.
        let _written = write!(line, ": {error}").is_ok();
        cause = error.source();
    }
    line
}
