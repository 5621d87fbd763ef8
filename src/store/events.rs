//! The event feed, and the requests that are answered later.

use std::collections::BTreeMap;
use std::future::{Future, ready};

use jiff::Timestamp;
use serde_json::Value;
use sqlx::any::AnyRow;

use super::query::Sql;
use super::row::{Row, to_json};
use super::session::{Statement, sql};
use super::{Reader, StoreError, Tx};
use crate::ids::{EventId, TenantId, Txn};
use crate::model::event::{Deferred, Delivery, Event, EventRecord, Outcome};

/// The most events in one statement.
const MAX_EVENTS: usize = 64;

fn record(tenant: &TenantId, row: &AnyRow) -> Result<EventRecord, StoreError> {
    let row = Row(row);
    let event = Event {
        tenant: tenant.clone(),
        txn: row.text("txn")?.into(),
        at: row.time("made_at")?,
        subject: row.text("subject")?,
        what: row.json("what")?,
    };
    Ok(EventRecord { seq: row.int("seq")?, id: row.parsed("id")?, event })
}

fn deferred(tenant: &TenantId, row: &AnyRow) -> Result<Deferred, StoreError> {
    let row = Row(row);
    Ok(Deferred {
        tenant: tenant.clone(),
        txn: row.text("txn")?.into(),
        method: row.text("method")?,
        subject: row.text("subject")?,
        version: row.int("version")?,
        made_at: row.time("made_at")?,
    })
}

impl Reader {
    /// The events that are still to be told this way, in their order, at most `limit`.
    pub async fn waiting_events(
        &mut self,
        tenant: &TenantId,
        delivery: Delivery,
        limit: i64,
    ) -> Result<Vec<EventRecord>, StoreError> {
        const BY_POLL: &str = "SELECT seq, id, txn, made_at, subject, what FROM events
             WHERE tenant = $1 AND polled IS NULL ORDER BY seq LIMIT $2";
        const BY_PUSH: &str = "SELECT seq, id, txn, made_at, subject, what FROM events
             WHERE tenant = $1 AND pushed IS NULL ORDER BY seq LIMIT $2";
        let text = match delivery {
            Delivery::Poll => BY_POLL,
            Delivery::Push => BY_PUSH,
        };
        let rows = self.fetch_all(sql(text).bind(tenant.as_str()).bind(limit.max(0))).await?;
        rows.iter().map(|row| record(tenant, row)).collect()
    }

    /// One event, told or not.
    pub async fn load_event(
        &mut self,
        tenant: &TenantId,
        id: EventId,
    ) -> Result<Option<EventRecord>, StoreError> {
        const SQL: &str = "SELECT seq, id, txn, made_at, subject, what FROM events
             WHERE tenant = $1 AND id = $2";
        let row = self.fetch_optional(sql(SQL).bind(tenant.as_str()).bind(id.to_string())).await?;
        row.map(|row| record(tenant, &row)).transpose()
    }

    /// A deferred request, with its outcome if it has one.
    pub async fn load_deferred(
        &mut self,
        tenant: &TenantId,
        txn: &Txn,
    ) -> Result<Option<(Deferred, Option<Outcome>)>, StoreError> {
        const SQL: &str = "SELECT txn, method, subject, version, made_at, settled_at, outcome, event
             FROM deferred_requests WHERE tenant = $1 AND txn = $2";
        let row = self.fetch_optional(sql(SQL).bind(tenant.as_str()).bind(txn.as_str())).await?;
        row.map(|row| {
            let outcome = match Row(&row).optional_time("settled_at")? {
                None => None,
                Some(at) => {
                    let operation = Row(&row).json("outcome")?;
                    Some(Outcome { at, operation, event: Row(&row).parsed("event")? })
                }
            };
            Ok((deferred(tenant, &row)?, outcome))
        })
        .transpose()
    }

    /// Deferred requests made before `before` that have no outcome, oldest first, at most `limit`.
    pub async fn open_deferred(
        &mut self,
        tenant: &TenantId,
        before: Timestamp,
        limit: i64,
    ) -> Result<Vec<Deferred>, StoreError> {
        const SQL: &str = "SELECT txn, method, subject, version, made_at FROM deferred_requests
             WHERE tenant = $1 AND settled_at IS NULL AND made_at < $2 ORDER BY made_at, txn LIMIT $3";
        let statement = sql(SQL).bind(tenant.as_str()).bind(before.as_microsecond()).bind(limit.max(0));
        let rows = self.fetch_all(statement).await?;
        rows.iter().map(|row| deferred(tenant, row)).collect()
    }
}

impl Tx {
    /// Adds an event to the tenant's feed and tells its id. Like an entry of the trail, it is numbered and written
    /// with the commit; a write that fails leaves none.
    pub fn append_event(&mut self, event: Event) -> impl Future<Output = Result<EventId, StoreError>> + Send {
        let id = EventId::new(self.clock());
        self.feed.push((id, event));
        ready(Ok(id))
    }

    /// Writes what was appended; the writers of the tenants concerned have taken their turns.
    pub(super) async fn write_feed(&mut self) -> Result<(), StoreError> {
        let feed = std::mem::take(&mut self.feed);
        for events in feed.chunks(MAX_EVENTS) {
            let statement = insert(events)?;
            self.execute(statement).await?;
        }
        Ok(())
    }

    /// Notes what came of telling events: a word, or a word and particulars. What is noted already stays.
    pub async fn settle_events(
        &mut self,
        tenant: &TenantId,
        delivery: Delivery,
        outcomes: &[(EventId, String)],
    ) -> Result<(), StoreError> {
        const BY_POLL: &str =
            "UPDATE events SET polled = $3 WHERE tenant = $1 AND id = $2 AND polled IS NULL";
        const BY_PUSH: &str =
            "UPDATE events SET pushed = $3 WHERE tenant = $1 AND id = $2 AND pushed IS NULL";
        let text = match delivery {
            Delivery::Poll => BY_POLL,
            Delivery::Push => BY_PUSH,
        };
        for (id, outcome) in outcomes {
            let statement = sql(text).bind(tenant.as_str()).bind(id.to_string()).bind(outcome.clone());
            self.execute(statement).await?;
        }
        Ok(())
    }

    /// Forgets the oldest events, at most `batch`: those made before `before`, and those beyond the newest `keep`.
    /// Tells how many.
    pub async fn prune_events(
        &mut self,
        tenant: &TenantId,
        before: Timestamp,
        keep: i64,
        batch: i64,
    ) -> Result<u64, StoreError> {
        const SQL: &str = "DELETE FROM events WHERE tenant = $1
             AND seq IN (SELECT seq FROM events WHERE tenant = $1 ORDER BY seq LIMIT $4)
             AND (made_at < $2 OR seq <= (SELECT MAX(seq) FROM events WHERE tenant = $1) - $3)";
        self.execute(
            sql(SQL).bind(tenant.as_str()).bind(before.as_microsecond()).bind(keep).bind(batch.max(0)),
        )
        .await
    }

    /// Adds a request that is answered later.
    pub async fn insert_deferred(&mut self, deferred: &Deferred) -> Result<(), StoreError> {
        self.execute(
            sql("INSERT INTO deferred_requests (tenant, txn, method, subject, version, made_at)
                 VALUES ($1, $2, $3, $4, $5, $6)")
            .bind(deferred.tenant.as_str())
            .bind(deferred.txn.as_str())
            .bind(&*deferred.method)
            .bind(&*deferred.subject)
            .bind(deferred.version)
            .bind(deferred.made_at.as_microsecond()),
        )
        .await?;
        Ok(())
    }

    /// Notes the outcome of a deferred request, an operation of a bulk answer, and appends the event that tells of
    /// it. Tells `false`, without any effect, if the request is unknown or has an outcome already.
    pub async fn settle_deferred(
        &mut self,
        txn: &Txn,
        operation: &Value,
        event: &Event,
    ) -> Result<bool, StoreError> {
        let id = EventId::new(self.clock());
        let rows = self
            .execute(
                sql("UPDATE deferred_requests SET settled_at = $3, outcome = $4, event = $5
                     WHERE tenant = $1 AND txn = $2 AND settled_at IS NULL")
                .bind(event.tenant.as_str())
                .bind(txn.as_str())
                .bind(event.at.as_microsecond())
                .bind(to_json(operation)?)
                .bind(id.to_string()),
            )
            .await?;
        if rows > 0 {
            self.feed.push((id, event.clone()));
        }
        Ok(rows > 0)
    }

    /// Forgets a deferred request without an outcome, because its client is answered after all. Tells `false` if it
    /// has an outcome.
    pub async fn forget_deferred(&mut self, tenant: &TenantId, txn: &Txn) -> Result<bool, StoreError> {
        const SQL: &str =
            "DELETE FROM deferred_requests WHERE tenant = $1 AND txn = $2 AND settled_at IS NULL";
        Ok(self.execute(sql(SQL).bind(tenant.as_str()).bind(txn.as_str())).await? > 0)
    }

    /// Forgets deferred requests that ended before `before`, at most `batch`; tells how many.
    pub async fn prune_deferred(
        &mut self,
        tenant: &TenantId,
        before: Timestamp,
        batch: i64,
    ) -> Result<u64, StoreError> {
        const SQL: &str = "DELETE FROM deferred_requests WHERE tenant = $1 AND txn IN (
             SELECT txn FROM deferred_requests
             WHERE tenant = $1 AND settled_at IS NOT NULL AND settled_at < $2 ORDER BY settled_at LIMIT $3)";
        self.execute(sql(SQL).bind(tenant.as_str()).bind(before.as_microsecond()).bind(batch.max(0))).await
    }
}

/// One statement for several events, each numbered after the last of its tenant.
fn insert(events: &[(EventId, Event)]) -> Result<Statement<'static>, StoreError> {
    let mut sql = Sql::new(
        "INSERT INTO events (tenant, seq, id, txn, made_at, subject, what)
         SELECT column1, column2 + (SELECT COALESCE(MAX(seq), 0) FROM events WHERE tenant = column1),
                column3, column4, column5, column6, column7 FROM (VALUES ",
    );
    let mut counts = BTreeMap::new();
    for (index, (id, event)) in events.iter().enumerate() {
        let nth = counts.entry(&event.tenant).and_modify(|count| *count += 1).or_insert(1);
        sql.push(if index == 0 { "(" } else { ", (" }).text(event.tenant.as_str());
        sql.push(", ").int(*nth);
        sql.push(", ").text(id.to_string());
        sql.push(", ").text(event.txn.as_str());
        sql.push(", ").int(event.at.as_microsecond());
        sql.push(", ").text(&*event.subject);
        sql.push(", ").text(to_json(&event.what)?).push(")");
    }
    sql.push(") AS entries");
    // The text depends on how many there are; only the usual one is worth keeping prepared.
    Ok(sql.statement().persistent(events.len() == 1))
}
