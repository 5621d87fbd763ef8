//! `/organization/projects/{project_id}/groups`

use serde_json::json;

use super::{groups, projects};
use crate::simulator::call::{Answer, Call, Outcome, Refusal};
use crate::simulator::objects::{Assigned, Assignment, Principal, Scope};
use crate::simulator::organization::Organization;
use crate::simulator::paging::{ByNext, Order};
use crate::simulator::wire;

pub(in crate::simulator) fn list(organization: &mut Organization, call: &Call) -> Outcome {
    groups::check_feature(organization)?;
    let project = projects::find_active(organization, call)?;
    let rows = project.groups.rows().filter(|row| organization.is_listed(row));
    let items = rows
        .filter_map(|row| Some((row.id.as_str(), (organization.groups.get(&row.id)?, row.value))))
        .collect();
    ByNext { call, options: &organization.options, max: 100, default: 20, order: Order::Ascending }
        .page(items, |(group, added_at)| wire::project_group(&project.id, group, *added_at))
}

pub(in crate::simulator) fn create(organization: &mut Organization, call: &Call) -> Outcome {
    groups::check_feature(organization)?;
    let project = projects::find_active(organization, call)?;
    let group_id = call.required_text("group_id")?;
    let role_id = call.required_text("role")?;
    let group = organization.groups.get(group_id).ok_or_else(|| Refusal::unknown("group", group_id))?;
    let scope = Scope::Project(project.id.clone());
    let Some(role) = organization.role(&scope, role_id) else {
        return Err(Refusal::bad(format!("The project role {role_id} was not found.")).param("role"));
    };
    if project.groups.contains(group_id) {
        return Err(Refusal::bad(format!("Group {group_id} already exists in project {}.", project.id)));
    }
    let (project_id, now, added_at) = (project.id.clone(), organization.now, organization.seconds());
    let answer = wire::project_group(&project_id, group, added_at);
    if let Some(project) = organization.projects.get_mut(&project_id) {
        project.groups.insert(group_id, now, added_at);
    }
    let assigned =
        Assigned { scope, principal: Principal::Group(group_id.to_owned()), role_id: role.id.clone() };
    organization.assignments.insert(assigned, Assignment { created_at: added_at, created_by: None });
    let detail = json!({
        "id": role.id,
        "principal_id": group_id,
        "principal_type": "group",
        "resource_id": project_id,
        "resource_type": "api.project",
    });
    organization.record(&call.actor, "role.assignment.created", Some(&project_id), detail);
    Answer::ok(answer)
}

pub(in crate::simulator) fn retrieve(organization: &mut Organization, call: &Call) -> Outcome {
    let group = groups::find(organization, call)?;
    let project = projects::find_active(organization, call)?;
    if !matches!(call.query.one("group_type"), None | Some("group" | "tenant_group")) {
        return Err(Refusal::invalid_type("group_type", "'group' or 'tenant_group'"));
    }
    let added_at =
        project.groups.get(&group.id).ok_or_else(|| Refusal::unknown("project group", &group.id))?;
    Answer::ok(wire::project_group(&project.id, group, *added_at))
}

pub(in crate::simulator) fn delete(organization: &mut Organization, call: &Call) -> Outcome {
    let group_id = groups::find(organization, call)?.id.clone();
    let project_id = projects::find_active(organization, call)?.id.clone();
    let removed =
        organization.projects.get_mut(&project_id).and_then(|project| project.groups.remove(&group_id));
    removed.ok_or_else(|| Refusal::unknown("project group", &group_id))?;
    let (scope, group) = (Scope::Project(project_id.clone()), Principal::Group(group_id.clone()));
    organization
        .assignments
        .retain(|Assigned { scope: at, principal, .. }, _| *at != scope || *principal != group);
    let detail = json!({
        "id": group_id,
        "principal_id": group_id,
        "principal_type": "group",
        "resource_id": project_id,
        "resource_type": "api.project",
    });
    organization.record(&call.actor, "role.assignment.deleted", Some(&project_id), detail);
    Answer::removed("project.group.deleted")
}
