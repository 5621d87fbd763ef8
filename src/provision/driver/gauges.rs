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
        let Ok(mut reader) = self.context.store.reader().await else { return };
        if let Ok(depths) = reader.lane_depths(&self.context.tenant, now).await {
            for lane in Lane::ALL {
                let depth = depths.iter().find(|depth| depth.lane == lane);
                let age = depth.map_or(0.0, |depth| now.duration_since(depth.oldest_at).as_secs_f64());
                let waiting = depth.map_or(0, |depth| u64::try_from(depth.depth).unwrap_or_default());
                metrics.set_lane(tenant, lane.as_str(), waiting, age.max(0.0));
            }
        }
        if let Ok(counts) = reader.count_by_status(&self.context.tenant).await {
            for status in Status::ALL {
                let count =
                    counts.iter().find(|(counted, _)| *counted == status).map_or(0, |(_, count)| *count);
                metrics.set_people(tenant, status.as_str(), u64::try_from(count).unwrap_or_default());
            }
        }
    }
}
