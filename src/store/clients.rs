//! Clients of the token endpoint, and what must not be taken from them again.

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::row::{Row, micros, to_json};
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::TenantId;
use crate::model::client::ClientRecord;

macro_rules! client_columns {
    () => {
        "tenant, id, label, secret_hash, public_keys, scopes, created_at, revoked_at, last_used_at"
    };
}

fn client(row: &AnyRow) -> Result<ClientRecord, StoreError> {
    let row = Row(row);
    let secret_hash = row.optional_bytes("secret_hash")?.map(|hash| {
        hash.try_into().map_err(|_wrong| StoreError::broken("the hash of a client has the wrong length"))
    });
    Ok(ClientRecord {
        tenant: row.parsed("tenant")?,
        id: row.text("id")?,
        label: row.text("label")?,
        secret_hash: secret_hash.transpose()?,
        public_keys: row
            .optional_text("public_keys")?
            .map(|text| serde_json::from_str(&text).map_err(StoreError::broken))
            .transpose()?,
        scopes: row.parsed("scopes")?,
        created_at: row.time("created_at")?,
        revoked_at: row.optional_time("revoked_at")?,
        last_used_at: row.optional_time("last_used_at")?,
    })
}

impl Reader {
    /// The client with this id, whatever its state.
    pub async fn load_client(&mut self, id: &str) -> Result<Option<ClientRecord>, StoreError> {
        const SQL: &str = concat!("SELECT ", client_columns!(), " FROM clients WHERE id = $1");
        let row = self.fetch_optional(sql(SQL).bind(id)).await?;
        row.map(|row| client(&row)).transpose()
    }

    /// The clients of a tenant, oldest first.
    pub async fn list_clients(&mut self, tenant: &TenantId) -> Result<Vec<ClientRecord>, StoreError> {
        const SQL: &str =
            concat!("SELECT ", client_columns!(), " FROM clients WHERE tenant = $1 ORDER BY created_at, id");
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str())).await?;
        rows.iter().map(client).collect()
    }

    /// Whether something of a client's was spent and has not expired since.
    pub async fn is_spent(&mut self, client: &str, id: &str) -> Result<bool, StoreError> {
        let statement = sql("SELECT 1 AS one FROM spent WHERE client = $1 AND id = $2");
        Ok(self.fetch_optional(statement.bind(client).bind(id)).await?.is_some())
    }
}

impl Tx {
    /// Adds a client.
    pub async fn insert_client(&mut self, client: &ClientRecord) -> Result<(), StoreError> {
        self.execute(
            sql("INSERT INTO clients (id, tenant, label, secret_hash, public_keys, scopes, created_at, revoked_at,
                                      last_used_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
            .bind(&*client.id)
            .bind(client.tenant.as_str())
            .bind(&*client.label)
            .bind(client.secret_hash.map(|hash| hash.to_vec()))
            .bind(client.public_keys.as_ref().map(to_json).transpose()?)
            .bind(client.scopes.to_string())
            .bind(client.created_at.as_microsecond())
            .bind(micros(client.revoked_at))
            .bind(micros(client.last_used_at)),
        )
        .await?;
        Ok(())
    }

    /// Removes a client, which ends its access tokens; tells whether there was one.
    pub async fn revoke_client(
        &mut self,
        tenant: &TenantId,
        id: &str,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        let rows = self
            .execute(
                sql(
                    "UPDATE clients SET revoked_at = $3 WHERE tenant = $1 AND id = $2 AND revoked_at IS NULL",
                )
                .bind(tenant.as_str())
                .bind(id)
                .bind(at.as_microsecond()),
            )
            .await?;
        Ok(rows > 0)
    }

    /// Notes that a client took an access token, to the minute.
    pub async fn touch_client(&mut self, id: &str, at: Timestamp) -> Result<(), StoreError> {
        const MINUTE: i64 = 60_000_000;
        let micros = at.as_microsecond();
        self.execute(
            sql("UPDATE clients SET last_used_at = $2
                 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)")
            .bind(id)
            .bind(micros - micros.rem_euclid(MINUTE)),
        )
        .await?;
        Ok(())
    }

    /// Spends something of a client's until it expires by itself, and forgets what has expired before `now`; tells
    /// whether it was not spent before.
    pub async fn spend(
        &mut self,
        client: &str,
        id: &str,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.execute(sql("DELETE FROM spent WHERE expires_at < $1").bind(now.as_microsecond())).await?;
        let rows = self
            .execute(
                sql("INSERT INTO spent (client, id, expires_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
                    .bind(client)
                    .bind(id)
                    .bind(expires_at.as_microsecond()),
            )
            .await?;
        Ok(rows > 0)
    }
}
