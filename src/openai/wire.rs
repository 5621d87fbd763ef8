//! The objects of the Admin API, as tolerant as is safe.
//!
//! What is needed to act on an object must be there and of its type, or the answer is not believed. Everything else
//! may be absent or null, unknown keys are ignored, and roles and states stay text where an unknown word must not
//! make the whole list unreadable.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::openai::page::Item;

/// An invite to the organization.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "InviteOnTheWire")]
pub struct Invite {
    /// `invite-…`
    pub id: String,
    /// Where it went; the case may differ from what was sent.
    pub email: String,
    /// `owner` or `reader`.
    pub role: String,
    /// Whether it still waits.
    pub status: InviteStatus,
    /// When it was sent.
    pub created_at: Option<Timestamp>,
    /// When it runs out, if it does.
    pub expires_at: Option<Timestamp>,
    /// When it was accepted.
    pub accepted_at: Option<Timestamp>,
    /// The projects it carries.
    pub projects: Vec<ProjectGrant>,
}

#[derive(Deserialize)]
struct InviteOnTheWire {
    id: String,
    email: String,
    #[serde(default, deserialize_with = "null_is_default")]
    role: String,
    status: InviteStatus,
    #[serde(default, deserialize_with = "unix_seconds")]
    created_at: Option<Timestamp>,
    /// The name of `created_at` until 2026.
    #[serde(default, deserialize_with = "unix_seconds")]
    invited_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "unix_seconds")]
    expires_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "unix_seconds")]
    accepted_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "null_is_default")]
    projects: Vec<ProjectGrant>,
}

impl From<InviteOnTheWire> for Invite {
    fn from(wire: InviteOnTheWire) -> Self {
        Self {
            id: wire.id,
            email: wire.email,
            role: wire.role,
            status: wire.status,
            created_at: wire.created_at.or(wire.invited_at),
            expires_at: wire.expires_at,
            accepted_at: wire.accepted_at,
            projects: wire.projects,
        }
    }
}

/// The state of an invite.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum InviteStatus {
    /// Waits to be accepted.
    Pending,
    /// Was accepted; the member may show up a little later.
    Accepted,
    /// Ran out.
    Expired,
    /// A word we do not know: nothing may be concluded from it.
    Other(String),
}

impl From<String> for InviteStatus {
    fn from(word: String) -> Self {
        match word.as_str() {
            "pending" => Self::Pending,
            "accepted" => Self::Accepted,
            "expired" => Self::Expired,
            _ => Self::Other(word),
        }
    }
}

/// A project with a role in it, as invites carry them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectGrant {
    /// `proj_…`
    pub id: String,
    /// `owner` or `member`.
    pub role: String,
}

/// A member of the organization.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "UserOnTheWire")]
pub struct User {
    /// `user-…`
    pub id: String,
    /// The member's address, if the API tells.
    pub email: Option<String>,
    /// The member's name.
    pub name: Option<String>,
    /// `owner` or `reader`.
    pub role: Option<String>,
    /// When the membership began.
    pub added_at: Option<Timestamp>,
    /// Whether it is no person.
    pub is_service_account: bool,
    /// Whether OpenAI's own directory sync manages the member.
    pub is_scim_managed: bool,
    /// Whether it is the organization's default user.
    pub is_default: bool,
}

#[derive(Deserialize)]
struct UserOnTheWire {
    id: String,
    email: Option<String>,
    name: Option<String>,
    role: Option<String>,
    #[serde(default, deserialize_with = "unix_seconds")]
    added_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "null_is_default")]
    is_service_account: bool,
    #[serde(default, deserialize_with = "null_is_default")]
    is_scim_managed: bool,
    #[serde(default, deserialize_with = "null_is_default")]
    is_default: bool,
    user: Option<Account>,
}

/// The account behind a member, which repeats address and name.
#[derive(Deserialize)]
struct Account {
    email: Option<String>,
    name: Option<String>,
}

impl From<UserOnTheWire> for User {
    fn from(wire: UserOnTheWire) -> Self {
        let (email, name) = wire.user.map_or((None, None), |account| (account.email, account.name));
        Self {
            id: wire.id,
            email: wire.email.or(email),
            name: wire.name.or(name),
            role: wire.role,
            added_at: wire.added_at,
            is_service_account: wire.is_service_account,
            is_scim_managed: wire.is_scim_managed,
            is_default: wire.is_default,
        }
    }
}

/// A project.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Project {
    /// `proj_…`
    pub id: String,
    /// Its name; not unique.
    pub name: Option<String>,
    /// `active` or `archived`.
    pub status: Option<String>,
    /// When it was archived.
    #[serde(default, deserialize_with = "unix_seconds")]
    pub archived_at: Option<Timestamp>,
}

impl Project {
    /// Whether the project is archived: its memberships cannot be read or changed then.
    pub fn is_archived(&self) -> bool {
        self.archived_at.is_some() || self.status.as_deref() == Some("archived")
    }
}

/// A member of a project.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ProjectUser {
    /// The organization member's id, `user-…`.
    pub id: String,
    /// The member's address.
    pub email: Option<String>,
    /// The member's name.
    pub name: Option<String>,
    /// `owner` or `member`.
    pub role: String,
    /// When the membership began.
    #[serde(default, deserialize_with = "unix_seconds")]
    pub added_at: Option<Timestamp>,
}

/// A group of the organization.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Group {
    /// `group_…`
    pub id: String,
    /// Its name; not known to be unique.
    pub name: String,
    /// When it was made.
    #[serde(default, deserialize_with = "unix_seconds")]
    pub created_at: Option<Timestamp>,
    /// Whether OpenAI's own directory sync manages it.
    #[serde(default, deserialize_with = "null_is_default")]
    pub is_scim_managed: bool,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GroupMember {
    /// The organization member's id, `user-…`.
    pub id: String,
    /// The member's address.
    pub email: Option<String>,
}

/// The answer to adding a member to a group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct GroupMembership {
    /// The member.
    pub user_id: String,
    /// The group.
    pub group_id: String,
}

/// The answer to letting a group into a project. Which role it has there is not told.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ProjectGroup {
    /// The project.
    pub project_id: String,
    /// The group.
    pub group_id: String,
}

/// A role, predefined or custom.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Role {
    /// `role_…` or `role-api-…`; never guessed, always looked up.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// `api.organization` or `api.project`.
    pub resource_type: Option<String>,
    /// Whether it comes with every organization.
    #[serde(default, deserialize_with = "null_is_default")]
    pub predefined_role: bool,
    /// Where an assignment of it comes from; empty for a role that is not read as an assignment.
    #[serde(default, deserialize_with = "null_is_default")]
    pub assignment_sources: Vec<AssignmentSource>,
}

/// Why somebody has a role: directly, or through a group.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AssignmentSource {
    /// The user or group it was given to.
    pub principal_id: String,
    /// `user` or `group`.
    pub principal_type: String,
}

/// The answer to giving a role to a member.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct RoleAssignment {
    /// The role that was given.
    pub role: Role,
}

/// An entry of the audit log, as far as it concerns people.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "AuditEventOnTheWire")]
pub struct AuditEvent {
    /// `audit_log-…`
    pub id: String,
    /// What happened, such as `invite.accepted`.
    pub kind: String,
    /// When.
    pub effective_at: Option<Timestamp>,
    /// The id of what it happened to: an invite's, a user's.
    pub subject: Option<String>,
    /// The address, where the entry tells it.
    pub email: Option<String>,
}

#[derive(Deserialize)]
struct AuditEventOnTheWire {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default, deserialize_with = "unix_seconds")]
    effective_at: Option<Timestamp>,
    /// Among others an object under the name of the entry's type.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl From<AuditEventOnTheWire> for AuditEvent {
    fn from(wire: AuditEventOnTheWire) -> Self {
        let details = wire.rest.get(&wire.kind);
        let text = |pointer| {
            details.and_then(|details| details.pointer(pointer)).and_then(Value::as_str).map(str::to_owned)
        };
        let (subject, email) = (text("/id"), text("/data/email"));
        Self { id: wire.id, kind: wire.kind, effective_at: wire.effective_at, subject, email }
    }
}

/// The answer to taking something away. Some kinds of object do not repeat the id.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Deleted {
    /// The id of what is gone.
    pub id: Option<String>,
    /// Whether it is gone.
    pub deleted: bool,
}

impl Deleted {
    /// Whether the answer says that the object with this id, and no other, is gone.
    pub(super) fn is_of(&self, id: &str) -> bool {
        self.deleted && self.id.as_deref().is_none_or(|answered| answered == id)
    }
}

macro_rules! items {
    ($($name:ident),*) => {
        $(impl Item for $name {
            fn id(&self) -> &str {
                &self.id
            }
        })*
    };
}

items!(Invite, User, Project, ProjectUser, Group, GroupMember, Role, AuditEvent);

pub(super) fn null_is_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Seconds since 1970; null, zero or out of any calendar means that no time is known.
pub(super) fn unix_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let seconds: Option<i64> = Option::deserialize(from)?;
    Ok(seconds.filter(|seconds| *seconds > 0).and_then(|seconds| Timestamp::from_second(seconds).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: for<'de> Deserialize<'de>>(body: &str) -> T {
        serde_json::from_str(body).unwrap()
    }

    #[test]
    fn an_invite_of_today_and_one_of_2025_read_alike() {
        let today: Invite = read(
            r#"{"object":"organization.invite","id":"invite-1","email":"a@b.co","role":"reader","status":"pending",
                "created_at":1800000000,"expires_at":null,"accepted_at":null,"projects":[{"id":"proj_1","role":"member"}]}"#,
        );
        let old: Invite = read(
            r#"{"id":"invite-1","email":"a@b.co","role":"reader","status":"pending","invited_at":1800000000,
                "expires_at":1800604800}"#,
        );
        assert_eq!(today.created_at, old.created_at);
        assert_eq!((today.expires_at, today.projects.len(), old.projects.len()), (None, 1, 0));
        assert!(old.expires_at.is_some());
    }

    #[test]
    fn an_unknown_status_is_kept_as_it_is() {
        let invite: Invite = read(r#"{"id":"i","email":"a@b.co","role":"reader","status":"revoked"}"#);
        assert_eq!(invite.status, InviteStatus::Other("revoked".to_owned()));
    }

    #[test]
    fn a_user_may_lack_everything_but_the_id() {
        let bare: User = read(r#"{"id":"user-1"}"#);
        assert_eq!((bare.email, bare.role, bare.is_service_account), (None, None, false));
        let nested: User = read(
            r#"{"object":"organization.user","id":"user-1","email":null,"name":null,"role":"owner","added_at":1,
                "is_service_account":null,"is_scim_managed":true,"projects":{"object":"list","data":[]},
                "user":{"object":"user","id":"u","email":"a@b.co","name":"A","enabled":true},"news":{"x":[1]}}"#,
        );
        assert_eq!((nested.email.as_deref(), nested.is_scim_managed), (Some("a@b.co"), true));
        assert!(serde_json::from_str::<User>(r#"{"email":"a@b.co"}"#).is_err());
    }

    #[test]
    fn audit_entries_tell_whom_they_are_about() {
        let event: AuditEvent = read(
            r#"{"id":"audit_log-1","type":"invite.sent","effective_at":1800000000,"actor":null,
                "invite.sent":{"id":"invite-1","data":{"email":"a@b.co","role":"member"}}}"#,
        );
        assert_eq!((event.subject.as_deref(), event.email.as_deref()), (Some("invite-1"), Some("a@b.co")));
    }

    #[test]
    fn a_deletion_is_believed_for_its_own_id_alone() {
        let body = r#"{"object":"organization.user.deleted","id":"user-1","deleted":true}"#;
        assert!(read::<Deleted>(body).is_of("user-1"));
        assert!(!read::<Deleted>(body).is_of("user-2"));
        assert!(!read::<Deleted>(r#"{"id":"user-1","deleted":false}"#).is_of("user-1"));
        assert!(read::<Deleted>(r#"{"object":"group.user.deleted","deleted":true}"#).is_of("user-1"));
    }
}
