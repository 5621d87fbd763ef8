//! Who has access, and who stands behind it: what an access review looks at.

use super::row::Row;
use super::session::sql;
use super::{Reader, StoreError};
use crate::ids::{InviteId, PersonId, TenantId, UserId};
use crate::model::observed::{Invite, Member};

impl Reader {
    /// Members in the order of their ids, after `after`, at most `limit`, each with the person whom they stand for.
    pub async fn members_with_person(
        &mut self,
        tenant: &TenantId,
        after: Option<&UserId>,
        limit: i64,
    ) -> Result<Vec<(Member, Option<PersonId>)>, StoreError> {
        const SQL: &str = "SELECT id, email, name, role, is_service_account, is_scim_managed, is_default, added_at,
                (SELECT MIN(m.person) FROM mappings AS m WHERE m.tenant = o.tenant AND m.user_id = o.id) AS person
             FROM observed_members AS o WHERE tenant = $1 AND id > $2 AND gone_at IS NULL ORDER BY id LIMIT $3";
        let after = after.map_or("", UserId::as_str);
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str()).bind(after).bind(limit.max(0))).await?;
        rows.iter()
            .map(|row| Ok((super::observed::member(row)?, Row(row).optional_parsed("person")?)))
            .collect()
    }

    /// Invites that wait or have run out, in the order of their ids, after `after`, at most `limit`, each with the
    /// person whom they stand for.
    pub async fn open_invites_with_person(
        &mut self,
        tenant: &TenantId,
        after: Option<&InviteId>,
        limit: i64,
    ) -> Result<Vec<(Invite, Option<PersonId>)>, StoreError> {
        const SQL: &str = "SELECT id, email, role, status, projects, created_at, expires_at,
                (SELECT MIN(m.person) FROM mappings AS m WHERE m.tenant = o.tenant AND m.invite_id = o.id) AS person
             FROM observed_invites AS o WHERE tenant = $1 AND id > $2 AND gone_at IS NULL AND status <> 'accepted'
             ORDER BY id LIMIT $3";
        let after = after.map_or("", InviteId::as_str);
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str()).bind(after).bind(limit.max(0))).await?;
        rows.iter()
            .map(|row| Ok((super::observed::invite(row)?, Row(row).optional_parsed("person")?)))
            .collect()
    }
}
