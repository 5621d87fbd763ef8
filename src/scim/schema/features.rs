//! The parts of the protocol that a server may leave out, and how `/ServiceProviderConfig` tells of each.

use serde_json::{Map, Value, json};

use super::limits::{MAX_BODY_BYTES, MAX_BULK_OPERATIONS};
use crate::scim::list::{DEFAULT_COUNT, MAX_COUNT};

/// For how many seconds a cursor is good.
pub const CURSOR_SECONDS: u32 = 3_600;

/// What this server offers to every tenant; those with a feed of events have it besides.
pub const OFFERED: Features =
    Features { sort: true, bulk: true, cursor_timeout_seconds: Some(CURSOR_SECONDS), event_uris: Vec::new() };

/// The optional parts that are offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// `sortBy` and `sortOrder` (RFC 7644 §3.4.2.3).
    pub sort: bool,
    /// `/Bulk` (RFC 7644 §3.7).
    pub bulk: bool,
    /// Paging by cursor (RFC 9865): for how many seconds a cursor is good.
    pub cursor_timeout_seconds: Option<u32>,
    /// The events of the feed (RFC 9967), with which come requests that are answered before they are done, to clients
    /// that ask for it. None: there is no feed.
    pub event_uris: Vec<&'static str>,
}

impl Features {
    /// The attributes of `/ServiceProviderConfig` that tell of the features (RFC 7643 §5, RFC 9865 §4, RFC 9967 §4).
    ///
    /// # Examples
    ///
    /// ```
    /// use openai_scim_bridge::scim::schema::features::Features;
    ///
    /// let features = Features { sort: true, bulk: true, cursor_timeout_seconds: Some(600), event_uris: Vec::new() };
    /// let config = features.to_config();
    /// assert_eq!(config["bulk"]["maxOperations"], 1_000);
    /// assert_eq!(config["pagination"]["cursorTimeout"], 600);
    /// ```
    pub fn to_config(&self) -> Map<String, Value> {
        let (operations, bytes) = if self.bulk { (MAX_BULK_OPERATIONS, MAX_BODY_BYTES) } else { (0, 0) };
        let mut pagination = json!({
            "cursor": self.cursor_timeout_seconds.is_some(),
            "index": true,
            "defaultPaginationMethod": "index",
            "defaultPageSize": DEFAULT_COUNT,
            "maxPageSize": MAX_COUNT,
        });
        if let (Some(seconds), Value::Object(pagination)) = (self.cursor_timeout_seconds, &mut pagination) {
            pagination.insert("cursorTimeout".to_owned(), seconds.into());
        }
        let mut config = Map::new();
        let mut put = |name: &str, value: Value| config.insert(name.to_owned(), value);
        put("sort", json!({"supported": self.sort}));
        put("bulk", json!({"supported": self.bulk, "maxOperations": operations, "maxPayloadSize": bytes}));
        put("pagination", pagination);
        if !self.event_uris.is_empty() {
            put("securityEvents", json!({"asyncRequest": "request", "eventUris": self.event_uris}));
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_offered_is_said_to_be_unsupported() {
        let none =
            Features { sort: false, bulk: false, cursor_timeout_seconds: None, event_uris: Vec::new() };
        assert_eq!(
            Value::from(none.to_config()),
            json!({
                "sort": {"supported": false},
                "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
                "pagination": {
                    "cursor": false, "index": true, "defaultPaginationMethod": "index", "defaultPageSize": 100,
                    "maxPageSize": 200
                }
            })
        );
    }

    #[test]
    fn events_are_told_with_their_uris() {
        let event_uris = vec!["urn:ietf:params:scim:event:prov:delete"];
        let config = Features { event_uris, ..OFFERED }.to_config();
        assert_eq!(
            config["securityEvents"],
            json!({"asyncRequest": "request", "eventUris": ["urn:ietf:params:scim:event:prov:delete"]})
        );
    }
}
