//! The objects that the organization holds.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::table::Table;

/// An organization role in its classic form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrgRole {
    /// Full rights.
    Owner,
    /// An ordinary member.
    Reader,
}

/// A role within a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProjectRole {
    /// Full rights in the project.
    Owner,
    /// An ordinary member.
    Member,
}

impl OrgRole {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Reader => "reader",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Owner, Self::Reader].into_iter().find(|role| role.name() == name)
    }
}

impl ProjectRole {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Member => "member",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Owner, Self::Member].into_iter().find(|role| role.name() == name)
    }
}

/// A user of the organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Member {
    /// The user id.
    pub id: String,
    /// The address; service accounts have none.
    pub email: Option<String>,
    /// The name shown.
    pub name: Option<String>,
    /// The classic role.
    pub role: OrgRole,
    /// When the membership began, Unix seconds.
    pub added_at: i64,
    /// When the account was made, Unix seconds.
    pub created: i64,
    /// Whether this is the organization's default user.
    pub is_default: bool,
    /// Whether this is a service account.
    pub is_service_account: bool,
    /// Whether OpenAI's own directory sync manages this user.
    pub is_scim_managed: bool,
    /// Free text set by an update.
    pub technical_level: Option<String>,
    /// Free text set by an update.
    pub developer_persona: Option<String>,
}

/// An invite.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Invite {
    /// The invite id.
    pub id: String,
    /// The invited address.
    pub email: String,
    /// The role to come.
    pub role: OrgRole,
    /// When it was sent.
    pub created_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// When it was accepted.
    pub accepted_at: Option<Timestamp>,
    /// The projects to come; `None` when the call left them out, which means the default project.
    pub projects: Option<Vec<(String, ProjectRole)>>,
}

/// How far an invite has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InviteStatus {
    /// It waits for the person.
    Pending,
    /// The person has joined.
    Accepted,
    /// It came to nothing.
    Expired,
}

impl InviteStatus {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Expired => "expired",
        }
    }
}

impl Invite {
    /// The true status at `now`, without any lag.
    pub fn status(&self, now: Timestamp) -> InviteStatus {
        match self.accepted_at {
            Some(_) => InviteStatus::Accepted,
            None if now >= self.expires_at => InviteStatus::Expired,
            None => InviteStatus::Pending,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Project {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) created_at: i64,
    pub(super) archived_at: Option<i64>,
    pub(super) is_default: bool,
    pub(super) external_key_id: Option<String>,
    pub(super) residency: Option<String>,
    /// People added to the project, by user id.
    pub(super) users: Table<ProjectUser>,
    /// Groups added to the project, by group id, with the time of adding.
    pub(super) groups: Table<i64>,
}

#[derive(Debug, Clone)]
pub(super) struct ProjectUser {
    pub(super) role: ProjectRole,
    pub(super) added_at: i64,
}

#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) created_at: i64,
    pub(super) is_scim_managed: bool,
    /// Members by user id, with the time of adding.
    pub(super) users: Table<i64>,
}

/// Where a role applies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    Organization,
    Project(String),
}

/// Who has a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Principal {
    User(String),
    Group(String),
}

/// The key of an assignment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Assigned {
    pub(super) scope: Scope,
    pub(super) principal: Principal,
    pub(super) role_id: String,
}

#[derive(Debug, Clone)]
pub(super) struct Assignment {
    pub(super) created_at: i64,
    pub(super) created_by: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Role {
    pub(super) id: String,
    pub(super) scope: Scope,
    pub(super) name: String,
    pub(super) description: Option<String>,
    pub(super) permissions: Vec<String>,
    pub(super) is_predefined: bool,
    pub(super) updated_at: Option<i64>,
}

#[derive(Debug, Clone)]
pub(super) struct ServiceAccount {
    pub(super) id: String,
    pub(super) project: String,
    pub(super) name: String,
    pub(super) role: ProjectRole,
    pub(super) created_at: i64,
    /// Its counterpart in the user list.
    pub(super) user_id: String,
}

/// Who owns a project's key.
#[derive(Debug, Clone)]
pub(super) enum KeyOwner {
    User { id: String, email: String, name: String },
    ServiceAccount { id: String },
}

#[derive(Debug, Clone)]
pub(super) struct ProjectKey {
    pub(super) id: String,
    pub(super) project: String,
    pub(super) name: String,
    pub(super) created_at: i64,
    pub(super) owner: KeyOwner,
}

#[derive(Debug, Clone)]
pub(super) struct AdminKey {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) value: String,
    pub(super) created_at: i64,
    pub(super) expires_at: Option<i64>,
    pub(super) last_used_at: Option<i64>,
    pub(super) owner: String,
    pub(super) is_read_only: bool,
}

/// Who did something.
#[derive(Debug, Clone)]
pub(super) enum Actor {
    /// An admin key, by its id.
    Key(String),
    /// A person at the dashboard, by user id.
    Person(String),
    /// OpenAI itself.
    System,
}

#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) kind: &'static str,
    pub(super) effective_at: i64,
    pub(super) project: Option<String>,
    pub(super) actor: Actor,
    /// What is told under the event's own name; `id` is the resource.
    pub(super) detail: Value,
}
