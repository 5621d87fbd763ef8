//! SCIM bearer tokens as the store knows them: by a public id and a hash, never in clear.

use jiff::Timestamp;

use crate::ids::TenantId;
use crate::model::scope::Scopes;

/// A token on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// The tenant it opens.
    pub tenant: TenantId,
    /// The public part, which names the token in lists and logs.
    pub id: String,
    /// What it is for, in the administrator's words.
    pub label: String,
    /// What it may do.
    pub scopes: Scopes,
    /// The token that this one is to take the place of, while both work and after.
    pub replaces: Option<String>,
    /// SHA-256 of the secret part.
    pub secret_hash: [u8; 32],
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops working, if ever.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it last opened the door; kept to the minute.
    pub last_used_at: Option<Timestamp>,
}

impl TokenRecord {
    /// Whether it opens the door at `now`.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}
