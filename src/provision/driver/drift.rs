//! Changes by others: members who came in without the bridge, and counting what was found.

use super::Driver;
use crate::model::upkeep::DriftClass;

impl Driver {
    /// Counts a change that somebody else made.
    pub(super) fn tell_drift(&self, class: DriftClass) {
        let reaction = self.context.policy.drift.of(class);
        self.context.metrics.drift(self.context.tenant.as_str(), class.as_str(), reaction.as_str());
    }
}
