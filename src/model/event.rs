//! What happened to a resource, as other systems are told (RFC 9967), and requests that are answered later.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::ids::{EventId, TenantId, Txn};

/// The kinds of event that the bridge tells of. Changes come as notices: names of attributes, no values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// A resource was created.
    Create,
    /// A resource was changed by PATCH.
    Patch,
    /// A resource was changed by PUT, or by a POST that restored it.
    Put,
    /// A resource was deleted.
    Delete,
    /// Somebody is to have access.
    Activate,
    /// Somebody is to have no access any more.
    Deactivate,
    /// The outcome of a request that was answered with 202.
    AsyncResponse,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Create,
        Self::Patch,
        Self::Put,
        Self::Delete,
        Self::Activate,
        Self::Deactivate,
        Self::AsyncResponse,
    ];

    /// The event's URI (RFC 9967 §2.4 and §2.5).
    pub fn uri(self) -> &'static str {
        match self {
            Self::Create => "urn:ietf:params:scim:event:prov:create:notice",
            Self::Patch => "urn:ietf:params:scim:event:prov:patch:notice",
            Self::Put => "urn:ietf:params:scim:event:prov:put:notice",
            Self::Delete => "urn:ietf:params:scim:event:prov:delete",
            Self::Activate => "urn:ietf:params:scim:event:prov:activate",
            Self::Deactivate => "urn:ietf:params:scim:event:prov:deactivate",
            Self::AsyncResponse => "urn:ietf:params:scim:event:misc:asyncresp",
        }
    }
}

/// What happened to one resource in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The tenant.
    pub tenant: TenantId,
    /// The transaction.
    pub txn: Txn,
    /// When.
    pub at: Timestamp,
    /// The resource's path below the SCIM base, such as `/Users/0190…` (RFC 9967 §2.1).
    pub subject: String,
    /// The payloads by the URIs of the events.
    pub what: Map<String, Value>,
}

impl Event {
    /// That something happened to `subject`; what it was is added.
    pub fn new(tenant: TenantId, txn: Txn, at: Timestamp, subject: String) -> Self {
        Self { tenant, txn, at, subject, what: Map::new() }
    }

    /// Adds that these attributes were written, and the entity tag that the resource has since.
    #[must_use]
    pub fn with_notice<'a>(
        mut self,
        kind: EventKind,
        attributes: impl IntoIterator<Item = &'a str>,
        version: &str,
    ) -> Self {
        let attributes: Vec<&str> = attributes.into_iter().collect();
        let payload = json!({ "attributes": attributes, "version": version });
        self.what.insert(kind.uri().to_owned(), payload);
        self
    }

    /// Adds an event that has no more to tell.
    #[must_use]
    pub fn with(mut self, kind: EventKind) -> Self {
        self.what.insert(kind.uri().to_owned(), json!({}));
        self
    }

    /// Adds the outcome of a request.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Value) -> Self {
        self.what.insert(EventKind::AsyncResponse.uri().to_owned(), outcome);
        self
    }
}

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// Its place in the tenant's feed; a later commit has a higher one.
    pub seq: i64,
    /// The id of its token.
    pub id: EventId,
    /// The event.
    pub event: Event,
}

/// A way of telling events. Each keeps its own account of what has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The receiver asks (RFC 8936).
    Poll,
    /// The bridge calls (RFC 8935).
    Push,
}

/// A request that was answered with 202: stored in the transaction of the change it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deferred {
    /// The tenant.
    pub tenant: TenantId,
    /// The transaction.
    pub txn: Txn,
    /// The request's method, such as `POST`.
    pub method: String,
    /// The resource's path below the SCIM base.
    pub subject: String,
    /// The version that the change made; 0 after a deletion.
    pub version: i64,
    /// When.
    pub made_at: Timestamp,
}

/// How a deferred request ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// When.
    pub at: Timestamp,
    /// The answer, as an operation of a bulk answer (RFC 7644 §3.7.3).
    pub operation: Value,
    /// The event that tells of it.
    pub event: EventId,
}
