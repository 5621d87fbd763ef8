//! API keys and service accounts of projects, as last seen.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::row::{Row, micros};
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::{ProjectId, TenantId, UserId};
use crate::model::credential::{Credential, LeftKey, Sighting};

fn sighting(row: &AnyRow) -> Result<Sighting, StoreError> {
    let row = Row(row);
    let credential = Credential {
        project: ProjectId::from(row.text("project")?),
        kind: row.parsed("kind")?,
        id: row.text("id")?,
        name: row.optional_text("name")?,
        owner: row.optional_text("owner")?,
        owner_has_access: row.optional_int("owner_has_access")?.map(|flag| flag != 0),
        created_at: row.optional_time("created_at")?,
        last_used_at: row.optional_time("last_used_at")?,
    };
    Ok(Sighting {
        credential,
        first_seen_at: row.time("first_seen_at")?,
        last_seen_at: row.time("last_seen_at")?,
        gone_at: row.optional_time("gone_at")?,
    })
}

impl Reader {
    /// Every key and service account that was ever seen, by project.
    pub async fn credentials(&mut self, tenant: &TenantId) -> Result<Vec<Sighting>, StoreError> {
        const SQL: &str = "SELECT project, kind, id, name, owner, owner_has_access, created_at, last_used_at,
                first_seen_at, last_seen_at, gone_at
             FROM credentials WHERE tenant = $1 ORDER BY project, kind, id";
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str())).await?;
        rows.iter().map(sighting).collect()
    }

    /// When the keys and service accounts of each project were first and last read completely.
    pub async fn credential_readings(
        &mut self,
        tenant: &TenantId,
    ) -> Result<BTreeMap<ProjectId, (Timestamp, Timestamp)>, StoreError> {
        const SQL: &str = "SELECT project, first_read_at, read_at FROM credential_readings WHERE tenant = $1";
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str())).await?;
        rows.iter()
            .map(|row| {
                let row = Row(row);
                let project = ProjectId::from(row.text("project")?);
                Ok((project, (row.time("first_read_at")?, row.time("read_at")?)))
            })
            .collect()
    }

    /// Keys of people who were removed and are no members any more, as far as OpenAI did not show them as inactive.
    pub async fn keys_left_behind(&mut self, tenant: &TenantId) -> Result<Vec<LeftKey>, StoreError> {
        const SQL: &str =
            "SELECT m.person AS person, c.project AS project, c.id AS id, c.last_seen_at AS last_seen_at,
                c.told_at AS told_at,
                COALESCE((SELECT MAX(o.settled_at) FROM operations AS o
                          WHERE o.tenant = c.tenant AND o.person = m.person AND o.state = 'done'
                             AND o.action LIKE '%\"delete_user\"%'), m.last_synced_at, 0) AS removed_at
             FROM credentials AS c JOIN mappings AS m ON m.tenant = c.tenant AND m.former_user_id = c.owner
             WHERE c.tenant = $1 AND c.kind = 'user_key' AND c.gone_at IS NULL
                AND (c.owner_has_access IS NULL OR c.owner_has_access <> 0)
                AND NOT EXISTS (SELECT 1 FROM mappings AS n WHERE n.tenant = c.tenant AND n.user_id = c.owner)
                AND NOT EXISTS (SELECT 1 FROM observed_members AS s
                                WHERE s.tenant = c.tenant AND s.id = c.owner AND s.gone_at IS NULL)
             ORDER BY c.project, c.id, m.person";
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str())).await?;
        rows.iter()
            .map(|row| {
                let row = Row(row);
                Ok(LeftKey {
                    person: row.parsed("person")?,
                    project: ProjectId::from(row.text("project")?),
                    id: row.text("id")?,
                    removed_at: row.time("removed_at")?,
                    last_seen_at: row.time("last_seen_at")?,
                    is_told: row.optional_time("told_at")?.is_some(),
                })
            })
            .collect()
    }

    /// The projects in which a user was ever seen as a member.
    pub async fn projects_of_user(
        &mut self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<BTreeSet<ProjectId>, StoreError> {
        const SQL: &str = "SELECT DISTINCT project FROM observed_project_members
             WHERE tenant = $1 AND user_id = $2";
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str()).bind(user.as_str())).await?;
        rows.iter().map(|row| Ok(ProjectId::from(Row(row).text("project")?))).collect()
    }
}

impl Tx {
    /// Notes that it is told now that a key outlives its owner's access.
    pub async fn note_key_told(&mut self, tenant: &TenantId, key: &LeftKey) -> Result<(), StoreError> {
        let now = self.now().as_microsecond();
        self.execute(
            sql("UPDATE credentials SET told_at = $4
                 WHERE tenant = $1 AND project = $2 AND kind = 'user_key' AND id = $3")
            .bind(tenant.as_str())
            .bind(key.project.as_str())
            .bind(&*key.id)
            .bind(now),
        )
        .await?;
        Ok(())
    }

    /// Keeps a complete reading of a project's keys and service accounts, begun at `at`: what it does not have is gone.
    /// A reading older than the last one is left out.
    pub async fn observe_credentials(
        &mut self,
        tenant: &TenantId,
        project: &ProjectId,
        seen: &[Credential],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let is_newer = self
            .execute(
                sql("INSERT INTO credential_readings (tenant, project, first_read_at, read_at)
                     VALUES ($1, $2, $3, $3)
                     ON CONFLICT (tenant, project) DO UPDATE SET read_at = excluded.read_at
                     WHERE credential_readings.read_at < excluded.read_at")
                .bind(tenant.as_str())
                .bind(project.as_str())
                .bind(at.as_microsecond()),
            )
            .await?;
        if is_newer == 0 {
            return Ok(());
        }
        for credential in seen {
            self.execute(
                sql("INSERT INTO credentials (tenant, project, kind, id, name, owner, owner_has_access, created_at,
                        last_used_at, first_seen_at, last_seen_at, gone_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10, NULL)
                     ON CONFLICT (tenant, project, kind, id) DO UPDATE SET name = excluded.name,
                        owner = excluded.owner, owner_has_access = excluded.owner_has_access,
                        created_at = excluded.created_at, last_used_at = excluded.last_used_at,
                        last_seen_at = excluded.last_seen_at, gone_at = NULL")
                .bind(tenant.as_str())
                .bind(project.as_str())
                .bind(credential.kind.as_str())
                .bind(&*credential.id)
                .bind(credential.name.clone())
                .bind(credential.owner.clone())
                .bind(credential.owner_has_access.map(i64::from))
                .bind(micros(credential.created_at))
                .bind(micros(credential.last_used_at))
                .bind(at.as_microsecond()),
            )
            .await?;
        }
        self.execute(
            sql("UPDATE credentials SET gone_at = $3
                 WHERE tenant = $1 AND project = $2 AND gone_at IS NULL AND last_seen_at < $3")
            .bind(tenant.as_str())
            .bind(project.as_str())
            .bind(at.as_microsecond()),
        )
        .await?;
        Ok(())
    }
}
