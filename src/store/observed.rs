//! The mirror: what was last seen of the OpenAI side.
//!
//! Each object carries a flag for news: set when it appeared or changed, taken away when a finished reading has made
//! the people concerned due. So a change that was seen in a reading that never ended is not lost.

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::row::{Row, micros, to_json};
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::{InviteId, ProjectId, TenantId, UserId};
use crate::model::grant::{OrgRole, ProjectRole};
use crate::model::observed::{Invite, InviteStatus, Member, ProjectMember};
use crate::model::person::key_of;

/// The columns of `observed_members AS o` that make a [`Member`].
macro_rules! member_columns {
    () => {
        "o.id, o.email, o.name, o.role, o.is_service_account, o.is_scim_managed, o.is_default, o.added_at"
    };
}

/// The columns of `observed_invites AS o` that make an [`Invite`].
macro_rules! invite_columns {
    () => {
        "o.id, o.email, o.role, o.status, o.projects, o.created_at, o.expires_at"
    };
}
pub(super) use {invite_columns, member_columns};

pub(super) fn member(row: &AnyRow) -> Result<Member, StoreError> {
    let row = Row(row);
    Ok(Member {
        id: UserId::from(row.text("id")?),
        email: row.optional_text("email")?,
        name: row.optional_text("name")?,
        role: row.optional_parsed("role")?,
        is_service_account: row.flag("is_service_account")?,
        is_scim_managed: row.flag("is_scim_managed")?,
        is_default: row.flag("is_default")?,
        added_at: row.time("added_at")?,
    })
}

pub(super) fn invite(row: &AnyRow) -> Result<Invite, StoreError> {
    let row = Row(row);
    Ok(Invite {
        id: InviteId::from(row.text("id")?),
        email: row.text("email")?,
        role: row.optional_parsed("role")?,
        status: row.parsed("status")?,
        projects: row.json("projects")?,
        created_at: row.time("created_at")?,
        expires_at: row.optional_time("expires_at")?,
    })
}

impl Reader {
    /// Members with this address key.
    pub async fn members_by_address(
        &mut self,
        tenant: &TenantId,
        key: &str,
    ) -> Result<Vec<Member>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            member_columns!(),
            " FROM observed_members AS o WHERE tenant = $1 AND email_key = $2 AND gone_at IS NULL ORDER BY id"
        );
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str()).bind(key)).await?;
        rows.iter().map(member).collect()
    }

    /// The member with this id.
    pub async fn member(&mut self, tenant: &TenantId, id: &UserId) -> Result<Option<Member>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            member_columns!(),
            " FROM observed_members AS o WHERE tenant = $1 AND id = $2 AND gone_at IS NULL"
        );
        let row = self.fetch_optional(sql(SQL).bind(tenant.as_str()).bind(id.as_str())).await?;
        row.map(|row| member(&row)).transpose()
    }

    /// Invites to this address key, whatever their status, oldest first.
    pub async fn invites_by_address(
        &mut self,
        tenant: &TenantId,
        key: &str,
    ) -> Result<Vec<Invite>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            invite_columns!(),
            " FROM observed_invites AS o WHERE tenant = $1 AND email_key = $2 AND gone_at IS NULL
              ORDER BY created_at, id"
        );
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str()).bind(key)).await?;
        rows.iter().map(invite).collect()
    }

    /// The invite with this id.
    pub async fn invite(&mut self, tenant: &TenantId, id: &InviteId) -> Result<Option<Invite>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            invite_columns!(),
            " FROM observed_invites AS o WHERE tenant = $1 AND id = $2 AND gone_at IS NULL"
        );
        let row = self.fetch_optional(sql(SQL).bind(tenant.as_str()).bind(id.as_str())).await?;
        row.map(|row| invite(&row)).transpose()
    }

    /// Human members with the role `owner`: neither service accounts nor the default user.
    pub async fn owners(&mut self, tenant: &TenantId) -> Result<Vec<Member>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            member_columns!(),
            " FROM observed_members AS o WHERE tenant = $1 AND role = 'owner' AND gone_at IS NULL
              AND is_service_account = 0 AND is_default = 0 ORDER BY id"
        );
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str())).await?;
        rows.iter().map(member).collect()
    }

    /// Where a member is in the mirrored projects.
    pub async fn project_memberships(
        &mut self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Vec<ProjectMember>, StoreError> {
        let rows = self
            .fetch_all(
                sql("SELECT project, role FROM observed_project_members
                     WHERE tenant = $1 AND user_id = $2 AND gone_at IS NULL ORDER BY project")
                .bind(tenant.as_str())
                .bind(user.as_str()),
            )
            .await?;
        rows.iter()
            .map(|row| {
                let row = Row(row);
                let project = ProjectId::from(row.text("project")?);
                Ok(ProjectMember { project, user: user.clone(), role: row.optional_parsed("role")? })
            })
            .collect()
    }

    /// How many bound people wait for acceptance of a pending invite.
    pub async fn count_invited(&mut self, tenant: &TenantId) -> Result<i64, StoreError> {
        let row = self
            .fetch_one(
                sql("SELECT COUNT(*) AS count FROM mappings WHERE tenant = $1 AND status = 'invited'")
                    .bind(tenant.as_str()),
            )
            .await?;
        Row(&row).int("count")
    }
}

impl Tx {
    /// Notes members as seen at `seen_at`. What is seen is true even if the reading it belongs to never ends.
    ///
    /// `seen_at` is the time at which the page was asked for: it cannot bring back what was forgotten since.
    pub async fn observe_members(
        &mut self,
        tenant: &TenantId,
        members: &[Member],
        seen_at: Timestamp,
    ) -> Result<(), StoreError> {
        for member in members {
            // The name is shown to people but planned with by nobody, so it is no news.
            self.execute(
                sql("INSERT INTO observed_members (tenant, id, email, email_key, name, role, is_service_account,
                                                   is_scim_managed, is_default, added_at, seen_at, news)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1)
                     ON CONFLICT (tenant, id) DO UPDATE SET
                        email = excluded.email, email_key = excluded.email_key, name = excluded.name,
                        role = excluded.role, is_service_account = excluded.is_service_account,
                        is_scim_managed = excluded.is_scim_managed, is_default = excluded.is_default,
                        added_at = excluded.added_at, seen_at = excluded.seen_at, gone_at = NULL,
                        met = CASE WHEN observed_members.gone_at IS NULL THEN observed_members.met ELSE 0 END,
                        news = CASE WHEN observed_members.gone_at IS NOT NULL
                            OR observed_members.email IS DISTINCT FROM excluded.email
                            OR observed_members.role IS DISTINCT FROM excluded.role
                            OR observed_members.is_service_account <> excluded.is_service_account
                            OR observed_members.is_scim_managed <> excluded.is_scim_managed
                            OR observed_members.is_default <> excluded.is_default
                            THEN 1 ELSE observed_members.news END
                     WHERE observed_members.gone_at IS NULL OR observed_members.gone_at <= excluded.seen_at")
                .bind(tenant.as_str())
                .bind(member.id.as_str())
                .bind(member.email.as_deref())
                .bind(member.email.as_deref().map(key_of))
                .bind(member.name.as_deref())
                .bind(member.role.map(OrgRole::as_str))
                .bind(i64::from(member.is_service_account))
                .bind(i64::from(member.is_scim_managed))
                .bind(i64::from(member.is_default))
                .bind(member.added_at.as_microsecond())
                .bind(seen_at.as_microsecond()),
            )
            .await?;
        }
        Ok(())
    }

    /// Notes invites as seen at `seen_at`.
    pub async fn observe_invites(
        &mut self,
        tenant: &TenantId,
        invites: &[Invite],
        seen_at: Timestamp,
    ) -> Result<(), StoreError> {
        for invite in invites {
            self.execute(
                sql("INSERT INTO observed_invites (tenant, id, email, email_key, role, status, projects,
                                                   created_at, expires_at, seen_at, news)
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1)
                     ON CONFLICT (tenant, id) DO UPDATE SET
                        email = excluded.email, email_key = excluded.email_key, role = excluded.role,
                        status = excluded.status, projects = excluded.projects,
                        created_at = excluded.created_at, expires_at = excluded.expires_at,
                        seen_at = excluded.seen_at, gone_at = NULL,
                        news = CASE WHEN observed_invites.gone_at IS NOT NULL
                            OR observed_invites.email <> excluded.email
                            OR observed_invites.role IS DISTINCT FROM excluded.role
                            OR observed_invites.status <> excluded.status
                            OR observed_invites.projects <> excluded.projects
                            OR observed_invites.expires_at IS DISTINCT FROM excluded.expires_at
                            THEN 1 ELSE observed_invites.news END
                     WHERE observed_invites.gone_at IS NULL OR observed_invites.gone_at <= excluded.seen_at")
                .bind(tenant.as_str())
                .bind(invite.id.as_str())
                .bind(&*invite.email)
                .bind(key_of(&invite.email))
                .bind(invite.role.map(OrgRole::as_str))
                .bind(invite.status.as_str())
                .bind(to_json(&invite.projects)?)
                .bind(invite.created_at.as_microsecond())
                .bind(micros(invite.expires_at))
                .bind(seen_at.as_microsecond()),
            )
            .await?;
        }
        Ok(())
    }

    /// Notes memberships of projects as seen at `seen_at`.
    pub async fn observe_project_members(
        &mut self,
        tenant: &TenantId,
        members: &[ProjectMember],
        seen_at: Timestamp,
    ) -> Result<(), StoreError> {
        for member in members {
            self.execute(
                sql("INSERT INTO observed_project_members (tenant, project, user_id, role, seen_at, news)
                     VALUES ($1, $2, $3, $4, $5, 1)
                     ON CONFLICT (tenant, project, user_id) DO UPDATE SET
                        role = excluded.role, seen_at = excluded.seen_at, gone_at = NULL,
                        news = CASE WHEN observed_project_members.gone_at IS NOT NULL
                            OR observed_project_members.role IS DISTINCT FROM excluded.role
                            THEN 1 ELSE observed_project_members.news END
                     WHERE observed_project_members.gone_at IS NULL
                        OR observed_project_members.gone_at <= excluded.seen_at")
                .bind(tenant.as_str())
                .bind(member.project.as_str())
                .bind(member.user.as_str())
                .bind(member.role.map(ProjectRole::as_str))
                .bind(seen_at.as_microsecond()),
            )
            .await?;
        }
        Ok(())
    }

    /// Notes that a member is gone, and with them their projects, groups and roles: a removal was confirmed, or a point
    /// read answered 404.
    pub async fn forget_member(&mut self, tenant: &TenantId, user: &UserId) -> Result<(), StoreError> {
        let now = self.now().as_microsecond();
        self.execute(
            sql("UPDATE observed_members SET gone_at = $3, news = 0
                 WHERE tenant = $1 AND id = $2 AND gone_at IS NULL")
            .bind(tenant.as_str())
            .bind(user.as_str())
            .bind(now),
        )
        .await?;
        self.execute(
            sql("UPDATE observed_project_members SET gone_at = $3, news = 0
                 WHERE tenant = $1 AND user_id = $2 AND gone_at IS NULL")
            .bind(tenant.as_str())
            .bind(user.as_str())
            .bind(now),
        )
        .await?;
        self.forget_assignments_of(tenant, user).await
    }

    /// Notes that an invite was accepted.
    pub async fn observe_acceptance(
        &mut self,
        tenant: &TenantId,
        invite: &InviteId,
    ) -> Result<(), StoreError> {
        self.execute(
            sql("UPDATE observed_invites SET status = $3 WHERE tenant = $1 AND id = $2 AND gone_at IS NULL")
                .bind(tenant.as_str())
                .bind(invite.as_str())
                .bind(InviteStatus::Accepted.as_str()),
        )
        .await?;
        Ok(())
    }

    /// Notes that an invite is gone.
    pub async fn forget_invite(&mut self, tenant: &TenantId, invite: &InviteId) -> Result<(), StoreError> {
        let now = self.now().as_microsecond();
        self.execute(
            sql("UPDATE observed_invites SET gone_at = $3, news = 0
                 WHERE tenant = $1 AND id = $2 AND gone_at IS NULL")
            .bind(tenant.as_str())
            .bind(invite.as_str())
            .bind(now),
        )
        .await?;
        Ok(())
    }

    /// Notes that a member is no longer in a project.
    pub async fn forget_project_member(
        &mut self,
        tenant: &TenantId,
        member: &ProjectMember,
    ) -> Result<(), StoreError> {
        let now = self.now().as_microsecond();
        self.execute(
            sql("UPDATE observed_project_members SET gone_at = $4, news = 0
                 WHERE tenant = $1 AND project = $2 AND user_id = $3 AND gone_at IS NULL")
            .bind(tenant.as_str())
            .bind(member.project.as_str())
            .bind(member.user.as_str())
            .bind(now),
        )
        .await?;
        Ok(())
    }
}
