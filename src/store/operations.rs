//! Operations on record: written before the call, settled after.

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::row::{Row, micros, to_json};
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::{OperationId, PersonId, TenantId};
use crate::model::operation::{Operation, OperationState};

macro_rules! operation_columns {
    () => {
        "id, person, person_version, action, reason, state, sent_at, unanswered_at, settled_at, upstream_request_id, \
         outcome"
    };
}
pub(super) use operation_columns;

pub(super) fn operation(tenant: &TenantId, row: &AnyRow) -> Result<Operation, StoreError> {
    let row = Row(row);
    let state = row.text("state")?;
    let state = OperationState::ALL
        .into_iter()
        .find(|known| known.as_str() == state)
        .ok_or_else(|| StoreError::broken(format!("`{state}` is no state of an operation")))?;
    Ok(Operation {
        tenant: tenant.clone(),
        id: row.parsed("id")?,
        person: row.parsed("person")?,
        person_version: row.int("person_version")?,
        action: row.json("action")?,
        reason: row.text("reason")?,
        state,
        sent_at: row.time("sent_at")?,
        unanswered_at: row.optional_time("unanswered_at")?,
        settled_at: row.optional_time("settled_at")?,
        upstream_request_id: row.optional_text("upstream_request_id")?,
        outcome: row.optional_text("outcome")?,
    })
}

impl Reader {
    /// The latest operations of a person, newest first, at most `limit`.
    pub async fn list_operations(
        &mut self,
        tenant: &TenantId,
        person: PersonId,
        limit: i64,
    ) -> Result<Vec<Operation>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            operation_columns!(),
            " FROM operations WHERE tenant = $1 AND person = $2 ORDER BY id DESC LIMIT $3"
        );
        let rows = self
            .fetch_all(sql(SQL).bind(tenant.as_str()).bind(person.to_string()).bind(limit.max(0)))
            .await?;
        rows.iter().map(|row| operation(tenant, row)).collect()
    }

    /// Whether any operation of the tenant has an open outcome.
    pub async fn has_open_operations(&mut self, tenant: &TenantId) -> Result<bool, StoreError> {
        let row = self
            .fetch_optional(
                sql("SELECT id FROM operations
                     WHERE tenant = $1 AND state IN ('sending', 'unknown') LIMIT 1")
                .bind(tenant.as_str()),
            )
            .await?;
        Ok(row.is_some())
    }

    /// Operations of a person whose outcome is open, oldest first.
    pub(super) async fn open_operations(
        &mut self,
        tenant: &TenantId,
        person: PersonId,
    ) -> Result<Vec<Operation>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            operation_columns!(),
            " FROM operations
              WHERE tenant = $1 AND person = $2 AND state IN ('sending', 'unknown') ORDER BY id"
        );
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str()).bind(person.to_string())).await?;
        rows.iter().map(|row| operation(tenant, row)).collect()
    }
}

impl Tx {
    /// Records an operation that is about to be sent. `Taken` when the person has one whose outcome is open.
    pub async fn record_operation(&mut self, operation: &Operation) -> Result<(), StoreError> {
        self.execute(
            sql("INSERT INTO operations (tenant, id, person, person_version, action, reason, state, sent_at,
                                         unanswered_at, settled_at, upstream_request_id, outcome)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)")
            .bind(operation.tenant.as_str())
            .bind(operation.id.to_string())
            .bind(operation.person.to_string())
            .bind(operation.person_version)
            .bind(to_json(&operation.action)?)
            .bind(&*operation.reason)
            .bind(operation.state.as_str())
            .bind(operation.sent_at.as_microsecond())
            .bind(micros(operation.unanswered_at))
            .bind(micros(operation.settled_at))
            .bind(operation.upstream_request_id.as_deref())
            .bind(operation.outcome.as_deref()),
        )
        .await?;
        Ok(())
    }

    /// Notes that nobody waits for an answer any more to what was being sent, because the program ended or could not write
    /// the answer down: it may have reached OpenAI until `at`.
    pub async fn abandon_calls(&mut self, tenant: &TenantId, at: Timestamp) -> Result<(), StoreError> {
        for abandon in [
            "UPDATE operations SET state = 'unknown', unanswered_at = $2
             WHERE tenant = $1 AND state IN ('sending', 'unknown') AND unanswered_at IS NULL",
            "UPDATE group_links SET unanswered_at = $2
             WHERE tenant = $1 AND open IS NOT NULL AND unanswered_at IS NULL",
        ] {
            self.execute(sql(abandon).bind(tenant.as_str()).bind(at.as_microsecond())).await?;
        }
        Ok(())
    }

    /// Writes down what came of an operation; one that had no effect gives back what guards counted it as. A refusal
    /// may later turn out to be no more than a failure. `Stale` when it is unknown, or was settled otherwise before.
    pub async fn settle_operation(
        &mut self,
        tenant: &TenantId,
        id: OperationId,
        state: OperationState,
        at: Timestamp,
        upstream_request_id: Option<&str>,
        outcome: Option<&str>,
    ) -> Result<(), StoreError> {
        let settled_at = (!state.is_open()).then_some(at);
        let unanswered_at = (state == OperationState::Unknown).then_some(at);
        self.execute_or_stale(
            sql("UPDATE operations SET state = $3, settled_at = $4,
                        upstream_request_id = COALESCE($5, upstream_request_id), outcome = COALESCE($6, outcome),
                        unanswered_at = COALESCE($7, unanswered_at)
                 WHERE tenant = $1 AND id = $2 AND (state IN ('sending', 'unknown') OR state = $3 OR (state = 'refused' AND $3 = 'failed'))")
            .bind(tenant.as_str())
            .bind(id.to_string())
            .bind(state.as_str())
            .bind(micros(settled_at))
            .bind(upstream_request_id)
            .bind(outcome)
            .bind(micros(unanswered_at)),
        )
        .await?;
        match state {
            OperationState::Refused | OperationState::Failed => self.give_back(tenant, id).await,
            OperationState::Sending | OperationState::Unknown | OperationState::Done => Ok(()),
        }
    }
}
