//! How the stand-in conducts itself: faults, limits, switches and time.

use jiff::{SignedDuration, Timestamp};

use super::ControlError;
use crate::simulator::Simulator;
use crate::simulator::faults::{Fault, FaultRule};
use crate::simulator::options::{LimiterOptions, Options};
use crate::simulator::{limiter, routes};

impl Simulator {
    /// Lets the next `times` calls of a method (or `*`) and path template (or `*`) meet a fault.
    ///
    /// # Errors
    /// The API has no such path template.
    pub fn fail_next(
        &self,
        method: &str,
        template: &str,
        fault: Fault,
        times: u32,
    ) -> Result<(), ControlError> {
        self.add_fault(FaultRule::next(method, template, fault, times))
    }

    /// Adds a rule after those already there; the first that applies to a call wins.
    ///
    /// # Errors
    /// The API has no such path template.
    pub fn add_fault(&self, rule: FaultRule) -> Result<(), ControlError> {
        if rule.template != "*" && !routes::is_template(&rule.template) {
            return Err(ControlError::unknown("path template", &rule.template));
        }
        self.lock().faults.add(rule);
        Ok(())
    }

    /// The rules in force.
    pub fn faults(&self) -> Vec<FaultRule> {
        self.lock().faults.rules()
    }

    /// Ends all faults; late effects that are due still land.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// The switches in force.
    pub fn options(&self) -> Options {
        self.lock().organization.options.clone()
    }

    /// Changes switches. What exists already (owners, keys, ids) stays as it is.
    pub fn set_options(&self, change: impl FnOnce(&mut Options)) {
        change(&mut self.lock().organization.options);
    }

    /// Changes the limiter and empties its windows.
    pub fn set_limiter(&self, limiter: LimiterOptions) {
        let mut world = self.lock();
        world.organization.options.limiter = limiter;
        world.limiter = limiter::Limiter::default();
    }

    /// Moves the stand-in's own clock forward, whatever [`Clock`](crate::clock::Clock) it was given.
    pub fn advance(&self, by: SignedDuration) {
        self.shift(by);
    }

    /// The present instant of the stand-in.
    pub fn now(&self) -> Timestamp {
        self.lock().organization.now
    }
}
