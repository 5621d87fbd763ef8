//! What was last seen of the OpenAI side: the mirror that plans are made against.

use std::str::FromStr;

use jiff::Timestamp;

use crate::ids::{InviteId, OpenAiGroupId, ProjectId, RoleId, UserId};
use crate::model::grant::{Assignment, OrgRole, ProjectGrant, ProjectRole};
use crate::model::mapping::WordError;

/// A member of the organization.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The OpenAI user id.
    pub id: UserId,
    /// The address as OpenAI shows it; may be absent.
    pub email: Option<String>,
    /// The name as OpenAI shows it.
    pub name: Option<String>,
    /// The classic role; `None` when OpenAI named one that is not known here, which is never acted on.
    pub role: Option<OrgRole>,
    /// A service account: never bound, never changed.
    pub is_service_account: bool,
    /// Managed by OpenAI's own directory sync: never bound, never changed.
    pub is_scim_managed: bool,
    /// The organization's default user: never bound, never changed.
    pub is_default: bool,
    /// When the membership began.
    pub added_at: Timestamp,
}

/// What OpenAI says of an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InviteStatus {
    /// Waits for the person.
    Pending,
    /// The person is a member, or is about to be.
    Accepted,
    /// Ran out.
    Expired,
}

impl InviteStatus {
    /// The word OpenAI uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Expired => "expired",
        }
    }
}

impl FromStr for InviteStatus {
    type Err = WordError;

    fn from_str(word: &str) -> Result<Self, WordError> {
        [Self::Pending, Self::Accepted, Self::Expired]
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or_else(|| WordError(word.to_owned()))
    }
}

/// An invite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// The OpenAI invite id.
    pub id: InviteId,
    /// The address it went to.
    pub email: String,
    /// The role it carries; `None` when not known here.
    pub role: Option<OrgRole>,
    /// How far it is.
    pub status: InviteStatus,
    /// The projects it carries.
    pub projects: Vec<ProjectGrant>,
    /// When it was sent.
    pub created_at: Timestamp,
    /// When it runs out, if OpenAI said so.
    pub expires_at: Option<Timestamp>,
}

/// A membership of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectMember {
    /// The project.
    pub project: ProjectId,
    /// The organization member.
    pub user: UserId,
    /// The role inside the project; `None` when not one of the classic two.
    pub role: Option<ProjectRole>,
}

/// A project that is not archived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The project.
    pub id: ProjectId,
    /// Its name, which need not be unique.
    pub name: Option<String>,
}

/// A role of the organization, as its plan with custom roles lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The role.
    pub id: RoleId,
    /// Its name.
    pub name: String,
    /// What it is for, in the words of whoever made it.
    pub description: Option<String>,
    /// Comes with every organization; the classic roles are such.
    pub is_predefined: bool,
}

/// A group of members, which is no SCIM group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAiGroup {
    /// The group.
    pub id: OpenAiGroupId,
    /// Its name, which need not be unique.
    pub name: String,
    /// Managed by OpenAI's own directory sync: never changed.
    pub is_scim_managed: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// That a member has something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assigned {
    /// What.
    pub what: Assignment,
    /// The organization member.
    pub user: UserId,
}

/// A kind of list that is read whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Collection {
    /// `GET /organization/users`
    Members,
    /// `GET /organization/invites`
    Invites,
    /// `GET /organization/projects/{id}/users`
    ProjectMembers(ProjectId),
    /// `GET /organization/projects`
    Projects,
    /// `GET /organization/roles`
    Roles,
    /// `GET /organization/groups`
    Groups,
    /// `GET /organization/groups/{id}/users`
    GroupMembers(OpenAiGroupId),
}

/// A finished reading of a collection, from its first page to its last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    /// When the first page was asked for: what is older than this is covered.
    pub started_at: Timestamp,
    /// When the last page had come.
    pub finished_at: Timestamp,
    /// How many objects it held.
    pub count: i64,
}
