//! What the board of `/readyz` shows of each organization.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tokio::sync::watch;

use crate::http::{Condition, Readiness};
use crate::ids::TenantId;
use crate::model::observed::Collection;
use crate::provision::handle::{Health, Queue, Upstream};

/// What OpenAI may not offer to an organization, by its name on the board.
const FEATURES: [(Collection, &str); 3] =
    [(Collection::Projects, "projects"), (Collection::Roles, "roles"), (Collection::Groups, "groups")];

/// Where the board tells of the organization of a tenant.
pub(super) fn upstream_of(tenant: &TenantId) -> String {
    format!("upstream:{tenant}")
}

/// Says no more of a tenant.
pub(super) fn forget(readiness: &Readiness, tenant: &TenantId) {
    readiness.forget(&upstream_of(tenant));
    for (_, feature) in FEATURES {
        readiness.forget(&format!("{feature}:{tenant}"));
    }
}

/// Keeps the board of `/readyz` true about one organization. Trouble there degrades the program and no more: what
/// identity providers wish is still taken and kept.
pub(super) async fn report(
    readiness: Readiness,
    tenant: TenantId,
    mut upstream: watch::Receiver<Upstream>,
    mut health: watch::Receiver<Health>,
) {
    let component = upstream_of(&tenant);
    loop {
        let condition = match *upstream.borrow_and_update() {
            Upstream::Ok => Condition::Ok,
            Upstream::KeyRefused | Upstream::Unreachable => Condition::Degraded,
        };
        let health_now = health.borrow_and_update().clone();
        let condition = if health_now.standstill.is_some() { Condition::Degraded } else { condition };
        readiness.set(&component, condition);
        let queues: Map<String, Value> = health_now
            .backlog
            .queues
            .iter()
            .map(|(endpoint, Queue { per_minute, left, waiting })| {
                let queue = json!({ "per_minute": per_minute, "left_now": left, "waiting": waiting });
                ((*endpoint).to_owned(), queue)
            })
            .collect();
        readiness.explain(
            &component,
            json!({
                "key": health_now.key_trouble,
                "standstill": health_now.standstill.is_some(),
                "open_holds": health_now.open_holds,
                "oldest_removal_since": health_now.oldest_removal,
                "calls": queues,
                "last_call_starts_at": health_now.backlog.last_start,
            }),
        );
        let ended = tokio::select! {
            changed = upstream.changed() => changed.is_err(),
            changed = health.changed() => changed.is_err(),
        };
        if ended {
            return;
        }
    }
}

/// Likewise about what OpenAI does not offer to the organization.
pub(super) async fn report_features(
    readiness: Readiness,
    tenant: TenantId,
    mut not_offered: watch::Receiver<BTreeSet<Collection>>,
) {
    let mut told = BTreeSet::new();
    loop {
        let now = not_offered.borrow_and_update().clone();
        for collection in told.union(&now) {
            let condition = if now.contains(collection) { Condition::NotOffered } else { Condition::Ok };
            if let Some((_, feature)) = FEATURES.iter().find(|(feature, _)| feature == collection) {
                readiness.set(&format!("{feature}:{tenant}"), condition);
            }
        }
        told = now;
        if not_offered.changed().await.is_err() {
            return;
        }
    }
}
