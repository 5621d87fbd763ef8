//! Tokens that will soon stop working: told in time, in the log once a day and in the metrics.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::ids::TenantId;
use crate::model::token::TokenRecord;
use crate::store::{Store, StoreError};
use crate::telemetry::{Metrics, chain};

/// How long before its end a token is told of.
pub const NOTICE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// How often tokens are looked at.
const LOOK_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// How often the log tells of the same token.
const TELL_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// How long a working token has left, if that is less than [`NOTICE`].
pub fn time_left(token: &TokenRecord, now: Timestamp) -> Option<SignedDuration> {
    let left = token.expires_at?.duration_since(now);
    (token.is_live(now) && left <= NOTICE).then_some(left)
}

/// A time left in words, such as `12 days`.
pub fn in_words(left: SignedDuration) -> String {
    match (left.as_hours() / 24, left.as_hours()) {
        (days @ 2.., _) => format!("{days} days"),
        (_, hours @ 2..) => format!("{hours} hours"),
        _ => "less than 2 hours".to_owned(),
    }
}

/// Looks at the tokens of the tenants.
#[derive(Debug)]
pub struct Watch {
    store: Store,
    clock: Clock,
    metrics: Metrics,
    tenants: Vec<TenantId>,
    told: BTreeMap<String, Timestamp>,
}

impl Watch {
    /// A watch over the tokens of these tenants.
    pub fn new(
        store: Store,
        clock: Clock,
        metrics: Metrics,
        tenants: impl IntoIterator<Item = TenantId>,
    ) -> Self {
        let tenants = tenants.into_iter().collect();
        Self { store, clock, metrics, tenants, told: BTreeMap::new() }
    }

    /// Looks each hour until `cancel` is cancelled.
    pub async fn run(mut self, cancel: CancellationToken) {
        while !cancel.is_cancelled() {
            if let Err(error) = self.look().await {
                tracing::warn!(error = chain(&error), "the tokens could not be looked at for their expiry");
            }
            let next = self.clock.now() + LOOK_EVERY;
            let _slept = cancel.run_until_cancelled(self.clock.sleep_until(next)).await;
        }
    }

    /// Looks once; returns the ids of the tokens that the log was told of.
    pub async fn look(&mut self) -> Result<Vec<String>, StoreError> {
        let now = self.clock.now();
        self.told.retain(|_, at| now.duration_since(*at) < TELL_EVERY);
        let mut told_now = Vec::new();
        for tenant in &self.tenants {
            let tokens = self.store.reader().await?.list_tokens(tenant).await?;
            let expiring: Vec<_> =
                tokens.iter().filter_map(|token| Some((token, time_left(token, now)?))).collect();
            let first_end =
                tokens.iter().filter(|token| token.is_live(now)).filter_map(|token| token.expires_at);
            let seconds = first_end.min().map(|end| end.duration_since(now).as_secs());
            self.metrics.set_tokens_expiring(tenant.as_str(), expiring.len(), seconds);
            for (token, left) in expiring {
                if self.told.contains_key(&token.id) {
                    continue;
                }
                let (id, left) = (&token.id, in_words(left));
                tracing::warn!(
                    %tenant,
                    token.id = %id,
                    "token {id} of tenant {tenant} stops working in {left}: `scim-bridge token rotate start {id}`",
                );
                self.told.insert(id.clone(), now);
                told_now.push(id.clone());
            }
        }
        Ok(told_now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_reads_like_speech() {
        for (hours, words) in
            [(30 * 24, "30 days"), (49, "2 days"), (47, "47 hours"), (2, "2 hours"), (1, "less than 2 hours")]
        {
            assert_eq!(in_words(SignedDuration::from_hours(hours)), words);
        }
    }
}
