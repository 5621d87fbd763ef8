//! Tenants that are set up in the database.

use sqlx::any::AnyRow;

use super::row::{Row, micros};
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::TenantId;
use crate::model::tenant::TenantRecord;

/// What empties every table that holds rows of a tenant, rows that others point to last. The audit trail stays.
const CLEARANCE: [&str; 29] = [
    "DELETE FROM tokens WHERE tenant = $1",
    "DELETE FROM spent WHERE client IN (SELECT id FROM clients WHERE tenant = $1)",
    "DELETE FROM clients WHERE tenant = $1",
    "DELETE FROM alarms WHERE tenant = $1",
    "DELETE FROM alarm_causes WHERE tenant = $1",
    "DELETE FROM brakes WHERE tenant = $1",
    "DELETE FROM holds WHERE tenant = $1",
    "DELETE FROM tallies WHERE tenant = $1",
    "DELETE FROM events WHERE tenant = $1",
    "DELETE FROM deferred_requests WHERE tenant = $1",
    "DELETE FROM operations WHERE tenant = $1",
    "DELETE FROM memberships WHERE tenant = $1",
    "DELETE FROM person_emails WHERE tenant = $1",
    "DELETE FROM mappings WHERE tenant = $1",
    "DELETE FROM groups WHERE tenant = $1",
    "DELETE FROM people WHERE tenant = $1",
    "DELETE FROM observed_members WHERE tenant = $1",
    "DELETE FROM observed_invites WHERE tenant = $1",
    "DELETE FROM observed_project_members WHERE tenant = $1",
    "DELETE FROM observed_projects WHERE tenant = $1",
    "DELETE FROM observed_roles WHERE tenant = $1",
    "DELETE FROM observed_groups WHERE tenant = $1",
    "DELETE FROM observed_assignments WHERE tenant = $1",
    "DELETE FROM group_links WHERE tenant = $1",
    "DELETE FROM sweeps WHERE tenant = $1",
    "DELETE FROM credentials WHERE tenant = $1",
    "DELETE FROM credential_readings WHERE tenant = $1",
    "DELETE FROM budgets WHERE tenant = $1",
    "DELETE FROM tenants WHERE id = $1",
];

fn tenant(row: &AnyRow) -> Result<TenantRecord, StoreError> {
    let row = Row(row);
    Ok(TenantRecord {
        tenant: row.parsed("id")?,
        settings: row.text("settings")?,
        admin_key: row.optional_bytes("admin_key")?,
        disabled_at: row.optional_time("disabled_at")?,
        created_at: row.time("created_at")?,
        revision: row.int("revision")?,
    })
}

impl Reader {
    /// The tenants that are set up in the database, by name.
    pub async fn list_tenants(&mut self) -> Result<Vec<TenantRecord>, StoreError> {
        let rows = self
            .fetch_all(sql("SELECT id, settings, admin_key, disabled_at, created_at, revision
                 FROM tenants WHERE settings IS NOT NULL ORDER BY id"))
            .await?;
        rows.iter().map(tenant).collect()
    }

    /// The tenant of this name, if it is set up in the database.
    pub async fn load_tenant(&mut self, id: &TenantId) -> Result<Option<TenantRecord>, StoreError> {
        let row = self
            .fetch_optional(
                sql("SELECT id, settings, admin_key, disabled_at, created_at, revision
                     FROM tenants WHERE id = $1 AND settings IS NOT NULL")
                .bind(id.as_str()),
            )
            .await?;
        row.map(|row| tenant(&row)).transpose()
    }
}

impl Tx {
    /// Sets up a tenant.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if there is one of that name.
    pub async fn insert_tenant(&mut self, record: &TenantRecord) -> Result<(), StoreError> {
        // A tenant of the settings file has a row without settings, which may stay after it.
        let rows = self.execute(
            sql("INSERT INTO tenants (id, settings, admin_key, disabled_at, created_at, revision)
                 VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT (id) DO UPDATE SET settings = excluded.settings, admin_key = excluded.admin_key,
                     disabled_at = excluded.disabled_at, created_at = excluded.created_at, revision = excluded.revision
                 WHERE tenants.settings IS NULL")
            .bind(record.tenant.as_str())
            .bind(&*record.settings)
            .bind(record.admin_key.as_deref())
            .bind(micros(record.disabled_at))
            .bind(record.created_at.as_microsecond())
            .bind(record.revision),
        )
        .await?;
        if rows == 0 { Err(StoreError::Taken) } else { Ok(()) }
    }

    /// Writes what has changed of a tenant, if nobody else changed it since it was read.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if somebody did.
    pub async fn update_tenant(&mut self, record: &TenantRecord) -> Result<(), StoreError> {
        let rows = self
            .execute(
                sql("UPDATE tenants SET settings = $2, admin_key = $3, disabled_at = $4, revision = revision + 1
                     WHERE id = $1 AND revision = $5")
                .bind(record.tenant.as_str())
                .bind(&*record.settings)
                .bind(record.admin_key.as_deref())
                .bind(micros(record.disabled_at))
                .bind(record.revision),
            )
            .await?;
        if rows == 0 { Err(StoreError::Stale) } else { Ok(()) }
    }

    /// Removes a tenant with everything that is stored of it but its audit trail.
    pub async fn delete_tenant(&mut self, id: &TenantId) -> Result<(), StoreError> {
        for statement in CLEARANCE {
            self.execute(sql(statement).bind(id.as_str())).await?;
        }
        Ok(())
    }
}
