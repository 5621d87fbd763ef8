//! The audit trail: append only, numbered without gaps in each tenant, and chained (see [`super::chain`]).

use std::collections::BTreeSet;
use std::future::{Future, ready};

use super::chain::{End, Link};
use super::query::Sql;
use super::session::Statement;
use super::{StoreError, Tx};
use crate::ids::TenantId;
use crate::model::audit::AuditEntry;

/// The most entries in one statement.
const MAX_ENTRIES: usize = 64;

impl Tx {
    /// Adds an entry to the audit trail. It is numbered, chained and written with the commit, together with the
    /// entries of the writes that share it; a write that fails leaves none.
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
            let end = self.hold_end(&tenant).await?;
            let of_tenant: Vec<_> = trail.iter().filter(|entry| entry.tenant == tenant).collect();
            self.extend(&tenant, end, &of_tenant).await?;
        }
        self.write_feed().await
    }

    /// Writes entries of one tenant after the end of its trail, and moves the head of the chain.
    async fn extend(
        &mut self,
        tenant: &TenantId,
        mut end: End,
        entries: &[&AuditEntry],
    ) -> Result<(), StoreError> {
        for entries in entries.chunks(MAX_ENTRIES) {
            let mut links = Vec::new();
            for entry in entries {
                let link = Link::after(&end, entry)?;
                end = End { last: link.seq, hash: link.hash.clone().unwrap_or_default() };
                links.push(link);
            }
            self.execute(insert(tenant, links)).await?;
        }
        if entries.is_empty() { Ok(()) } else { self.put_head(tenant, &end).await }
    }
}

/// One statement for several entries.
fn insert(tenant: &TenantId, links: Vec<Link>) -> Statement<'static> {
    let count = links.len();
    let mut sql =
        Sql::new("INSERT INTO audit (tenant, seq, at, actor, request, person, event, detail, hash) VALUES ");
    for (index, link) in links.into_iter().enumerate() {
        sql.push(if index == 0 { "(" } else { ", (" }).text(tenant.as_str());
        sql.push(", ").int(link.seq);
        sql.push(", ").int(link.at);
        sql.push(", ").text(link.actor);
        sql.push(", ").optional_text(link.request);
        sql.push(", ").optional_text(link.person);
        sql.push(", ").text(link.event);
        sql.push(", ").text(link.detail);
        sql.push(", ").optional_text(link.hash).push(")");
    }
    // The text depends on how many there are; only the usual one is worth keeping prepared.
    sql.statement().persistent(count == 1)
}
