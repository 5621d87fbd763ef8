//! Clients of the token endpoint: made here, and told apart from impostors here.

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use subtle::ConstantTimeEq;

use super::keys::{KeySet, KeySetError};
use super::token;
use crate::clock::Clock;
use crate::ids::TenantId;
use crate::model::client::ClientRecord;
use crate::model::scope::Scopes;

/// Makes a client that proves itself by a secret: the text to hand over once, and the record to keep.
pub fn with_secret(
    clock: &Clock,
    tenant: TenantId,
    label: String,
    scopes: Scopes,
) -> (SecretString, ClientRecord) {
    let (id, secret) = token::mint_client(clock);
    let secret_hash = Some(token::hash(secret.expose_secret()));
    (secret, ClientRecord { secret_hash, ..blank(clock, id, tenant, label, scopes) })
}

/// Makes a client that proves itself by a key of its own, whose public half is in this key set.
pub fn with_keys(
    clock: &Clock,
    tenant: TenantId,
    label: String,
    scopes: Scopes,
    keys: Value,
) -> Result<ClientRecord, KeySetError> {
    KeySet::parse(&keys)?;
    let (id, _) = token::mint_client(clock);
    Ok(ClientRecord { public_keys: Some(keys), ..blank(clock, id, tenant, label, scopes) })
}

fn blank(clock: &Clock, id: String, tenant: TenantId, label: String, scopes: Scopes) -> ClientRecord {
    ClientRecord {
        tenant,
        id,
        label,
        secret_hash: None,
        public_keys: None,
        scopes,
        created_at: clock.now(),
        revoked_at: None,
        last_used_at: None,
    }
}

/// Whether `secret` is that of the client on record. Takes the same time whether there is one or not.
pub(super) fn has_secret(record: Option<&ClientRecord>, secret: &str) -> bool {
    let expected = record.and_then(|record| record.secret_hash);
    let matches: bool = token::hash(secret).ct_eq(&expected.unwrap_or_default()).into();
    matches && expected.is_some()
}
