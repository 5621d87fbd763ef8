//! Operations: the upstream calls that the engine plans, records before it sends them, and settles after.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::{InviteId, OperationId, PersonId, ProjectId, TenantId, UserId};
use crate::model::grant::{Assignment, OrgRole, ProjectGrant, ProjectRole};

/// The priority class of an operation; the first is served first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Taking access away. Waits for nothing but its own endpoint's budget.
    Revoke,
    /// Lowering a role.
    Reduce,
    /// Sending an invite.
    Invite,
    /// Giving a role or a project.
    Grant,
    /// Reading.
    Read,
}

impl Lane {
    /// Every lane, first served first.
    pub const ALL: [Self; 5] = [Self::Revoke, Self::Reduce, Self::Invite, Self::Grant, Self::Read];

    /// The word used in metrics, logs and plans.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Revoke => "revoke",
            Self::Reduce => "reduce",
            Self::Invite => "invite",
            Self::Grant => "grant",
            Self::Read => "read",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One call that changes something upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Action {
    /// `POST /organization/invites`. `projects` is always sent: left out it would mean the default project.
    CreateInvite {
        /// Where the invite goes.
        address: String,
        /// The role it carries.
        role: OrgRole,
        /// The projects it carries; usually none.
        projects: Vec<ProjectGrant>,
    },
    /// `DELETE /organization/invites/{id}`
    DeleteInvite {
        /// The invite.
        invite: InviteId,
    },
    /// `DELETE /organization/users/{id}`
    DeleteUser {
        /// The member.
        user: UserId,
    },
    /// `POST /organization/users/{id}`
    SetRole {
        /// The member.
        user: UserId,
        /// The role the member gets.
        role: OrgRole,
        /// Whether it takes rights away.
        lowers: bool,
    },
    /// `POST /organization/projects/{id}/users`
    AddToProject {
        /// The project.
        project: ProjectId,
        /// The member.
        user: UserId,
        /// The role inside the project.
        role: ProjectRole,
    },
    /// `POST /organization/projects/{id}/users/{id}`
    SetProjectRole {
        /// The project.
        project: ProjectId,
        /// The member.
        user: UserId,
        /// The role inside the project.
        role: ProjectRole,
        /// Whether it takes rights away.
        lowers: bool,
    },
    /// `DELETE /organization/projects/{id}/users/{id}`
    RemoveFromProject {
        /// The project.
        project: ProjectId,
        /// The member.
        user: UserId,
    },
    /// `POST` on the users of a group, or on the roles of a user in the organization or in a project.
    Assign {
        /// What the member gets.
        what: Assignment,
        /// The member.
        user: UserId,
    },
    /// `DELETE` likewise.
    Unassign {
        /// What the member loses.
        what: Assignment,
        /// The member.
        user: UserId,
    },
}

impl Action {
    /// The word used in metrics, logs and plans.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::CreateInvite { .. } => "create_invite",
            Self::DeleteInvite { .. } => "delete_invite",
            Self::DeleteUser { .. } => "delete_user",
            Self::SetRole { .. } => "set_role",
            Self::AddToProject { .. } => "add_to_project",
            Self::SetProjectRole { .. } => "set_project_role",
            Self::RemoveFromProject { .. } => "remove_from_project",
            Self::Assign { what, .. } => match what {
                Assignment::Group { .. } => "add_to_group",
                Assignment::Role { .. } => "assign_role",
                Assignment::ProjectRole { .. } => "assign_project_role",
            },
            Self::Unassign { what, .. } => match what {
                Assignment::Group { .. } => "remove_from_group",
                Assignment::Role { .. } => "unassign_role",
                Assignment::ProjectRole { .. } => "unassign_project_role",
            },
        }
    }

    /// Whether it takes access away that a member has. Withdrawing an invite does not: nobody has come in by it.
    pub fn takes_access(&self) -> bool {
        matches!(self, Self::DeleteUser { .. }) || self.lane() == Lane::Reduce
    }

    /// The priority class the call belongs to.
    pub fn lane(&self) -> Lane {
        match self {
            Self::DeleteInvite { .. } | Self::DeleteUser { .. } => Lane::Revoke,
            Self::RemoveFromProject { .. }
            | Self::Unassign { .. }
            | Self::SetRole { lowers: true, .. }
            | Self::SetProjectRole { lowers: true, .. } => Lane::Reduce,
            Self::CreateInvite { .. } => Lane::Invite,
            Self::SetRole { .. }
            | Self::AddToProject { .. }
            | Self::SetProjectRole { .. }
            | Self::Assign { .. } => Lane::Grant,
        }
    }
}

/// How far a recorded operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationState {
    /// Committed before the first byte was sent. After a restart this reads as `Unknown`.
    Sending,
    /// No definite answer came; what happened is read back before anything is repeated.
    Unknown,
    /// OpenAI confirmed it, or a reading showed its effect.
    Done,
    /// OpenAI refused it for good.
    Refused,
    /// It did not take effect; the next plan decides anew.
    Failed,
}

impl OperationState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Sending, Self::Unknown, Self::Done, Self::Refused, Self::Failed];

    /// The word used in the store, metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Unknown => "unknown",
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }

    /// Whether the outcome is still open.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Sending | Self::Unknown)
    }
}

/// An upstream call on record: written before it is sent, settled after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// The tenant whose key makes the call.
    pub tenant: TenantId,
    /// Its id, ordered by time.
    pub id: OperationId,
    /// The person it serves.
    pub person: PersonId,
    /// The version of the person's resource that asked for it.
    pub person_version: i64,
    /// The call.
    pub action: Action,
    /// Why the plan wanted it, in a sentence for administrators.
    pub reason: String,
    /// How far it is.
    pub state: OperationState,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When waiting for its answer ended without one.
    pub unanswered_at: Option<Timestamp>,
    /// When its outcome became known.
    pub settled_at: Option<Timestamp>,
    /// OpenAI's `x-request-id`.
    pub upstream_request_id: Option<String>,
    /// What came of it, in words.
    pub outcome: Option<String>,
}

impl Operation {
    /// The latest instant at which it may have reached OpenAI; on a machine that stood still, that is long after it was
    /// sent.
    pub fn under_way_until(&self) -> Timestamp {
        self.unanswered_at.unwrap_or(self.sent_at)
    }
}
