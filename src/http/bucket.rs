//! Buckets of requests: so many at once, and so many in the long run.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::config::Rate;

/// How many callers are told apart. Beyond that the unknown ones share one bucket, so that nobody makes the memory
/// grow.
const MAX_CALLERS: usize = 10_000;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// The size of a bucket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    micros_each: i64,
    slack_micros: i64,
}

impl Pace {
    pub(super) fn new(rate: Rate) -> Self {
        Self::of(rate.burst, MICROS_PER_SECOND / i64::from(rate.per_second.max(1)))
    }

    pub(super) fn per_minute(count: u32) -> Self {
        Self::of(count, 60 * MICROS_PER_SECOND / i64::from(count.max(1)))
    }

    fn of(burst: u32, micros_each: i64) -> Self {
        Self { micros_each, slack_micros: micros_each * (i64::from(burst.max(1)) - 1) }
    }
}

/// The buckets of many callers (the generic cell rate algorithm: one time per caller, the one at which its bucket is
/// full again).
#[derive(Debug)]
pub(super) struct Buckets<K> {
    pace: Pace,
    full_at: BTreeMap<K, i64>,
    of_the_rest: i64,
}

impl<K: Ord + Clone> Buckets<K> {
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, full_at: BTreeMap::new(), of_the_rest: 0 }
    }

    /// Takes one out.
    ///
    /// # Errors
    /// The whole seconds after which there is one again.
    pub(super) fn take(&mut self, caller: &K, now: Timestamp) -> Result<(), i64> {
        let now = now.as_microsecond();
        if !self.full_at.contains_key(caller) && self.full_at.len() >= MAX_CALLERS {
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        let full_at = if self.full_at.len() < MAX_CALLERS || self.full_at.contains_key(caller) {
            self.full_at.entry(caller.clone()).or_default()
        } else {
            &mut self.of_the_rest
        };
        let wait = full_at.saturating_sub(now) - self.pace.slack_micros;
        if wait > 0 {
            return Err(wait.div_euclid(MICROS_PER_SECOND) + 1);
        }
        *full_at = (*full_at).max(now) + self.pace.micros_each;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + seconds).unwrap()
    }

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_then_as_it_fills() {
        let mut buckets = Buckets::new(Pace::new(Rate { per_second: 2, burst: 3 }));
        for _ in 0..3 {
            assert_eq!(buckets.take(&"a", at(0)), Ok(()));
        }
        assert_eq!(buckets.take(&"a", at(0)), Err(1));
        assert_eq!(buckets.take(&"b", at(0)), Ok(()), "each has its own");
        assert_eq!(buckets.take(&"a", at(1)), Ok(()));
        assert_eq!(buckets.take(&"a", at(1)), Ok(()));
        assert_eq!(buckets.take(&"a", at(1)), Err(1));
    }

    #[test]
    fn the_wait_that_is_told_is_long_enough() {
        let mut buckets = Buckets::new(Pace::per_minute(20));
        while buckets.take(&(), at(0)).is_ok() {}
        let wait = buckets.take(&(), at(0)).unwrap_err();
        assert_eq!(wait, 4, "one in three seconds");
        assert_eq!(buckets.take(&(), at(wait)), Ok(()));
    }

    #[test]
    fn strangers_beyond_number_share_one_bucket() {
        let mut buckets = Buckets::new(Pace::per_minute(2));
        for stranger in 0..MAX_CALLERS + 2 {
            assert_eq!(buckets.take(&stranger, at(0)), Ok(()));
        }
        assert!(buckets.take(&(MAX_CALLERS + 7), at(0)).is_err());
        assert_eq!(buckets.full_at.len(), MAX_CALLERS);
        assert_eq!(
            buckets.take(&(MAX_CALLERS + 7), at(120)),
            Ok(()),
            "those that are full again are forgotten"
        );
        assert!(buckets.full_at.len() < MAX_CALLERS);
    }
}
