//! Clients of the token endpoint as the store knows them.

use jiff::Timestamp;
use serde_json::Value;

use crate::ids::TenantId;
use crate::model::scope::Scopes;

/// A client on record. It has a secret or a key, not both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRecord {
    /// The tenant that its access tokens open.
    pub tenant: TenantId,
    /// Its public name, as `client_id` (RFC 6749 §2.2).
    pub id: String,
    /// What it is for, in the administrator's words.
    pub label: String,
    /// SHA-256 of the secret, if it proves itself by one.
    pub secret_hash: Option<[u8; 32]>,
    /// The public halves of its keys, as a key set (RFC 7517 §5), if it proves itself by one.
    pub public_keys: Option<Value>,
    /// What its access tokens may do at most.
    pub scopes: Scopes,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was removed, with all its access tokens.
    pub revoked_at: Option<Timestamp>,
    /// When it last took an access token; kept to the minute.
    pub last_used_at: Option<Timestamp>,
}
