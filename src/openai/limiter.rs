//! The call budget of each endpoint: how many calls may start in any one minute, learnt from refusals.
//!
//! OpenAI publishes no numbers; observed is a budget per method and path of about 7 to 10 calls a minute. A log of
//! the last minute's starts lets through exactly that many in **any** minute, whether the other side counts in fixed
//! or in sliding windows, and still allows all of them at once after a quiet minute.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::openai::endpoint::Endpoint;

/// A minute, and a second more because calls do not all travel equally long.
const WINDOW: SignedDuration = SignedDuration::from_secs(61);
/// The budget to begin with when the settings set no cap.
const UNCAPPED: u32 = 600;
/// One call more per minute is tried after this long without a refusal.
const RAISE_AFTER: SignedDuration = SignedDuration::from_mins(2);
/// The shortest pause after a refusal, and the longest, whatever the refusal asks for.
const MIN_PAUSE: SignedDuration = SignedDuration::from_secs(1);
const MAX_PAUSE: SignedDuration = SignedDuration::from_mins(15);
/// The pause after a refusal that names none: doubled by each further refusal up to the minute of the budget.
const DEFAULT_PAUSE: SignedDuration = SignedDuration::from_secs(5);
const MAX_DEFAULT_PAUSE: SignedDuration = SignedDuration::from_mins(1);

/// The budgets of all endpoints under one key. Clones share them.
#[derive(Debug, Clone)]
pub struct Limiter {
    cap: u32,
    budgets: Arc<Mutex<BTreeMap<Endpoint, Budget>>>,
}

/// What the calls of one endpoint have taught about its budget, to be kept over a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Learnt {
    /// Calls allowed in any minute.
    pub allowed: u32,
    /// When that last changed.
    pub changed_at: Timestamp,
    /// A refusal's pause, if it is not over.
    pub paused_until: Option<Timestamp>,
    /// Calls that started within the last minute.
    pub used: u32,
}

#[derive(Debug, Clone)]
struct Budget {
    /// Calls allowed in any window.
    allowed: u32,
    /// When the calls of the last window started, oldest first.
    starts: VecDeque<Timestamp>,
    /// A refusal's pause.
    paused_until: Option<Timestamp>,
    /// Refusals since the last call that was let through.
    refusals: u32,
    /// When `allowed` last changed.
    changed_at: Timestamp,
    /// Whether there was ever a call.
    was_called: bool,
}

impl Limiter {
    /// Budgets that begin at `cap` calls per minute and endpoint and never exceed it; without a cap they begin high
    /// and come down with the first refusals.
    pub fn new(cap: Option<u32>) -> Self {
        Self { cap: cap.unwrap_or(UNCAPPED).max(1), budgets: Arc::default() }
    }

    /// The earliest instant at which a call may start.
    pub fn ready_at(&self, endpoint: Endpoint, now: Timestamp) -> Timestamp {
        self.with(endpoint, now, |budget| budget.ready_at(now))
    }

    /// Takes one call from the budget, if there is one at this instant.
    pub fn take(&self, endpoint: Endpoint, now: Timestamp) -> bool {
        self.with(endpoint, now, |budget| {
            let ready = budget.ready_at(now) <= now;
            if ready {
                budget.starts.push_back(now);
                budget.was_called = true;
            }
            ready
        })
    }

    /// How many calls may start at this instant.
    pub fn left(&self, endpoint: Endpoint, now: Timestamp) -> f64 {
        self.with(endpoint, now, |budget| {
            let left =
                if budget.paused_until.is_some() { 0 } else { budget.allowed.saturating_sub(budget.used()) };
            f64::from(left)
        })
    }

    /// Learns from a 429: pauses for as long as it asks (`pause`), allows less, and returns when to come back.
    pub fn on_rate_limited(
        &self,
        endpoint: Endpoint,
        now: Timestamp,
        pause: Option<SignedDuration>,
    ) -> Timestamp {
        self.with(endpoint, now, |budget| {
            // Calls that were on their way when the first one was refused are the same news.
            if budget.paused_until.is_none() {
                let passed = budget.used().saturating_sub(1);
                let lowered =
                    passed.min(budget.allowed.saturating_sub(1)).max(budget.allowed.div_ceil(2)).max(1);
                budget.allowed = lowered;
                budget.changed_at = now;
                budget.refusals = budget.refusals.saturating_add(1);
            }
            let pause = pause.unwrap_or_else(|| default_pause(budget.refusals)).clamp(MIN_PAUSE, MAX_PAUSE);
            if !planted!(PauseIgnored) {
                budget.paused_until = budget.paused_until.max(Some(later(now, pause)));
            }
            budget.ready_at(now)
        })
    }

    /// Learns from any answer that is not a 429: the pauses begin small again.
    pub fn on_let_through(&self, endpoint: Endpoint, now: Timestamp) {
        self.with(endpoint, now, |budget| budget.refusals = 0);
    }

    /// How many calls may start within a minute, as far as was learnt.
    pub fn allowed(&self, endpoint: Endpoint, now: Timestamp) -> u32 {
        self.with(endpoint, now, |budget| budget.allowed)
    }

    /// When the last of so many calls can start, if they begin now and nothing else is called or learnt.
    pub fn last_start(&self, endpoint: Endpoint, calls: u64, now: Timestamp) -> Timestamp {
        let mut budget = self.with(endpoint, now, |budget| budget.clone());
        let (mut at, allowed) = (now, budget.allowed);
        for _ in 0..calls {
            at = budget.ready_at(at);
            budget.bring_to(at, allowed);
            budget.starts.push_back(at);
        }
        at
    }

    /// What was learnt of the endpoints that were called.
    pub fn learnt(&self, now: Timestamp) -> BTreeMap<Endpoint, Learnt> {
        let called: Vec<Endpoint> = self
            .lock()
            .iter()
            .filter(|(_, budget)| budget.was_called)
            .map(|(endpoint, _)| *endpoint)
            .collect();
        let learnt = called.into_iter().map(|endpoint| {
            let learnt = self.with(endpoint, now, |budget| Learnt {
                allowed: budget.allowed,
                changed_at: budget.changed_at,
                paused_until: budget.paused_until,
                used: budget.used(),
            });
            (endpoint, learnt)
        });
        learnt.collect()
    }

    /// Takes up what was learnt of an endpoint before, as it was at `at`.
    pub fn recall(&self, endpoint: Endpoint, learnt: Learnt, at: Timestamp) {
        let allowed = learnt.allowed.clamp(1, self.cap);
        let used = usize::try_from(learnt.used.min(self.cap)).unwrap_or_default();
        let budget = Budget {
            allowed,
            starts: std::iter::repeat_n(at, used).collect(),
            paused_until: learnt.paused_until,
            refusals: 0,
            changed_at: learnt.changed_at,
            was_called: true,
        };
        self.lock().insert(endpoint, budget);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Endpoint, Budget>> {
        self.budgets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, endpoint: Endpoint, now: Timestamp, act: impl FnOnce(&mut Budget) -> T) -> T {
        let mut budgets = self.lock();
        let budget = budgets.entry(endpoint).or_insert_with(|| Budget::new(self.cap, now));
        budget.bring_to(now, self.cap);
        act(budget)
    }
}

impl Budget {
    fn new(allowed: u32, now: Timestamp) -> Self {
        Self {
            allowed,
            starts: VecDeque::new(),
            paused_until: None,
            refusals: 0,
            changed_at: now,
            was_called: false,
        }
    }

    /// Forgets what is over, and allows one more when that is due. A clock that was set back must not stretch a
    /// pause, so nothing on record may lie in the future further than it could have been put there.
    fn bring_to(&mut self, now: Timestamp, cap: u32) {
        for start in &mut self.starts {
            *start = (*start).min(now);
        }
        while self.starts.front().is_some_and(|start| later(*start, WINDOW) <= now) {
            self.starts.pop_front();
        }
        self.paused_until =
            self.paused_until.map(|until| until.min(later(now, MAX_PAUSE))).filter(|until| *until > now);
        self.changed_at = self.changed_at.min(now);
        if self.allowed < cap && self.paused_until.is_none() && later(self.changed_at, RAISE_AFTER) <= now {
            self.allowed = self.allowed.saturating_add(1);
            self.changed_at = now;
        }
    }

    fn used(&self) -> u32 {
        u32::try_from(self.starts.len()).unwrap_or(u32::MAX)
    }

    fn ready_at(&self, now: Timestamp) -> Timestamp {
        // The start that must leave the window before the next call fits in.
        let over = self.used().checked_sub(self.allowed).and_then(|over| usize::try_from(over).ok());
        let fits_at = over.and_then(|over| self.starts.get(over)).map_or(now, |start| later(*start, WINDOW));
        fits_at.max(now).max(self.paused_until.unwrap_or(now))
    }
}

fn default_pause(refusals: u32) -> SignedDuration {
    let doubled = 1_i32.checked_shl(refusals.saturating_sub(1).min(8)).unwrap_or(1);
    DEFAULT_PAUSE.saturating_mul(doubled).min(MAX_DEFAULT_PAUSE)
}

fn later(instant: Timestamp, by: SignedDuration) -> Timestamp {
    instant.checked_add(by).unwrap_or(instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    const E: Endpoint = Endpoint::CreateInvite;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// Takes as often as the budget allows at this instant.
    fn drain(limiter: &Limiter, now: Timestamp) -> usize {
        (0..1000).take_while(|_| limiter.take(E, now)).count()
    }

    #[test]
    fn a_quiet_minute_allows_the_whole_budget_at_once_and_no_more() {
        let limiter = Limiter::new(Some(7));
        assert!((limiter.left(E, at(0)) - 7.0).abs() < f64::EPSILON);
        assert_eq!(drain(&limiter, at(0)), 7);
        assert_eq!(limiter.ready_at(E, at(0)), at(61));
        assert_eq!(drain(&limiter, at(60)), 0);
        assert_eq!(drain(&limiter, at(61)), 7);
    }

    #[test]
    fn no_minute_sees_more_than_the_budget() {
        let limiter = Limiter::new(Some(7));
        let starts: Vec<i64> = (0..600).step_by(3).filter(|s| limiter.take(E, at(*s))).collect();
        for start in &starts {
            let in_minute = starts.iter().filter(|s| (*start..start + 60).contains(*s)).count();
            assert!(in_minute <= 7, "{in_minute} calls from {start}");
        }
        assert!(starts.len() >= 60, "{} calls in ten minutes", starts.len());
    }

    #[test]
    fn endpoints_do_not_share_a_budget() {
        let limiter = Limiter::new(Some(1));
        assert!(limiter.take(E, at(0)));
        assert!(!limiter.take(E, at(0)));
        assert!(limiter.take(Endpoint::DeleteUser, at(0)));
    }

    #[test]
    fn a_refusal_teaches_what_passed_in_the_last_minute() {
        let limiter = Limiter::new(Some(10));
        for _ in 0..8 {
            assert!(limiter.take(E, at(0)));
        }
        let until = limiter.on_rate_limited(E, at(0), Some(SignedDuration::from_secs(7)));
        assert_eq!(until, at(61), "seven calls of this minute count, so the pause asked for is not the end");
        assert_eq!(drain(&limiter, at(61)), 7);
    }

    #[test]
    fn one_refusal_halves_at_most_and_quiet_raises_again() {
        let limiter = Limiter::new(Some(8));
        assert!(limiter.take(E, at(0)));
        limiter.on_rate_limited(E, at(0), None);
        assert_eq!(drain(&limiter, at(70)), 4);
        limiter.on_let_through(E, at(70));
        assert_eq!(drain(&limiter, at(140)), 5);
        assert_eq!(drain(&limiter, at(3600)), 6);
    }

    #[test]
    fn refusals_that_name_no_pause_wait_longer_each_time() {
        let limiter = Limiter::new(None);
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            assert!(limiter.take(E, now));
            let until = limiter.on_rate_limited(E, now, None);
            pauses.push(until.duration_since(now).as_secs());
            now = until;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn the_pause_asked_for_is_kept_within_bounds() {
        for (asked, kept) in [(0, 1), (30, 30), (90_000, 900)] {
            let limiter = Limiter::new(None);
            assert_eq!(limiter.on_rate_limited(E, at(0), Some(SignedDuration::from_secs(asked))), at(kept));
        }
    }

    #[test]
    fn refusals_of_calls_already_on_their_way_count_once() {
        let limiter = Limiter::new(Some(8));
        for _ in 0..4 {
            assert!(limiter.take(E, at(0)));
        }
        for _ in 0..4 {
            limiter.on_rate_limited(E, at(0), Some(SignedDuration::from_secs(2)));
        }
        assert_eq!(drain(&limiter, at(61)), 4);
    }

    #[test]
    fn what_was_learnt_outlives_the_limiter() {
        let before = Limiter::new(Some(10));
        for _ in 0..4 {
            assert!(before.take(E, at(0)));
        }
        before.on_rate_limited(E, at(0), Some(SignedDuration::from_secs(90)));
        assert_eq!(before.allowed(Endpoint::DeleteUser, at(0)), 10, "asked about, and not called");
        let learnt = before.learnt(at(1));
        assert_eq!(learnt.keys().collect::<Vec<_>>(), [&E]);
        let after = Limiter::new(Some(10));
        after.recall(E, learnt[&E], at(1));
        assert_eq!((after.allowed(E, at(2)), after.ready_at(E, at(2))), (5, at(90)));
        assert_eq!(drain(&after, at(90)), 5);
        // The calls of the minute before the restart count, and the settings may have lowered the cap.
        let lowered = Limiter::new(Some(3));
        lowered.recall(E, Learnt { paused_until: None, ..learnt[&E] }, at(1));
        assert_eq!((lowered.allowed(E, at(2)), drain(&lowered, at(2)), drain(&lowered, at(62))), (3, 0, 3));
    }

    #[test]
    fn the_last_of_many_calls_starts_when_the_budget_lets_it() {
        let limiter = Limiter::new(Some(7));
        let last = |calls| limiter.last_start(E, calls, at(0)).duration_since(at(0)).as_secs();
        assert_eq!([last(0), last(7), last(8), last(5_000)], [0, 0, 61, 714 * 61]);
        limiter.on_rate_limited(E, at(0), Some(SignedDuration::from_secs(300)));
        assert_eq!(limiter.last_start(E, 5, at(0)), at(361), "of four a minute, when the pause is over");
        assert_eq!(limiter.allowed(E, at(0)), 4, "asking changes nothing");
    }

    #[test]
    fn a_clock_set_back_stretches_no_pause() {
        let limiter = Limiter::new(Some(2));
        assert_eq!(drain(&limiter, at(6000)), 2);
        assert!(limiter.ready_at(E, at(0)) <= at(61));
        limiter.on_rate_limited(E, at(6000), Some(SignedDuration::from_mins(15)));
        assert!(limiter.ready_at(E, at(0)) <= at(900));
    }
}
