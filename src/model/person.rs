//! A person as the identity provider wishes them: the desired state, written by `directory` alone.

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::ids::{PersonId, TenantId};
use crate::model::address::Address;

/// One person of one tenant. Deleting leaves the row as a tombstone, so that mapping and audit stay readable.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// The tenant the person belongs to.
    pub tenant: TenantId,
    /// The SCIM `id`; never changes.
    pub id: PersonId,
    /// `userName` in the case it was written.
    pub user_name: String,
    /// `externalId`: an opaque label of the identity provider, compared with regard to case.
    pub external_id: Option<String>,
    /// Where an invite would go: primary work e-mail, else primary, else the only one, else `userName`.
    pub address: Option<Address>,
    /// What the identity provider asked for: `false` means no access upstream.
    pub active: bool,
    /// Set when the identity provider deleted the resource.
    pub deleted_at: Option<Timestamp>,
    /// Counts the changes of the resource, from 1; `meta.version` shows it.
    pub version: i64,
    /// When the resource was made.
    pub created_at: Timestamp,
    /// When the resource last changed.
    pub modified_at: Timestamp,
    /// The validated SCIM attributes as the identity provider sent them, in canonical spelling, without `id`, `meta`,
    /// `schemas` and whatever is read-only. Empty for a tombstone.
    pub attributes: Map<String, Value>,
}

impl Person {
    /// Whether the person should have access upstream.
    pub fn wants_access(&self) -> bool {
        self.active && self.deleted_at.is_none()
    }

    /// The form in which `userName` is unique and looked up: lower case (RFC 7643 §4.1.1, `caseExact` false).
    pub fn user_name_key(&self) -> String {
        key_of(&self.user_name)
    }
}

/// The form in which texts that are not case-exact are compared.
pub fn key_of(text: &str) -> String {
    text.to_lowercase()
}
