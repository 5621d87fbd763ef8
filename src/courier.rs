//! Calling somebody who is to be told something: what the couriers of events and of alarms have in common.
//!
//! A receiver is called over a connection that trusts public certificates only, follows nobody elsewhere, and is
//! called again with growing pauses until it takes what it is sent.

use std::time::Duration;

use http::header::RETRY_AFTER;
use jiff::SignedDuration;
use url::Url;

use crate::clock::growing_pause;
use crate::tls;

/// How long a receiver may take to accept a connection, and to answer.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(20);
/// The first pause after a failure; each further one is twice as long, up to the last.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_secs(1);
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(300);
/// The longest that a receiver can ask to be left alone.
const LONGEST_RETRY_AFTER: i64 = 3_600;

/// A receiver cannot be called at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Http(#[source] reqwest::Error),
}

/// A client for calls to this address. Opens no connection yet.
pub fn client(url: &Url) -> Result<reqwest::Client, SetupError> {
    let tls = if url.scheme() == "https" { tls::verifying() } else { tls::trusting_nobody() };
    let client = tls::client(tls.map_err(SetupError::Tls)?).connect_timeout(CONNECT).timeout(ANSWER);
    client.build().map_err(SetupError::Http)
}

/// How long the receiver asks to be left alone, in seconds (RFC 9110 §10.2.3).
pub fn retry_after(response: &reqwest::Response) -> Option<SignedDuration> {
    let value = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    let seconds = value.trim().parse::<i64>().ok()?;
    Some(SignedDuration::from_secs(seconds.clamp(0, LONGEST_RETRY_AFTER)))
}

/// The pause after so many failures in a row.
pub fn pause(failures: u32) -> SignedDuration {
    growing_pause(FIRST_PAUSE, LONGEST_PAUSE, failures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let seconds: Vec<_> = [1, 2, 3, 9, 10, 1_000, u32::MAX].map(|n| pause(n).as_secs()).into();
        assert_eq!(seconds, [1, 2, 4, 256, 300, 300, 300]);
    }
}
