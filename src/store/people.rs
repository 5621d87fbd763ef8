//! People: the desired state, and the agenda of who is to be looked at.

use jiff::Timestamp;

use super::{Reader, StoreError, Tx};
use crate::ids::{PersonId, TenantId};
use crate::model::mapping::{Mapping, Status};
use crate::model::operation::{Lane, Operation};
use crate::model::person::Person;

/// A condition on people that the database can decide; made from a SCIM filter.
#[derive(Debug, Clone)]
pub struct Condition {}

/// Everything stored about one person that a plan needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// The person, or their tombstone.
    pub person: Person,
    /// Their row of the mapping table, if the engine made one.
    pub mapping: Option<Mapping>,
    /// Operations whose outcome is open, oldest first.
    pub open: Vec<Operation>,
    /// How many times in a row the engine has tried in vain.
    pub attempts: u32,
    /// Since when the person waits to be looked at.
    pub due_at: Option<Timestamp>,
}

impl Reader {
    /// The live person with this id.
    pub async fn load_person(&mut self, _: &TenantId, _: PersonId) -> Result<Option<Person>, StoreError> {
        unimplemented!()
    }

    /// The live person with their mapping row, as SCIM shows them.
    pub async fn load_person_and_mapping(
        &mut self,
        _: &TenantId,
        _: PersonId,
    ) -> Result<Option<(Person, Option<Mapping>)>, StoreError> {
        unimplemented!()
    }

    /// Live people whose `userName` key or `externalId` equals one of these: whom a create may be about.
    pub async fn find_people(
        &mut self,
        _: &TenantId,
        _user_name_key: &str,
        _external_id: Option<&str>,
    ) -> Result<Vec<Person>, StoreError> {
        unimplemented!()
    }

    /// Live people with this address key.
    pub async fn find_people_by_address(
        &mut self,
        _: &TenantId,
        _address_key: &str,
    ) -> Result<Vec<Person>, StoreError> {
        unimplemented!()
    }

    /// How many live people meet the condition.
    pub async fn count_people(&mut self, _: &TenantId, _: &Condition) -> Result<i64, StoreError> {
        unimplemented!()
    }

    /// The live people who meet the condition, by id, skipping `offset`, at most `limit`.
    pub async fn page_people(
        &mut self,
        _: &TenantId,
        _: &Condition,
        _offset: i64,
        _limit: i64,
    ) -> Result<Vec<(Person, Option<Mapping>)>, StoreError> {
        unimplemented!()
    }

    /// The next live people after `after` who meet the condition, by id: for filters that are evaluated in memory.
    pub async fn scan_people(
        &mut self,
        _: &TenantId,
        _: &Condition,
        _after: Option<PersonId>,
        _limit: i64,
    ) -> Result<Vec<(Person, Option<Mapping>)>, StoreError> {
        unimplemented!()
    }

    /// People and tombstones that are due at `now`, by lane, then by how long they wait; at most `limit`.
    pub async fn due_people(
        &mut self,
        _: &TenantId,
        _now: Timestamp,
        _limit: i64,
    ) -> Result<Vec<PersonId>, StoreError> {
        unimplemented!()
    }

    /// When the next person becomes due.
    pub async fn next_due_at(&mut self, _: &TenantId) -> Result<Option<Timestamp>, StoreError> {
        unimplemented!()
    }

    /// What a plan needs to know of a person or tombstone.
    pub async fn load_work(&mut self, _: &TenantId, _: PersonId) -> Result<Option<Work>, StoreError> {
        unimplemented!()
    }

    /// How many live people stand in each status.
    pub async fn count_by_status(&mut self, _: &TenantId) -> Result<Vec<(Status, i64)>, StoreError> {
        unimplemented!()
    }
}

impl Tx {
    /// Adds a person and makes them due at once in `lane`. `Taken` when the `userName` is in use.
    pub async fn insert_person(&mut self, _: &Person, _lane: Lane) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Writes a changed person (also one that became a tombstone) and makes them due at once in `lane`.
    ///
    /// `Stale` unless the stored version is `previous_version`; `Taken` when the `userName` is in use.
    pub async fn update_person(
        &mut self,
        _: &Person,
        _previous_version: i64,
        _lane: Lane,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Removes a person without a trace: only for a create that OpenAI refused before it was acknowledged.
    pub async fn erase_person(&mut self, _: &TenantId, _: PersonId, _version: i64) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Says when the engine should look at a person next (`None`: when something changes), in which lane, and how
    /// many attempts were in vain. Leaves a person alone who was written after `version`; tells whether it took.
    pub async fn schedule(
        &mut self,
        _: &TenantId,
        _: PersonId,
        _version: i64,
        _due_at: Option<Timestamp>,
        _lane: Lane,
        _attempts: u32,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }
}
