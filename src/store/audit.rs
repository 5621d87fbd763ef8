//! The audit trail: append only, numbered without gaps in each tenant.

use super::row::{Row, to_json};
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::{PersonId, RequestId, TenantId};
use crate::model::audit::AuditEntry;

/// An entry of the trail with its number.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRecord {
    /// Its number in the tenant's trail, from 1.
    pub seq: i64,
    /// The entry.
    pub entry: AuditEntry,
}

impl Reader {
    /// The entries after number `after`, in their order, at most `limit`; of one person, if asked.
    pub async fn list_audit(
        &mut self,
        tenant: &TenantId,
        person: Option<PersonId>,
        after: i64,
        limit: i64,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        const ALL: &str = "SELECT seq, at, actor, request, person, event, detail FROM audit
             WHERE tenant = $1 AND seq > $2 ORDER BY seq LIMIT $3";
        const OF_PERSON: &str = "SELECT seq, at, actor, request, person, event, detail FROM audit
             WHERE tenant = $1 AND seq > $2 AND person = $4 ORDER BY seq LIMIT $3";
        let statement = sql(if person.is_some() { OF_PERSON } else { ALL });
        let statement = statement.bind(tenant.as_str()).bind(after).bind(limit.max(0));
        let statement = match person {
            Some(person) => statement.bind(person.to_string()),
            None => statement,
        };
        let rows = self.fetch_all(statement).await?;
        rows.iter()
            .map(|row| {
                let row = Row(row);
                let entry = AuditEntry {
                    tenant: tenant.clone(),
                    at: row.time("at")?,
                    actor: row.parsed("actor")?,
                    request: row.optional_parsed("request")?,
                    person: row.optional_parsed("person")?,
                    event: row.text("event")?,
                    detail: row.json("detail")?,
                };
                Ok(AuditRecord { seq: row.int("seq")?, entry })
            })
            .collect()
    }
}

impl Tx {
    /// Adds an entry to the audit trail. Best done last: on PostgreSQL, writers of one tenant's trail take turns
    /// from here to their commit.
    pub async fn append_audit(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.take_turn(&entry.tenant, "audit").await?;
        self.execute(
            sql("INSERT INTO audit (tenant, seq, at, actor, request, person, event, detail)
                 SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3, $4, $5, $6, $7 FROM audit WHERE tenant = $1")
            .bind(entry.tenant.as_str())
            .bind(entry.at.as_microsecond())
            .bind(entry.actor.as_text())
            .bind(entry.request.as_ref().map(RequestId::to_string))
            .bind(entry.person.as_ref().map(PersonId::to_string))
            .bind(&*entry.event)
            .bind(to_json(&entry.detail)?),
        )
        .await?;
        Ok(())
    }
}
