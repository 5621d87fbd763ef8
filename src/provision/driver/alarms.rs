//! Alarms: what an administrator should know without asking, seen from what is stored. Each cause is told once.

use jiff::{SignedDuration, Timestamp};

use super::Driver;
use crate::model::alarm::{AlarmState, Sighting, is_news};
use crate::model::hold::Guard;
use crate::model::mapping::Status;
use crate::provision::execute::chain;
use crate::provision::handle::{Backlog, Health, Upstream};
use crate::provision::pace::later;
use crate::store::{Reader, StoreError};

/// How long before its end an admin key is reported to run out.
const KEY_RUNS_OUT: SignedDuration = SignedDuration::from_hours(14 * 24);

impl Driver {
    /// Looks at every cause of alarm, tells what is news, and lets those who watch know how things are.
    pub(super) async fn look_out(&mut self, oldest_removal: Option<Timestamp>, backlog: Backlog) {
        if let Err(error) = self.try_look_out(oldest_removal, backlog).await {
            tracing::warn!(tenant = %self.context.tenant, "alarms cannot be looked after: {}", chain(&error));
        }
    }

    async fn try_look_out(
        &mut self,
        oldest_removal: Option<Timestamp>,
        backlog: Backlog,
    ) -> Result<(), StoreError> {
        let now = self.context.clock.now();
        let mut reader = self.context.store.reader().await?;
        let holds = reader.count_open_holds(&self.context.tenant).await?;
        let count = |guard| holds.iter().find(|(held, _)| *held == guard).map_or(0, |(_, count)| *count);
        for guard in Guard::ALL {
            let open = u64::try_from(count(guard)).unwrap_or_default();
            self.context.metrics.set_holds(self.context.tenant.as_str(), guard.as_str(), open);
        }
        let health = Health {
            upstream: self.gate.upstream(now),
            key_trouble: self.key.trouble.clone().filter(|_| self.gate.upstream(now) == Upstream::KeyRefused),
            standstill: self.halt.as_ref().map(|halt| halt.reason.clone()),
            open_holds: holds.iter().map(|(_, count)| count).sum(),
            oldest_removal,
            backlog,
        };
        let mut sightings: Vec<Sighting> = Guard::ALL.map(|guard| held(guard, count(guard))).into();
        sightings.extend(self.sightings(&health, now));
        sightings.push(self.refused(&mut reader).await?);
        sightings.extend(self.census.live_keys.map(outliving));
        let standing = reader.standing_causes(&self.context.tenant).await?;
        drop(reader);
        for sighting in sightings {
            let told = standing.iter().find(|(cause, _)| *cause == sighting.cause).map(|(_, told)| *told);
            if is_news(told, sighting.size, now).is_some() {
                self.tell(sighting, now).await?;
            }
        }
        self.health.send_if_modified(|told| std::mem::replace(told, health.clone()) != health);
        Ok(())
    }

    fn sightings(&self, health: &Health, now: Timestamp) -> [Sighting; 4] {
        let late = health
            .oldest_removal
            .filter(|since| now.duration_since(*since) >= self.context.policy.late_removal);
        let expires = self.key.expires_at.filter(|at| *at <= later(now, KEY_RUNS_OUT));
        [
            sighting("key.refused", health.upstream == Upstream::KeyRefused, || {
                let words = health.key_trouble.as_deref().unwrap_or("OpenAI refuses the admin key");
                format!("{words}. No change is made until it is accepted again; all work is kept")
            }),
            sighting("key.expiring", expires.is_some(), || {
                let at = expires.map(|at| format!("{at:.0}")).unwrap_or_default();
                format!(
                    "the admin key runs out at {at}; make another one and put it where the bridge reads it"
                )
            }),
            sighting("standstill", health.standstill.is_some(), || {
                let reason = health.standstill.as_deref().unwrap_or_default();
                format!("no change is made upstream: {reason}")
            }),
            sighting("removal.late", late.is_some(), || {
                let minutes = late.map_or(0, |since| now.duration_since(since).as_mins());
                format!("a removal has been waiting for {minutes} minutes; see the log for what keeps it")
            }),
        ]
    }

    async fn refused(&self, reader: &mut Reader) -> Result<Sighting, StoreError> {
        let counts = reader.count_by_status(&self.context.tenant).await?;
        let size =
            counts.iter().find(|(status, _)| *status == Status::Refused).map_or(0, |(_, count)| *count);
        let text = format!(
            "{size} users are refused by OpenAI; see `scim-bridge mapping list --status refused --json` for its words"
        );
        Ok(Sighting { cause: "refused".to_owned(), size, text })
    }

    async fn tell(&self, sighting: Sighting, now: Timestamp) -> Result<(), StoreError> {
        let (tenant, queue) = (self.context.tenant.clone(), self.context.queue_alarms);
        let alarm = self
            .context
            .store
            .write::<_, StoreError>(move |tx| {
                let (tenant, sighting) = (tenant.clone(), sighting.clone());
                Box::pin(async move { tx.sight(&tenant, &sighting, now, queue).await })
            })
            .await?;
        match alarm {
            Some(alarm) if alarm.state == AlarmState::Raised => {
                tracing::error!(tenant = %alarm.tenant, alarm.cause, alarm.size, "alarm: {}", alarm.text);
            }
            Some(alarm) => {
                tracing::info!(tenant = %alarm.tenant, alarm.cause, "alarm over: {}", alarm.cause);
            }
            None => {}
        }
        Ok(())
    }
}

fn sighting(cause: &str, is_there: bool, text: impl FnOnce() -> String) -> Sighting {
    let text = if is_there { text() } else { String::new() };
    Sighting { cause: cause.to_owned(), size: i64::from(is_there), text }
}

fn outliving(size: i64) -> Sighting {
    let text = format!(
        "{size} API keys of people who were removed are still live; revoke them at OpenAI. `scim-bridge review --finding \
         live-key` lists them"
    );
    Sighting { cause: "key.outlives".to_owned(), size, text }
}

fn held(guard: Guard, size: i64) -> Sighting {
    let text = if guard.can_be_approved() {
        format!(
            "{size} operations are held by the guard {guard}; decide with `scim-bridge holds list --guard {guard}`, \
             then `holds approve` or `holds reject`"
        )
    } else {
        format!(
            "{size} operations are held by the guard {guard}; `scim-bridge holds list --guard {guard}` says why"
        )
    };
    Sighting { cause: format!("held.{guard}"), size, text }
}
