//! SCIM bearer tokens, hashed.

use jiff::Timestamp;

use super::{Reader, StoreError, Tx};
use crate::ids::TenantId;
use crate::model::token::TokenRecord;

impl Reader {
    /// The token with this public id, whatever its state.
    pub async fn load_token(&mut self, _id: &str) -> Result<Option<TokenRecord>, StoreError> {
        unimplemented!()
    }

    /// The tokens of a tenant, oldest first.
    pub async fn list_tokens(&mut self, _: &TenantId) -> Result<Vec<TokenRecord>, StoreError> {
        unimplemented!()
    }
}

impl Tx {
    /// Adds a token.
    pub async fn insert_token(&mut self, _: &TokenRecord) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Revokes a token; tells whether there was one that was live.
    pub async fn revoke_token(
        &mut self,
        _: &TenantId,
        _id: &str,
        _at: Timestamp,
    ) -> Result<bool, StoreError> {
        unimplemented!()
    }

    /// Notes that a token opened the door.
    pub async fn touch_token(&mut self, _id: &str, _at: Timestamp) -> Result<(), StoreError> {
        unimplemented!()
    }
}
