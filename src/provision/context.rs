//! What every acting part of a tenant's engine holds.

use std::sync::Arc;

use crate::clock::Clock;
use crate::ids::TenantId;
use crate::model::policy::Policy;
use crate::openai::Client;
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

/// One tenant's side of everything. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Context {
    pub(super) tenant: TenantId,
    pub(super) policy: Arc<Policy>,
    pub(super) store: Store,
    pub(super) client: Client,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    /// Whether somebody is to be called about alarms.
    pub(super) queue_alarms: bool,
}
