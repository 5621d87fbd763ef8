//! The external-ID mapping table.

use super::{Reader, StoreError, Tx};
use crate::ids::{InviteId, PersonId, TenantId, UserId};
use crate::model::mapping::{Mapping, Status};
use crate::model::person::Person;

/// Which rows of the mapping table to list; an empty filter lists all.
#[derive(Debug, Clone, Default)]
pub struct MappingFilter {
    /// By SCIM id.
    pub scim_id: Option<PersonId>,
    /// By the identity provider's `externalId`.
    pub external_id: Option<String>,
    /// By `userName`, in any case.
    pub user_name: Option<String>,
    /// By address, wished or bound, in any case.
    pub email: Option<String>,
    /// By invite.
    pub invite_id: Option<InviteId>,
    /// By OpenAI user id, present or former.
    pub user_id: Option<UserId>,
    /// By status.
    pub status: Option<Status>,
}

/// A row of the mapping table with the person it belongs to (or their tombstone).
#[derive(Debug, Clone, PartialEq)]
pub struct MappingRow {
    /// The person.
    pub person: Person,
    /// The row; a person without one is shown as a new one.
    pub mapping: Mapping,
}

impl Reader {
    /// Rows by SCIM id, after `after`, at most `limit`.
    pub async fn list_mappings(
        &mut self,
        _: &TenantId,
        _: &MappingFilter,
        _after: Option<PersonId>,
        _limit: i64,
    ) -> Result<Vec<MappingRow>, StoreError> {
        unimplemented!()
    }

    /// The person other than `person` to whom this member is bound.
    pub async fn bound_to_other(
        &mut self,
        _: &TenantId,
        _: &UserId,
        _person: PersonId,
    ) -> Result<Option<PersonId>, StoreError> {
        unimplemented!()
    }
}

impl Tx {
    /// Writes a row of the mapping table.
    pub async fn save_mapping(&mut self, _: &Mapping) -> Result<(), StoreError> {
        unimplemented!()
    }
}
