//! The OpenAI groups that the bridge keeps for SCIM groups.

use sqlx::any::AnyRow;

use super::row::{Row, micros, to_json};
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::{GroupId, OpenAiGroupId, TenantId};
use crate::model::group_link::GroupLink;

fn link(tenant: &TenantId, row: &AnyRow) -> Result<GroupLink, StoreError> {
    let row = Row(row);
    Ok(GroupLink {
        tenant: tenant.clone(),
        group: row.parsed("group_id")?,
        openai_id: row.optional_text("openai_id")?.map(OpenAiGroupId::from),
        bound_at: row.optional_time("bound_at")?,
        ended_at: row.optional_time("ended_at")?,
        lost: row.optional_text("lost")?.map(OpenAiGroupId::from),
        open: match row.optional_text("open")? {
            Some(_) => Some(row.json("open")?),
            None => None,
        },
        operation: row.optional_parsed("operation")?,
        sent_at: row.optional_time("sent_at")?,
        unanswered_at: row.optional_time("unanswered_at")?,
        missed_at: row.optional_time("missed_at")?,
        refusals: row.json("refusals")?,
        projects: row.json("projects")?,
    })
}

impl Reader {
    /// All links of a tenant, in the order of the SCIM groups.
    pub async fn group_links(&mut self, tenant: &TenantId) -> Result<Vec<GroupLink>, StoreError> {
        let rows = self
            .fetch_all(
                sql("SELECT group_id, openai_id, bound_at, ended_at, lost, open, operation, sent_at,
                            unanswered_at, missed_at, refusals, projects
                     FROM group_links WHERE tenant = $1 ORDER BY group_id")
                .bind(tenant.as_str()),
            )
            .await?;
        rows.iter().map(|row| link(tenant, row)).collect()
    }
}

impl Tx {
    /// Writes a link, new or changed. `Taken` when the OpenAI group is linked to another SCIM group.
    pub async fn save_group_link(&mut self, link: &GroupLink) -> Result<(), StoreError> {
        let open = link.open.as_ref().map(to_json).transpose()?;
        self.execute(
            sql("INSERT INTO group_links
                    (tenant, group_id, openai_id, bound_at, ended_at, lost, open, operation, sent_at, unanswered_at,
                     missed_at, refusals, projects)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
                 ON CONFLICT (tenant, group_id) DO UPDATE SET openai_id = excluded.openai_id,
                    bound_at = excluded.bound_at, ended_at = excluded.ended_at, lost = excluded.lost, open = excluded.open,
                    operation = excluded.operation, sent_at = excluded.sent_at,
                    unanswered_at = excluded.unanswered_at, missed_at = excluded.missed_at,
                    refusals = excluded.refusals, projects = excluded.projects")
            .bind(link.tenant.as_str())
            .bind(link.group.to_string())
            .bind(link.openai_id.as_ref().map(OpenAiGroupId::as_str))
            .bind(micros(link.bound_at))
            .bind(micros(link.ended_at))
            .bind(link.lost.as_ref().map(OpenAiGroupId::as_str))
            .bind(open)
            .bind(link.operation.map(|operation| operation.to_string()))
            .bind(micros(link.sent_at))
            .bind(micros(link.unanswered_at))
            .bind(micros(link.missed_at))
            .bind(to_json(&link.refusals)?)
            .bind(to_json(&link.projects)?),
        )
        .await?;
        Ok(())
    }

    /// Forgets a link.
    pub async fn forget_group_link(&mut self, tenant: &TenantId, group: GroupId) -> Result<(), StoreError> {
        self.execute(
            sql("DELETE FROM group_links WHERE tenant = $1 AND group_id = $2")
                .bind(tenant.as_str())
                .bind(group.to_string()),
        )
        .await?;
        Ok(())
    }
}
