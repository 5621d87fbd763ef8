//! The gauges: how much waits, what budgets are left, where people stand.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::{Driver, GAUGES_EVERY};
use crate::model::mapping::Status;
use crate::model::operation::Lane;
use crate::openai::{Endpoint, Learnt};
use crate::provision::budgets::news;
use crate::provision::execute::chain;
use crate::provision::handle::{Backlog, Queue};
use crate::provision::pace::later;
use crate::store::StoreError;

impl Driver {
    pub(super) async fn set_gauges(&mut self) {
        let now = self.context.clock.now();
        if self.gauges_at > now {
            return;
        }
        self.gauges_at = later(now, GAUGES_EVERY);
        let (tenant, metrics) = (self.context.tenant.as_str(), &self.context.metrics);
        let limiter = self.context.client.limiter();
        // Before anything is waited for: how far those who have just started get meanwhile is a matter of luck.
        let learnt = limiter.learnt(now);
        for endpoint in Endpoint::ALL {
            metrics.set_budget_left(tenant, endpoint.name(), limiter.left(*endpoint, now));
        }
        let mut oldest_removal = self.removing.values().copied().min();
        let Ok(mut reader) = self.context.store.reader().await else { return };
        let mut beyond = BTreeMap::new();
        if let Ok(depths) = reader.lane_depths(&self.context.tenant, now).await {
            for lane in Lane::ALL {
                let waiting = depths.iter().find(|depth| depth.lane == lane);
                // Whoever is due and not on the agenda yet needs one call at least, as a rule of their lane.
                let endpoint = match lane {
                    Lane::Revoke => Endpoint::DeleteUser,
                    Lane::Invite => Endpoint::CreateInvite,
                    Lane::Reduce | Lane::Grant | Lane::Read => Endpoint::GetUser,
                };
                let due = waiting.map_or(0, |waiting| u64::try_from(waiting.depth).unwrap_or_default());
                let rest = due.saturating_sub(self.agenda.count_in(lane));
                if self.more_due && rest > 0 {
                    *beyond.entry(endpoint).or_default() += rest;
                }
                let mut depth = waiting.map_or(0, |waiting| u64::try_from(waiting.depth).unwrap_or_default());
                let mut since = waiting.map(|waiting| waiting.oldest_at);
                if lane == Lane::Revoke {
                    // A removal waits from the wish until it is done, also while it pauses between two attempts.
                    depth = depth.max(u64::try_from(self.removing.len()).unwrap_or(u64::MAX));
                    since = since.into_iter().chain(oldest_removal).min();
                    oldest_removal = since;
                }
                let age = since.map_or(0.0, |since| now.duration_since(since).as_secs_f64());
                metrics.set_lane(tenant, lane.as_str(), depth, age.max(0.0));
            }
        }
        if let Ok(counts) = reader.count_by_status(&self.context.tenant).await {
            for status in Status::ALL {
                let count =
                    counts.iter().find(|(counted, _)| *counted == status).map_or(0, |(_, count)| *count);
                metrics.set_people(tenant, status.as_str(), u64::try_from(count).unwrap_or_default());
            }
        }
        drop(reader);
        self.keep_budgets(learnt, now).await;
        let backlog = self.backlog(&beyond, now);
        self.look_out(oldest_removal, backlog).await;
    }

    /// Writes down what was learnt of the budgets by `now`, as far as it is news.
    pub(super) async fn keep_budgets(&mut self, learnt: BTreeMap<Endpoint, Learnt>, now: Timestamp) {
        let news = Arc::new(news(&learnt, &self.kept_budgets, now));
        if news.is_empty() || self.facts.is_none() {
            return;
        }
        let tenant = self.context.tenant.clone();
        let write = self.context.store.write::<_, StoreError>(move |tx| {
            let (tenant, news) = (tenant.clone(), Arc::clone(&news));
            Box::pin(async move { tx.save_budgets(&tenant, &news).await })
        });
        match write.await {
            Ok(()) => self.kept_budgets = learnt,
            Err(error) => {
                tracing::warn!(tenant = %self.context.tenant, "the call budgets cannot be kept: {}", chain(&error));
            }
        }
    }

    /// How the calls that wait stand to the budgets.
    pub(super) fn backlog(&self, beyond: &BTreeMap<Endpoint, u64>, now: Timestamp) -> Backlog {
        let limiter = self.context.client.limiter();
        let mut waiting = self.agenda.waiting_calls();
        for (endpoint, calls) in beyond {
            *waiting.entry(*endpoint).or_default() += calls;
        }
        let ends = waiting.iter().map(|(endpoint, calls)| limiter.last_start(*endpoint, *calls, now));
        let last_start = ends.max();
        let called = limiter.learnt(now).into_keys().chain(waiting.keys().copied());
        let budgets = called.collect::<BTreeSet<_>>().into_iter().map(|endpoint| {
            let waiting = waiting.get(&endpoint).copied().unwrap_or_default();
            let (allowed, left) = (limiter.allowed(endpoint, now), limiter.left(endpoint, now));
            (endpoint.name(), Queue { per_minute: allowed, left, waiting })
        });
        Backlog { queues: budgets.collect(), last_start }
    }
}
