//! What was learnt of OpenAI's rate limits, between the client that learns it and the store that keeps it.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::model::budget::Budget;
use crate::openai::{Endpoint, Learnt, Limiter};

/// Has a limiter take up what is stored.
pub(super) fn recall(limiter: &Limiter, budgets: &[Budget]) {
    for budget in budgets {
        // An endpoint that this version does not know is none that it calls.
        let Some(endpoint) = Endpoint::ALL.iter().find(|known| known.name() == budget.endpoint) else {
            continue;
        };
        let Budget { allowed, changed_at, paused_until, used, saved_at, .. } = *budget;
        limiter.recall(*endpoint, Learnt { allowed, changed_at, paused_until, used }, saved_at);
    }
}

/// What is to be stored, at `now`, of what is known beyond `kept`.
pub(super) fn news(
    learnt: &BTreeMap<Endpoint, Learnt>,
    kept: &BTreeMap<Endpoint, Learnt>,
    now: Timestamp,
) -> Vec<Budget> {
    let changed = learnt.iter().filter(|(endpoint, learnt)| kept.get(endpoint) != Some(learnt));
    let budgets = changed.map(|(endpoint, learnt)| Budget {
        endpoint: endpoint.name().to_owned(),
        allowed: learnt.allowed,
        changed_at: learnt.changed_at,
        paused_until: learnt.paused_until,
        used: learnt.used,
        saved_at: now,
    });
    budgets.collect()
}
