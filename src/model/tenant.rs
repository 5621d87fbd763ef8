//! A tenant that is set up in the database.

use std::fmt;

use jiff::Timestamp;

use crate::ids::TenantId;

/// What is on record of a tenant that is set up in the database.
#[derive(Clone, PartialEq, Eq)]
pub struct TenantRecord {
    /// The tenant.
    pub tenant: TenantId,
    /// Its tables of the settings, in TOML, as they would stand in a file of its own.
    pub settings: String,
    /// Its admin key, sealed, unless the settings say where it is.
    pub admin_key: Option<Vec<u8>>,
    /// Since when it is not served, if it is not.
    pub disabled_at: Option<Timestamp>,
    /// When it was set up.
    pub created_at: Timestamp,
    /// Grows with every change.
    pub revision: i64,
}

impl fmt::Debug for TenantRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantRecord")
            .field("tenant", &self.tenant)
            .field("disabled_at", &self.disabled_at)
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}
