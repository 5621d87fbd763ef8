//! The agenda: the people whose turn it is, what each needs next, and who is served first.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use jiff::Timestamp;

use super::execute::{self, Order};
use super::observe;
use super::plan::{Planned, Read, Step};
use crate::ids::PersonId;
use crate::model::grant::Assignment;
use crate::model::observed::Collection;
use crate::model::operation::{Action, Lane};
use crate::openai::Endpoint;
use crate::store::Mark;

/// One person on the agenda.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Since when they wait.
    pub(super) since: Timestamp,
    /// What they need; `None` when that must be worked out (anew).
    pub(super) turn: Option<Turn>,
}

/// What a person needs next.
#[derive(Debug, Clone)]
pub(super) struct Turn {
    pub(super) lane: Lane,
    pub(super) need: Need,
    pub(super) mark: Mark,
    pub(super) attempts: u32,
}

/// The next thing that a plan waits for.
#[derive(Debug, Clone)]
pub(super) enum Need {
    /// This call.
    Call(Order),
    /// This one thing looked up.
    Look(Read),
    /// Readings of these whole collections.
    Sweeps(BTreeSet<Collection>),
}

/// The next need of a plan; `None` when nothing in it can be done now.
pub(super) fn next_need(plan: &[Planned], version: i64) -> Option<(Lane, Need)> {
    let mut acts = plan.iter().filter(|planned| matches!(planned.step, Step::Call(_) | Step::Read(_)));
    let first = acts.next()?;
    let need = match &first.step {
        Step::Call(action) => Need::Call(Order {
            person: first.person,
            version,
            action: action.clone(),
            lane: first.lane,
            reason: first.reason.clone(),
        }),
        Step::Read(Read::Sweep(collection)) => {
            let more = acts.map_while(|planned| match &planned.step {
                Step::Read(Read::Sweep(collection)) => Some(collection.clone()),
                _ => None,
            });
            Need::Sweeps(std::iter::once(collection.clone()).chain(more).collect())
        }
        Step::Read(read) => Need::Look(read.clone()),
        _ => return None,
    };
    Some((first.lane, need))
}

/// Since when somebody waits, and who.
pub(super) type Place = (Timestamp, PersonId);

/// The people on the agenda, filed so that a question about those who wait is not one about everybody.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: BTreeMap<PersonId, Entry>,
    /// Whose needs must be worked out.
    stale: BTreeSet<PersonId>,
    /// Who waits for a call, first served first.
    queues: BTreeMap<(Lane, Endpoint), BTreeSet<Place>>,
    /// Who waits for the reading of a whole collection, first served first.
    readings: BTreeMap<Collection, BTreeSet<(Lane, Place)>>,
    /// Who waits to be looked up one by one where a reading of the whole collection would tell as well.
    lookups: BTreeMap<Collection, BTreeSet<PersonId>>,
}

impl Agenda {
    /// Puts somebody on the agenda, unless they are on it.
    pub(super) fn add(&mut self, person: PersonId, since: Timestamp) {
        if !self.contains(person) {
            self.refresh(person, since);
        }
    }

    /// Puts somebody on the agenda and has their needs worked out anew.
    pub(super) fn refresh(&mut self, person: PersonId, since: Timestamp) {
        let entry = self.entries.entry(person).or_insert(Entry { since, turn: None });
        let (since, turn) = (entry.since, entry.turn.take());
        self.take_out(person, since, turn.as_ref());
        self.stale.insert(person);
    }

    /// Notes what somebody needs.
    pub(super) fn set(&mut self, person: PersonId, turn: Turn) {
        self.stale.remove(&person);
        let Some(entry) = self.entries.get_mut(&person) else { return };
        let (since, former) = (entry.since, entry.turn.take());
        self.take_out(person, since, former.as_ref());
        self.file(person, since, &turn);
        if let Some(entry) = self.entries.get_mut(&person) {
            entry.turn = Some(turn);
        }
    }

    /// Takes somebody off the agenda.
    pub(super) fn remove(&mut self, person: PersonId) {
        self.stale.remove(&person);
        if let Some(entry) = self.entries.remove(&person) {
            self.take_out(person, entry.since, entry.turn.as_ref());
        }
    }

    fn file(&mut self, person: PersonId, since: Timestamp, turn: &Turn) {
        if let Some(endpoint) = endpoint_of(&turn.need) {
            self.queues.entry((turn.lane, endpoint)).or_default().insert((since, person));
        }
        if let Need::Sweeps(collections) = &turn.need {
            for collection in collections {
                let waits = (turn.lane, (since, person));
                self.readings.entry(collection.clone()).or_default().insert(waits);
            }
        }
        if let Some(collection) = readable_whole(&turn.need) {
            self.lookups.entry(collection).or_default().insert(person);
        }
    }

    fn take_out(&mut self, person: PersonId, since: Timestamp, turn: Option<&Turn>) {
        let Some(turn) = turn else { return };
        if let Some(endpoint) = endpoint_of(&turn.need) {
            remove_from(&mut self.queues, &(turn.lane, endpoint), &(since, person));
        }
        if let Need::Sweeps(collections) = &turn.need {
            for collection in collections {
                remove_from(&mut self.readings, collection, &(turn.lane, (since, person)));
            }
        }
        if let Some(collection) = readable_whole(&turn.need) {
            remove_from(&mut self.lookups, &collection, &person);
        }
    }

    /// How many are on it.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn contains(&self, person: PersonId) -> bool {
        self.entries.contains_key(&person)
    }

    /// What somebody needs, if it is worked out.
    pub(super) fn turn(&self, person: PersonId) -> Option<&Turn> {
        self.entries.get(&person)?.turn.as_ref()
    }

    /// Whether somebody's needs must be worked out.
    pub(super) fn is_stale(&self, person: PersonId) -> bool {
        self.stale.contains(&person)
    }

    /// Whose needs must be worked out.
    pub(super) fn stale(&self) -> impl Iterator<Item = PersonId> {
        self.stale.iter().copied()
    }

    /// How many calls are waited for.
    pub(super) fn waiting_calls(&self) -> BTreeMap<Endpoint, u64> {
        let mut calls = BTreeMap::new();
        for ((_, endpoint), people) in &self.queues {
            *calls.entry(*endpoint).or_default() += u64::try_from(people.len()).unwrap_or(u64::MAX);
        }
        calls
    }

    /// How many people wait in this lane for a call.
    pub(super) fn count_in(&self, lane: Lane) -> u64 {
        let queues = self.queues.iter().filter(|((queued, _), _)| *queued == lane);
        queues.map(|(_, people)| u64::try_from(people.len()).unwrap_or(u64::MAX)).sum()
    }

    /// The calls that somebody waits for, by lane.
    pub(super) fn queues(&self) -> Vec<(Lane, Endpoint)> {
        self.queues.keys().copied().collect()
    }

    /// Who is next in a queue, after this place or at its head.
    pub(super) fn next_in(&self, queue: (Lane, Endpoint), after: Option<Place>) -> Option<Place> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.queues.get(&queue)?.range((from, Bound::Unbounded)).next().copied()
    }

    /// Which collections somebody waits for a reading of, each with the most urgent lane and who waits longest in it.
    pub(super) fn waiting(&self) -> BTreeMap<Collection, (Lane, Timestamp)> {
        let first = |queue: &BTreeSet<(Lane, Place)>| queue.first().map(|(lane, (since, _))| (*lane, *since));
        self.readings
            .iter()
            .filter_map(|(collection, queue)| Some((collection.clone(), first(queue)?)))
            .collect()
    }

    /// How many wait to be looked up one by one where a reading of the whole collection would tell as well.
    pub(super) fn lookups(&self) -> BTreeMap<Collection, usize> {
        self.lookups.iter().map(|(collection, people)| (collection.clone(), people.len())).collect()
    }

    /// Has all of those wait for a reading of the whole collection.
    pub(super) fn read_whole(&mut self, collection: &Collection) {
        for person in self.lookups.get(collection).cloned().unwrap_or_default() {
            let Some(turn) = self.turn(person) else { continue };
            let need = Need::Sweeps(BTreeSet::from([collection.clone()]));
            self.set(person, Turn { need, ..turn.clone() });
        }
    }

    /// Has everybody who waits for a reading of this collection look again.
    pub(super) fn refresh_readers(&mut self, collection: &Collection) {
        for (_, (since, person)) in self.readings.get(collection).cloned().unwrap_or_default() {
            self.refresh(person, since);
        }
    }

    /// Has everybody look again.
    pub(super) fn refresh_everybody(&mut self) {
        let places: Vec<Place> = self.entries.iter().map(|(person, entry)| (entry.since, *person)).collect();
        for (since, person) in places {
            self.refresh(person, since);
        }
    }

    /// Has everybody whose call is of this kind look again.
    pub(super) fn refresh_callers(&mut self, endpoint: Endpoint, concerns: impl Fn(&Action) -> bool) {
        let waits = |queue: &BTreeSet<Place>| queue.iter().copied().collect::<Vec<_>>();
        let queues = self.queues.iter().filter(|((_, at), _)| *at == endpoint);
        let places: Vec<Place> = queues.flat_map(|(_, queue)| waits(queue)).collect();
        for (since, person) in places {
            if matches!(self.turn(person), Some(Turn { need: Need::Call(order), .. }) if concerns(&order.action))
            {
                self.refresh(person, since);
            }
        }
    }
}

/// People who are not to be looked at before some instant.
#[derive(Debug, Default)]
pub(super) struct PutOff {
    until: BTreeMap<PersonId, Timestamp>,
    order: BTreeSet<Place>,
}

impl PutOff {
    pub(super) fn insert(&mut self, person: PersonId, until: Timestamp) {
        self.remove(person);
        self.until.insert(person, until);
        self.order.insert((until, person));
    }

    pub(super) fn remove(&mut self, person: PersonId) {
        if let Some(until) = self.until.remove(&person) {
            self.order.remove(&(until, person));
        }
    }

    /// The first instant at which somebody's time has come.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.order.first().map(|(until, _)| *until)
    }

    /// Makes this everybody's time.
    pub(super) fn hasten(&mut self, now: Timestamp) {
        for (person, until) in &mut self.until {
            self.order.remove(&(*until, *person));
            *until = now.min(*until);
            self.order.insert((*until, *person));
        }
    }

    /// Takes somebody out whose time has come.
    pub(super) fn take_due(&mut self, now: Timestamp) -> Option<PersonId> {
        let (_, person) = self.order.first().copied().filter(|(until, _)| *until <= now)?;
        self.remove(person);
        Some(person)
    }
}

/// Takes one from a set among sets, and the set with its last.
fn remove_from<K: Ord, V: Ord>(sets: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(set) = sets.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            sets.remove(key);
        }
    }
}

/// The endpoint of the one call that meets this need, if one does.
fn endpoint_of(need: &Need) -> Option<Endpoint> {
    match need {
        Need::Call(order) => Some(execute::endpoint_of(&order.action)),
        Need::Look(read) => Some(observe::endpoint_of(read)),
        Need::Sweeps(_) => None,
    }
}

/// The collection whose reading tells as much as this look-up. A second look at something that a reading did not show
/// must be a look of its own.
fn readable_whole(need: &Need) -> Option<Collection> {
    match need {
        Need::Look(Read::MemberAt(_)) => Some(Collection::Members),
        Need::Look(Read::ProjectMember(project, _)) => Some(Collection::ProjectMembers(project.clone())),
        Need::Look(Read::Assignment(Assignment::Group { group }, _)) => {
            Some(Collection::GroupMembers(group.clone()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::provision::plan::Change;

    fn planned(person: PersonId, lane: Lane, step: Step) -> Planned {
        Planned { person, lane, step, reason: String::new() }
    }

    #[test]
    fn the_first_call_or_look_is_the_next_need() {
        let person = PersonId::new(&Clock::manual(Timestamp::UNIX_EPOCH));
        let delete = Action::DeleteUser { user: "user-1".into() };
        let plan = [
            planned(person, Lane::Read, Step::Record(Change::UnbindInvite)),
            planned(person, Lane::Revoke, Step::Call(delete.clone())),
            planned(person, Lane::Read, Step::Read(Read::Member("user-1".into()))),
        ];
        let Some((Lane::Revoke, Need::Call(order))) = next_need(&plan, 3) else { panic!("a call") };
        assert_eq!((order.action, order.version), (delete, 3));
        assert!(next_need(&plan[..1], 3).is_none());
    }

    #[test]
    fn readings_that_are_needed_together_are_asked_for_together() {
        let person = PersonId::new(&Clock::manual(Timestamp::UNIX_EPOCH));
        let sweep = |collection| planned(person, Lane::Read, Step::Read(Read::Sweep(collection)));
        let plan = [sweep(Collection::Members), sweep(Collection::Invites)];
        let Some((_, Need::Sweeps(collections))) = next_need(&plan, 1) else { panic!("readings") };
        assert_eq!(collections.len(), 2);
    }
}
