//! The organization as a whole, for whoever looks at it: page by page, who stands behind it, and who of it belongs to
//! nobody.

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::observed::{invite, invite_columns, member, member_columns};
use super::operations::{operation, operation_columns};
use super::query::Sql;
use super::row::Row;
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::{InviteId, PersonId, TenantId, UserId};
use crate::model::mapping::Origin;
use crate::model::observed::{Invite, Member};
use crate::model::operation::Operation;

/// Members of the mirror whom nobody speaks of: human, bound to nobody, and without a live person at their address.
/// `$1` is the tenant.
macro_rules! from_unmanaged {
    () => {
        " FROM observed_members AS o WHERE o.tenant = $1 AND o.gone_at IS NULL
          AND o.is_service_account = 0 AND o.is_default = 0
          AND NOT EXISTS (SELECT 1 FROM mappings AS m WHERE m.tenant = $1 AND m.user_id = o.id)
          AND NOT EXISTS (SELECT 1 FROM people AS p
                          WHERE p.tenant = $1 AND p.address_key = o.email_key AND p.deleted_at IS NULL)"
    };
}

/// The person, or the tombstone, for whom a member or an invite stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// Who.
    pub person: PersonId,
    /// Their `userName`.
    pub user_name: String,
    /// How often they were written.
    pub version: i64,
    /// How the tie came about.
    pub origin: Origin,
}

/// The columns of `mappings AS m` and `people AS p` that make a [`Bound`]; all NULL where there is none.
macro_rules! bound_columns {
    () => {
        ", m.person AS bound_person, m.origin AS bound_origin, p.user_name AS bound_name, p.version AS bound_version"
    };
}

macro_rules! join_people {
    () => {
        " LEFT JOIN people AS p ON p.tenant = m.tenant AND p.id = m.person"
    };
}

fn bound(row: &AnyRow) -> Result<Option<Bound>, StoreError> {
    let row = Row(row);
    let Some(person) = row.optional_parsed("bound_person")? else { return Ok(None) };
    Ok(Some(Bound {
        person,
        user_name: row.text("bound_name")?,
        version: row.int("bound_version")?,
        origin: row.parsed("bound_origin")?,
    }))
}

impl Reader {
    /// Members in the order of their ids, after `after`, at most `limit`, each with the person whom they stand for.
    pub async fn members_with_person(
        &mut self,
        tenant: &TenantId,
        after: Option<&UserId>,
        limit: i64,
    ) -> Result<Vec<(Member, Option<Bound>)>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            member_columns!(),
            bound_columns!(),
            " FROM observed_members AS o
              LEFT JOIN mappings AS m ON m.tenant = o.tenant AND m.user_id = o.id",
            join_people!(),
            " WHERE o.tenant = $1 AND o.id > $2 AND o.gone_at IS NULL ORDER BY o.id LIMIT $3"
        );
        let after = after.map_or("", UserId::as_str);
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str()).bind(after).bind(limit.max(0))).await?;
        rows.iter().map(|row| Ok((member(row)?, bound(row)?))).collect()
    }

    /// Invites that wait or have run out, in the order of their ids, after `after`, at most `limit`, each with the
    /// person whom they stand for.
    pub async fn open_invites_with_person(
        &mut self,
        tenant: &TenantId,
        after: Option<&InviteId>,
        limit: i64,
    ) -> Result<Vec<(Invite, Option<Bound>)>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            invite_columns!(),
            bound_columns!(),
            " FROM observed_invites AS o
              LEFT JOIN mappings AS m ON m.tenant = o.tenant AND m.invite_id = o.id",
            join_people!(),
            " WHERE o.tenant = $1 AND o.id > $2 AND o.gone_at IS NULL AND o.status <> 'accepted'
              ORDER BY o.id LIMIT $3"
        );
        let after = after.map_or("", InviteId::as_str);
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str()).bind(after).bind(limit.max(0))).await?;
        rows.iter().map(|row| Ok((invite(row)?, bound(row)?))).collect()
    }

    /// Members whom nobody speaks of, by id, after `after`, at most `limit`.
    pub async fn unmanaged_members(
        &mut self,
        tenant: &TenantId,
        after: Option<&UserId>,
        limit: i64,
    ) -> Result<Vec<Member>, StoreError> {
        const SQL: &str =
            concat!("SELECT ", member_columns!(), from_unmanaged!(), " AND o.id > $2 ORDER BY o.id LIMIT $3");
        let after = after.map_or("", UserId::as_str);
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str()).bind(after).bind(limit.max(0))).await?;
        rows.iter().map(member).collect()
    }

    /// Whether there are members whom no finished reading has taken note of.
    pub async fn has_unmet(&mut self, tenant: &TenantId) -> Result<bool, StoreError> {
        const SQL: &str =
            "SELECT id FROM observed_members WHERE tenant = $1 AND met = 0 AND gone_at IS NULL LIMIT 1";
        Ok(self.fetch_optional(sql(SQL).bind(tenant.as_str())).await?.is_some())
    }

    /// How many members nobody speaks of.
    pub async fn count_unmanaged(&mut self, tenant: &TenantId) -> Result<i64, StoreError> {
        const SQL: &str = concat!("SELECT COUNT(*) AS count", from_unmanaged!());
        let row = self.fetch_one(sql(SQL).bind(tenant.as_str())).await?;
        Row(&row).int("count")
    }

    /// The person for whom this member stands.
    pub async fn bound_to(
        &mut self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Option<PersonId>, StoreError> {
        let row = self
            .fetch_optional(
                sql("SELECT person FROM mappings WHERE tenant = $1 AND user_id = $2")
                    .bind(tenant.as_str())
                    .bind(user.as_str()),
            )
            .await?;
        row.map(|row| Row(&row).parsed("person")).transpose()
    }

    /// The person for whom this invite stands.
    pub async fn invite_bound_to(
        &mut self,
        tenant: &TenantId,
        invite: &InviteId,
    ) -> Result<Option<PersonId>, StoreError> {
        let row = self
            .fetch_optional(
                sql("SELECT person FROM mappings WHERE tenant = $1 AND invite_id = $2")
                    .bind(tenant.as_str())
                    .bind(invite.as_str()),
            )
            .await?;
        row.map(|row| Row(&row).parsed("person")).transpose()
    }

    /// The ids of people and tombstones after `after`, in their order, at most `limit`.
    pub async fn page_ids(
        &mut self,
        tenant: &TenantId,
        after: Option<PersonId>,
        limit: i64,
    ) -> Result<Vec<PersonId>, StoreError> {
        let mut sql = Sql::new("SELECT id FROM people WHERE tenant = ");
        sql.text(tenant.as_str());
        if let Some(after) = after {
            sql.push(" AND id > ").text(after.to_string());
        }
        sql.push(" ORDER BY id LIMIT ").int(limit.max(0));
        let rows = self.fetch_all(sql.statement()).await?;
        rows.iter().map(|row| Row(row).parsed("id")).collect()
    }

    /// The operations of a tenant that were sent at `since` or later, oldest first, at most `limit`.
    pub async fn operations_since(
        &mut self,
        tenant: &TenantId,
        since: Timestamp,
        limit: i64,
    ) -> Result<Vec<Operation>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            operation_columns!(),
            " FROM operations WHERE tenant = $1 AND sent_at >= $2 ORDER BY sent_at, id LIMIT $3"
        );
        let rows = self
            .fetch_all(sql(SQL).bind(tenant.as_str()).bind(since.as_microsecond()).bind(limit.max(0)))
            .await?;
        rows.iter().map(|row| operation(tenant, row)).collect()
    }
}

impl Tx {
    /// Takes note of all members. Returns those whom nobody speaks of and of whom no note was taken before.
    pub async fn meet_members(&mut self, tenant: &TenantId) -> Result<Vec<Member>, StoreError> {
        const SQL: &str =
            concat!("SELECT ", member_columns!(), from_unmanaged!(), " AND o.met = 0 ORDER BY o.id");
        const MEET: &str =
            "UPDATE observed_members SET met = 1 WHERE tenant = $1 AND met = 0 AND gone_at IS NULL";
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str())).await?;
        let newcomers = rows.iter().map(member).collect::<Result<_, _>>()?;
        self.execute(sql(MEET).bind(tenant.as_str())).await?;
        Ok(newcomers)
    }
}
