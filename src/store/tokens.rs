//! SCIM bearer tokens, hashed.

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::row::{Row, micros};
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::TenantId;
use crate::model::token::TokenRecord;

macro_rules! token_columns {
    () => {
        "tenant, id, label, scopes, replaces, secret_hash, created_at, expires_at, revoked_at, last_used_at"
    };
}

fn token(row: &AnyRow) -> Result<TokenRecord, StoreError> {
    let row = Row(row);
    Ok(TokenRecord {
        tenant: row.parsed("tenant")?,
        id: row.text("id")?,
        label: row.text("label")?,
        scopes: row.parsed("scopes")?,
        replaces: row.optional_text("replaces")?,
        secret_hash: row
            .bytes("secret_hash")?
            .try_into()
            .map_err(|_wrong| StoreError::broken("the hash of a token has the wrong length"))?,
        created_at: row.time("created_at")?,
        expires_at: row.optional_time("expires_at")?,
        revoked_at: row.optional_time("revoked_at")?,
        last_used_at: row.optional_time("last_used_at")?,
    })
}

impl Reader {
    /// The token with this public id, whatever its state.
    pub async fn load_token(&mut self, id: &str) -> Result<Option<TokenRecord>, StoreError> {
        const SQL: &str = concat!("SELECT ", token_columns!(), " FROM tokens WHERE id = $1");
        let row = self.fetch_optional(sql(SQL).bind(id)).await?;
        row.map(|row| token(&row)).transpose()
    }

    /// The tokens of a tenant, oldest first.
    pub async fn list_tokens(&mut self, tenant: &TenantId) -> Result<Vec<TokenRecord>, StoreError> {
        const SQL: &str =
            concat!("SELECT ", token_columns!(), " FROM tokens WHERE tenant = $1 ORDER BY created_at, id");
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str())).await?;
        rows.iter().map(token).collect()
    }
}

impl Tx {
    /// Adds a token.
    pub async fn insert_token(&mut self, token: &TokenRecord) -> Result<(), StoreError> {
        self.execute(
            sql("INSERT INTO tokens (id, tenant, label, secret_hash, created_at, expires_at, revoked_at,
                                     last_used_at, scopes, replaces)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
            .bind(&*token.id)
            .bind(token.tenant.as_str())
            .bind(&*token.label)
            .bind(token.secret_hash.as_slice())
            .bind(token.created_at.as_microsecond())
            .bind(micros(token.expires_at))
            .bind(micros(token.revoked_at))
            .bind(micros(token.last_used_at))
            .bind(token.scopes.to_string())
            .bind(token.replaces.clone()),
        )
        .await?;
        Ok(())
    }

    /// Revokes a token; tells whether there was one that was live.
    pub async fn revoke_token(
        &mut self,
        tenant: &TenantId,
        id: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let rows = self
            .execute(
                sql("UPDATE tokens SET revoked_at = $3 WHERE tenant = $1 AND id = $2 AND revoked_at IS NULL")
                    .bind(tenant.as_str())
                    .bind(id)
                    .bind(at.as_microsecond()),
            )
            .await?;
        Ok(rows > 0)
    }

    /// Notes that a token opened the door, to the minute: within one minute only the first call changes anything.
    pub async fn touch_token(&mut self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        const MINUTE: i64 = 60_000_000;
        let micros = at.as_microsecond();
        self.execute(
            sql("UPDATE tokens SET last_used_at = $2
                 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)")
            .bind(id)
            .bind(micros - micros.rem_euclid(MINUTE)),
        )
        .await?;
        Ok(())
    }
}
