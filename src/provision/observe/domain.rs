//! From the objects on the wire to those of the domain.

use jiff::Timestamp;

use crate::ids::{InviteId, OpenAiGroupId, ProjectId, RoleId, UserId};
use crate::model::grant::{Assignment, OrgRole, ProjectGrant, ProjectRole};
use crate::model::observed::{
    Assigned, Invite, InviteStatus, Member, OpenAiGroup, Project, ProjectMember, Role,
};
use crate::openai::wire;

/// An invite as the domain knows it. A status that is not known is taken for `pending`: nothing is concluded from it.
pub(in crate::provision) fn invite(wire: wire::Invite) -> Invite {
    let grant = |grant: &wire::ProjectGrant| {
        Some(ProjectGrant { id: ProjectId::from(grant.id.as_str()), role: grant.role.parse().ok()? })
    };
    Invite {
        id: InviteId::from(wire.id),
        role: org_role(&wire.role),
        status: match wire.status {
            wire::InviteStatus::Pending | wire::InviteStatus::Other(_) => InviteStatus::Pending,
            wire::InviteStatus::Accepted => InviteStatus::Accepted,
            wire::InviteStatus::Expired => InviteStatus::Expired,
        },
        projects: wire.projects.iter().filter_map(grant).collect(),
        email: wire.email,
        created_at: wire.created_at.unwrap_or(Timestamp::UNIX_EPOCH),
        expires_at: wire.expires_at,
    }
}

/// A member as the domain knows it.
pub(in crate::provision) fn member(wire: wire::User) -> Member {
    Member {
        id: UserId::from(wire.id),
        email: wire.email,
        name: wire.name,
        role: wire.role.as_deref().and_then(org_role),
        is_service_account: wire.is_service_account,
        is_scim_managed: wire.is_scim_managed,
        is_default: wire.is_default,
        added_at: wire.added_at.unwrap_or(Timestamp::UNIX_EPOCH),
    }
}

/// A membership of a project as the domain knows it.
pub(in crate::provision) fn project_member(project: &ProjectId, wire: wire::ProjectUser) -> ProjectMember {
    let role = [ProjectRole::Member, ProjectRole::Owner].into_iter().find(|role| role.as_str() == wire.role);
    ProjectMember { project: project.clone(), user: UserId::from(wire.id), role }
}

/// A project as the domain knows it, unless it is archived: nobody can be given access to those.
pub(in crate::provision) fn project(wire: wire::Project) -> Option<Project> {
    (!wire.is_archived()).then(|| Project { id: ProjectId::from(wire.id), name: wire.name })
}

/// A role as the domain knows it.
pub(in crate::provision) fn role(wire: wire::Role) -> Role {
    Role {
        id: RoleId::from(wire.id),
        name: wire.name,
        description: wire.description,
        is_predefined: wire.predefined_role,
    }
}

/// Only the two words of the API, not the wider set that administrators may use.
fn org_role(word: &str) -> Option<OrgRole> {
    [OrgRole::Reader, OrgRole::Owner].into_iter().find(|role| role.as_str() == word)
}

/// An OpenAI group as the domain knows it.
pub(in crate::provision) fn group(wire: wire::Group) -> OpenAiGroup {
    OpenAiGroup {
        id: OpenAiGroupId::from(wire.id),
        name: wire.name,
        is_scim_managed: wire.is_scim_managed,
        created_at: wire.created_at.unwrap_or(Timestamp::UNIX_EPOCH),
    }
}

/// A membership of an OpenAI group as the domain knows it.
pub(in crate::provision) fn group_member(group: &OpenAiGroupId, wire: wire::GroupMember) -> Assigned {
    Assigned { what: Assignment::Group { group: group.clone() }, user: UserId::from(wire.id) }
}

/// Whether somebody who has a role was given it themselves: one that comes through a group cannot be taken from them.
pub(in crate::provision) fn is_direct(wire: &wire::Role) -> bool {
    let is_own = |source: &wire::AssignmentSource| source.principal_type != "group";
    wire.assignment_sources.is_empty() || wire.assignment_sources.iter().any(is_own)
}
