//! Operations on record: written before the call, settled after.

use jiff::Timestamp;

use super::{Reader, StoreError, Tx};
use crate::ids::{OperationId, PersonId, TenantId};
use crate::model::operation::{Lane, Operation, OperationState};

/// How much waits in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneDepth {
    /// The lane.
    pub lane: Lane,
    /// People waiting in it.
    pub depth: i64,
    /// Since when the oldest waits.
    pub oldest_at: Timestamp,
}

impl Reader {
    /// The people who are due at `now`, counted per lane.
    pub async fn lane_depths(&mut self, _: &TenantId, _now: Timestamp) -> Result<Vec<LaneDepth>, StoreError> {
        unimplemented!()
    }

    /// The latest operations of a person, newest first, at most `limit`.
    pub async fn list_operations(
        &mut self,
        _: &TenantId,
        _: PersonId,
        _limit: i64,
    ) -> Result<Vec<Operation>, StoreError> {
        unimplemented!()
    }

    /// Whether any operation of the tenant has an open outcome.
    pub async fn has_open_operations(&mut self, _: &TenantId) -> Result<bool, StoreError> {
        unimplemented!()
    }
}

impl Tx {
    /// Records an operation that is about to be sent. `Taken` when the person has one whose outcome is open.
    pub async fn record_operation(&mut self, _: &Operation) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Writes down what came of an operation.
    pub async fn settle_operation(
        &mut self,
        _: &TenantId,
        _: OperationId,
        _: OperationState,
        _at: Timestamp,
        _upstream_request_id: Option<&str>,
        _outcome: Option<&str>,
    ) -> Result<(), StoreError> {
        unimplemented!()
    }
}
