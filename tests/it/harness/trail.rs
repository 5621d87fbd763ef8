//! What the audit trail tells.

use openai_scim_bridge::ids::TenantId;
use openai_scim_bridge::store::{Link, Store};
use serde_json::Value;

/// An entry of the trail.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) seq: i64,
    pub(crate) actor: String,
    pub(crate) request: Option<String>,
    pub(crate) event: String,
    pub(crate) detail: Value,
}

/// The whole trail of a tenant, oldest first.
pub(crate) async fn trail(store: &Store, tenant: &TenantId) -> Vec<Told> {
    let links = store.reader().await.unwrap().list_links(tenant, None, 0, i64::MAX).await.unwrap();
    let told = |Link { seq, actor, request, event, detail, .. }: Link| {
        let detail = serde_json::from_str(&detail).unwrap();
        Told { seq, actor, request, event, detail }
    };
    links.into_iter().map(told).collect()
}

/// The trail of the default tenant.
pub(crate) async fn trail_of_default(store: &Store) -> Vec<Told> {
    trail(store, &TenantId::default_tenant()).await
}
