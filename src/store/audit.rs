//! The audit trail: append only, numbered without gaps in each tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, ready};

use super::query::Sql;
use super::row::{Row, to_json};
use super::session::{Statement, sql};
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

/// The most entries in one statement.
const MAX_ENTRIES: usize = 64;

impl Tx {
    /// Adds an entry to the audit trail. It is numbered and written with the commit, together with the entries of
    /// the writes that share it; a write that fails leaves none.
    pub fn append_audit(
        &mut self,
        entry: &AuditEntry,
    ) -> impl Future<Output = Result<(), StoreError>> + Send {
        self.trail.push(entry.clone());
        ready(Ok(()))
    }

    /// Writes what was appended to the trail, and to the feeds.
    pub(super) async fn write_trail(&mut self) -> Result<(), StoreError> {
        let trail = std::mem::take(&mut self.trail);
        // Writers of one tenant's trail and feed take turns from here to their commit, so that no number is given twice
        // and no reader sees a number before a lower one.
        let in_trail = trail.iter().map(|entry| &entry.tenant);
        let in_feed = self.feed.iter().map(|(_, event)| &event.tenant);
        let tenants: BTreeSet<_> = in_trail.chain(in_feed).cloned().collect();
        for tenant in tenants {
            self.take_turn(&tenant, "audit").await?;
        }
        for entries in trail.chunks(MAX_ENTRIES) {
            let statement = insert(entries)?;
            self.execute(statement).await?;
        }
        self.write_feed().await
    }
}

/// One statement for several entries, each numbered after the last of its tenant.
fn insert(entries: &[AuditEntry]) -> Result<Statement<'static>, StoreError> {
    let mut sql = Sql::new(
        "INSERT INTO audit (tenant, seq, at, actor, request, person, event, detail)
         SELECT column1, column2 + (SELECT COALESCE(MAX(seq), 0) FROM audit WHERE tenant = column1),
                column3, column4, column5, column6, column7, column8 FROM (VALUES ",
    );
    let mut counts = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let nth = counts.entry(&entry.tenant).and_modify(|count| *count += 1).or_insert(1);
        sql.push(if index == 0 { "(" } else { ", (" }).text(entry.tenant.as_str());
        sql.push(", ").int(*nth);
        sql.push(", ").int(entry.at.as_microsecond());
        sql.push(", ").text(entry.actor.as_text());
        sql.push(", ").optional_text(entry.request.as_ref().map(RequestId::to_string));
        sql.push(", ").optional_text(entry.person.as_ref().map(PersonId::to_string));
        sql.push(", ").text(&*entry.event);
        sql.push(", ").text(to_json(&entry.detail)?).push(")");
    }
    sql.push(") AS entries");
    // The text depends on how many there are; only the usual one is worth keeping prepared.
    Ok(sql.statement().persistent(entries.len() == 1))
}
