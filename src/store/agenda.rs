//! The agenda: who is to be looked at by the engine, when, and how urgently. It is kept with the people themselves, so
//! that a wish and the reminder to fulfil it are one row.

use jiff::Timestamp;

use super::row::{Row, micros};
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::{PersonId, TenantId};
use crate::model::operation::Lane;

/// Counts the reasons for which a person was made due: writes, and news of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark(i64);

impl Mark {
    pub(super) fn new(count: i64) -> Self {
        Self(count)
    }
}

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

/// The number a lane is kept under; the lower is served first.
pub(super) fn rank(lane: Lane) -> i64 {
    match lane {
        Lane::Revoke => 0,
        Lane::Reduce => 1,
        Lane::Invite => 2,
        Lane::Grant => 3,
        Lane::Read => 4,
    }
}

impl Reader {
    /// People and tombstones that are due at `now`, by lane, then by how long they wait; at most `limit`.
    pub async fn due_people(
        &mut self,
        tenant: &TenantId,
        now: Timestamp,
        limit: i64,
    ) -> Result<Vec<PersonId>, StoreError> {
        // One lane at a time, because an index that is ordered by lane and time finds what is due in one lane.
        let mut due = Vec::new();
        for lane in Lane::ALL {
            let left = limit - i64::try_from(due.len()).unwrap_or(limit);
            if left <= 0 {
                break;
            }
            let rows = self
                .fetch_all(
                    sql("SELECT id FROM people WHERE tenant = $1 AND lane = $2 AND due_at <= $3
                         ORDER BY due_at, id LIMIT $4")
                    .bind(tenant.as_str())
                    .bind(rank(lane))
                    .bind(now.as_microsecond())
                    .bind(left),
                )
                .await?;
            for row in &rows {
                due.push(Row(row).parsed("id")?);
            }
        }
        Ok(due)
    }

    /// When the next person becomes due.
    pub async fn next_due_at(&mut self, tenant: &TenantId) -> Result<Option<Timestamp>, StoreError> {
        let row = self
            .fetch_one(
                sql("SELECT MIN(due_at) AS due_at FROM (
                        SELECT (SELECT MIN(due_at) FROM people
                                WHERE tenant = $1 AND lane = lanes.column1 AND due_at IS NOT NULL) AS due_at
                        FROM (VALUES (0), (1), (2), (3), (4)) AS lanes) AS firsts")
                .bind(tenant.as_str()),
            )
            .await?;
        Row(&row).optional_time("due_at")
    }

    /// The people who are due at `now`, counted per lane, first served first; empty lanes are left out.
    pub async fn lane_depths(
        &mut self,
        tenant: &TenantId,
        now: Timestamp,
    ) -> Result<Vec<LaneDepth>, StoreError> {
        let rows = self
            .fetch_all(
                sql("SELECT lane, COUNT(*) AS depth, MIN(due_at) AS oldest_at FROM (
                        SELECT lanes.column1 AS lane, p.due_at AS due_at
                        FROM (VALUES (0), (1), (2), (3), (4)) AS lanes
                        JOIN people AS p ON p.tenant = $1 AND p.lane = lanes.column1 AND p.due_at <= $2) AS due
                     GROUP BY lane ORDER BY lane")
                .bind(tenant.as_str())
                .bind(now.as_microsecond()),
            )
            .await?;
        let mut depths = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = Row(row);
            let number = row.int("lane")?;
            let lane = Lane::ALL
                .into_iter()
                .find(|lane| rank(*lane) == number)
                .ok_or_else(|| StoreError::broken(format!("{number} is no lane")))?;
            depths.push(LaneDepth { lane, depth: row.int("depth")?, oldest_at: row.time("oldest_at")? });
        }
        Ok(depths)
    }
}

impl Tx {
    /// Says when the engine should look at a person next (`None`: when something changes), in which lane, and how
    /// many attempts were in vain. Leaves a person alone who was written, or touched by news of a reading, after the
    /// work with this mark was loaded; tells whether it took.
    pub async fn schedule(
        &mut self,
        tenant: &TenantId,
        id: PersonId,
        mark: Mark,
        due_at: Option<Timestamp>,
        lane: Lane,
        attempts: u32,
    ) -> Result<bool, StoreError> {
        let rows = self
            .execute(
                sql("UPDATE people SET due_at = $4, lane = $5, attempts = $6
                     WHERE tenant = $1 AND id = $2 AND mark = $3")
                .bind(tenant.as_str())
                .bind(id.to_string())
                .bind(mark.0)
                .bind(micros(due_at))
                .bind(rank(lane))
                .bind(i64::from(attempts)),
            )
            .await?;
        Ok(rows > 0)
    }
}
