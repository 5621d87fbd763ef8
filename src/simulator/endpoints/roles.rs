//! `/organization/roles` and `/projects/{project_id}/roles`: one set of functions, the path tells the scope.

use serde_json::{Value, json};

use super::projects;
use crate::simulator::call::{Answer, Call, Outcome, Refusal};
use crate::simulator::objects::{Role, Scope};
use crate::simulator::options::Feature;
use crate::simulator::organization::Organization;
use crate::simulator::paging::{ByNext, Order};
use crate::simulator::wire;

/// Whose roles the path speaks of; the roles feature must be on and the project must exist.
pub(in crate::simulator) fn scope(organization: &Organization, call: &Call) -> Result<Scope, Refusal> {
    if organization.options.roles == Feature::Off {
        return Err(Refusal::new(404, "Roles are not available for this organization."));
    }
    if call.path("project_id").is_empty() {
        return Ok(Scope::Organization);
    }
    Ok(Scope::Project(projects::find_active(organization, call)?.id.clone()))
}

/// One role of a scope.
pub(in crate::simulator) fn find(
    organization: &Organization,
    scope: &Scope,
    id: &str,
) -> Result<Role, Refusal> {
    organization.role(scope, id).ok_or_else(|| Refusal::unknown("role", id))
}

/// The custom role that the path names: a predefined one cannot be changed.
fn find_custom(organization: &Organization, call: &Call) -> Result<Role, Refusal> {
    let scope = scope(organization, call)?;
    let role = find(organization, &scope, call.path("role_id"))?;
    if role.is_predefined {
        return Err(Refusal::bad("A predefined role cannot be changed."));
    }
    Ok(role)
}

pub(in crate::simulator) fn project_of(scope: &Scope) -> Option<&str> {
    match scope {
        Scope::Organization => None,
        Scope::Project(project) => Some(project),
    }
}

pub(in crate::simulator) fn list(organization: &mut Organization, call: &Call) -> Outcome {
    let roles = organization.roles_of(&scope(organization, call)?);
    let items = roles.iter().map(|role| (role.id.as_str(), role)).collect();
    ByNext { call, options: &organization.options, max: 1000, default: 1000, order: Order::Ascending }
        .page(items, |role| wire::role(role))
}

pub(in crate::simulator) fn create(organization: &mut Organization, call: &Call) -> Outcome {
    let scope = scope(organization, call)?;
    let name = call.required_text("role_name")?.to_owned();
    let permissions = call.texts("permissions")?.ok_or_else(|| Refusal::missing("permissions"))?;
    let description = call.text("description")?.map(str::to_owned);
    let id = organization.new_id("role_");
    let detail = json!({
        "id": id,
        "role_name": name,
        "permissions": permissions,
        "resource_type": wire::resource_type(&scope),
        "resource_id": project_of(&scope).unwrap_or(&organization.options.organization_id),
    });
    let project = project_of(&scope).map(str::to_owned);
    let role = Role {
        id: id.clone(),
        scope,
        name,
        description,
        permissions,
        is_predefined: false,
        updated_at: Some(organization.seconds()),
    };
    let answer = wire::role(&role);
    organization.roles.insert(&id, organization.now, role);
    organization.record(&call.actor, "role.created", project.as_deref(), detail);
    Answer::ok(answer)
}

pub(in crate::simulator) fn retrieve(organization: &mut Organization, call: &Call) -> Outcome {
    let scope = scope(organization, call)?;
    Answer::ok(wire::role(&find(organization, &scope, call.path("role_id"))?))
}

pub(in crate::simulator) fn update(organization: &mut Organization, call: &Call) -> Outcome {
    let old = find_custom(organization, call)?;
    let new = Role {
        name: call.text("role_name")?.map_or(old.name.clone(), str::to_owned),
        description: call.text("description")?.map(str::to_owned).or(old.description.clone()),
        permissions: call.texts("permissions")?.unwrap_or(old.permissions.clone()),
        updated_at: Some(organization.seconds()),
        ..old.clone()
    };
    let minus = |a: &Role, b: &Role| -> Vec<Value> {
        a.permissions.iter().filter(|it| !b.permissions.contains(it)).map(|it| json!(it)).collect()
    };
    let changes = json!({
        "role_name": new.name,
        "permissions_added": minus(&new, &old),
        "permissions_removed": minus(&old, &new),
    });
    let answer = wire::role(&new);
    let (id, project) = (old.id.clone(), project_of(&old.scope));
    if let Some(role) = organization.roles.get_mut(&id) {
        *role = new;
    }
    organization.record(
        &call.actor,
        "role.updated",
        project,
        json!({"id": id, "changes_requested": changes}),
    );
    Answer::ok(answer)
}

pub(in crate::simulator) fn delete(organization: &mut Organization, call: &Call) -> Outcome {
    let role = find_custom(organization, call)?;
    organization.roles.remove(&role.id);
    organization.assignments.retain(|assigned, _| assigned.role_id != role.id);
    organization.record(&call.actor, "role.deleted", project_of(&role.scope), json!({"id": role.id}));
    Answer::deleted("role.deleted", &role.id)
}
