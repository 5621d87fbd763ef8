//! The census while the engine works: which keys and service accounts each project has, a page now and then, and with a
//! third of their endpoints' budgets at most. What somebody who was removed left behind is looked at without that pause,
//! and told if it is live.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Driver, Flight, Report};
use crate::ids::ProjectId;
use crate::model::credential::Credential;
use crate::model::inventory::Listing;
use crate::model::operation::Lane;
use crate::openai::{Failure, FailureKind};
use crate::provision::census::{Count, Counted};
use crate::provision::execute;
use crate::provision::pace::later;
use crate::provision::sweeps::periodic_pause;
use crate::store::StoreError;

/// How often it is looked which projects are due.
const LOOK_EVERY: SignedDuration = SignedDuration::from_mins(1);
/// How often a project is read in which a key outlives its owner's access.
const WATCH_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// When a project is tried again that could not be read.
const AGAIN: SignedDuration = SignedDuration::from_hours(1);
/// When keys are asked for again after OpenAI refused the admin key that.
const NOT_ALLOWED: SignedDuration = SignedDuration::from_hours(24);

/// How far the census is.
#[derive(Debug, Default)]
pub(super) struct Census {
    /// When to look which projects are due.
    look_at: Option<Timestamp>,
    due: VecDeque<Order>,
    open: Option<(Order, Count)>,
    /// When the next page may be read that nobody is in a hurry for.
    next_at: Option<Timestamp>,
    /// Projects that could not be read, and when to try again.
    not_before: BTreeMap<ProjectId, Timestamp>,
    /// How many keys outlive their owners' access, once that was looked at.
    pub(super) live_keys: Option<i64>,
}

/// A project to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    project: ProjectId,
    /// Somebody who was removed had a key there.
    is_urgent: bool,
}

impl Driver {
    /// Finds out which projects are due, if it is time to.
    pub(super) async fn tend_census(&mut self) -> Result<(), StoreError> {
        let now = self.context.clock.now();
        let (Some(interval), Some(facts)) = (self.context.policy.census_interval, &self.facts) else {
            return Ok(());
        };
        let is_busy = self.census.open.is_some() || !self.census.due.is_empty();
        if is_busy
            || self.flights.contains_key(&Flight::Census)
            || self.store_paused_until.is_some()
            || self.census.look_at.is_some_and(|at| at > now)
        {
            return Ok(());
        }
        let Listing::Read(projects) = &facts.inventory.projects else { return Ok(()) };
        let mut reader = self.context.store.reader().await?;
        let left = reader.keys_left_behind(&self.context.tenant).await?;
        let readings = reader.credential_readings(&self.context.tenant).await?;
        drop(reader);
        let mut look_at = later(now, LOOK_EVERY);
        let mut urgent = BTreeSet::new();
        for key in &left {
            let due_at = if key.is_live() { later(key.last_seen_at, WATCH_EVERY) } else { key.readable_at() };
            if due_at <= now {
                urgent.insert(&key.project);
            } else {
                look_at = look_at.min(due_at);
            }
        }
        let mut due: Vec<(bool, Timestamp, &ProjectId)> = Vec::new();
        for project in projects.iter().map(|project| &project.id) {
            let is_urgent = urgent.contains(project);
            let read_at = readings.get(project).map_or(Timestamp::MIN, |(_, last)| *last);
            let is_put_off = self.census.not_before.get(project).is_some_and(|at| *at > now);
            if (is_urgent || later(read_at, interval) <= now) && !is_put_off {
                due.push((!is_urgent, read_at, project));
            }
        }
        due.sort();
        let orders = due
            .into_iter()
            .map(|(can_wait, _, project)| Order { project: project.clone(), is_urgent: !can_wait });
        self.census.due = orders.collect();
        self.census.look_at = Some(look_at);
        let live = left.iter().filter(|key| key.is_live() && key.is_told).count();
        self.census.live_keys = i64::try_from(live).ok();
        Ok(())
    }

    /// Reads the next page, if it is time to.
    pub(super) fn start_census(&mut self, now: Timestamp) {
        if self.flights.contains_key(&Flight::Census) || self.context.policy.census_interval.is_none() {
            return;
        }
        if self.census.open.is_none()
            && let Some(order) = self.census.due.pop_front()
        {
            let count = Count::new(order.project.clone(), self.ticker.next(now));
            self.census.open = Some((order, count));
        }
        let Some((order, count)) = &self.census.open else {
            if let Some(at) = self.census.look_at {
                self.wake(at.max(now));
            }
            return;
        };
        let (at, endpoint) =
            (self.census.next_at.filter(|at| !order.is_urgent && *at > now), count.endpoint());
        if let Some(at) = at {
            self.wake(at);
            return;
        }
        if !self.can_start(Lane::Read, endpoint, now) {
            return;
        }
        let Some((order, mut count)) = self.census.open.take() else { return };
        let client = self.context.client.clone();
        self.fly(Flight::Census, Lane::Read, endpoint, async move {
            let counted = count.step(&client).await;
            Report::Counted { order, count, counted }
        });
    }

    pub(super) async fn take_count(&mut self, order: Order, count: Count, counted: Result<Counted, Failure>) {
        let now = self.context.clock.now();
        let left = self.context.client.limiter().left(count.endpoint(), now);
        self.census.next_at = Some(later(now, periodic_pause(left)));
        match counted {
            Ok(Counted::More) => {
                self.gate.answered(false);
                self.census.open = Some((order, count));
            }
            Ok(Counted::All(seen)) => {
                self.gate.answered(false);
                if let Err(error) = self.keep_count(&count, seen).await {
                    self.pause_for_store(&error);
                }
                self.census.not_before.remove(&count.project);
                // Whether a key is live that was left behind is known now.
                self.census.look_at = self.census.look_at.filter(|_| !order.is_urgent);
            }
            Ok(Counted::Broken(why)) => self.put_off_count(&count, why, AGAIN),
            Err(failure) => match failure.kind {
                FailureKind::RateLimited { until } => {
                    self.census.next_at = Some(until);
                    self.census.open = Some((order, count));
                }
                FailureKind::KeyRefused if failure.status == Some(401) => {
                    self.refuse_key(failure.status, false);
                    self.census.open = Some((order, count));
                }
                FailureKind::KeyRefused => {
                    // A key without that scope is good for everything else.
                    tracing::warn!(
                        tenant = %self.context.tenant,
                        "the admin key may not read the API keys of projects, so it is not known what people who leave \
                         leave behind; it is tried again in a day"
                    );
                    self.census.due.clear();
                    self.census.look_at = Some(later(now, NOT_ALLOWED));
                }
                FailureKind::NotSent | FailureKind::Unknown => {
                    self.gate.failed(now);
                    self.put_off_count(&count, "no trustworthy answer", LOOK_EVERY);
                }
                FailureKind::NotFound | FailureKind::Conflict | FailureKind::Rejected => {
                    self.put_off_count(&count, &failure.message, AGAIN);
                }
            },
        }
    }

    fn put_off_count(&mut self, count: &Count, why: &str, pause: SignedDuration) {
        let (tenant, project) = (&self.context.tenant, &count.project);
        tracing::debug!(%tenant, %project, why, "the keys of a project cannot be read");
        self.census.not_before.insert(project.clone(), later(self.context.clock.now(), pause));
    }

    /// Keeps what was seen of a project, and tells of keys that outlive their owners' access.
    async fn keep_count(&self, count: &Count, seen: Vec<Credential>) -> Result<(), StoreError> {
        let (now, at) = (self.context.clock.now(), count.began_at);
        let work = Arc::new((self.context.tenant.clone(), count.project.clone(), seen));
        let told = self
            .context
            .store
            .write::<_, StoreError>(move |tx| {
                let work = Arc::clone(&work);
                Box::pin(async move {
                    let (tenant, project, seen) = &*work;
                    tx.observe_credentials(tenant, project, seen, at).await?;
                    let mut left = tx.keys_left_behind(tenant).await?;
                    left.retain(|key| key.project == *project && key.is_live() && !key.is_told);
                    for key in &left {
                        tx.note_key_told(tenant, key).await?;
                        let detail =
                            json!({ "key": key.id, "project": key.project, "removed_at": key.removed_at });
                        let entry = execute::entry(tenant, key.person, now, "key.outlives", detail);
                        tx.append_audit(&entry).await?;
                    }
                    Ok(left)
                })
            })
            .await?;
        for key in told {
            tracing::error!(
                tenant = %self.context.tenant, person.id = %key.person, project.id = %key.project, key.id,
                "the API key {} in project {} is live, although person {} was removed", key.id, key.project, key.person
            );
        }
        Ok(())
    }
}
