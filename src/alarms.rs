//! Telling somebody who is to be called about alarms: one after the other, in order, each until it has arrived.
//!
//! What is to be told is in the store, put there in the transaction that found it to be news, so a restart goes on
//! where it stopped. The calls are signed as [Standard Webhooks](https://www.standardwebhooks.com) describes:
//! `webhook-id`, `webhook-timestamp`, and in `webhook-signature` the HMAC-SHA256 of `id.timestamp.body`. The same
//! alarm always has the same id.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use http::header::CONTENT_TYPE;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::Sha256;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::clock::Clock;
use crate::courier::{self, SetupError, pause, retry_after};
use crate::ids::TenantId;
use crate::model::alarm::Alarm;
use crate::store::{Store, StoreError};

/// How often the queue is looked at.
const LOOK_EVERY: SignedDuration = SignedDuration::from_secs(5);
/// How a secret begins that is written in base64.
const ENCODED_SECRET: &str = "whsec_";

/// Carries one tenant's alarms to whoever is to be called.
#[derive(Debug)]
pub struct Courier {
    store: Store,
    clock: Clock,
    tenant: TenantId,
    url: Url,
    secret: SecretString,
    http: reqwest::Client,
}

impl Courier {
    /// A courier to this address, who signs with this secret. Opens no connection yet.
    pub fn new(
        store: Store,
        clock: Clock,
        tenant: TenantId,
        url: Url,
        secret: SecretString,
    ) -> Result<Self, SetupError> {
        let http = courier::client(&url)?;
        Ok(Self { store, clock, tenant, url, secret, http })
    }

    /// Works until `cancel` is cancelled. An alarm whose call is broken off then is told again at the next start.
    pub async fn run(self, cancel: CancellationToken) {
        let _worked = cancel.run_until_cancelled(self.work()).await;
    }

    async fn work(&self) {
        let mut failures = 0_u32;
        loop {
            let rest = match self.tell_next().await {
                Ok(Told::Nothing) => LOOK_EVERY,
                Ok(Told::Arrived) => {
                    failures = 0;
                    continue;
                }
                Ok(Told::Failed { what, retry_after }) => {
                    failures = failures.saturating_add(1);
                    tracing::warn!(tenant = %self.tenant, what, "an alarm was not delivered; it is sent again");
                    retry_after.unwrap_or_default().max(pause(failures))
                }
                Err(error) => {
                    tracing::warn!(tenant = %self.tenant, %error, "alarms cannot be sent at the moment");
                    LOOK_EVERY
                }
            };
            let until = self.clock.now().checked_add(rest).unwrap_or(Timestamp::MAX);
            self.clock.sleep_until(until).await;
        }
    }

    async fn tell_next(&self) -> Result<Told, StoreError> {
        let next = self.store.reader().await?.next_alarm(&self.tenant).await?;
        let Some(alarm) = next else { return Ok(Told::Nothing) };
        if let Err(failed) = self.call(&alarm).await {
            return Ok(failed);
        }
        let (tenant, id) = (self.tenant.clone(), alarm.id);
        self.store
            .write::<_, StoreError>(move |tx| {
                let tenant = tenant.clone();
                Box::pin(async move { tx.forget_alarm(&tenant, id).await })
            })
            .await?;
        Ok(Told::Arrived)
    }

    async fn call(&self, alarm: &Alarm) -> Result<(), Told> {
        let (id, at, body) = (alarm.id.to_string(), self.clock.now().as_second(), body(alarm));
        let sent = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", sign(&self.secret, &id, at, &body))
            .body(body)
            .send()
            .await;
        match sent {
            Ok(response) if response.status().is_success() => Ok(()),
            Ok(response) => Err(Told::Failed {
                what: format!("status {}", response.status().as_u16()),
                retry_after: retry_after(&response),
            }),
            // The address may hold a secret; the kind of failure is enough to look for its cause.
            Err(error) => Err(Told::Failed { what: error.without_url().to_string(), retry_after: None }),
        }
    }
}

/// What came of looking for something to tell.
enum Told {
    Nothing,
    Arrived,
    Failed { what: String, retry_after: Option<SignedDuration> },
}

/// An alarm as it is sent.
fn body(alarm: &Alarm) -> String {
    json!({
        "type": format!("alarm.{}", alarm.state.as_str()),
        "timestamp": alarm.at,
        "data": {
            "tenant": alarm.tenant,
            "cause": alarm.cause,
            "size": alarm.size,
            "text": alarm.text,
        },
    })
    .to_string()
}

/// The signature of a call. A secret in base64, marked as such, is decoded; any other is used as it is.
fn sign(secret: &SecretString, id: &str, at: i64, body: &str) -> String {
    let text = secret.expose_secret();
    let decoded = text.strip_prefix(ENCODED_SECRET).and_then(|encoded| STANDARD.decode(encoded).ok());
    let key = decoded.unwrap_or_else(|| text.as_bytes().to_vec());
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { return String::new() };
    for part in [id, ".", &at.to_string(), ".", body] {
        mac.update(part.as_bytes());
    }
    format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_signed_as_the_standard_shows() {
        // The example of the specification's reference libraries.
        let secret = SecretString::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signature =
            sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        let plain = sign(&SecretString::from("plain"), "id", 1, "{}");
        assert!(plain.starts_with("v1,") && plain != signature);
    }
}
