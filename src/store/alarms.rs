//! Alarms: what has been told of each cause, and what is on its way out.

use jiff::Timestamp;
use sqlx::any::AnyRow;

use super::row::Row;
use super::session::sql;
use super::{Reader, StoreError, Tx};
use crate::ids::{AlarmId, TenantId};
use crate::model::alarm::{Alarm, AlarmState, Sighting, Standing, is_news};

fn alarm(tenant: &TenantId, row: &AnyRow) -> Result<Alarm, StoreError> {
    let row = Row(row);
    let state = match row.text("state")?.as_str() {
        "raised" => AlarmState::Raised,
        "cleared" => AlarmState::Cleared,
        other => return Err(StoreError::broken(format!("`{other}` is no state of an alarm"))),
    };
    Ok(Alarm {
        tenant: tenant.clone(),
        id: row.parsed("id")?,
        cause: row.text("cause")?,
        state,
        size: row.int("size")?,
        text: row.text("text")?,
        at: row.time("made_at")?,
    })
}

impl Reader {
    /// The oldest alarm of a tenant that has not arrived.
    pub async fn next_alarm(&mut self, tenant: &TenantId) -> Result<Option<Alarm>, StoreError> {
        let row = self
            .fetch_optional(
                sql("SELECT id, cause, state, size, text, made_at FROM alarms
                     WHERE tenant = $1 ORDER BY seq LIMIT 1")
                .bind(tenant.as_str()),
            )
            .await?;
        row.map(|row| alarm(tenant, &row)).transpose()
    }

    /// The causes that were told of and are not over.
    pub async fn standing_causes(
        &mut self,
        tenant: &TenantId,
    ) -> Result<Vec<(String, Standing)>, StoreError> {
        let rows = self
            .fetch_all(
                sql("SELECT cause, size, told_at FROM alarm_causes WHERE tenant = $1 ORDER BY cause")
                    .bind(tenant.as_str()),
            )
            .await?;
        rows.iter()
            .map(|row| {
                let row = Row(row);
                let standing = Standing { size: row.int("size")?, told_at: row.time("told_at")? };
                Ok((row.text("cause")?, standing))
            })
            .collect()
    }
}

impl Tx {
    /// Takes a look at a cause into account. If it is news, what has been told is written down, the alarm is queued
    /// if somebody is to be called, and returned.
    pub async fn sight(
        &mut self,
        tenant: &TenantId,
        sighting: &Sighting,
        now: Timestamp,
        queue: bool,
    ) -> Result<Option<Alarm>, StoreError> {
        // Of two processes that see the same, the second sees that it was told.
        self.take_turn(tenant, "alarms").await?;
        let standing = self.standing_causes(tenant).await?;
        let standing = standing.iter().find(|(cause, _)| *cause == sighting.cause).map(|(_, told)| *told);
        let Some(state) = is_news(standing, sighting.size, now) else { return Ok(None) };
        match state {
            AlarmState::Raised => {
                self.execute(
                    sql("INSERT INTO alarm_causes (tenant, cause, size, told_at) VALUES ($1, $2, $3, $4)
                         ON CONFLICT (tenant, cause) DO UPDATE
                         SET size = excluded.size, told_at = excluded.told_at")
                    .bind(tenant.as_str())
                    .bind(&*sighting.cause)
                    .bind(sighting.size)
                    .bind(now.as_microsecond()),
                )
                .await?;
            }
            AlarmState::Cleared => {
                self.execute(
                    sql("DELETE FROM alarm_causes WHERE tenant = $1 AND cause = $2")
                        .bind(tenant.as_str())
                        .bind(&*sighting.cause),
                )
                .await?;
            }
        }
        let alarm = Alarm {
            tenant: tenant.clone(),
            id: AlarmId::new(self.clock()),
            cause: sighting.cause.clone(),
            state,
            size: sighting.size,
            text: sighting.text.clone(),
            at: now,
        };
        if queue {
            self.queue(&alarm).await?;
        }
        Ok(Some(alarm))
    }

    async fn queue(&mut self, alarm: &Alarm) -> Result<(), StoreError> {
        self.execute(
            sql("INSERT INTO alarms (tenant, seq, id, cause, state, size, text, made_at)
                 SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3, $4, $5, $6, $7 FROM alarms WHERE tenant = $1")
            .bind(alarm.tenant.as_str())
            .bind(alarm.id.to_string())
            .bind(&*alarm.cause)
            .bind(alarm.state.as_str())
            .bind(alarm.size)
            .bind(&*alarm.text)
            .bind(alarm.at.as_microsecond()),
        )
        .await?;
        Ok(())
    }

    /// An alarm has arrived.
    pub async fn forget_alarm(&mut self, tenant: &TenantId, id: AlarmId) -> Result<(), StoreError> {
        self.execute(
            sql("DELETE FROM alarms WHERE tenant = $1 AND id = $2")
                .bind(tenant.as_str())
                .bind(id.to_string()),
        )
        .await?;
        Ok(())
    }
}
