//! The audit trail: who asked for what, when, and what came of it.

use jiff::Timestamp;
use serde_json::Value;

use crate::ids::{PersonId, RequestId, TenantId};

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A SCIM client, by the public id of its token.
    Token(String),
    /// The engine.
    Engine,
    /// Somebody at the command line.
    CommandLine,
    /// Somebody who has not proven who they are.
    Nobody,
}

impl Actor {
    /// The text kept in the trail.
    pub fn as_text(&self) -> String {
        match self {
            Self::Token(id) => format!("token:{id}"),
            Self::Engine => "engine".to_owned(),
            Self::CommandLine => "command-line".to_owned(),
            Self::Nobody => "nobody".to_owned(),
        }
    }
}

/// One entry of the trail; written in the transaction of the change it tells of.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditEntry {
    /// The tenant.
    pub tenant: TenantId,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
    /// The inbound request that led to it, if one did.
    pub request: Option<RequestId>,
    /// The person concerned.
    pub person: Option<PersonId>,
    /// What happened, as a dotted word such as `user.create`.
    pub event: String,
    /// The particulars: attribute names that changed, operation id, outcome. Never a secret, never a password.
    pub detail: Value,
}

impl AuditEntry {
    /// What somebody did, without an inbound request and about no person.
    pub fn by(actor: Actor, tenant: &TenantId, at: Timestamp, event: &str, detail: Value) -> Self {
        Self {
            tenant: tenant.clone(),
            at,
            actor,
            request: None,
            person: None,
            event: event.to_owned(),
            detail,
        }
    }
}
