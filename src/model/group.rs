//! A SCIM group as the identity provider wishes it. Who is in it stands in rows of its own, one per member.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::ids::{GroupId, PersonId, TenantId};
use crate::model::person::key_of;

/// One group of one tenant, without its members.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// The tenant the group belongs to.
    pub tenant: TenantId,
    /// The SCIM `id`; never changes.
    pub id: GroupId,
    /// `displayName` in the case it was written.
    pub display_name: String,
    /// `externalId`: an opaque label of the identity provider, compared with regard to case.
    pub external_id: Option<String>,
    /// Counts the changes of the resource and of its members, from 1; `meta.version` shows it.
    pub version: i64,
    /// When the resource was made.
    pub created_at: Timestamp,
    /// When the resource or its members last changed.
    pub modified_at: Timestamp,
    /// The validated SCIM attributes in canonical spelling, without `id`, `meta`, `schemas` and `members`.
    pub attributes: Map<String, Value>,
}

impl Group {
    /// The form in which `displayName` is unique and looked up (RFC 7643 §4.2, `caseExact` false).
    pub fn display_name_key(&self) -> String {
        key_of(&self.display_name)
    }
}

/// What a group is known by: everything that a rule can select it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupName {
    /// The SCIM `id`.
    pub id: GroupId,
    /// `displayName`.
    pub display_name: String,
    /// The identity provider's `externalId`.
    pub external_id: Option<String>,
}

/// A member as a group shows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub id: PersonId,
    /// Their `userName`.
    pub user_name: String,
}
