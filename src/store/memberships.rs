//! Memberships: one row per member of a group, read by key and changed by set operations.
//!
//! No question here needs to know how many members a group has: adding or removing one costs the same in a group of
//! any size. A set of ids travels as one JSON list, so that every statement has one text, whatever the size of the set.
//!
//! A tombstone is no member, even where a row of it should be left: every reading asks for the living.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::agenda::rank;
use super::row::{Row, to_json};
use super::session::sql;
use super::{Backend, Reader, StoreError, Tx};
use crate::ids::{GroupId, PersonId, TenantId};
use crate::model::group::{GroupName, Member};
use crate::model::operation::Lane;

/// Who came and who went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberDelta {
    /// Those who were no members before, by id.
    pub added: Vec<PersonId>,
    /// Those who were members before, by id.
    pub removed: Vec<PersonId>,
}

impl MemberDelta {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

/// A statement in which a column is compared with the texts of a JSON list: the one thing that the two databases say
/// in different ways. On PostgreSQL it is an array, whose elements are looked up in the index one by one; rows might as
/// well be joined with the whole table.
macro_rules! with_list {
    ($reader:expr, $before:expr, $list:literal, $after:literal) => {
        sql(match $reader.backend() {
            Backend::Sqlite => concat!($before, " IN (SELECT value FROM json_each(", $list, "))", $after),
            Backend::Postgres => {
                concat!($before, " = ANY (ARRAY(SELECT json_array_elements_text(", $list, "::json)))", $after)
            }
        })
    };
}

/// Memberships of the living.
macro_rules! from_members {
    () => {
        " FROM memberships AS m
          JOIN people AS p ON p.tenant = m.tenant AND p.id = m.member AND p.deleted_at IS NULL "
    };
}

/// Makes people due at `$3` at the latest, in the lane `$4` at least.
macro_rules! make_due {
    () => {
        "UPDATE people SET
            due_at = CASE WHEN due_at <= $3 THEN due_at ELSE $3 END,
            lane = CASE WHEN due_at IS NOT NULL AND lane < $4 THEN lane ELSE $4 END,
            mark = mark + 1
         WHERE tenant = $1 AND active = 1 AND deleted_at IS NULL AND id"
    };
}

fn member(row: &AnyRow) -> Result<Member, StoreError> {
    Ok(Member { id: Row(row).parsed("member")?, user_name: Row(row).text("user_name")? })
}

fn group_name(row: &AnyRow) -> Result<GroupName, StoreError> {
    let row = Row(row);
    Ok(GroupName {
        id: row.parsed("id")?,
        display_name: row.text("display_name")?,
        external_id: row.optional_text("external_id")?,
    })
}

/// The ids of changed rows, in order: the databases return them in any.
fn ids(rows: &[AnyRow]) -> Result<Vec<PersonId>, StoreError> {
    let mut ids = rows.iter().map(|row| Row(row).parsed("id")).collect::<Result<Vec<_>, _>>()?;
    ids.sort_unstable();
    Ok(ids)
}

impl Reader {
    /// The groups that a person is a member of, by id.
    pub async fn groups_of(
        &mut self,
        tenant: &TenantId,
        person: PersonId,
    ) -> Result<Vec<GroupName>, StoreError> {
        let rows = self
            .fetch_all(
                sql("SELECT g.id, g.display_name, g.external_id FROM memberships AS m
                     JOIN groups AS g ON g.tenant = m.tenant AND g.id = m.group_id
                     WHERE m.tenant = $1 AND m.member = $2 ORDER BY g.id")
                .bind(tenant.as_str())
                .bind(person.to_string()),
            )
            .await?;
        rows.iter().map(group_name).collect()
    }

    /// The groups that each of these people is a member of, by id; people without groups are left out.
    pub async fn groups_of_each(
        &mut self,
        tenant: &TenantId,
        people: &[PersonId],
    ) -> Result<BTreeMap<PersonId, Vec<GroupName>>, StoreError> {
        let statement = with_list!(
            self,
            "SELECT m.member, g.id, g.display_name, g.external_id FROM memberships AS m
             JOIN groups AS g ON g.tenant = m.tenant AND g.id = m.group_id
             WHERE m.tenant = $1 AND m.member",
            "$2",
            " ORDER BY g.id"
        );
        let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for row in self.fetch_all(statement.bind(tenant.as_str()).bind(to_json(&people)?)).await? {
            groups.entry(Row(&row).parsed("member")?).or_default().push(group_name(&row)?);
        }
        Ok(groups)
    }

    /// The next members of a group after `after`, by id, at most `limit`.
    pub async fn page_members(
        &mut self,
        tenant: &TenantId,
        group: GroupId,
        after: Option<PersonId>,
        limit: i64,
    ) -> Result<Vec<Member>, StoreError> {
        // A look-up per member instead of a join: the order of the index is then the one asked for, and a page costs
        // the same wherever it is.
        const SQL: &str = "SELECT member, user_name FROM
            (SELECT m.member, (SELECT p.user_name FROM people AS p
                WHERE p.tenant = m.tenant AND p.id = m.member AND p.deleted_at IS NULL) AS user_name
             FROM memberships AS m WHERE m.tenant = $1 AND m.group_id = $2 AND m.member > $3) AS members
            WHERE user_name IS NOT NULL ORDER BY member LIMIT $4";
        // The empty text comes before every id.
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let statement = sql(SQL).bind(tenant.as_str()).bind(group.to_string()).bind(after).bind(limit.max(0));
        let rows = self.fetch_all(statement).await?;
        rows.iter().map(member).collect()
    }

    /// How many members a group has.
    pub async fn count_members(&mut self, tenant: &TenantId, group: GroupId) -> Result<i64, StoreError> {
        const SQL: &str =
            concat!("SELECT COUNT(*) AS count", from_members!(), "WHERE m.tenant = $1 AND m.group_id = $2");
        Row(&self.fetch_one(sql(SQL).bind(tenant.as_str()).bind(group.to_string())).await?).int("count")
    }

    /// Who of `people` is a member of which of the groups from `first` to `last`.
    pub async fn members_among(
        &mut self,
        tenant: &TenantId,
        (first, last): (GroupId, GroupId),
        people: &BTreeSet<PersonId>,
    ) -> Result<Vec<(GroupId, Member)>, StoreError> {
        let statement = with_list!(
            self,
            "SELECT m.group_id, m.member, p.user_name FROM memberships AS m
             JOIN people AS p ON p.tenant = m.tenant AND p.id = m.member AND p.deleted_at IS NULL
             WHERE m.tenant = $1 AND m.group_id >= $2 AND m.group_id <= $3 AND m.member",
            "$4",
            ""
        );
        let statement = statement.bind(tenant.as_str()).bind(first.to_string()).bind(last.to_string());
        let rows = self.fetch_all(statement.bind(to_json(people)?)).await?;
        rows.iter().map(|row| Ok((Row(row).parsed("group_id")?, member(row)?))).collect()
    }

    /// One member of each of the groups from `first` to `last`; empty groups are left out.
    pub async fn any_members(
        &mut self,
        tenant: &TenantId,
        (first, last): (GroupId, GroupId),
    ) -> Result<Vec<(GroupId, Member)>, StoreError> {
        const SQL: &str = concat!(
            "SELECT g.id AS group_id, p.id AS member, p.user_name FROM groups AS g
             JOIN people AS p ON p.tenant = g.tenant AND p.id = (SELECT m.member",
            from_members!(),
            "WHERE m.tenant = g.tenant AND m.group_id = g.id ORDER BY m.member LIMIT 1)
             WHERE g.tenant = $1 AND g.id >= $2 AND g.id <= $3"
        );
        let statement = sql(SQL).bind(tenant.as_str()).bind(first.to_string()).bind(last.to_string());
        let rows = self.fetch_all(statement).await?;
        rows.iter().map(|row| Ok((Row(row).parsed("group_id")?, member(row)?))).collect()
    }

    /// Those of `people` who are live.
    pub async fn live_people(
        &mut self,
        tenant: &TenantId,
        people: &BTreeSet<PersonId>,
    ) -> Result<BTreeSet<PersonId>, StoreError> {
        let statement = with_list!(
            self,
            "SELECT id FROM people WHERE tenant = $1 AND deleted_at IS NULL AND id",
            "$2",
            ""
        );
        let rows = self.fetch_all(statement.bind(tenant.as_str()).bind(to_json(people)?)).await?;
        Ok(ids(&rows)?.into_iter().collect())
    }
}

impl Tx {
    /// Makes these live people members; tells who was none before. Others are passed over.
    pub async fn add_members(
        &mut self,
        tenant: &TenantId,
        group: GroupId,
        people: &BTreeSet<PersonId>,
    ) -> Result<Vec<PersonId>, StoreError> {
        let statement = with_list!(
            self,
            "INSERT INTO memberships (tenant, group_id, member)
             SELECT p.tenant, $2, p.id FROM people AS p
             WHERE p.tenant = $1 AND p.deleted_at IS NULL AND p.id",
            "$3",
            " ON CONFLICT (tenant, group_id, member) DO NOTHING RETURNING member AS id"
        );
        let statement = statement.bind(tenant.as_str()).bind(group.to_string()).bind(to_json(people)?);
        ids(&self.execute_returning(statement).await?)
    }

    /// Makes these people members no more; tells who was one before.
    pub async fn remove_members(
        &mut self,
        tenant: &TenantId,
        group: GroupId,
        people: &BTreeSet<PersonId>,
    ) -> Result<Vec<PersonId>, StoreError> {
        let statement = with_list!(
            self,
            "DELETE FROM memberships WHERE tenant = $1 AND group_id = $2 AND member",
            "$3",
            " RETURNING member AS id"
        );
        let statement = statement.bind(tenant.as_str()).bind(group.to_string()).bind(to_json(people)?);
        ids(&self.execute_returning(statement).await?)
    }

    /// Makes these live people, and nobody else, members.
    pub async fn replace_members(
        &mut self,
        tenant: &TenantId,
        group: GroupId,
        people: &BTreeSet<PersonId>,
    ) -> Result<MemberDelta, StoreError> {
        const SQLITE: &str = "DELETE FROM memberships WHERE tenant = $1 AND group_id = $2
             AND member NOT IN (SELECT value FROM json_each($3)) RETURNING member AS id";
        const POSTGRES: &str = "DELETE FROM memberships WHERE tenant = $1 AND group_id = $2
             AND member NOT IN (SELECT json_array_elements_text($3::json)) RETURNING member AS id";
        let statement = sql(match self.backend() {
            Backend::Sqlite => SQLITE,
            Backend::Postgres => POSTGRES,
        });
        let statement = statement.bind(tenant.as_str()).bind(group.to_string()).bind(to_json(people)?);
        let removed = ids(&self.execute_returning(statement).await?)?;
        Ok(MemberDelta { added: self.add_members(tenant, group, people).await?, removed })
    }

    /// Takes a person out of all their groups, each of which counts that as a change.
    pub async fn leave_groups(
        &mut self,
        tenant: &TenantId,
        person: PersonId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            sql("UPDATE groups SET version = version + 1, modified_at = $3 WHERE tenant = $1 AND id IN
                    (SELECT group_id FROM memberships WHERE tenant = $1 AND member = $2)")
            .bind(tenant.as_str())
            .bind(person.to_string())
            .bind(now.as_microsecond()),
        )
        .await?;
        self.execute(
            sql("DELETE FROM memberships WHERE tenant = $1 AND member = $2")
                .bind(tenant.as_str())
                .bind(person.to_string()),
        )
        .await?;
        Ok(())
    }

    /// Makes those of `people` who are active due at once in `lane`, because they joined or left a group. A person
    /// who waits already keeps their place, and the more urgent of the two lanes.
    pub async fn make_due(
        &mut self,
        tenant: &TenantId,
        people: &[PersonId],
        lane: Lane,
    ) -> Result<(), StoreError> {
        let now = self.now();
        let statement = with_list!(self, make_due!(), "$2", "").bind(tenant.as_str()).bind(to_json(&people)?);
        self.execute(statement.bind(now.as_microsecond()).bind(rank(lane))).await?;
        Ok(())
    }

    /// Likewise all members of a group, because the group changed.
    pub async fn make_members_due(
        &mut self,
        tenant: &TenantId,
        group: GroupId,
        lane: Lane,
    ) -> Result<(), StoreError> {
        const SQL: &str =
            concat!(make_due!(), " IN (SELECT member FROM memberships WHERE tenant = $1 AND group_id = $2)");
        let now = self.now();
        self.execute(
            sql(SQL)
                .bind(tenant.as_str())
                .bind(group.to_string())
                .bind(now.as_microsecond())
                .bind(rank(lane)),
        )
        .await?;
        Ok(())
    }
}
