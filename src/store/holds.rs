//! Holds: what waits for a human.

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::query::Sql;
use super::row::{Row, micros};
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::{GroupId, HoldId, OperationId, PersonId, TenantId};
use crate::model::hold::{About, Decision, Guard, Hold, HoldState};
use crate::model::operation::Lane;

macro_rules! hold_columns {
    () => {
        "id, person, person_version, group_id, losers, guard, subject, reason, state, made_at, judged_at, \
         decided_at, decided_by, decided_why, operation"
    };
}

fn hold(tenant: &TenantId, row: &AnyRow) -> Result<Hold, StoreError> {
    let row = Row(row);
    let decision = match (row.optional_time("decided_at")?, row.optional_text("decided_by")?) {
        (Some(at), Some(by)) => Some(Decision { at, by, why: row.optional_text("decided_why")? }),
        _ => None,
    };
    let about = match row.optional_parsed("person")? {
        Some(id) => About::Person { id, version: row.int("person_version")? },
        None => About::Group { id: row.parsed("group_id")?, losers: row.int("losers")? },
    };
    Ok(Hold {
        tenant: tenant.clone(),
        id: row.parsed("id")?,
        about,
        guard: row.parsed("guard")?,
        subject: row.text("subject")?,
        reason: row.text("reason")?,
        state: row.parsed("state")?,
        made_at: row.time("made_at")?,
        judged_at: row.time("judged_at")?,
        decision,
        operation: row.optional_parsed("operation")?,
    })
}

/// Which holds to list; an empty filter lists all.
#[derive(Debug, Clone, Default)]
pub struct HoldFilter {
    /// Only this one.
    pub id: Option<HoldId>,
    /// Only those of this person.
    pub person: Option<PersonId>,
    /// Only those of this group.
    pub group: Option<GroupId>,
    /// Only those of this guard.
    pub guard: Option<Guard>,
    /// Only those that are over, or only those that are not.
    pub is_over: Option<bool>,
}

impl Reader {
    /// The holds of a person that are not over: open, approved and not used yet, or rejected.
    pub async fn standing_holds(
        &mut self,
        tenant: &TenantId,
        person: PersonId,
    ) -> Result<Vec<Hold>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            hold_columns!(),
            " FROM holds WHERE tenant = $1 AND person = $2 AND state IN ('open', 'approved', 'rejected') ORDER BY id"
        );
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str()).bind(person.to_string())).await?;
        rows.iter().map(|row| hold(tenant, row)).collect()
    }

    /// The holds of all groups that are not over.
    pub async fn standing_group_holds(&mut self, tenant: &TenantId) -> Result<Vec<Hold>, StoreError> {
        const SQL: &str = concat!(
            "SELECT ",
            hold_columns!(),
            " FROM holds WHERE tenant = $1 AND group_id IS NOT NULL AND state IN ('open', 'approved', 'rejected')
             ORDER BY id"
        );
        let rows = self.fetch_all(sql(SQL).bind(tenant.as_str())).await?;
        rows.iter().map(|row| hold(tenant, row)).collect()
    }

    /// Holds by id, after `after`, at most `limit`.
    pub async fn list_holds(
        &mut self,
        tenant: &TenantId,
        filter: &HoldFilter,
        after: Option<HoldId>,
        limit: i64,
    ) -> Result<Vec<Hold>, StoreError> {
        let mut sql = Sql::new(concat!("SELECT ", hold_columns!(), " FROM holds WHERE tenant = "));
        sql.text(tenant.as_str());
        if let Some(id) = filter.id {
            sql.push(" AND id = ").text(id.to_string());
        }
        if let Some(person) = filter.person {
            sql.push(" AND person = ").text(person.to_string());
        }
        if let Some(group) = filter.group {
            sql.push(" AND group_id = ").text(group.to_string());
        }
        if let Some(guard) = filter.guard {
            sql.push(" AND guard = ").text(guard.as_str());
        }
        match filter.is_over {
            Some(true) => drop(sql.push(" AND state IN ('used', 'lapsed')")),
            Some(false) => drop(sql.push(" AND state IN ('open', 'approved', 'rejected')")),
            None => {}
        }
        if let Some(after) = after {
            sql.push(" AND id > ").text(after.to_string());
        }
        sql.push(" ORDER BY id LIMIT ").int(limit.max(0));
        let rows = self.fetch_all(sql.statement()).await?;
        rows.iter().map(|row| hold(tenant, row)).collect()
    }

    /// How many holds wait for a decision, by guard; a guard without any is left out.
    pub async fn count_open_holds(&mut self, tenant: &TenantId) -> Result<Vec<(Guard, i64)>, StoreError> {
        let rows = self
            .fetch_all(
                sql("SELECT guard, COUNT(*) AS count FROM holds WHERE tenant = $1 AND state = 'open'
                     GROUP BY guard ORDER BY guard")
                .bind(tenant.as_str()),
            )
            .await?;
        rows.iter().map(|row| Ok((Row(row).parsed("guard")?, Row(row).int("count")?))).collect()
    }
}

impl Tx {
    /// Writes a hold, new or changed.
    pub async fn save_hold(&mut self, hold: &Hold) -> Result<(), StoreError> {
        let decision = hold.decision.as_ref();
        let (version, losers) = match hold.about {
            About::Person { version, .. } => (Some(version), None),
            About::Group { losers, .. } => (None, Some(losers)),
        };
        self.execute(
            sql("INSERT INTO holds (tenant, id, person, person_version, group_id, losers, guard, subject, reason, state,
                                    made_at, judged_at, decided_at, decided_by, decided_why, operation)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
                 ON CONFLICT (tenant, id) DO UPDATE SET person_version = excluded.person_version,
                    losers = excluded.losers, reason = excluded.reason, state = excluded.state,
                    judged_at = excluded.judged_at, decided_at = excluded.decided_at,
                    decided_by = excluded.decided_by, decided_why = excluded.decided_why,
                    operation = excluded.operation")
            .bind(hold.tenant.as_str())
            .bind(hold.id.to_string())
            .bind(hold.about.person().map(|id| id.to_string()))
            .bind(version)
            .bind(hold.about.group().map(|id| id.to_string()))
            .bind(losers)
            .bind(hold.guard.as_str())
            .bind(&*hold.subject)
            .bind(&*hold.reason)
            .bind(hold.state.as_str())
            .bind(hold.made_at.as_microsecond())
            .bind(hold.judged_at.as_microsecond())
            .bind(micros(decision.map(|decision| decision.at)))
            .bind(decision.map(|decision| decision.by.clone()))
            .bind(decision.and_then(|decision| decision.why.clone()))
            .bind(hold.operation.map(|operation| operation.to_string())),
        )
        .await?;
        Ok(())
    }

    /// Writes down what an administrator said of a hold that is not over, about exactly what they were shown, and makes
    /// a person due; the holds of groups are looked at all the time. Tells `false`, without any effect, if the hold is
    /// over or about something else by now.
    pub async fn decide_hold(
        &mut self,
        hold: &Hold,
        approve: bool,
        decision: &Decision,
    ) -> Result<bool, StoreError> {
        let state = if approve { HoldState::Approved } else { HoldState::Rejected };
        let shown = match hold.about {
            About::Person { version, .. } => version,
            About::Group { losers, .. } => losers,
        };
        let decided = self
            .execute(
                sql("UPDATE holds SET state = $4, decided_at = $5, decided_by = $6, decided_why = $7
                     WHERE tenant = $1 AND id = $2 AND COALESCE(person_version, losers) = $3
                       AND state IN ('open', 'approved', 'rejected')")
                .bind(hold.tenant.as_str())
                .bind(hold.id.to_string())
                .bind(shown)
                .bind(state.as_str())
                .bind(decision.at.as_microsecond())
                .bind(&*decision.by)
                .bind(decision.why.as_deref()),
            )
            .await?;
        if let (1.., Some(person)) = (decided, hold.about.person()) {
            self.look_again(&hold.tenant, person, decision.at).await?;
        }
        Ok(decided > 0)
    }

    /// Has the engine look at a person or tombstone at once, wherever it runs.
    pub async fn look_again(
        &mut self,
        tenant: &TenantId,
        person: PersonId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            sql("UPDATE people SET due_at = CASE WHEN due_at <= $3 THEN due_at ELSE $3 END,
                    lane = CASE WHEN active = 0 OR deleted_at IS NOT NULL THEN $4 ELSE $5 END,
                    attempts = 0, mark = mark + 1
                 WHERE tenant = $1 AND id = $2")
            .bind(tenant.as_str())
            .bind(person.to_string())
            .bind(now.as_microsecond())
            .bind(super::agenda::rank(Lane::Revoke))
            .bind(super::agenda::rank(Lane::Reduce)),
        )
        .await?;
        Ok(())
    }

    /// A call is about to be made by this approval.
    pub async fn use_approval(&mut self, hold: &Hold, operation: OperationId) -> Result<(), StoreError> {
        let used = Hold { state: HoldState::Used, operation: Some(operation), ..hold.clone() };
        self.save_hold(&used).await
    }

    /// A call had no effect: what it was counted as, and the approval that it used, are given back.
    pub async fn give_back(&mut self, tenant: &TenantId, operation: OperationId) -> Result<(), StoreError> {
        let operation = operation.to_string();
        self.execute(
            sql("DELETE FROM tallies WHERE tenant = $1 AND operation = $2")
                .bind(tenant.as_str())
                .bind(operation.clone()),
        )
        .await?;
        self.execute(
            sql("UPDATE holds SET state = 'approved', operation = NULL
                 WHERE tenant = $1 AND operation = $2 AND state = 'used'")
            .bind(tenant.as_str())
            .bind(operation),
        )
        .await?;
        Ok(())
    }
}
