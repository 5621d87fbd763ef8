//! Groups: the rows that carry a name. Who is in them is the business of `memberships`.

use sqlx::any::AnyRow;

use super::query::{GroupCondition, Sql};
use super::row::{Row, to_json};
use super::sequence::{Sequence, Spot, Stretch, Table};
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::{GroupId, TenantId};
use crate::model::group::Group;

const SELECT_GROUPS: &str = "SELECT g.id, g.display_name, g.external_id, g.version, g.created_at, g.modified_at, \
                             g.attributes FROM groups AS g WHERE g.tenant = ";

const COUNT_GROUPS: &str = "SELECT COUNT(*) AS count FROM groups AS g WHERE g.tenant = ";

/// What is asked of the groups in a part of an order.
fn within(
    mut asked: Sql,
    tenant: &TenantId,
    condition: &GroupCondition,
    sequence: Sequence,
    stretch: Stretch<'_>,
) -> Sql {
    asked.text(tenant.as_str()).within(Table::Groups, sequence, stretch);
    asked.push(" AND ").group_condition(tenant, condition);
    asked
}

fn scan(
    tenant: &TenantId,
    condition: &GroupCondition,
    sequence: Sequence,
    stretch: Stretch<'_>,
    limit: i64,
) -> Sql {
    let mut sql = within(Sql::new(SELECT_GROUPS), tenant, condition, sequence, stretch);
    sql.in_order_within(Table::Groups, sequence, stretch).push(" LIMIT ").int(limit);
    sql
}

fn group(tenant: &TenantId, row: &AnyRow) -> Result<Group, StoreError> {
    let row = Row(row);
    Ok(Group {
        tenant: tenant.clone(),
        id: row.parsed("id")?,
        display_name: row.text("display_name")?,
        external_id: row.optional_text("external_id")?,
        version: row.int("version")?,
        created_at: row.time("created_at")?,
        modified_at: row.time("modified_at")?,
        attributes: row.json("attributes")?,
    })
}

impl Reader {
    /// The group with this id.
    pub async fn load_group(&mut self, tenant: &TenantId, id: GroupId) -> Result<Option<Group>, StoreError> {
        let mut sql = Sql::new(SELECT_GROUPS);
        sql.text(tenant.as_str()).push(" AND g.id = ").text(id.to_string());
        let row = self.fetch_optional(sql.statement()).await?;
        row.map(|row| group(tenant, &row)).transpose()
    }

    /// How many groups meet the condition.
    pub async fn count_groups(
        &mut self,
        tenant: &TenantId,
        condition: &GroupCondition,
    ) -> Result<i64, StoreError> {
        let mut sql = Sql::new(COUNT_GROUPS);
        sql.text(tenant.as_str()).push(" AND ").group_condition(tenant, condition);
        Row(&self.fetch_one(sql.statement()).await?).int("count")
    }

    /// The groups that meet the condition, in this order, skipping `offset`, at most `limit`.
    pub async fn page_groups(
        &mut self,
        tenant: &TenantId,
        condition: &GroupCondition,
        sequence: Sequence,
        offset: i64,
        limit: i64,
    ) -> Result<Vec<Group>, StoreError> {
        let part = |stretch: Stretch<'_>, skip, limit| {
            let mut sql = scan(tenant, condition, sequence, stretch, limit);
            sql.push(" OFFSET ").int(skip);
            sql
        };
        let count =
            |stretch: Stretch<'_>| within(Sql::new(COUNT_GROUPS), tenant, condition, sequence, stretch);
        let rows = self.page(sequence, offset, limit, part, count).await?;
        rows.iter().map(|row| group(tenant, row)).collect()
    }

    /// The next groups after `after` that meet the condition, in this order, at most `limit`. Costs the same wherever
    /// it begins.
    pub async fn scan_groups(
        &mut self,
        tenant: &TenantId,
        condition: &GroupCondition,
        sequence: Sequence,
        after: Option<&Spot>,
        limit: usize,
    ) -> Result<Vec<Group>, StoreError> {
        let part = |stretch: Stretch<'_>, limit| scan(tenant, condition, sequence, stretch, limit);
        let rows = self.scan(sequence, after, limit, part).await?;
        rows.iter().map(|row| group(tenant, row)).collect()
    }
}

impl Tx {
    /// Adds a group. `Taken` when the `displayName` is in use.
    pub async fn insert_group(&mut self, group: &Group) -> Result<(), StoreError> {
        self.execute(
            sql("INSERT INTO groups (tenant, id, display_name, display_name_key, external_id, version, created_at,
                                     modified_at, attributes)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
            .bind(group.tenant.as_str())
            .bind(group.id.to_string())
            .bind(&*group.display_name)
            .bind(group.display_name_key())
            .bind(group.external_id.as_deref())
            .bind(group.version)
            .bind(group.created_at.as_microsecond())
            .bind(group.modified_at.as_microsecond())
            .bind(to_json(&group.attributes)?),
        )
        .await?;
        Ok(())
    }

    /// Writes a changed group. `Stale` unless the stored version is `previous_version`; `Taken` when the
    /// `displayName` is in use.
    pub async fn update_group(&mut self, group: &Group, previous_version: i64) -> Result<(), StoreError> {
        self.execute_or_stale(
            sql("UPDATE groups SET display_name = $4, display_name_key = $5, external_id = $6, version = $7,
                        modified_at = $8, attributes = $9
                 WHERE tenant = $1 AND id = $2 AND version = $3")
            .bind(group.tenant.as_str())
            .bind(group.id.to_string())
            .bind(previous_version)
            .bind(&*group.display_name)
            .bind(group.display_name_key())
            .bind(group.external_id.as_deref())
            .bind(group.version)
            .bind(group.modified_at.as_microsecond())
            .bind(to_json(&group.attributes)?),
        )
        .await
    }

    /// Removes a group and, with it, its memberships. `Stale` unless the stored version is `version`.
    pub async fn delete_group(
        &mut self,
        tenant: &TenantId,
        id: GroupId,
        version: i64,
    ) -> Result<(), StoreError> {
        self.execute_or_stale(
            sql("DELETE FROM groups WHERE tenant = $1 AND id = $2 AND version = $3")
                .bind(tenant.as_str())
                .bind(id.to_string())
                .bind(version),
        )
        .await
    }
}
