//! The external-ID mapping table.

use std::collections::BTreeSet;

use sqlx::any::AnyRow;

use super::people::{from_people_and_mappings, person_and_mapping, person_columns};
use super::query::Sql;
use super::row::{Row, micros, to_json};
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::{InviteId, PersonId, ProjectId, TenantId, UserId};
use crate::model::address::Address;
use crate::model::grant::{OrgRole, ProjectGrant};
use crate::model::mapping::{Mapping, Status};
use crate::model::person::{Person, key_of};
use crate::model::upkeep::Upkeep;

/// Which rows of the mapping table to list; an empty filter lists all.
#[derive(Debug, Clone, Default)]
pub struct MappingFilter {
    /// By SCIM id.
    pub scim_id: Option<PersonId>,
    /// By the identity provider's `externalId`.
    pub external_id: Option<String>,
    /// By `userName`, in any case.
    pub user_name: Option<String>,
    /// By address, wished or bound, in any case.
    pub email: Option<String>,
    /// By invite.
    pub invite_id: Option<InviteId>,
    /// By OpenAI user id, present or former.
    pub user_id: Option<UserId>,
    /// By status.
    pub status: Option<Status>,
}

/// A row of the mapping table with the person it belongs to (or their tombstone).
#[derive(Debug, Clone, PartialEq)]
pub struct MappingRow {
    /// The person.
    pub person: Person,
    /// The row; a person without one is shown as a new one.
    pub mapping: Mapping,
}

/// The columns of `mappings AS m` that make a [`Mapping`]; all NULL where a person has none.
macro_rules! mapping_columns {
    () => {
        "m.address AS m_address, m.origin AS m_origin, m.invite_id AS m_invite_id, \
         m.invite_expires_at AS m_invite_expires_at, m.user_id AS m_user_id, \
         m.former_user_id AS m_former_user_id, m.status AS m_status, m.status_reason AS m_status_reason, \
         m.effective_role AS m_effective_role, m.effective_projects AS m_effective_projects, \
         m.effective_assignments AS m_effective_assignments, \
         m.last_synced_at AS m_last_synced_at, m.upkeep AS m_upkeep"
    };
}
pub(super) use mapping_columns;

/// The mapping in a row of people joined with mappings.
pub(super) fn joined_mapping(
    tenant: &TenantId,
    person: PersonId,
    row: &AnyRow,
) -> Result<Option<Mapping>, StoreError> {
    let row = Row(row);
    let Some(status) = row.optional_parsed("m_status")? else { return Ok(None) };
    let address = row.optional_text("m_address")?.map(|text| Address::parse(&text)).transpose();
    Ok(Some(Mapping {
        tenant: tenant.clone(),
        person,
        address: address.map_err(StoreError::broken)?,
        origin: row.parsed("m_origin")?,
        invite_id: row.optional_text("m_invite_id")?.map(InviteId::from),
        invite_expires_at: row.optional_time("m_invite_expires_at")?,
        user_id: row.optional_text("m_user_id")?.map(UserId::from),
        former_user_id: row.optional_text("m_former_user_id")?.map(UserId::from),
        status,
        status_reason: row.optional_text("m_status_reason")?,
        effective_role: row.optional_parsed("m_effective_role")?,
        effective_projects: row.json("m_effective_projects")?,
        effective_assignments: row.json("m_effective_assignments")?,
        last_synced_at: row.optional_time("m_last_synced_at")?,
        upkeep: row.json("m_upkeep")?,
    }))
}

impl Reader {
    /// Rows by SCIM id, after `after`, at most `limit`; tombstones as well.
    pub async fn list_mappings(
        &mut self,
        tenant: &TenantId,
        filter: &MappingFilter,
        after: Option<PersonId>,
        limit: i64,
    ) -> Result<Vec<MappingRow>, StoreError> {
        let mut sql = Sql::new(concat!(
            "SELECT ",
            person_columns!(),
            ", ",
            mapping_columns!(),
            from_people_and_mappings!(),
            "WHERE p.tenant = "
        ));
        sql.text(tenant.as_str());
        filter.add_to(&mut sql, tenant);
        if let Some(after) = after {
            sql.push(" AND p.id > ").text(after.to_string());
        }
        sql.push(" ORDER BY p.id LIMIT ").int(limit.max(0));
        let rows = self.fetch_all(sql.statement()).await?;
        rows.iter()
            .map(|row| {
                let (person, mapping) = person_and_mapping(tenant, row)?;
                let mapping = mapping.unwrap_or_else(|| Mapping::new(tenant.clone(), person.id));
                Ok(MappingRow { person, mapping })
            })
            .collect()
    }

    /// The projects that somebody has by a grant, or had until somebody else took them away.
    pub async fn granted_projects(&mut self, tenant: &TenantId) -> Result<BTreeSet<ProjectId>, StoreError> {
        let held = sql("SELECT DISTINCT effective_projects AS document FROM mappings
                        WHERE tenant = $1 AND effective_projects <> '[]'");
        let lost = sql("SELECT upkeep AS document FROM mappings
                        WHERE tenant = $1 AND upkeep LIKE '%\"project_removed\"%'");
        let held = self.fetch_all(held.bind(tenant.as_str())).await?;
        let lost = self.fetch_all(lost.bind(tenant.as_str())).await?;
        let mut projects = BTreeSet::new();
        for row in &held {
            let grants: Vec<ProjectGrant> = Row(row).json("document")?;
            projects.extend(grants.into_iter().map(|grant| grant.id));
        }
        for row in &lost {
            projects.extend(Row(row).json::<Upkeep>("document")?.lost_projects());
        }
        Ok(projects)
    }

    /// The person other than `person` to whom this member is bound.
    pub async fn bound_to_other(
        &mut self,
        tenant: &TenantId,
        user: &UserId,
        person: PersonId,
    ) -> Result<Option<PersonId>, StoreError> {
        let row = self
            .fetch_optional(
                sql("SELECT person FROM mappings WHERE tenant = $1 AND user_id = $2 AND person <> $3")
                    .bind(tenant.as_str())
                    .bind(user.as_str())
                    .bind(person.to_string()),
            )
            .await?;
        row.map(|row| Row(&row).parsed("person")).transpose()
    }

    /// The person other than `person` to whom this invite is bound.
    pub async fn invite_bound_to_other(
        &mut self,
        tenant: &TenantId,
        invite: &InviteId,
        person: PersonId,
    ) -> Result<Option<PersonId>, StoreError> {
        let row = self
            .fetch_optional(
                sql("SELECT person FROM mappings WHERE tenant = $1 AND invite_id = $2 AND person <> $3")
                    .bind(tenant.as_str())
                    .bind(invite.as_str())
                    .bind(person.to_string()),
            )
            .await?;
        row.map(|row| Row(&row).parsed("person")).transpose()
    }
}

impl MappingFilter {
    /// Appends the conditions on `people AS p` joined with `mappings AS m`.
    fn add_to(&self, sql: &mut Sql, tenant: &TenantId) {
        if let Some(id) = self.scim_id {
            sql.push(" AND p.id = ").text(id.to_string());
        }
        if let Some(id) = &self.external_id {
            sql.push(" AND p.external_id = ").text(id);
        }
        if let Some(name) = &self.user_name {
            sql.push(" AND p.user_name_key = ").text(key_of(name));
        }
        if let Some(email) = &self.email {
            sql.push(" AND p.id IN (SELECT id FROM people WHERE tenant = ").text(tenant.as_str());
            sql.push(" AND address_key = ").text(key_of(email));
            sql.push(" UNION SELECT person FROM mappings WHERE tenant = ").text(tenant.as_str());
            sql.push(" AND address_key = ").text(key_of(email)).push(")");
        }
        if let Some(id) = &self.invite_id {
            sql.push(" AND m.invite_id = ").text(id.as_str());
        }
        if let Some(id) = &self.user_id {
            sql.push(" AND p.id IN (SELECT person FROM mappings WHERE tenant = ").text(tenant.as_str());
            sql.push(" AND user_id = ").text(id.as_str());
            sql.push(" UNION SELECT person FROM mappings WHERE tenant = ").text(tenant.as_str());
            sql.push(" AND former_user_id = ").text(id.as_str()).push(")");
        }
        if let Some(status) = self.status {
            sql.push(" AND COALESCE(m.status, 'pending') = ").text(status.as_str());
        }
    }
}

impl Tx {
    /// Writes a row of the mapping table. `Taken` when its invite or member stands for another person.
    pub async fn save_mapping(&mut self, mapping: &Mapping) -> Result<(), StoreError> {
        self.execute(
            sql("INSERT INTO mappings (tenant, person, address, address_key, origin, invite_id,
                                       invite_expires_at, user_id, former_user_id, status, status_reason,
                                       effective_role, effective_projects, last_synced_at, effective_assignments,
                                       upkeep)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
                 ON CONFLICT (tenant, person) DO UPDATE SET
                    address = excluded.address, address_key = excluded.address_key, origin = excluded.origin,
                    invite_id = excluded.invite_id, invite_expires_at = excluded.invite_expires_at,
                    user_id = excluded.user_id, former_user_id = excluded.former_user_id,
                    status = excluded.status, status_reason = excluded.status_reason,
                    effective_role = excluded.effective_role,
                    effective_projects = excluded.effective_projects,
                    effective_assignments = excluded.effective_assignments,
                    last_synced_at = excluded.last_synced_at, upkeep = excluded.upkeep")
            .bind(mapping.tenant.as_str())
            .bind(mapping.person.to_string())
            .bind(mapping.address.as_ref().map(Address::as_str))
            .bind(mapping.address.as_ref().map(Address::key))
            .bind(mapping.origin.as_str())
            .bind(mapping.invite_id.as_ref().map(InviteId::as_str))
            .bind(micros(mapping.invite_expires_at))
            .bind(mapping.user_id.as_ref().map(UserId::as_str))
            .bind(mapping.former_user_id.as_ref().map(UserId::as_str))
            .bind(mapping.status.as_str())
            .bind(mapping.status_reason.as_deref())
            .bind(mapping.effective_role.map(OrgRole::as_str))
            .bind(to_json(&mapping.effective_projects)?)
            .bind(micros(mapping.last_synced_at))
            .bind(to_json(&mapping.effective_assignments)?)
            .bind(to_json(&mapping.upkeep)?),
        )
        .await?;
        Ok(())
    }
}
