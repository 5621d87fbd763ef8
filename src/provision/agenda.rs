//! The agenda: the people whose turn it is, what each needs next, and who is served first.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::execute::Order;
use super::plan::{Planned, Read, Step};
use crate::ids::PersonId;
use crate::model::grant::Assignment;
use crate::model::observed::Collection;
use crate::model::operation::Lane;
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

/// The people on the agenda.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    entries: BTreeMap<PersonId, Entry>,
    /// Whose needs must be worked out.
    stale: BTreeSet<PersonId>,
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
        self.entries.entry(person).or_insert(Entry { since, turn: None }).turn = None;
        self.stale.insert(person);
    }

    /// Notes what somebody needs.
    pub(super) fn set(&mut self, person: PersonId, turn: Turn) {
        self.stale.remove(&person);
        if let Some(entry) = self.entries.get_mut(&person) {
            entry.turn = Some(turn);
        }
    }

    /// Takes somebody off the agenda.
    pub(super) fn remove(&mut self, person: PersonId) {
        self.stale.remove(&person);
        self.entries.remove(&person);
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

    /// Whose needs must be worked out, except for those in `busy`.
    pub(super) fn stale(&self, busy: &BTreeMap<PersonId, Lane>) -> Vec<PersonId> {
        self.stale.iter().copied().filter(|person| !busy.contains_key(person)).collect()
    }

    /// Everybody whose need is known and who is not in `busy`, first served first.
    pub(super) fn in_order(&self, busy: &BTreeMap<PersonId, Lane>) -> Vec<(Lane, Timestamp, PersonId)> {
        let mut order: Vec<_> = self
            .entries
            .iter()
            .filter(|(person, _)| !busy.contains_key(person))
            .filter_map(|(person, entry)| Some((entry.turn.as_ref()?.lane, entry.since, *person)))
            .collect();
        order.sort_unstable();
        order
    }

    /// Who waits for readings of which collections, each with its most urgent lane and oldest wait.
    pub(super) fn waiting(&self) -> BTreeMap<Collection, (Lane, Timestamp)> {
        let mut waiting = BTreeMap::new();
        for entry in self.entries.values() {
            let Some(Turn { lane, need: Need::Sweeps(collections), .. }) = &entry.turn else { continue };
            for collection in collections {
                let waits = (*lane, entry.since);
                waiting
                    .entry(collection.clone())
                    .and_modify(|first| *first = waits.min(*first))
                    .or_insert(waits);
            }
        }
        waiting
    }

    /// How many wait to be looked up one by one where a reading of the whole collection would tell as well.
    pub(super) fn lookups(&self) -> BTreeMap<Collection, usize> {
        let mut lookups = BTreeMap::new();
        for entry in self.entries.values() {
            if let Some(collection) = entry.turn.as_ref().and_then(|turn| readable_whole(&turn.need)) {
                *lookups.entry(collection).or_insert(0_usize) += 1;
            }
        }
        lookups
    }

    /// Has all of those wait for a reading of the whole collection.
    pub(super) fn read_whole(&mut self, collection: &Collection) {
        for turn in self.entries.values_mut().filter_map(|entry| entry.turn.as_mut()) {
            if readable_whole(&turn.need).as_ref() == Some(collection) {
                turn.need = Need::Sweeps(BTreeSet::from([collection.clone()]));
            }
        }
    }

    /// Has everybody whose need is of this kind look again.
    pub(super) fn refresh_where(&mut self, concerns: impl Fn(&Need) -> bool) {
        for (person, entry) in &mut self.entries {
            if entry.turn.as_ref().is_some_and(|turn| concerns(&turn.need)) {
                entry.turn = None;
                self.stale.insert(*person);
            }
        }
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
    use crate::model::operation::Action;
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
