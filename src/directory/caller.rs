//! Who asks, and what they may do.

use std::sync::{Arc, OnceLock};

use super::DirectoryError;
use crate::ids::{RequestId, TenantId};
use crate::model::scope::{Scope, Scopes};
use crate::scim::error::ScimError;

/// Who asks, and for which tenant: everything an operation knows of its caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The tenant that the caller's token opens.
    pub tenant: TenantId,
    /// The public id of that token.
    pub token: String,
    /// What the token may do.
    pub rights: Rights,
    /// The request that is being served.
    pub request: RequestId,
    /// Whether the caller would rather be told the outcome later (RFC 7240 §4.1).
    pub prefers_async: bool,
}

/// What a caller may do. Clones share the memory of what was refused.
#[derive(Debug, Clone)]
pub struct Rights {
    scopes: Scopes,
    refused: Arc<OnceLock<Scope>>,
}

impl Rights {
    /// These scopes.
    pub fn new(scopes: Scopes) -> Self {
        Self { scopes, refused: Arc::default() }
    }

    /// The first scope that was asked for and is not there.
    pub fn refused(&self) -> Option<Scope> {
        self.refused.get().copied()
    }
}

impl Caller {
    /// Whether the caller may do this.
    pub fn may(&self, scope: Scope) -> bool {
        self.rights.scopes.allow(scope)
    }

    /// Refuses what the caller may not do. Every operation of the directory asks this first, so that none can be
    /// reached past it, whatever the path, the query or the bulk request it came by.
    ///
    /// # Errors
    ///
    /// 403, with the name of the scope that the token needs.
    pub fn require(&self, scope: Scope) -> Result<(), DirectoryError> {
        if self.may(scope) {
            return Ok(());
        }
        let _first = self.rights.refused.set(scope).is_ok();
        Err(ScimError::forbidden(format!(
            "this token lacks the scope {scope}; make one with `scim-bridge token create --scopes`"
        ))
        .into())
    }
}
