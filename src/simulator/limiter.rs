//! The request limiter: a window per method and path template that opens with its first request.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::options::LimiterOptions;

/// The open windows.
#[derive(Debug, Default)]
pub(super) struct Limiter(BTreeMap<(String, &'static str), Window>);

#[derive(Debug)]
struct Window {
    opened: Timestamp,
    used: u32,
}

impl Limiter {
    /// Counts a request; when the window is full, tells how long it stays so.
    pub(super) fn refuse(
        &mut self,
        options: &LimiterOptions,
        now: Timestamp,
        method: &str,
        template: &'static str,
    ) -> Option<SignedDuration> {
        if !options.enabled {
            return None;
        }
        let length = SignedDuration::from_secs(options.window_seconds.into());
        let window = self.0.entry((method.to_owned(), template)).or_insert(Window { opened: now, used: 0 });
        let age = now.duration_since(window.opened);
        if age >= length || age.is_negative() {
            *window = Window { opened: now, used: 0 };
        }
        if window.used < options.requests {
            window.used += 1;
            return None;
        }
        Some(length.saturating_sub(now.duration_since(window.opened)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_empties_when_its_time_is_over() {
        let (mut limiter, options) = (Limiter::default(), LimiterOptions::default());
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let mut refuse = |seconds| {
            limiter.refuse(&options, start + SignedDuration::from_secs(seconds), "GET", "/organization/users")
        };
        for second in 0..7 {
            assert_eq!(refuse(second), None);
        }
        assert_eq!(refuse(10), Some(SignedDuration::from_secs(50)));
        assert_eq!(refuse(60), None);
    }
}
