//! The clock, and with it every source of chance: the one place that reads the time or draws random bytes.
//!
//! A manual clock moves only when told to and draws from a seeded generator, so that a test needs no sleeping and
//! one seed tells the whole story.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rand::rngs::{StdRng, SysRng};
use rand::{Rng, SeedableRng, TryRng};
use tokio::sync::watch;
use uuid::Uuid;

/// Tells the time, waits for it, and draws random bytes. Clones share one clock.
#[derive(Clone)]
pub struct Clock(Arc<Source>);

enum Source {
    System,
    Manual { now: watch::Sender<Timestamp>, chance: Mutex<Box<StdRng>> },
}

impl Clock {
    /// The machine's clock and its secure random source.
    pub fn system() -> Self {
        Self(Arc::new(Source::System))
    }

    /// A clock that stands at `start` until it is moved, with randomness seeded by 0.
    pub fn manual(start: Timestamp) -> Self {
        Self::seeded(start, 0)
    }

    /// A manual clock with its own seed.
    pub fn seeded(start: Timestamp, seed: u64) -> Self {
        let chance = Mutex::new(Box::new(StdRng::seed_from_u64(seed)));
        Self(Arc::new(Source::Manual { now: watch::Sender::new(start), chance }))
    }

    /// The same time with randomness of its own, so that what one part of the program draws does not depend on what
    /// others draw at that instant. With the machine's clock, the very same.
    #[must_use]
    pub fn split(&self) -> Self {
        match &*self.0 {
            Source::System => self.clone(),
            Source::Manual { now, .. } => {
                let seed = u64::from_le_bytes(self.random_bytes());
                let chance = Mutex::new(Box::new(StdRng::seed_from_u64(seed)));
                Self(Arc::new(Source::Manual { now: now.clone(), chance }))
            }
        }
    }

    /// The present instant, cut to whole microseconds because that is what the store keeps.
    pub fn now(&self) -> Timestamp {
        match &*self.0 {
            Source::System => {
                #[expect(clippy::disallowed_methods, reason = "this is the one reader of the time")]
                let now = Timestamp::now();
                Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
            }
            Source::Manual { now, .. } => *now.borrow(),
        }
    }

    /// Waits until the clock shows `instant` or later.
    pub async fn sleep_until(&self, instant: Timestamp) {
        match &*self.0 {
            Source::System => {
                let left = Duration::try_from(instant.duration_since(self.now())).unwrap_or_default();
                tokio::time::sleep(left).await;
            }
            Source::Manual { now, .. } => {
                // The sender lives as long as this clock, so waiting cannot fail.
                let _seen = now.subscribe().wait_for(|now| *now >= instant).await.is_ok();
            }
        }
    }

    /// Moves a manual clock forward; the machine's clock stays as it is.
    pub fn advance(&self, by: SignedDuration) {
        if let Source::Manual { now, .. } = &*self.0 {
            now.send_modify(|now| *now = now.checked_add(by).unwrap_or(*now));
        }
    }

    /// Moves a manual clock to `instant`; a step back is allowed, for tests of clocks that jump.
    pub fn set(&self, instant: Timestamp) {
        if let Source::Manual { now, .. } = &*self.0 {
            now.send_replace(instant);
        }
    }

    /// How many wait for a manual clock to be moved.
    pub fn sleepers(&self) -> usize {
        match &*self.0 {
            Source::System => 0,
            Source::Manual { now, .. } => now.receiver_count(),
        }
    }

    /// Fills an array with random bytes, from the operating system unless the clock is manual.
    pub fn random_bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match &*self.0 {
            Source::System => {
                // Without the system's random source no token and no id is safe to make: stop here.
                #[expect(clippy::expect_used, reason = "going on without randomness would be worse")]
                SysRng.try_fill_bytes(&mut bytes).expect("the operating system gives random bytes");
            }
            Source::Manual { chance, .. } => {
                chance.lock().unwrap_or_else(PoisonError::into_inner).fill_bytes(&mut bytes);
            }
        }
        bytes
    }

    /// A UUIDv7 of the present instant (RFC 9562 §5.7).
    pub fn uuid(&self) -> Uuid {
        let millis = u64::try_from(self.now().as_millisecond()).unwrap_or_default();
        uuid::Builder::from_unix_timestamp_millis(millis, &self.random_bytes()).into_uuid()
    }
}

/// The pause after so many failures in a row: the first one after one, and twice as long after each further one.
pub fn growing_pause(first: SignedDuration, longest: SignedDuration, failures: u32) -> SignedDuration {
    let factor = 1_i32.checked_shl(failures.saturating_sub(1).min(16)).unwrap_or(i32::MAX);
    first.checked_mul(factor).unwrap_or(longest).min(longest)
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_wakes_who_waits_for_it() {
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep_until("2026-01-01T00:01:00Z".parse().unwrap()).await;
                clock.now()
            }
        });
        clock.advance(SignedDuration::from_secs(60));
        assert_eq!(sleeper.await.unwrap().to_string(), "2026-01-01T00:01:00Z");
    }

    #[test]
    fn one_seed_gives_one_sequence_of_ids() {
        let start = "2026-01-01T00:00:00Z".parse().unwrap();
        let (a, b, c) = (Clock::seeded(start, 7), Clock::seeded(start, 7), Clock::seeded(start, 8));
        assert_eq!(a.uuid(), b.uuid());
        assert_ne!(a.uuid(), c.uuid());
    }
}
