//! What the engine keeps in mind about a person beyond what they are tied to: invites sent, what an administrator
//! said, and what was changed upstream by somebody else.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{ProjectId, UserId};

/// Kept with the mapping row, as one document.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Upkeep {
    /// Invites sent to the present address without the person having come in.
    pub invites_sent: u32,
    /// What an administrator last said about the person, until it no longer matters.
    pub instruction: Option<Instruction>,
    /// What somebody else changed upstream and is still so.
    pub drift: BTreeSet<Drift>,
}

impl Upkeep {
    /// Projects that somebody else took away although they are granted.
    pub fn lost_projects(&self) -> impl Iterator<Item = ProjectId> {
        let lost = self.drift.iter().filter(|drift| drift.class == DriftClass::ProjectRemoved);
        lost.map(|drift| ProjectId::from(drift.subject.as_str()))
    }
}

/// An administrator's word about one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// What is to be done.
    pub what: Wanted,
    /// When it was said.
    pub at: Timestamp,
    /// Who said it.
    pub by: String,
    /// Why, in their words; may be empty.
    pub why: String,
}

/// What an administrator can say about one person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// Withdraw whatever invite was sent before, and send a new one.
    Resend,
    /// Withdraw the invite and send no other.
    Withhold,
    /// This member is the person.
    Link(UserId),
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.by)?;
        if self.why.is_empty() { Ok(()) } else { write!(f, ": {}", self.why) }
    }
}

/// The kinds of change that somebody else can make to what the bridge manages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DriftClass {
    /// A member was removed.
    MemberRemoved,
    /// A pending invite was withdrawn.
    InviteWithdrawn,
    /// A member's organization role was changed.
    RoleChanged,
    /// A member was put into a managed project.
    ProjectAdded,
    /// A member was taken out of a project that a grant gives.
    ProjectRemoved,
    /// Somebody became a member whom no identity provider speaks of.
    NewMember,
    /// An OpenAI group was deleted that the bridge keeps or that a rule names.
    GroupDeleted,
}

impl DriftClass {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::MemberRemoved,
        Self::InviteWithdrawn,
        Self::RoleChanged,
        Self::ProjectAdded,
        Self::ProjectRemoved,
        Self::NewMember,
        Self::GroupDeleted,
    ];

    /// The word used in settings, metrics and the audit trail.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MemberRemoved => "member_removed",
            Self::InviteWithdrawn => "invite_withdrawn",
            Self::RoleChanged => "role_changed",
            Self::ProjectAdded => "project_added",
            Self::ProjectRemoved => "project_removed",
            Self::NewMember => "new_member",
            Self::GroupDeleted => "group_deleted",
        }
    }
}

impl fmt::Display for DriftClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One change that somebody else made.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Drift {
    /// Of which kind.
    pub class: DriftClass,
    /// What it concerns: the id of a member, an invite or a project.
    pub subject: String,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.class, self.subject)
    }
}
