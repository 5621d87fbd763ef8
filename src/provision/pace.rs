//! How fast: pauses after failures, and the gate that closes for a whole tenant when no call can succeed.

use jiff::{SignedDuration, Timestamp};

use super::handle::Upstream;
use crate::clock::Clock;
use crate::model::operation::Lane;

/// The first pause after a failure, doubled by each further one.
const FIRST_PAUSE: SignedDuration = SignedDuration::from_millis(500);
/// The longest pause of anything that takes access away or gives rights.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(5);
/// An invite is slower: each attempt may be one more e-mail to a person.
const FIRST_INVITE_PAUSE: SignedDuration = SignedDuration::from_mins(1);
const LONGEST_INVITE_PAUSE: SignedDuration = SignedDuration::from_hours(1);
const LONGEST_READ_PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// How often a refused key is tried again.
const KEY_PROBE: SignedDuration = SignedDuration::from_mins(5);
/// So many calls in a row without a trustworthy answer close the gate for everything but removals.
const OUTAGE_AFTER: u32 = 5;
const FIRST_OUTAGE: SignedDuration = SignedDuration::from_secs(15);

/// The pause after the `attempts`-th failure in a row: full jitter, so that what failed together does not come back
/// together. There is no last attempt.
pub(super) fn backoff(clock: &Clock, lane: Lane, attempts: u32) -> SignedDuration {
    let (first, longest) = match lane {
        Lane::Invite => (FIRST_INVITE_PAUSE, LONGEST_INVITE_PAUSE),
        Lane::Read => (FIRST_PAUSE, LONGEST_READ_PAUSE),
        Lane::Revoke | Lane::Reduce | Lane::Grant => (FIRST_PAUSE, LONGEST_PAUSE),
    };
    let ceiling = doubled(first, attempts.saturating_sub(1)).min(longest);
    let [byte] = clock.random_bytes::<1>();
    // At least a sixteenth, so that chance cannot make it a busy loop.
    let share = i32::from(byte).max(16);
    ceiling.saturating_mul(share) / 256
}

fn doubled(first: SignedDuration, times: u32) -> SignedDuration {
    first.saturating_mul(1_i32.checked_shl(times.min(20)).unwrap_or(i32::MAX))
}

/// Closed while no call can succeed: the key is refused, or OpenAI gives no trustworthy answers.
#[derive(Debug, Default)]
pub(super) struct Gate {
    key_probe_at: Option<Timestamp>,
    key_alarmed: bool,
    /// A change was refused by a key that may read: only a change can show that this is over.
    changes_refused: bool,
    failures: u32,
    paused_until: Option<Timestamp>,
}

impl Gate {
    /// When a call of this lane may be made, if not now.
    pub(super) fn opens_at(&self, lane: Lane, now: Timestamp) -> Option<Timestamp> {
        let pause = self.paused_until.filter(|until| *until > now && lane != Lane::Revoke);
        self.key_probe_at.or(pause)
    }

    /// How the upstream side looks from here.
    pub(super) fn upstream(&self, now: Timestamp) -> Upstream {
        if self.key_probe_at.is_some() || self.changes_refused {
            Upstream::KeyRefused
        } else if self.paused_until.is_some_and(|until| until > now) {
            Upstream::Unreachable
        } else {
            Upstream::Ok
        }
    }

    /// When a read must show whether the key works again; `None` while nothing is wrong with it.
    pub(super) fn key_probe_at(&self) -> Option<Timestamp> {
        self.key_probe_at
    }

    /// The key was refused. Tells whether that is news, so that there is one alarm and not one per call.
    /// `changes_only` if it may be good enough for reads.
    pub(super) fn refuse_key(&mut self, now: Timestamp, changes_only: bool) -> bool {
        self.changes_refused |= changes_only;
        self.key_probe_at = Some(later(now, KEY_PROBE));
        !std::mem::replace(&mut self.key_alarmed, true)
    }

    /// A read went through with the key that was refused.
    pub(super) fn accept_key(&mut self) {
        self.key_probe_at = None;
    }

    /// The key was exchanged: it is tried at once.
    pub(super) fn try_key(&mut self, now: Timestamp) {
        (self.key_alarmed, self.changes_refused) = (false, false);
        if self.key_probe_at.is_some() {
            self.key_probe_at = Some(now);
        }
    }

    /// A call was answered. `changed_something` when it was one that the key could have been too weak for.
    pub(super) fn answered(&mut self, changed_something: bool) {
        self.failures = 0;
        self.paused_until = None;
        if changed_something {
            (self.key_alarmed, self.changes_refused) = (false, false);
        }
    }

    /// A call brought no trustworthy answer, or no connection.
    pub(super) fn failed(&mut self, now: Timestamp) {
        self.failures = self.failures.saturating_add(1);
        if let Some(over) = self.failures.checked_sub(OUTAGE_AFTER) {
            self.paused_until = Some(later(now, doubled(FIRST_OUTAGE, over).min(LONGEST_PAUSE)));
        }
    }
}

pub(super) fn later(instant: Timestamp, by: SignedDuration) -> Timestamp {
    instant.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Instants that never repeat, so that what happened after what is plain even on a clock that stands still.
#[derive(Debug)]
pub(super) struct Ticker(Timestamp);

impl Ticker {
    pub(super) fn new() -> Self {
        Self(Timestamp::MIN)
    }

    /// The present, or the instant just after the last one given out.
    pub(super) fn next(&mut self, now: Timestamp) -> Timestamp {
        let after = self.0.checked_add(SignedDuration::from_micros(1)).unwrap_or(self.0);
        // A clock that was set far back is followed; the order within a second matters, not the one across the jump.
        let is_near = after.duration_since(now) < SignedDuration::from_secs(1);
        self.0 = if is_near { now.max(after) } else { now };
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    #[test]
    fn pauses_grow_to_their_limit_and_are_never_nothing() {
        let clock = Clock::manual(at(0));
        for attempts in [1, 2, 10, 1000] {
            for lane in Lane::ALL {
                let pause = backoff(&clock, lane, attempts);
                let longest = if lane == Lane::Invite { LONGEST_INVITE_PAUSE } else { LONGEST_PAUSE };
                assert!(pause > SignedDuration::ZERO && pause <= longest, "{lane} {attempts} {pause}");
            }
        }
    }

    #[test]
    fn an_outage_stops_everything_but_removals() {
        let mut gate = Gate::default();
        for _ in 0..OUTAGE_AFTER {
            assert_eq!(gate.opens_at(Lane::Invite, at(0)), None);
            gate.failed(at(0));
        }
        assert!(gate.opens_at(Lane::Invite, at(0)).is_some());
        assert_eq!(gate.opens_at(Lane::Revoke, at(0)), None);
        gate.answered(false);
        assert_eq!(gate.opens_at(Lane::Invite, at(0)), None);
    }

    #[test]
    fn a_refused_key_stops_everything_and_is_told_once() {
        let mut gate = Gate::default();
        assert!(gate.refuse_key(at(0), false));
        assert!(!gate.refuse_key(at(1), false));
        assert!(gate.opens_at(Lane::Revoke, at(1)).is_some());
        gate.accept_key();
        assert_eq!(gate.opens_at(Lane::Revoke, at(1)), None);
        assert!(!gate.refuse_key(at(2), false));
        gate.answered(true);
        assert!(gate.refuse_key(at(3), false));
    }

    #[test]
    fn a_key_that_may_only_read_is_in_trouble_until_a_change_goes_through() {
        let mut gate = Gate::default();
        gate.refuse_key(at(0), true);
        gate.accept_key();
        gate.answered(false);
        assert_eq!((gate.upstream(at(1)), gate.opens_at(Lane::Revoke, at(1))), (Upstream::KeyRefused, None));
        gate.answered(true);
        assert_eq!(gate.upstream(at(1)), Upstream::Ok);
        gate.refuse_key(at(2), true);
        gate.try_key(at(3));
        assert_eq!(gate.key_probe_at(), Some(at(3)));
    }

    #[test]
    fn ticks_never_repeat() {
        let mut ticker = Ticker::new();
        let (a, b) = (ticker.next(at(0)), ticker.next(at(0)));
        assert!(b > a);
        assert_eq!(ticker.next(at(1)), at(1));
    }
}
