//! The account of those who were turned away: every one of them is in the audit trail, and a flood costs no more than
//! a trickle. The first of a kind is entered at once, the others of the same minute are counted and entered together.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
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
    open: Arc<Mutex<BTreeMap<Kind, Tally>>>,
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
        Self { store, clock, open: Arc::default() }
    }

    /// Enters an attempt on a tenant that there is; tells whether it is the first of its kind for now, and so worth
    /// a line in the log.
    pub fn note(&self, tenant: &TenantId, refusal: &Refusal, request: RequestId) -> bool {
        let Refusal { reason, token } = refusal.clone();
        let now = self.clock.now();
        let mut kind = Kind { tenant: tenant.clone(), reason, token };
        {
            let mut open = self.open();
            if open.len() >= MAX_KINDS {
                kind.token = None;
            }
            if let Some(tally) = open.get_mut(&kind) {
                tally.more = tally.more.saturating_add(1);
                return false;
            }
            open.insert(kind.clone(), Tally { since: now, more: 0 });
        }
        tracing::warn!(
            tenant = %kind.tenant,
            request.id = %request,
            token.id = kind.token,
            reason,
            "a caller of tenant {tenant} was turned away: {reason}",
        );
        let this = self.clone();
        let entry = entry(&kind, now, 1, Some(request));
        tokio::spawn(async move { this.write(vec![entry]).await });
        true
    }

    /// Enters what was counted, each minute and at the end, until `cancel` is cancelled.
    pub async fn tend(self, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            let next = self.clock.now() + WINDOW;
            let _slept = cancel.run_until_cancelled(self.clock.sleep_until(next)).await;
            self.settle(cancel.is_cancelled()).await;
        }
    }

    /// Enters the kinds whose minute is over; all of them, if told so.
    pub async fn settle(&self, all: bool) {
        let now = self.clock.now();
        let mut entries = Vec::new();
        self.open().retain(|kind, tally| {
            let is_over = all || now.duration_since(tally.since).abs() >= WINDOW;
            if is_over && tally.more > 0 {
                entries.push(entry(kind, now, tally.more, None));
            }
            !is_over
        });
        for AuditEntry { tenant, detail, .. } in &entries {
            let (count, reason) = (&detail["count"], &detail["reason"]);
            tracing::warn!(%tenant, "{count} more callers of tenant {tenant} were turned away: {reason}");
        }
        if !entries.is_empty() {
            self.write(entries).await;
        }
    }

    async fn write(&self, entries: Vec<AuditEntry>) {
        let entries: Arc<[AuditEntry]> = entries.into();
        let written: Result<(), StoreError> = self
            .store
            .write(move |tx| {
                let entries = Arc::clone(&entries);
                Box::pin(async move {
                    for entry in &*entries {
                        tx.append_audit(entry).await?;
                    }
                    Ok(())
                })
            })
            .await;
        if let Err(error) = written {
            tracing::warn!(error = chain(&error), "refused attempts are missing in the audit trail");
        }
    }

    fn open(&self) -> std::sync::MutexGuard<'_, BTreeMap<Kind, Tally>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(kind: &Kind, at: Timestamp, count: u64, request: Option<RequestId>) -> AuditEntry {
    AuditEntry {
        tenant: kind.tenant.clone(),
        at,
        actor: Actor::Nobody,
        request,
        person: None,
        event: "access.refused".to_owned(),
        detail: json!({ "reason": kind.reason, "token_id": kind.token, "count": count }),
    }
}
