//! What is in a token: the claims of a security event (RFC 8417 §2.2, RFC 9967 §2).

use serde_json::{Value, json};

use super::Stream;
use crate::model::event::EventRecord;

/// The claims that tell of an event. They hold no value of any attribute, and no `externalId`, which is often an
/// address.
pub(super) fn claims(record: &EventRecord, stream: &Stream) -> Value {
    let event = &record.event;
    json!({
        "iss": stream.issuer,
        "iat": event.at.as_second(),
        "jti": record.id.to_string(),
        "aud": [stream.audience],
        "txn": event.txn.as_str(),
        "sub_id": { "format": "scim", "uri": event.subject },
        "events": event.what,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::ids::{EventId, TenantId};
    use crate::model::event::{Event, EventKind};

    #[test]
    fn one_transaction_is_one_token_with_an_event_for_each_thing_that_happened() {
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let event =
            Event::new(TenantId::default_tenant(), "t-1".into(), clock.now(), "/Users/u-1".to_owned())
                .with_notice(EventKind::Patch, ["active"], "W/\"2\"")
                .with(EventKind::Deactivate);
        let record = EventRecord { seq: 7, id: EventId::new(&clock), event };
        let stream = Stream {
            issuer: "https://scim.example.com/scim/v2".to_owned(),
            audience: "https://hr.example.com".to_owned(),
        };
        let expected = json!({
            "iss": "https://scim.example.com/scim/v2",
            "iat": 1_767_225_600,
            "jti": record.id.to_string(),
            "aud": ["https://hr.example.com"],
            "txn": "t-1",
            "sub_id": { "format": "scim", "uri": "/Users/u-1" },
            "events": {
                "urn:ietf:params:scim:event:prov:patch:notice": {
                    "attributes": ["active"],
                    "version": "W/\"2\"",
                },
                "urn:ietf:params:scim:event:prov:deactivate": {},
            },
        });
        assert_eq!(claims(&record, &stream), expected);
    }
}
