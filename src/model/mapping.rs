//! The mapping table's row: which invite and which OpenAI user stand for a person, and how far things are.
//! Written by the engine alone.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{InviteId, PersonId, ProjectId, TenantId, UserId};
use crate::model::address::Address;
use crate::model::grant::{Assignment, OrgRole, ProjectGrant};
use crate::model::upkeep::Upkeep;

/// Where a person stands in their life upstream (design: "A person's life").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Wanted, but no invite is out yet.
    Pending,
    /// An invite is out and waits for acceptance.
    Invited,
    /// The invite ran out before it was accepted.
    Expired,
    /// A member of the organization.
    Member,
    /// Access is being taken away.
    Removing,
    /// Known to the directory, nothing upstream.
    Parked,
    /// An operation waits for a human or for the world to change; the reason says which.
    Held,
    /// OpenAI refused; retried when something changes.
    Refused,
}

impl Status {
    /// Every status, in the order of a life.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Invited,
        Self::Expired,
        Self::Member,
        Self::Removing,
        Self::Parked,
        Self::Held,
        Self::Refused,
    ];

    /// Where somebody in the directory is shown to stand who has this mapping, if any. The engine writes the mapping after
    /// the directory wrote the person, so between the two the mapping tells of the past: then the wish decides.
    pub fn shown(wants_access: bool, mapping: Option<&Mapping>) -> Self {
        let recorded = mapping.map(|mapping| mapping.status);
        let bound = mapping.is_some_and(|mapping| mapping.user_id.is_some() || mapping.invite_id.is_some());
        match (wants_access, recorded) {
            (true, None | Some(Self::Parked | Self::Removing)) => Self::Pending,
            (true, Some(status)) | (false, Some(status @ (Self::Held | Self::Removing))) => status,
            (false, Some(Self::Refused)) if bound => Self::Refused,
            (false, _) if bound => Self::Removing,
            (false, _) => Self::Parked,
        }
    }

    /// The word shown in SCIM, tables and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Invited => "invited",
            Self::Expired => "expired",
            Self::Member => "member",
            Self::Removing => "removing",
            Self::Parked => "parked",
            Self::Held => "held",
            Self::Refused => "refused",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no status or origin.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a known word here")]
pub struct WordError(pub String);

impl FromStr for Status {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        Self::ALL.into_iter().find(|status| status.as_str() == word).ok_or_else(|| WordError(word.to_owned()))
    }
}

/// How the tie between a person and what stands for them upstream came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The bridge sent the invite.
    Invited,
    /// An invite or member that was there before was bound by the tenant's rule.
    Linked,
    /// An administrator imported the row.
    Imported,
    /// The member was there before and is shown to identity providers; none of them has claimed the user yet.
    Unclaimed,
}

impl Origin {
    /// The word shown in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invited => "invited",
            Self::Linked => "linked",
            Self::Imported => "imported",
            Self::Unclaimed => "unclaimed",
        }
    }
}

impl FromStr for Origin {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        [Self::Invited, Self::Linked, Self::Imported, Self::Unclaimed]
            .into_iter()
            .find(|origin| origin.as_str() == word)
            .ok_or_else(|| WordError(word.to_owned()))
    }
}

/// One row of the external-ID mapping table. A person without a row is `pending` with nothing upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// The tenant the person belongs to.
    pub tenant: TenantId,
    /// The person.
    pub person: PersonId,
    /// The address the invite went to or the member has: can differ from the wished one while it changes.
    pub address: Option<Address>,
    /// How the tie came about.
    pub origin: Origin,
    /// The invite that stands for the person, while there is one.
    pub invite_id: Option<InviteId>,
    /// When that invite runs out, if OpenAI said so.
    pub invite_expires_at: Option<Timestamp>,
    /// The member that stands for the person; fixed once set, until the removal of the member is confirmed.
    pub user_id: Option<UserId>,
    /// The member that stood for the person before they were parked.
    pub former_user_id: Option<UserId>,
    /// Where the person stands.
    pub status: Status,
    /// Why, when the status alone does not say it.
    pub status_reason: Option<String>,
    /// The organization role last seen upstream.
    pub effective_role: Option<OrgRole>,
    /// The managed projects last seen upstream.
    pub effective_projects: Vec<ProjectGrant>,
    /// The OpenAI groups and custom roles that grants speak of, as last seen upstream.
    pub effective_assignments: Vec<Assignment>,
    /// When the upstream side of this row was last confirmed.
    pub last_synced_at: Option<Timestamp>,
    /// What the engine keeps in mind besides; not part of an exported row.
    pub upkeep: Upkeep,
}

impl Mapping {
    /// The row of a person of whom nothing is known upstream.
    pub fn new(tenant: TenantId, person: PersonId) -> Self {
        Self {
            tenant,
            person,
            address: None,
            origin: Origin::Invited,
            invite_id: None,
            invite_expires_at: None,
            user_id: None,
            former_user_id: None,
            status: Status::Pending,
            status_reason: None,
            effective_role: None,
            effective_projects: Vec::new(),
            effective_assignments: Vec::new(),
            last_synced_at: None,
            upkeep: Upkeep::default(),
        }
    }

    /// The projects that the person has by a grant, or had until somebody else took them away.
    pub fn granted_projects(&self) -> impl Iterator<Item = ProjectId> {
        let held = self.effective_projects.iter().map(|grant| grant.id.clone());
        held.chain(self.upkeep.lost_projects())
    }
}
