//! Role assignments of users and groups, in the organization and in projects: one set of functions, the path
//! tells who and where.

use serde_json::{Value, json};

use super::roles::{self, project_of};
use super::{groups, project_users, projects, users};
use crate::simulator::call::{Answer, Call, Outcome, Refusal};
use crate::simulator::objects::{Actor, Assigned, Assignment, OrgRole, Principal, ProjectRole, Role, Scope};
use crate::simulator::organization::Organization;
use crate::simulator::paging::{ByNext, Order};
use crate::simulator::wire;

/// A role that somebody has, with where it comes from.
struct Held {
    role: Role,
    sources: Vec<Principal>,
    /// The classic role, which is changed by updating the user and not by unassigning.
    is_classic: bool,
    created_at: Option<i64>,
    created_by: Option<String>,
}

/// Who and where the path speaks of.
fn subject(organization: &Organization, call: &Call) -> Result<(Scope, Principal), Refusal> {
    let scope = roles::scope(organization, call)?;
    if call.path("user_id").is_empty() {
        let group = groups::find(organization, call)?.id.clone();
        if matches!(scope, Scope::Project(_)) && !projects::find(organization, call)?.groups.contains(&group)
        {
            return Err(Refusal::unknown("project group", &group));
        }
        return Ok((scope, Principal::Group(group)));
    }
    let user = users::find(organization, call.path("user_id"))?.id.clone();
    if matches!(scope, Scope::Project(_))
        && project_users::membership(organization, projects::find(organization, call)?, &user).is_none()
    {
        return Err(Refusal::unknown("project user", &user));
    }
    Ok((scope, Principal::User(user)))
}

/// All roles that somebody has in a scope: the classic one, assigned ones, and those of the groups.
fn held(organization: &Organization, scope: &Scope, principal: &Principal) -> Vec<Held> {
    let mut all: Vec<Held> = Vec::new();
    if let Some(name) = classic(organization, scope, principal) {
        let role = organization.predefined(scope, name);
        let sources = vec![principal.clone()];
        all.push(Held { role, sources, is_classic: true, created_at: None, created_by: None });
    }
    for (assigned, assignment) in
        organization.assignments.iter().filter(|(assigned, _)| assigned.scope == *scope)
    {
        let is_direct = assigned.principal == *principal;
        let is_inherited = match (&assigned.principal, principal) {
            (Principal::Group(group), Principal::User(user)) => {
                organization.groups.get(group).is_some_and(|group| group.users.contains(user))
            }
            _ => false,
        };
        if !is_direct && !is_inherited {
            continue;
        }
        match all.iter_mut().find(|held| held.role.id == assigned.role_id) {
            Some(held) => held.sources.push(assigned.principal.clone()),
            None => all.extend(organization.role(scope, &assigned.role_id).map(|role| Held {
                role,
                sources: vec![assigned.principal.clone()],
                is_classic: false,
                created_at: Some(assignment.created_at),
                created_by: assignment.created_by.clone(),
            })),
        }
    }
    all
}

fn classic(organization: &Organization, scope: &Scope, principal: &Principal) -> Option<&'static str> {
    let Principal::User(user) = principal else { return None };
    match scope {
        Scope::Organization => Some(organization.members.get(user)?.role.name()),
        Scope::Project(project) => {
            let project = organization.projects.get(project)?;
            Some(project_users::membership(organization, project, user)?.0.name())
        }
    }
}

fn show(organization: &Organization, held: &Held) -> Value {
    let sources: Vec<Value> = held
        .sources
        .iter()
        .map(|source| match source {
            Principal::User(id) => json!({"principal_id": id, "principal_type": "user"}),
            Principal::Group(id) => json!({"principal_id": id, "principal_type": "group"}),
        })
        .collect();
    let creator = held.created_by.as_deref().and_then(|id| organization.members.get(id));
    json!({
        "id": held.role.id,
        "name": held.role.name,
        "permissions": held.role.permissions,
        "resource_type": wire::resource_type(&held.role.scope),
        "predefined_role": held.role.is_predefined,
        "description": held.role.description,
        "created_at": held.created_at,
        "updated_at": held.role.updated_at,
        "created_by": held.created_by,
        "created_by_user_obj": creator.map(|user| json!({"id": user.id, "name": user.name, "email": user.email})),
        "metadata": {},
        "assignment_sources": sources,
    })
}

pub(in crate::simulator) fn list(organization: &mut Organization, call: &Call) -> Outcome {
    let (scope, principal) = subject(organization, call)?;
    let all = held(organization, &scope, &principal);
    let items = all.iter().map(|held| (held.role.id.as_str(), held)).collect();
    ByNext { call, options: &organization.options, max: 1000, default: 1000, order: Order::Ascending }
        .page(items, |held| show(organization, held))
}

pub(in crate::simulator) fn retrieve(organization: &mut Organization, call: &Call) -> Outcome {
    let (scope, principal) = subject(organization, call)?;
    let all = held(organization, &scope, &principal);
    let role_id = call.path("role_id");
    let held = all.iter().find(|held| held.role.id == role_id);
    Answer::ok(show(organization, held.ok_or_else(|| Refusal::unknown("role assignment", role_id))?))
}

pub(in crate::simulator) fn create(organization: &mut Organization, call: &Call) -> Outcome {
    let (scope, principal) = subject(organization, call)?;
    let role = roles::find(organization, &scope, call.required_text("role_id")?)?;
    assign(organization, call, &scope, &principal, &role)?;
    let role = wire::role(&role);
    match principal {
        Principal::User(id) => {
            let user = wire::user(users::find(organization, &id)?);
            Answer::ok(json!({"object": "user.role", "user": user, "role": role}))
        }
        Principal::Group(_) => {
            let group = wire::assigned_group(groups::find(organization, call)?);
            Answer::ok(json!({"object": "group.role", "group": group, "role": role}))
        }
    }
}

/// Gives a user an organization role by its id, as the update of a user can.
pub(in crate::simulator) fn give_organization_role(
    organization: &mut Organization,
    call: &Call,
    user_id: &str,
    role_id: &str,
) -> Result<(), Refusal> {
    let role = roles::find(organization, &Scope::Organization, role_id)?;
    assign(organization, call, &Scope::Organization, &Principal::User(user_id.to_owned()), &role)
}

/// Assigns a role; doing so again changes nothing. The classic names replace a user's classic role.
fn assign(
    organization: &mut Organization,
    call: &Call,
    scope: &Scope,
    principal: &Principal,
    role: &Role,
) -> Result<(), Refusal> {
    let is_classic =
        role.is_predefined && classic(organization, scope, principal) == Some(role.name.as_str());
    let assigned = Assigned { scope: scope.clone(), principal: principal.clone(), role_id: role.id.clone() };
    if is_classic || organization.assignments.contains_key(&assigned) {
        return Ok(());
    }
    let (org_role, project_role) = (OrgRole::parse(&role.name), ProjectRole::parse(&role.name));
    match (scope, principal) {
        (Scope::Organization, Principal::User(user)) if role.is_predefined && org_role.is_some() => {
            users::set_role(organization, user, org_role.unwrap_or(OrgRole::Reader))?;
        }
        (Scope::Project(project), Principal::User(user)) if role.is_predefined && project_role.is_some() => {
            let role = project_role.unwrap_or(ProjectRole::Member);
            project_users::set_role(organization, project, user, role);
        }
        _ => {
            let created_by = match &call.actor {
                Actor::Key(key) => organization.admin_keys.get(key).map(|key| key.owner.clone()),
                Actor::Person(id) => Some(id.clone()),
                Actor::System => None,
            };
            let created_at = organization.seconds();
            organization.assignments.insert(assigned, Assignment { created_at, created_by });
        }
    }
    record(organization, call, "role.assignment.created", scope, principal, &role.id);
    Ok(())
}

pub(in crate::simulator) fn delete(organization: &mut Organization, call: &Call) -> Outcome {
    let (scope, principal) = subject(organization, call)?;
    let role_id = call.path("role_id");
    let assigned =
        Assigned { scope: scope.clone(), principal: principal.clone(), role_id: role_id.to_owned() };
    if organization.assignments.remove(&assigned).is_none() {
        let all = held(organization, &scope, &principal);
        return Err(match all.iter().find(|held| held.role.id == role_id) {
            Some(held) if held.is_classic => {
                Refusal::bad("This role is changed by updating the user, not by removing it.")
            }
            Some(_) => {
                Refusal::bad("The role is inherited from a group and cannot be removed from the user.")
            }
            None => Refusal::unknown("role assignment", role_id),
        });
    }
    record(organization, call, "role.assignment.deleted", &scope, &principal, role_id);
    match principal {
        Principal::User(_) => Answer::removed("user.role.deleted"),
        Principal::Group(_) => Answer::removed("group.role.deleted"),
    }
}

fn record(
    organization: &mut Organization,
    call: &Call,
    kind: &'static str,
    scope: &Scope,
    principal: &Principal,
    role_id: &str,
) {
    let (principal_type, principal_id) = match principal {
        Principal::User(id) => ("user", id),
        Principal::Group(id) => ("group", id),
    };
    let detail = json!({
        "id": role_id,
        "principal_id": principal_id,
        "principal_type": principal_type,
        "resource_id": project_of(scope).unwrap_or(&organization.options.organization_id),
        "resource_type": wire::resource_type(scope),
    });
    organization.record(&call.actor, kind, project_of(scope), detail);
}
