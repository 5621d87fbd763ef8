//! The gauges: how much waits, what budgets are left, where people stand.

use super::{Driver, GAUGES_EVERY};
use crate::model::mapping::Status;
use crate::model::operation::Lane;
use crate::openai::Endpoint;
use crate::provision::pace::later;

impl Driver {
    pub(super) async fn set_gauges(&mut self) {
        let now = self.context.clock.now();
        if self.gauges_at > now {
            return;
        }
        self.gauges_at = later(now, GAUGES_EVERY);
        let (tenant, metrics) = (self.context.tenant.as_str(), &self.context.metrics);
        let limiter = self.context.client.limiter();
        for endpoint in Endpoint::ALL {
            metrics.set_budget_left(tenant, endpoint.name(), limiter.left(*endpoint, now));
        }
        let mut oldest_removal = self.removing.values().copied().min();
        let Ok(mut reader) = self.context.store.reader().await else { return };
        if let Ok(depths) = reader.lane_depths(&self.context.tenant, now).await {
            for lane in Lane::ALL {
                let waiting = depths.iter().find(|depth| depth.lane == lane);
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
        self.look_out(oldest_removal).await;
    }
}
