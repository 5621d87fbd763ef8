//! Typed identifiers: one type per kind of thing, so that a person's id cannot be passed for a group's.
//!
//! Ids of ours are UUIDv7: ordered by time of making, never chosen by a client, never reused.
//! Ids of the OpenAI side are opaque text and have their own types, so that the two worlds cannot be mixed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Clock;

/// A text that is not a well-formed id of the kind asked for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a well-formed {kind}")]
pub struct IdError {
    kind: &'static str,
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes a new id from the time and the randomness of `clock`.
            pub fn new(clock: &Clock) -> Self {
                Self(clock.uuid())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            /// Accepts the hyphenated lower-case form alone: one id has one spelling.
            fn from_str(text: &str) -> Result<Self, IdError> {
                let id = Uuid::try_parse(text).map_err(|_malformed| IdError { kind: $kind })?;
                let mut canonical = Uuid::encode_buffer();
                if id.as_hyphenated().encode_lower(&mut canonical) == text {
                    Ok(Self(id))
                } else {
                    Err(IdError { kind: $kind })
                }
            }
        }
    };
}

uuid_id!(
    /// A person, and the SCIM `id` of the user resource that stands for them.
    PersonId,
    "user id"
);
uuid_id!(
    /// A SCIM group.
    GroupId,
    "group id"
);
uuid_id!(
    /// One recorded upstream operation.
    OperationId,
    "operation id"
);
uuid_id!(
    /// One inbound request; travels into logs, audit and the `X-Request-Id` header.
    RequestId,
    "request id"
);

uuid_id!(
    /// One event of a feed: the `jti` of its token (RFC 8417 §2.2).
    EventId,
    "event id"
);

uuid_id!(
    /// One hold.
    HoldId,
    "hold id"
);
uuid_id!(
    /// One alarm; its receiver knows it by this.
    AlarmId,
    "alarm id"
);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
    };
}

text_id!(
    /// The OpenAI id of an organization member (`user-…`).
    UserId
);
text_id!(
    /// The OpenAI id of an invite (`invite-…`).
    InviteId
);
text_id!(
    /// The OpenAI id of a project (`proj_…`).
    ProjectId
);
text_id!(
    /// The OpenAI id of a role (`role_…`).
    RoleId
);

text_id!(
    /// The OpenAI id of a group of members (`group_…`), which is no SCIM group.
    OpenAiGroupId
);

text_id!(
    /// One transaction, as clients and event receivers know it: the `txn` claim (RFC 8417 §2.2) and `Set-Txn`
    /// (RFC 9967 §3). It is the id of the request, so it also leads to the log and to the audit trail.
    Txn
);

impl From<RequestId> for Txn {
    fn from(request: RequestId) -> Self {
        Self(request.to_string())
    }
}

/// The name of a tenant: lower-case letters, digits and hyphens, 1 to 63 characters, starting with a letter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TenantId(String);

impl TenantId {
    /// The tenant that the settings' top level describes.
    pub fn default_tenant() -> Self {
        Self("default".to_owned())
    }

    /// The text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TenantId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let well_formed = (1..=63).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if well_formed { Ok(Self(text.to_owned())) } else { Err(IdError { kind: "tenant name" }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_spelling() {
        let clock = Clock::manual("2026-01-01T00:00:00Z".parse().unwrap());
        let id = PersonId::new(&clock);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!(id.to_string().to_uppercase().parse::<PersonId>().is_err());
        assert!(id.to_string().replace('-', "").parse::<PersonId>().is_err());
    }

    #[test]
    fn tenant_names_are_plain() {
        assert!("default".parse::<TenantId>().is_ok());
        for bad in ["", "Default", "1st", "a/b", "a b", "../x", &"a".repeat(64)] {
            assert!(bad.parse::<TenantId>().is_err(), "{bad:?}");
        }
    }
}
