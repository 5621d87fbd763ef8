//! `/organization/projects/{project_id}/users`

use serde_json::json;

use super::{projects, users};
use crate::simulator::call::{Answer, Call, Outcome, Refusal};
use crate::simulator::objects::{
    Assigned, Member, OrgRole, Principal, Project, ProjectRole, ProjectUser, Scope,
};
use crate::simulator::options::{Duplicate, Feature, Policy};
use crate::simulator::organization::Organization;
use crate::simulator::paging::{ById, Missing};
use crate::simulator::wire;

pub(in crate::simulator) fn list(organization: &mut Organization, call: &Call) -> Outcome {
    let project = projects::find_active(organization, call)?;
    let implicit = organization
        .members
        .rows()
        .filter(|row| is_implicit(organization, &row.value))
        .map(|row| (row.id.as_str(), (&row.value, ProjectRole::Owner, row.value.added_at)));
    let added = project.users.rows().filter(|row| organization.is_listed(row)).filter_map(|row| {
        let member = organization.members.get(&row.id).filter(|member| !is_implicit(organization, member))?;
        Some((row.id.as_str(), (member, row.value.role, row.value.added_at)))
    });
    let items: Vec<_> = implicit.chain(added).collect();
    ById { call, options: &organization.options, max: 100, missing: Missing::NotFound }
        .page(&items, |(member, role, added_at)| wire::project_user(member, *role, *added_at))
}

/// Owners of the organization own every project without having been added.
fn is_implicit(organization: &Organization, member: &Member) -> bool {
    member.role == OrgRole::Owner && organization.options.owners_in_projects == Feature::On
}

/// The role of somebody who is in the project, with the time of joining.
pub(in crate::simulator) fn membership(
    organization: &Organization,
    project: &Project,
    user_id: &str,
) -> Option<(ProjectRole, i64)> {
    let member = organization.members.get(user_id)?;
    if is_implicit(organization, member) {
        return Some((ProjectRole::Owner, member.added_at));
    }
    project.users.get(user_id).map(|user| (user.role, user.added_at))
}

pub(in crate::simulator) fn retrieve(organization: &mut Organization, call: &Call) -> Outcome {
    let project = projects::find_active(organization, call)?;
    show(organization, project, call.path("user_id"))
}

fn show(organization: &Organization, project: &Project, user_id: &str) -> Outcome {
    let member = users::find(organization, user_id)?;
    let (role, added_at) = membership(organization, project, user_id)
        .ok_or_else(|| Refusal::unknown("project user", user_id))?;
    Answer::ok(wire::project_user(member, role, added_at))
}

fn role(call: &Call) -> Result<Option<ProjectRole>, Refusal> {
    let parse =
        |name| ProjectRole::parse(name).ok_or_else(|| Refusal::invalid_type("role", "'owner' or 'member'"));
    call.text("role")?.map(parse).transpose()
}

pub(in crate::simulator) fn create(organization: &mut Organization, call: &Call) -> Outcome {
    let project = projects::find_active(organization, call)?;
    let role = role(call)?.ok_or_else(|| Refusal::missing("role"))?;
    let member = match (call.text("user_id")?, call.text("email")?) {
        (Some(id), _) => users::find(organization, id)?,
        (None, Some(email)) => {
            organization.member_by_email(email).ok_or_else(|| Refusal::unknown("user", email))?
        }
        (None, None) => return Err(Refusal::missing("user_id")),
    };
    if project.is_default && organization.options.default_project_members == Policy::Refuse {
        return Err(Refusal::bad("Members cannot be added to the default project."));
    }
    let (project_id, user_id) = (project.id.clone(), member.id.clone());
    if membership(organization, project, &user_id).is_some() {
        let message = format!("User {user_id} already exists in project {project_id}.");
        match organization.options.duplicate_project_user {
            Duplicate::Conflict => return Err(Refusal::new(409, message)),
            Duplicate::BadRequest => return Err(Refusal::bad(message)),
            Duplicate::Accept => return show(organization, project, &user_id),
        }
    }
    let (now, added_at) = (organization.now, organization.seconds());
    if let Some(project) = organization.projects.get_mut(&project_id) {
        project.users.insert(&user_id, now, ProjectUser { role, added_at });
    }
    let detail = json!({"id": user_id, "data": {"role": role.name()}});
    organization.record(&call.actor, "user.added", Some(&project_id), detail);
    let member = users::find(organization, &user_id)?;
    Answer::created(&organization.options, wire::project_user(member, role, added_at))
}

/// The explicit membership that the path names; an owner of the organization has none that could be changed.
fn find_changeable(organization: &Organization, call: &Call) -> Result<(String, String), Refusal> {
    let project = projects::find_active(organization, call)?;
    let member = users::find(organization, call.path("user_id"))?;
    if member.role == OrgRole::Owner {
        return Err(Refusal::bad("The user is an owner of the organization.").code("user_organization_owner"));
    }
    if !project.users.contains(&member.id) {
        return Err(Refusal::unknown("project user", &member.id));
    }
    Ok((project.id.clone(), member.id.clone()))
}

pub(in crate::simulator) fn update(organization: &mut Organization, call: &Call) -> Outcome {
    let (project_id, user_id) = find_changeable(organization, call)?;
    if let Some(role) = role(call)? {
        set_role(organization, &project_id, &user_id, role);
        let detail = json!({"id": user_id, "changes_requested": {"role": role.name()}});
        organization.record(&call.actor, "user.updated", Some(&project_id), detail);
    }
    show(organization, projects::find(organization, call)?, &user_id)
}

/// Changes the role of somebody who was added to the project.
pub(in crate::simulator) fn set_role(
    organization: &mut Organization,
    project: &str,
    user: &str,
    role: ProjectRole,
) {
    if let Some(user) = organization.projects.get_mut(project).and_then(|it| it.users.get_mut(user)) {
        user.role = role;
    }
}

pub(in crate::simulator) fn delete(organization: &mut Organization, call: &Call) -> Outcome {
    let (project_id, user_id) = find_changeable(organization, call)?;
    if let Some(project) = organization.projects.get_mut(&project_id) {
        project.users.remove(&user_id);
    }
    let (scope, user) = (Scope::Project(project_id.clone()), Principal::User(user_id.clone()));
    organization
        .assignments
        .retain(|Assigned { scope: at, principal, .. }, _| *at != scope || *principal != user);
    organization.record(&call.actor, "user.deleted", Some(&project_id), json!({"id": user_id}));
    Answer::deleted("organization.project.user.deleted", &user_id)
}
