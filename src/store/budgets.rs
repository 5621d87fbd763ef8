//! What was learnt of OpenAI's rate limits.

use sqlx::any::AnyRow;

use super::row::{Row, micros};
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::TenantId;
use crate::model::budget::Budget;

fn budget(row: &AnyRow) -> Result<Budget, StoreError> {
    let row = Row(row);
    let count = |name| Ok::<_, StoreError>(u32::try_from(row.int(name)?).unwrap_or_default());
    Ok(Budget {
        endpoint: row.text("endpoint")?,
        allowed: count("allowed")?,
        changed_at: row.time("changed_at")?,
        paused_until: row.optional_time("paused_until")?,
        used: count("used")?,
        saved_at: row.time("saved_at")?,
    })
}

impl Reader {
    /// What was learnt of each endpoint, by its name.
    pub async fn budgets(&mut self, tenant: &TenantId) -> Result<Vec<Budget>, StoreError> {
        const SQL: &str = "SELECT endpoint, allowed, changed_at, paused_until, used, saved_at FROM budgets
             WHERE tenant = $1 ORDER BY endpoint";
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str())).await?;
        rows.iter().map(budget).collect()
    }
}

impl Tx {
    /// Keeps what was learnt of these endpoints, in the place of what was known before.
    pub async fn save_budgets(&mut self, tenant: &TenantId, budgets: &[Budget]) -> Result<(), StoreError> {
        for budget in budgets {
            self.execute(
                sql("INSERT INTO budgets (tenant, endpoint, allowed, changed_at, paused_until, used, saved_at)
                     VALUES ($1, $2, $3, $4, $5, $6, $7)
                     ON CONFLICT (tenant, endpoint) DO UPDATE SET allowed = excluded.allowed,
                        changed_at = excluded.changed_at, paused_until = excluded.paused_until, used = excluded.used,
                        saved_at = excluded.saved_at")
                .bind(tenant.as_str())
                .bind(&*budget.endpoint)
                .bind(i64::from(budget.allowed))
                .bind(budget.changed_at.as_microsecond())
                .bind(micros(budget.paused_until))
                .bind(i64::from(budget.used))
                .bind(budget.saved_at.as_microsecond()),
            )
            .await?;
        }
        Ok(())
    }
}
