//! Telling a receiver that asks (RFC 8936).
//!
//! A receiver gets the oldest events that it has not acknowledged, again and again until it does.

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::{Feed, FeedError, LOOK_EVERY};
use crate::ids::{EventId, TenantId};
use crate::model::event::Delivery;
use crate::scim::error::ScimError;
use crate::store::StoreError;
use crate::telemetry::redact::plain;

/// The most events in one answer.
pub const MAX_EVENTS: u16 = 100;
/// The most acknowledgements and refusals in one request.
const MAX_OUTCOMES: usize = 1_000;
/// The longest that an answer without events is kept back.
pub const LONGEST_WAIT: SignedDuration = SignedDuration::from_secs(20);
/// How many receivers of a tenant may wait at a time; further ones are answered at once.
pub(super) const MAX_WAITING: usize = 8;
/// Characters kept of the word with which a receiver refuses an event.
const MAX_ERROR_WORD: usize = 64;

/// What is noted of an event that has arrived.
pub(super) const ACCEPTED: &str = "accepted";

/// A poll request (RFC 8936 §2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollRequest {
    max_events: u16,
    return_immediately: bool,
    outcomes: Vec<(EventId, String)>,
}

impl PollRequest {
    /// Reads a request. Members that are not known are ignored, and so are acknowledgements of what is no event.
    ///
    /// # Errors
    ///
    /// 400 `invalidSyntax` or `invalidValue`, which says what is wrong.
    pub fn parse(body: &Value) -> Result<Self, ScimError> {
        let body =
            body.as_object().ok_or_else(|| ScimError::invalid_syntax("a poll request is a JSON object"))?;
        let max_events = match body.get("maxEvents") {
            None => MAX_EVENTS,
            Some(number) => {
                let number = number.as_u64().ok_or_else(|| {
                    ScimError::invalid_value("maxEvents must be a whole number that is not negative")
                })?;
                u16::try_from(number).unwrap_or(MAX_EVENTS).min(MAX_EVENTS)
            }
        };
        let return_immediately = match body.get("returnImmediately") {
            None => false,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => return Err(ScimError::invalid_value("returnImmediately must be true or false")),
        };
        let mut outcomes = Vec::new();
        let mut note = |id: &str, outcome: String| {
            outcomes.extend(id.parse().ok().map(|id: EventId| (id, outcome)));
        };
        match body.get("ack") {
            None => {}
            Some(Value::Array(ids)) => {
                for id in ids {
                    let id = id.as_str().ok_or_else(|| {
                        ScimError::invalid_value("ack must be a list of `jti` values, which are strings")
                    })?;
                    note(id, ACCEPTED.to_owned());
                }
            }
            Some(_) => return Err(ScimError::invalid_value("ack must be a list of `jti` values")),
        }
        match body.get("setErrs") {
            None => {}
            Some(Value::Object(errors)) => {
                for (id, error) in errors {
                    let word = error.get("err").and_then(Value::as_str).ok_or_else(|| {
                        ScimError::invalid_value("setErrs must hold, for each `jti`, an object with `err`")
                    })?;
                    note(id, format!("refused: {}", plain(word, MAX_ERROR_WORD)));
                }
            }
            Some(_) => return Err(ScimError::invalid_value("setErrs must be an object")),
        }
        if outcomes.len() > MAX_OUTCOMES {
            let detail = format!("acknowledge at most {MAX_OUTCOMES} events in one request");
            return Err(ScimError::invalid_value(detail));
        }
        Ok(Self { max_events, return_immediately, outcomes })
    }
}

impl Feed {
    /// Answers a poll: notes what has arrived, then tells the oldest events that have not. If there are none, waits
    /// for some, unless the receiver will not.
    pub async fn poll(&self, tenant: &TenantId, request: PollRequest) -> Result<Value, FeedError> {
        let channel = self.channel(tenant)?;
        let PollRequest { max_events, return_immediately, outcomes } = request;
        self.note_outcomes(tenant, outcomes).await?;
        if max_events == 0 {
            return Ok(json!({ "sets": {} }));
        }
        let place = if return_immediately { None } else { channel.waiting.try_acquire().ok() };
        let end = self.later(LONGEST_WAIT);
        let mut news = channel.news.subscribe();
        loop {
            news.borrow_and_update();
            let answer = self.oldest(tenant, max_events).await?;
            let may_wait = place.is_some() && self.0.clock.now() < end && !self.0.closing.is_cancelled();
            if !answer.sets.is_empty() || !may_wait {
                return Ok(answer.into_json());
            }
            tokio::select! {
                _ = news.changed() => {}
                () = self.0.closing.cancelled() => {}
                () = self.0.clock.sleep_until(end.min(self.later(LOOK_EVERY))) => {}
            }
        }
    }

    async fn note_outcomes(
        &self,
        tenant: &TenantId,
        outcomes: Vec<(EventId, String)>,
    ) -> Result<(), StoreError> {
        if outcomes.is_empty() {
            return Ok(());
        }
        for (id, outcome) in outcomes.iter().filter(|(_, outcome)| outcome != ACCEPTED) {
            tracing::warn!(%tenant, event = %id, outcome, "the receiver of events refuses one");
        }
        let tenant = tenant.clone();
        self.0
            .store
            .write(move |tx| {
                let (tenant, outcomes) = (tenant.clone(), outcomes.clone());
                Box::pin(async move { tx.settle_events(&tenant, Delivery::Poll, &outcomes).await })
            })
            .await
    }

    async fn oldest(&self, tenant: &TenantId, count: u16) -> Result<Answer, FeedError> {
        let limit = i64::from(count) + 1;
        let waiting = self.0.store.reader().await?.waiting_events(tenant, Delivery::Poll, limit).await?;
        let more = waiting.len() > usize::from(count);
        let mut sets = Map::new();
        for record in waiting.iter().take(usize::from(count)) {
            sets.insert(record.id.to_string(), self.token(record)?.into());
        }
        Ok(Answer { sets, more })
    }

    pub(super) fn later(&self, by: SignedDuration) -> jiff::Timestamp {
        self.0.clock.now().checked_add(by).unwrap_or(jiff::Timestamp::MAX)
    }
}

/// RFC 8936 §2.3. The tokens stand in the order of the feed.
struct Answer {
    sets: Map<String, Value>,
    more: bool,
}

impl Answer {
    fn into_json(self) -> Value {
        let mut body = Map::from_iter([("sets".to_owned(), self.sets.into())]);
        if self.more {
            body.insert("moreAvailable".to_owned(), true.into());
        }
        body.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn an_empty_request_asks_for_what_there_is_and_waits() {
        let expected =
            PollRequest { max_events: MAX_EVENTS, return_immediately: false, outcomes: Vec::new() };
        assert_eq!(PollRequest::parse(&json!({})), Ok(expected.clone()));
        assert_eq!(PollRequest::parse(&json!({ "maxEvents": 1_000_000, "other": 1 })), Ok(expected));
    }

    #[test]
    fn acknowledgements_and_refusals_are_noted() {
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let (first, second) = (EventId::new(&clock), EventId::new(&clock));
        let request = PollRequest::parse(&json!({
            "ack": [first.to_string(), "somebody else's"],
            "setErrs": { second.to_string(): { "err": "invalid\nkey", "description": "?" } },
            "maxEvents": 0,
            "returnImmediately": true,
        }));
        let outcomes = vec![(first, "accepted".to_owned()), (second, "refused: invalid\\nkey".to_owned())];
        assert_eq!(request, Ok(PollRequest { max_events: 0, return_immediately: true, outcomes }));
    }

    #[test]
    fn a_malformed_request_is_refused_with_the_member_that_is_wrong() {
        for (body, named) in [
            (json!([]), "object"),
            (json!({ "maxEvents": -1 }), "maxEvents"),
            (json!({ "maxEvents": "1" }), "maxEvents"),
            (json!({ "returnImmediately": "yes" }), "returnImmediately"),
            (json!({ "ack": "x" }), "ack"),
            (json!({ "ack": [1] }), "ack"),
            (json!({ "setErrs": [] }), "setErrs"),
            (json!({ "setErrs": { "x": "y" } }), "setErrs"),
        ] {
            let error = PollRequest::parse(&body).unwrap_err();
            assert_eq!(error.status, 400);
            assert!(error.detail.contains(named), "{body}: {}", error.detail);
        }
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let many: Vec<_> = (0..=MAX_OUTCOMES).map(|_| EventId::new(&clock).to_string()).collect();
        assert!(PollRequest::parse(&json!({ "ack": many })).is_err());
    }
}
