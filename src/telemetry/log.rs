//! Sets up the log: one subscriber, to standard error, as text for people or JSON for machines.

use std::fmt;
use std::io;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// One readable line per event.
    #[default]
    Text,
    /// One JSON object per event.
    Json,
}

impl LogFormat {
    /// The word used in settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LogFormat {
    type Err = InitError;

    fn from_str(word: &str) -> Result<Self, InitError> {
        match word {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(InitError::Format(word.to_owned())),
        }
    }
}

/// The log could not be set up as asked.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The format is none we have.
    #[error("`{0}` is not a log format; use text or json")]
    Format(String),
    /// The filter is not in the syntax of `tracing_subscriber::EnvFilter`.
    #[error("the log filter is malformed; write e.g. `info` or `info,openai_scim_bridge::openai=debug`")]
    Filter(#[source] ParseError),
    /// The process has a subscriber already.
    #[error("the log is already set up")]
    Twice(#[source] TryInitError),
}

/// Starts logging to standard error; call it once per process. `filter` is a level or a list of `target=level`.
pub fn init(format: LogFormat, filter: &str) -> Result<(), InitError> {
    let filter = parse_filter(filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(false);
    match format {
        LogFormat::Text => lines.finish().try_init(),
        LogFormat::Json => lines.json().flatten_event(true).finish().try_init(),
    }
    .map_err(InitError::Twice)
}

/// Checks a filter without starting anything, so that settings can be refused early.
pub fn check_filter(filter: &str) -> Result<(), InitError> {
    parse_filter(filter).map(drop)
}

fn parse_filter(filter: &str) -> Result<EnvFilter, InitError> {
    EnvFilter::try_new(filter).map_err(InitError::Filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_and_filters_are_checked() {
        assert_eq!("json".parse::<LogFormat>().unwrap(), LogFormat::Json);
        assert!("yaml".parse::<LogFormat>().is_err());
        assert!(check_filter("info,openai_scim_bridge=debug").is_ok());
        assert!(check_filter("info,x=loud").is_err());
    }
}
