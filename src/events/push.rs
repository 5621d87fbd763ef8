//! Telling a receiver by calling it (RFC 8935): one event after the other, each until it has arrived.
//!
//! The account of what has arrived is in the store, so a restart goes on where it stopped. A receiver that is away
//! or set up wrongly is tried again, ever more seldom, and gets the same events. Only a token that the receiver
//! calls malformed several times over is set aside, for the sake of those behind it.

use http::StatusCode;
use http::header::{ACCEPT, CONTENT_TYPE};
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::poll::ACCEPTED;
use super::{Feed, FeedError, LOOK_EVERY};
use crate::courier::{self, SetupError, pause, retry_after};
use crate::ids::{EventId, TenantId};
use crate::model::event::{Delivery, EventRecord};
use crate::store::StoreError;

/// How often a token must be called malformed to be set aside.
const TRIES_OF_A_MALFORMED_TOKEN: u32 = 5;
/// What is read of an answer.
const MAX_ANSWER: usize = 4_096;
/// The word for a token that cannot be read, and the other ones that are known (RFC 8935 §2.4).
const MALFORMED: &str = "invalid_request";
const OTHER_ERRORS: [&str; 5] =
    ["invalid_key", "invalid_issuer", "invalid_audience", "authentication_failed", "access_denied"];

/// Where events are pushed to.
#[derive(Debug, Clone)]
pub struct Receiver {
    /// The address; `https`, unless the settings allow another.
    pub url: Url,
    /// What the bridge shows to be let in, as a bearer token.
    pub token: Option<SecretString>,
}

/// Carries one tenant's events to its receiver.
#[derive(Debug)]
pub struct Courier {
    feed: Feed,
    tenant: TenantId,
    receiver: Receiver,
    http: reqwest::Client,
}

/// What came of calling the receiver.
#[derive(Debug)]
enum Call {
    Accepted,
    /// The receiver says that this very token cannot be read.
    Malformed,
    Failed {
        what: String,
        retry_after: Option<SignedDuration>,
    },
}

impl Courier {
    /// A courier for a tenant that has a feed. Opens no connection yet.
    pub fn new(feed: Feed, tenant: TenantId, receiver: Receiver) -> Result<Self, SetupError> {
        let http = courier::client(&receiver.url)?;
        Ok(Self { feed, tenant, receiver, http })
    }

    /// Works until `cancel` is cancelled. A call that is under way then is broken off; its event is told again at
    /// the next start, under the same `jti`.
    pub async fn run(self, cancel: CancellationToken) {
        let _worked = cancel.run_until_cancelled(self.work()).await;
    }

    async fn work(&self) {
        let Ok(channel) = self.feed.channel(&self.tenant) else { return };
        let mut news = channel.news.subscribe();
        // The event at the head of the feed, how often it was called malformed, and the failures in a row.
        let (mut head, mut refusals, mut failures) = (None, 0_u32, 0_u32);
        loop {
            news.borrow_and_update();
            let pause = match self.next().await {
                Ok(None) => {
                    let again = self.feed.later(LOOK_EVERY);
                    tokio::select! {
                        _ = news.changed() => {}
                        () = self.feed.0.clock.sleep_until(again) => {}
                    }
                    continue;
                }
                Ok(Some(record)) => {
                    if head != Some(record.id) {
                        (head, refusals) = (Some(record.id), 0);
                    }
                    match self.tell(&record, &mut refusals).await {
                        Ok(None) => {
                            failures = 0;
                            continue;
                        }
                        Ok(Some(retry_after)) => {
                            failures = failures.saturating_add(1);
                            retry_after.max(pause(failures))
                        }
                        Err(error) => self.stumble(&error),
                    }
                }
                Err(error) => self.stumble(&error),
            };
            self.feed.0.clock.sleep_until(self.feed.later(pause)).await;
        }
    }

    /// The oldest event that has not arrived.
    async fn next(&self) -> Result<Option<EventRecord>, FeedError> {
        let mut reader = self.feed.0.store.reader().await?;
        let mut waiting = reader.waiting_events(&self.tenant, Delivery::Push, 1).await?;
        Ok(waiting.pop())
    }

    /// Tells one event. `None` when it is done with, otherwise the pause that the receiver asks for.
    async fn tell(
        &self,
        record: &EventRecord,
        refusals: &mut u32,
    ) -> Result<Option<SignedDuration>, FeedError> {
        let token = self.feed.token(record)?;
        let (what, pause) = match self.call(token).await {
            Call::Accepted => {
                self.settle(record.id, ACCEPTED.to_owned()).await?;
                return Ok(None);
            }
            Call::Malformed => {
                *refusals = refusals.saturating_add(1);
                if *refusals >= TRIES_OF_A_MALFORMED_TOKEN {
                    tracing::error!(
                        tenant = %self.tenant, event = %record.id,
                        "the receiver calls this event malformed; it is set aside, and the next one is told"
                    );
                    self.settle(record.id, format!("refused: {MALFORMED}")).await?;
                    return Ok(None);
                }
                (MALFORMED.to_owned(), None)
            }
            Call::Failed { what, retry_after } => (what, retry_after),
        };
        tracing::warn!(
            tenant = %self.tenant, event = %record.id, what,
            "an event was not delivered; it is told again"
        );
        Ok(Some(pause.unwrap_or_default()))
    }

    async fn call(&self, token: String) -> Call {
        let mut request = self
            .http
            .post(self.receiver.url.clone())
            .header(CONTENT_TYPE, "application/secevent+jwt")
            .header(ACCEPT, "application/json")
            .body(token);
        if let Some(token) = &self.receiver.token {
            request = request.bearer_auth(token.expose_secret());
        }
        match request.send().await {
            Ok(response) if response.status().is_success() => Call::Accepted,
            Ok(response) => refusal(response).await,
            // The address may hold a secret; the kind of failure is enough to look for its cause.
            Err(error) => Call::Failed { what: error.without_url().to_string(), retry_after: None },
        }
    }

    async fn settle(&self, id: EventId, outcome: String) -> Result<(), StoreError> {
        let (tenant, outcomes) = (self.tenant.clone(), vec![(id, outcome)]);
        self.feed
            .0
            .store
            .write(move |tx| {
                let (tenant, outcomes) = (tenant.clone(), outcomes.clone());
                Box::pin(async move { tx.settle_events(&tenant, Delivery::Push, &outcomes).await })
            })
            .await
    }

    /// Something of ours failed; it is not the receiver's turn to wait for.
    fn stumble(&self, error: &FeedError) -> SignedDuration {
        tracing::warn!(tenant = %self.tenant, %error, "events cannot be told at the moment");
        LOOK_EVERY
    }
}

/// What an answer means that is no success (RFC 8935 §2.3 and §2.4).
async fn refusal(mut response: reqwest::Response) -> Call {
    let status = response.status();
    let retry_after = retry_after(&response);
    let mut body = Vec::new();
    while body.len() < MAX_ANSWER
        && let Ok(Some(chunk)) = response.chunk().await
    {
        body.extend_from_slice(&chunk);
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let word = body.get("err").and_then(Value::as_str).unwrap_or_default();
    if status == StatusCode::BAD_REQUEST && word == MALFORMED {
        return Call::Malformed;
    }
    let word = OTHER_ERRORS.iter().find(|known| **known == word).copied().unwrap_or("no known reason");
    Call::Failed { what: format!("status {}, {word}", status.as_u16()), retry_after }
}
