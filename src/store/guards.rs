//! What guards count and what keeps engines from acting: kept here so that restarts and several processes see the same.

use jiff::Timestamp;

use super::row::Row;
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::{OpenAiGroupId, OperationId, PersonId, ProjectId, TenantId};
use crate::model::hold::{Brake, BrakeCause};
use crate::model::operation::{Action, Operation};

/// The tenant that stands for all of them.
const EVERYBODY: &str = "*";

/// What was taken away in some span of time without anybody's approval, and of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Losses {
    /// Calls that took access away, or may have.
    pub count: i64,
    /// People who stood for members when the span began: those who do now and those removed in it.
    pub members: i64,
}

impl Reader {
    /// What was taken away after `since`.
    pub async fn losses(&mut self, tenant: &TenantId, since: Timestamp) -> Result<Losses, StoreError> {
        let row = self
            .fetch_one(
                sql("SELECT
                        (SELECT COUNT(*) FROM tallies
                         WHERE tenant = $1 AND takes <> 'invite' AND at > $2 AND approved = 0) AS count,
                        (SELECT COUNT(*) FROM mappings WHERE tenant = $1 AND user_id IS NOT NULL
                         AND origin <> 'unclaimed')
                        + (SELECT COUNT(DISTINCT t.person) FROM tallies AS t
                           JOIN mappings AS m ON m.tenant = t.tenant AND m.person = t.person
                           WHERE t.tenant = $1 AND t.takes <> 'invite' AND t.at > $2 AND t.takes = 'member'
                             AND m.user_id IS NULL) AS members")
                .bind(tenant.as_str())
                .bind(since.as_microsecond()),
            )
            .await?;
        Ok(Losses { count: Row(&row).int("count")?, members: Row(&row).int("members")? })
    }

    /// The members of an OpenAI group who would lose a project with it: they are not in the project by themselves, and it
    /// was not taken from them before.
    pub async fn losers_of_expulsion(
        &mut self,
        tenant: &TenantId,
        group: &OpenAiGroupId,
        project: &ProjectId,
    ) -> Result<Vec<PersonId>, StoreError> {
        const SQL: &str = "SELECT DISTINCT m.person AS person
             FROM observed_assignments AS a JOIN mappings AS m ON m.tenant = a.tenant AND m.user_id = a.user_id
             WHERE a.tenant = $1 AND a.kind = 'group' AND a.id = $2 AND a.gone_at IS NULL
                AND (m.effective_role IS NULL OR m.effective_role <> 'owner')
                AND NOT EXISTS (SELECT 1 FROM observed_project_members AS p
                                WHERE p.tenant = a.tenant AND p.project = $3 AND p.user_id = a.user_id
                                   AND p.gone_at IS NULL)
                AND NOT EXISTS (SELECT 1 FROM operations AS o
                                WHERE o.tenant = a.tenant AND o.person = m.person AND o.state = 'done'
                                   AND o.action LIKE '%\"remove_from_project\"%' AND o.action LIKE $4)
             ORDER BY m.person";
        let named = format!("%\"{project}\"%");
        let rows = self
            .fetch_all(sql(SQL).bind(tenant.as_str()).bind(group.as_str()).bind(project.as_str()).bind(named))
            .await?;
        rows.iter().map(|row| Row(row).parsed("person")).collect()
    }

    /// How often an address was invited after `since`, or may have been, without anybody's approval.
    pub async fn invites_to(
        &mut self,
        tenant: &TenantId,
        address_key: &str,
        since: Timestamp,
    ) -> Result<i64, StoreError> {
        let row = self
            .fetch_one(
                sql("SELECT COUNT(*) AS count FROM tallies
                     WHERE tenant = $1 AND subject = $2 AND at > $3 AND approved = 0")
                .bind(tenant.as_str())
                .bind(address_key)
                .bind(since.as_microsecond()),
            )
            .await?;
        Row(&row).int("count")
    }

    /// How many people take a seat: members, and invites that are out or may be.
    pub async fn seats_taken(&mut self, tenant: &TenantId) -> Result<i64, StoreError> {
        let row = self
            .fetch_one(
                sql("SELECT
                        (SELECT COUNT(*) FROM observed_members
                         WHERE tenant = $1 AND gone_at IS NULL AND is_service_account = 0)
                        + (SELECT COUNT(*) FROM observed_invites
                           WHERE tenant = $1 AND gone_at IS NULL AND status = 'pending')
                        + (SELECT COUNT(*) FROM operations AS o
                           JOIN tallies AS t ON t.tenant = o.tenant AND t.operation = o.id
                           WHERE o.tenant = $1 AND o.state IN ('sending', 'unknown') AND t.takes = 'invite')
                        AS taken")
                .bind(tenant.as_str()),
            )
            .await?;
        Row(&row).int("taken")
    }

    /// What keeps this tenant's engine from making changes, if something does.
    pub async fn brake(&mut self, tenant: &TenantId) -> Result<Option<Brake>, StoreError> {
        let row = self
            .fetch_optional(
                sql("SELECT cause, reason, put_by, put_at FROM brakes WHERE tenant = $1 OR tenant = $2
                     ORDER BY put_at, cause LIMIT 1")
                .bind(tenant.as_str())
                .bind(EVERYBODY),
            )
            .await?;
        row.map(|row| {
            let row = Row(&row);
            Ok(Brake {
                cause: row.parsed("cause")?,
                reason: row.text("reason")?,
                by: row.text("put_by")?,
                at: row.time("put_at")?,
            })
        })
        .transpose()
    }

    /// How many people stand for a member, and how many of these members the mirror shows. A member about whom the outcome
    /// of a call is open may be gone by that call, and counts as neither.
    pub async fn bound_members(&mut self, tenant: &TenantId) -> Result<(i64, i64), StoreError> {
        let row = self
            .fetch_one(
                sql("SELECT COUNT(*) AS bound, COUNT(o.id) AS seen FROM mappings AS m
                     LEFT JOIN observed_members AS o ON o.tenant = m.tenant AND o.id = m.user_id AND o.gone_at IS NULL
                     WHERE m.tenant = $1 AND m.user_id IS NOT NULL
                       AND NOT EXISTS (SELECT 1 FROM operations AS w WHERE w.tenant = m.tenant AND w.person = m.person
                                       AND w.state IN ('sending', 'unknown'))")
                .bind(tenant.as_str()),
            )
            .await?;
        Ok((Row(&row).int("bound")?, Row(&row).int("seen")?))
    }

    /// The organization that the tenant's people are known to belong to, if that was ever seen.
    pub async fn bound_organization(&mut self, tenant: &TenantId) -> Result<Option<String>, StoreError> {
        let row = self
            .fetch_optional(sql("SELECT organization_id FROM tenants WHERE id = $1").bind(tenant.as_str()))
            .await?;
        row.map(|row| Row(&row).optional_text("organization_id")).transpose().map(Option::flatten)
    }
}

impl Tx {
    /// Counts what people lose by a call about a group.
    pub async fn tally_group_losses(
        &mut self,
        tenant: &TenantId,
        operation: OperationId,
        people: &[PersonId],
        at: Timestamp,
        approved: bool,
    ) -> Result<(), StoreError> {
        for person in people {
            self.execute(
                sql("INSERT INTO tallies (tenant, operation, person, takes, subject, at, approved)
                     VALUES ($1, $2, $3, 'access', NULL, $4, $5)")
                .bind(tenant.as_str())
                .bind(operation.to_string())
                .bind(person.to_string())
                .bind(at.as_microsecond())
                .bind(i64::from(approved)),
            )
            .await?;
        }
        Ok(())
    }

    /// Counts a call that is about to be made, if guards count its like.
    pub async fn tally(&mut self, operation: &Operation, approved: bool) -> Result<(), StoreError> {
        let (takes, subject) = match &operation.action {
            Action::DeleteUser { .. } => ("member", None),
            Action::CreateInvite { address, .. } => ("invite", Some(address.to_ascii_lowercase())),
            action if action.takes_access() => ("access", None),
            _ => return Ok(()),
        };
        self.execute(
            sql("INSERT INTO tallies (tenant, operation, person, takes, subject, at, approved)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)")
            .bind(operation.tenant.as_str())
            .bind(operation.id.to_string())
            .bind(operation.person.to_string())
            .bind(takes)
            .bind(subject)
            .bind(operation.sent_at.as_microsecond())
            .bind(i64::from(approved)),
        )
        .await?;
        Ok(())
    }

    /// Keeps the engine of a tenant, or of every tenant, from making changes. One of a cause is enough.
    pub async fn put_brake(&mut self, tenant: Option<&TenantId>, brake: &Brake) -> Result<(), StoreError> {
        self.execute(
            sql("INSERT INTO brakes (tenant, cause, reason, put_by, put_at) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (tenant, cause) DO UPDATE SET reason = excluded.reason, put_by = excluded.put_by")
                .bind(tenant.map_or(EVERYBODY, TenantId::as_str))
                .bind(brake.cause.as_str())
                .bind(&*brake.reason)
                .bind(&*brake.by)
                .bind(brake.at.as_microsecond()),
        )
        .await?;
        Ok(())
    }

    /// Lets the engine of a tenant make changes again, or those of all tenants and all of them together; tells what
    /// kept them from it. If that was another organization, the one that answers next is the right one.
    pub async fn release_brakes(&mut self, tenant: Option<&TenantId>) -> Result<Vec<BrakeCause>, StoreError> {
        const ONE: &str = "DELETE FROM brakes WHERE tenant = $1 RETURNING tenant, cause";
        const ALL: &str = "DELETE FROM brakes WHERE tenant <> $1 OR tenant = '*' RETURNING tenant, cause";
        let (text, bound) = match tenant {
            Some(tenant) => (ONE, tenant.as_str()),
            None => (ALL, EVERYBODY),
        };
        let mut causes = Vec::new();
        for row in self.execute_returning(sql(text).bind(bound)).await? {
            let cause = Row(&row).parsed("cause")?;
            causes.push(cause);
            if cause == BrakeCause::Organization {
                let forget = sql("UPDATE tenants SET organization_id = NULL WHERE id = $1");
                self.execute(forget.bind(Row(&row).text("tenant")?)).await?;
            }
        }
        Ok(causes)
    }

    /// Notes which organization a tenant's people belong to.
    pub async fn bind_organization(
        &mut self,
        tenant: &TenantId,
        organization: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            sql("INSERT INTO tenants (id, organization_id, created_at) VALUES ($1, $2, $3)
                 ON CONFLICT (id) DO UPDATE SET organization_id = excluded.organization_id")
            .bind(tenant.as_str())
            .bind(organization)
            .bind(now.as_microsecond()),
        )
        .await?;
        Ok(())
    }
}
