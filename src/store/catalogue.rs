//! The mirror of what access can be given to: the projects and the roles of the organization.
//!
//! It is shown, and grants that name something are looked up in it.

use jiff::Timestamp;

use super::row::Row;
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::{ProjectId, RoleId, TenantId};
use crate::model::observed::{Project, Role};

impl Reader {
    /// Up to `limit` projects, in the order of their ids, beginning with the first after `after`.
    pub async fn scan_projects(
        &mut self,
        tenant: &TenantId,
        after: Option<&ProjectId>,
        limit: i64,
    ) -> Result<Vec<Project>, StoreError> {
        let rows = self
            .fetch_all(
                sql("SELECT id, name FROM observed_projects WHERE tenant = $1 AND id > $2 ORDER BY id LIMIT $3")
                    .bind(tenant.as_str())
                    .bind(after.map_or("", ProjectId::as_str))
                    .bind(limit),
            )
            .await?;
        rows.iter()
            .map(|row| {
                let row = Row(row);
                Ok(Project { id: ProjectId::from(row.text("id")?), name: row.optional_text("name")? })
            })
            .collect()
    }

    /// The project with this id.
    pub async fn project(
        &mut self,
        tenant: &TenantId,
        id: &ProjectId,
    ) -> Result<Option<Project>, StoreError> {
        let row = self
            .fetch_optional(
                sql("SELECT name FROM observed_projects WHERE tenant = $1 AND id = $2")
                    .bind(tenant.as_str())
                    .bind(id.as_str()),
            )
            .await?;
        row.map(|row| Ok(Project { id: id.clone(), name: Row(&row).optional_text("name")? })).transpose()
    }

    /// All roles, predefined and custom, in the order of their ids; an organization has few.
    pub async fn roles(&mut self, tenant: &TenantId) -> Result<Vec<Role>, StoreError> {
        let rows = self
            .fetch_all(
                sql("SELECT id, name, description, is_predefined FROM observed_roles
                     WHERE tenant = $1 ORDER BY id")
                .bind(tenant.as_str()),
            )
            .await?;
        rows.iter()
            .map(|row| {
                let row = Row(row);
                Ok(Role {
                    id: RoleId::from(row.text("id")?),
                    name: row.text("name")?,
                    description: row.optional_text("description")?,
                    is_predefined: row.flag("is_predefined")?,
                })
            })
            .collect()
    }
}

impl Tx {
    /// Notes projects as seen at `seen_at`.
    pub async fn observe_projects(
        &mut self,
        tenant: &TenantId,
        projects: &[Project],
        seen_at: Timestamp,
    ) -> Result<(), StoreError> {
        for project in projects {
            self.execute(
                sql(
                    "INSERT INTO observed_projects (tenant, id, name, seen_at, news) VALUES ($1, $2, $3, $4, 0)
                     ON CONFLICT (tenant, id) DO UPDATE SET name = excluded.name, seen_at = excluded.seen_at",
                )
                .bind(tenant.as_str())
                .bind(project.id.as_str())
                .bind(project.name.as_deref())
                .bind(seen_at.as_microsecond()),
            )
            .await?;
        }
        Ok(())
    }

    /// Notes roles as seen at `seen_at`.
    pub async fn observe_roles(
        &mut self,
        tenant: &TenantId,
        roles: &[Role],
        seen_at: Timestamp,
    ) -> Result<(), StoreError> {
        for role in roles {
            self.execute(
                sql(
                    "INSERT INTO observed_roles (tenant, id, name, description, is_predefined, seen_at, news)
                     VALUES ($1, $2, $3, $4, $5, $6, 0)
                     ON CONFLICT (tenant, id) DO UPDATE SET name = excluded.name,
                        description = excluded.description, is_predefined = excluded.is_predefined,
                        seen_at = excluded.seen_at",
                )
                .bind(tenant.as_str())
                .bind(role.id.as_str())
                .bind(&*role.name)
                .bind(role.description.as_deref())
                .bind(i64::from(role.is_predefined))
                .bind(seen_at.as_microsecond()),
            )
            .await?;
        }
        Ok(())
    }
}
