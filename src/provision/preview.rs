//! What the engine would do now, worked out beside it from what is stored: for people who ask before, or instead.
//!
//! It is the same plan from the same facts. Only what the engine keeps in mind while it works, the things it has just
//! looked up, is missing here, so a preview may say "look" where the engine already knows.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::admit::{halt, tallies};
use super::budgets::recall;
use super::desired::Desired;
use super::execute::endpoint_of;
use super::guard;
use super::load::{load_facts, load_person};
use super::observe;
use super::plan::{Facts, Planned, Read, Step, plan_person};
use super::status::status;
use crate::ids::{PersonId, TenantId};
use crate::model::hold::{Guard, Hold, HoldState};
use crate::model::mapping::{Mapping, Status};
use crate::model::observed::Collection;
use crate::model::operation::Operation;
use crate::model::person::Person;
use crate::model::policy::Policy;
use crate::openai::{Endpoint, Limiter};
use crate::store::{Reader, StoreError};

/// The most objects on one page of a list.
const PAGE_SIZE: u64 = 100;

/// One person, and what would be done about them.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The person, or their tombstone.
    pub person: Person,
    /// What they should have, with the grants that give it.
    pub desired: Desired,
    /// Their row of the mapping table as it is stored.
    pub mapping: Mapping,
    /// Their latest operations, newest first.
    pub operations: Vec<Operation>,
    /// When the engine looks at them next; `None`: when something changes.
    pub due_at: Option<Timestamp>,
    /// The plan.
    pub plan: Vec<Planned>,
    /// What waits for a human, of theirs and of their groups, and what a human said to it.
    pub holds: Vec<Hold>,
    /// The status that the plan leads to, and why.
    pub status: (Status, Option<String>),
}

impl Preview {
    /// Whether anything would be done or decided, or waits for somebody.
    pub fn has_news(&self) -> bool {
        self.plan.iter().any(|planned| !matches!(planned.step, Step::Wait(_)))
    }

    /// Whether there is a call to make or something to find out.
    pub fn has_work(&self) -> bool {
        self.plan.iter().any(|planned| {
            matches!(planned.step, Step::Call(_) | Step::Read(_) | Step::Record(_) | Step::Conclude(..))
        })
    }
}

/// Previews of one tenant's people.
#[derive(Debug)]
pub struct Previews<'p> {
    tenant: &'p TenantId,
    policy: &'p Policy,
    /// What is known of the organization as a whole.
    pub facts: Facts,
    /// Why none of it is carried out at present, if that is so.
    pub standstill: Option<String>,
    /// What waits for a human, of all groups.
    pub group_holds: Vec<Hold>,
}

impl<'p> Previews<'p> {
    /// Loads what all previews have in common.
    pub async fn load(
        reader: &mut Reader,
        tenant: &'p TenantId,
        policy: &'p Policy,
    ) -> Result<Self, StoreError> {
        let facts = load_facts(tenant, policy, reader, &BTreeSet::new()).await?;
        let standstill = halt(policy, reader.brake(tenant).await?.as_ref()).map(|halt| halt.reason);
        let group_holds = reader.standing_group_holds(tenant).await?;
        Ok(Self { tenant, policy, facts, standstill, group_holds })
    }

    /// How many losses of access pass at `now` before a human is asked.
    pub async fn losses_left(&self, reader: &mut Reader, now: Timestamp) -> Result<u64, StoreError> {
        let (window, day) = tallies(reader, self.policy, self.tenant, now).await?;
        Ok(guard::losses_left(&self.policy.removals, window, day).unsigned_abs())
    }

    /// What would be done about this person at `now`; `None` when there is no such row.
    pub async fn of(
        &mut self,
        reader: &mut Reader,
        person: PersonId,
        now: Timestamp,
    ) -> Result<Option<Preview>, StoreError> {
        let Some(loaded) =
            load_person(self.tenant, self.policy, reader, &self.facts.inventory, person, &[]).await?
        else {
            return Ok(None);
        };
        for project in loaded.desired.projects.keys() {
            let collection = Collection::ProjectMembers(project.clone());
            if !self.facts.sweeps.contains_key(&collection)
                && let Some(sweep) = reader.last_sweep(self.tenant, &collection).await?
            {
                self.facts.sweeps.insert(collection, sweep);
            }
        }
        // Whose key is in use is known to the engine alone; what it held for that reason is on record.
        let guards_key = |hold: &Hold| hold.guard == Guard::KeyOwner && hold.state == HoldState::Open;
        if loaded.observed.holds.iter().any(guards_key) {
            let bound = loaded.observed.mapping.as_ref().and_then(|mapping| mapping.user_id.clone());
            self.facts.key_owners.extend(bound);
        }
        let plan = plan_person(now, &loaded.desired, &loaded.observed, &self.facts, self.policy);
        let mut holds = loaded.observed.holds;
        if !self.group_holds.is_empty() {
            let groups = reader.groups_of(self.tenant, person).await?;
            let is_theirs = |hold: &&Hold| groups.iter().any(|group| Some(group.id) == hold.about.group());
            holds.extend(self.group_holds.iter().filter(is_theirs).cloned());
        }
        let stored = loaded.work.mapping.clone();
        let mapping = stored.unwrap_or_else(|| Mapping::new(self.tenant.clone(), person));
        let mut after = mapping.clone();
        for planned in &plan {
            if let Step::Record(change) = &planned.step {
                change.apply(&mut after);
            }
        }
        let status = status(loaded.desired.wants_access, &after, &plan);
        let mut operations = loaded.observed.recent;
        operations.extend(loaded.observed.open);
        operations.sort_by_key(|operation| std::cmp::Reverse((operation.sent_at, operation.id)));
        Ok(Some(Preview {
            person: loaded.work.person,
            desired: loaded.desired,
            mapping,
            operations,
            due_at: loaded.work.due_at,
            plan,
            holds,
            status,
        }))
    }
}

/// How many calls plans take, as far as can be seen now.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Effort {
    calls: BTreeMap<Endpoint, u64>,
    /// Calls that take access away from members.
    losses: u64,
    /// Whole readings; each is made once, for everybody who waits for it.
    readings: BTreeSet<Collection>,
}

impl Effort {
    /// Counts a plan in.
    pub fn add(&mut self, plan: &[Planned]) {
        for planned in plan {
            let endpoint = match &planned.step {
                Step::Call(action) => {
                    self.losses += u64::from(action.takes_access());
                    endpoint_of(action)
                }
                Step::Read(Read::Sweep(collection)) => {
                    self.readings.insert(collection.clone());
                    continue;
                }
                Step::Read(read) => observe::endpoint_of(read),
                _ => continue,
            };
            *self.calls.entry(endpoint).or_default() += 1;
        }
    }

    /// How many of the calls take access away from members.
    pub fn losses(&self) -> u64 {
        self.losses
    }

    /// The calls by endpoint, readings with as many pages as they had the last time.
    pub fn calls(&self, facts: &Facts) -> BTreeMap<Endpoint, u64> {
        let mut calls = self.calls.clone();
        for collection in &self.readings {
            let count = facts.sweeps.get(collection).map_or(0, |sweep| sweep.count.unsigned_abs());
            *calls.entry(observe::list_endpoint(collection)).or_default() += count / PAGE_SIZE + 1;
        }
        calls
    }
}

/// The budgets as they were last written down, under the cap of the settings. Asking them costs nobody a call.
pub async fn budgets(reader: &mut Reader, tenant: &TenantId, per_minute: u32) -> Result<Limiter, StoreError> {
    let limiter = Limiter::new(Some(per_minute));
    recall(&limiter, &reader.budgets(tenant).await?);
    Ok(limiter)
}

/// How long these calls take at least: until the last one can start, if nothing else is called.
pub fn least_time(calls: &BTreeMap<Endpoint, u64>, limiter: &Limiter, now: Timestamp) -> SignedDuration {
    let starts = calls.iter().map(|(endpoint, count)| limiter.last_start(*endpoint, *count, now));
    starts.max().map_or(SignedDuration::ZERO, |last| last.duration_since(now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::model::observed::Sweep;
    use crate::model::operation::{Action, Lane};

    #[test]
    fn the_busiest_endpoint_says_how_long_it_takes() {
        let time = |calls: &[(Endpoint, u64)], rate| {
            let limiter = Limiter::new(Some(rate));
            least_time(&calls.iter().copied().collect(), &limiter, Timestamp::UNIX_EPOCH).as_secs()
        };
        assert_eq!(time(&[], 7), 0);
        assert_eq!(time(&[(Endpoint::CreateInvite, 7)], 7), 0);
        assert_eq!(time(&[(Endpoint::CreateInvite, 8), (Endpoint::DeleteUser, 7)], 7), 61);
        assert_eq!(time(&[(Endpoint::CreateInvite, 5_000)], 7), 714 * 61);
    }

    #[test]
    fn a_reading_that_many_wait_for_is_counted_once() {
        let person = PersonId::new(&Clock::manual(Timestamp::UNIX_EPOCH));
        let planned = |step| Planned { person, lane: Lane::Read, step, reason: String::new() };
        let plan = [
            planned(Step::Read(Read::Sweep(Collection::Members))),
            planned(Step::Call(Action::DeleteUser { user: "user-1".into() })),
            planned(Step::Wait(None)),
        ];
        let mut effort = Effort::default();
        effort.add(&plan);
        effort.add(&plan);
        let (at, mut facts) = (Timestamp::UNIX_EPOCH, Facts::default());
        facts.sweeps.insert(Collection::Members, Sweep { started_at: at, finished_at: at, count: 250 });
        let calls = effort.calls(&facts);
        assert_eq!(calls, [(Endpoint::ListUsers, 3), (Endpoint::DeleteUser, 2)].into());
        assert_eq!(effort.losses(), 2);
    }
}
