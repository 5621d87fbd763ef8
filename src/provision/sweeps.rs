//! Which whole readings are due, and how fast they go.
//!
//! A reading that somebody waits for takes its pages as fast as the budget gives them. A periodic one, which looks
//! for drift and for invites that were accepted, takes the next page only after three times the share that a page has
//! in the budget left, so that it never uses more than a third of an endpoint's budget.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::desired::{managed_groups, managed_projects};
use super::observe::{Judge, Reading};
use super::pace::later;
use super::plan::Facts;
use crate::model::observed::Collection;
use crate::model::operation::Lane;
use crate::model::policy::Policy;

/// Three times the window in which OpenAI counts calls.
const PERIODIC_SHARE: SignedDuration = SignedDuration::from_secs(3 * 61);
/// How soon a reading that could not be believed is repeated.
pub(super) const REPEAT_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// A page that could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NextPage {
    pub(super) collection: Collection,
    /// The lane and the instant of whoever waits for it longest.
    pub(super) lane: Lane,
    pub(super) since: Timestamp,
    /// Not before then.
    pub(super) from: Timestamp,
}

/// The collections that are read from time to time: where people stand, and what access can be given to.
pub(super) fn periodic(policy: &Policy, facts: &Facts) -> BTreeSet<Collection> {
    let inventory = &facts.inventory;
    let whole = [Collection::Members, Collection::Invites, Collection::Projects, Collection::Roles];
    let groups = Some(Collection::Groups).filter(|_| policy.uses_openai_groups());
    // Also where no rule but only somebody's own attributes give a project, others may take it away.
    let granted = facts.granted_projects.iter().filter(|project| inventory.may_have(project)).cloned();
    let projects = managed_projects(policy, inventory).into_iter().chain(granted);
    let in_projects = projects.map(Collection::ProjectMembers);
    let in_groups = managed_groups(policy, inventory).into_iter().map(Collection::GroupMembers);
    whole.into_iter().chain(groups).chain(in_projects).chain(in_groups).collect()
}

/// The readings of a tenant.
#[derive(Debug, Default)]
pub(super) struct Sweeps {
    open: BTreeMap<Collection, Reading>,
    judges: BTreeMap<Collection, Judge>,
    /// Readings not to be tried before, and how often in a row they have failed.
    not_before: BTreeMap<Collection, (Timestamp, u32)>,
    /// Readings under way that have more than one page.
    long: BTreeSet<Collection>,
    /// Asked for by name.
    asked: BTreeSet<Collection>,
}

impl Sweeps {
    /// Asks for a reading of these soon.
    pub(super) fn ask(&mut self, collections: impl IntoIterator<Item = Collection>) {
        self.asked.extend(collections);
    }

    /// The pages that could be read next. `waiting` says who waits for what; `calls_left` what a budget has left.
    pub(super) fn next_pages(
        &self,
        facts: &Facts,
        interval: SignedDuration,
        periodic: &BTreeSet<Collection>,
        waiting: &BTreeMap<Collection, (Lane, Timestamp)>,
        calls_left: impl Fn(&Collection) -> f64,
    ) -> Vec<NextPage> {
        let mut pages = Vec::new();
        for collection in periodic.iter().chain(waiting.keys()).chain(&self.asked).collect::<BTreeSet<_>>() {
            let waits = waiting.get(collection).copied();
            let is_urgent = waits.is_some() || self.asked.contains(collection);
            let reading = self.open.get(collection);
            let from = match (reading, facts.sweeps.get(collection)) {
                _ if is_urgent => Timestamp::MIN,
                (Some(reading), _) => later(reading.last_page_at, periodic_pause(calls_left(collection))),
                (None, Some(last)) => {
                    let length = last.finished_at.duration_since(last.started_at);
                    later(last.started_at, interval.max(length.saturating_mul(cycle(collection))))
                }
                (None, None) => Timestamp::MIN,
            };
            let not_before = self.not_before.get(collection).map_or(Timestamp::MIN, |(at, _)| *at);
            let (lane, since) = waits.unwrap_or((Lane::Read, from));
            pages.push(NextPage { collection: collection.clone(), lane, since, from: from.max(not_before) });
        }
        pages
    }

    /// Whether the reading of this collection that is under way has more than one page.
    pub(super) fn is_long(&self, collection: &Collection) -> bool {
        self.long.contains(collection)
    }

    /// Whether the last attempt to read this collection failed.
    pub(super) fn is_failing(&self, collection: &Collection) -> bool {
        self.not_before.contains_key(collection)
    }

    /// Takes the open reading, or begins one.
    pub(super) fn take(&mut self, collection: &Collection, now: Timestamp) -> Reading {
        if let Some(reading) = self.open.remove(collection) {
            return reading;
        }
        self.asked.remove(collection);
        self.long.remove(collection);
        self.judge(collection).note_start();
        Reading::new(collection.clone(), now)
    }

    /// Gives back a reading that is not at its end.
    pub(super) fn put_back(&mut self, reading: Reading) {
        if reading.pages > 0 {
            self.long.insert(reading.collection.clone());
        }
        self.open.insert(reading.collection.clone(), reading);
    }

    /// The judge of a collection's readings.
    pub(super) fn judge(&mut self, collection: &Collection) -> &mut Judge {
        self.judges.entry(collection.clone()).or_default()
    }

    /// A reading of this collection was believed.
    pub(super) fn succeeded(&mut self, collection: &Collection) {
        self.not_before.remove(collection);
    }

    /// A reading, or a page of it, failed. `pause` gives the pause after so many failures in a row.
    pub(super) fn failed(
        &mut self,
        collection: &Collection,
        now: Timestamp,
        pause: impl FnOnce(u32) -> SignedDuration,
    ) {
        let failures = self.not_before.get(collection).map_or(0, |(_, failures)| *failures).saturating_add(1);
        self.not_before.insert(collection.clone(), (later(now, pause(failures)), failures));
    }
}

/// How many times as long as a long reading it takes until the next one begins. Whoever accepted an invite is among the
/// members as well, and OpenAI lists invites for ever, so these can wait longer than the others.
fn cycle(collection: &Collection) -> i32 {
    if *collection == Collection::Invites { 6 } else { 3 }
}

/// How long a reading that nobody waits for rests between two pages.
pub(super) fn periodic_pause(calls_left: f64) -> SignedDuration {
    // Fewer calls left means a slower pace, down to one page in three windows.
    let share = PERIODIC_SHARE.as_secs_f64() / calls_left.max(1.0);
    SignedDuration::try_from_secs_f64(share).unwrap_or(PERIODIC_SHARE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::observed::Sweep;

    const INTERVAL: SignedDuration = SignedDuration::from_mins(5);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn from(sweeps: &Sweeps, facts: &Facts, waits: bool) -> Timestamp {
        let waiting = waits.then(|| (Collection::Members, (Lane::Revoke, at(0)))).into_iter().collect();
        let pages = sweeps.next_pages(facts, INTERVAL, &[Collection::Members].into(), &waiting, |_| 6.0);
        assert_eq!(pages.len(), 1);
        pages[0].from
    }

    fn swept(started: i64, finished: i64) -> Facts {
        let sweep = Sweep { started_at: at(started), finished_at: at(finished), count: 9 };
        Facts { sweeps: [(Collection::Members, sweep)].into(), ..Facts::default() }
    }

    #[test]
    fn a_first_reading_is_due_at_once_and_then_by_the_interval() {
        let sweeps = Sweeps::default();
        assert_eq!(from(&sweeps, &Facts::default(), false), Timestamp::MIN);
        assert_eq!(from(&sweeps, &swept(0, 1), false), at(300));
        assert_eq!(from(&sweeps, &swept(0, 1), true), Timestamp::MIN);
    }

    #[test]
    fn a_long_reading_is_followed_by_a_long_rest() {
        assert_eq!(from(&Sweeps::default(), &swept(0, 600), false), at(1800));
    }

    #[test]
    fn a_long_reading_of_the_invites_is_followed_by_a_longer_rest() {
        let sweep = Sweep { started_at: at(0), finished_at: at(600), count: 900 };
        let facts = Facts { sweeps: [(Collection::Invites, sweep)].into(), ..Facts::default() };
        let periodic = [Collection::Invites].into();
        let pages = Sweeps::default().next_pages(&facts, INTERVAL, &periodic, &BTreeMap::new(), |_| 6.0);
        assert_eq!(pages[0].from, at(3600));
    }

    #[test]
    fn a_periodic_reading_takes_a_third_of_the_budget() {
        let mut sweeps = Sweeps::default();
        let reading = sweeps.take(&Collection::Members, at(0));
        sweeps.put_back(reading);
        // 6 calls a window of 61 s: every 10 s one; a third of that is one in about 30 s.
        assert_eq!(from(&sweeps, &swept(0, 1), false), later(at(0), SignedDuration::from_millis(30_500)));
        assert_eq!(from(&sweeps, &swept(0, 1), true), Timestamp::MIN);
    }
}
