//! What opens a project besides a membership: API keys and service accounts, as last seen. Read, never changed.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};

use crate::ids::{PersonId, ProjectId};
use crate::model::mapping::WordError;

/// What a credential is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CredentialKind {
    /// An API key of a project that a person owns.
    UserKey,
    /// An API key of a project that a service account owns.
    ServiceKey,
    /// A service account. Who made it, OpenAI does not tell.
    ServiceAccount,
}

impl CredentialKind {
    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserKey => "user_key",
            Self::ServiceKey => "service_account_key",
            Self::ServiceAccount => "service_account",
        }
    }
}

impl FromStr for CredentialKind {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        [Self::UserKey, Self::ServiceKey, Self::ServiceAccount]
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| WordError(word.to_owned()))
    }
}

/// How long after somebody was removed their keys are looked at: OpenAI may take a moment to show them as inactive.
const SETTLES_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// A key of somebody who was removed that was not shown as inactive when it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftKey {
    /// Whose it is.
    pub person: PersonId,
    /// The project that it opens.
    pub project: ProjectId,
    /// Its id.
    pub id: String,
    /// When they were removed.
    pub removed_at: Timestamp,
    /// When it was last seen.
    pub last_seen_at: Timestamp,
    /// Whether it was told that it outlives its owner's access.
    pub is_told: bool,
}

impl LeftKey {
    /// When a look at it shows whether it outlives its owner's access.
    pub fn readable_at(&self) -> Timestamp {
        self.removed_at.checked_add(SETTLES_AFTER).unwrap_or(Timestamp::MAX)
    }

    /// Whether it was looked at since, and is live all the same.
    pub fn is_live(&self) -> bool {
        self.last_seen_at >= self.readable_at()
    }
}

/// A key or a service account of a project, without any secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    /// The project that it opens.
    pub project: ProjectId,
    /// What it is.
    pub kind: CredentialKind,
    /// Its id, `key_…` or `svc_…`.
    pub id: String,
    /// Its name, which need not be unique.
    pub name: Option<String>,
    /// Whose it is: an OpenAI user, or a service account; none for a service account itself.
    pub owner: Option<String>,
    /// Whether the owner still has access to the project, if OpenAI says.
    pub owner_has_access: Option<bool>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it was last used, if ever and if OpenAI says.
    pub last_used_at: Option<Timestamp>,
}

/// A credential and when it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// What was seen.
    pub credential: Credential,
    /// When it was first seen.
    pub first_seen_at: Timestamp,
    /// When it was last seen.
    pub last_seen_at: Timestamp,
    /// When a complete reading of its project no longer had it.
    pub gone_at: Option<Timestamp>,
}

impl Sighting {
    /// Whether it existed at this instant, as far as readings and its own date of birth tell.
    pub fn existed_at(&self, at: Timestamp) -> bool {
        self.credential.created_at.unwrap_or(self.first_seen_at) <= at
            && self.gone_at.is_none_or(|gone| at < gone)
    }
}
