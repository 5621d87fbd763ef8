//! The JSON form of every object, as OpenAI's API reference describes it.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::call::object;
use super::objects::{
    Actor, AdminKey, Event, Group, Invite, InviteStatus, KeyOwner, Member, OrgRole, Project, ProjectKey,
    ProjectRole, Role, Scope, ServiceAccount,
};
use super::options::InviteTimestamp;
use super::organization::Organization;

/// An invite; a recent acceptance is not shown until the status lag is over.
pub(super) fn invite(organization: &Organization, invite: &Invite) -> Value {
    let lag = SignedDuration::from_millis(organization.options.status_lag_ms.into());
    let is_lagging =
        invite.accepted_at.is_some_and(|accepted| organization.now.duration_since(accepted) < lag);
    let status = if is_lagging { InviteStatus::Pending } else { invite.status(organization.now) };
    let accepted_at = invite.accepted_at.filter(|_| !is_lagging).map(Timestamp::as_second);
    let projects = match &invite.projects {
        Some(projects) => projects.clone(),
        None => organization
            .default_project()
            .map(|project| vec![(project.id.clone(), ProjectRole::Member)])
            .unwrap_or_default(),
    };
    let projects: Vec<Value> =
        projects.iter().map(|(id, role)| json!({"id": id, "role": role.name()})).collect();
    let timestamp = match organization.options.invite_timestamp {
        InviteTimestamp::CreatedAt => "created_at",
        InviteTimestamp::InvitedAt => "invited_at",
    };
    json!({
        "object": "organization.invite",
        "id": invite.id,
        "email": invite.email,
        "role": invite.role.name(),
        "status": status.name(),
        timestamp: invite.created_at.as_second(),
        "expires_at": invite.expires_at.as_second(),
        "accepted_at": accepted_at,
        "projects": projects,
    })
}

/// An organization user.
pub(super) fn user(member: &Member) -> Value {
    json!({
        "object": "organization.user",
        "id": member.id,
        "name": member.name,
        "email": member.email,
        "role": member.role.name(),
        "added_at": member.added_at,
        "created": member.created,
        "is_default": member.is_default,
        "is_service_account": member.is_service_account,
        "is_scale_tier_authorized_purchaser": false,
        "is_scim_managed": member.is_scim_managed,
        "api_key_last_used_at": null,
        "technical_level": member.technical_level,
        "developer_persona": member.developer_persona,
        "user": {
            "object": "user",
            "id": member.id,
            "email": member.email,
            "name": member.name,
            "picture": null,
            "enabled": true,
            "banned": false,
            "banned_at": null,
        },
    })
}

/// A project.
pub(super) fn project(project: &Project) -> Value {
    object([
        ("object", Some(json!("organization.project"))),
        ("id", Some(json!(project.id))),
        ("name", Some(json!(project.name))),
        ("created_at", Some(json!(project.created_at))),
        ("archived_at", Some(json!(project.archived_at))),
        ("status", Some(json!(if project.archived_at.is_some() { "archived" } else { "active" }))),
        ("external_key_id", Some(json!(project.external_key_id))),
        ("residency", project.residency.as_ref().map(|residency| json!(residency))),
    ])
}

/// A user as seen in a project.
pub(super) fn project_user(member: &Member, role: ProjectRole, added_at: i64) -> Value {
    json!({
        "object": "organization.project.user",
        "id": member.id,
        "name": member.name,
        "email": member.email,
        "role": role.name(),
        "added_at": added_at,
    })
}

/// A group in lists and after its creation.
pub(super) fn group(group: &Group) -> Value {
    json!({
        "id": group.id,
        "name": group.name,
        "created_at": group.created_at,
        "is_scim_managed": group.is_scim_managed,
        "group_type": "group",
    })
}

/// A group after an update: without its type.
pub(super) fn updated_group(group: &Group) -> Value {
    json!({
        "id": group.id,
        "name": group.name,
        "created_at": group.created_at,
        "is_scim_managed": group.is_scim_managed,
    })
}

/// A group inside a role assignment, where its fields have other names.
pub(super) fn assigned_group(group: &Group) -> Value {
    json!({
        "object": "group",
        "id": group.id,
        "name": group.name,
        "created_at": group.created_at,
        "scim_managed": group.is_scim_managed,
    })
}

/// A group as seen in a project; its role is not told.
pub(super) fn project_group(project: &str, group: &Group, created_at: i64) -> Value {
    json!({
        "object": "project.group",
        "project_id": project,
        "group_id": group.id,
        "group_name": group.name,
        "group_type": "group",
        "created_at": created_at,
    })
}

/// A role.
pub(super) fn role(role: &Role) -> Value {
    json!({
        "object": "role",
        "id": role.id,
        "name": role.name,
        "description": role.description,
        "permissions": role.permissions,
        "resource_type": resource_type(&role.scope),
        "predefined_role": role.is_predefined,
    })
}

/// The word for the kind of thing that a role applies to.
pub(super) const fn resource_type(scope: &Scope) -> &'static str {
    match scope {
        Scope::Organization => "api.organization",
        Scope::Project(_) => "api.project",
    }
}

/// A service account.
pub(super) fn service_account(account: &ServiceAccount) -> Value {
    json!({
        "object": "organization.project.service_account",
        "id": account.id,
        "name": account.name,
        "role": account.role.name(),
        "created_at": account.created_at,
    })
}

/// A project's key, with or without access of its owner.
pub(super) fn project_key(organization: &Organization, key: &ProjectKey, is_active: bool) -> Value {
    let owner = match &key.owner {
        KeyOwner::User { id, email, name } => json!({
            "type": "user",
            "user": {"id": id, "email": email, "name": name, "created_at": key.created_at, "role": "member"},
        }),
        KeyOwner::ServiceAccount { id } => {
            let account = organization.service_accounts.get(id);
            json!({
                "type": "service_account",
                "service_account": {
                    "id": id,
                    "name": account.map_or("", |account| account.name.as_str()),
                    "created_at": account.map_or(key.created_at, |account| account.created_at),
                    "role": account.map_or("member", |account| account.role.name()),
                },
            })
        }
    };
    json!({
        "object": "organization.project.api_key",
        "id": key.id,
        "name": key.name,
        "redacted_value": "sk-proj-...sim",
        "created_at": key.created_at,
        "last_used_at": null,
        "owner_project_access": if is_active { "active" } else { "inactive" },
        "owner": owner,
        "expires_at": null,
    })
}

/// An admin key; its value is told once, by its creation.
pub(super) fn admin_key(organization: &Organization, key: &AdminKey) -> Value {
    let owner = organization.members.get(&key.owner);
    json!({
        "object": "organization.admin_api_key",
        "id": key.id,
        "name": key.name,
        "redacted_value": redacted(&key.value),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "owner": {
            "type": "user",
            "object": "organization.user",
            "id": key.owner,
            "name": owner.and_then(|owner| owner.name.as_deref()).unwrap_or_default(),
            "created_at": owner.map_or(key.created_at, |owner| owner.created),
            "role": owner.map_or(OrgRole::Reader, |owner| owner.role).name(),
        },
    })
}

/// The beginning and the end of a secret.
fn redacted(value: &str) -> String {
    let length = value.chars().count();
    let start: String = value.chars().take(8.min(length)).collect();
    let end: String = value.chars().skip(length.saturating_sub(3)).collect();
    format!("{start}...{end}")
}

/// An audit event.
pub(super) fn event(organization: &Organization, id: &str, event: &Event) -> Value {
    let project = event.project.as_deref().and_then(|project| organization.projects.get(project));
    object([
        ("id", Some(json!(id))),
        ("type", Some(json!(event.kind))),
        ("effective_at", Some(json!(event.effective_at))),
        (
            "project",
            project.map(|project| json!({"id": project.id, "name": project.name.as_deref().unwrap_or("")})),
        ),
        ("actor", actor(organization, &event.actor)),
        (event.kind, Some(event.detail.clone())),
    ])
}

fn actor(organization: &Organization, actor: &Actor) -> Option<Value> {
    let user = |id: &str| {
        let email = organization.members.get(id).and_then(|member| member.email.as_ref());
        object([("id", Some(json!(id))), ("email", email.map(|email| json!(email)))])
    };
    match actor {
        Actor::Key(id) => {
            let owner = organization.admin_keys.get(id).map(|key| user(&key.owner));
            Some(json!({
                "type": "api_key",
                "api_key": object([("id", Some(json!(id))), ("type", Some(json!("user"))), ("user", owner)]),
            }))
        }
        Actor::Person(id) => {
            Some(json!({"type": "session", "session": {"user": user(id), "ip_address": "192.0.2.1"}}))
        }
        Actor::System => None,
    }
}
