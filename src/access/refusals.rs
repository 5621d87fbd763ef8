//! The account of those who were turned away: every one of them is in the audit trail, and a flood costs no more than
//! a trickle. The first of a kind is entered at once, the others of the same minute are counted and entered together.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::door::Refusal;
use crate::clock::Clock;
use crate::ids::{RequestId, TenantId};
use crate::model::audit::{Actor, AuditEntry};
use crate::store::{Store, StoreError};
use crate::telemetry::chain;

/// How long attempts of one kind are counted together.
const WINDOW: SignedDuration = SignedDuration::from_mins(1);
/// The most kinds that are told apart at once; more than tenants, reasons and tokens on record make in good times.
const MAX_KINDS: usize = 4_096;

/// The account. Clones share it.
#[derive(Debug, Clone)]
pub struct Refusals {
    store: Store,
    clock: Clock,
    books: Arc<Mutex<Books>>,
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Books {
    /// What is counted in this minute.
    open: BTreeMap<Kind, Tally>,
    /// What is to be entered in the trail, oldest first.
    pending: Vec<AuditEntry>,
}

/// Attempts that are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    tenant: TenantId,
    reason: &'static str,
    token: Option<String>,
}

#[derive(Debug)]
struct Tally {
    since: Timestamp,
    more: u64,
}

impl Refusals {
    pub(super) fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock, books: Arc::default(), wake: Arc::default() }
    }

    /// Enters an attempt on a tenant that there is, from this address; tells whether it is the first of its kind
    /// within a minute, and so worth a line in the log.
    pub fn note(
        &self,
        tenant: &TenantId,
        refusal: &Refusal,
        request: RequestId,
        client: Option<IpAddr>,
    ) -> bool {
        let Refusal { reason, token } = refusal.clone();
        let now = self.clock.now();
        let mut kind = Kind { tenant: tenant.clone(), reason, token };
        {
            let mut books = self.books();
            if books.open.len() >= MAX_KINDS {
                kind.token = None;
            }
            if let Some(tally) = books.open.get_mut(&kind) {
                tally.more = tally.more.saturating_add(1);
                return false;
            }
            books.open.insert(kind.clone(), Tally { since: now, more: 0 });
            books.pending.push(entry(&kind, now, 1, Some(request)));
        }
        self.wake.notify_one();
        tracing::warn!(
            tenant = %kind.tenant,
            request.id = %request,
            token.id = kind.token,
            client = client.map(tracing::field::display),
            reason,
            "a caller of tenant {tenant} was turned away: {reason}",
        );
        true
    }

    /// Enters what is new at once and what was counted each minute, until `cancel` is cancelled, and then all of it.
    pub async fn tend(self, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            tokio::select! {
                () = self.wake.notified() => {}
                () = self.clock.sleep_until(self.clock.now() + WINDOW) => {}
                () = cancel.cancelled() => {}
            }
            self.settle(false).await;
        }
        self.settle(true).await;
    }

    /// Enters what is new, and the counts of the kinds whose minute is over; those of all kinds, if told so. What the
    /// store does not take is kept for the next time.
    pub async fn settle(&self, all: bool) {
        let entries = self.take_due(all);
        if entries.is_empty() {
            return;
        }
        let entries: Arc<[AuditEntry]> = entries.into();
        if let Err(error) = self.write(Arc::clone(&entries)).await {
            tracing::warn!(
                error = chain(&error),
                "refused attempts cannot be entered in the audit trail now"
            );
            let pending = &mut self.books().pending;
            let room = MAX_KINDS.saturating_sub(pending.len());
            pending.splice(0..0, entries.iter().take(room).cloned());
        }
    }

    fn take_due(&self, all: bool) -> Vec<AuditEntry> {
        let now = self.clock.now();
        let Books { open, pending } = &mut *self.books();
        let mut due = std::mem::take(pending);
        open.retain(|kind, tally| {
            let is_over = all || now.duration_since(tally.since).abs() >= WINDOW;
            if is_over && tally.more > 0 {
                let Kind { tenant, reason, .. } = kind;
                let count = tally.more;
                tracing::warn!(%tenant, reason, "{count} more callers of tenant {tenant} were turned away: {reason}");
                due.push(entry(kind, now, count, None));
            }
            !is_over
        });
        due
    }

    async fn write(&self, entries: Arc<[AuditEntry]>) -> Result<(), StoreError> {
        self.store
            .write(move |tx| {
                let entries = Arc::clone(&entries);
                Box::pin(async move {
                    for entry in &*entries {
                        tx.append_audit(entry).await?;
                    }
                    Ok(())
                })
            })
            .await
    }

    fn books(&self) -> std::sync::MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(kind: &Kind, at: Timestamp, count: u64, request: Option<RequestId>) -> AuditEntry {
    let detail = json!({ "reason": kind.reason, "token_id": kind.token, "count": count });
    AuditEntry { request, ..AuditEntry::by(Actor::Nobody, &kind.tenant, at, "access.refused", detail) }
}
