//! The mirror of OpenAI's groups and custom roles: which groups there are, and who is known to have what.
//!
//! Nothing lists who has a role, so a row about one tells of a call or of a look-up, not of a reading.

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::row::Row;
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::{OpenAiGroupId, TenantId, UserId};
use crate::model::grant::Assignment;
use crate::model::observed::{Assigned, OpenAiGroup};

/// Kind, id and project of an assignment, as they are kept.
fn columns(what: &Assignment) -> (&'static str, &str, &str) {
    match what {
        Assignment::Group { group } => ("group", group.as_str(), ""),
        Assignment::Role { role } => ("role", role.as_str(), ""),
        Assignment::ProjectRole { project, role } => ("project_role", role.as_str(), project.as_str()),
    }
}

fn assignment(row: Row<'_>) -> Result<Assignment, StoreError> {
    let id = row.text("id")?;
    match row.text("kind")?.as_str() {
        "group" => Ok(Assignment::Group { group: id.into() }),
        "role" => Ok(Assignment::Role { role: id.into() }),
        "project_role" => {
            Ok(Assignment::ProjectRole { project: row.text("project")?.into(), role: id.into() })
        }
        kind => Err(StoreError::broken(format!("{kind} is no kind of assignment"))),
    }
}

fn group(row: &AnyRow) -> Result<OpenAiGroup, StoreError> {
    let row = Row(row);
    Ok(OpenAiGroup {
        id: OpenAiGroupId::from(row.text("id")?),
        name: row.text("name")?,
        is_scim_managed: row.flag("is_scim_managed")?,
        created_at: row.time("created_at")?,
    })
}

impl Reader {
    /// All OpenAI groups, in the order of their ids.
    pub async fn openai_groups(&mut self, tenant: &TenantId) -> Result<Vec<OpenAiGroup>, StoreError> {
        let rows = self
            .fetch_all(
                sql("SELECT id, name, is_scim_managed, created_at FROM observed_groups
                     WHERE tenant = $1 AND gone_at IS NULL ORDER BY id")
                .bind(tenant.as_str()),
            )
            .await?;
        rows.iter().map(group).collect()
    }

    /// The OpenAI groups and custom roles that a member is known to have.
    pub async fn assignments_of(
        &mut self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Vec<Assigned>, StoreError> {
        let rows = self
            .fetch_all(
                sql("SELECT kind, id, project FROM observed_assignments
                     WHERE tenant = $1 AND user_id = $2 AND gone_at IS NULL ORDER BY kind, id, project")
                .bind(tenant.as_str())
                .bind(user.as_str()),
            )
            .await?;
        rows.iter().map(|row| Ok(Assigned { what: assignment(Row(row))?, user: user.clone() })).collect()
    }
}

impl Tx {
    /// Notes OpenAI groups as seen at `seen_at`.
    pub async fn observe_openai_groups(
        &mut self,
        tenant: &TenantId,
        groups: &[OpenAiGroup],
        seen_at: Timestamp,
    ) -> Result<(), StoreError> {
        for group in groups {
            self.execute(
                sql("INSERT INTO observed_groups (tenant, id, name, is_scim_managed, created_at, seen_at, news)
                     VALUES ($1, $2, $3, $4, $5, $6, 0)
                     ON CONFLICT (tenant, id) DO UPDATE SET name = excluded.name,
                        is_scim_managed = excluded.is_scim_managed, created_at = excluded.created_at,
                        seen_at = excluded.seen_at, gone_at = NULL
                     WHERE observed_groups.gone_at IS NULL OR observed_groups.gone_at <= excluded.seen_at")
                .bind(tenant.as_str())
                .bind(group.id.as_str())
                .bind(&*group.name)
                .bind(i64::from(group.is_scim_managed))
                .bind(group.created_at.as_microsecond())
                .bind(seen_at.as_microsecond()),
            )
            .await?;
        }
        Ok(())
    }

    /// Notes that an OpenAI group is gone, and with it everybody's membership.
    pub async fn forget_openai_group(
        &mut self,
        tenant: &TenantId,
        group: &OpenAiGroupId,
    ) -> Result<(), StoreError> {
        let now = self.now().as_microsecond();
        for text in [
            "UPDATE observed_groups SET gone_at = $3 WHERE tenant = $1 AND id = $2 AND gone_at IS NULL",
            "UPDATE observed_assignments SET gone_at = $3, news = 0
             WHERE tenant = $1 AND kind = 'group' AND id = $2 AND gone_at IS NULL",
        ] {
            self.execute(sql(text).bind(tenant.as_str()).bind(group.as_str()).bind(now)).await?;
        }
        Ok(())
    }

    /// Notes what members were seen to have at `seen_at`.
    pub async fn observe_assignments(
        &mut self,
        tenant: &TenantId,
        assigned: &[Assigned],
        seen_at: Timestamp,
    ) -> Result<(), StoreError> {
        for Assigned { what, user } in assigned {
            let (kind, id, project) = columns(what);
            self.execute(
                sql("INSERT INTO observed_assignments (tenant, kind, id, project, user_id, seen_at, news)
                     VALUES ($1, $2, $3, $4, $5, $6, 1)
                     ON CONFLICT (tenant, kind, id, project, user_id) DO UPDATE SET
                        seen_at = excluded.seen_at, gone_at = NULL,
                        news = CASE WHEN observed_assignments.gone_at IS NOT NULL
                            THEN 1 ELSE observed_assignments.news END
                     WHERE observed_assignments.gone_at IS NULL
                        OR observed_assignments.gone_at <= excluded.seen_at")
                .bind(tenant.as_str())
                .bind(kind)
                .bind(id)
                .bind(project)
                .bind(user.as_str())
                .bind(seen_at.as_microsecond()),
            )
            .await?;
        }
        Ok(())
    }

    /// Notes that a member no longer has this.
    pub async fn forget_assignment(
        &mut self,
        tenant: &TenantId,
        Assigned { what, user }: &Assigned,
    ) -> Result<(), StoreError> {
        let (now, (kind, id, project)) = (self.now().as_microsecond(), columns(what));
        self.execute(
            sql("UPDATE observed_assignments SET gone_at = $6, news = 0
                 WHERE tenant = $1 AND kind = $2 AND id = $3 AND project = $4 AND user_id = $5
                    AND gone_at IS NULL")
            .bind(tenant.as_str())
            .bind(kind)
            .bind(id)
            .bind(project)
            .bind(user.as_str())
            .bind(now),
        )
        .await?;
        Ok(())
    }

    /// Notes that a member has nothing any more.
    pub(super) async fn forget_assignments_of(
        &mut self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<(), StoreError> {
        let now = self.now().as_microsecond();
        self.execute(
            sql("UPDATE observed_assignments SET gone_at = $3, news = 0
                 WHERE tenant = $1 AND user_id = $2 AND gone_at IS NULL")
            .bind(tenant.as_str())
            .bind(user.as_str())
            .bind(now),
        )
        .await?;
        Ok(())
    }

    /// Makes everybody who should have access due, because what there is to give has changed. Whoever waits already
    /// keeps their place, and whoever pauses after a failure goes on doing so.
    pub async fn make_everybody_due(&mut self, tenant: &TenantId) -> Result<(), StoreError> {
        let now = self.now().as_microsecond();
        self.execute(
            sql("UPDATE people SET due_at = CASE WHEN due_at <= $2 THEN due_at ELSE $2 END,
                    lane = CASE WHEN due_at IS NOT NULL THEN lane ELSE 4 END, mark = mark + 1
                 WHERE tenant = $1 AND active = 1 AND deleted_at IS NULL AND attempts = 0")
            .bind(tenant.as_str())
            .bind(now),
        )
        .await?;
        Ok(())
    }
}
